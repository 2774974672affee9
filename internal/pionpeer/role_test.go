package pionpeer_test

import (
	"fmt"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

// Browsers refuse an answer that gives them another role of DTLS than they have.
func TestRolesOfDTLSStayWhoeverOffersNext(t *testing.T) {
	t.Parallel()
	for _, offerer := range []string{"impolite", "polite"} {
		t.Run(offerer+" offers first", func(t *testing.T) {
			t.Parallel()
			a, b := newSides(t, nil, nil)
			if offerer == "polite" {
				a, b = b, a
			}
			connect(a, b)
			for i, next := range []*side{b, a, b} {
				other := a
				if next == a {
					other = b
				}
				track := fmt.Sprint("t", i)
				require.NoError(t, next.AddTrack(feed(t, track)))
				other.awaitTrack(track)
			}
			for _, d := range b.answers() {
				require.Contains(t, d.SDP, "a=setup:active")
			}
			require.NotEmpty(t, a.answers())
			for _, d := range a.answers() {
				require.Contains(t, d.SDP, "a=setup:passive")
			}
		})
	}
}

// answers returns those that were sent.
func (s *side) answers() (ds []webrtc.SessionDescription) {
	for _, m := range s.record() {
		if d, ok := m.(webrtc.SessionDescription); ok && d.Type == webrtc.SDPTypeAnswer {
			ds = append(ds, d)
		}
	}
	return ds
}
