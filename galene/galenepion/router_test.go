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
				offer := routerAwait(members[name], "offer", func(m *galene.Offer) bool { return m.ID == "stream-"+other })
				require.Equal(t, "camera", offer.Label)
				require.Equal(t, other, *offer.Username)
				require.Equal(t, members[other].client.ID(), offer.Source)
				require.NotContains(t, offer.SDP, "sendrecv")
			}
		}
	}
	require.Equal(t, 3, h.router.Streams("g"))

	members["a"].leave()
	members["b"].awaitClose("stream-a")
	members["b"].awaitOnly("stream-c/audio", "stream-c/video")
	members["b"].awaitMedia("stream-c/audio", "stream-c/video")
	require.Equal(t, 2, h.router.Streams("g"))
}
