package pionpeer

import (
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// A change that comes with the request for an offer, at the very moment at which the peer looks whether there is one,
// is in that offer: there is no other one.
func TestOfferHasTheChangeThatItWasAskedForWith(t *testing.T) {
	t.Parallel()
	api, err := LazyAPI(nil, loopback.Settings())()
	require.NoError(t, err)
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	offers := make(chan webrtc.SessionDescription, 10)
	p := New(pc, Config{
		Polite:          true, // so that there is no network before an answer
		SendDescription: func(d webrtc.SessionDescription) error { offers <- d; return nil },
		SendCandidate:   func(webrtc.ICECandidateInit) error { return nil },
	})
	_, err = pc.CreateDataChannel("first", nil)
	require.NoError(t, err)
	require.NoError(t, p.Do(func(*webrtc.PeerConnection) error {
		err := p.Do(func(pc *webrtc.PeerConnection) error {
			_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo)
			return err
		})
		p.Negotiate()
		p.offerIfRequested() // as run does, which has seen nothing of this yet
		return err
	}))
	require.Contains(t, (<-offers).SDP, "m=video")
	require.NoError(t, p.Close())
	require.Empty(t, offers)
}
