package mediasoupproto

import (
	"encoding/json"
	"time"
)

// lookup returns the peer that an id belongs to.
func (m *ServerMachine) lookup(id MediaID) *peer {
	if c := m.conns[id.Peer]; c != nil {
		return c.peer
	}
	return nil
}

func (m *ServerMachine) producerOf(id MediaID) *producer {
	if p := m.lookup(id); p != nil {
		if pr := p.producers[id.ID]; pr != nil && pr.ready {
			return pr
		}
	}
	return nil
}

func (m *ServerMachine) consumerOf(id MediaID) *consumer {
	if p := m.lookup(id); p != nil {
		return p.consumers[id.ID]
	}
	return nil
}

// CloseTransport closes a transport, of which its owner is told with the data. Like the
// methods below it reports false when there is none of that name.
func (m *ServerMachine) CloseTransport(now time.Time, id MediaID, appData json.RawMessage) (fx ServerEffects, ok bool) {
	m.now = now
	p := m.lookup(id)
	if p == nil || p.transports[id.ID] == nil {
		return fx, false
	}
	m.serverClosesTransport(&fx, p.transports[id.ID], appData)
	return fx, true
}

// PauseProducer pauses a producer, or resumes it, of which its owner is told with the data.
// It goes on when its client has not paused it either.
func (m *ServerMachine) PauseProducer(
	now time.Time, id MediaID, paused bool, appData json.RawMessage,
) (fx ServerEffects, ok bool) {
	m.now = now
	pr := m.producerOf(id)
	if pr == nil {
		return fx, false
	}
	switch {
	case pr.locally == paused:
		return fx, true
	case paused:
		fx.send(pr.peer.conn, &ProducerPaused{ID: id.ID, PeerName: pr.peer.name, AppData: appData})
	default:
		fx.send(pr.peer.conn, &ProducerResumed{ID: id.ID, PeerName: pr.peer.name, AppData: appData})
	}
	m.pause(&fx, pr, paused, pr.remotely)
	return fx, true
}

// CloseProducer closes a producer, of which its owner is told with the data.
func (m *ServerMachine) CloseProducer(now time.Time, id MediaID, appData json.RawMessage) (fx ServerEffects, ok bool) {
	m.now = now
	pr := m.producerOf(id)
	if pr == nil {
		return fx, false
	}
	fx.send(pr.peer.conn, &ProducerClosed{ID: id.ID, PeerName: pr.peer.name, AppData: appData})
	m.endProducer(&fx, pr, tellConsumerClosed(&fx))
	return fx, true
}

// PauseConsumer pauses a consumer, or resumes it, of which its owner is told with the data
// unless the producer is paused.
func (m *ServerMachine) PauseConsumer(
	now time.Time, id MediaID, paused bool, appData json.RawMessage,
) (fx ServerEffects, ok bool) {
	m.now = now
	c := m.consumerOf(id)
	if c == nil {
		return fx, false
	}
	if c.locally == paused {
		return fx, true
	}
	m.pauseConsumer(&fx, c, paused, c.remotely)
	switch {
	case !c.enabled || c.producer.paused():
	case paused:
		fx.send(c.peer.conn, &ConsumerPaused{ID: id.ID, PeerName: c.producer.peer.name, AppData: appData})
	default:
		fx.send(c.peer.conn, &ConsumerResumed{ID: id.ID, PeerName: c.producer.peer.name, AppData: appData})
	}
	return fx, true
}

// SetPreferredProfile sets the stream that a consumer is to get, of which its owner is told.
// It reports false also for a profile that cannot be preferred.
func (m *ServerMachine) SetPreferredProfile(now time.Time, id MediaID, p Profile) (fx ServerEffects, ok bool) {
	m.now = now
	c := m.consumerOf(id)
	if c == nil || !p.IsPreference() {
		return fx, false
	}
	if c.preferred != p {
		m.prefer(&fx, c, p)
		fx.send(c.peer.conn, &ConsumerPreferredProfileSet{ID: id.ID, PeerName: c.producer.peer.name, Profile: p})
	}
	return fx, true
}

// RequestKeyFrame asks the producer of a consumer for a key frame.
func (m *ServerMachine) RequestKeyFrame(now time.Time, id MediaID) (fx ServerEffects, ok bool) {
	m.now = now
	c := m.consumerOf(id)
	if c == nil || !c.enabled {
		return fx, false
	}
	m.media(&fx, c.peer, MediaOp{Kind: MediaRequestKeyFrame, ID: id})
	return fx, true
}

// EffectiveProfile takes from the media engine which stream a consumer gets.
func (m *ServerMachine) EffectiveProfile(now time.Time, id MediaID, p Profile) (fx ServerEffects) {
	m.now = now
	c := m.consumerOf(id)
	if c == nil || c.transport == nil || c.effective == p || p != ProfileNone && !p.IsPreference() {
		return fx
	}
	c.effective = p
	fx.send(c.peer.conn, &ConsumerEffectiveProfileChanged{ID: id.ID, PeerName: c.producer.peer.name, Profile: p})
	return fx
}
