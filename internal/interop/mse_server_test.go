package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A liteServer is the server that uses jsonrpc-lite, running.
type liteServer struct {
	process *peer.Process
	url     string // without the query
}

func startLiteServer(t *testing.T) *liteServer {
	t.Helper()
	cmd := liteCommand(t, "server.mjs")
	_, err := cmd.StdinPipe() // the server ends with it, whatever becomes of the test
	require.NoError(t, err)
	s := &liteServer{process: peer.Start(t, cmd)}
	for _, r := range s.await(t, 2, func(liteReport) bool { return true }) {
		if r.Kind == "listening" {
			s.url = fmt.Sprintf("ws://127.0.0.1:%s/", r.Payload)
		}
	}
	require.NotEmpty(t, s.url)
	logLiteVersions(t, liteReports(t, s.process.Output()))
	return s
}

// await returns the reports for which match says yes, when there are n.
func (s *liteServer) await(t *testing.T, n int, match func(liteReport) bool) []liteReport {
	t.Helper()
	var found []liteReport
	come := peer.Await(patience, func() bool {
		found = found[:0]
		for _, r := range liteReports(t, s.process.Output()) {
			if match(r) {
				found = append(found, r)
			}
		}
		return len(found) >= n || s.process.Ended()
	})
	require.True(t, come && !s.process.Ended(), "%d reports have not come: %v", n, found)
	return found
}

// saw demands that the connection with this query, of which there must be one and which
// must not be empty, has sent what is wanted, see [liteReport.String], and nothing else.
// The last must be its end.
func (s *liteServer) saw(t *testing.T, query string, want ...string) {
	t.Helper()
	var got []string
	for _, r := range s.await(t, len(want), func(r liteReport) bool { return r.Query == query }) {
		got = append(got, r.String())
	}
	require.Equal(t, want, got)
}

// dial opens a connection with a query.
func (s *liteServer) dial(t *testing.T, query string) transport.Conn {
	t.Helper()
	conn, err := wsconn.Dial(t.Context(), s.url+"?"+query, nil)
	require.NoError(t, err)
	return conn
}

// connect starts a session of our client on a connection with a query.
func (s *liteServer) connect(t *testing.T, query string, opts *msejsonrpc.ClientOptions) *msejsonrpc.Client {
	t.Helper()
	c, err := msejsonrpc.Connect(bounded(t), s.dial(t, query), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// bounded returns a context for the waits of a test.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// next returns the next message of a client, which must be an E.
func next[E msejsonrpc.Message](t *testing.T, c *msejsonrpc.Client) E {
	t.Helper()
	m, err := c.Next(bounded(t))
	require.NoError(t, err)
	require.IsType(t, *new(E), m)
	return m.(E)
}

// awaitEnd waits until a client has ended.
func awaitEnd(t *testing.T, c *msejsonrpc.Client) {
	t.Helper()
	select {
	case <-c.Done():
	case <-bounded(t).Done():
		require.Fail(t, "the client has not ended")
	}
}

// ask makes a message of a method that only the server in testdata has.
func ask(t *testing.T, id msejsonrpc.ID, method string, params object) *msejsonrpc.Unknown {
	t.Helper()
	b, err := json.Marshal(params)
	require.NoError(t, err)
	return &msejsonrpc.Unknown{Type: method, ID: id, Extra: msejsonrpc.Fields{"params": b}}
}

func TestMSEOurClientHoldsASessionWithJSONRPCLite(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	for _, query := range []string{
		"ids=number&notifications=null", // as in the document
		"ids=float", "notifications=absent", "ids=float&notifications=absent",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			c := s.connect(t, query, &msejsonrpc.ClientOptions{Token: "user"})
			require.Equal(t, msejsonrpc.ClientActive, c.State())
			offer := next[*msejsonrpc.SDPOffer](t, c)
			require.True(t, offer.ID.IsNotification())
			d, err := offer.Description()
			require.NoError(t, err)
			require.Equal(t, msejsonrpc.SessionDescription{SDP: "v=0 of the server"}, d)

			require.NoError(t, c.Ping(bounded(t)))
			i, err := c.WhoAmI(bounded(t))
			require.NoError(t, err)
			requireIdentity(t, i)

			exchangeDescriptions(t, c)
			exchangeCandidates(t, c)
			require.NoError(t, c.Disconnect())
			require.NoError(t, c.Err())
			require.Zero(t, c.Ignored())
			s.saw(t, query,
				`request 1 auth {"token":"user","version":"1.0"}`,
				"request 2 start",
				"request 3 ping",
				"request 4 whoami",
				`null id: notification sdpOffer {"offer":"v=0"}`,
				`null id: notification sdpOffer {"offer":{"type":"offer","sdp":"v=0"}}`,
				`notification sdpOffer {"offer":"v=0"}`,
				`null id: notification iceCandidate {"candidate":"candidate:1"}`,
				`null id: notification iceCandidate {"candidate":{"candidate":"candidate:1","sdpMid":"0",`+
					`"sdpMLineIndex":null,"usernameFragment":null}}`,
				`null id: notification iceCandidate {"candidate":""}`,
				"null id: notification disconnect",
				"closed 1000",
			)
		})
	}
}

// requireIdentity demands what the server says to whoami, which has dates in all forms.
func requireIdentity(t *testing.T, i *msejsonrpc.Identity) {
	t.Helper()
	require.Equal(t, "example.org", i.Domain)
	require.Equal(t, msejsonrpc.AgentWeb, i.Agent)
	require.Equal(t, msejsonrpc.RoleUser, i.Role)
	require.Equal(t, "u1", i.UserID)
	require.Equal(t, "r1", i.RoomID)
	require.Equal(t, "127.0.0.1", i.IPAddress)
	begin := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for date, want := range map[msejsonrpc.Date]time.Time{
		i.TokenIssued: begin,
		i.ValidFrom:   begin,
		i.ValidTo:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got, ok := date.Time()
		require.True(t, ok, date)
		require.WithinDuration(t, want, got, 0)
	}
}

// exchangeDescriptions sends descriptions in all forms and reads the answers.
func exchangeDescriptions(t *testing.T, c *msejsonrpc.Client) {
	t.Helper()
	d := msejsonrpc.SessionDescription{Type: "offer", SDP: "v=0"}
	absent := msejsonrpc.NewSDPOffer(d, msejsonrpc.FormString)
	absent.ID = msejsonrpc.AbsentID
	for _, m := range []*msejsonrpc.SDPOffer{
		msejsonrpc.NewSDPOffer(d, msejsonrpc.FormString), msejsonrpc.NewSDPOffer(d, msejsonrpc.FormObject), absent,
	} {
		require.NoError(t, c.Send(m))
		sent, err := m.Description()
		require.NoError(t, err)
		got, err := next[*msejsonrpc.SDPOffer](t, c).Description()
		require.NoError(t, err)
		want := msejsonrpc.SessionDescription{SDP: "answer to v=0"}
		if sent.Type != "" {
			want.Type = "answer"
		}
		require.Equal(t, want, got)
	}
}

// exchangeCandidates sends candidates in all forms and gets them back.
func exchangeCandidates(t *testing.T, c *msejsonrpc.Client) {
	t.Helper()
	candidate := msejsonrpc.ICECandidateInit{Candidate: "candidate:1", SDPMid: new("0")}
	for _, m := range []*msejsonrpc.ICECandidate{
		msejsonrpc.NewICECandidate(candidate, msejsonrpc.FormString),
		msejsonrpc.NewICECandidate(candidate, msejsonrpc.FormObject),
		msejsonrpc.NewICECandidate(msejsonrpc.ICECandidateInit{}, msejsonrpc.FormString),
	} {
		require.NoError(t, c.Send(m))
		want, err := m.Init()
		require.NoError(t, err)
		got, err := next[*msejsonrpc.ICECandidate](t, c).Init()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestMSEOurClientIsRefusedByJSONRPCLite(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	tests := []struct {
		token    string
		want     *msejsonrpc.Error
		required string
		last     string // request
	}{
		{"refused", msejsonrpc.ErrAuthorizationFailed, "", ""},
		{"guest", msejsonrpc.ErrUnauthorizedAccess, "", "request 2 start"},
		{"forgotten", msejsonrpc.ErrInvalidCallOrder, "auth", "request 2 start"},
	}
	for _, tt := range tests {
		t.Run(tt.token, func(t *testing.T) {
			t.Parallel()
			query := "as=" + tt.token
			c, err := msejsonrpc.Connect(bounded(t), s.dial(t, query), &msejsonrpc.ClientOptions{Token: tt.token})
			require.Nil(t, c)
			require.ErrorIs(t, err, tt.want)
			require.ErrorIs(t, err, msejsonrpc.ErrNotAuthorized)
			e, ok := errors.AsType[*msejsonrpc.Error](err)
			require.True(t, ok)
			require.Equal(t, tt.want.Message, e.Message)
			require.Equal(t, tt.required, e.Required())
			want := []string{`request 1 auth {"token":"` + tt.token + `","version":"1.0"}`}
			if tt.last != "" {
				want = append(want, tt.last)
			}
			s.saw(t, query, append(want, "closed 1000")...)
		})
	}
}

func TestMSEOurClientAuthenticatesWithJSONRPCLiteByHand(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	const query = "by=hand"
	c := s.connect(t, query, nil)
	require.NoError(t, c.Ping(bounded(t)))
	_, ok := errors.AsType[*msejsonrpc.StateError](c.Start(bounded(t)))
	require.True(t, ok, "the client knows the call order")
	require.ErrorIs(t, c.Auth(bounded(t), "refused"), msejsonrpc.ErrAuthorizationFailed)
	require.NoError(t, c.Auth(bounded(t), "guest"))
	require.ErrorIs(t, c.Start(bounded(t)), msejsonrpc.ErrUnauthorizedAccess)
	require.NoError(t, c.Auth(bounded(t), "user"))
	_, err := c.WhoAmI(bounded(t))
	require.NoError(t, err)
	require.NoError(t, c.Start(bounded(t)))
	next[*msejsonrpc.SDPOffer](t, c)
	require.NoError(t, c.Close())
	s.saw(t, query,
		"request 1 ping",
		`request 2 auth {"token":"refused","version":"1.0"}`,
		`request 3 auth {"token":"guest","version":"1.0"}`,
		"request 4 start",
		`request 5 auth {"token":"user","version":"1.0"}`,
		"request 6 whoami",
		"request 7 start",
		"closed 1000",
	)
}

func TestMSEOurClientKnowsTheErrorsOfJSONRPCLite(t *testing.T) {
	t.Parallel()
	c := startLiteServer(t).connect(t, "", nil)
	for i, want := range []*msejsonrpc.Error{
		msejsonrpc.ErrParse, msejsonrpc.ErrInvalidObject, msejsonrpc.ErrMethodNotFound, msejsonrpc.ErrInvalidParams,
		msejsonrpc.ErrAuthorizationFailed, msejsonrpc.ErrUnauthorizedAccess, msejsonrpc.ErrInvalidCallOrder, msejsonrpc.ErrInternal,
	} {
		id := msejsonrpc.StringID(fmt.Sprintf("error %d", i))
		_, err := c.Call(bounded(t), ask(t, id, "fail", object{
			"code": want.Code, "message": "in other words", "data": object{"required": "auth"},
		}))
		require.ErrorIs(t, err, want)
		e, ok := errors.AsType[*msejsonrpc.Error](err)
		require.True(t, ok)
		require.Equal(t, "in other words", e.Message)
		require.JSONEq(t, `{"required":"auth"}`, string(e.Data))
	}
	_, err := c.Call(bounded(t), ask(t, msejsonrpc.StringID("unknown"), "toString", object{}))
	require.ErrorIs(t, err, msejsonrpc.ErrMethodNotFound)
	require.NoError(t, c.Ping(bounded(t)))
}

// A server on jsonrpc-lite that does not know about null ids takes the document's
// notifications for requests that are no messages. Without an id it takes them.
func TestMSEOurClientHearsOfTheNotificationsThatJSONRPCLiteRefuses(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	for _, code := range []msejsonrpc.ErrorCode{msejsonrpc.CodeInvalidObject, msejsonrpc.CodeInvalidRequest} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			t.Parallel()
			query := fmt.Sprintf("null=refused&invalid=%d", code)
			c := s.connect(t, query, &msejsonrpc.ClientOptions{Token: "user"})
			next[*msejsonrpc.SDPOffer](t, c)

			require.NoError(t, c.SendOffer(msejsonrpc.SessionDescription{SDP: "v=0"}))
			refusal := next[*msejsonrpc.Response](t, c)
			require.Equal(t, msejsonrpc.NullID, refusal.ID)
			require.Equal(t, code, refusal.Error.Code)
			require.ErrorIs(t, refusal.Error, msejsonrpc.ErrInvalidObject)

			offer := msejsonrpc.NewSDPOffer(msejsonrpc.SessionDescription{SDP: "v=0"}, msejsonrpc.FormString)
			offer.ID = msejsonrpc.AbsentID
			require.NoError(t, c.Send(offer))
			next[*msejsonrpc.SDPOffer](t, c)
			require.NoError(t, c.Ping(bounded(t)))
			require.NoError(t, c.Send(&msejsonrpc.Disconnect{ID: msejsonrpc.AbsentID}))
			awaitEnd(t, c)
			require.NoError(t, c.Err())
			s.saw(t, query,
				`request 1 auth {"token":"user","version":"1.0"}`,
				"request 2 start",
				`null id: notification sdpOffer {"offer":"v=0"}`,
				`notification sdpOffer {"offer":"v=0"}`,
				"request 3 ping",
				"notification disconnect",
				"closed 1000",
			)
		})
	}
}

// The ids of our client are integers to jsonrpc-lite as long as the application does not
// choose others; an error about an id that is none comes without it.
func TestMSEOurClientPairsTheIDsOfJSONRPCLite(t *testing.T) {
	t.Parallel()
	c := startLiteServer(t).connect(t, "", nil)
	for _, id := range []msejsonrpc.ID{
		msejsonrpc.NumberID(0), msejsonrpc.NumberID(1<<53 - 1), msejsonrpc.StringID("one"), msejsonrpc.StringID("\"\u2028 🙂"),
	} {
		r, err := c.Call(bounded(t), &msejsonrpc.Ping{ID: id})
		require.NoError(t, err)
		require.Equal(t, unquoted(t, id), unquoted(t, r.ID))
	}
	for _, id := range []msejsonrpc.ID{msejsonrpc.NumberID(1 << 53), msejsonrpc.StringID("")} {
		require.NoError(t, c.Send(&msejsonrpc.Ping{ID: id}))
		refusal := next[*msejsonrpc.Response](t, c)
		require.Equal(t, msejsonrpc.NullID, refusal.ID)
		require.ErrorIs(t, refusal.Error, msejsonrpc.ErrInvalidObject)
	}
	require.NoError(t, c.Ping(bounded(t)))
}

func unquoted(t *testing.T, id msejsonrpc.ID) (value any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(id.String()), &value))
	return value
}

func TestMSEJSONRPCLiteUnderstandsWhatOurClientAnswers(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	const query = "asks=us"
	c := s.connect(t, query, nil)
	says := func(id any, method string, params any) {
		t.Helper()
		require.NoError(t, c.Send(ask(t, msejsonrpc.NullID, "say", object{
			"request": object{"id": id, "method": method, "params": params},
		})))
	}
	says(1, "sdpOffer", object{"offer": "v=0"})
	says("chat", "chat", object{"to": []string{}, "message": "hello"})
	says(2, "ping", object{})
	says(3, "auth", object{"token": 1})
	says(4, "toString", []int{})
	require.NoError(t, c.Send(ask(t, msejsonrpc.NullID, "say", object{
		"text": `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"too early"}}`,
	})))
	require.NoError(t, c.Auth(bounded(t), "user"))
	require.NoError(t, c.Start(bounded(t)))
	require.Equal(t, uint64(1), c.Ignored())
	next[*msejsonrpc.SDPOffer](t, c)

	says(5, "sdpOffer", object{"offer": 1})
	says(6, "sdpOffer", object{"offer": "with an id"}) // not answered
	require.JSONEq(t, `"with an id"`, string(next[*msejsonrpc.SDPOffer](t, c).Offer))
	require.NoError(t, c.Disconnect())

	var got []string
	ours := func(r liteReport) bool { return r.Query == query && (r.Kind == "error" || r.Kind == "closed") }
	for _, r := range s.await(t, 7, ours) {
		got = append(got, r.String())
	}
	require.Equal(t, []string{
		`error 1 -6001 Invalid Call Order {"required":"start"}`,
		`error "chat" -6001 Invalid Call Order {"required":"auth"}`,
		"error 2 -32601 Method not found",
		"error 3 -32601 Method not found",
		"error 4 -32601 Method not found",
		"error 5 -32602 Invalid params",
		"closed 1000",
	}, got)
}

func TestMSEOurClientClosesTheConnectionWhenAServerSendsNoMessage(t *testing.T) {
	t.Parallel()
	s := startLiteServer(t)
	for name, text := range map[string]string{
		"garbage": "garbage",
		"batch":   `[{"id":1,"jsonrpc":"2.0","result":"pong"}]`,
		"version": `{"id":1,"jsonrpc":"1.0","result":"pong"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query := "sends=" + name
			c := s.connect(t, query, nil)
			require.NoError(t, c.Send(ask(t, msejsonrpc.NullID, "say", object{"text": text})))
			awaitEnd(t, c)
			_, ok := errors.AsType[*msejsonrpc.DecodeError](c.Err())
			require.True(t, ok, "%v", c.Err())
			reports := s.await(t, 2, func(r liteReport) bool { return r.Query == query })
			require.Equal(t, "closed 1007 not a message", reports[1].String())
		})
	}
}
