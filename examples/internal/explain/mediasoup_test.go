package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func TestMediasoupDiagrams(t *testing.T) {
	t.Parallel()
	compareDiagrams(t, "mediasoup")
}

// Every problem in the traces of the real peers is a true one.
func TestMediasoupProblemsOfAllTraces(t *testing.T) {
	t.Parallel()
	compareProblems(t, "mediasoup", "mediasoupproto/testdata/traces/*.jsonl")
}

const mediasoupPath = "/?roomId=r&peerName=alice"

// request, answer, refusal and notification are messages in protoo.
func request(id int, payload string) string {
	return fmt.Sprintf(`{"request":true,"id":%d,"method":"mediasoup-request","data":{"target":"peer",%s}}`, id, payload)
}

func answer(id int, data string) string {
	return fmt.Sprintf(`{"response":true,"id":%d,"ok":true,"data":%s}`, id, data)
}

func refusal(id int, reason string) string {
	return fmt.Sprintf(`{"response":true,"id":%d,"errorCode":500,"errorReason":%q}`, id, reason)
}

func notification(payload string) string {
	return `{"notification":true,"method":"mediasoup-notification",` +
		`"data":{"target":"peer","notification":true,` + payload + `}}`
}

const (
	join            = `"method":"join","peerName":"alice","rtpCapabilities":{"codecs":[],"headerExtensions":[]}`
	createTransport = `"method":"createTransport","id":10,"direction":"send","options":{}`
	pauseProducer   = `"method":"pauseProducer","id":20`
	newPeer         = `"method":"newPeer","name":"bob","consumers":[]`
)

// joined are the entries of a connection that enters a room.
func joined() []capture.Entry {
	return []capture.Entry{opened("1", mediasoupPath), client(request(1, join)), server(answer(1, `{"peers":[]}`))}
}

func TestWhatAMediasoupClientMaySendDependsOnItsState(t *testing.T) {
	t.Parallel()
	const onlyJoined = "mediasoupproto: cannot send createTransport while %s (only while joined)"
	create := client(request(7, createTransport))
	cut := client(`{"requ`)
	cut.Cut = 999
	for name, test := range map[string]struct {
		after int // so many entries of joining
		then  []capture.Entry
		want  []Problem
	}{
		"a transport before the join": {1, []capture.Entry{create},
			only(Illegal, fmt.Sprintf(onlyJoined, "new"))},
		"a transport behind the join":  {2, []capture.Entry{create}, nil},
		"a transport":                  {3, []capture.Entry{create}, nil},
		"asking what the room can do":  {3, []capture.Entry{client(request(7, `"method":"queryRoom"`))}, nil},
		"a message of the application": {1, []capture.Entry{client(`{"notification":true,"method":"chat","data":{}}`)}, nil},
		"a second join": {3, []capture.Entry{client(request(7, join))},
			only(Illegal, "mediasoupproto: cannot send join while joined (only while left or new)")},
		"a join after leaving": {3, []capture.Entry{client(notification(`"method":"leave"`)), client(request(7, join))}, nil},
		"a transport after leaving": {3, []capture.Entry{client(notification(`"method":"leave"`)), create},
			only(Illegal, fmt.Sprintf(onlyJoined, "left"))},
		"a transport that crosses":     {3, []capture.Entry{server(notification(`"method":"closed"`)), create}, nil},
		"a transport behind a refusal": {2, []capture.Entry{server(refusal(1, "no")), create}, nil},
		"what servers say": {3, []capture.Entry{client(notification(newPeer))},
			only(Illegal, "mediasoupproto: cannot send newPeer")},
		"what clients say": {3, []capture.Entry{server(notification(pauseProducer))},
			only(Illegal, "mediasoupproto: cannot send pauseProducer")},
		"a request of the server": {3, []capture.Entry{server(request(1, `"method":"queryRoom"`))},
			only(Illegal, "mediasoupproto: cannot send queryRoom")},
		"an answer to nothing": {3, []capture.Entry{server(answer(9, `{}`))},
			only(Illegal, "mediasoupproto: answers request 9, for which nobody waits")},
		"an answer twice": {3, []capture.Entry{server(answer(1, `{"peers":[]}`))},
			only(Illegal, "mediasoupproto: answers request 1, for which nobody waits")},
		"a request without an answer": {3, []capture.Entry{client(notification(`"method":"restartTransport","id":10`))},
			only(Invalid, "mediasoupproto: restartTransport is a request: as a notification servers ignore it")},
		"an answer that makes no sense": {2, []capture.Entry{server(answer(1, `{"peers":7}`))},
			only(Undecodable, "mediasoupproto: decode join: peers: wrong JSON type")},
		"a refusal": {2, []capture.Entry{server(refusal(1, "Error: no"))},
			only(Refused, "mediasoupproto: Error: no")},
		"a binary message": {3,
			[]capture.Entry{{Conn: "1", Kind: capture.Message, From: capture.Client, Binary: true, Data: []byte("{}")}},
			only(Undecodable, "mediasoupproto: decode: binary message")},
		"a close that is for good": {3, []capture.Entry{closed("1", capture.Server, 4000, "closed by protoo-server")},
			only(Refused, "closed with 4000: closed by protoo-server")},
		"what a cut message may have had": {3, []capture.Entry{cut, server(answer(9, `{}`))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, last(t, "mediasoup", append(joined()[:test.after:test.after], test.then...)).Problems)
		})
	}
}

func TestARefusedJoinLeavesThePeerWhereItWas(t *testing.T) {
	t.Parallel()
	a := last(t, "mediasoup", append(joined()[:2:2], server(refusal(1, "no"))))
	require.Equal(t, []string{"error join", "alice", "new", "new"}, []string{a.Name, a.About, a.Client, a.Server})
	a = last(t, "mediasoup", append(joined(),
		client(notification(`"method":"leave"`)), client(request(2, join)), server(refusal(2, "no"))))
	require.Equal(t, []string{"new", "left"}, []string{a.Client, a.Server})
}

// flow is a session with each kind of message.
func flow() []capture.Entry {
	consumer := `"id":30,"kind":"audio","rtpParameters":{"codecs":[],"headerExtensions":[],"encodings":[{"ssrc":1}]},` +
		`"paused":false,"preferredProfile":"default","effectiveProfile":null,"peerName":"bob"`
	return []capture.Entry{
		client(request(1, `"method":"queryRoom"`)),
		server(answer(1, `{"rtpCapabilities":{"codecs":[],"headerExtensions":[]},"mandatoryCodecPayloadTypes":[]}`)),
		client(request(2, join)),
		server(notification(newPeer)),
		server(answer(2, `{"peers":[]}`)),
		client(request(3, createTransport)),
		server(answer(3, `{"iceParameters":{"usernameFragment":"u","password":"p"},`+
			`"iceCandidates":[{"foundation":"f","priority":1,"ip":"192.0.2.1","port":5000,"type":"host","protocol":"udp"}]}`)),
		server(notification(`"method":"newConsumer",` + consumer)),
		client(request(4, `"method":"enableConsumer","id":30,"transportId":10,"paused":false`)),
		server(refusal(4, "TypeError: Transport not found")),
		client(notification(pauseProducer)),
		client(`{"request":true,"id":5,"method":"chat","data":{"text":"hello"}}`),
		server(answer(5, `{"text":"hello"}`)),
		client(notification(`"method":"leave"`)),
	}
}

// reframed returns messages of protoo in another framing.
func reframed(tb testing.TB, framing mediasoupproto.Framing, prefix string, entries []capture.Entry) []capture.Entry {
	tb.Helper()
	var out []capture.Entry
	for _, e := range entries {
		m, err := mediasoupproto.Decode(e.Data)
		require.NoError(tb, err)
		data, err := mediasoupproto.EncodeFramed(framing, m)
		require.NoError(tb, err)
		e.Data = append([]byte(prefix), data...)
		out = append(out, e)
	}
	return out
}

// summary is what arrows say, but for what carries them.
func summary(arrows []Arrow) string {
	var b strings.Builder
	for _, a := range arrows {
		if a.Kind != Message {
			continue
		}
		problems := fmt.Sprint(a.Problems)
		fmt.Fprintln(&b, a.From, a.Name, a.About, a.Client, a.Server, strings.ReplaceAll(problems, " (500)", ""))
		for _, f := range a.Detail.Folds {
			fmt.Fprintln(&b, "+", f.Title)
		}
	}
	return b.String()
}

func TestEveryFramingSaysTheSame(t *testing.T) {
	t.Parallel()
	const handshake = `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`
	begin := func(url string) []capture.Entry { return []capture.Entry{opened("1", url)} }
	socketio := append(begin(easyrtcPath), server(handshake), client(`40`), server(`40{"sid":"x"}`))
	polled := []capture.Entry{{Conn: "1", Kind: capture.Request, From: capture.Client, Method: "GET",
		URL: "/socket.io/?EIO=4&transport=polling"}}
	for _, e := range reframed(t, mediasoupproto.SocketIO, "4", flow()) {
		e.Kind, e.URL, e.Method = capture.Request, "/socket.io/?EIO=4&transport=polling&sid=s", "POST"
		if e.From == capture.Server {
			e.Kind, e.Method, e.Status = capture.Response, "GET", 200
		}
		polled = append(polled, e)
	}
	want := summary(explained(t, "mediasoup", numbered(append(begin(mediasoupPath), flow()...))))
	require.Contains(t, want, "client pauseProducer 20 joined joined []")
	require.Contains(t, want, "server error enableConsumer audio of bob joined joined "+
		"[{refused mediasoupproto: TypeError: Transport not found}]")
	require.Contains(t, want, "server response createTransport send joined joined []\n"+
		"+ candidate: host udp 192.0.2.1:5000\n")
	require.Contains(t, want, "server response chat  joined joined []")
	require.Contains(t, want, "client leave  left left []")
	for name, entries := range map[string][]capture.Entry{
		"protoo 2":          append(begin(mediasoupPath), reframed(t, mediasoupproto.Protoo2, "", flow())...),
		"type and body":     append(begin(mediasoupPath), reframed(t, mediasoupproto.TypeBody, "", flow())...),
		"Socket.IO":         append(socketio, reframed(t, mediasoupproto.SocketIO, "4", flow())...),
		"Socket.IO, polled": polled,
		"Socket.IO, by its first message": append(begin("/"),
			append([]capture.Entry{server(handshake)}, reframed(t, mediasoupproto.SocketIO, "4", flow())...)...),
		"protoo without a beginning": flow(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrows := explained(t, "mediasoup", numbered(entries))
			require.Equal(t, want, summary(arrows))
			for _, a := range arrows {
				require.NotEmpty(t, a.Detail.Raw, a.Name)
			}
		})
	}
}

func TestANotificationOfProtoo2IsAnswered(t *testing.T) {
	t.Parallel()
	a := last(t, "mediasoup", append(joined(),
		client(`{"request":true,"id":8,"method":"mediasoup-notification",`+
			`"data":{"target":"peer","notification":true,`+pauseProducer+`}}`),
		server(`{"response":true,"id":8,"ok":true,"data":{}}`)))
	require.Equal(t, "response pauseProducer", a.Name)
	require.Empty(t, a.Problems)
}

func TestABodyOfPollsMayHoldSeveralMessagesOfMediasoup(t *testing.T) {
	t.Parallel()
	var packets []engineio.Packet
	requests := []capture.Entry{client(request(1, join)), client(request(2, createTransport))}
	for _, e := range reframed(t, mediasoupproto.SocketIO, "", requests) {
		packets = append(packets, engineio.Packet{Type: engineio.Message, Data: e.Data})
	}
	arrows := explained(t, "mediasoup", []capture.Entry{{
		Conn: "1", Kind: capture.Request, From: capture.Client, Method: "POST",
		URL: "/socket.io/?EIO=4&transport=polling&sid=s", Data: engineio.AppendPayload(nil, engineio.V4, packets...)}})
	require.Len(t, arrows, 2)
	require.Equal(t, "join", arrows[0].Name)
	require.Equal(t, 1+len(packets[0].Data), arrows[0].Size)
	require.Equal(t, "createTransport", arrows[1].Name)
}

func TestWhatIsAlikeIsCalledDifferently(t *testing.T) {
	t.Parallel()
	c := newLabels()
	require.Equal(t, "audio", c.put(1, "audio"))
	require.Equal(t, "audio #2", c.put(2, "audio"))
	require.Equal(t, "audio", c.put(1, "audio"))
	require.Equal(t, "audio #2", c.put(2, "audio"))
	require.Equal(t, "7", c.put(7, ""))
	require.Equal(t, "video", c.put(2, "video"))
	require.Equal(t, "9", c.get(9))
	for id := range uint32(3 * maxNames) {
		c.put(id, fmt.Sprint("peer ", id))
		c.put(1, fmt.Sprint("other ", id))
	}
	require.LessOrEqual(t, len(c.byID), maxNames)
	require.LessOrEqual(t, len(c.used), maxNames)
	require.Equal(t, "new", c.put(5_000, "new"), "it is not remembered")
	require.Equal(t, "5000", c.get(5_000))
}

// mediasoupSecrets are messages in which whatever is secret is called so.
func mediasoupSecrets() []capture.Entry {
	return append(joined(),
		client(request(2, `"method":"queryRoom","appData":{"token":"SECRET"}`)),
		server(notification(`"method":"newPeer","name":"bob","consumers":[],"appData":"SECRET"`)),
		client(request(3, createTransport+`,"appData":["SECRET"]`)),
		server(answer(3, `{"iceParameters":{"usernameFragment":"u","password":"SECRET"},"iceCandidates":[]}`)),
		client(`{"request":true,"id":4,"method":"chat","data":{"text":"SECRET"}}`),
		server(answer(4, `{"text":"SECRET"}`)),
		server(answer(99, `{"text":"SECRET"}`)),
		client(request(5, `"method":"join","peerName":7,"appData":"SECRET"`)),
		client(request(6, `"method":"foo","appData":"SECRET"`)),
		client(request(6, `"method":"foo","app\u0044ata":"SECRET"`)),
		client(`{"request":true,"id":7,"method":"mediasoup-request","data":{"appData":"SECRET"`),
	)
}

func TestSecretsOfMediasoupAreHidden(t *testing.T) {
	t.Parallel()
	protocol, err := Find("mediasoup")
	require.NoError(t, err)
	plain := mediasoupSecrets()
	legible := plain[1 : len(plain)-4] // what other framings can be made of
	for name, entries := range map[string][]capture.Entry{
		"protoo":        plain,
		"type and body": append(plain[:1:1], reframed(t, mediasoupproto.TypeBody, "", legible)...),
		"Socket.IO": append([]capture.Entry{opened("1", easyrtcPath), client(`40{"token":"SECRET"}`)},
			reframed(t, mediasoupproto.SocketIO, "4", legible)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hides, shows := NewRecording(protocol), NewRecording(protocol)
			shows.Secrets = true
			for i, e := range numbered(entries) {
				for _, a := range hides.Explain(e) {
					require.NotContains(t, shown(a), "SECRET", "entry %d", i)
				}
				for _, a := range shows.Explain(e) {
					if bytes.Contains(e.Data, []byte("SECRET")) {
						require.Contains(t, shown(a), "SECRET", "entry %d", i)
					}
				}
			}
		})
	}
}

func TestNoSecretOfAMediasoupTraceIsShown(t *testing.T) {
	t.Parallel()
	requireHidden(t, "mediasoup", "mediasoupproto/testdata/traces/0*.jsonl", "password", "appData")
}

// The order of the members stays, which the package's Redact does not keep.
func TestMaskingHidesWhatRedactHides(t *testing.T) {
	t.Parallel()
	count := 0
	for _, file := range filesOf(t, tracesOf["mediasoup"]) {
		for _, e := range readTrace(t, file) {
			if e.Kind != capture.Message {
				continue
			}
			masked, err := maskMembers(e.Data, isMediasoupSecret)
			require.NoError(t, err)
			require.JSONEq(t, string(mediasoupproto.Redact(e.Data)), string(masked), "%s:%d", file, e.Seq)
			count++
		}
	}
	require.Greater(t, count, 500)
	for text, want := range map[string]string{
		`{"password" : 12 ,"b":[{"appData":{"x":[1]}},2]}`: `{"password" : "[hidden]" ,"b":[{"appData":"[hidden]"},2]}`,
		` ["password",{"PassWord":null}] `:                 ` ["password",{"PassWord":"[hidden]"}] `,
		`{"a":"password"}`:                                 `{"a":"password"}`,
		`7`:                                                `7`,
	} {
		masked, err := maskMembers([]byte(text), isMediasoupSecret)
		require.NoError(t, err)
		require.Equal(t, want, string(masked))
	}
	for _, text := range []string{`{`, `{"password":}`, `{"password":1`, `x`} {
		_, err := maskMembers([]byte(text), isMediasoupSecret)
		require.Error(t, err, text)
	}
}

func TestAMediasoupRecordingMayBeginInTheMiddle(t *testing.T) {
	t.Parallel()
	requireQuietSuffixes(t, "mediasoup")
}

func TestTheDetailIsThePayload(t *testing.T) {
	t.Parallel()
	a := last(t, "mediasoup", append(joined(), client(request(3, createTransport+`,"appData":1`))))
	require.Equal(t, "*mediasoupproto.CreateTransport", a.Detail.Type)
	require.Equal(t, `{"method":"createTransport","target":"peer","id":10,"direction":"send","options":{},`+
		`"appData":"[hidden]"}`, string(a.Detail.Decoded))
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(a.Detail.Decoded, &decoded))
	require.True(t, strings.HasSuffix(a.Detail.Raw, `"options":{},"appData":"[hidden]"}}`), a.Detail.Raw)
}

// The names come from here and the codec's.
func TestEveryMethodHasItsName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, file := range filesOf(t, tracesOf["mediasoup"]) {
		for _, e := range readTrace(t, file) {
			m, err := mediasoupproto.DecodeFramed(mediasoupproto.Protoo, transport.Text, e.Data)
			if err != nil {
				continue
			}
			switch m.(type) {
			case *mediasoupproto.Response, *mediasoupproto.Application, *mediasoupproto.Unknown:
				continue
			}
			payload, err := mediasoupproto.EncodePayload(m)
			require.NoError(t, err)
			var want struct{ Method string }
			require.NoError(t, json.Unmarshal(payload, &want))
			name, _, _ := newMediasoup(nil, e).(*mediasoupConn).about(m)
			require.Equal(t, want.Method, name)
			seen[name] = true
		}
	}
	require.Greater(t, len(seen), 25)
}
