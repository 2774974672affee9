package msejsonrpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
	"github.com/stretchr/testify/require"
)

// patience is how late a message may be while somebody else does not read.
const patience = 50 * time.Millisecond

// attempts is how often a test that looks at the clock may be disturbed by the rest of
// the machine, beyond what a control sees of it. A server that lets one peer wait for
// another is late by seconds each time.
const attempts = 5

// A web is a server on a real socket, whose sessions send back each candidate.
type web struct {
	*httptest.Server
	srv *msejsonrpc.Server
}

func newWeb(t *testing.T) web {
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		ServerConfig: msejsonrpc.ServerConfig{Chat: true},
		AllowAll:     true,
		Handle:       sendBack,
		Limits:       msejsonrpc.Limits{Messages: -1, Bytes: -1},
	})
	w := web{httptest.NewServer(wsconn.Handler(srv.Serve, nil)), srv}
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		w.Close()
	})
	return w
}

func sendBack(ctx context.Context, s *msejsonrpc.ServerSession) error {
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (w web) client(t *testing.T) *msejsonrpc.Client {
	conn, err := wsconn.Dial(t.Context(), w.URL, nil)
	require.NoError(t, err)
	c, err := msejsonrpc.Connect(t.Context(), conn, &msejsonrpc.ClientOptions{Token: "T"})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// mute opens a connection that starts a session and never reads again.
func (w web) mute(t *testing.T) *websocket.Conn {
	c, _, err := websocket.Dial(t.Context(), w.URL, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.CloseNow() })
	var f msejsonrpc.RequestFactory
	for _, m := range []msejsonrpc.Message{f.Auth("T"), f.Start()} {
		data, err := msejsonrpc.Encode(m)
		require.NoError(t, err)
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, data))
		_, _, err = c.Read(t.Context())
		require.NoError(t, err)
	}
	return c
}

// sessions returns how many clients the server knows. One that it has dropped may still
// hold its connection for a while, because it does not read the end either.
func (w web) sessions() (n int) {
	for s := range w.srv.Sessions() {
		if _, ok := s.State(); ok {
			n++
		}
	}
	return n
}

// stamped is a value of about 100 kB that says when it was sent.
func stamped() json.RawMessage {
	return fmt.Appendf(nil, `{"candidate":"%s","sent":%d}`, strings.Repeat("x", 100_000), time.Now().UnixNano())
}

func age(t *testing.T, value json.RawMessage) time.Duration {
	var p struct{ Sent int64 }
	require.NoError(t, json.Unmarshal(value, &p))
	return time.Since(time.Unix(0, p.Sent))
}

// roundTrip returns how long the server and a session's Handle take for a candidate.
func roundTrip(t *testing.T, c *msejsonrpc.Client) time.Duration {
	require.NoError(t, c.Send(&msejsonrpc.ICECandidate{Candidate: stamped()}))
	for m, err := range c.Messages(t.Context()) {
		require.NoError(t, err)
		if m, ok := m.(*msejsonrpc.ICECandidate); ok {
			return age(t, m.Candidate)
		}
	}
	t.Fatal("the client ended")
	return 0
}

func nextChat(t *testing.T, c *msejsonrpc.Client) time.Duration {
	for m, err := range c.Messages(t.Context()) {
		require.NoError(t, err)
		if m, ok := m.(*msejsonrpc.Chat); ok {
			return age(t, m.Attachment)
		}
	}
	t.Fatal("the client ended")
	return 0
}

// requireOnTime fails when messages are late in each of the attempts.
func requireOnTime(t *testing.T, latency func(*testing.T) time.Duration) {
	var worst time.Duration
	for range attempts {
		if worst = latency(t); worst <= patience {
			return
		}
	}
	t.Fatalf("a message was %v late", worst)
}

func TestClientThatDoesNotReadIsDroppedAndDelaysNobody(t *testing.T) {
	t.Parallel()
	requireOnTime(t, latencyBesideMuteClient)
}

// latencyBesideMuteClient chats in a room of which one member does not read, until the
// server has dropped that, and returns how late the messages were to the others at worst,
// beyond those of a client on a server of its own.
func latencyBesideMuteClient(t *testing.T) (worst time.Duration) {
	w := newWeb(t)
	w.mute(t)
	author, listeners := w.client(t), []*msejsonrpc.Client{w.client(t), w.client(t)}
	control := newWeb(t).client(t)
	var machine time.Duration
	for w.sessions() == 4 {
		require.NoError(t, author.Chat("hi", stamped()))
		for _, c := range listeners {
			worst = max(worst, nextChat(t, c))
		}
		worst = max(worst, roundTrip(t, author))
		machine = max(machine, roundTrip(t, control))
	}
	require.NoError(t, author.Chat("hi", stamped()))
	for _, c := range listeners {
		nextChat(t, c)
		require.NoError(t, c.Ping(t.Context()), "the wrong client was dropped")
	}
	return worst - machine
}

func TestSessionThatDoesNotReadItsAnswersDelaysNobody(t *testing.T) {
	t.Parallel()
	requireOnTime(t, latencyBesideMuteSession)
}

// latencyBesideMuteSession has a client send what its Handle answers without reading an
// answer, until the server has dropped it, and returns how late the answers of another
// session were at worst, beyond those of a client on a server of its own.
func latencyBesideMuteSession(t *testing.T) (worst time.Duration) {
	w := newWeb(t)
	mute := w.mute(t)
	client := w.client(t)
	control := newWeb(t).client(t)
	candidate, err := msejsonrpc.Encode(&msejsonrpc.ICECandidate{Candidate: stamped()})
	require.NoError(t, err)
	var machine time.Duration
	for w.sessions() == 2 {
		_ = mute.Write(t.Context(), websocket.MessageText, candidate) // fails once the server has ended it
		worst = max(worst, roundTrip(t, client))
		machine = max(machine, roundTrip(t, control))
	}
	require.NoError(t, client.Ping(t.Context()), "the wrong client was dropped")
	return worst - machine
}
