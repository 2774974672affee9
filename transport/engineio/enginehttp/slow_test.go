package enginehttp_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func TestARequestThatDoesNotEndEndsWithItsSession(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v engineio.Version) {
		s := serve(t, &enginehttp.Options{PingInterval: brief / 2, PingTimeout: brief / 2, WriteTimeout: brief})
		p := s.session(t, v)
		body, more := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/socket.io/?"+p.query, body)
		require.NoError(t, err)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if resp, err := s.Client().Do(r); err == nil {
				resp.Body.Close()
			}
		}()
		_, err = more.Write([]byte("4")) // and nothing else, so that it sends no heartbeat either
		require.NoError(t, err)
		_, _, err = p.conn.Read(nil)
		require.Error(t, err)
		_ = p.conn.Close(transport.StatusNormal, "")
		select {
		case <-answered:
		case <-time.After(30 * time.Second):
			require.Fail(t, "the request is still being read")
		}
		more.Close()
	})
}
