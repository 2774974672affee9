package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A room is where peers meet.
type room struct {
	name      string
	conns     int
	bound     map[string]*conn // by the only name that they may have
	peers     []*peer          // in the order of their joining
	names     map[string]*peer
	producers int
	bytes     int
}

// A peer is a connection that has joined.
type peer struct {
	conn       *conn
	name       string
	spy        bool
	appData    json.RawMessage
	caps       *RTPCapabilities
	transports map[uint32]*mediaTransport
	producers  map[uint32]*producer
	sending    []*producer // in their order
	consumers  map[uint32]*consumer
	ssrcs      map[uint32]bool // of the consumers
	pending    int             // requests that wait for media
	bytes      int
}

// queryRoom tells what the room can do.
func (m *ServerMachine) queryRoom(fx *ServerEffects, c *conn, msg *QueryRoom) {
	if m.cannot != nil {
		m.refuse(fx, c, msg.RequestID, errInternal)
		return
	}
	m.answer(fx, c, msg.RequestID, m.canDo)
}

// join checks whether a connection may join, and asks.
func (m *ServerMachine) join(fx *ServerEffects, c *conn, msg *Join) {
	if err := m.mayJoin(c, msg); err != nil {
		m.refuse(fx, c, msg.RequestID, err)
		return
	}
	m.ask(fx, c, msg)
	c.before, c.state = c.state, ServerJoining
}

func (m *ServerMachine) mayJoin(c *conn, msg *Join) *Error {
	if c.bound != "" && msg.PeerName != c.bound {
		return ErrOtherName
	}
	if c.peer != nil {
		return ErrPeerExists
	}
	if err := m.check(msg); err != nil {
		return err
	}
	r := c.room
	if r.names[msg.PeerName] != nil {
		return NewError("Error", fmt.Sprintf("duplicated Peer [peerName:%q]", msg.PeerName))
	}
	if err := checkCapabilities(msg.RTPCapabilities, m.cfg.Capabilities); err != nil {
		return err
	}
	for i := range msg.RTPCapabilities.Codecs {
		if err := checkFeedback(msg.RTPCapabilities.Codecs[i].RTCPFeedback); err != nil {
			return err
		}
	}
	switch {
	case msg.Spy && !m.cfg.AllowSpies:
		return ErrSpy
	case m.cfg.Peers > 0 && len(r.peers) >= m.cfg.Peers:
		return NewError("Error", "too many peers")
	case m.cfg.Rooms > 0 && len(r.peers) == 0 && m.open >= m.cfg.Rooms: // who has not joined takes no room
		return NewError("Error", "too many rooms")
	}
	return m.keeps(r, 0, sizeOfPeer(msg))
}

// maxFeedback bounds the feedback that a client has for one codec, in bytes: it stands again in
// each of the client's consumers. Browsers have less than 300.
const maxFeedback = 1 << 10

// checkFeedback returns why the feedback cannot stand there.
func checkFeedback(all []RTCPFeedback) *Error {
	n := 0
	for i := range all {
		f := &all[i]
		n += len(`{"type":"","parameter":""},`) + len(f.Type) + len(f.Parameter)
		n += sizeOfFields(f.Extra)
		for _, value := range f.Extra {
			if jsonx.CheckAt(value, parametersLevel) != nil {
				return NewError("TypeError", "wrong rtpCapabilities")
			}
		}
	}
	if n > maxFeedback {
		return NewError("Error", "request too big")
	}
	return nil
}

// sizeOfPeer returns how many bytes are kept of who joins.
func sizeOfPeer(m *Join) int {
	return len(m.PeerName) + len(m.AppData) + sizeOf(m.RTPCapabilities) + sizeOfFields(m.Extra)
}

// sizeOfFields returns the length of members that stay in memory with those that are kept.
func sizeOfFields(members Fields) (n int) {
	for name, value := range members {
		n += len(`"":,`) + len(name) + len(value)
	}
	return n
}

// check validates a message by the rules of the server.
func (m *ServerMachine) check(msg Message) *Error {
	e := m.cfg.Rules.validate(msg)
	if e == nil {
		return nil
	}
	if e.Answer != nil {
		return e.Answer
	}
	return NewError("TypeError", "wrong "+e.Field)
}

// keeps returns why the server does not keep n bytes more of a peer that has some already.
func (m *ServerMachine) keeps(r *room, has, n int) *Error {
	if m.cfg.PeerBytes > 0 && has+n > m.cfg.PeerBytes || m.cfg.RoomBytes > 0 && r.bytes+n > m.cfg.RoomBytes {
		return NewError("Error", "request too big")
	}
	return nil
}

func (p *peer) keep(n int) {
	p.bytes += n
	p.conn.room.bytes += n
}

// admit lets a connection join, if it still may.
func (m *ServerMachine) admit(fx *ServerEffects, c *conn, msg *Join, d Decision) {
	c.state = c.before
	err := d.Refuse
	if err == nil {
		err = m.mayJoin(c, msg)
	}
	if err != nil {
		m.refuse(fx, c, msg.RequestID, err)
		return
	}
	r := c.room
	p := &peer{
		conn: c, name: msg.PeerName, spy: msg.Spy, appData: msg.AppData, caps: msg.RTPCapabilities,
		transports: make(map[uint32]*mediaTransport), producers: make(map[uint32]*producer),
		consumers: make(map[uint32]*consumer), ssrcs: make(map[uint32]bool),
	}
	m.clock.Clear(clockKey{peer: c.id})
	if len(r.peers) == 0 {
		m.open++
		fx.Media = append(fx.Media, MediaOp{Kind: MediaOpenRoom, Room: r.name})
	}
	result := &JoinResult{Peers: make([]*PeerInfo, 0, len(r.peers))}
	infos := make([]PeerInfo, len(r.peers))
	for i, other := range r.peers {
		info := &infos[i]
		*info = PeerInfo{Consumers: []*ConsumerInfo{}, Name: other.name, AppData: other.appData}
		for _, pr := range other.sending {
			if pr.ready {
				info.Consumers = append(info.Consumers, m.consume(p, pr).info())
			}
		}
		if !other.spy {
			result.Peers = append(result.Peers, info)
		}
	}
	if !p.spy {
		r.broadcast(fx, &NewPeer{Consumers: []*ConsumerInfo{}, Name: p.name, AppData: p.appData})
	}
	r.peers = append(r.peers, p)
	r.names[p.name] = p
	c.peer, c.state = p, ServerJoined
	p.keep(sizeOfPeer(msg))
	if !m.lateJoins {
		m.answerWith(fx, c, msg.RequestID, result)
		return
	}
	fx.send(c, &lateAnswer{
		Message: &Response{Head: Head{RequestID: msg.RequestID, kind: FrameResponse}}, result: result, size: result.size(),
	})
}

// size estimates the encoded length in bytes.
func (r *JoinResult) size() int {
	const names, parameters = 200, 900
	n := names
	for _, p := range r.Peers {
		n += names + len(p.AppData)
		for _, c := range p.Consumers {
			n += parameters + len(c.AppData)
		}
	}
	return n
}

// broadcast sends a message to all peers of a room.
func (r *room) broadcast(fx *ServerEffects, msg Message) {
	fx.Send = slices.Grow(fx.Send, len(r.peers))
	for _, p := range r.peers {
		fx.Send = append(fx.Send, Delivery{p.conn.id, msg})
	}
}

// leave takes a peer out of its room and tells the others, who are not told of their
// consumers one by one.
func (m *ServerMachine) leave(fx *ServerEffects, p *peer, appData json.RawMessage) {
	c, r := p.conn, p.conn.room
	c.peer, c.state = nil, ServerLeft
	delete(r.names, p.name)
	r.peers = slices.DeleteFunc(r.peers, func(other *peer) bool { return other == p })
	for _, id := range slices.Sorted(maps.Keys(p.consumers)) {
		m.forget(fx, p.consumers[id])
	}
	for _, pr := range slices.Clone(p.sending) {
		m.endProducer(fx, pr, nil)
	}
	for _, id := range slices.Sorted(maps.Keys(p.transports)) {
		m.endTransport(fx, p.transports[id], nil)
	}
	r.bytes -= p.bytes
	if !p.spy {
		r.broadcast(fx, &PeerClosed{Name: p.name, AppData: appData})
	}
	if len(r.peers) == 0 {
		m.open--
		fx.Media = append(fx.Media, MediaOp{Kind: MediaCloseRoom, Room: r.name})
	}
	fx.Gone = append(fx.Gone, Departure{Peer: c.id, Room: r.name, PeerName: p.name, AppData: p.appData})
}

// ClosePeer throws a peer out of its room, of which it is told with the data. Its connection
// stays, and may join again. It reports false when the connection has not joined.
func (m *ServerMachine) ClosePeer(now time.Time, id PeerID, appData json.RawMessage) (fx ServerEffects, ok bool) {
	m.now = now
	c := m.conns[id]
	if c == nil || c.peer == nil {
		return fx, false
	}
	fx.send(c, &Closed{AppData: appData})
	m.leave(&fx, c.peer, appData)
	return fx, true
}

// CloseRoom throws all peers out of a room, one after the other. It reports false when there
// is nobody in it.
func (m *ServerMachine) CloseRoom(now time.Time, name string) (fx ServerEffects, ok bool) {
	m.now = now
	r := m.rooms[name]
	if r == nil || len(r.peers) == 0 {
		return fx, false
	}
	for _, p := range slices.Clone(r.peers) {
		fx.send(p.conn, &Closed{})
		m.leave(&fx, p, nil)
	}
	return fx, true
}
