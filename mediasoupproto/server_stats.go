package mediasoupproto

import (
	"slices"
	"time"
)

// A statsTimer is what a client wants to be told again and again.
type statsTimer struct {
	interval time.Duration
	asked    bool // the engine has been, and did not answer yet
}

// statsWish begins or ends statistics.
func (m *ServerMachine) statsWish(fx *ServerEffects, p *peer, msg Message) {
	switch msg := msg.(type) {
	case *EnableTransportStats:
		if t := p.transport(msg.ID); t != nil && !t.plain {
			m.startStats(fx, p, &t.stats, MediaTransportStats, msg.ID, msg.Interval)
		}
	case *DisableTransportStats:
		if t := p.transport(msg.ID); t != nil {
			m.stopStats(t.stats, clockKey{p.conn.id, MediaTransportStats, msg.ID})
			t.stats = nil
		}
	case *EnableProducerStats:
		if pr := p.producers[msg.ID]; pr != nil {
			m.startStats(fx, p, &pr.stats, MediaProducerStats, msg.ID, msg.Interval)
		}
	case *DisableProducerStats:
		if pr := p.producers[msg.ID]; pr != nil {
			m.stopStats(pr.stats, clockKey{p.conn.id, MediaProducerStats, msg.ID})
			pr.stats = nil
		}
	case *EnableConsumerStats:
		if c := p.consumers[msg.ID]; c != nil {
			m.startStats(fx, p, &c.stats, MediaConsumerStats, msg.ID, msg.Interval)
		}
	case *DisableConsumerStats:
		if c := p.consumers[msg.ID]; c != nil {
			m.stopStats(c.stats, clockKey{p.conn.id, MediaConsumerStats, msg.ID})
			c.stats = nil
		}
	}
}

// startStats begins with the first statistics at once. Who has begun already goes on as
// before.
func (m *ServerMachine) startStats(fx *ServerEffects, p *peer, s **statsTimer, kind MediaKind, id uint32, ms int64) {
	if *s != nil {
		return
	}
	const most = int64(time.Hour / time.Millisecond)
	*s = &statsTimer{interval: max(time.Duration(min(ms, most))*time.Millisecond, MinStatsInterval)}
	m.statsDue(fx, p, clockKey{p.conn.id, kind, id})
}

func (m *ServerMachine) stopStats(s *statsTimer, key clockKey) {
	if s != nil {
		m.clock.Clear(key)
	}
}

// statsDue asks for statistics, unless there is nothing to tell, and for the next ones later.
func (m *ServerMachine) statsDue(fx *ServerEffects, p *peer, key clockKey) {
	w := &mediaWait{kind: key.kind, peer: p}
	var s *statsTimer
	id := MediaID{key.peer, key.id}
	switch key.kind {
	case MediaTransportStats:
		if w.transport = p.transport(key.id); w.transport != nil {
			s = w.transport.stats
		}
	case MediaProducerStats:
		if w.producer = p.producers[key.id]; w.producer != nil {
			s = w.producer.stats
		}
	case MediaConsumerStats:
		if w.consumer = p.consumers[key.id]; w.consumer != nil {
			s = w.consumer.stats
		}
	}
	if s == nil {
		return
	}
	m.clock.Set(key, m.now.Add(s.interval))
	if s.asked || w.quiet() {
		return
	}
	s.asked = true
	w.stats = s
	m.await(fx, w, MediaOp{ID: id})
}

// quiet reports whether there is nothing to tell for now.
func (w *mediaWait) quiet() bool {
	switch {
	case w.producer != nil:
		return w.producer.paused() || !w.producer.ready
	case w.consumer != nil:
		c := w.consumer
		return !c.enabled || c.locally || c.remotely || c.producer.paused()
	}
	return false
}

// statsDone tells a client the statistics that it wanted, if it still wants them.
func (m *ServerMachine) statsDone(fx *ServerEffects, w *mediaWait, r MediaResult) {
	var s *statsTimer
	var msg Message
	stats := slices.Clone(r.Stats)
	switch {
	case w.transport != nil && !w.transport.closed:
		s, msg = w.transport.stats, &TransportStats{ID: w.transport.id.ID, Stats: stats}
	case w.producer != nil && !w.producer.closed:
		s, msg = w.producer.stats, &ProducerStats{ID: w.producer.id.ID, Stats: stats}
	case w.consumer != nil && !w.consumer.closed:
		c := w.consumer
		s, msg = c.stats, &ConsumerStats{ID: c.id.ID, PeerName: c.producer.peer.name, Stats: stats}
	}
	if s == nil || s != w.stats { // which may have begun anew
		return
	}
	s.asked = false
	if r.Err == nil && stats != nil && !w.quiet() {
		fx.send(w.peer.conn, msg)
	}
}
