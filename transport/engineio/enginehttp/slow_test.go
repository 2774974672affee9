package enginehttp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
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

func TestABodyThatTricklesEndsWhateverTheServerOfTheApplicationSays(t *testing.T) {
	t.Parallel()
	serveNothing := func(ctx context.Context, conn transport.Conn) error {
		_, _, err := conn.Read(nil)
		return err
	}
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"of no session":            {"POST /?transport=polling&EIO=4", http.StatusBadRequest},
		"of a session":             {"POST /?transport=polling&EIO=4&sid=SID", http.StatusBadRequest},
		"of a poll":                {"GET /?transport=polling&EIO=4", http.StatusOK},
		"of another method":        {"PUT /?transport=polling&EIO=4&sid=SID", http.StatusBadRequest},
		"of nothing in particular": {"GET /", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := enginehttp.Handler(serveNothing, &enginehttp.Options{
					BodyTimeout: 5 * time.Second, PingInterval: time.Minute, PingTimeout: time.Minute, WriteTimeout: time.Minute,
				})
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?transport=polling&EIO=4", nil))
				var handshake struct{ SID string }
				require.NoError(t, json.Unmarshal(w.Body.Bytes()[1:], &handshake))
				status, seconds, err := trickle.Send(h, strings.Replace(c.request, "SID", handshake.SID, 1))
				require.NoError(t, err)
				require.Equal(t, c.status, status)
				require.InDelta(t, 5, seconds, 1)
				time.Sleep(time.Hour) // the sessions end
			})
		})
	}
}
