package explain

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// tracesOf are the traces of the real peers in this module.
var tracesOf = map[string]string{
	"cuttlefish": "cuttlefish/testdata/traces/*.jsonl",
	"galene":     "galene/testdata/traces/*/*.jsonl",
	"easyrtc":    "easyrtc/testdata/traces/*.jsonl",
	"mediasoup":  "mediasoupproto/testdata/traces/*.jsonl",
}

func filesOf(tb testing.TB, pattern string) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", filepath.FromSlash(pattern)))
	require.NoError(tb, err)
	require.NotEmpty(tb, files, pattern)
	return files
}

func TestThereIsAProtocolOfEachName(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range Protocols {
		names = append(names, p.Name)
		found, err := Find(p.Name)
		require.NoError(t, err)
		require.Equal(t, p.Name, found.Name)
	}
	require.Equal(t, []string{"cuttlefish", "mse", "galene", "easyrtc", "mediasoup"}, names)
	_, err := Find("sip")
	require.EqualError(t, err, `there is no protocol "sip"`)
}

// unguessed are recordings in which there is next to nothing but what is wrong, or that would
// be the same in another protocol.
var unguessed = []string{
	"rule-13-responses.txtar", "violations.txtar",
	"transport_cookie_option.jsonl", "transport_cors.jsonl", "cpp-unknown-path.jsonl",
}

func TestARecordingThatNobodyNamedIsKnownByItsMessages(t *testing.T) {
	t.Parallel()
	check := func(protocol, file string, entries []capture.Entry) {
		guessed, ok := Guess(entries)
		require.Equal(t, !slices.Contains(unguessed, filepath.Base(file)), ok, file)
		if ok {
			require.Equal(t, protocol, guessed, file)
		}
	}
	for protocol, pattern := range tracesOf {
		for _, file := range filesOf(t, pattern) {
			check(protocol, file, readTrace(t, file))
		}
	}
	for _, file := range filesOf(t, "msejsonrpc/testdata/scripts/*.txtar") {
		check("mse", file, readScript(t, file))
	}
}

func TestWhatHasNoMessagesIsOfNoProtocol(t *testing.T) {
	t.Parallel()
	for _, entries := range [][]capture.Entry{
		nil,
		{opened("1", "/"), closed("1", capture.Client, 1000, "")},
		{message("1", capture.Client, "hello"), message("1", capture.Server, `{"type":"hello"}`)},
		{message("1", capture.Client, `{"a":1}`)},
	} {
		_, ok := Guess(entries)
		require.False(t, ok, entries)
	}
}

// An inspector may have been started late, and a recording may have lost its beginning.
func TestWhatBeginsInTheMiddleIsNotHeldToBeWrong(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"galene", "cuttlefish"} {
		tried := 0
		for _, file := range filesOf(t, tracesOf[protocol]) {
			entries := readTrace(t, file)
			if len(illegal(explained(t, protocol, entries))) > 0 {
				continue
			}
			for i := 1; i < len(entries); i += 1 + len(entries)/4 {
				tried++
				require.Empty(t, illegal(explained(t, protocol, entries[i:])), "%s from %d", file, i)
			}
		}
		require.Greater(t, tried, 100, protocol)
	}
	entries := readTrace(t, filepath.Join("testdata", "mse", "typical-flow.jsonl"))
	for i := range entries {
		require.Empty(t, illegal(explained(t, "mse", entries[i:])), i)
	}
}

// Of a message that was cut in the recording nobody knows what was in the rest.
func TestMessagesThatWereCutAreNoProblem(t *testing.T) {
	t.Parallel()
	for _, p := range Protocols {
		e := message("1", capture.Client, `{"type":"handshake","message_type":"forw`)
		e.Cut = 100_000
		for _, a := range explained(t, p.Name, numbered([]capture.Entry{e})) {
			require.Empty(t, a.Problems, p.Name)
			require.Equal(t, 100_000, a.Size, p.Name)
		}
	}
}

func TestArrowsAreNumberedThroughARecording(t *testing.T) {
	t.Parallel()
	for protocol, pattern := range tracesOf {
		file := filesOf(t, pattern)[0]
		for i, a := range explained(t, protocol, readTrace(t, file)) {
			require.Equal(t, i+1, a.Number, file)
			require.NotZero(t, a.Seq, file)
			require.NotEmpty(t, a.Name, file)
			require.Contains(t, []Kind{Message, Carrier, Lifecycle}, a.Kind, file)
		}
	}
}

func TestTheDetailOfEveryMessageIsJSON(t *testing.T) {
	t.Parallel()
	for protocol, pattern := range tracesOf {
		decoded := 0
		for _, file := range filesOf(t, pattern) {
			for _, a := range explained(t, protocol, readTrace(t, file)) {
				if a.Detail == nil || a.Detail.Decoded == nil {
					continue
				}
				decoded++
				require.True(t, json.Valid(a.Detail.Decoded), "%s:%d %s", file, a.Seq, a.Name)
			}
		}
		require.Greater(t, decoded, 50, protocol)
	}
}

// The names of these members are a contract with the inspector's page.
func TestTheJSONOfAnArrowIsTheOneOfThePage(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Arrow{
		Number: 1, Seq: 2, Conn: "3", From: capture.Client, Kind: Message, Name: "offer", About: "camera", Size: 4,
		Who: "alice", Ack: true,
		Client: "joined", Server: "ready", Problems: []Problem{{Kind: Refused, Text: "no"}}, Detail: &Detail{Raw: "secret"},
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"number":1,"seq":2,"conn":"3","from":"client","kind":"message","name":"offer","about":"camera","who":"alice","ack":true,
		"size":4,"client":"joined","server":"ready","problems":[{"kind":"refused","text":"no"}]}`, string(text))
}

// secretsOf are messages with a secret, which is called s3cr3t or tok3n.
var secretsOf = map[string][]capture.Entry{
	"galene": {
		opened("1", "/ws?token=s3cr3t"),
		message("1", capture.Client, `{"type":"handshake","version":["2"],"id":"a"}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u","password":"s3cr3t"}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","token":"s3cr3t"}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","token":"s3cr3t"`),
		message("1", capture.Client, `{"type":"join","kind":7,"group":"g","password":"s3cr3t"}`),
		message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","rtcConfiguration":`+
			`{"iceServers":[{"urls":["turn:x"],"username":"u","credential":"s3cr3t"}]}}`),
		message("1", capture.Client, `{"type":"groupaction","kind":"edittoken","value":{"token":"s3cr3t"}}`),
		message("1", capture.Server, `{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"s3cr3t","group":"g"}}`),
		message("1", capture.Server, `{"type":"usermessage","kind":"token","privileged":true,"value":"s3cr3t"}`),
		{Conn: "2", Kind: capture.Request, From: capture.Client, Method: "POST", URL: "/group/g/.whip",
			Header: map[string]string{"Authorization": "Bearer s3cr3t", "Cookie": "a=s3cr3t",
				"Referer": "http://h/group/g/?token=s3cr3t", "X-Api-Key": "s3cr3t"}},
		{Conn: "2", Kind: capture.Response, From: capture.Server, Status: 302,
			Header: map[string]string{"Location": "/group/g/?token=s3cr3t"}},
		{Conn: "2", Kind: capture.Note, Reason: "the client has not waited for the answer to GET /group/g/?token=s3cr3t"},
		{Conn: "2", Kind: capture.Request, From: capture.Client, Method: "POST", Data: []byte("s3cr3t"),
			URL: "/galene-api/v0/.groups/g/.users/u/.password"},
		{Conn: "2", Kind: capture.Response, From: capture.Server, Method: "GET", Status: 200, Data: []byte(`["s3cr3t"]`),
			URL: "/galene-api/v0/.groups/g/.tokens/"},
		{Conn: "2", Kind: capture.Request, From: capture.Client, Method: "GET",
			URL: "/galene-api/v0/.groups/g/.tokens/s3cr3t"},
	},
	"mse": {
		opened("1", "/"),
		message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"s3cr3t","version":"1.0"}}`),
		message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"s3cr3t"}}`),
		message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":["s3cr3t","1.0"]}`),
		message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"s3cr3t"`),
		message("1", capture.Client, `{"id":2,"method":"auth","jsonrpc":"2.0","params":{"tok\u0065n":["s3cr3t"]}}`),
	},
	"cuttlefish": {
		opened("1", "/register_device"),
		message("1", capture.Client, `{"message_type":"register","device_id":"d"}`),
		message("1", capture.Server, `{"message_type":"config","ice_servers":`+
			`[{"urls":["turn:x"],"username":"s3cr3t","credential":"s3cr3t"}]}`),
		message("1", capture.Server, `{"message_type":"config","ice_servers":[{"urls":["turn:x"],"cr\u0065dential":"s3cr3t"}]}`),
		message("1", capture.Server, `{"message_type":"client_msg","client_id":1,"payload":`+
			`{"type":"request-offer","ice_servers":[{"urls":["turn:x"],"credential":"s3cr3t"}]}}`),
		message("1", capture.Server, `{"message_type":"config","ice_servers":[{"urls":["turn:x"],"credential":"s3cr3t"}]`),
		opened("2", "/devices/d/connect"),
		message("2", capture.Client, `{"type":"request-offer","ice_servers":[{"urls":["turn:x"],"credential":"s3cr3t"}]}`),
		{Conn: "3", Kind: capture.Response, From: capture.Server, Method: "GET", URL: "/infra_config", Status: 200,
			Data: []byte(`{"message_type":"config","ice_servers":[{"urls":["turn:x"],"credential":"s3cr3t"}]}`)},
		{Conn: "3", Kind: capture.Request, From: capture.Client, Method: "POST", URL: "/polled_connections/x/:forward",
			Data: []byte(`{"payload":{"type":"request-offer","ice_servers":[{"urls":["turn:x"],"credential":"s3cr3t"}]}}`)},
	},
}

func TestSecretsAreMaskedUnlessTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	for protocol, entries := range secretsOf {
		p, err := Find(protocol)
		require.NoError(t, err)
		masked, plain := NewRecording(p), NewRecording(p)
		plain.Secrets = true
		revealed := 0
		for _, e := range numbered(entries) {
			for _, a := range masked.Explain(e) {
				require.NotContains(t, shown(a), "s3cr3t", "%s: %s", protocol, e.Data)
			}
			for _, a := range plain.Explain(e) {
				if strings.Contains(shown(a), "s3cr3t") {
					revealed++
				}
			}
		}
		require.GreaterOrEqual(t, revealed, 4, protocol)
	}
}

// What peers send has no end, what is remembered of it has.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	for _, p := range Protocols {
		r := NewRecording(p)
		for i := range 3 * maxConns {
			r.Explain(opened(fmt.Sprint(i), "/"))
		}
		require.LessOrEqual(t, len(r.conns), maxConns, p.Name)
	}
	var calls pending[int, int]
	for i := range 10 * maxPending {
		calls.put(i, i)
	}
	require.Len(t, calls.keys, maxPending)
	_, ok := calls.take(1)
	require.False(t, ok, "the oldest are forgotten")
	value, ok := calls.take(10*maxPending - 1)
	require.True(t, ok)
	require.Equal(t, 10*maxPending-1, value)
	_, ok = calls.take(10*maxPending - 1)
	require.False(t, ok, "it has been taken")

	g, err := Find("galene")
	require.NoError(t, err)
	r := NewRecording(g)
	r.Explain(opened("1", "/ws"))
	for i := range 3 * maxNames {
		r.Explain(message("1", capture.Server, fmt.Sprintf(`{"type":"offer","id":"%d","sdp":"v=0"}`, i)))
		r.Explain(message("1", capture.Server, fmt.Sprintf(`{"type":"user","kind":"add","id":"%d","username":"u"}`, i)))
	}
	c := r.conns["1"].Conn.(*galeneConn)
	require.LessOrEqual(t, len(c.down), maxNames)
	require.LessOrEqual(t, len(c.users), maxNames)
}

func TestEqualKeysAreTakenInTheirOrder(t *testing.T) {
	t.Parallel()
	var calls pending[string, int]
	calls.put("a", 1)
	calls.put("b", 2)
	calls.put("a", 3)
	for _, want := range []int{1, 3} {
		got, ok := calls.take("a")
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

func TestLongTextsAreCutBetweenRunes(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abc", clip("abc", 3))
	require.Equal(t, "…", clip("abcd", 3))
	require.Equal(t, "a…", clip("aéé", 4))
	p, err := Find("galene")
	require.NoError(t, err)
	r := NewRecording(p)
	arrows := r.Explain(message("1", capture.Server, `{"type":"`+strings.Repeat("é", 1<<16)+`"}`))
	require.Len(t, arrows, 1)
	require.Less(t, len(arrows[0].Name), 100)
}
