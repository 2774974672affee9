package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A rawPoller is a session of Engine.IO whose requests a test writes byte by byte.
type rawPoller struct {
	*world
	sid string
}

func (w *world) rawPoller() *rawPoller {
	w.t.Helper()
	r := &rawPoller{world: w}
	var handshake struct{ SID string }
	packet := r.ask(http.MethodGet, "")
	require.NoError(w.t, json.Unmarshal([]byte(packet[1:]), &handshake))
	r.sid = handshake.SID
	return r
}

// request returns a request, after which the server closes its connection.
func (r *rawPoller) request(method, body string) []byte {
	query := "EIO=4&transport=polling"
	if r.sid != "" {
		query += "&sid=" + r.sid
	}
	text := method + " /socket.io/?" + query + " HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n"
	if method == http.MethodPost {
		text += fmt.Sprintf("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	return []byte(text + "\r\n" + body)
}

// ask makes a request and returns the answer.
func (r *rawPoller) ask(method, body string) string {
	r.t.Helper()
	c, err := r.wire()
	require.NoError(r.t, err)
	defer c.Close()
	_, err = c.Write(r.request(method, body))
	require.NoError(r.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(r.t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, resp.StatusCode, "%s", answer)
	return string(answer)
}

const rawLogin = `420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta",` +
	`"roomJoin":{"lobby":{"roomName":"lobby"}}}}]`

// login makes a member of the room.
func (r *rawPoller) login() {
	r.t.Helper()
	r.ask(http.MethodPost, "40")
	require.True(r.t, strings.HasPrefix(r.ask(http.MethodGet, ""), "40"))
	r.ask(http.MethodPost, rawLogin)
	require.Contains(r.t, r.ask(http.MethodGet, ""), `"token"`)
}

func TestARequestThatStallsAnywhereEndsItsSession(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, &pollingRow, settings{})
		host := w.host()
		begin := time.Now()
		var all []*stalled
		for k := 0; ; k++ {
			r := w.rawPoller()
			request := r.request(http.MethodPost, rawLogin)
			if k > len(request) {
				break
			}
			all = append(all, w.stall(request[:k]))
		}
		r := w.rawPoller()
		poll := r.request(http.MethodGet, "")
		for k := range poll {
			all = append(all, w.stall(poll[:k]))
		}
		guest := w.enter(visit{name: "guest"})
		for i := range 6 { // while they are there
			require.NoError(t, guest.roundTrip(t.Context(), fmt.Sprint("beside ", i)))
			time.Sleep(10 * time.Second)
		}
		for _, s := range all {
			<-s.gone
		}
		require.LessOrEqual(t, time.Since(begin), pongs+20*time.Second)
		guest.end()
		w.requireAlone()
		require.NoError(t, host.err())
		host.end()
		w.stop()
		w.requireEmpty()
		t.Logf("%d places", len(all))
	})
}

func TestAPollWhoseAnswerIsNotReadEndsItsSession(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, &pollingRow, settings{})
		host := w.host()
		r := w.rawPoller()
		r.login()
		large := strings.Repeat("x", 3*laneBytes)
		r.ask(http.MethodPost, `421["easyrtcMsg",{"msgType":"say","targetRoom":"lobby","msgData":"`+large+`"}]`)
		_, err := host.await(t.Context(), func(o occurrence) bool { return o.kind == said })
		require.NoError(t, err)
		synctest.Wait() // the answer of the host is there
		c, err := w.wire()
		require.NoError(t, err)
		_, err = c.Write(r.request(http.MethodGet, "")) // and nothing is read
		require.NoError(t, err)
		guest := w.enter(visit{name: "guest"})
		require.NoError(t, guest.roundTrip(t.Context(), "beside"))
		require.Equal(t, 3, w.srv.members())
		time.Sleep(15 * time.Second) // the write time-out, and the heartbeat has not come yet
		require.NoError(t, guest.roundTrip(t.Context(), "after"))
		synctest.Wait()
		require.Equal(t, 2, w.srv.members())
		gone, err := host.await(t.Context(), func(o occurrence) bool { return o.kind == left })
		require.NoError(t, err)
		require.NotEmpty(t, gone.who)
		_ = c.Close()
		guest.end()
		w.requireAlone()
		host.end()
		w.stop()
		w.requireEmpty()
	})
}

// Who stays away costs what is queued for it, and no more than its heartbeat allows.
func TestSomebodyWhoDoesNotPollIsMissed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, &pollingRow, settings{})
		host := w.host()
		w.rawPoller().login()
		w.rawPoller() // has not even logged in
		guest := w.enter(visit{name: "guest"})
		begin := time.Now()
		for i := 0; w.srv.sessions() > 2; i++ {
			require.LessOrEqual(t, time.Since(begin), pongs)
			require.NoError(t, guest.roundTrip(t.Context(), fmt.Sprint("beside ", i)))
			time.Sleep(time.Second)
		}
		_, err := host.await(t.Context(), func(o occurrence) bool { return o.kind == left })
		require.NoError(t, err)
		guest.end()
		w.requireAlone()
		host.end()
		w.stop()
		w.requireEmpty()
	})
}
