package httpbody_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/internal/httpbody/trickle"
)

// reading answers with what came of reading the body.
func reading(timeout time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r = httpbody.Timed(w, r, timeout)
		if _, err := io.ReadAll(r.Body); httpbody.IsTimeout(err) {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}
}

// ignoring answers without a look at the body.
func ignoring(timeout time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = httpbody.Timed(w, r, timeout)
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestABodyThatTricklesEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler         http.Handler
		status, seconds int
	}{
		"while it is read":    {reading(5 * time.Second), http.StatusRequestTimeout, 5},
		"by default":          {reading(0), http.StatusRequestTimeout, 30},
		"after the answer":    {ignoring(5 * time.Second), http.StatusNotFound, 5},
		"never":               {reading(-1), http.StatusOK, trickle.Length},
		"twice, the last one": {outer(reading(5 * time.Second)), http.StatusRequestTimeout, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				status, seconds, err := trickle.Send(c.handler, "POST /")
				require.NoError(t, err)
				require.Equal(t, c.status, status)
				require.InDelta(t, c.seconds, seconds, 1)
			})
		})
	}
}

func outer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, httpbody.Timed(w, r, time.Minute))
	})
}

func TestAServerMayHaveLessPatience(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ReadTimeout: time.Second}))
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	require.Same(t, r, httpbody.Timed(w, r, 2*time.Second))
	require.Empty(t, w.set)
	require.NotSame(t, r, httpbody.Timed(w, r, time.Second/2))
	require.Len(t, w.set, 1)
}

// deadlines are those that a writer has been given.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func TestTheTimeEndsWithTheBody(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httpbody.Timed(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("hello")), time.Minute)
	require.Len(t, w.set, 1)
	_, err := r.Body.Read(make([]byte, 3))
	require.NoError(t, err)
	require.Len(t, w.set, 1)
	_, err = io.ReadAll(r.Body)
	require.NoError(t, err)
	require.True(t, w.set[len(w.set)-1].IsZero())
}

func TestARequestWithoutABodyIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	require.Same(t, r, httpbody.Timed(w, r, time.Minute))
	r.Body = nil
	require.Same(t, r, httpbody.Timed(w, r, time.Minute))
	require.Empty(t, w.set)
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	require.Same(t, r, httpbody.Timed(httptest.NewRecorder(), r, time.Minute), "a writer without deadlines")
}

func TestOverARealSocketASlowBodyEndsAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	const brief = 20 * time.Millisecond
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waited := make(chan error, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					reading(brief)(w, r)
					return
				}
				r = httpbody.Timed(w, r, brief)
				_, err := io.ReadAll(r.Body)
				if err == nil { // the time of the body is over, and that is no matter
					after := time.NewTimer(2 * brief)
					defer after.Stop()
					select {
					case <-after.C:
					case <-r.Context().Done():
						err = r.Context().Err()
					}
				}
				waited <- err
			}))
			s.EnableHTTP2 = h2
			s.StartTLS()
			defer s.Close()
			body, more := io.Pipe()
			defer more.Close()
			resp, err := s.Client().Post(s.URL+"/slow", "text/plain", body)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
			resp.Body.Close()
			resp, err = s.Client().Post(s.URL, "text/plain", strings.NewReader("hello"))
			require.NoError(t, err)
			resp.Body.Close()
			require.NoError(t, <-waited)
		})
	}
}
