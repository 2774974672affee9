package mediasoupproto

import (
	"time"
)

// laneOf returns the transport that a message has to wait for, or 0.
func (m *ClientMachine) laneOf(msg Message) uint32 {
	producer := func(id uint32) uint32 { return m.owners[ownedKey{id: id}] }
	consumer := func(id uint32) uint32 { return m.owners[ownedKey{consumer: true, id: id}] }
	switch msg := msg.(type) {
	case *CreateTransport:
		return msg.ID
	case *RestartTransport:
		return msg.ID
	case *UpdateTransport:
		return msg.ID
	case *EnableTransportStats:
		return msg.ID
	case *DisableTransportStats:
		return msg.ID
	case *CreateProducer:
		return msg.TransportID
	case *EnableConsumer:
		return msg.TransportID
	case *PauseProducer:
		return producer(msg.ID)
	case *ResumeProducer:
		return producer(msg.ID)
	case *CloseProducer:
		return producer(msg.ID)
	case *EnableProducerStats:
		return producer(msg.ID)
	case *DisableProducerStats:
		return producer(msg.ID)
	case *UpdateProducer:
		return producer(msg.ID)
	case *PauseConsumer:
		return consumer(msg.ID)
	case *ResumeConsumer:
		return consumer(msg.ID)
	case *SetConsumerPreferredProfile:
		return consumer(msg.ID)
	case *EnableConsumerStats:
		return consumer(msg.ID)
	case *DisableConsumerStats:
		return consumer(msg.ID)
	}
	return 0
}

// dispatch sends a message, or queues it behind what its transport waits for.
func (m *ClientMachine) dispatch(fx *Effects, now time.Time, given, out Message) {
	id := m.laneOf(out)
	switch out := out.(type) {
	case *CreateProducer:
		m.owners[ownedKey{id: out.ID}] = id
	case *EnableConsumer:
		m.owners[ownedKey{consumer: true, id: out.ID}] = id
	}
	l := m.lanes[id]
	if id == 0 || l == nil && !isRequest(out) {
		m.send(fx, now, given, out, nil)
		return
	}
	if l == nil {
		l = &lane{transport: id}
		m.lanes[id] = l
	}
	if !l.busy {
		l.busy = isRequest(out)
		m.send(fx, now, given, out, l)
		return
	}
	l.queue = append(l.queue, queuedMessage{given, out})
	if isRequest(out) {
		m.queued++
	}
}

// advance sends what waits for a transport, up to the next request. Of a transport that has
// been closed, and maybe created again, nothing waits.
func (m *ClientMachine) advance(fx *Effects, now time.Time, l *lane) {
	if m.lanes[l.transport] != l {
		return
	}
	l.busy = false
	for len(l.queue) > 0 && !l.busy {
		q := l.queue[0]
		l.queue = l.queue[1:]
		if isRequest(q.out) {
			m.queued--
			l.busy = true
		}
		m.send(fx, now, q.given, q.out, l)
	}
	if !l.busy {
		delete(m.lanes, l.transport)
	}
}

// closeLane gives up what waits for a transport that is closed.
func (m *ClientMachine) closeLane(fx *Effects, id uint32) {
	l := m.lanes[id]
	if l == nil {
		return
	}
	delete(m.lanes, id)
	for _, q := range l.queue {
		if isRequest(q.out) {
			m.queued--
			m.disown(q.out)
			fx.Done = append(fx.Done, Reply{Request: q.given, Err: ErrTransportClosed})
		}
	}
}

// disown forgets that a producer or a consumer is being created.
func (m *ClientMachine) disown(msg Message) {
	switch msg := msg.(type) {
	case *CreateProducer:
		delete(m.owners, ownedKey{id: msg.ID})
	case *EnableConsumer:
		delete(m.owners, ownedKey{consumer: true, id: msg.ID})
	}
}
