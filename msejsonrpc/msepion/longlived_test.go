package msepion_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
)

// The descriptions of a member who stays must not grow with everybody who has been there.
func TestDescriptionsOfALongLivedRoomDoNotGrow(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	viewer, down := h.joinOver("d/r/viewer", withLabels("chat"))
	viewer.awaitOpen("chat")
	picture, tone := piontest.Video(t, "v"), piontest.Sound(t, "a")
	for i := range 60 {
		token := fmt.Sprint("d/r/", i)
		sender, leaving := h.joinOver(token, sending(picture, tone))
		want := []string{h.of(token, "v"), h.of(token, "a")}
		viewer.flows.RequireMedia(t, want...)
		viewer.flows.RequireOnly(t, want...)
		require.NoError(t, sender.client.Disconnect())
		require.NoError(t, heard.Next(t, "end of Run", sender.ran))
		leaving.awaitServed()
		viewer.flows.RequireOnly(t)
	}
	said := down.descriptions()
	require.LessOrEqual(t, said[len(said)-1].sections(), 6)
	viewer.requireQuiet()
	require.Empty(t, h.warnings.All())
}
