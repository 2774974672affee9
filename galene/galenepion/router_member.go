package galenepion

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// A routerMember is a member as its own goroutine sees it, which alone begins and ends what
// the member sends and gets. Others wake it.
type routerMember struct {
	router *Router
	media  *galene.MediaMember
	api    *webrtc.API
	group  *routerGroup
	wake   chan struct{} // capacity 1: there are events, or the streams of the group have changed
	work   sync.WaitGroup

	mu     sync.Mutex
	events []func()

	// The rest belongs to the goroutine of run.
	ups     map[string]*routerUp
	downs   map[string]*routerDown
	request map[string][]galene.TrackKind
	dropped map[*routerUp]bool // until the next request
}

// routerMessages is how many messages of a member wait while something is done.
const routerMessages = 64

// run is the life of a member.
func (m *routerMember) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer m.end(cancel)
	messages := make(chan galene.Message, routerMessages)
	m.work.Go(func() {
		defer close(messages)
		for {
			msg, err := m.media.Next(ctx)
			if err != nil {
				return
			}
			select {
			case messages <- msg:
			case <-ctx.Done():
				return
			}
		}
	})
	for {
		wake := m.wake
		if len(messages) > 0 { // what the member says goes before what takes longer
			wake = nil
		}
		select {
		case <-m.router.done:
			return ErrClosed
		case msg, ok := <-messages:
			if !ok {
				return nil
			}
			m.handle(msg)
		case <-wake:
			for _, f := range m.takeEvents() {
				f()
			}
			m.settle()
		}
	}
}

// end ends everything that the member sends and gets, and waits for it.
func (m *routerMember) end(cancel context.CancelFunc) {
	cancel()
	for _, u := range m.ups {
		m.endUp(u)
	}
	for _, d := range m.downs {
		m.endDown(d)
	}
	m.router.leave(m)
	m.work.Wait()
}

// post has f called by the goroutine of the member. It never waits.
func (m *routerMember) post(f func()) {
	m.mu.Lock()
	m.events = append(m.events, f)
	m.mu.Unlock()
	m.signal()
}

func (m *routerMember) takeEvents() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := m.events
	m.events = nil
	return events
}

func (m *routerMember) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *routerMember) handle(msg galene.Message) {
	switch msg := msg.(type) {
	case *galene.Offer:
		m.offered(msg)
	case *galene.Answer:
		if d := m.downs[msg.ID]; d != nil {
			d.describe(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: msg.SDP})
		}
	case *galene.ICE:
		m.candidate(msg)
	case *galene.Renegotiate:
		if d := m.downs[msg.ID]; d != nil {
			d.session.Restart()
		}
	case *galene.Close:
		if u := m.ups[msg.ID]; u != nil {
			m.endUp(u)
		}
	case *galene.Abort:
		if d := m.downs[msg.ID]; d != nil {
			m.drop(d)
		}
	case *galene.Request:
		m.request = msg.Request
		clear(m.dropped)
		m.settle()
	case *galene.RequestStream:
		if d := m.downs[msg.ID]; d != nil {
			d.override = msg.Request
			if msg.Request != nil && len(msg.Request) == 0 {
				m.drop(d)
			}
			m.settle()
		}
	}
}

func (m *routerMember) candidate(msg *galene.ICE) {
	c, err := msg.Init()
	if err != nil || c.Candidate == "" { // the end of them means nothing to Pion
		return
	}
	var session *pionpeer.Session
	if u := m.ups[msg.ID]; u != nil {
		session = u.session
	} else if d := m.downs[msg.ID]; d != nil {
		session = d.session
	} else {
		return
	}
	if err := session.Candidate(webrtc.ICECandidateInit(c)); err != nil {
		m.router.log.Debug("galenepion: a candidate is refused", "peer", m.media.Peer, "stream", msg.ID, "error", err)
	}
}

// drop ends a stream that the member gets until it requests streams again.
func (m *routerMember) drop(d *routerDown) {
	m.dropped[d.up] = true
	m.closeDown(d)
}

// closeDown ends a stream that the member gets, and tells it.
func (m *routerMember) closeDown(d *routerDown) {
	replaced := d.line.close()
	m.endDown(d)
	// The server may have told it already, and then sends nothing.
	_ = m.media.Send(&galene.Close{ID: d.up.id})
	if replaced != "" {
		_ = m.media.Send(&galene.Close{ID: replaced})
	}
}

// settle makes what the member gets what it wants. A peer connection takes time to make, so
// it makes one, and has itself called for the others.
func (m *routerMember) settle() {
	begun := false
	views := m.router.view(m)
	kept := make(map[*routerDown]bool)
	for _, v := range views {
		d := m.downs[v.up.id]
		if d != nil && d.up != v.up { // the id is used again
			m.closeDown(d)
			d = nil
		}
		if d != nil {
			if kept[d] = m.update(d, v); !kept[d] {
				m.closeDown(d)
			}
			continue
		}
		old := m.replacedBy(v.up)
		wants, waits := m.choose(v, nil)
		switch {
		case wants.nothing() && old != nil && waits:
			kept[old] = true // until it is known what takes its place
		case wants.nothing() || m.dropped[v.up]:
		case !v.ready || begun:
			if old != nil {
				kept[old] = true
			}
			if v.ready {
				m.signal()
			}
		default:
			begun = true
			replaces := ""
			if old != nil {
				replaces = cmp.Or(old.line.close(), old.up.id)
			}
			d, err := m.beginDown(v.up, wants, replaces)
			if err != nil {
				m.router.log.Warn("galenepion: a stream is not forwarded", "peer", m.media.Peer, "stream", v.up.id, "error", err)
				m.dropped[v.up] = true
				continue
			}
			if old != nil {
				m.endDown(old) // the offer says so
			}
			m.downs[v.up.id] = d
			kept[d] = true
			d.session.Start()
			d.session.Negotiate()
		}
	}
	for _, d := range m.downs {
		if !kept[d] {
			m.closeDown(d)
		}
	}
	for u := range m.dropped {
		if !slices.ContainsFunc(views, func(v routerView) bool { return v.up == u }) {
			delete(m.dropped, u)
		}
	}
}

// replacedBy returns the stream that the member gets and in whose place u comes, or nil.
func (m *routerMember) replacedBy(u *routerUp) *routerDown {
	for _, d := range m.downs {
		if slices.Contains(u.replaces, d.up.name) {
			return d
		}
	}
	return nil
}

// A routerLine carries what the peer connection of a stream says to the member, until it is
// closed: the next stream may have the same id.
type routerLine struct {
	media *galene.MediaMember
	id    string

	mu       sync.Mutex
	closed   bool
	replaces string // what the next offer takes the place of; "" is nothing
}

// offer sends an offer.
func (l *routerLine) offer(sdp string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	err := l.media.Send(&galene.Offer{ID: l.id, Replace: l.replaces, SDP: sdp})
	if err == nil {
		l.replaces = ""
	}
	return err
}

func (l *routerLine) send(msg galene.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.media.Send(msg) // which never waits
}

// candidate sends a candidate. There is no end of the candidates.
func (l *routerLine) candidate(c webrtc.ICECandidateInit) error {
	if c.Candidate == "" {
		return nil
	}
	return l.send(galene.NewICE(l.id, galene.ICECandidateInit(c)))
}

// close returns what no offer has taken the place of.
func (l *routerLine) close() (replaces string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.replaces
}

// A routerChoice is what a member gets of a stream.
type routerChoice struct{ audio, video *forwardLayer }

func (c routerChoice) nothing() bool { return c.audio == nil && c.video == nil }

// choose returns what the member wants of a stream, of which it gets d, or nil. waits says
// that tracks may be to come.
func (m *routerMember) choose(v routerView, d *routerDown) (c routerChoice, waits bool) {
	kinds, ok := m.request[v.up.label]
	if !ok {
		kinds = m.request[""]
	}
	if d != nil && d.override != nil {
		kinds = d.override
	}
	if len(v.audio) > 0 && slices.Contains(kinds, galene.TrackAudio) {
		c.audio = v.audio[0]
	}
	if len(v.video) > 0 {
		switch {
		case slices.Contains(kinds, galene.TrackVideo):
			c.video = v.video[0]
		case slices.Contains(kinds, galene.TrackVideoLow):
			c.video = v.video[len(v.video)-1]
		}
	}
	return c, len(kinds) > 0 && !v.ready
}

// update changes what the member gets of a stream. It reports false when that is nothing.
func (m *routerMember) update(d *routerDown, v routerView) bool {
	c, _ := m.choose(v, d)
	if c.nothing() {
		return false
	}
	live := func(l *forwardLayer) bool { return slices.Contains(v.live, l) }
	if err := errors.Join(d.set(&d.audio, c.audio, live), d.set(&d.video, c.video, live)); err != nil {
		m.router.log.Warn("galenepion: a stream is not forwarded", "peer", m.media.Peer, "stream", v.up.id, "error", err)
		m.dropped[v.up] = true
		return false
	}
	return true
}
