package mediasoupproto

import (
	"slices"
)

// addPeer adds a peer.
func (m *ClientMachine) addPeer(info *PeerInfo) bool {
	if info == nil || info.Name == "" || m.peer(info.Name) >= 0 {
		return false
	}
	m.peers = append(slices.Clip(m.peers), m.known(info))
	return true
}

// known takes note of the consumers of a new peer, and returns it without those that make no
// sense.
func (m *ClientMachine) known(info *PeerInfo) *PeerInfo {
	m.bound.Keep(info)
	p := *info
	p.Consumers = make([]*ConsumerInfo, 0, len(info.Consumers))
	for _, c := range info.Consumers {
		if c == nil || c.ID == 0 || c.RTPParameters == nil || m.consumers[c.ID] != "" {
			continue
		}
		p.Consumers = append(p.Consumers, c)
		m.consumers[c.ID] = p.Name
	}
	return &p
}

// peer returns the index of a peer, or -1.
func (m *ClientMachine) peer(name string) int {
	return slices.IndexFunc(m.peers, func(p *PeerInfo) bool { return p.Name == name })
}

// consumer returns what is known of a consumer, or nil.
func (m *ClientMachine) consumer(id uint32) *ConsumerInfo {
	name, ok := m.consumers[id]
	if !ok {
		return nil
	}
	p := m.peers[m.peer(name)]
	return p.Consumers[slices.IndexFunc(p.Consumers, func(c *ConsumerInfo) bool { return c.ID == id })]
}

// replace changes what is known of the peer that has a consumer.
func (m *ClientMachine) replace(name string, f func(p *PeerInfo)) {
	i := m.peer(name)
	p := *m.peers[i]
	p.Consumers = slices.Clone(p.Consumers)
	f(&p)
	m.peers = slices.Clone(m.peers)
	m.peers[i] = &p
}

// change changes what is known of a consumer. It reports false for one that is not known.
func (m *ClientMachine) change(id uint32, f func(c *ConsumerInfo)) bool {
	name, ok := m.consumers[id]
	if !ok {
		return false
	}
	m.replace(name, func(p *PeerInfo) {
		i := slices.IndexFunc(p.Consumers, func(c *ConsumerInfo) bool { return c.ID == id })
		c := *p.Consumers[i]
		f(&c)
		p.Consumers[i] = &c
	})
	return true
}

// notification takes what the server tells by itself. What refers to nobody is ignored, as
// mediasoup-client does.
func (m *ClientMachine) notification(fx *Effects, msg Message) {
	if m.apply(fx, msg) {
		fx.Deliver = append(fx.Deliver, msg)
	} else {
		fx.Ignored = append(fx.Ignored, msg)
	}
}

// apply takes note of a notification and reports whether it makes sense.
func (m *ClientMachine) apply(fx *Effects, msg Message) bool {
	switch msg := msg.(type) {
	case *Closed:
		m.left(fx)
		return true
	case *NewPeer:
		return m.addPeer(&PeerInfo{Name: msg.Name, AppData: msg.AppData, Consumers: msg.Consumers})
	case *PeerClosed:
		i := m.peer(msg.Name)
		if i < 0 {
			return false
		}
		for _, c := range m.peers[i].Consumers {
			delete(m.consumers, c.ID)
		}
		m.peers = slices.Delete(slices.Clone(m.peers), i, i+1)
		return true
	case *NewConsumer:
		if msg.ID == 0 || msg.RTPParameters == nil || m.consumers[msg.ID] != "" || m.peer(msg.PeerName) < 0 {
			return false
		}
		m.bound.Keep(msg)
		m.consumers[msg.ID] = msg.PeerName
		m.replace(msg.PeerName, func(p *PeerInfo) { p.Consumers = append(p.Consumers, msg.Info()) })
		return true
	case *ConsumerClosed:
		name, ok := m.consumers[msg.ID]
		if !ok {
			return false
		}
		delete(m.consumers, msg.ID)
		m.replace(name, func(p *PeerInfo) {
			p.Consumers = slices.DeleteFunc(p.Consumers, func(c *ConsumerInfo) bool { return c.ID == msg.ID })
		})
		return true
	case *ConsumerPaused:
		return m.change(msg.ID, func(c *ConsumerInfo) { c.Paused = true })
	case *ConsumerResumed:
		return m.change(msg.ID, func(c *ConsumerInfo) { c.Paused = false })
	case *ConsumerPreferredProfileSet:
		m.bound.Keep(msg)
		return m.change(msg.ID, func(c *ConsumerInfo) { c.PreferredProfile = msg.Profile })
	case *ConsumerEffectiveProfileChanged:
		m.bound.Keep(msg)
		return m.change(msg.ID, func(c *ConsumerInfo) { c.EffectiveProfile = &msg.Profile })
	case *ConsumerStats:
		return m.consumers[msg.ID] != ""
	case *TransportClosed, *TransportStats, *ProducerPaused, *ProducerResumed, *ProducerClosed, *ProducerStats:
		return true
	}
	return false // what clients say
}

// Info returns what the message says of the consumer.
func (m *NewConsumer) Info() *ConsumerInfo {
	return &ConsumerInfo{
		ID: m.ID, Kind: m.Kind, RTPParameters: m.RTPParameters, Paused: m.Paused, PreferredProfile: m.PreferredProfile,
		EffectiveProfile: m.EffectiveProfile, AppData: m.AppData, PeerName: m.PeerName, Extra: m.Extra,
	}
}
