package msepion_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

func TestICERestartsFromEitherSideUnderTheMedia(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		p := newBusyPair(t, server, client)
		p.server.awaitConnected()
		p.client.awaitConnected()
		pcs := []*webrtc.PeerConnection{p.server.PeerConnection(), p.client.PeerConnection()}
		seen := make(map[string]bool)
		for _, d := range append(p.up.descriptions(), p.down.descriptions()...) {
			seen[d.ufrag()] = true
		}
		require.Len(t, seen, 2)
		for _, side := range []struct {
			*bot
			says, hears *wire
		}{{p.server, p.down, p.up}, {p.client, p.up, p.down}, {p.server, p.down, p.up}} {
			side.says.said.Forget()
			side.hears.said.Forget()
			require.NoError(t, side.Restart())
			for _, d := range []description{
				awaitDescription(t, side.says.said, true), awaitDescription(t, side.hears.said, false),
			} {
				require.NotContains(t, seen, d.ufrag())
				seen[d.ufrag()] = true
			}
			p.client.flows.RequireMedia(t, "s")
			p.server.flows.RequireMedia(t, "c")
			p.server.requireEcho("x", "hello")
		}
		require.Equal(t, pcs, []*webrtc.PeerConnection{p.server.PeerConnection(), p.client.PeerConnection()})
		p.server.requireQuiet()
		p.client.requireQuiet()
	})
}

var ufragOfCandidate = regexp.MustCompile(` ufrag \S+`)

// candidatesFirst holds each description back until the candidates that follow it are
// over, which it makes wait no longer than needed, and changes the candidates.
func candidatesFirst(change func(c msejsonrpc.ICECandidateInit) json.RawMessage) func(msejsonrpc.Message) []msejsonrpc.Message {
	var waiting []msejsonrpc.Message
	return func(m msejsonrpc.Message) []msejsonrpc.Message {
		switch m := m.(type) {
		case *msejsonrpc.SDPOffer:
			waiting = append(waiting, m)
			return nil
		case *msejsonrpc.ICECandidate:
			c, err := m.Init()
			if err != nil {
				return []msejsonrpc.Message{m}
			}
			out := []msejsonrpc.Message{&msejsonrpc.ICECandidate{Candidate: change(c)}}
			if c.Candidate == "" {
				out, waiting = append(out, waiting...), nil
			}
			return out
		}
		return []msejsonrpc.Message{m}
	}
}

func stringOf(c msejsonrpc.ICECandidateInit) json.RawMessage {
	return msejsonrpc.NewICECandidate(c, msejsonrpc.FormString).Candidate
}

func objectOf(c msejsonrpc.ICECandidateInit) json.RawMessage {
	return msejsonrpc.NewICECandidate(c, msejsonrpc.FormObject).Candidate
}

func withoutUfrag(c msejsonrpc.ICECandidateInit) msejsonrpc.ICECandidateInit {
	c.Candidate, c.UsernameFragment = ufragOfCandidate.ReplaceAllString(c.Candidate, ""), nil
	return c
}

// The descriptions have no candidates inside.
func TestRule30CandidatesThatOvertakeTheirDescriptionAreTaken(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(msejsonrpc.ICECandidateInit) json.RawMessage{
		"strings":                              stringOf,
		"strings without a user name fragment": func(c msejsonrpc.ICECandidateInit) json.RawMessage { return stringOf(withoutUfrag(c)) },
		"objects":                              objectOf,
		"objects without a user name fragment": func(c msejsonrpc.ICECandidateInit) json.RawMessage { return objectOf(withoutUfrag(c)) },
		"objects with the candidate alone": func(c msejsonrpc.ICECandidateInit) json.RawMessage {
			return objectOf(msejsonrpc.ICECandidateInit{Candidate: withoutUfrag(c).Candidate})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := plan{tracks: []webrtc.TrackLocal{piontest.Video(t, "v")}}
			server.opts.Labels = []string{"x"}
			p := newPairOver(t, server, plan{}, func(up, down *wire) {
				up.change, down.change = candidatesFirst(change), candidatesFirst(change)
			})
			p.client.flows.RequireMedia(t, "v")
			p.server.awaitOpen("x")
			p.server.requireEcho("x", "hello")
			for _, w := range []*wire{p.up, p.down} {
				said := w.said.All()
				var kinds []string
				for _, m := range said {
					if isMedia(m) {
						kinds = append(kinds, fmt.Sprintf("%T", m))
					}
				}
				require.Equal(t, "*msejsonrpc.ICECandidate", kinds[0])
				require.Equal(t, "*msejsonrpc.SDPOffer", kinds[len(kinds)-1])
			}
			p.server.requireQuiet()
			p.client.requireQuiet()
		})
	}
}

func TestRule30TheEndOfTheCandidatesIsTakenInEachForm(t *testing.T) {
	t.Parallel()
	for _, form := range []string{
		`""`, `null`, `{"candidate":""}`, `{"candidate":null}`, `{}`,
		`{"candidate":"","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}`,
		`{"sdpMid":"0","sdpMLineIndex":0}`,
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			ended := heard.New[bool]()
			change := func(m msejsonrpc.Message) []msejsonrpc.Message {
				if c, ok := m.(*msejsonrpc.ICECandidate); ok {
					if init, err := c.Init(); err == nil && init.Candidate == "" {
						ended.Add(true)
						return []msejsonrpc.Message{&msejsonrpc.ICECandidate{Candidate: json.RawMessage(form)}}
					}
				}
				return []msejsonrpc.Message{m}
			}
			server := plan{tracks: []webrtc.TrackLocal{piontest.Video(t, "v")}}
			p := newPairOver(t, server, plan{}, func(up, down *wire) { up.change, down.change = change, change })
			heard.Next(t, "end of candidates", ended)
			heard.Next(t, "end of candidates of the other side", ended)
			p.client.flows.RequireMedia(t, "v")
			p.client.AddTrack(piontest.Sound(t, "a"))
			p.server.flows.RequireMedia(t, "a")
			p.server.requireQuiet()
			p.client.requireQuiet()
		})
	}
}

func TestRule30TheEndOfTheCandidatesIsSaidOnceAndLast(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		p := newBusyPair(t, server, client)
		p.client.AddTrack(piontest.Sound(t, "later"))
		p.server.flows.RequireMedia(t, "later")
		for _, w := range []*wire{p.up, p.down} {
			var candidates []string
			described := false
			for _, m := range w.said.All() {
				switch m := m.(type) {
				case *msejsonrpc.SDPOffer:
					described = true
				case *msejsonrpc.ICECandidate:
					require.True(t, described, "a candidate follows its description")
					c, err := m.Init()
					require.NoError(t, err)
					candidates = append(candidates, c.Candidate)
				}
			}
			require.Greater(t, len(candidates), 1)
			require.NotContains(t, candidates[:len(candidates)-1], "")
			require.Empty(t, candidates[len(candidates)-1])
		}
	})
}
