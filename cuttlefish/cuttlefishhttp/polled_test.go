package cuttlefishhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// forwardN sends payloads with the numbers from first up to last.
func forwardN(t testing.TB, d *cuttlefish.Device, client, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		require.NoError(t, d.Forward(client, fmt.Appendf(nil, `{"n":%d}`, n)))
	}
	synctest.Wait()
}

// numbers returns the numbers in the answer to a poll.
func numbers(t testing.TB, w *httptest.ResponseRecorder) []int {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var list []struct {
		Payload struct{ N int }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	all := []int{}
	for _, m := range list {
		all = append(all, m.Payload.N)
	}
	return all
}

func (f *fixture) clients(deviceID string) int {
	f.Helper()
	e, ok := f.srv.Device(deviceID)
	require.True(f, ok)
	return e.Clients
}

func TestPolledConnectionEndsWhenNobodyAsksForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.device("d", nil)
		path := f.open("d")
		for range 3 {
			time.Sleep(cuttlefishhttp.DefaultPolledIdle - time.Second)
			require.Equal(t, http.StatusOK, f.do("GET", path+"/messages", "").Code)
			time.Sleep(cuttlefishhttp.DefaultPolledIdle - time.Second)
			require.Equal(t, http.StatusOK, f.do("POST", path+"/:forward", "{}").Code)
		}
		require.Equal(t, 1, f.clients("d"))

		time.Sleep(cuttlefishhttp.DefaultPolledIdle)
		synctest.Wait()
		require.Equal(t, http.StatusNotFound, f.do("GET", path+"/messages", "").Code)
		require.Equal(t, http.StatusNotFound, f.do("POST", path+"/:forward", "{}").Code)
		require.Zero(t, f.clients("d"))
	})
}

func TestMessagesStayUntilTheyAreAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &cuttlefishhttp.Options{PolledMessages: 4})
		d := f.device("d", nil)
		path := f.open("d")
		get := func(query string) *httptest.ResponseRecorder { return f.do("GET", path+"/messages?"+query, "") }

		forwardN(t, d, 1, 0, 3)
		require.Equal(t, []int{0, 1, 2, 3}, numbers(t, get("start=0")))
		require.Equal(t, []int{0, 1, 2, 3}, numbers(t, get("start=0")), "the answer may have been lost")
		require.Equal(t, []int{1, 2}, numbers(t, get("start=1&count=2")))
		require.Equal(t, []int{1, 2, 3}, numbers(t, get("start=1&count=9")))
		require.Equal(t, []int{}, numbers(t, get("start=9")), "beyond the end there is nothing, and nothing is acknowledged")
		require.Equal(t, []int{3}, numbers(t, get("start=3")))
		require.Equal(t, []int{0, 1, 2, 3}, numbers(t, get("")), "acknowledged ones stay while there is room")

		forwardN(t, d, 1, 4, 6)
		require.Equal(t, []int{3, 4, 5, 6}, numbers(t, get("start=3")))
		w := get("start=2")
		require.Equal(t, http.StatusBadRequest, w.Code, "gave way to a new one")
		require.Equal(t, "Invalid value for start field\n", w.Body.String())

		forwardN(t, d, 1, 7, 7)
		require.Equal(t, http.StatusNotFound, get("start=3").Code, "five unacknowledged messages are one too many")
	})
}

func TestPolledClientThatDoesNotPollIsDroppedAlone(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*cuttlefishhttp.Options{
		"messages": {PolledMessages: 5},
		"bytes":    {PolledBytes: 200}, // a message has 46 bytes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, nil, opts)
				d := f.device("d", nil)
				slow, quick := f.open("d"), f.open("d")
				for n := range 50 {
					forwardN(t, d, 1, n, n)
					forwardN(t, d, 2, n, n)
					w := f.do("GET", fmt.Sprintf("%s/messages?start=%d", quick, n), "")
					require.Equal(t, []int{n}, numbers(t, w))
				}
				require.Equal(t, http.StatusNotFound, f.do("GET", slow+"/messages", "").Code)
				require.Equal(t, 1, f.clients("d"))
			})
		})
	}
}

func TestPayloadsGoThroughPollingUntouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		d := f.device("d", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"b": 12345678901234567890, "a":"<"}`)})
		go echo(d)
		w := f.do("POST", "/polled_connections", `{"device_id":"d"}`)
		require.Contains(t, w.Body.String(), `"device_info":{"b": 12345678901234567890, "a":"<"}}`)
		path := f.open("d")
		const payload = `{"z": 1.0,  "a":12345678901234567890,"s":"\u0041<é"}`
		w = f.do("POST", path+"/:forward", `{"client_id":0,"payload": `+payload+` }`)
		require.Equal(t, "\"ok\"\n", w.Body.String())
		synctest.Wait()
		require.Equal(t, `[{"message_type":"device_msg","payload":`+payload+"}]\n", f.do("GET", path+"/messages", "").Body.String())
	})
}

func TestPolledRequestsThatAreWrongAreAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &cuttlefishhttp.Options{BodyLimit: 100})
		f.device("d", nil)
		path := f.open("d")
		long := `{"payload":{"x":"` + strings.Repeat("x", 100) + `"}}`
		for _, c := range []struct {
			method, path, body string
			status             int
			text               string
		}{
			{"POST", "/polled_connections", `{"device_id":"nope"}`, 404, "Device not found"},
			{"POST", "/polled_connections", `{}`, 404, "Device not found"},
			{"POST", "/polled_connections", `{"DEVICE_ID":"d"}`, 404, "Device not found"},
			{"POST", "/polled_connections", `{"device_id":null}`, 404, "Device not found"},
			{"POST", "/polled_connections", `{"device_id":1}`, 400, "Invalid request: device_id is not a string"},
			{"POST", "/polled_connections", ``, 400, "Invalid request: body is not a JSON object"},
			{"POST", "/polled_connections", `[]`, 400, "Invalid request: body is not a JSON object"},
			{"POST", "/polled_connections", `{"device_id":"nope","device_id":"d"}`, 400, "Invalid request: body is not a JSON object"},
			{"POST", "/polled_connections", long, 413, "Request body too large"},
			{"GET", "/polled_connections", "", 404, "404 page not found"},
			{"PUT", "/polled_connections", "{}", 404, "404 page not found"},
			{"POST", "/polled_connections/nope/:forward", "{}", 404, "404 page not found"},
			{"GET", "/polled_connections/nope/messages", "", 404, "404 page not found"},
			{"DELETE", "/polled_connections/nope", "", 404, "404 page not found"},
			{"GET", path + "/:forward", "", 404, "404 page not found"},
			{"POST", path + "/messages", "", 404, "404 page not found"},
			{"POST", path + "/:forward", `nope`, 400, "Invalid request: body is not a JSON object"},
			{"POST", path + "/:forward", `{"payload":"text"}`, 400, "Invalid request: payload is neither an object nor null"},
			{"POST", path + "/:forward", strings.Repeat("[", 90), 400, "Invalid request: body is not a JSON object"},
			{"POST", path + "/:forward", long, 413, "Request body too large"},
			{"GET", path + "/messages?start=x", "", 400, "Invalid value for start field"},
			{"GET", path + "/messages?start=-1", "", 400, "Invalid value for start field"},
			{"GET", path + "/messages?start=99999999999999999999", "", 400, "Invalid value for start field"},
			{"GET", path + "/messages?count=x", "", 400, "Invalid value for count field"},
			{"GET", path + "/messages?start=1000000&count=-5", "", 200, "[]"},
			{"POST", path + "/:forward", `{}`, 200, `"ok"`},
			{"POST", path + "/:forward", `{"payload":null}`, 200, `"ok"`},
		} {
			w := f.do(c.method, c.path, c.body)
			require.Equal(t, c.status, w.Code, c)
			require.Equal(t, c.text+"\n", w.Body.String(), c)
		}
	})
}

func TestPolledClientIsToldWhyItIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		opts   cuttlefish.ServerOptions
		status int
		text   string
	}{
		{"by the application", cuttlefish.ServerOptions{
			AuthorizeClient: func(context.Context, *cuttlefish.ServerSession, *cuttlefish.Connect) error {
				return &cuttlefish.Error{Text: "Not yours"}
			},
		}, 403, "Not yours"},
		{"by a limit", cuttlefish.ServerOptions{
			ServerConfig: cuttlefish.ServerConfig{ClientsPerDevice: 1},
		}, 503, "Too many clients"},
		{"by a full server", cuttlefish.ServerOptions{Connections: 2}, 503, "Connection ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &c.opts, nil)
				f.device("d", nil)
				f.do("POST", "/polled_connections", `{"device_id":"d"}`)
				w := f.do("POST", "/polled_connections", `{"device_id":"d"}`)
				require.Equal(t, c.status, w.Code)
				require.Equal(t, c.text+"\n", w.Body.String())
			})
		})
	}
}

func TestPolledClientMayWaitForItsDevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &cuttlefish.ServerOptions{ServerConfig: cuttlefish.ServerConfig{WaitForDevice: true, Waiting: 2}}, nil)
		answers := make(chan *httptest.ResponseRecorder)
		ask := func(ctx context.Context, id string) {
			r := httptest.NewRequestWithContext(ctx, "POST", "/polled_connections", strings.NewReader(`{"device_id":"`+id+`"}`))
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, r)
			answers <- w
		}

		go ask(t.Context(), "late")
		time.Sleep(time.Minute)
		f.device("late", nil)
		require.Equal(t, http.StatusOK, (<-answers).Code)
		require.Equal(t, 1, f.clients("late"))

		go ask(t.Context(), "never")
		start := time.Now()
		w := <-answers
		require.Equal(t, cuttlefish.DefaultWaitTimeout, time.Since(start))
		require.Equal(t, http.StatusNotFound, w.Code)
		require.Equal(t, "Device not found\n", w.Body.String())

		for range 5 { // more than may wait: each must be forgotten
			ctx, cancel := context.WithCancel(t.Context())
			go ask(ctx, "later")
			synctest.Wait()
			cancel()
			<-answers
			synctest.Wait()
		}
		f.device("later", nil)
		require.Zero(t, f.clients("later"))
	})
}

func TestPolledConnectionsAreLimitedAndEndWithTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &cuttlefishhttp.Options{PolledConns: 2})
		f.device("d", nil)
		path, _ := f.open("d"), f.open("d")
		w := f.do("POST", "/polled_connections", `{"device_id":"d"}`)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)

		require.Equal(t, http.StatusNoContent, f.do("DELETE", path, "").Code)
		synctest.Wait()
		require.Equal(t, 1, f.clients("d"))
		path = f.open("d")

		require.NoError(t, f.handler.Close())
		require.Zero(t, f.clients("d"))
		require.Equal(t, http.StatusNotFound, f.do("GET", path+"/messages", "").Code)
		require.Equal(t, http.StatusServiceUnavailable, f.do("POST", "/polled_connections", `{"device_id":"d"}`).Code)
	})
}

func TestAnAddressHasSoManyConnectionsPolledOrNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := &wsconn.Gate{PerAddress: 2}
		f := newFixture(t, nil, &cuttlefishhttp.Options{WebSocket: &wsconn.Options{Gate: gate}})
		f.device("d", nil)
		first, second := f.open("d"), f.open("d")
		socket := []string{
			"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==",
		}
		for _, path := range []string{"/devices/d/connect", "/register_device", "/connect_client"} {
			require.Equal(t, http.StatusTooManyRequests, f.do("GET", path, "", socket...).Code, path)
		}
		w := f.do("POST", "/polled_connections", `{"device_id":"d"}`)
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, "10", w.Header().Get("Retry-After"))

		require.Equal(t, http.StatusNoContent, f.do("DELETE", first, "").Code)
		synctest.Wait()
		f.open("d")
		require.Equal(t, http.StatusOK, f.do("POST", second+"/:forward", "{}").Code, "nobody else notices")
		require.NoError(t, f.handler.Close())
		time.Sleep(time.Second) // what has been opened counts no more
		require.Equal(t, wsconn.GateStats{Refused: 4}, gate.Stats())
	})
}

func TestAPolledConnectionThatIsRefusedLeavesTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := new(wsconn.Gate)
		f := newFixture(t, nil, &cuttlefishhttp.Options{PolledConns: 1, WebSocket: &wsconn.Options{Gate: gate}})
		f.device("d", nil)
		f.open("d")
		w := f.do("POST", "/polled_connections", `{"device_id":"d"}`)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, wsconn.GateStats{Addresses: 1, Connections: 1}, gate.Stats())
	})
}

func TestPolledClientThatFloodsIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &cuttlefish.ServerOptions{
			Limits: cuttlefish.Limits{Messages: 0.1, MessageBurst: 2, Patience: time.Hour},
		}, nil)
		go echo(f.device("d", nil))
		path := f.open("d")
		for _, want := range []int{200, 200, 200, 503} { // the third is read, then the reader pauses
			require.Equal(t, want, f.do("POST", path+"/:forward", "{}").Code)
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, http.StatusOK, f.do("POST", path+"/:forward", "{}").Code)
	})
}

func TestForeignPagesCannotPost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opts   wsconn.Options
		header []string
		status int
	}{
		{wsconn.Options{}, nil, 200},
		{wsconn.Options{}, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}, 200},
		{wsconn.Options{}, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{wsconn.Options{}, []string{"Origin", "https://evil.example"}, 403},
		{wsconn.Options{OriginPatterns: []string{"*.good.example"}}, []string{"Origin", "https://evil.example"}, 403},
		{wsconn.Options{OriginPatterns: []string{"*.good.example"}}, []string{"Origin", "https://a.Good.example"}, 200},
		{wsconn.Options{OriginPatterns: []string{"https://good.example"}}, []string{"Origin", "http://good.example"}, 403},
		{wsconn.Options{AllowAnyOrigin: true}, []string{"Origin", "https://evil.example"}, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil, &cuttlefishhttp.Options{WebSocket: &c.opts})
			f.device("d", nil)
			w := f.do("POST", "/polled_connections", `{"device_id":"d"}`, c.header...)
			require.Equal(t, c.status, w.Code, "%v", c)
		})
	}
}
