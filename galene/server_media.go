package galene

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A stream is what a member sends. Its messages are checked and it is known here which
// members receive it; what is in the messages is left to the media router, or to the other
// member's peer connection.
type stream struct {
	id    string
	label string
	owner *peer

	// Without a media router:
	offer      *Offer // the newest
	candidates []*ICE // after it
	receiver   *peer  // whom it is offered to
	used       bool   // it has been offered to somebody: another one needs a new offer
	asked      bool   // for that offer
}

// relayCandidates is how many candidates of a stream wait for its receiver,
// relayCandidateBytes the length of the longest of them.
const (
	relayCandidates     = 64
	relayCandidateBytes = 2 << 10
)

// media takes a message about a stream. The checks come in the order of Galène.
func (m *ServerMachine) media(fx *ServerEffects, p *peer, msg Message) {
	id := streamOf(msg)
	switch msg := msg.(type) {
	case *Request:
		if p.group == nil {
			m.drop(fx, p, transport.StatusInternalError, "")
			return
		}
		if !msg.bounded() {
			m.fail(fx, p, "too many labels")
			return
		}
		p.request = msg.wishes()
		m.route(fx, p, msg)
		return
	case *RequestStream:
		switch {
		case p.down[id] != nil:
			m.route(fx, p, msg)
		case !p.lost[id]: // otherwise the news has crossed the request
			m.drop(fx, p, transport.StatusInternalError, "")
		}
		return
	}
	if id == "" {
		m.fatal(fx, p, transport.StatusProtocolError, "empty id")
		return
	}
	switch msg := msg.(type) {
	case *Offer:
		m.offered(fx, p, msg)
	case *Answer:
		if p.down[id] == nil {
			fx.send(p, &Close{ID: id})
			return
		}
		m.route(fx, p, msg)
	case *ICE:
		if jsonx.IsNull(msg.Candidate) {
			m.fatal(fx, p, transport.StatusProtocolError, "null candidate")
			return
		}
		if p.down[id] != nil || p.sends(id) {
			m.route(fx, p, msg)
		}
	case *Renegotiate:
		if p.down[id] != nil {
			m.route(fx, p, msg)
		}
	case *Close:
		if s := p.stream(id); s != nil {
			m.endStream(fx, s, true)
		}
	case *Abort:
		if p.down[id] != nil {
			m.route(fx, p, msg)
			p.lose(id)
		}
		fx.send(p, &Close{ID: id})
	}
}

// codecs returns what may be sent in the group of a connection.
func (m *ServerMachine) codecs(id PeerID) []string {
	if p := m.peers[id]; p != nil && p.group != nil {
		return p.group.desc.Codecs
	}
	return nil
}

// maxLost is how many streams a member is known to have received once.
const maxLost = 256

// lose takes from a member a stream that it receives, if it does.
func (p *peer) lose(id string) {
	s := p.down[id]
	if s == nil {
		return
	}
	delete(p.down, id)
	if len(p.lost) >= maxLost {
		clear(p.lost)
	}
	if p.lost == nil {
		p.lost = make(map[string]bool)
	}
	p.lost[s.id] = true // which does not hold a message
}

// stream returns the stream of an id that a member sends, or nil.
func (p *peer) stream(id string) *stream {
	for _, s := range p.up {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (p *peer) sends(id string) bool { return p.stream(id) != nil }

// offered takes an offer.
func (m *ServerMachine) offered(fx *ServerEffects, p *peer, msg *Offer) {
	replaced := p.stream(msg.Replace)
	if !p.permissions.Has(PermissionPresent) {
		if replaced != nil {
			m.endStream(fx, replaced, true)
		}
		m.failStream(fx, p, msg.ID, ErrNotAuthorised.Text)
		return
	}
	s := p.stream(msg.ID)
	switch {
	case m.keepsTooMuch(p, msg):
		if s != nil {
			m.endStream(fx, s, true)
		}
		m.failStream(fx, p, msg.ID, "offer too big")
		return
	case s != nil:
	case len(msg.ID) > nameBytes, len(msg.Label) > nameBytes:
		m.failStream(fx, p, msg.ID, "name too long")
		return
	case p.down[msg.ID] != nil || p.group.streams[msg.ID] != nil: // or somebody else's
		m.failStream(fx, p, msg.ID, "adding duplicate connection")
		return
	case m.cfg.Streams >= 0 && len(p.up) >= m.cfg.Streams && replaced == nil:
		m.failStream(fx, p, msg.ID, "too many streams")
		return
	case !m.cfg.Media && len(p.group.others(p)) > 1:
		m.failStream(fx, p, msg.ID, "this server relays streams between two users only")
		return
	default:
		s = &stream{id: strings.Clone(msg.ID), label: strings.Clone(msg.Label), owner: p}
		p.up = append(p.up, s)
		p.group.streams[s.id] = s
	}
	if replaced != nil && replaced != s {
		m.endStream(fx, replaced, false)
		s.receiver, s.used = nil, false
	}
	username := p.username
	out := *msg
	if other := p.group.streams[msg.Replace]; other != nil && (other == s || other.owner != p) {
		out.Replace = ""
	}
	out.Kind, out.Label, out.Source, out.Username, out.Extra, out.Labels = "", s.label, p.client, &username, nil, nil
	m.route(fx, p, &out)
	if r := receiverOf(replaced); r != nil && replaced != s && r.down[replaced.id] == replaced { // and wants no other
		r.lose(replaced.id)
		fx.send(r, &Close{ID: replaced.id})
	}
}

// keepsTooMuch reports whether an offer, with those that are kept of a member's other streams,
// is more than may be kept.
func (m *ServerMachine) keepsTooMuch(p *peer, msg *Offer) bool {
	if m.cfg.Media || m.cfg.OfferBytes < 0 {
		return false
	}
	kept := len(msg.SDP) + len(msg.Replace)
	for _, s := range p.up {
		if s.offer != nil && s.id != msg.ID {
			kept += len(s.offer.SDP) + len(s.offer.Replace)
		}
	}
	return kept > m.cfg.OfferBytes
}

// receiverOf returns whom a stream was relayed to, or nil.
func receiverOf(s *stream) *peer {
	if s == nil {
		return nil
	}
	return s.receiver
}

// endStream forgets a stream. With push those who receive it are told, and the media
// router; otherwise another stream takes its place.
func (m *ServerMachine) endStream(fx *ServerEffects, s *stream, push bool) {
	p := s.owner
	p.up = slices.DeleteFunc(p.up, func(other *stream) bool { return other == s })
	delete(p.group.streams, s.id)
	if !push {
		return
	}
	if m.cfg.Media {
		fx.Media = append(fx.Media, MediaEvent{p.id, &Close{ID: s.id}})
	}
	for _, other := range p.group.members {
		if other.down[s.id] == s {
			other.lose(s.id)
			fx.send(other, &Close{ID: s.id})
		}
	}
}

// endDown takes from a member what it receives of another one that leaves: the streams
// that were to be replaced and never were.
func (m *ServerMachine) endDown(fx *ServerEffects, p, owner *peer) {
	for _, id := range slices.Sorted(maps.Keys(p.down)) {
		if p.down[id].owner == owner {
			p.lose(id)
			fx.send(p, &Close{ID: id})
		}
	}
}

// failStream refuses a stream, or ends it from the server's side.
func (m *ServerMachine) failStream(fx *ServerEffects, p *peer, id, text string) {
	fx.send(p, &Abort{ID: id})
	m.fail(fx, p, text)
}

// route hands a message to the media router, or relays it.
func (m *ServerMachine) route(fx *ServerEffects, p *peer, msg Message) {
	if m.cfg.Media {
		fx.Media = append(fx.Media, MediaEvent{p.id, msg})
		return
	}
	m.relay(fx, p, msg)
}

// Media takes a message of the media router for a member: offers of other members'
// streams, answers, candidates, closings, aborts, and user messages that tell why. The
// message must not be used any more. It reports false for a stream that is gone, and then
// sends nothing.
func (m *ServerMachine) Media(now time.Time, id PeerID, msg Message) (fx ServerEffects, ok bool) {
	m.now = now
	p, ok := m.peers[id]
	if !ok || p.group == nil {
		return fx, false
	}
	stream := streamOf(msg)
	switch msg := msg.(type) {
	case *Offer:
		s := p.group.streams[msg.ID]
		if s == nil || s.owner == p {
			return fx, false
		}
		if old := p.down[msg.Replace]; old != nil && old.owner != s.owner {
			msg.Replace = "" // nobody replaces what somebody else sends
		}
		p.lose(msg.Replace)
		p.down[s.id] = s
		username := s.owner.username
		msg.Label, msg.Source, msg.Username = s.label, s.owner.client, &username
	case *Answer, *Renegotiate:
		ok = p.sends(stream)
	case *ICE:
		ok = p.sends(stream) || p.down[stream] != nil
	case *Close:
		ok = p.down[stream] != nil
		p.lose(stream)
	case *Abort:
		if s := p.stream(stream); s != nil {
			m.endStream(&fx, s, true)
		} else {
			ok = false
		}
	case *UserMessage:
		msg.Dest, msg.Privileged = p.client, true
	default:
		ok = false
	}
	if ok {
		fx.send(p, msg)
	}
	return fx, ok
}

// others returns the members who are people, without one of them.
func (g *group) others(p *peer) []*peer {
	var others []*peer
	for _, other := range g.members {
		if other != p && other.isUser() {
			others = append(others, other)
		}
	}
	return others
}

// relay passes a message to the member at the other end of its stream.
func (m *ServerMachine) relay(fx *ServerEffects, p *peer, msg Message) {
	id := streamOf(msg)
	up, down := p.stream(id), p.down[id]
	switch msg := msg.(type) {
	case *Offer:
		up.candidates = nil
		up.offer = new(Offer)
		*up.offer = *msg
		up.offer.ID, up.offer.SDP, up.offer.Replace = up.id, strings.Clone(msg.SDP), strings.Clone(msg.Replace)
		if up.asked {
			up.asked, up.used = false, false
		}
		if up.receiver != nil {
			fx.send(up.receiver, msg)
			return
		}
		m.settle(fx, p.group)
	case *ICE:
		switch {
		case down != nil:
			fx.send(down.owner, msg)
		case up.receiver != nil:
			fx.send(up.receiver, msg)
		case len(up.candidates) < relayCandidates && len(msg.Candidate) <= relayCandidateBytes:
			up.candidates = append(up.candidates, &ICE{ID: up.id, Candidate: bytes.Clone(msg.Candidate)})
		}
	case *Answer:
		fx.send(down.owner, msg)
	case *Renegotiate:
		fx.send(down.owner, msg)
	case *Abort:
		down.receiver = nil
	case *Request:
		m.settle(fx, p.group)
	case *RequestStream:
		if msg.Request != nil && len(msg.Request) == 0 {
			down.receiver = nil
			p.lose(id)
			fx.send(p, &Close{ID: id})
		}
	}
}

// settle offers the streams of a group to the member that wants them, and takes back those
// that are no longer wanted. A description and candidates that somebody else has answered
// are of no use to another member: then the sender is asked for new ones.
func (m *ServerMachine) settle(fx *ServerEffects, g *group) {
	for _, p := range g.members {
		if len(p.up) == 0 {
			continue // most members, of whom there may be many
		}
		others := g.others(p)
		for _, s := range p.up {
			if s.receiver != nil && s.receiver.group != g {
				s.receiver = nil
			}
			var wants *peer
			if len(others) == 1 && others[0].wants(s.label) {
				wants = others[0]
			}
			switch {
			case s.receiver != nil && !s.receiver.wants(s.label):
				s.receiver.lose(s.id)
				fx.send(s.receiver, &Close{ID: s.id})
				s.receiver = nil
			case s.receiver != nil || wants == nil || s.offer == nil || s.asked:
			case s.used:
				s.asked = true
				fx.send(p, &Renegotiate{ID: s.id})
			default:
				s.receiver, s.used = wants, true
				wants.lose(s.offer.Replace)
				wants.down[s.id] = s
				fx.send(wants, s.offer)
				for _, c := range s.candidates {
					fx.send(wants, c)
				}
				s.candidates = nil
			}
		}
	}
}

// maxLabels is how many labels a member may ask for; each has nameBytes at most.
const maxLabels = 64

// bounded reports whether a server may keep what is requested.
func (m *Request) bounded() bool {
	for label := range m.Request {
		if len(label) > nameBytes {
			return false
		}
	}
	return len(m.Request) <= maxLabels
}

// wishes returns by label whether any track is requested.
func (m *Request) wishes() map[string]bool {
	wishes := make(map[string]bool, len(m.Request))
	for label, kinds := range m.Request {
		wishes[label] = len(kinds) > 0
	}
	return wishes
}

// wants reports whether a member has asked for the streams of a label.
func (p *peer) wants(label string) bool {
	if wanted, ok := p.request[label]; ok {
		return wanted
	}
	return p.request[""]
}
