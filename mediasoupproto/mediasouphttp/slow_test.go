package mediasouphttp_test

import (
	"net/http"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
)

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts    mediasouphttp.Options
		lines   []string
		status  int
		seconds int
	}{
		"of a file":      {opts: mediasouphttp.Options{Static: fstest.MapFS{"x": {}}}, status: http.StatusOK, seconds: 30},
		"of no file":     {status: http.StatusUpgradeRequired, seconds: 15},
		"of a handshake": {lines: []string{"Upgrade: websocket"}, status: http.StatusForbidden, seconds: 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := mediasoupproto.NewServer(nil)
				defer srv.Close()
				status, seconds, err := trickle.Send(mediasouphttp.NewHandler(srv, &c.opts), "GET /x", c.lines...)
				require.NoError(t, err)
				require.Equal(t, c.status, status)
				require.InDelta(t, c.seconds, seconds, 1)
			})
		})
	}
}
