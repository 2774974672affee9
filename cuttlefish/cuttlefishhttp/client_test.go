package cuttlefishhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/transport"
)

var allWays = []cuttlefishhttp.Via{
	cuttlefishhttp.ViaAuto, cuttlefishhttp.ViaDocument, cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling,
}

// quick is a back-off for tests on real sockets.
var quick = cuttlefish.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond, Attempts: 1000}

// memory is an http.Client whose requests a function answers.
func memory(answer http.HandlerFunc) *http.Client {
	return &http.Client{Transport: roundTrip(answer)}
}

type roundTrip http.HandlerFunc

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	f(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func TestUnknownDeviceIsARefusalWhateverTheWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	base := f.listen()
	for _, via := range allWays {
		_, err := cuttlefishhttp.ConnectClient(t.Context(), base, "nope", &cuttlefishhttp.DialOptions{Via: via})
		refusal, ok := errors.AsType[*cuttlefish.Error](err)
		require.True(t, ok, "%s: %v", via, err)
		require.Contains(t, refusal.Text, "Device not found", via)
	}
}

func TestRefusalByTheApplicationReachesTheClientWhateverTheWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &cuttlefish.ServerOptions{
		AuthorizeClient: func(context.Context, *cuttlefish.ServerSession, *cuttlefish.Connect) error {
			return &cuttlefish.Error{Text: "Not yours"}
		},
	}, nil)
	base := f.listen()
	f.device("d", nil)
	for _, via := range allWays {
		_, err := cuttlefishhttp.ConnectClient(t.Context(), base, "d", &cuttlefishhttp.DialOptions{Via: via})
		refusal, ok := errors.AsType[*cuttlefish.Error](err)
		require.True(t, ok, "%s: %v", via, err)
		require.Equal(t, "Not yours", refusal.Text, via)
	}
}

func TestDeviceThatLeavesIsReportedWhateverTheWay(t *testing.T) {
	t.Parallel()
	for _, via := range allWays {
		t.Run(via.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil, nil)
			base := f.listen()
			d := f.device("d", nil)
			c, err := cuttlefishhttp.ConnectClient(t.Context(), base, "d", &cuttlefishhttp.DialOptions{Via: via, PollMin: time.Millisecond})
			require.NoError(t, err)
			require.NoError(t, d.Close())
			<-c.Done()
			refusal, ok := errors.AsType[*cuttlefish.Error](c.Err())
			require.True(t, ok, "%v", c.Err())
			require.Equal(t, "Device disconnected", refusal.Text)
		})
	}
}

func TestClientReconnectsInTheSameWay(t *testing.T) {
	t.Parallel()
	for _, via := range allWays {
		t.Run(via.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, &cuttlefish.ServerOptions{
				ServerConfig: cuttlefish.ServerConfig{ReplaceExisting: true}, ICEServers: stun,
			}, nil)
			base := f.listen()
			d := f.device("d", nil)
			c, err := cuttlefishhttp.ConnectClient(t.Context(), base, "d", &cuttlefishhttp.DialOptions{
				Via: via, Reconnect: true, PollMin: time.Millisecond,
				Client: &cuttlefish.ClientOptions{Backoff: quick},
			})
			require.NoError(t, err)
			defer c.Close()
			next[*cuttlefish.DeviceInfoMsg](t, c)
			require.NoError(t, d.Close())

			d = f.device("d", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`"again"`)})
			require.Equal(t, stun, next[*cuttlefish.Config](t, c).ICEServers)
			next[*cuttlefish.Reconnected](t, c)
			require.JSONEq(t, `"again"`, string(next[*cuttlefish.DeviceInfoMsg](t, c).DeviceInfo))
			go echo(d)
			require.NoError(t, c.Forward(json.RawMessage(`{"x":1}`)))
			require.JSONEq(t, `{"x":1}`, string(next[*cuttlefish.DeviceMsg](t, c).Payload))
		})
	}
}

func TestDeviceReconnectsAndRegistersAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	for _, address := range []string{f.listen(), f.listenUnix()} {
		d, err := cuttlefishhttp.ConnectDevice(t.Context(), address, address, &cuttlefishhttp.DialDeviceOptions{
			Reconnect: true, Device: &cuttlefish.DeviceOptions{Backoff: quick},
		})
		require.NoError(t, err)
		for s := range f.srv.Sessions() {
			s.Close(transport.StatusGoingAway, "")
		}
		next[*cuttlefish.Reconnected](t, d)
		_, ok := f.srv.Device(address)
		require.True(t, ok)
		require.NoError(t, d.Close())
	}
}

func TestAutoFallsBackToPollingWhenTheUpgradeFails(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]http.HandlerFunc{
		"older operator": http.NotFound,
		"proxy":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"strict proxy":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"cut":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil, nil)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/connect") {
					refuse(w, r)
					return
				}
				f.handler.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			go echo(f.device("d", nil))
			_, err := cuttlefishhttp.ConnectClient(t.Context(), s.URL, "d", &cuttlefishhttp.DialOptions{Via: cuttlefishhttp.ViaWebSocket})
			require.ErrorContains(t, err, "cuttlefishhttp: dial websocket: ")

			c, err := cuttlefishhttp.ConnectClient(t.Context(), s.URL, "d", nil)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.Forward(json.RawMessage(`{"x":1}`)))
			require.JSONEq(t, `{"x":1}`, string(next[*cuttlefish.DeviceMsg](t, c).Payload))
		})
	}
}

func TestDialRefusesAddressesAndIDsThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "ftp://x", "http://[", "unix:///x"} {
		_, err := cuttlefishhttp.ConnectClient(t.Context(), address, "d", nil)
		require.ErrorContains(t, err, "cuttlefishhttp: ", address)
	}
	_, err := cuttlefishhttp.ConnectClient(t.Context(), "http://127.0.0.1:0", "", nil)
	_, ok := errors.AsType[*cuttlefish.ValidationError](err)
	require.True(t, ok, "%v", err)
	_, err = cuttlefishhttp.ConnectDevice(t.Context(), "ftp://x", "d", nil)
	require.ErrorContains(t, err, "cuttlefishhttp: ")
	_, err = cuttlefishhttp.ConnectDevice(t.Context(), "unix://"+socketPath(t), "d", nil)
	require.ErrorContains(t, err, "cuttlefishhttp: dial: unixpacket: ")
}

func TestConfigWithoutMessageTypeIsTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	go echo(f.device("d", nil))
	client := memory(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/infra_config") {
			_, _ = io.WriteString(w, `{"ice_servers":[{"urls":["stun:a"]}],"x":1}`)
			return
		}
		http.StripPrefix("/v1/zones/z/hosts/h", f.handler).ServeHTTP(w, r)
	})
	c, err := cuttlefishhttp.ConnectClient(t.Context(), "http://orchestrator.example/v1/zones/z/hosts/h/?ignored", "d", &cuttlefishhttp.DialOptions{
		Via: cuttlefishhttp.ViaPolling, HTTPClient: client,
	})
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, &cuttlefish.Config{
		ICEServers: []cuttlefish.ICEServer{{URLs: []string{"stun:a"}}},
		Extra:      cuttlefish.Fields{"x": json.RawMessage("1")},
	}, c.Config())
}

func TestAnswersThatAreNoneEndTheDial(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, body, want string }{
		{"/infra_config", "[]", "answer to /infra_config is no config"},
		{"/infra_config", `{"ice_servers":1}`, "answer to /infra_config is no config"},
		{"/polled_connections", "[]", "names no connection"},
		{"/polled_connections", `{"connection_id":""}`, "names no connection"},
		{"/polled_connections", `{"connection_id":1}`, "names no connection"},
		{"/polled_connections", strings.Repeat("x", 4<<20+1), "message too big"},
	} {
		client := memory(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != c.path {
				_, _ = io.WriteString(w, `{"ice_servers":[]}`)
				return
			}
			_, _ = io.WriteString(w, c.body)
		})
		_, err := cuttlefishhttp.ConnectClient(t.Context(), "http://x", "d", &cuttlefishhttp.DialOptions{Via: cuttlefishhttp.ViaPolling, HTTPClient: client})
		require.ErrorContains(t, err, c.want)
	}
}

// A script answers the requests of a polling client and notes when they came.
type script struct {
	t        *testing.T
	began    time.Time
	messages func(n int, w http.ResponseWriter, r *http.Request) // the n-th poll
	forward  http.HandlerFunc

	mu       sync.Mutex
	polls    []time.Duration
	requests []string // of the other kinds
}

// polled returns when the polls came.
func (s *script) polled() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.polls)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path := r.Method + " " + r.URL.Path; path {
	case "GET /infra_config":
		_, _ = io.WriteString(w, `{"message_type":"config","ice_servers":[]}`)
	case "POST /polled_connections":
		_, _ = io.WriteString(w, `{"connection_id":"ID","device_info":null}`)
	case "GET /polled_connections/ID/messages":
		s.polls = append(s.polls, time.Since(s.began))
		s.messages(len(s.polls), w, r)
	case "POST /polled_connections/ID/:forward":
		s.forward(w, r)
	default:
		s.requests = append(s.requests, path)
		http.NotFound(w, r)
	}
}

// dial connects a polling client to the script, inside a bubble.
func (s *script) dial() *cuttlefish.Client {
	s.t.Helper()
	s.began = time.Now()
	c, err := cuttlefishhttp.ConnectClient(s.t.Context(), "http://x", "d", &cuttlefishhttp.DialOptions{
		Via: cuttlefishhttp.ViaPolling, HTTPClient: memory(s.ServeHTTP),
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	return c
}

// pass lets time go by, and lets everything happen that it brings.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func nothing(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }

func TestPollingSlowsDownWhileNothingComesAndHurriesAfterASend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t}
		s.forward = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"ok"`) }
		s.messages = func(n int, w http.ResponseWriter, r *http.Request) {
			want, answer := "0", "[]"
			switch {
			case n == 12:
				answer = `[{"message_type":"device_msg","payload":1},{"message_type":"device_msg","payload":2}]`
			case n > 12:
				want = "2"
			}
			require.Equal(t, want, r.FormValue("start"))
			_, _ = io.WriteString(w, answer)
		}
		c := s.dial()
		pass(8 * time.Second)
		const ms = time.Millisecond
		want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 5100 * ms, 7100 * ms}
		require.Equal(t, want, s.polled())

		require.NoError(t, c.Forward(json.RawMessage("{}")))
		pass(time.Second)
		require.Equal(t, append(want, 8100*ms, 8300*ms, 8700*ms), s.polled())

		pass(700 * ms) // the poll at 9.5 s, the next one soon after
		require.Equal(t, append(want, 8100*ms, 8300*ms, 8700*ms, 9500*ms, 9600*ms), s.polled())
		require.Equal(t, "1", string(next[*cuttlefish.DeviceMsg](t, c).Payload))
		require.Equal(t, "2", string(next[*cuttlefish.DeviceMsg](t, c).Payload))

		require.NoError(t, c.Close())
		require.Equal(t, []string{"DELETE /polled_connections/ID"}, s.requests)
		polls := len(s.polled())
		pass(time.Minute)
		require.Len(t, s.polled(), polls, "Close stops the polling")
	})
}

func TestPollingGivesUpAfterTenFailuresInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, messages: func(n int, w http.ResponseWriter, r *http.Request) {
			switch {
			case n == 10:
				nothing(n, w, r)
			case n%2 == 0:
				_, _ = io.WriteString(w, "no array")
			default:
				http.Error(w, `{"error":"try later"}`, http.StatusServiceUnavailable)
			}
		}}
		c := s.dial()
		<-c.Done()
		require.Len(t, s.polled(), 20, "nine failures, a success, ten failures")
		require.ErrorContains(t, c.Err(), "10 polls in a row failed")
	})
}

func TestForwardIsRepeatedOnlyWhenTheServerIsBusy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		statuses []int
		tries    int
		err      string
	}{
		{"busy", []int{503, 503, 200}, 3, ""},
		{"broken", []int{500, 200}, 1, "forward: server answered 500"},
		{"always busy", []int{503, 503, 503, 503, 503, 503, 503, 503, 503}, 6, cuttlefish.ErrSlowPeer.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				s := &script{t: t, messages: nothing, forward: func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					require.Equal(t, `{"payload":{"x": 1}}`, string(body))
					w.WriteHeader(c.statuses[tries])
					tries++
					_, _ = fmt.Fprintln(w, `"ok"`)
				}}
				client := s.dial()
				require.NoError(t, client.Forward(json.RawMessage(`{"x": 1}`)))
				pass(transport.DefaultWriteTimeout)
				require.Equal(t, c.tries, tries)
				if c.err == "" {
					require.NoError(t, client.Err())
					return
				}
				<-client.Done()
				require.ErrorContains(t, client.Err(), c.err)
			})
		})
	}
}

func TestPolledDialGivesUpWhenTheHandshakeTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := memory(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, `{"ice_servers":[]}`)
		})
		began := time.Now()
		_, err := cuttlefishhttp.ConnectClient(t.Context(), "http://x", "d", &cuttlefishhttp.DialOptions{Via: cuttlefishhttp.ViaPolling, HTTPClient: client})
		require.ErrorIs(t, err, cuttlefish.ErrHandshakeTimeout)
		require.Equal(t, cuttlefish.DefaultHandshakeTimeout, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began = time.Now()
		_, err = cuttlefishhttp.ConnectClient(ctx, "http://x", "d", &cuttlefishhttp.DialOptions{
			Via: cuttlefishhttp.ViaPolling, HTTPClient: client, Client: &cuttlefish.ClientOptions{HandshakeTimeout: -1},
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(began))
	})
}
