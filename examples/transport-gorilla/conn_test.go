package gorilla_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	gorilla "github.com/rtcsignal/rtcsignal/examples/transport-gorilla"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
)

const readLimit = 300_000

func TestConnConforms(t *testing.T) {
	t.Parallel()
	conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
		accepted := make(chan *websocket.Conn, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var upgrader websocket.Upgrader
			if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
				ws.SetReadLimit(readLimit)
				accepted <- ws
			}
		}))
		t.Cleanup(srv.Close)
		ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(srv.URL, "http", "ws", 1), nil)
		require.NoError(t, err)
		return gorilla.New(ws), gorilla.New(<-accepted)
	}, &conntest.Options{ReadLimit: readLimit, WriteTimeout: transport.DefaultWriteTimeout})
}
