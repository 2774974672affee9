package wsconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestFramesThatCameWithTheHandshakeAreRead(t *testing.T) {
	t.Parallel()
	h, conns, _ := hold(t, nil)
	u, err := url.Parse(serve(t, h))
	require.NoError(t, err)
	c, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n%s", append(frame(0x81, 5, "early"), frame(0x81, 3000, strings.Repeat("x", 3000))...))
	require.NoError(t, err)
	b := (<-conns).conn
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "early", string(msg))
	_, msg, err = b.Read(nil)
	require.NoError(t, err)
	require.Len(t, msg, 3000)
	require.NoError(t, b.Close(transport.StatusAbnormal, ""))
}

func TestOriginPolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts   *wsconn.Options
		origin string
		ok     bool
	}{
		"none":              {nil, "", true},
		"foreign":           {nil, "https://evil.example", false},
		"pattern":           {&wsconn.Options{OriginPatterns: []string{"*.good.example"}}, "https://a.good.example", true},
		"pattern elsewhere": {&wsconn.Options{OriginPatterns: []string{"*.good.example"}}, "https://evil.example", false},
		"any":               {&wsconn.Options{AllowAnyOrigin: true}, "https://evil.example", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, conns, _ := hold(t, c.opts)
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			a, err := wsconn.Dial(t.Context(), serve(t, h), &wsconn.Options{Header: header})
			if c.ok {
				require.NoError(t, err)
				closeBoth(t, a, (<-conns).conn)
				return
			}
			de, ok := errors.AsType[*wsconn.DialError](err)
			require.True(t, ok)
			require.Equal(t, http.StatusForbidden, de.StatusCode)
		})
	}
}

func TestAcceptAnswersWhatIsNoHandshake(t *testing.T) {
	t.Parallel()
	h, _, _ := hold(t, nil)
	resp, err := http.Get(serve(t, h))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
}

func TestAcceptAnswers501WithoutHijacker(t *testing.T) {
	t.Parallel()
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := wsconn.Accept(struct{ http.ResponseWriter }{w}, r, nil)
		if err == nil {
			panic("accepted")
		}
	}))
	_, err := wsconn.Dial(t.Context(), addr, nil)
	de, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusNotImplemented, de.StatusCode)
}

// lazyWriter holds the header back until it is asked, as gin's does.
type lazyWriter struct {
	http.ResponseWriter
	status int
}

func (w *lazyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *lazyWriter) WriteHeader(status int)      { w.status = status }
func (w *lazyWriter) WriteHeaderNow()             { w.ResponseWriter.WriteHeader(w.status) }

func TestAcceptWorksBehindWrappedResponseWriters(t *testing.T) {
	t.Parallel()
	conns := make(chan transport.Conn, 1)
	a := dial(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := wsconn.Accept(&lazyWriter{ResponseWriter: w}, r, nil); err == nil {
			conns <- c
		}
	})), nil)
	b := <-conns
	defer closeBoth(t, a, b)
	require.NoError(t, b.Write(transport.Text, []byte("hello")))
	_, msg, err := a.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "hello", string(msg))
}

func TestHandlerGivesTheRequestAndOutlivesIt(t *testing.T) {
	t.Parallel()
	type key struct{}
	h, conns, release := hold(t, nil)
	returned := make(chan struct{})
	a := dial(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
		close(returned)
	}))+"/path?x=y", nil)
	b := <-conns
	<-returned // while the connection is served
	require.NoError(t, b.ctx.Err())
	require.Equal(t, "value", b.ctx.Value(key{}))
	r := wsconn.Request(b.ctx)
	require.Equal(t, "/path?x=y", r.URL.String())
	require.NotEmpty(t, r.RemoteAddr)
	require.NoError(t, r.Context().Err())
	require.Nil(t, wsconn.Request(t.Context()))

	ended := make(chan error, 1)
	go func() {
		_, _, err := a.Read(nil)
		ended <- err
	}()
	release()
	<-b.ctx.Done()
	require.Equal(t, &transport.CloseError{Code: transport.StatusNormal}, <-ended)
}

func TestHandlerClosesWith1011AfterErrorAndPanic(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("broken inside") },
		"panic": func() error { panic("broken inside") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			logged := slog.New(slog.NewTextHandler(&out, nil))
			a := dial(t, serve(t, wsconn.Handler(func(context.Context, transport.Conn) error { return fail() },
				&wsconn.Options{Logger: logged})), nil)
			_, _, err := a.Read(nil)
			require.Equal(t, &transport.CloseError{Code: transport.StatusInternalError}, err)
			require.Contains(t, out.String(), "broken inside")
		})
	}
}

func TestHandlerAnswers503OverMaxConns(t *testing.T) {
	t.Parallel()
	h, conns, release := hold(t, &wsconn.Options{MaxConns: 2, WriteTimeout: brief})
	addr := serve(t, h)
	a1, a2 := dial(t, addr, nil), dial(t, addr, nil)
	b1, b2 := <-conns, <-conns
	_, err := wsconn.Dial(t.Context(), addr, nil)
	de, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusServiceUnavailable, de.StatusCode)
	closeBoth(t, a1, b1.conn)
	closeBoth(t, a2, b2.conn)
	release()

	// The places are free once the function has returned and the connection is
	// closed, which nothing announces.
	require.Eventually(t, func() bool {
		a, err := wsconn.Dial(t.Context(), addr, nil)
		if err != nil {
			return false
		}
		_, _, err = a.Read(nil)
		return isCloseError(err)
	}, 10*time.Second, time.Millisecond)
}

func isCloseError(err error) bool {
	_, ok := errors.AsType[*transport.CloseError](err)
	return ok
}
