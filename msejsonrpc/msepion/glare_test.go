package msepion_test

import (
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

// newBusyPair makes a pair that is connected, with a track from each side.
func newBusyPair(t *testing.T, server, client plan) *pair {
	t.Helper()
	server.tracks = []webrtc.TrackLocal{piontest.Video(t, "s")}
	client.tracks = []webrtc.TrackLocal{piontest.Sound(t, "c")}
	server.opts.Labels = []string{"x"}
	p := newPair(t, server, client)
	p.client.flows.RequireMedia(t, "s")
	p.server.flows.RequireMedia(t, "c")
	p.server.awaitOpen("x")
	return p
}

// cross makes both sides offer before either has heard of the other's offer. It returns
// when both have sent all that follows: the client's answer to the server's offer and its
// offer once more, and the server's answer to that.
func (p *pair) cross(server, client func()) {
	p.world.t.Helper()
	p.up.hold()
	p.down.hold()
	p.up.reached.Forget()
	p.down.reached.Forget()
	server()
	client()
	awaitDescription(p.world.t, p.up.reached, true)
	awaitDescription(p.world.t, p.down.reached, true)
	p.up.release()
	p.down.release()
	awaitDescription(p.world.t, p.up.reached, false)
	awaitDescription(p.world.t, p.up.reached, true)
	awaitDescription(p.world.t, p.down.reached, false)
}

func TestRule31TheServerWinsWhenOffersCross(t *testing.T) {
	t.Parallel()
	t.Run("first", func(t *testing.T) {
		t.Parallel()
		inForms(t, func(t *testing.T, server, client plan) {
			server.tracks = []webrtc.TrackLocal{piontest.Video(t, "s")}
			client.tracks = []webrtc.TrackLocal{piontest.Video(t, "c")}
			client.opts.OfferAfter = 1
			p := newPairOver(t, server, client, func(up, down *wire) {
				up.hold()
				down.hold()
			})
			awaitDescription(t, p.up.reached, true)
			awaitDescription(t, p.down.reached, true)
			p.up.release()
			p.down.release()
			p.client.flows.RequireMedia(t, "s")
			p.server.flows.RequireMedia(t, "c")
			offers, answers := p.up.count()
			require.Equal(t, []int{2, 1}, []int{offers, answers}, "of the client: the first one is withdrawn")
			offers, answers = p.down.count()
			require.Equal(t, []int{1, 1}, []int{offers, answers}, "of the server: it answers what is not withdrawn")
			p.server.requireQuiet()
			p.client.requireQuiet()
		})
	})
	t.Run("later, again and again", func(t *testing.T) {
		t.Parallel()
		inForms(t, func(t *testing.T, server, client plan) {
			const rounds = 20
			p := newBusyPair(t, server, client)
			fromServer, fromClient := piontest.Video(t, "s+"), piontest.Video(t, "c+")
			offersBefore, _ := p.up.count()
			_, answersBefore := p.down.count()
			for round := range rounds {
				server, client := p.server.AddTrack, p.client.AddTrack
				if round%2 == 1 {
					server, client = p.server.RemoveTrack, p.client.RemoveTrack
				}
				p.cross(func() { server(fromServer) }, func() { client(fromClient) })
			}
			p.client.flows.RequireOnly(t, "s")
			p.server.flows.RequireOnly(t, "c")
			offers, _ := p.up.count()
			_, answers := p.down.count()
			require.Equal(t, rounds, offers-offersBefore-(answers-answersBefore), "withdrawn offers")

			p.cross(func() { p.server.AddTrack(fromServer) }, func() { p.client.AddTrack(fromClient) })
			p.client.flows.RequireMedia(t, "s", "s+")
			p.server.flows.RequireMedia(t, "c", "c+")
			p.server.requireEcho("x", "hello")
			p.server.requireQuiet()
			p.client.requireQuiet()
		})
	})
}

// Whatever crosses, in the end each side has what the other one sends.
func TestRule31BothSidesChangeTheirTracksAtTheSameTime(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		p := newBusyPair(t, server, client)
		var both sync.WaitGroup
		for _, side := range []struct {
			*bot
			name string
		}{{p.server, "s"}, {p.client, "c"}} {
			kept, moving := piontest.Video(t, side.name+"-kept"), piontest.Sound(t, side.name+"-moving")
			both.Go(func() {
				for round := range 20 {
					side.AddTrack(moving)
					if round == 10 {
						side.AddTrack(kept)
					}
					side.RemoveTrack(moving)
				}
				side.AddTrack(moving)
			})
		}
		both.Wait()
		p.client.flows.RequireMedia(t, "s", "s-kept", "s-moving")
		p.server.flows.RequireMedia(t, "c", "c-kept", "c-moving")
		p.client.flows.RequireOnly(t, "s", "s-kept", "s-moving")
		p.server.flows.RequireOnly(t, "c", "c-kept", "c-moving")
		p.server.requireEcho("x", "hello")
		p.server.requireQuiet()
		p.client.requireQuiet()
	})
}

// The answer to an offer that a change has overtaken announces what the next one takes
// back.
func TestTrackThatIsRemovedBeforeItsOfferIsAnsweredGoes(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		for i, name := range []string{"server", "client"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newBusyPair(t, server, client)
				from, to, back, base := p.server, p.client, p.up, "s"
				if i == 1 {
					from, to, back, base = p.client, p.server, p.down, "c"
				}
				back.hold()
				back.reached.Forget()
				track, other := piontest.Video(t, "gone"), piontest.Video(t, "other")
				from.AddTrack(track)
				awaitDescription(t, back.reached, false)
				from.RemoveTrack(track)
				from.AddTrack(other)
				back.release()
				to.flows.RequireMedia(t, "other")
				to.flows.RequireOnly(t, base, "other")
				from.requireQuiet()
				to.requireQuiet()
			})
		}
	})
}
