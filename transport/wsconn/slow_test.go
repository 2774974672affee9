package wsconn_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	full := &wsconn.Gate{PerAddress: 1}
	knock(full, "pipe")
	for name, c := range map[string]struct {
		opts    wsconn.Options
		seconds int
		status  int
	}{
		"by default":        {wsconn.Options{}, 15, http.StatusUpgradeRequired},
		"as it is set":      {wsconn.Options{HandshakeTimeout: 3 * time.Second}, 3, http.StatusUpgradeRequired},
		"refused by a gate": {wsconn.Options{Gate: full}, 15, http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := wsconn.Handler(func(context.Context, transport.Conn) error { return nil }, &c.opts)
				status, seconds, err := trickle.Send(h, "GET /")
				require.NoError(t, err)
				require.Equal(t, c.status, status)
				require.InDelta(t, c.seconds, seconds, 1)
			})
		})
	}
}
