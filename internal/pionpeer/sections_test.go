package pionpeer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

func sendOnly(cfg *pionpeer.SessionConfig) { cfg.SendOnly = true }

// sections counts those of a kind in a description.
func sections(d webrtc.SessionDescription, kind string) int { return strings.Count(d.SDP, "\nm="+kind) }

// last returns the last description that was sent.
func (s *side) last() (last webrtc.SessionDescription) {
	for _, m := range s.record() {
		if d, ok := m.(webrtc.SessionDescription); ok {
			last = d
		}
	}
	return last
}

// A side that stays while others come and go has as many sections as there were tracks at once.
func TestSectionsOfRemovedTracksAreUsedAgain(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(t *testing.T, a, b *side, round int){
		"only one side offers": func(*testing.T, *side, *side, int) {},
		"the other side offers while the section is free": func(t *testing.T, a, b *side, round int) {
			track := feed(t, fmt.Sprint("b", round))
			require.NoError(t, b.AddTrack(track))
			a.awaitTrack(track.ID())
			require.NoError(t, b.RemoveTrack(track))
			a.awaitEndOf(track.ID())
		},
	} {
		for who, swap := range map[string]bool{"impolite": false, "polite": true} {
			t.Run(name+", "+who, func(t *testing.T) {
				t.Parallel()
				a, b := newSides(t, sendOnly, sendOnly)
				connect(a, b)
				require.NoError(t, b.AddTrack(feed(t, "stays")))
				a.awaitTrack("stays")
				if swap {
					a, b = b, a
				}
				for round := range 20 {
					track := feed(t, fmt.Sprint("a", round))
					require.NoError(t, a.AddTrack(track))
					remote := b.awaitTrack(track.ID())
					require.NoError(t, b.RequestKeyFrame(remote))
					await(t, "request for a key frame", a.keyFrames, func(id string) bool { return id == track.ID() })
					require.NoError(t, a.RemoveTrack(track))
					b.awaitEndOf(track.ID())
					between(t, a, b, round)
				}
				require.LessOrEqual(t, sections(a.last(), "video"), 4)
				require.Empty(t, a.errs)
				require.Empty(t, b.errs)
			})
		}
	}
}

// Nothing of what the other side sends is sent back in its sections.
func TestTrackTakesNoSectionOfTheOtherSide(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, sendOnly, nil) // b offers to receive where it sends
	require.NoError(t, b.AddTrack(feed(t, "b")))
	connect(b, a)
	a.awaitTrack("b")
	for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
		track := feed(t, id)
		require.NoError(t, a.AddTrack(track))
		b.awaitTrack(id)
		require.Equal(t, 1, strings.Count(a.last().SDP, "a=sendrecv"), "that of the data channels")
		require.NoError(t, a.RemoveTrack(track))
		b.awaitEndOf(id)
	}
	require.LessOrEqual(t, sections(a.last(), "video"), 3)
}

// The offer of the other side has the section inactive, in which the next track is not announced yet.
func TestTrackInAUsedSectionOutlastsACrossingOffer(t *testing.T) {
	t.Parallel()
	for who, swap := range map[string]bool{"impolite": false, "polite": true} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			a, b := newSides(t, sendOnly, sendOnly)
			connect(a, b)
			if swap {
				a, b = b, a
			}
			answers := make(chan any, 100)
			awaitAnswer := func() { await(t, "answer", answers, func(any) bool { return true }) }
			route := func(to *side, offers chan<- any) func(any) {
				return func(m any) {
					d, ok := m.(webrtc.SessionDescription)
					if ok && d.Type == webrtc.SDPTypeOffer && offers != nil {
						offers <- m
						return
					}
					to.receive(m)
					if ok && d.Type == webrtc.SDPTypeAnswer {
						answers <- m
					}
				}
			}
			a.setRoute(route(b, nil))
			b.setRoute(route(a, nil))
			for round := range 10 {
				ofA, ofB := feed(t, fmt.Sprint("a", round)), feed(t, fmt.Sprint("b", round))
				offersOfA, offersOfB := make(chan any, 1), make(chan any, 1)
				a.setRoute(route(b, offersOfA))
				b.setRoute(route(a, offersOfB))
				require.NoError(t, a.AddTrack(ofA))
				if round%2 == 0 {
					require.NoError(t, b.AddTrack(ofB))
				} else {
					b.Negotiate()
				}
				fromA, fromB := <-offersOfA, <-offersOfB
				a.setRoute(route(b, nil))
				b.setRoute(route(a, nil))
				a.receive(fromB)
				b.receive(fromA)
				awaitAnswer()
				awaitAnswer()
				b.awaitTrack(ofA.ID())
				require.NoError(t, a.RemoveTrack(ofA))
				awaitAnswer()
				b.awaitEndOf(ofA.ID())
				if round%2 == 0 {
					a.awaitTrack(ofB.ID())
					require.NoError(t, b.RemoveTrack(ofB))
					awaitAnswer()
					a.awaitEndOf(ofB.ID())
				}
			}
			require.Equal(t, 2, sections(a.last(), "video"))
			require.Empty(t, a.errs)
			require.Empty(t, b.errs)
		})
	}
}

func newTrack(t *testing.T) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "a", "a")
	require.NoError(t, err)
	return track
}

// A browser pauses a track with the direction of its transceiver.
func TestTrackThatTheOtherSidePausesGoesOn(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, sendOnly, sendOnly)
	connect(a, b)
	// Nothing is written during a pause: Pion looks at what it does not expect in a goroutine of its own, which goes on
	// reading beside the one that comes later.
	track := newTrack(t)
	awaitMedia := func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		timeout := time.After(patience)
		for {
			select {
			case <-tick.C:
				_ = track.WriteSample(media.Sample{Data: []byte{1, 2, 3}, Duration: 10 * time.Millisecond})
			case <-b.tracks:
				return
			case <-timeout:
				require.FailNow(t, "no media")
			}
		}
	}
	require.NoError(t, a.AddTrack(track))
	awaitMedia()
	answers := make(chan webrtc.SessionDescription, 10)
	pause := func(paused bool) {
		b.setRoute(func(m any) {
			if d, ok := m.(webrtc.SessionDescription); ok && paused {
				d.SDP = strings.ReplaceAll(d.SDP, "a=recvonly", "a=inactive")
				m = d
			}
			a.receive(m)
		})
		a.setRoute(func(m any) {
			b.receive(m)
			if d, ok := m.(webrtc.SessionDescription); ok && d.Type == webrtc.SDPTypeAnswer {
				answers <- d
			}
		})
		b.Negotiate()
	}
	answered := func(direction string) {
		await(t, "answer", answers, func(d webrtc.SessionDescription) bool {
			video := strings.Split(d.SDP, "m=video")[1]
			require.Contains(t, video, "a="+direction+"\r\n")
			return true
		})
	}
	for range 3 {
		pause(true)
		answered("inactive")
		b.awaitEndOf("a")
		pause(false)
		answered("sendonly")
		b.Negotiate() // Pion begins to receive with an offer of the sender's
		answered("sendonly")
		require.NoError(t, a.Change(func(*webrtc.PeerConnection) error { return nil }))
		awaitMedia()
	}
	pause(true)
	answered("inactive")
	require.NoError(t, a.RemoveTrack(track))
	b.setRoute(a.receive)
	again := feed(t, "again")
	require.NoError(t, a.AddTrack(again))
	b.awaitTrack("again")
	require.NoError(t, a.Err())
	require.Empty(t, a.errs)
}
