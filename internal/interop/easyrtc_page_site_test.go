package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// An easyrtcHost is a server with the pages, a real one or ours.
type easyrtcHost interface {
	origin() string
	members(room string) []string   // the ids of those in a room of the default application, oldest first
	complain(id, code, text string) // sends an error of the server application
}

func (r *realEasyRTC) origin() string { return r.url }

func (r *realEasyRTC) members(room string) []string {
	return r.do("state", nil).Apps["default"].Rooms[room]
}

func (r *realEasyRTC) complain(id, code, text string) {
	r.do("push", map[string]any{
		"easyrtcid": id, "msgType": "error", "msgData": map[string]any{"errorCode": code, "errorText": text},
	})
}

// An easyrtcSite is our server with the pages. It keeps its address when it starts again.
type easyrtcSite struct {
	t     *testing.T
	url   string
	opts  easyrtc.ServerOptions
	gates journal[*easyrtcGate] // of all connections

	address   string
	signaling *easyrtc.Server
	web       *http.Server
	serving   sync.WaitGroup

	mu      sync.Mutex
	records bytes.Buffer // what the connections have carried
}

// startEasyRTCSite starts our server with the rules that the tests of the pages have for a real
// one, unless opts say otherwise.
func startEasyRTCSite(t *testing.T, opts easyrtc.ServerOptions) *easyrtcSite {
	t.Helper()
	if opts.Authenticate == nil {
		opts.Authenticate = func(_ context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
			var c struct{ Password string }
			if err := json.Unmarshal(l.Credential, &c); err != nil || c.Password != "right" {
				return errors.New("denied")
			}
			return nil
		}
	}
	opts.AuthorizeRoomJoin = func(_ context.Context, _ *easyrtc.ServerSession, r *easyrtc.RoomEntry) error {
		if r.Room == "closed" {
			return errors.New("refused")
		}
		return nil
	}
	opts.ICEServers = []easyrtc.ICEServer{easyrtc.NewICEServer("stun:127.0.0.1:9")}
	s := &easyrtcSite{t: t, opts: opts, address: "127.0.0.1:0"}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("journal of the server:\n%s", s.records.String())
		}
	})
	s.start()
	return s
}

// start serves on the address of the last time, with nothing of what was then.
func (s *easyrtcSite) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	require.NoError(s.t, err)
	s.address = listener.Addr().String()
	s.url = "http://" + s.address
	s.signaling = easyrtc.NewServer(&s.opts)
	mux := http.NewServeMux()
	mux.Handle("/", easyrtcFiles())
	mux.Handle("/socket.io/", s.handler(s.signaling))
	s.web = &http.Server{Handler: mux}
	s.serving.Go(func() { _ = s.web.Serve(listener) })
}

// stop ends the server, its connections and its listener.
func (s *easyrtcSite) stop() {
	_ = s.signaling.Close()
	_ = s.web.Close()
	s.serving.Wait()
}

// handler serves connections, which it records, through gates.
func (s *easyrtcSite) handler(signaling *easyrtc.Server) http.Handler {
	log := slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return enginehttp.Handler(func(ctx context.Context, conn transport.Conn) error {
		g := &easyrtcGate{Conn: conn.(*enginehttp.Conn)}
		s.gates.add(g)
		return signaling.Serve(ctx, transport.Logged(g, log, beginning))
	}, &enginehttp.Options{AllowAnyOrigin: true, AllowCredentials: true})
}

// beginning returns as much of a message as a reader needs to know it.
func beginning(msg []byte) []byte { return msg[:min(len(msg), 300)] }

// Write takes a record of the log.
func (s *easyrtcSite) Write(record []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records.Write(record)
}

func (s *easyrtcSite) origin() string { return s.url }

func (s *easyrtcSite) members(room string) []string {
	var ids []string
	for _, o := range s.signaling.Occupants("default", room) {
		ids = append(ids, o.EasyrtcID)
	}
	return ids
}

func (s *easyrtcSite) complain(id, code, text string) {
	s.t.Helper()
	require.NoError(s.t, s.signaling.SendTo(id, &easyrtc.ErrorMessage{
		MsgData: &easyrtc.Error{ErrorCode: easyrtc.ErrorCode(code), ErrorText: text},
	}))
}

// An easyrtcGate is the server's end of a connection. It can hold back what the server says.
type easyrtcGate struct {
	*enginehttp.Conn
	mu    sync.Mutex
	holds []byte // what is in the first message that waits; nil while all go through
	held  []heldMessage
	first chan struct{} // closed when a message waits
}

type heldMessage struct {
	typ transport.MessageType
	msg []byte
}

// hold keeps back what the server says from the next message on that has the text in it, and
// returns what is closed by then.
func (g *easyrtcGate) hold(text string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds, g.first = []byte(text), make(chan struct{})
	return g.first
}

// release lets everything through.
func (g *easyrtcGate) release(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.held {
		require.NoError(t, g.Conn.Write(m.typ, m.msg))
	}
	g.holds, g.held = nil, nil
}

func (g *easyrtcGate) Write(typ transport.MessageType, msg []byte) error {
	return g.WriteBatch(typ, [][]byte{msg})
}

func (g *easyrtcGate) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(msgs)
	switch {
	case len(g.held) > 0:
		n = 0
	case g.holds != nil:
		if i := slices.IndexFunc(msgs, func(msg []byte) bool { return bytes.Contains(msg, g.holds) }); i >= 0 {
			n = i
			close(g.first)
		}
	}
	for _, msg := range msgs[n:] {
		g.held = append(g.held, heldMessage{typ, slices.Clone(msg)})
	}
	if n == 0 {
		return nil
	}
	return g.Conn.WriteBatch(typ, msgs[:n])
}
