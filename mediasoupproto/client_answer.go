package mediasoupproto

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// response takes the answer to a request.
func (m *ClientMachine) response(fx *Effects, now time.Time, r *Response) {
	i := slices.IndexFunc(m.pending, func(p *pendingCall) bool { return p.id == r.RequestID })
	if i < 0 {
		if r.Error != nil || len(r.Result) > 0 { // an empty one is a server's of protoo 2 to a notification
			fx.Ignored = append(fx.Ignored, r)
		}
		return
	}
	p := m.pending[i]
	m.pending = slices.Delete(m.pending, i, i+1)
	if _, ok := p.sent.(*Join); ok {
		r = readable(r)
	}
	err := m.result(fx, now, p, r)
	m.done(fx, now, p, r, err)
}

// readable returns the answer to a join without the peers and the consumers that make no
// sense, which mediasoup-client skips as well: the client has joined nevertheless.
func readable(r *Response) *Response {
	if _, err := r.Join(); err == nil || r.Error != nil {
		return r
	}
	var all struct {
		Peers []json.RawMessage `json:"peers"`
		Extra Fields            `json:"-"`
	}
	if jsonx.Unmarshal(r.Result, &all) != nil {
		return r
	}
	kept := &JoinResult{Peers: []*PeerInfo{}, Extra: all.Extra}
	for _, text := range all.Peers {
		if p := readablePeer(text); p != nil {
			kept.Peers = append(kept.Peers, p)
		}
	}
	result, err := appendResult(kept)
	if err != nil {
		return r
	}
	c := *r
	c.Result = result
	return &c
}

func readablePeer(text json.RawMessage) *PeerInfo {
	p := new(PeerInfo)
	if jsonx.Unmarshal(text, p) == nil {
		return p
	}
	var all struct {
		Consumers []json.RawMessage `json:"consumers"`
		Name      string            `json:"name"`
		AppData   json.RawMessage   `json:"appData"`
		Extra     Fields            `json:"-"`
	}
	if jsonx.Unmarshal(text, &all) != nil {
		return nil
	}
	p = &PeerInfo{Consumers: []*ConsumerInfo{}, Name: all.Name, AppData: all.AppData, Extra: all.Extra}
	for _, text := range all.Consumers {
		if c := new(ConsumerInfo); jsonx.Unmarshal(text, c) == nil {
			p.Consumers = append(p.Consumers, c)
		}
	}
	return p
}

// done ends a request, and lets the next one of its transport go.
func (m *ClientMachine) done(fx *Effects, now time.Time, p *pendingCall, r *Response, err error) {
	if p.request != nil {
		fx.Done = append(fx.Done, Reply{Request: p.request, Response: r, Err: err})
	}
	m.disown(p.sent)
	if p.lane != nil {
		m.advance(fx, now, p.lane)
	}
}

// result takes note of what an answer says, and returns the error of the request.
func (m *ClientMachine) result(fx *Effects, now time.Time, p *pendingCall, r *Response) error {
	var err error
	if r.Error != nil {
		err = r.Error
	}
	switch sent := p.sent.(type) {
	case *QueryRoom:
		var room *QueryRoomResult
		if err == nil {
			if room, err = r.QueryRoom(); err == nil {
				m.room = room
				m.bound.Keep(room)
			}
		}
		if p.request == nil {
			m.enterAgain(fx, now, err)
		}
	case *Join:
		var joined *JoinResult
		if err == nil {
			joined, err = r.Join()
		}
		m.entered(fx, sent, joined, err, p.request == nil)
	case *EnableConsumer:
		if err == nil {
			var state *EnableConsumerResult
			if state, err = r.EnableConsumer(); err == nil {
				m.bound.Keep(state)
				m.change(sent.ID, func(c *ConsumerInfo) {
					c.Paused, c.PreferredProfile, c.EffectiveProfile = state.Paused, state.PreferredProfile, state.EffectiveProfile
				})
			}
		}
	}
	return err
}

// enterAgain joins after a loss.
func (m *ClientMachine) enterAgain(fx *Effects, now time.Time, err error) {
	if err != nil {
		m.end(fx, err)
		return
	}
	m.state = ClientJoining
	join := *m.join
	m.send(fx, now, nil, &join, nil)
}

// entered takes the end of a join.
func (m *ClientMachine) entered(fx *Effects, join *Join, joined *JoinResult, err error, own bool) {
	early := m.early
	m.early = nil
	if err != nil {
		m.state = ClientNew
		fx.Ignored = append(fx.Ignored, early...)
		if own {
			m.end(fx, err)
		}
		return
	}
	m.state, m.join, m.spy, m.again, m.handshake = ClientJoined, join, join.Spy, false, time.Time{}
	m.peers, m.consumers = nil, make(map[uint32]string)
	names := make(map[string]bool, len(joined.Peers))
	for _, info := range joined.Peers { // of which there may be many
		if info != nil && info.Name != "" && !names[info.Name] {
			names[info.Name] = true
			m.peers = append(m.peers, m.known(info))
		}
	}
	if own {
		fx.Deliver = append(fx.Deliver, &Reconnected{Room: m.room, Joined: joined})
	}
	for _, msg := range early {
		if m.state == ClientJoined {
			m.notification(fx, msg)
		} else { // one of them said that it is over
			fx.Ignored = append(fx.Ignored, msg)
		}
	}
}
