package easyrtchttp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	for request, c := range map[string]struct{ status, seconds int }{
		"POST /socket.io/?transport=polling&EIO=4": {http.StatusBadRequest, 5},
		"POST /easyrtc/easyrtc.js":                 {http.StatusNotFound, 30},
		"POST /":                                   {http.StatusNotFound, 30},
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := easyrtc.NewServer(nil)
				defer srv.Close()
				h := easyrtchttp.NewHandler(srv, &easyrtchttp.Options{HTTP: &enginehttp.Options{BodyTimeout: 5 * time.Second}})
				status, seconds, err := trickle.Send(h, request)
				require.NoError(t, err)
				require.Equal(t, c.status, status)
				require.InDelta(t, c.seconds, seconds, 1)
			})
		})
	}
}
