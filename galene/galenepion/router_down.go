package galenepion

import (
	"errors"
	"strings"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// A routerDown is a stream that a member gets.
type routerDown struct {
	member  *routerMember
	up      *routerUp
	session *pionpeer.Session
	line    *routerLine
	queue   chan forwardOut
	done    chan struct{} // closed when the queue is not read any more

	// The rest belongs to the goroutine of the member.
	override     []galene.TrackKind // what it wants of this stream; nil: as of others
	audio, video *forward           // nil: it does not get that
}

// beginDown makes the peer connection for a stream. replaces is what its offer takes the
// place of, or "". The session has not been started.
func (m *routerMember) beginDown(u *routerUp, c routerChoice, replaces string) (*routerDown, error) {
	d := &routerDown{member: m, up: u, queue: make(chan forwardOut, forwardQueue), done: make(chan struct{})}
	d.line = &routerLine{media: m.media, id: u.id, replaces: replaces}
	session, err := pionpeer.NewSession(pionpeer.SessionConfig{
		Name:            "galenepion",
		API:             func() (*webrtc.API, error) { return u.owner.api, nil }, // it knows the codecs
		Configuration:   m.router.opts.Configuration,
		ConnectTimeout:  m.router.opts.ConnectTimeout,
		SendOnly:        true,
		SendDescription: func(desc webrtc.SessionDescription) error { return d.line.offer(desc.SDP) },
		SendCandidate:   d.line.candidate,
		OnFailed: func() bool {
			d.session.Restart()
			return true
		},
		OnError: func(err error) {
			if bad, ok := errors.AsType[*pionpeer.DescriptionError](err); ok {
				d.session.End(bad)
			}
		},
		OnKeyFrame: func(track webrtc.TrackLocal) {
			if f, ok := track.(*forward); ok {
				f.keyFrame()
			}
		},
		OnFeedback: func(track webrtc.TrackLocal, packets []rtcp.Packet) {
			if f, ok := track.(*forward); ok {
				f.feedback(packets)
			}
		},
		OnEnd:  func(cause error) { m.post(func() { m.downEnded(d, cause) }) },
		Logger: m.router.log,
	})
	if err != nil {
		return nil, err
	}
	d.session = session
	m.work.Go(func() { forwardPump(d.queue, d.done) })
	live := func(*forwardLayer) bool { return true }
	if err := errors.Join(d.set(&d.audio, c.audio, live), d.set(&d.video, c.video, live)); err != nil {
		m.endDown(d)
		return nil, err
	}
	return d, nil
}

// downEnded takes note that the peer connection of a stream has come to an end by itself.
func (m *routerMember) downEnded(d *routerDown, cause error) {
	if m.downs[d.up.id] != d {
		return
	}
	if errors.Is(cause, ErrSignaling) {
		// The server knows already that the stream is closed, replaced or not wanted, and
		// we hear of it next.
		return
	}
	m.router.log.Info("galenepion: a stream ends for a member", "peer", m.media.Peer, "stream", d.up.id, "error", cause)
	if errors.Is(cause, ErrFailed) { // perhaps another path is found
		m.closeDown(d)
		return // it is offered again
	}
	m.drop(d)
	if cause == nil || errors.Is(cause, ErrConnectTimeout) {
		return
	}
	_ = m.media.Send(&galene.UserMessage{Kind: galene.UserMessageError, Value: galene.NewText(routerText(cause))})
}

// endDown ends a stream that the member gets.
func (m *routerMember) endDown(d *routerDown) {
	if m.downs[d.up.id] == d {
		delete(m.downs, d.up.id)
	}
	for _, f := range []*forward{d.audio, d.video} {
		if f != nil {
			f.stop()
		}
	}
	d.line.close()
	close(d.done)
	m.work.Go(d.session.Discard)
}

// describe takes an answer.
func (d *routerDown) describe(answer webrtc.SessionDescription) {
	if err := d.session.Description(answer); err != nil {
		d.session.End(err)
	}
}

// set makes an encoding what the member gets of a kind, or none. live knows the encodings
// that still arrive.
func (d *routerDown) set(slot **forward, l *forwardLayer, live func(*forwardLayer) bool) error {
	f := *slot
	if f != nil && (l == nil || !strings.EqualFold(f.Codec().MimeType, l.codec.MimeType)) {
		*slot = nil
		f.stop()
		if err := d.session.RemoveTrack(f); err != nil {
			return err
		}
		f = nil
	}
	if l == nil {
		return nil
	}
	if f == nil {
		kind, _, _ := strings.Cut(strings.ToLower(l.codec.MimeType), "/")
		var err error
		// The names of the member mean nothing elsewhere, and may contain anything.
		if f, err = newForward(l.codec, kind, d.up.name, d.queue); err != nil {
			return err
		}
		if err = d.session.AddTrack(f); err != nil {
			return err
		}
		*slot = f
	}
	f.aim(l, live)
	return nil
}
