package explain

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func TestEasyRTCDiagrams(t *testing.T) {
	t.Parallel()
	compareDiagrams(t, "easyrtc")
}

// Every problem in the traces of the real peers is a true one.
func TestEasyRTCProblemsOfAllTraces(t *testing.T) {
	t.Parallel()
	compareProblems(t, "easyrtc", "easyrtc/testdata/traces/*.jsonl")
}

const easyrtcPath = "/socket.io/?EIO=4&transport=websocket"

// ready are the entries of a connection that logs in.
func ready(conn string) []capture.Entry {
	return []capture.Entry{
		opened(conn, easyrtcPath),
		message(conn, capture.Server, `0{"sid":"engine-session","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`),
		message(conn, capture.Client, `40`),
		message(conn, capture.Server, `40{"sid":"socket-id"}`),
		message(conn, capture.Client, `420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`),
		message(conn, capture.Server, `430[{"msgType":"token","msgData":{"easyrtcid":"me","roomData":{},`+
			`"application":{"applicationName":"a"},"iceConfig":{"iceServers":[]},"serverTime":1}}]`),
	}
}

// last returns the last arrow of entries.
func last(tb testing.TB, protocol string, entries []capture.Entry) Arrow {
	tb.Helper()
	arrows := explained(tb, protocol, numbered(entries))
	require.NotEmpty(tb, arrows)
	return arrows[len(arrows)-1]
}

// only is one problem.
func only(kind ProblemKind, text string) []Problem { return []Problem{{kind, text}} }

func client(text string) capture.Entry { return message("1", capture.Client, text) }
func server(text string) capture.Entry { return message("1", capture.Server, text) }

func TestWhatAnEasyRTCClientMaySendDependsOnItsState(t *testing.T) {
	t.Parallel()
	const (
		offer = `421["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"x","msgData":{"type":"offer","sdp":"v=0"}}]`
		ack   = `431[{"msgType":"ack"}]`
		login = `421["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`
	)
	for name, test := range map[string]struct {
		after int // so many entries of a login
		then  []capture.Entry
		want  []Problem
	}{
		"an offer before connecting": {2, []capture.Entry{client(offer)},
			only(Illegal, "easyrtc: cannot send offer while opening (only while ready)")},
		"an offer before the login": {4, []capture.Entry{client(offer)},
			only(Illegal, "easyrtc: cannot send offer while connected (only while ready)")},
		"an offer that may come after the login": {5, []capture.Entry{client(offer)}, nil},
		"an offer":                               {6, []capture.Entry{client(offer)}, nil},
		"a login before connecting": {2, []capture.Entry{client(login)},
			only(Illegal, "easyrtc: cannot send authenticate while opening (only while connected or ready)")},
		"a second login":             {6, []capture.Entry{client(login)}, nil},
		"an event of an application": {4, []capture.Entry{client(`421["chat",1]`)}, nil},
		"a second connect packet": {4, []capture.Entry{client(`40`)},
			only(Illegal, "easyrtc: cannot send connect while connected (only while opening)")},
		"an offer after a logout": {6, []capture.Entry{client(`41`), client(offer)},
			only(Illegal, "easyrtc: cannot send offer while closed (only while ready)")},
		"an offer that crosses with a disconnect": {6, []capture.Entry{server(`41`), client(offer)}, nil},
		"connecting again":                        {6, []capture.Entry{server(`41`), client(`40`)}, nil},
		"an offer before the next login": {6,
			[]capture.Entry{server(`41`), client(`40`), server(`40{"sid":"x"}`), client(offer)},
			only(Illegal, "easyrtc: cannot send offer while connected (only while ready)")},
		"what servers say": {6, []capture.Entry{command(client, 1, "roomData", `{"roomData":{}}`)},
			only(Illegal, "easyrtc: cannot send roomData")},
		"what clients say": {6, []capture.Entry{server(`421["easyrtcCmd",{"msgType":"getRoomList"}]`)},
			only(Illegal, "easyrtc: cannot send getRoomList")},
		"an offer of another client": {6, []capture.Entry{server(strings.Replace(offer, "target", "sender", 1))}, nil},
		"a login without an id": {4, []capture.Entry{client(strings.Replace(login, "421", "42", 1))},
			only(Invalid, "easyrtc: the event asks for no acknowledgement: servers disconnect the client")},
		"a command without an id": {6, []capture.Entry{client(strings.Replace(offer, "421", "42", 1))},
			only(Invalid, "easyrtc: the event asks for no acknowledgement: servers ignore it")},
		"an acknowledgement of nothing": {6, []capture.Entry{client(`437[{"msgType":"ack"}]`)},
			only(Illegal, "easyrtc: acknowledges event 7, for which nobody waits")},
		"an acknowledgement twice": {6, []capture.Entry{client(offer), server(ack), server(ack)},
			only(Illegal, "easyrtc: acknowledges event 1, for which nobody waits")},
		"a ping": {6, []capture.Entry{client(`2`)},
			only(Illegal, errPingOfClient.Error())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, last(t, "easyrtc", append(ready("1")[:test.after], test.then...)).Problems)
		})
	}
}

// In recordings that are given away asterisks stand for a session.
func TestAMaskedSessionIsNotInvalid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ sid, username, wrong string }{
		{"********", "alice", ""},
		{"***a****", "alice", "msgData.easyrtcsid: not a valid name"},
		{"", "alice", "msgData.easyrtcsid: not a valid name"},
		{"********", "", "msgData.username: not one line of that length"},
	} {
		login := client(fmt.Sprintf(`420["easyrtcAuth",{"msgType":"authenticate",`+
			`"msgData":{"apiVersion":"1","easyrtcsid":%q,"username":%q}}]`, test.sid, test.username))
		var want []Problem
		if test.wrong != "" {
			want = only(Invalid, "easyrtc: invalid authenticate: "+test.wrong)
		}
		require.Equal(t, want, last(t, "easyrtc", append(ready("1")[:4], login)).Problems)
	}
}

func TestAnAnswerIsCalledByWhatItAnswers(t *testing.T) {
	t.Parallel()
	arrows := explained(t, "easyrtc", numbered(append(ready("1"),
		client(`427["easyrtcCmd",{"msgType":"hangup","targetEasyrtcid":"bob"}]`),
		client(`428["easyrtcCmd",{"msgType":"getIceConfig","msgData":{}}]`),
		server(`438[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}]`),
		server(`437[{"msgType":"error","msgData":{"errorCode":"MSG_REJECT_TARGET_EASYRTCID","errorText":"no"}}]`),
	)))
	iceConfig, refusal := arrows[len(arrows)-2], arrows[len(arrows)-1]
	require.Equal(t, "iceConfig (getIceConfig)", iceConfig.Name)
	require.Equal(t, "*easyrtc.ICEConfig", iceConfig.Detail.Type)
	require.JSONEq(t, `{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}`,
		string(iceConfig.Detail.Decoded))
	require.Equal(t, "error (hangup)", refusal.Name)
	require.Equal(t, "MSG_REJECT_TARGET_EASYRTCID", refusal.About)
	require.Equal(t, only(Refused, "easyrtc: no (MSG_REJECT_TARGET_EASYRTCID)"), refusal.Problems)
	require.Equal(t, "ready", refusal.Client)
}

func TestAMessageIsWholeWithItsAttachments(t *testing.T) {
	t.Parallel()
	binary := func(data string) capture.Entry {
		return capture.Entry{Conn: "1", Kind: capture.Message, From: capture.Client, Binary: true, Data: []byte(data)}
	}
	const text = `452-1["easyrtcMsg",{"msgType":"m","targetEasyrtcid":"x","msgData":[` +
		`{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]`
	arrows := explained(t, "easyrtc", numbered(append(ready("1"),
		client(text), binary("\x01"), binary("\x02\x03"), binary("\x04"))))
	arrows = arrows[len(arrows)-4:]
	for i, kind := range []Kind{Carrier, Carrier, Message, Message} {
		require.Equal(t, kind, arrows[i].Kind)
	}
	require.Equal(t, "m", arrows[2].Name)
	require.Equal(t, len(text)+3, arrows[2].Size)
	require.Equal(t, text+"\n\"\\x01\"\n\"\\x02\\x03\"", arrows[2].Detail.Raw)
	require.Empty(t, arrows[2].Problems)
	require.Equal(t, only(Undecodable, "easyrtc: decode: unexpected binary message"), arrows[3].Problems)

	cut := client(text[:40])
	cut.Cut = len(text)
	arrows = explained(t, "easyrtc", numbered(append(ready("1"),
		cut, binary("\x01"), binary("\x02\x03"), server(`431[{"msgType":"ack"}]`))))
	for _, a := range arrows {
		require.Empty(t, a.Problems, a.Name)
	}
	require.Equal(t, "easyrtcMsg", arrows[len(arrows)-4].Name)
	require.Equal(t, "ack (easyrtcMsg)", arrows[len(arrows)-1].Name)
}

func TestABodyHasAnArrowForEachPacket(t *testing.T) {
	t.Parallel()
	packets := []engineio.Packet{
		{Type: engineio.Message, Data: []byte(`20["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{}}}]`)},
		{Type: engineio.Noop},
		{Type: engineio.Message, Data: []byte(`1`)},
	}
	v3 := engineio.AppendPayload(nil, engineio.V3, packets...)
	octets := []byte("\x00\x06\x06\xff4" + string(packets[0].Data) + "\x00\x01\xff6\x00\x02\xff41")
	require.Len(t, packets[0].Data, 65)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(v3)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	v4 := engineio.AppendPayload(nil, engineio.V4, packets...)
	for name, test := range map[string]struct {
		url  string
		body []byte
	}{
		"version 4":              {"/socket.io/?EIO=4&transport=polling&sid=s", v4},
		"version 3":              {"/socket.io/?EIO=3&transport=polling&sid=s", v3},
		"version 3 in bytes":     {"/socket.io/?EIO=3&transport=polling&sid=s", octets},
		"version 3, compressed":  {"/socket.io/?EIO=3&transport=polling&sid=s", zipped.Bytes()},
		"nobody says which":      {"/socket.io/?transport=polling&sid=s", v3},
		"nobody says version 4":  {"/socket.io/?transport=polling&sid=s", v4},
		"the path is of its own": {"/signal?EIO=4&transport=polling&sid=s", v4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrows := explained(t, "easyrtc", numbered([]capture.Entry{{
				Conn: "1", Kind: capture.Response, From: capture.Server,
				Method: "GET", URL: test.url, Status: 200, Data: test.body,
			}}))
			require.Len(t, arrows, 3)
			for i, want := range []string{"roomData", "noop", "disconnect"} {
				require.Equal(t, want, arrows[i].Name)
				require.Empty(t, arrows[i].Problems)
			}
			require.Equal(t, 1+len(packets[0].Data), arrows[0].Size)
			require.Equal(t, "", arrows[0].Client)
			require.Equal(t, "closed", arrows[2].Client)
		})
	}
}

func TestABodyThatIsTooBigIsNotInflated(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(bytes.Repeat([]byte{'4'}, maxInflated+1))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	a := last(t, "easyrtc", []capture.Entry{{Conn: "1", Kind: capture.Response, From: capture.Server, Method: "GET",
		URL: "/socket.io/?EIO=4&transport=polling&sid=s", Status: 200, Data: zipped.Bytes()}})
	require.Equal(t, only(Undecodable, "too big when inflated"), a.Problems)
}

func TestASessionEndsWithItsWebSocketOnlyAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	poll := func(kind capture.Kind, from capture.Side, query, body string) capture.Entry {
		method := "GET"
		if from == capture.Client && body != "" {
			method = "POST"
		}
		return capture.Entry{Conn: "1", Kind: kind, From: from, Method: method,
			URL: "/socket.io/?EIO=4&transport=polling" + query, Data: []byte(body)}
	}
	begin := []capture.Entry{
		poll(capture.Request, capture.Client, "", ""),
		poll(capture.Response, capture.Server, "", `0{"sid":"s","pingInterval":25000,"pingTimeout":20000}`),
		poll(capture.Request, capture.Client, "&sid=s", "40"),
		poll(capture.Response, capture.Server, "&sid=s", `40{"sid":"x"}`),
		opened("1", easyrtcPath+"&sid=s"),
		client("2probe"), server("3probe"),
	}
	ended := closed("1", capture.Client, 1006, "")
	require.Equal(t, "connected", last(t, "easyrtc", append(slices.Clone(begin), ended)).Client)
	a := last(t, "easyrtc", append(slices.Clone(begin), client("5"), ended))
	require.Equal(t, "closed", a.Client)
	require.Equal(t, "closed", a.Server)
	a = last(t, "easyrtc", append(slices.Clone(begin), poll(capture.Request, capture.Client, "&sid=s", "1")))
	require.Equal(t, "closed", a.Client)
}

// command is an event of a side.
func command(side func(string) capture.Entry, id int, msgType, msgData string) capture.Entry {
	return side(fmt.Sprintf(`42%d["easyrtcCmd",{"msgType":%q,"msgData":%s}]`, id, msgType, msgData))
}

// easyrtcSecrets is a session in which whatever is secret is called so.
func easyrtcSecrets() []capture.Entry {
	const path = "/socket.io/?EIO=4&transport=websocket&sid=SECRET"
	open := opened("1", path)
	open.Header = map[string]string{"Cookie": "easyrtcsid=SECRET", "Origin": "http://127.0.0.1"}
	cut := client(`422["easyrtcAuth",{"msgType":"authenticate","msgData":{"easyrtcsid":"SECRET`)
	cut.Cut = 1000
	return []capture.Entry{
		open,
		server(`0{"sid":"SECRET","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`),
		server(`0{"sid":"SECRET"}`), client(`0{"sid":"SECRET"}`), client(`1{"token":"SECRET"}`), client(`2{"sid":"SECRET"}`),
		client(`40{"token":"SECRET"}`), server(`40{"sid":"public"}`),
		client(`420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","credential":{"p":"SECRET"},` +
			`"easyrtcsid":"SECRET","roomJoin":{"a":{"roomName":"a","roomParameter":{"p":"SECRET"}}}}}]`),
		server(`430[{"msgType":"token","msgData":{"easyrtcid":"me","roomData":{},"application":{"applicationName":"a"},` +
			`"iceConfig":{"iceServers":[{"urls":["turn:x"],"username":"SECRET","credential":"SECRET"}]},` +
			`"sessionData":{"easyrtcsid":"SECRET"},"serverTime":1}}]`),
		command(client, 1, "roomJoin", `{"roomJoin":{"a":{"roomName":"a","roomParameter":["SECRET"]}}}`),
		command(client, 2, "roomJoin", `{"roomJoin":{"a":{"roomName":1,"roomParameter":["SECRET"]}}}`),
		command(server, 0, "iceConfig", `{"iceConfig":{"iceServers":[{"url":"turn:x","credential":"SECRET"}]}}`),
		command(server, 1, "sessionData", `{"sessionData":{"easyrtcsid":"SECRET","sessionStatus":"update"}}`),
		client(`423["easyrtcAuth",{"msgType":"other","msgData":{"password":"SECRET"}}]`),
		client(`424["application",{"x":"SECRET"}]`),
		client(`{"easyrtcsid":"SECRET"`),
		cut,
		{Conn: "1", Kind: capture.Response, From: capture.Server, Method: "GET", Status: 200,
			URL: strings.Replace(path, "websocket", "polling", 1), Data: []byte(`0{"sid":"SECRET`)},
	}
}

func TestSecretsOfEasyRTCAreHidden(t *testing.T) {
	t.Parallel()
	protocol, err := Find("easyrtc")
	require.NoError(t, err)
	hides, shows := NewRecording(protocol), NewRecording(protocol)
	shows.Secrets = true
	for i, e := range numbered(easyrtcSecrets()) {
		for _, a := range hides.Explain(e) {
			require.NotContains(t, shown(a), "SECRET", "entry %d", i)
		}
		for _, a := range shows.Explain(e) {
			if bytes.Contains(e.Data, []byte("SECRET")) {
				require.Contains(t, shown(a), "SECRET", "entry %d", i)
			}
		}
	}
}

// secretTexts returns the texts in a value that stand under the name of a secret.
func secretTexts(value any, names ...string) (secrets []string) {
	var texts func(v any, secret bool)
	texts = func(v any, secret bool) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				texts(value, secret || slices.Contains(names, name))
			}
		case []any:
			for _, value := range v {
				texts(value, secret)
			}
		case string:
			if secret && len(v) >= 8 { // shorter ones are also something else
				secrets = append(secrets, v)
			}
		}
	}
	texts(value, false)
	return secrets
}

// requireHidden demands that no secret in the messages of traces is shown.
func requireHidden(t *testing.T, protocol, pattern string, names ...string) {
	t.Helper()
	count := 0
	for _, file := range filesOf(t, pattern) {
		entries := readTrace(t, file)
		var secrets []string
		for _, e := range entries {
			start := bytes.IndexAny(e.Data, "[{")
			var value any
			if start >= 0 && json.Unmarshal(e.Data[start:], &value) == nil {
				secrets = append(secrets, secretTexts(value, names...)...)
			}
		}
		count += len(secrets)
		for _, a := range explained(t, protocol, entries) {
			if a.Kind == Lifecycle {
				continue // notes of those who recorded it
			}
			text := shown(a)
			for _, secret := range secrets {
				require.NotContains(t, text, secret, "%s:%d", file, a.Seq)
			}
		}
	}
	require.Greater(t, count, 0)
}

func TestNoSecretOfAnEasyRTCTraceIsShown(t *testing.T) {
	t.Parallel()
	requireHidden(t, "easyrtc", "easyrtc/testdata/traces/auth_*.jsonl", "credential", "easyrtcsid", "roomParameter")
}

// requireQuietSuffixes demands that recordings with nothing wrong have nothing wrong either
// when their beginning is missing.
func requireQuietSuffixes(t *testing.T, protocol string) {
	t.Helper()
	tried := 0
	for _, file := range filesOf(t, tracesOf[protocol]) {
		entries := readTrace(t, file)
		if len(wrong(explained(t, protocol, entries))) > 0 {
			continue
		}
		for first := 1; first < len(entries); first += 1 + len(entries)/4 {
			tried++
			require.Empty(t, wrong(explained(t, protocol, entries[first:])), "%s from %d", file, first)
		}
	}
	require.Greater(t, tried, 50)
}

// wrong are the problems of arrows but for refusals.
func wrong(arrows []Arrow) (problems []Problem) {
	for _, a := range arrows {
		for _, p := range a.Problems {
			if p.Kind != Refused {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

func TestAnEasyRTCRecordingMayBeginInTheMiddle(t *testing.T) {
	t.Parallel()
	requireQuietSuffixes(t, "easyrtc")
}

func TestWhatIsRememberedOfAnEasyRTCConnectionIsBounded(t *testing.T) {
	t.Parallel()
	c := newEasyRTC(NewRecording(Protocols[0]), capture.Entry{}).(*engineConn)
	for _, e := range ready("1") {
		c.Explain(e)
	}
	for i := range 4 * maxPending {
		a := c.Explain(client(`42` + strconv.Itoa(i) + `["easyrtcMsg",{"msgType":"` + strings.Repeat("m", 1000) + `"}]`))
		require.Empty(t, a[0].Problems)
	}
	side := &c.carried.(*easyrtcConn).toServer
	require.Len(t, side.waiting.keys, maxPending)
	require.LessOrEqual(t, len(side.waiting.values[0].name), 80)
	require.Empty(t, c.Explain(server(`430[{"msgType":"ack"}]`))[0].Problems, "it has been forgotten")
}
