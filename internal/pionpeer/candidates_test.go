package pionpeer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

func candidate(port int, ufrag string) webrtc.ICECandidateInit {
	c := fmt.Sprintf("candidate:1 1 udp 2130706431 127.0.0.1 %d typ host", port)
	if ufrag != "" {
		c += " ufrag " + ufrag
	}
	return webrtc.ICECandidateInit{Candidate: c}
}

func TestUfragIsTakenFromTheMemberOrTheExtension(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		c          webrtc.ICECandidateInit
	}{
		{"extension", "abc", candidate(1, "abc")},
		{"none", "", candidate(1, "")},
		{"member first", "xyz", webrtc.ICECandidateInit{Candidate: candidate(1, "abc").Candidate, UsernameFragment: new("xyz")}},
		{"empty member", "abc", webrtc.ICECandidateInit{Candidate: candidate(1, "abc").Candidate, UsernameFragment: new("")}},
		{"after other pairs", "abc", webrtc.ICECandidateInit{
			Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag abc network-cost 999",
		}},
		{"a value is no name", "", webrtc.ICECandidateInit{Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host name ufrag abc"}},
		{"cut off", "", webrtc.ICECandidateInit{Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag"}},
		{"garbage", "", webrtc.ICECandidateInit{Candidate: "ufrag ufrag"}},
		{"end", "", webrtc.ICECandidateInit{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ufragOf(tt.c))
		})
	}
}

func TestRemoteCandidatesWaitForTheirGeneration(t *testing.T) {
	t.Parallel()
	r := remoteCandidates{max: 10}
	receive := func(c webrtc.ICECandidateInit) bool {
		t.Helper()
		ready, err := r.received(c)
		require.NoError(t, err)
		return ready
	}

	require.False(t, receive(candidate(1, "one")), "no description yet")
	require.False(t, receive(candidate(2, "")), "no description yet")
	require.False(t, receive(candidate(3, "two")), "no description yet")
	require.Equal(t, []webrtc.ICECandidateInit{candidate(1, "one"), candidate(2, "")}, r.described([]string{"one"}))

	require.True(t, receive(candidate(4, "one")))
	require.True(t, receive(candidate(5, "")))
	require.False(t, receive(candidate(6, "two")), "of the restart to come")
	require.Equal(t, []webrtc.ICECandidateInit{candidate(3, "two"), candidate(6, "two")}, r.described([]string{"two"}))

	require.False(t, receive(candidate(7, "one")), "past")
	require.Empty(t, r.held, "candidates of a past generation are dropped")
	require.True(t, receive(candidate(8, "two")))
}

func TestRemoteCandidatesOfAGenerationThatComesBackFit(t *testing.T) {
	t.Parallel()
	r := remoteCandidates{max: 10}
	r.described([]string{"one"})
	r.described([]string{"two"})
	r.described([]string{"one"})
	ready, err := r.received(candidate(1, "one"))
	require.NoError(t, err)
	require.True(t, ready)
	require.Equal(t, []string{"two"}, r.past)
}

func TestRemoteCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	r := remoteCandidates{max: 3}
	for port := range 3 {
		_, err := r.received(candidate(port, "next"))
		require.NoError(t, err)
	}
	_, err := r.received(candidate(4, "next"))
	require.ErrorIs(t, err, ErrOverflow)
	require.Len(t, r.held, 3)

	for i := range 10 * maxPastUfrags {
		r.described([]string{fmt.Sprint(i)})
	}
	require.Len(t, r.past, maxPastUfrags)
	require.Equal(t, fmt.Sprint(10*maxPastUfrags-2), r.past[maxPastUfrags-1], "the newest are kept")
}

func localHost(port uint16) *webrtc.ICECandidate {
	return &webrtc.ICECandidate{
		Foundation: "1", Priority: 1, Address: "127.0.0.1", Protocol: webrtc.ICEProtocolUDP,
		Port: port, Typ: webrtc.ICECandidateTypeHost, Component: 1, SDPMid: "m", SDPMLineIndex: 2,
	}
}

func TestLocalCandidatesWithoutUfragWaitForTheFirstDescription(t *testing.T) {
	t.Parallel()
	var l localCandidates
	_, ok := l.gathered(localHost(1))
	require.False(t, ok)
	_, ok = l.gathered(nil)
	require.False(t, ok)

	ready := l.described("one")
	require.Len(t, ready, 2)
	require.True(t, strings.HasPrefix(ready[0].Candidate, "candidate:"))
	require.Empty(t, ready[1].Candidate, "the end comes last")
	require.Equal(t, "m", *ready[1].SDPMid, "the end names the section of the candidates")

	_, ok = l.gathered(localHost(2))
	require.True(t, ok)
}

func TestLocalCandidatesEndOnce(t *testing.T) {
	t.Parallel()
	var l localCandidates
	l.described("one")
	for range 2 {
		_, ok := l.gathered(localHost(1))
		require.True(t, ok)
		_, ok = l.gathered(nil)
		require.True(t, ok)
		_, ok = l.gathered(nil)
		require.False(t, ok)
	}
}

func TestLocalCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	var l localCandidates
	for port := range uint16(maxLocalCandidates + 10) {
		l.gathered(localHost(port))
	}
	require.Len(t, l.held, maxLocalCandidates)
}

func TestRemoteCandidatesOfAGenerationAreBounded(t *testing.T) {
	t.Parallel()
	r := remoteCandidates{max: 3}
	_, err := r.received(candidate(1, "one"))
	require.NoError(t, err)
	require.Len(t, r.described([]string{"one"}), 1)
	for port := range 2 {
		ready, err := r.received(candidate(port, "one"))
		require.NoError(t, err)
		require.True(t, ready)
	}
	_, err = r.received(candidate(9, "one"))
	require.ErrorIs(t, err, ErrOverflow)
	ready, err := r.received(webrtc.ICECandidateInit{})
	require.NoError(t, err)
	require.True(t, ready, "the end is not one of them")

	require.Empty(t, r.described([]string{"one"}), "a negotiation without a restart")
	_, err = r.received(candidate(9, "one"))
	require.ErrorIs(t, err, ErrOverflow)
	require.Empty(t, r.described([]string{"two"}))
	ready, err = r.received(candidate(1, "two"))
	require.NoError(t, err)
	require.True(t, ready)
}
