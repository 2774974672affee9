package galenehttp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
)

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]struct {
		mediaType string
		status    int
	}{
		"POST /group/open/.whip":     {"application/sdp", http.StatusRequestTimeout},
		"POST /group/open/.whip/":    {"text/plain", http.StatusNotFound},
		"POST /public-groups.json":   {"text/plain", http.StatusMethodNotAllowed},
		"GET /public-groups.json":    {"text/plain", http.StatusOK},
		"GET /group/open/":           {"text/plain", http.StatusOK},
		"GET /ws":                    {"text/plain", http.StatusUpgradeRequired},
		"PATCH /group/open/.whip/id": {"application/trickle-ice-sdpfrag", http.StatusNotFound},
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, nil, &galenehttp.Options{Static: static(), WHIP: true, BodyTimeout: 5 * time.Second})
				status, seconds, err := trickle.Send(f.handler, request, "Content-Type: "+want.mediaType)
				require.NoError(t, err)
				require.Equal(t, want.status, status)
				if status == http.StatusUpgradeRequired { // which has its HandshakeTimeout
					seconds -= 10
				}
				require.InDelta(t, 5, seconds, 1)
			})
		})
	}
}
