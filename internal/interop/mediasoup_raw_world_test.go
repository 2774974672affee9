package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// mediasoupFramings are our framings by the envelopes of the real server.
var mediasoupFramings = map[string]mediasoupproto.Framing{
	overProtoo: mediasoupproto.Protoo, overProtoo2: mediasoupproto.Protoo2, overSocketIO: mediasoupproto.SocketIO,
}

// eitherMediasoup is a server of the protocol, the real one or ours, whose application is that
// of testdata/mediasoup/server.js.
type eitherMediasoup struct {
	t        *testing.T
	envelope string
	url      string
	real     *realMediasoup // nil for ours
	ours     *mediasoupproto.Server

	mu    sync.Mutex
	lines map[transport.Conn]net.Conn // the network below connections
}

// onMediasoup runs a test against the real server and ours, in each of the envelopes.
func onMediasoup(t *testing.T, envelopes []string, test func(t *testing.T, s *eitherMediasoup)) {
	t.Helper()
	t.Parallel()
	for _, envelope := range envelopes {
		t.Run(envelope+", mediasoup", func(t *testing.T) {
			t.Parallel()
			real := startMediasoup(t, envelope)
			test(t, &eitherMediasoup{t: t, envelope: envelope, url: real.url, real: real})
		})
		t.Run(envelope+", ours", func(t *testing.T) {
			t.Parallel()
			test(t, startOurMediasoup(t, envelope))
		})
	}
}

var everyEnvelope = []string{overProtoo, overProtoo2, overSocketIO}

// mediasoupRoom is what the rooms of both servers can do.
func mediasoupRoom() *mediasoupproto.RTPCapabilities {
	caps, err := mediasoupproto.GenerateRoomRTPCapabilities(mediasoupproto.DefaultCodecs())
	if err != nil {
		panic(err)
	}
	return caps
}

// startOurMediasoup starts our server, without media.
func startOurMediasoup(t *testing.T, envelope string) *eitherMediasoup {
	t.Helper()
	s := &eitherMediasoup{t: t, envelope: envelope}
	var logged strings.Builder // slog writes one record at a time
	s.ours = mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		ServerConfig: mediasoupproto.ServerConfig{
			Capabilities: mediasoupRoom(), AllowSpies: true, AllowPlainRTP: true, Rooms: -1,
		},
		Framing:  mediasoupFramings[envelope],
		AllowAll: true,
		Connection: func(ctx context.Context) (c mediasoupproto.Connection, err error) {
			query := wsconn.Request(ctx).URL.Query()
			c.Room, c.PeerName = query.Get("roomId"), query.Get("peerName")
			if c.Room == "" || c.PeerName == "" {
				return c, errors.New("no room, or no name")
			}
			return c, nil
		},
		Message: s.application,
		Limits:  mediasoupproto.Limits{Messages: -1, Bytes: -1},
		Logger:  slog.New(slog.NewTextHandler(&logged, nil)),
	})
	var handler http.Handler
	if envelope == overSocketIO {
		handler = enginehttp.Handler(s.ours.Serve, nil)
	} else {
		handler = wsconn.Handler(s.ours.Serve, &wsconn.Options{
			Subprotocols: []string{mediasoupproto.Subprotocol}, ReadLimit: 960_000, // as the real one
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "ws://" + listener.Addr().String()
	web := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		_ = s.ours.Close()
		_ = web.Close()
		<-done
		if t.Failed() {
			t.Logf("log of our server:\n%s", &logged)
		}
	})
	return s
}

// application is that of mediasoup's demo.
func (s *eitherMediasoup) application(
	_ context.Context, sess *mediasoupproto.ServerSession, m *mediasoupproto.Application,
) (json.RawMessage, error) {
	var data struct {
		DisplayName json.RawMessage        `json:"displayName"`
		ConsumerID  uint32                 `json:"consumerId"`
		Profile     mediasoupproto.Profile `json:"profile"`
	}
	_ = json.Unmarshal(m.Data, &data) // what is wrong is absent
	id := mediasoupproto.MediaID{Peer: sess.ID(), ID: data.ConsumerID}
	switch m.Method {
	case "change-display-name":
		peer, _ := sess.Peer()
		told, err := json.Marshal(object{"peerName": peer.PeerName, "displayName": data.DisplayName})
		if err != nil {
			return nil, err
		}
		for other := range s.ours.Sessions() {
			if p, ok := other.Peer(); ok && other != sess && p.Joined && p.Room == peer.Room {
				_ = other.Send(&mediasoupproto.Application{Method: "display-name-changed", Data: told})
			}
		}
		return nil, nil
	case "change-consumer-preferred-profile":
		return nil, s.ours.SetPreferredProfile(id, data.Profile)
	case "request-consumer-keyframe":
		return nil, s.ours.RequestKeyFrame(id)
	}
	return nil, &mediasoupproto.Error{
		Code: mediasoupproto.CodeNoPeer, Reason: fmt.Sprintf("unknown request.method %q", m.Method),
	}
}

// address returns where a peer of a room connects to.
func (s *eitherMediasoup) address(room, name string) string {
	return s.url + "/?" + url.Values{"roomId": {room}, "peerName": {name}}.Encode()
}

// dial opens a connection of a peer of a room, which can be cut.
func (s *eitherMediasoup) dial(ctx context.Context, room, name string) (transport.Conn, error) {
	var mu sync.Mutex
	var line net.Conn
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			line = conn
			return conn, err
		},
	}}
	var conn transport.Conn
	var err error
	if s.envelope == overSocketIO {
		conn, err = enginehttp.Dial(ctx, s.address(room, name), &enginehttp.Options{ReadLimit: 4 << 20, HTTPClient: client})
	} else {
		conn, err = wsconn.Dial(ctx, s.address(room, name), &wsconn.Options{
			ReadLimit: 4 << 20, HTTPClient: client, Subprotocols: []string{mediasoupproto.Subprotocol},
		})
	}
	if err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = make(map[transport.Conn]net.Conn)
	}
	s.lines[conn] = line
	return conn, nil
}

// cut ends a connection as a network does, without a word.
func (s *eitherMediasoup) cut(conn transport.Conn) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[conn]
	require.NotNil(s.t, line, "no connection of this server")
	require.NoError(s.t, line.Close())
}

// session returns our server's connection of a peer.
func (s *eitherMediasoup) session(room, name string) *mediasoupproto.ServerSession {
	s.t.Helper()
	sess := s.ours.Session(room, name)
	require.NotNil(s.t, sess, "no peer %s", name)
	return sess
}

// does has the server application do something with a transport, producer or consumer of a
// peer, by the name of a command of testdata/mediasoup/server.js.
func (s *eitherMediasoup) does(command, room, name string, id uint32, more string) {
	s.t.Helper()
	if s.real != nil {
		members := map[string]any{"room": room, "peer": name, "id": id}
		if more != "" {
			members[map[bool]string{true: "profile", false: "appData"}[strings.HasSuffix(command, "Profile")]] =
				json.RawMessage(more)
		}
		s.real.do(command, members)
		return
	}
	part, appData := mediasoupproto.MediaID{ID: id}, json.RawMessage(more)
	if command != "closeRoom" {
		part.Peer = s.session(room, name).ID()
	}
	var err error
	switch command {
	case "closeRoom":
		err = s.ours.CloseRoom(room)
	case "closePeer":
		err = s.session(room, name).ClosePeer(appData)
	case "closeTransport":
		err = s.ours.CloseTransport(part, appData)
	case "pauseProducer":
		err = s.ours.PauseProducer(part, appData)
	case "resumeProducer":
		err = s.ours.ResumeProducer(part, appData)
	case "closeProducer":
		err = s.ours.CloseProducer(part, appData)
	case "pauseConsumer":
		err = s.ours.PauseConsumer(part, appData)
	case "resumeConsumer":
		err = s.ours.ResumeConsumer(part, appData)
	case "setConsumerPreferredProfile":
		err = s.ours.SetPreferredProfile(part, mediasoupproto.Profile(strings.Trim(more, `"`)))
	default:
		require.FailNow(s.t, "no command "+command)
	}
	require.NoError(s.t, err, command)
}

// consumers returns how the server sees what a peer can receive.
func (s *eitherMediasoup) consumers(room, name string) []mediasoupPart {
	s.t.Helper()
	if s.real != nil {
		return s.real.peer(room, name).Consumers
	}
	state, ok := s.session(room, name).Peer()
	require.True(s.t, ok)
	var parts []mediasoupPart
	for _, c := range state.Consumers {
		p := mediasoupPart{ID: c.ID, Kind: string(c.Kind), Of: c.PeerName, PreferredProfile: string(c.PreferredProfile)}
		parts = append(parts, p)
	}
	return parts
}

// names returns who is in a room, sorted.
func (s *eitherMediasoup) names(room string) []string {
	s.t.Helper()
	names := make(map[string]bool)
	if s.real != nil {
		for _, p := range s.real.state(room).Peers {
			names[p.Name] = true
		}
	} else {
		for sess := range s.ours.Sessions() {
			if p, ok := sess.Peer(); ok && p.Joined && p.Room == room {
				names[p.PeerName] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
