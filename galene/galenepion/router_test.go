package galenepion_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func TestEachMemberOfAGroupGetsTheStreamsOfTheOthers(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	names := []string{"a", "b", "c"}
	members := make(map[string]*routerGuest)
	for _, name := range names {
		members[name] = h.join(name, routerAll)
		members[name].publish("stream-"+name, "camera", "", routerSound(t), routerVideo(t))
	}
	for _, name := range names {
		var want []string
		for _, other := range names {
			if other != name {
				want = append(want, "stream-"+other+"/audio", "stream-"+other+"/video")
			}
		}
		members[name].awaitMedia(want...)
		members[name].awaitOnly(want...)
		for _, other := range names {
			if other != name {
				offer := members[name].firstOffer("stream-" + other)
				require.Equal(t, "camera", offer.Label)
				require.Equal(t, other, *offer.Username)
				require.Equal(t, members[other].client.ID(), offer.Source)
				require.NotContains(t, offer.SDP, "sendrecv")
			}
		}
	}
	for _, m := range members {
		m.requireOrder()
	}
	require.Equal(t, 3, h.router.Streams("g"))

	members["a"].leave()
	members["b"].awaitClose("stream-a")
	members["b"].awaitOnly("stream-c/audio", "stream-c/video")
	members["b"].awaitMedia("stream-c/audio", "stream-c/video")
	require.Equal(t, 2, h.router.Streams("g"))
}

// firstOffer returns one that has come.
func (g *routerGuest) firstOffer(id string) *galene.Offer {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.heard {
		if offer, ok := m.(*galene.Offer); ok && offer.ID == id {
			return offer
		}
	}
	require.FailNow(g.t, "no offer of "+id)
	return nil
}

// requireOrder checks that candidates come after what they belong to, and never end.
func (g *routerGuest) requireOrder() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	described, candidates := make(map[string]string), 0
	for _, m := range g.heard {
		switch m := m.(type) {
		case *galene.Offer:
			described[m.ID] = m.SDP
		case *galene.Answer:
			described[m.ID] = m.SDP
		case *galene.ICE:
			candidates++
			c, err := m.Init()
			require.NoError(g.t, err)
			require.NotEmpty(g.t, c.Candidate)
			require.Equal(g.t, routerUfrag(described[m.ID]), *c.UsernameFragment)
		}
	}
	require.NotZero(g.t, candidates)
}
