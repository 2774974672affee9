package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A liteSay is what the client that uses jsonrpc-lite sends. The zero value is nothing.
type liteSay struct {
	Say     string `json:"say,omitempty"`
	ID      any    `json:"id,omitempty"`
	Method  string `json:"method,omitempty"`
	Params  any    `json:"params,omitempty"`
	Result  any    `json:"result,omitempty"`
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Text    string `json:"text"`
	Await   int    `json:"await,omitempty"`
}

func liteRequest(id any, method string, params any) liteSay {
	return liteSay{Say: "request", ID: id, Method: method, Params: params}
}

// liteNotification has no id.
func liteNotification(method string, params any) liteSay {
	return liteSay{Say: "notification", Method: method, Params: params}
}

// liteText is for what jsonrpc-lite refuses to build.
func liteText(text string) liteSay { return liteSay{Say: "text", Text: text} }

// An exchange is what the client sends and what then comes, see [liteReport.String]. What
// came must be all: an answer too many is taken for that of the next exchange.
type exchange struct {
	say  liteSay
	want []string
}

func says(say liteSay, want ...string) exchange { return exchange{say, want} }

// object is an object of JSON.
type object = map[string]any

func auth(id any, token string) liteSay {
	return liteRequest(id, "auth", object{"token": token, "version": "1.0"})
}

// An mseServer is our server, listening on loopback. Tokens mean what they say: "user"
// and "admin" are roles, "broken" breaks the hook, others are refused. Each session sends
// back what it gets, first with the id null, then without one.
type mseServer struct {
	*msejsonrpc.Server
	url     string
	got     journal[msejsonrpc.Message]   // by its sessions
	ignored journal[msejsonrpc.Violation] // by the server
}

func startMSEServer(t *testing.T, cfg msejsonrpc.ServerConfig) *mseServer {
	t.Helper()
	s := new(mseServer)
	s.Server = msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		ServerConfig: cfg,
		Authenticate: func(_ context.Context, _ *msejsonrpc.ServerSession, auth *msejsonrpc.Auth) (*msejsonrpc.Identity, error) {
			switch auth.Token {
			case "user", "admin":
				return &msejsonrpc.Identity{
					Domain: "example.org", Agent: msejsonrpc.AgentWeb, Role: msejsonrpc.Role(auth.Token), UserID: "u1", RoomID: "r1",
					IPAddress: "127.0.0.1", ValidFrom: msejsonrpc.NewDate(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)),
				}, nil
			case "broken":
				return nil, errors.New("the hook has failed")
			}
			return nil, msejsonrpc.ErrAuthorizationFailed
		},
		Handle: func(ctx context.Context, sess *msejsonrpc.ServerSession) error {
			for m, err := range sess.Messages(ctx) {
				if err != nil {
					return nil // the connection has ended
				}
				s.got.add(m)
				if err := sendTwice(sess, m); err != nil {
					return err
				}
			}
			return nil
		},
		OnIgnored: func(_ *msejsonrpc.ServerSession, v msejsonrpc.Violation) { s.ignored.add(v) },
	})
	listener := httptest.NewServer(wsconn.Handler(s.Serve, nil))
	s.url = "ws" + strings.TrimPrefix(listener.URL, "http")
	t.Cleanup(func() {
		_ = s.Close()
		listener.Close()
	})
	return s
}

// sendTwice sends a description or a candidate in both forms of a notification.
func sendTwice(sess *msejsonrpc.ServerSession, m msejsonrpc.Message) error {
	for _, id := range []msejsonrpc.ID{msejsonrpc.NullID, msejsonrpc.AbsentID} {
		var out msejsonrpc.Message
		switch m := m.(type) {
		case *msejsonrpc.SDPOffer:
			out = &msejsonrpc.SDPOffer{ID: id, Offer: m.Offer}
		case *msejsonrpc.ICECandidate:
			out = &msejsonrpc.ICECandidate{ID: id, Candidate: m.Candidate}
		}
		if err := sess.Send(out); err != nil {
			return err
		}
	}
	return nil
}

// converse lets a client talk to the server, and demands that it sees what the exchanges
// say.
func (s *mseServer) converse(t *testing.T, exchanges ...exchange) {
	t.Helper()
	steps := make([]liteSay, 0, len(exchanges))
	for _, e := range exchanges {
		e.say.Await = len(e.want)
		steps = append(steps, e.say)
	}
	cmd := liteCommand(t, "client.mjs", s.url)
	cmd.Stdin = jsonLines(t, steps)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, &stderr)
	reports := liteReports(t, string(out))
	logLiteVersions(t, reports)
	got := make([][]string, len(exchanges))
	for _, r := range reports[1:] {
		require.Less(t, r.Step, len(got), "unexpected: %s", r)
		got[r.Step] = append(got[r.Step], r.String())
	}
	for i, e := range exchanges {
		require.Equal(t, e.want, got[i], "exchange %d: %+v", i, e.say)
	}
}

// ping makes sure that nothing was sent before: answers come in order.
func ping(id any) exchange {
	token, _ := json.Marshal(id) // numbers and strings
	return says(liteRequest(id, "ping", nil), "success "+string(token)+` "pong"`)
}

func TestMSEJSONRPCLiteHoldsASessionWithOurServer(t *testing.T) {
	t.Parallel()
	s := startMSEServer(t, msejsonrpc.ServerConfig{WhoAmI: true})
	const (
		line       = "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host"
		quotedLine = `"` + line + `"`
		init       = `{"candidate":` + quotedLine + `,"sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}`
	)
	s.converse(t,
		ping(1),
		says(auth(2, "user"), `success 2 "authenticated"`),
		says(liteRequest(3, "whoami", nil), `success 3 {"domain":"example.org","agent":"web","role":"user","userId":"u1",`+
			`"roomId":"r1","ipAddress":"127.0.0.1","tokenIssued":"","validFrom":"2025-01-01T00:00:00Z","validTo":""}`),
		says(auth(4, "admin"), `success 4 "authenticated"`), // a fresh token, as is allowed until start
		says(liteRequest(5, "start", nil), `success 5 "started"`),
		// jsonrpc-lite calls the document's notifications invalid and cannot build them;
		// our server takes both forms and can send both.
		says(liteNotification("sdpOffer", object{"offer": "v=0"}),
			`null id: notification sdpOffer {"offer":"v=0"}`, `notification sdpOffer {"offer":"v=0"}`),
		says(liteText(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"v=0"}}`),
			`null id: notification sdpOffer {"offer":"v=0"}`, `notification sdpOffer {"offer":"v=0"}`),
		says(liteNotification("sdpOffer", object{"offer": object{"type": "answer", "sdp": "v=0"}}),
			`null id: notification sdpOffer {"offer":{"sdp":"v=0","type":"answer"}}`,
			`notification sdpOffer {"offer":{"sdp":"v=0","type":"answer"}}`),
		says(liteNotification("iceCandidate", object{"candidate": line}),
			`null id: notification iceCandidate {"candidate":`+quotedLine+`}`,
			`notification iceCandidate {"candidate":`+quotedLine+`}`),
		says(liteText(`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":`+init+`}}`),
			`null id: notification iceCandidate {"candidate":`+init+`}`, `notification iceCandidate {"candidate":`+init+`}`),
		// With an id: no success, but errors.
		says(liteRequest(6, "sdpOffer", object{"offer": "v=1"}),
			`null id: notification sdpOffer {"offer":"v=1"}`, `notification sdpOffer {"offer":"v=1"}`),
		says(liteRequest(7, "sdpOffer", object{"offer": 1}), "error 7 -32602 Invalid params"),
		says(liteNotification("sdpOffer", object{"offer": 1})),
		says(auth(8, "user"), `error 8 -6001 Invalid Call Order {"required":"disconnect"}`),
		says(liteRequest(9, "start", nil), `error 9 -6001 Invalid Call Order {"required":"disconnect"}`),
		ping("last"),
		says(liteNotification("disconnect", nil), "closed 1000"),
	)
	offers := 0
	got, _ := s.got.from(0)
	for _, m := range got {
		require.NoError(t, m.Validate())
		if _, ok := m.(*msejsonrpc.SDPOffer); ok {
			offers++
		}
	}
	require.Equal(t, 4, offers)
	require.Len(t, got, 6)
	require.Equal(t, msejsonrpc.AbsentID, got[0].(*msejsonrpc.SDPOffer).ID)
	require.Equal(t, msejsonrpc.NullID, got[1].(*msejsonrpc.SDPOffer).ID)
	ignored, _ := s.ignored.from(0)
	require.Len(t, ignored, 1)
	require.Equal(t, "sdpOffer", ignored[0].Type)
}

func TestMSEJSONRPCLiteUnderstandsEveryRefusalOfOurServer(t *testing.T) {
	t.Parallel()
	s := startMSEServer(t, msejsonrpc.ServerConfig{
		Entitlements: map[string][]msejsonrpc.Role{"start": {msejsonrpc.RoleAdmin}},
	})
	s.converse(t,
		says(liteRequest(1, "start", nil), `error 1 -6001 Invalid Call Order {"required":"auth"}`),
		says(liteRequest(2, "sdpOffer", object{"offer": "v=0"}), `error 2 -6001 Invalid Call Order {"required":"auth"}`),
		says(liteNotification("sdpOffer", object{"offer": "v=0"})),
		says(liteRequest(3, "whoami", nil), "error 3 -32601 Method not found"),
		says(liteRequest(4, "chat", object{"to": []string{}, "message": "hello"}), "error 4 -32601 Method not found"),
		says(liteNotification("chat", object{"to": []string{}, "message": "hello"})),
		says(liteRequest(5, "toString", nil), "error 5 -32601 Method not found"),
		says(liteNotification("toString", nil)),
		says(liteRequest(6, "auth", nil), "error 6 -32602 Invalid params"),
		says(liteRequest(7, "auth", object{"version": "1.0"}), "error 7 -32602 Invalid params"),
		says(liteRequest(8, "auth", object{"token": "user"}), "error 8 -32602 Invalid params"),
		says(liteRequest(9, "auth", []string{"user", "1.0"}), "error 9 -32602 Invalid params"), // the names matter
		says(liteRequest(10, "auth", object{"token": "user", "version": "2.0"}),
			`error 10 -32602 Invalid params {"supported":["1.0"]}`),
		says(auth(11, "stolen"), "error 11 -4001 Authorization Failed"),
		says(auth(12, "broken"), "error 12 -32603 Internal error"),
		says(liteNotification("auth", object{"token": "user", "version": "1.0"})), // nobody would hear of it
		says(liteRequest(13, "start", nil), `error 13 -6001 Invalid Call Order {"required":"auth"}`),
		says(auth(14, "user"), `success 14 "authenticated"`),
		says(liteRequest(15, "start", nil), "error 15 -5001 Unauthorized Access"),
		says(auth(16, "admin"), `success 16 "authenticated"`),
		says(liteRequest(17, "iceCandidate", object{"candidate": ""}), `error 17 -6001 Invalid Call Order {"required":"start"}`),
		says(liteRequest(18, "start", []string{}), `success 18 "started"`),
		ping(19),
		says(liteText(`{"id":null,"method":"disconnect","jsonrpc":"2.0"}`), "closed 1000"),
	)
	got, _ := s.got.from(0)
	require.Empty(t, got)
	var types []string
	ignored, _ := s.ignored.from(0)
	for _, v := range ignored {
		types = append(types, v.Type)
	}
	require.Equal(t, []string{"sdpOffer", "toString", "auth"}, types)
}

func TestMSEOurServerHidesTheCallOrderFromJSONRPCLite(t *testing.T) {
	t.Parallel()
	startMSEServer(t, msejsonrpc.ServerConfig{HideCallOrder: true}).converse(t,
		says(liteRequest(1, "start", nil), "error 1 -5001 Unauthorized Access"),
		says(auth(2, "user"), `success 2 "authenticated"`),
		says(liteRequest(3, "start", nil), `success 3 "started"`),
	)
}

// jsonrpc-lite takes null for the id of an error, and of nothing else.
func TestMSEJSONRPCLiteUnderstandsWhatOurServerSaysAboutNoMessage(t *testing.T) {
	t.Parallel()
	const (
		parseError    = "error null -32700 Parse error"
		invalidObject = "error null -1001 Invalid json rpc 2.0 object"
	)
	s := startMSEServer(t, msejsonrpc.ServerConfig{})
	s.converse(t,
		says(liteText(""), parseError),
		says(liteText("garbage"), parseError),
		says(liteText(`{"id":1,"method":"ping","jsonrpc":"2.0"`), parseError),
		says(liteText(`{"id":1,"method":"ping","jsonrpc":"2.0"}{}`), parseError),
		says(liteText(`"ping"`), invalidObject),
		says(liteText("null"), invalidObject),
		says(liteText("[]"), invalidObject),
		says(liteText(`[{"id":1,"method":"ping","jsonrpc":"2.0"},{"id":2,"method":"ping","jsonrpc":"2.0"}]`), invalidObject),
		says(liteText("{}"), invalidObject),
		says(liteText(`{"id":1,"method":"ping"}`), invalidObject),
		says(liteText(`{"id":1,"method":"ping","jsonrpc":"1.0"}`), invalidObject),
		says(liteText(`{"id":1,"method":"ping","jsonrpc":2.0}`), invalidObject),
		says(liteText(`{"id":1,"Method":"ping","jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":1,"method":"","jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":1,"method":["ping"],"jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":1,"id":2,"method":"ping","jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":true,"method":"ping","jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":{},"method":"ping","jsonrpc":"2.0"}`), invalidObject),
		says(liteText(`{"id":1,"method":"ping","jsonrpc":"2.0","params":"none"}`), "error 1 -32602 Invalid params"),
		says(liteSay{Say: "success", ID: 1, Result: "pong"}), // the server has asked nothing
		says(liteSay{Say: "error", ID: 1, Code: -1, Message: "no"}),
		ping(2),
	)
	ignored, _ := s.ignored.from(0)
	require.Len(t, ignored, 2)
}

func TestMSEOurServerEchoesTheIDsOfJSONRPCLite(t *testing.T) {
	t.Parallel()
	startMSEServer(t, msejsonrpc.ServerConfig{}).converse(t,
		ping(1),
		ping(1), // again
		ping(0),
		ping(-1),
		ping(1<<53-1), // the last one that is an integer to jsonrpc-lite
		ping("one"),
		ping("1"),
		ping(`"\u2028 🙂`),
		ping(strings.Repeat("x", 10_000)),
		// What jsonrpc-lite does not take for an id comes back as it was sent.
		says(liteText(`{"id":12345678901234567890,"method":"ping","jsonrpc":"2.0"}`),
			`invalid {"id":12345678901234567890,"jsonrpc":"2.0","result":"pong"}`),
		says(liteText(`{"id":1.5,"method":"ping","jsonrpc":"2.0"}`), `invalid {"id":1.5,"jsonrpc":"2.0","result":"pong"}`),
		says(liteText(`{"id":"","method":"ping","jsonrpc":"2.0"}`), `invalid {"id":"","jsonrpc":"2.0","result":"pong"}`),
		// These are integers in JavaScript, whatever they look like.
		says(liteText(`{"id":1.0,"method":"ping","jsonrpc":"2.0"}`), `success 1 "pong"`),
		says(liteText(`{"id":1e3,"method":"ping","jsonrpc":"2.0"}`), `success 1000 "pong"`),
		// A request without an id is not answered.
		says(liteNotification("ping", nil)),
		says(liteText(`{"id":null,"method":"ping","jsonrpc":"2.0"}`)),
		ping("last"),
	)
}

func TestMSEOurServerClosesTheConnectionOfAWSClient(t *testing.T) {
	t.Parallel()
	liteNode(t) // skips the whole test
	tests := []struct {
		name      string
		cfg       msejsonrpc.ServerConfig
		exchanges []exchange
	}{
		{name: "binary message", exchanges: []exchange{
			ping(1),
			says(liteSay{Say: "binary", Text: `{"id":2,"method":"ping","jsonrpc":"2.0"}`}, "closed 1003 binary message"),
		}},
		{name: "message beyond our limit", exchanges: []exchange{
			says(liteRequest(1, "ping", object{"pad": strings.Repeat("x", msejsonrpc.DefaultMessageBytes-100)}),
				`success 1 "pong"`),
			says(liteRequest(2, "ping", object{"pad": strings.Repeat("x", msejsonrpc.DefaultMessageBytes)}),
				"closed 1009 message too big"),
		}},
		{name: "third token that is refused", exchanges: []exchange{
			says(auth(1, "stolen"), "error 1 -4001 Authorization Failed"),
			says(auth(2, "stolen"), "error 2 -4001 Authorization Failed"),
			says(auth(3, "stolen"), "error 3 -4001 Authorization Failed", "closed 1008 not authenticated"),
		}},
		{name: "no auth", cfg: msejsonrpc.ServerConfig{AuthTimeout: 50 * time.Millisecond}, exchanges: []exchange{
			says(liteSay{}, "closed 1008 not authenticated in time"),
		}},
		{name: "no start", cfg: msejsonrpc.ServerConfig{StartTimeout: 50 * time.Millisecond}, exchanges: []exchange{
			says(auth(1, "user"), `success 1 "authenticated"`, "closed 1008 not started in time"),
		}},
		{name: "disconnect at once", exchanges: []exchange{
			says(liteNotification("disconnect", nil), "closed 1000"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			startMSEServer(t, tt.cfg).converse(t, tt.exchanges...)
		})
	}
}
