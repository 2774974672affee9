package interop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A galeneCase is what one connection says, and what the real server answers.
type galeneCase struct {
	name string
	says string
	want []string
}

// galeneError is the user message before or instead of the end of a connection.
func galeneError(text string) string {
	return `{"dest":"id-case","kind":"error","privileged":true,"type":"usermessage","value":"` + text + `"}`
}

// fatal is a user message with the end of the connection.
func fatal(code, text string) []string {
	return []string{galeneError(text), "closed " + code + " " + text}
}

var (
	pong      = []string{`{"type":"pong"}`}
	nothing   = []string{}
	closed    = []string{"closed 1011 "}
	cut       = []string{"closed 1006 "}
	closeS1   = []string{`{"id":"s1","type":"close"}`}
	abortS1   = `{"id":"s1","type":"abort"}`
	joinFirst = []string{galeneError("join a group first")}
)

// inGroup are said by a member of the group "open", who is called "case".
var inGroup = []galeneCase{
	{"unfinished", `{"type":"ping"`, closed},
	{"no JSON", `hello`, closed},
	{"empty", ``, closed},
	{"array", `[{"type":"ping"}]`, closed},
	{"string", `"ping"`, closed},
	{"number", `1`, closed},
	{"null", `null`, fatal("1002", "unexpected message")},
	{"two values", `{"type":"ping"} {"type":"ping"}`, pong},
	{"garbage behind", `{"type":"ping"}garbage`, pong},
	{"white space around", " \n{\"type\" : \"ping\"}\n ", pong},
	{"no type", `{"kind":"x"}`, fatal("1002", "unexpected message")},
	{"null type", `{"type":null}`, fatal("1002", "unexpected message")},
	{"empty type", `{"type":""}`, fatal("1002", "unexpected message")},
	{"empty object", `{}`, fatal("1002", "unexpected message")},
	{"unknown type", `{"type":"frobnicate"}`, fatal("1002", "unexpected message")},
	{"type of another case", `{"type":"Ping"}`, fatal("1002", "unexpected message")},
	{"number for a type", `{"type":5}`, closed},
	{"number for an id", `{"type":"ping","id":5}`, closed},
	{"number for a user name", `{"type":"chat","username":5,"value":"x"}`, closed},
	{"number for a time", `{"type":"chat","time":1619612745000,"value":"v1 time"}`, closed},
	{"object for permissions", `{"type":"ping","permissions":{"op":true}}`, closed},
	{"numbers for permissions", `{"type":"ping","permissions":[1]}`, closed},
	{"object for a status", `{"type":"ping","status":{"raisehand":true}}`, pong},
	{"text for a status", `{"type":"ping","status":"x"}`, closed},
	{"labels", `{"type":"ping","labels":{"0":"video"}}`, pong},
	{"text for a version", `{"type":"ping","version":"2"}`, closed},
	{"text for a candidate", `{"type":"ice","id":"x","candidate":"candidate:1"}`, closed},
	{"text for data", `{"type":"ping","data":"x"}`, closed},
	{"text for noecho", `{"type":"ping","noecho":"true"}`, closed},
	{"number for privileged", `{"type":"ping","privileged":1}`, closed},
	{"list for sdp", `{"type":"ping","sdp":[]}`, closed},
	{"text for an RTC configuration", `{"type":"ping","rtcConfiguration":"x"}`, closed},
	{"nulls everywhere", `{"type":"ping","kind":null,"id":null,"source":null,"dest":null,"username":null,"permissions":null,` +
		`"status":null,"data":null,"candidate":null,"noecho":null,"privileged":null,"time":null,"version":null}`, pong},
	{"name of another case", `{"TYPE":"ping"}`, pong},
	{"duplicate name", `{"type":"chat","type":"ping"}`, pong},
	{"unknown member", `{"type":"ping","zork":{"a":1}}`, pong},
	{"second handshake", `{"type":"handshake","version":["2"],"id":"id-case"}`, fatal("1002", "unexpected message")},
	{"second join", `{"type":"join","kind":"join","group":"test","username":"bob","password":"bpw"}`,
		fatal("1002", "cannot join multiple groups")},
	{"join of no kind", `{"type":"join","group":"test"}`, fatal("1002", "unknown kind")},
	{"join of an unknown kind", `{"type":"join","kind":"change","group":"test"}`, fatal("1002", "unknown kind")},
	{"leaving another group", `{"type":"join","kind":"leave","group":"test"}`, fatal("1000", "you are not joined")},
	{"leaving no group", `{"type":"join","kind":"leave"}`, fatal("1000", "you are not joined")},
	{"request of a boolean", `{"type":"request","request":{"":true}}`, closed},
	{"request of a number", `{"type":"request","request":{"":1}}`, closed},
	{"request of booleans", `{"type":"request","request":{"audio":true,"video":true}}`, closed},
	{"request of a list", `{"type":"request","request":["audio"]}`, closed},
	{"request of a text", `{"type":"request","request":"audio"}`, closed},
	{"request with a number", `{"type":"request","request":{"":["audio",5]}}`, closed},
	{"request of an unknown kind", `{"type":"request","request":{"":["smell"]}}`, nothing},
	{"request of nothing", `{"type":"request"}`, nothing},
	{"request of null", `{"type":"request","request":null}`, nothing},
	{"empty request", `{"type":"request","request":{}}`, nothing},
	{"requestStream of an unknown stream", `{"type":"requestStream","id":"nope","request":["audio"]}`, closed},
	{"requestStream of no stream", `{"type":"requestStream","request":["audio"]}`, closed},
	{"offer without an id", `{"type":"offer","sdp":"v=0"}`, fatal("1002", "empty id")},
	{"offer of nonsense", `{"type":"offer","id":"s1","label":"camera","sdp":"nonsense"}`,
		[]string{abortS1, galeneError(`sdp: syntax error at pos 1: \"o\"`)}},
	{"offer of nothing", `{"type":"offer","id":"s1","label":"camera"}`,
		[]string{abortS1, galeneError("SetRemoteDescription called with no ice-ufrag")}},
	{"answer without an id", `{"type":"answer","sdp":"v=0"}`, fatal("1002", "empty id")},
	{"answer for an unknown stream", `{"type":"answer","id":"s1","sdp":"v=0"}`, closeS1},
	{"ice without an id", `{"type":"ice","candidate":{"candidate":""}}`, fatal("1002", "empty id")},
	{"ice without a candidate", `{"type":"ice","id":"nope"}`, fatal("1002", "null candidate")},
	{"ice with null", `{"type":"ice","id":"nope","candidate":null}`, fatal("1002", "null candidate")},
	{"ice for an unknown stream",
		`{"type":"ice","id":"nope","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host"}}`, nothing},
	{"renegotiate without an id", `{"type":"renegotiate"}`, fatal("1002", "empty id")},
	{"renegotiate of an unknown stream", `{"type":"renegotiate","id":"nope"}`, nothing},
	{"close without an id", `{"type":"close"}`, fatal("1002", "empty id")},
	{"close of an unknown stream", `{"type":"close","id":"nope"}`, nothing},
	{"abort without an id", `{"type":"abort"}`, fatal("1002", "empty id")},
	{"abort of an unknown stream", `{"type":"abort","id":"s1"}`, closeS1},
	{"unknown user action", `{"type":"useraction","kind":"promote","dest":"x"}`, fatal("1000", "unknown user action")},
	{"user action of the protocol document", `{"type":"useraction","kind":"setstatus","dest":"id-case","value":{}}`,
		fatal("1000", "unknown user action")},
	{"unknown group action", `{"type":"groupaction","kind":"explode"}`, fatal("1000", "unknown group action")},
	{"group action of no kind", `{"type":"groupaction"}`, fatal("1000", "unknown group action")},
	{"joined from a client", `{"type":"joined","kind":"join","group":"open"}`, fatal("1002", "unexpected message")},
	{"user from a client", `{"type":"user","kind":"add","id":"x"}`, fatal("1002", "unexpected message")},
	{"chathistory from a client", `{"type":"chathistory","value":"x"}`, fatal("1002", "unexpected message")},
	{"source of another", `{"type":"ping","source":"other"}`, fatal("1002", "spoofed client id")},
	{"user name of another", `{"type":"ping","username":"other"}`, fatal("1002", "spoofed username")},
	{"empty user name", `{"type":"ping","username":""}`, fatal("1002", "spoofed username")},
	{"own source and user name", `{"type":"ping","source":"id-case","username":"case"}`, pong},
	{"empty source", `{"type":"ping","source":""}`, pong},
	{"chat without a sender", `{"type":"chat","id":"c1","value":"x"}`,
		[]string{`{"id":"made","time":"now","type":"chat","value":"x"}`}},
	{"chat that is called privileged", `{"type":"chat","id":"c2","value":"x","privileged":true,"source":"id-case","username":"case"}`,
		[]string{`{"id":"made","source":"id-case","time":"now","type":"chat","username":"case","value":"x"}`}},
	{"chat of another time",
		`{"type":"chat","id":"c3","value":"x","time":"1999-12-31T23:59:59Z","source":"id-case","username":"case"}`,
		[]string{`{"id":"made","source":"id-case","time":"now","type":"chat","username":"case","value":"x"}`}},
	{"chat without a value", `{"type":"chat","id":"c4","source":"id-case","username":"case"}`,
		[]string{`{"id":"made","source":"id-case","time":"now","type":"chat","username":"case"}`}},
	{"pong", `{"type":"pong"}`, nothing},
}

// byOperator are said by an operator, one after the other; what comes back is an echo where
// it does not say otherwise.
var byOperator = []galeneCase{
	{"chat of an operator", `{"type":"chat","id":"c1","value":"x","source":"id-case","username":"alice"}`,
		[]string{`{"id":"made","privileged":true,"source":"id-case","time":"now","type":"chat","username":"alice","value":"x"}`}},
	{"same chat id", `{"type":"chat","id":"c1","value":"x","source":"id-case","username":"alice"}`,
		[]string{`{"id":"made","privileged":true,"source":"id-case","time":"now","type":"chat","username":"alice","value":"x"}`}},
	{"forged kicked", forged("kicked"), echoed("kicked")},
	{"forged token", forged("token"), echoed("token")},
	{"forged list", forged("tokenlist"), echoed("tokenlist")},
	{"forged userinfo", forged("userinfo"), echoed("userinfo")},
	{"mute", forged("mute"), echoed("mute")},
	{"kick in somebody else's name", `{"type":"useraction","kind":"kick","dest":"nobody","source":"other"}`,
		fatal("1002", "spoofed client id")},
}

func forged(kind string) string {
	return `{"type":"usermessage","kind":"` + kind + `","value":"x","source":"id-case","username":"alice"}`
}

func echoed(kind string) []string {
	return []string{`{"kind":"` + kind + `","privileged":true,"source":"id-case","time":"now","type":"usermessage",` +
		`"username":"alice","value":"x"}`}
}

// beforeJoining are said by somebody who has only shaken hands.
var beforeJoining = []galeneCase{
	{"early request", `{"type":"request","request":{"":["audio"]}}`, closed},
	{"early requestStream", `{"type":"requestStream","id":"x","request":["audio"]}`, closed},
	{"early offer", `{"type":"offer","id":"s1","label":"camera","sdp":"v=0"}`, []string{abortS1, galeneError("not authorised")}},
	{"early answer", `{"type":"answer","id":"s1","sdp":"v=0"}`, closeS1},
	{"early ice", `{"type":"ice","id":"s1","candidate":{"candidate":""}}`, nothing},
	{"early close", `{"type":"close","id":"s1"}`, nothing},
	{"early abort", `{"type":"abort","id":"s1"}`, closeS1},
	{"early renegotiate", `{"type":"renegotiate","id":"s1"}`, nothing},
	{"early chat", `{"type":"chat","value":"x"}`, joinFirst},
	{"early user message", `{"type":"usermessage","kind":"info","value":"x"}`, joinFirst},
	{"early group action", `{"type":"groupaction","kind":"lock"}`, joinFirst},
	{"early user action", `{"type":"useraction","kind":"kick","dest":"x"}`, joinFirst},
	{"early unknown group action", `{"type":"groupaction","kind":"explode"}`, joinFirst},
	{"early leave", `{"type":"join","kind":"leave","group":"open"}`, fatal("1000", "you are not joined")},
	{"early user name", `{"type":"ping","username":"someone"}`, fatal("1002", "spoofed username")},
	{"early ping", `{"type":"ping"}`, pong},
	{"neither user name nor token", `{"type":"join","kind":"join","group":"open"}`,
		[]string{`{"group":"open","kind":"fail","type":"joined","username":"","value":"internal server error"}`}},
}

// atFirst are said in place of the handshake.
var atFirst = []galeneCase{
	{"unfinished handshake", `{"type":`, cut},
	{"number for an id at first", `{"type":"handshake","id":5}`, cut},
	{"text for a version at first", `{"type":"handshake","id":"x","version":"2"}`, cut},
	{"empty object at first", `{}`, []string{"closed 1002 you must handshake first"}},
	{"ping at first", `{"type":"ping"}`, []string{"closed 1002 you must handshake first"}},
	{"join at first", `{"type":"join","kind":"join","group":"open","username":"x"}`,
		[]string{"closed 1002 you must handshake first"}},
	{"handshake of version 2", `{"type":"handshake","id":"id-case","version":["2"]}`, []string{`{"type":"handshake","version":["2"]}`}},
	{"handshake of two versions", `{"type":"handshake","id":"id-case","version":["1","2"]}`,
		[]string{`{"type":"handshake","version":["2"]}`}},
	{"handshake of version 1", `{"type":"handshake","id":"id-case","version":["1"]}`, unknownVersion},
	{"handshake of version 3", `{"type":"handshake","id":"id-case","version":["3"]}`, unknownVersion},
	{"handshake of no version", `{"type":"handshake","id":"id-case"}`, unknownVersion},
}

var unknownVersion = []string{
	`{"type":"handshake","version":["2"]}`,
	`{"dest":"id-case","kind":"warning","privileged":true,"type":"usermessage","value":` +
		`"This client is using an unknown protocol version.\nPerhaps it needs upgrading?\nTrying to continue, things may break."}`,
}

func TestGaleneServersAnswerEveryOddMessageAlike(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		check := func(cases []galeneCase, begin func(r *rawGalene)) {
			for _, tt := range cases {
				t.Run(tt.name, func(t *testing.T) {
					r := s.raw(t, "id-case")
					begin(r)
					r.say([]byte(tt.says), nil)
					require.Equal(t, s.expected(tt.name, tt.want), r.replies(), tt.says)
					_ = r.conn.Close(transport.StatusNormal, "")
					s.awaitEmpty(t, "open")
				})
			}
		}
		check(atFirst, func(*rawGalene) {})
		check(beforeJoining, (*rawGalene).handshake)
		check(inGroup, func(r *rawGalene) {
			r.handshake()
			r.join("open", "case", "")
		})
	})
}

func TestGaleneServersAnswerAnOperatorAlike(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		r := s.raw(t, "id-case")
		r.handshake()
		r.join("test", "alice", "apw")
		for _, tt := range byOperator {
			r.say([]byte(tt.says), nil)
			require.Equal(t, s.expected(tt.name, tt.want), r.replies(), tt.says)
		}
	})
}

func TestGaleneServersReadBinaryMessages(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		r := s.raw(t, "id-case")
		r.handshake()
		require.NoError(t, r.conn.Write(transport.Binary, []byte(`{"type":"ping"}`)))
		require.Equal(t, pong, r.replies())
	})
}

func TestGaleneServersTakeAMebibyteAndNoMore(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		const begin, end = `{"type":"ping","zork":"`, `"}`
		for _, tt := range []struct {
			name string
			size int
			want []string
		}{{"1 MiB", 1 << 20, pong}, {"too large", 1<<20 + 1, []string{"closed 1009 "}}} {
			r := s.raw(t, "id-case")
			r.handshake()
			r.say([]byte(begin+strings.Repeat("x", tt.size-len(begin)-len(end))+end), nil)
			require.Equal(t, s.expected(tt.name, tt.want), r.replies())
		}
	})
}

func TestGaleneServersTakeEverythingBehindTheHandshakeAtOnce(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		r := s.raw(t, "id-case")
		for _, message := range []string{
			`{"type":"handshake","version":["2"],"id":"id-case"}`,
			`{"type":"join","kind":"join","group":"open","username":"case","password":""}`,
			`{"type":"request","request":{"":["audio","video"]}}`,
			`{"type":"chat","source":"id-case","username":"case","value":"x"}`,
		} {
			r.say([]byte(message), nil)
		}
		got := map[string]bool{}
		r.read(func(line string) bool {
			got[line] = true
			return got[`{"id":"made","source":"id-case","time":"now","type":"chat","username":"case","value":"x"}`] &&
				got[`{"id":"id-case","kind":"add","permissions":["present","message"],"type":"user","username":"case"}`]
		})
		require.NotContains(t, got, "closed 1011 ")
	})
}
