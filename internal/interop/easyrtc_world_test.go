package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// An easyrtcWay is a way of our client to a server.
type easyrtcWay struct {
	name       string
	version    engineio.Version
	transports []string
	ends       string // the transport that it uses in the end
}

var (
	overWebSocket = []string{enginehttp.WebSocket}
	overPolling   = []string{enginehttp.Polling}
	overBoth      = []string{enginehttp.Polling, enginehttp.WebSocket}
)

// easyrtcWays are all of them.
var easyrtcWays = []easyrtcWay{
	{"Engine.IO 4, WebSocket", engineio.V4, overWebSocket, enginehttp.WebSocket},
	{"Engine.IO 4, polling and upgrade", engineio.V4, overBoth, enginehttp.WebSocket},
	{"Engine.IO 4, polling", engineio.V4, overPolling, enginehttp.Polling},
	{"Engine.IO 3, WebSocket", engineio.V3, overWebSocket, enginehttp.WebSocket},
	{"Engine.IO 3, polling and upgrade", engineio.V3, overBoth, enginehttp.WebSocket},
	{"Engine.IO 3, polling", engineio.V3, overPolling, enginehttp.Polling},
}

// An easyrtcSetup says what the server application does, the real one and ours. Values are
// JSON.
type easyrtcSetup struct {
	deny    []string            // credentials that it refuses
	refuse  []string            // rooms that nobody may join
	expect  map[string]string   // rooms that want this parameter
	ice     []easyrtc.ICEServer // what it answers
	iceFail bool                // or that it cannot
	answer  *easyrtc.Msg        // to messages for the server application

	applicationField, roomField, connectionField, sessionField map[string]string

	noNewApplications, noNewRooms, noDefaultRoom bool

	roomConnections int           // since 2.1.4
	stillAlive      time.Duration // between two signs of life, and how late one may be; 2.0.17 and ours
	io              string        // options of Socket.IO
}

// settings returns what the real server is told.
func (s *easyrtcSetup) settings(t *testing.T) easyrtcSettings {
	t.Helper()
	hooks, options := object{}, object{}
	raw := func(values []string) (list []json.RawMessage) {
		for _, v := range values {
			list = append(list, json.RawMessage(v))
		}
		return list
	}
	fields := func(values map[string]string) object {
		o := object{}
		for name, v := range values {
			o[name] = json.RawMessage(v)
		}
		return o
	}
	shared := func(values map[string]string) object {
		o := object{}
		for name, v := range values {
			o[name] = object{"fieldValue": json.RawMessage(v), "fieldOption": object{"isShared": true}}
		}
		return o
	}
	set := func(to object, name string, value any, is bool) {
		if is {
			to[name] = value
		}
	}
	set(hooks, "deny", raw(s.deny), s.deny != nil)
	set(hooks, "refuse", s.refuse, s.refuse != nil)
	set(hooks, "expect", fields(s.expect), s.expect != nil)
	set(hooks, "fields", object{"connection": fields(s.connectionField), "session": fields(s.sessionField)},
		s.connectionField != nil || s.sessionField != nil)
	if s.ice != nil {
		list := []object{}
		for _, server := range s.ice {
			list = append(list, iceObject(server))
		}
		hooks["ice"] = list
	}
	set(hooks, "ice", "error", s.iceFail)
	if s.answer != nil {
		hooks["answer"] = object{"msgType": s.answer.MsgType, "msgData": s.answer.MsgData}
	}
	set(options, "appAutoCreateEnable", false, s.noNewApplications)
	set(options, "roomAutoCreateEnable", false, s.noNewRooms)
	set(options, "roomDefaultEnable", false, s.noDefaultRoom)
	set(options, "roomMaxConnection", s.roomConnections, s.roomConnections != 0)
	set(options, "stillAliveInterval", s.stillAlive.Milliseconds(), s.stillAlive != 0)
	set(options, "stillAliveGracePeriod", s.stillAlive.Milliseconds(), s.stillAlive != 0)
	set(options, "appDefaultFieldObj", shared(s.applicationField), s.applicationField != nil)
	set(options, "roomDefaultFieldObj", shared(s.roomField), s.roomField != nil)
	text := func(o object) string {
		b, err := json.Marshal(o)
		require.NoError(t, err)
		return string(b)
	}
	return easyrtcSettings{options: text(options), io: s.io, hooks: text(hooks)}
}

func iceObject(s easyrtc.ICEServer) object {
	o := object{"urls": s.URLs}
	if s.Username != "" {
		o["username"], o["credential"] = s.Username, s.Credential
	}
	return o
}

// fieldMap returns fields as they stand on the wire.
func fieldMap(values map[string]string) easyrtc.FieldMap {
	fields := easyrtc.FieldMap{}
	for name, v := range values {
		fields.Set(name, json.RawMessage(v))
	}
	return fields
}

// options returns our server's.
func (s *easyrtcSetup) options() *easyrtc.ServerOptions {
	return &easyrtc.ServerOptions{
		ServerConfig: easyrtc.ServerConfig{
			NoNewApplications: s.noNewApplications, NoNewRooms: s.noNewRooms, NoDefaultRoom: s.noDefaultRoom,
			RoomConnections: s.roomConnections, StillAliveInterval: s.stillAlive, StillAliveGrace: s.stillAlive,
			ApplicationField: fieldMap(s.applicationField), RoomField: fieldMap(s.roomField),
			Applications: -1,
		},
		Limits: easyrtc.Limits{Messages: -1, Bytes: -1},
		Authenticate: func(_ context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
			if slices.ContainsFunc(s.deny, func(c string) bool { return sameJSON(c, string(l.Credential)) }) {
				return errors.New("denied")
			}
			l.Field, l.SessionField = fieldMap(s.connectionField), fieldMap(s.sessionField)
			return nil
		},
		AuthorizeRoomJoin: func(_ context.Context, _ *easyrtc.ServerSession, r *easyrtc.RoomEntry) error {
			want, asks := s.expect[r.Room]
			if slices.Contains(s.refuse, r.Room) || asks && !sameJSON(want, string(r.Parameter)) {
				return errors.New("refused")
			}
			return nil
		},
		ICEServersFor: func(context.Context, *easyrtc.ServerSession, easyrtc.ClientInfo) ([]easyrtc.ICEServer, error) {
			if s.iceFail {
				return nil, errors.New("no servers")
			}
			return s.ice, nil
		},
		Message: func(context.Context, *easyrtc.ServerSession, *easyrtc.Msg) (*easyrtc.Msg, error) {
			return s.answer, nil
		},
	}
}

// sameJSON reports whether two texts are the same value.
func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// An easyrtcServer is a server of the protocol, listening on loopback.
type easyrtcServer struct {
	t       *testing.T
	version easyrtcVersion // of the real one
	real    *realEasyRTC   // nil for ours
	ours    *easyrtc.Server
	url     string
	way     easyrtcWay // of clients that do not say

	stop func() // without telling anybody
	run  func() // after stop, perhaps at another address
	mu   sync.Mutex
	cuts map[transport.Conn]net.Conn // the network below connections
}

// is reports whether the server is the real one of a version.
func (s *easyrtcServer) is(v easyrtcVersion) bool { return s.real != nil && s.version == v }

// onEasyRTC runs a test against real servers and against ours.
func onEasyRTC(t *testing.T, setup easyrtcSetup, versions []easyrtcVersion, test func(t *testing.T, s *easyrtcServer)) {
	t.Helper()
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			test(t, startEasyRTC(t, v, setup))
		})
	}
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		test(t, startOurEasyRTC(t, setup))
	})
}

// easyrtcVersions are the real servers that most tests run against.
var easyrtcVersions = []easyrtcVersion{easyrtc218, easyrtc2017, easyrtc110}

// startEasyRTC starts a real server.
func startEasyRTC(t *testing.T, v easyrtcVersion, setup easyrtcSetup) *easyrtcServer {
	t.Helper()
	s := &easyrtcServer{t: t, version: v, way: easyrtcWays[0]}
	if v != easyrtc218 { // the others have older Socket.IO
		s.way = easyrtcWays[3]
	}
	s.run = func() {
		s.real = startRealEasyRTC(t, v, setup.settings(t))
		s.setURL(s.real.url)
	}
	s.stop = func() { require.NoError(t, s.real.stdin.(io.Closer).Close()) } // it lives until its input ends
	s.run()
	return s
}

// startOurEasyRTC starts our server.
func startOurEasyRTC(t *testing.T, setup easyrtcSetup) *easyrtcServer {
	t.Helper()
	s := &easyrtcServer{t: t, way: easyrtcWays[0]}
	opts := setup.options()
	var logged strings.Builder // slog writes one record at a time
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	s.run = func() {
		server := easyrtc.NewServer(opts)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		web := &http.Server{Handler: enginehttp.Handler(server.Serve, engineOptions(t, setup.io))}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = web.Serve(listener)
		}()
		s.ours = server
		s.setURL("http://" + listener.Addr().String())
		var once sync.Once
		s.stop = func() {
			once.Do(func() {
				_ = listener.Close()
				_ = server.Close()
				_ = web.Close()
				<-done
			})
		}
	}
	s.run()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of our server:\n%s", &logged)
		}
	})
	return s
}

// engineOptions returns what options of Socket.IO mean to our server.
func engineOptions(t *testing.T, io string) *enginehttp.Options {
	t.Helper()
	var o struct {
		PingInterval time.Duration `json:"pingInterval"` // in ms
		PingTimeout  time.Duration `json:"pingTimeout"`
	}
	if io != "" {
		require.NoError(t, json.Unmarshal([]byte(io), &o))
	}
	return &enginehttp.Options{
		PingInterval: o.PingInterval * time.Millisecond, PingTimeout: o.PingTimeout * time.Millisecond,
	}
}

// setURL sets where the server is to be found, of which clients may be reading.
func (s *easyrtcServer) setURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = url
}

// dial opens a connection to the server, which can be cut.
func (s *easyrtcServer) dial(ctx context.Context) (transport.Conn, error) {
	return s.dialBy(ctx, s.way)
}

func (s *easyrtcServer) dialBy(ctx context.Context, way easyrtcWay) (transport.Conn, error) {
	s.mu.Lock()
	url := s.url
	s.mu.Unlock()
	var mu sync.Mutex
	var lines []net.Conn
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			line, err := new(net.Dialer).DialContext(ctx, network, addr)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				lines = append(lines, line)
			}
			return line, err
		},
	}}
	conn, err := enginehttp.Dial(ctx, url, &enginehttp.Options{
		Version: way.version, Transports: way.transports, ReadLimit: 4 << 20, HTTPClient: client,
		ASCII: s.version == easyrtc110, // Socket.IO 1 does not understand other text when it is polled
	})
	if err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cuts == nil {
		s.cuts = make(map[transport.Conn]net.Conn)
	}
	s.cuts[conn] = lines[len(lines)-1]
	return conn, nil
}

// cut ends a connection over WebSocket as a network does, without a word.
func (s *easyrtcServer) cut(conn transport.Conn) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.cuts[conn]
	require.True(s.t, line != nil, "no connection of this server")
	require.NoError(s.t, line.Close())
}

// An easyrtcClient is our client, which keeps what it is told.
type easyrtcClient struct {
	*easyrtc.Client
	*hearing[easyrtc.Message]
	s    *easyrtcServer
	conn transport.Conn // the first one
}

// connect connects a client and reads what it is told. opts may be nil.
func (s *easyrtcServer) connect(t *testing.T, opts *easyrtc.ClientOptions) *easyrtcClient {
	t.Helper()
	return s.connectBy(t, s.way, opts)
}

func (s *easyrtcServer) connectBy(t *testing.T, way easyrtcWay, opts *easyrtc.ClientOptions) *easyrtcClient {
	t.Helper()
	c := s.unread(t, way, opts)
	c.listen(func() error { return c.all(c.Messages(context.Background())) }, c.Close)
	return c
}

// unread connects a client that is still to be listened to.
func (s *easyrtcServer) unread(t *testing.T, way easyrtcWay, opts *easyrtc.ClientOptions) *easyrtcClient {
	t.Helper()
	ctx := bounded(t)
	conn, err := s.dialBy(ctx, way)
	require.NoError(t, err)
	inner, err := easyrtc.Connect(ctx, conn, opts)
	require.NoError(t, err)
	return &easyrtcClient{Client: inner, hearing: newHearing(t, easyrtc.Encode), s: s, conn: conn}
}

// login connects a client that logs in, into rooms or the default one.
func (s *easyrtcServer) login(t *testing.T, user string, rooms ...string) *easyrtcClient {
	t.Helper()
	c := s.connect(t, nil)
	c.enter(&easyrtc.Login{Username: user, Rooms: rooms})
	return c
}

// enter logs in.
func (c *easyrtcClient) enter(l *easyrtc.Login) *easyrtc.TokenData {
	c.t.Helper()
	token, err := c.Login(bounded(c.t), l)
	require.NoError(c.t, err)
	require.Equal(c.t, c.EasyrtcID(), token.EasyrtcID)
	return token
}

// hears returns the next message of a type for which match, unless it is nil, says yes,
// after the last one that it has returned.
func hears[E easyrtc.Message](c *easyrtcClient, what string, match func(E) bool) E {
	c.t.Helper()
	return nextOf(c.hearing, what, match)
}

// settle waits until the client has been told of everything that happened before, and
// returns what it was told since the last message that was expected.
func (c *easyrtcClient) settle() []easyrtc.Message {
	c.t.Helper()
	offer, err := easyrtc.NewOffer(c.EasyrtcID(), "mark") // servers relay signals to oneself
	require.NoError(c.t, err)
	_, err = c.Call(bounded(c.t), offer)
	require.NoError(c.t, err)
	from := c.seen
	hears(c, "mark", func(m *easyrtc.Offer) bool { return m.SenderEasyrtcID == c.EasyrtcID() })
	return c.before(from)
}

// occupant waits until somebody is in a room as match wants him.
func (c *easyrtcClient) occupant(room, id string, match func(*easyrtc.Occupant) bool) *easyrtc.Occupant {
	c.t.Helper()
	o, err := c.AwaitOccupant(bounded(c.t), room, func(o *easyrtc.Occupant) bool {
		return o.EasyrtcID == id && (match == nil || match(o))
	})
	require.NoError(c.t, err, "%s in %s, where there are %v", id, room, keys(c.Occupants(room)))
	return o
}

// gone waits until somebody is not in a room any more.
func (c *easyrtcClient) gone(room, id string) {
	c.t.Helper()
	eventually(c.t, "departure from "+room, func() bool { return c.Occupants(room)[id] == nil })
}

// usernames are those of the occupants of a room, sorted.
func (c *easyrtcClient) usernames(room string) []string {
	names := []string{}
	for o := range maps.Values(c.Occupants(room)) {
		if o.Username == nil {
			names = append(names, "")
		} else {
			names = append(names, *o.Username)
		}
	}
	slices.Sort(names)
	return names
}

// refused demands an error of the server.
func refused(t *testing.T, code easyrtc.ErrorCode, err error) {
	t.Helper()
	e, ok := errors.AsType[*easyrtc.Error](err)
	require.True(t, ok, "%v is no error of the server", err)
	require.Equal(t, code, e.ErrorCode)
	require.Equal(t, code.Text(), e.ErrorText)
}

// members returns the ids of those whom the server knows in a room, sorted.
func (s *easyrtcServer) members(room string) []string {
	s.t.Helper()
	var ids []string
	if s.real != nil {
		ids = slices.Clone(s.real.do("state", nil).Apps["default"].Rooms[room])
	} else {
		for _, o := range s.ours.Occupants("default", room) {
			ids = append(ids, o.EasyrtcID)
		}
	}
	slices.Sort(ids)
	return ids
}

// forget has the test not mind what the real server has written between its reports.
func (s *easyrtcServer) forget(line string) {
	s.t.Helper()
	if s.real == nil {
		return
	}
	await(s.t, "line", &s.real.reports.journal, func(e easyrtcReport) bool { return e.Text == line })
	j := &s.real.reports.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = slices.DeleteFunc(j.entries, func(e easyrtcReport) bool { return e.Text == line })
}

// push has the server application send an event to a client.
func (s *easyrtcServer) push(id string, m easyrtc.Message) {
	s.t.Helper()
	if s.real == nil {
		require.NoError(s.t, s.ours.SendTo(id, m))
		return
	}
	text, err := easyrtc.Encode(m)
	require.NoError(s.t, err)
	var args []json.RawMessage
	require.NoError(s.t, json.Unmarshal(text[1:], &args))
	var o struct {
		MsgType string          `json:"msgType"`
		MsgData json.RawMessage `json:"msgData"`
	}
	require.NoError(s.t, json.Unmarshal(args[1], &o))
	command := "push"
	if _, ok := m.(*easyrtc.Msg); ok {
		command = "message"
	}
	s.real.do(command, map[string]any{"easyrtcid": id, "msgType": o.MsgType, "msgData": o.MsgData})
}

// setRoomField has the server application set a field of a room.
func (s *easyrtcServer) setRoomField(room, name, value string) {
	s.t.Helper()
	if s.real == nil {
		require.NoError(s.t, s.ours.AddRoom("default", room, fieldMap(map[string]string{name: value})))
		return
	}
	s.real.do("field", map[string]any{"scope": "room", "room": room, "name": name, "value": json.RawMessage(value)})
}

// setSessionField has the server application set a field of a session.
func (s *easyrtcServer) setSessionField(sid, name, value string) {
	s.t.Helper()
	if s.real != nil {
		s.real.do("field", map[string]any{
			"scope": "session", "easyrtcsid": sid, "name": name, "value": json.RawMessage(value),
		})
		return
	}
	for sess := range s.ours.Sessions() {
		if c, ok := sess.Client(); ok && c.EasyrtcSID == sid {
			require.NoError(s.t, sess.SetSessionField(fieldMap(map[string]string{name: value})))
			return
		}
	}
	require.FailNow(s.t, "no session "+sid)
}

// throwOut has the server application disconnect a client.
func (s *easyrtcServer) throwOut(id string) {
	s.t.Helper()
	if s.real != nil {
		s.real.do("disconnect", map[string]any{"easyrtcid": id})
		return
	}
	for sess := range s.ours.Sessions() {
		if c, ok := sess.Client(); ok && c.EasyrtcID == id {
			sess.Disconnect()
			return
		}
	}
	require.FailNow(s.t, fmt.Sprintf("no client %s", id))
}
