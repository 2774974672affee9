package capture

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ms(n int64) time.Time { return time.UnixMilli(n).UTC() }

// traces are the beginnings of traces and what they are read as.
var traces = map[string]struct {
	protocol string
	lines    []string
	want     []Entry
}{
	"cuttlefish, WebSocket": {"cuttlefish", []string{
		`{"event":"meta","flow":"f","note":"what happens","server":"operator"}`,
		`{"conn":"device-1","dir":"c2s","event":"open","path":"/register_device","role":"device",` +
			`"subprotocols":["a","b"],"transport":"ws"}`,
		`{"conn":"device-1","dir":"s2c","event":"opened","role":"device","subprotocol":"b"}`,
		`{"conn":"device-1","dir":"c2s","frame":"{\n}","role":"device"}`,
		`{"binary":true,"conn":"device-1","dir":"c2s","frame":"x","role":"device"}`,
		`{"conn":"device-1","dir":"s2c","frame":"xxx","frame_bytes":100,"frame_truncated_in_trace":true,` +
			`"role":"device"}`,
		`{"conn":"device-1","dir":"s2c","event":"still-open","role":"device","waited_ms":400}`,
		`{"event":"note","note":"n","ok":true}`,
		`{"conn":"device-1","dir":"s2c","event":"write-error","error":"too long","role":"device"}`,
		`{"code":1006,"conn":"device-1","dir":"s2c","event":"close","note":"no close frame","reason":"",` +
			`"role":"device"}`,
		`{"conn":"device-1","dir":"c2s","event":"close","role":"device"}`,
	}, []Entry{
		{Kind: Note, Reason: "what happens; operator"},
		{Conn: "device-1", Kind: Open, From: Client, URL: "/register_device",
			Header: map[string]string{"Sec-Websocket-Protocol": "a, b", AgreedSubprotocol: "b"}},
		{Conn: "device-1", Kind: Message, From: Client, Data: []byte("{\n}")},
		{Conn: "device-1", Kind: Message, From: Client, Data: []byte("x"), Binary: true},
		{Conn: "device-1", Kind: Message, From: Server, Data: []byte("xxx"), Cut: 100},
		{Conn: "device-1", Kind: Note, Reason: `still-open {"waited_ms":400}`},
		{Kind: Note, Reason: `note {"note":"n","ok":true}`},
		{Conn: "device-1", Kind: Note, Reason: `write-error {"error":"too long"}`},
		{Conn: "device-1", Kind: Close, From: Server, Code: 1006},
		{Conn: "device-1", Kind: Close, From: Client},
	}},
	"cuttlefish, refused": {"cuttlefish", []string{
		`{"conn":"c","dir":"c2s","event":"open","path":"/devices/nope/connect","role":"client","transport":"ws"}`,
		`{"conn":"c","content_type":"text/plain","dir":"s2c","event":"open-failed",` +
			`"frame":"Device not found\n","role":"client","status":404}`,
		`{"conn":"d","dir":"c2s","event":"open","path":"/x","role":"client"}`,
		`{"conn":"d","dir":"s2c","event":"open-failed","error":"EOF","role":"client"}`,
		`{"conn":"e","dir":"s2c","event":"opened","role":"client","subprotocol":"s"}`,
	}, []Entry{
		{Conn: "c", Kind: Open, From: Client, URL: "/devices/nope/connect", Status: 404, Data: []byte("Device not found\n"),
			Header: map[string]string{"Content-Type": "text/plain"}},
		{Conn: "d", Kind: Open, From: Client, URL: "/x"},
		{Conn: "d", Kind: Note, From: Server, Reason: "not opened: EOF"},
		{Conn: "e", Kind: Note, From: Server, Reason: "opened, subprotocol s"},
	}},
	"cuttlefish, HTTP": {"cuttlefish", []string{
		`{"conn":"p","dir":"c2s","event":"http","method":"GET","path":"/devices","role":"client"}`,
		`{"conn":"p","content_type":"application/json","dir":"s2c","event":"http-response","frame":"[]",` +
			`"role":"client","status":200}`,
		`{"conn":"p","dir":"c2s","event":"http","method":"POST","path":"/forward","frame":"{}","role":"client"}`,
		`{"conn":"p","dir":"c2s","event":"http","method":"GET","path":"/other","role":"client"}`,
		`{"conn":"p","dir":"s2c","event":"http-response","path":"/other","frame":"1","role":"client","status":200}`,
		`{"conn":"p","dir":"s2c","event":"http-error","error":"EOF","role":"client"}`,
		`{"conn":"p","dir":"s2c","event":"http-response","frame":"","role":"client","status":404}`,
	}, []Entry{
		{Conn: "p", Kind: Request, From: Client, Method: "GET", URL: "/devices"},
		{Conn: "p", Kind: Response, From: Server, Method: "GET", URL: "/devices", Status: 200, Data: []byte("[]"),
			Header: map[string]string{"Content-Type": "application/json"}},
		{Conn: "p", Kind: Request, From: Client, Method: "POST", URL: "/forward", Data: []byte("{}")},
		{Conn: "p", Kind: Request, From: Client, Method: "GET", URL: "/other"},
		{Conn: "p", Kind: Response, From: Server, Method: "GET", URL: "/other", Status: 200, Data: []byte("1")},
		{Conn: "p", Kind: Note, From: Server, Reason: "no answer: EOF"},
		{Conn: "p", Kind: Response, From: Server, Status: 404},
	}},
	"easyrtc, polling and a change to WebSocket": {"easyrtc", []string{
		`{"meta":{"flow":"f","serverLib":"open-easyrtc@2.1.8","outcome":{}}}`,
		`{"dir":"c2s","client":"A","frame":"","transport":"polling","http":{"method":"GET",` +
			`"url":"/s/?EIO=4&transport=polling","origin":"o"},"t":2}`,
		`{"dir":"s2c","client":"A","frame":"0{\"sid\":\"S1\"}","transport":"polling",` +
			`"http":{"status":200,"contentType":"text/plain","setCookie":["io=S1","b=c"],"acao":"*",` +
			`"re":"GET /s/?EIO=4&transport=polling"},"t":3}`,
		`{"event":"ws_open","client":"A","url":"/s/?EIO=4&transport=websocket&sid=S1","origin":"o",` +
			`"cookie":"io=S1","t":4}`,
		`{"dir":"c2s","client":"A","frame":"2probe","transport":"websocket","t":5}`,
		`{"dir":"c2s","client":"A","frame":"BAE=","transport":"polling","binary":true,` +
			`"http":{"method":"POST","url":"/s/?EIO=4&transport=polling&sid=S1",` +
			`"contentType":"application/octet-stream"},"t":6}`,
		`{"dir":"s2c","client":"A","frame":"ok","transport":"polling","http":{"status":200,` +
			`"re":"POST /s/?EIO=4&transport=polling&sid=S1"},"t":7}`,
		`{"dir":"s2c","client":"A","frame":"42[1","transport":"websocket","t":8,"truncated":true,"frameLength":900}`,
		`{"note":"the server is restarted","t":9}`,
		`{"event":"ws_close","client":"A","by":"server","code":1006,"reason":"gone","t":10}`,
		`{"event":"ws_open","client":"A","url":"/s/?EIO=4&transport=websocket","t":11}`,
		`{"dir":"c2s","client":"A","frame":"AAE=","transport":"websocket","binary":true,"t":12}`,
		`{"event":"ws_close","client":"A","by":"client","code":1005,"reason":"","t":13}`,
	}, []Entry{
		{Kind: Note, Reason: "f; open-easyrtc@2.1.8"},
		{Time: ms(2), Conn: "A", Kind: Request, From: Client, Method: "GET", URL: "/s/?EIO=4&transport=polling",
			Header: map[string]string{"Origin": "o"}},
		{Time: ms(3), Conn: "A", Kind: Response, From: Server, Method: "GET", URL: "/s/?EIO=4&transport=polling", Status: 200,
			Data: []byte(`0{"sid":"S1"}`), Header: map[string]string{
				"Content-Type": "text/plain", "Set-Cookie": "io=S1, b=c", "Access-Control-Allow-Origin": "*"}},
		{Time: ms(4), Conn: "A", Kind: Open, From: Client, URL: "/s/?EIO=4&transport=websocket&sid=S1",
			Header: map[string]string{"Origin": "o", "Cookie": "io=S1"}},
		{Time: ms(5), Conn: "A", Kind: Message, From: Client, Data: []byte("2probe")},
		{Time: ms(6), Conn: "A", Kind: Request, From: Client, Method: "POST", URL: "/s/?EIO=4&transport=polling&sid=S1",
			Data: []byte("\x04\x01"), Binary: true, Header: map[string]string{"Content-Type": "application/octet-stream"}},
		{Time: ms(7), Conn: "A", Kind: Response, From: Server, Method: "POST", URL: "/s/?EIO=4&transport=polling&sid=S1",
			Status: 200, Data: []byte("ok")},
		{Time: ms(8), Conn: "A", Kind: Message, From: Server, Data: []byte("42[1"), Cut: 900},
		{Time: ms(9), Kind: Note, Reason: "the server is restarted"},
		{Time: ms(10), Conn: "A", Kind: Close, From: Server, Code: 1006, Reason: "gone"},
		{Time: ms(11), Conn: "A (2)", Kind: Open, From: Client, URL: "/s/?EIO=4&transport=websocket"},
		{Time: ms(12), Conn: "A (2)", Kind: Message, From: Client, Data: []byte("\x00\x01"), Binary: true},
		{Time: ms(13), Conn: "A (2)", Kind: Close, From: Client, Code: 1005},
	}},
	"easyrtc, pages and refusals": {"easyrtc", []string{
		`{"event":"http","client":"A","method":"GET","url":"/favicon.ico","cookie":"c","t":1}`,
		`{"event":"http_response","client":"A","status":404,"url":"/favicon.ico",` +
			`"contentType":"text/html","length":150,"t":2}`,
		`{"event":"ws_rejected","client":"A","url":"/s/?EIO=4","status":400,"body":"bad","t":3}`,
		`{"event":"odd","client":"A","x":1,"t":4}`,
	}, []Entry{
		{Time: ms(1), Conn: "A http", Kind: Request, From: Client, Method: "GET", URL: "/favicon.ico",
			Header: map[string]string{"Cookie": "c"}},
		{Time: ms(2), Conn: "A http", Kind: Response, From: Server, Method: "GET", URL: "/favicon.ico", Status: 404,
			Header: map[string]string{"Content-Type": "text/html"}},
		{Time: ms(3), Conn: "A", Kind: Open, From: Client, URL: "/s/?EIO=4", Status: 400, Data: []byte("bad")},
		{Time: ms(4), Conn: "A", Kind: Note, Reason: `odd {"x":1}`},
	}},
	"galene": {"galene", []string{
		`{"dir":"c2s","client":"a","t":0,"event":"ws-open"}`,
		`{"dir":"c2s","client":"a","t":1,"msg":{"b":1, "a":[ ]}}`,
		`{"dir":"c2s","client":"a","t":2,"raw":"{\"type\""}`,
		`{"dir":"c2s","client":"a","t":3,"raw":"<1048576 bytes: chat>"}`,
		`{"dir":"c2s","client":"a","t":4,"raw":"<bytes: chat>"}`,
		`{"dir":"c2s","client":"a","t":5}`,
		`{"dir":"c2s","client":"a","t":6,"raw":"x","event":"binary-frame"}`,
		`{"dir":"s2c","client":"a","t":7,"event":"ws-pong"}`,
		`{"dir":"s2c","client":"a","t":8,"raw":"closed","event":"ws-error"}`,
		`{"dir":"s2c","client":"a","t":9,"close":{"code":1006,"reason":"none"},` +
			`"event":"tcp-close-without-close-frame"}`,
		`{"dir":"c2s","client":"a","t":10,"event":"ws-open"}`,
		`{"dir":"c2s","client":"a","t":11,"event":"ws-close"}`,
	}, []Entry{
		{Time: ms(0), Conn: "a", Kind: Open, From: Client},
		{Time: ms(1), Conn: "a", Kind: Message, From: Client, Data: []byte(`{"b":1, "a":[ ]}`)},
		{Time: ms(2), Conn: "a", Kind: Message, From: Client, Data: []byte(`{"type"`)},
		{Time: ms(3), Conn: "a", Kind: Message, From: Client, Cut: 1048576},
		{Time: ms(4), Conn: "a", Kind: Message, From: Client, Data: []byte("<bytes: chat>")},
		{Time: ms(5), Conn: "a", Kind: Message, From: Client},
		{Time: ms(6), Conn: "a", Kind: Message, From: Client, Data: []byte("x"), Binary: true},
		{Time: ms(7), Conn: "a", Kind: Note, From: Server, Reason: "ws-pong"},
		{Time: ms(8), Conn: "a", Kind: Note, From: Server, Reason: "ws-error closed"},
		{Time: ms(9), Conn: "a", Kind: Close, From: Server, Code: 1006, Reason: "none"},
		{Time: ms(10), Conn: "a (2)", Kind: Open, From: Client},
		{Time: ms(11), Conn: "a (2)", Kind: Close, From: Client, Code: 1005},
	}},
	"mediasoup": {"mediasoup", []string{
		`{"dir":"note","peer":"","kind":"note","body":{"text":"alice joins"}}`,
		`{"dir":"c2s","peer":"alice","kind":"request","rid":101,"body":{"method":"join", "x":"\u00e4"}}`,
		`{"dir":"s2c","peer":"alice","kind":"response","rid":101,"body":{"peers":[]}}`,
		`{"dir":"s2c","peer":"alice","kind":"error","rid":102,"body":{"name":"TypeError","message":"a \"b\""}}`,
		`{"dir":"s2c","peer":"alice","kind":"error","rid":103,"body":{"errorCode":403,"errorReason":"no"}}`,
		`{"dir":"s2c","peer":"alice","kind":"error","body":{"errorCode":500,"errorReason":"left out"}}`,
		`{"dir":"c2s","peer":"alice","kind":"notification","body":{"method":"leave"}}`,
		`{"dir":"s2c","peer":"bob","kind":"notification","body":{"method":"peerClosed"}}`,
		`{"dir":"s2c","peer":"bob","kind":"rejected","body":{"name":"E"}}`,
		`{"dir":"api","peer":"bob","kind":"call","body":{"call":"producer.pause"}}`,
		`{"dir":"log","peer":"","kind":"log","body":{"text":"an error"}}`,
	}, []Entry{
		{Kind: Note, Reason: "alice joins"},
		{Conn: "alice", Kind: Message, From: Client,
			Data: []byte(`{"request":true,"id":101,"method":"mediasoup-request","data":{"method":"join", "x":"\u00e4"}}`)},
		{Conn: "alice", Kind: Message, From: Server, Data: []byte(`{"response":true,"id":101,"ok":true,"data":{"peers":[]}}`)},
		{Conn: "alice", Kind: Message, From: Server,
			Data: []byte(`{"response":true,"id":102,"ok":false,"errorCode":500,"errorReason":"TypeError: a \"b\""}`)},
		{Conn: "alice", Kind: Message, From: Server,
			Data: []byte(`{"response":true,"id":103,"ok":false,"errorCode":403,"errorReason":"no"}`)},
		{Conn: "alice", Kind: Note, Reason: `s2c error: {"errorCode":500,"errorReason":"left out"}`},
		{Conn: "alice", Kind: Message, From: Client,
			Data: []byte(`{"notification":true,"method":"mediasoup-notification","data":{"method":"leave"}}`)},
		{Conn: "bob", Kind: Message, From: Server,
			Data: []byte(`{"notification":true,"method":"mediasoup-notification","data":{"method":"peerClosed"}}`)},
		{Conn: "bob", Kind: Note, Reason: `s2c rejected: {"name":"E"}`},
		{Conn: "bob", Kind: Note, Reason: `api call: {"call":"producer.pause"}`},
		{Kind: Note, Reason: "log: an error"},
	}},
}

func TestTracesAreReadAsWhatTheySay(t *testing.T) {
	t.Parallel()
	for name, c := range traces {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := Read(strings.NewReader(strings.Join(c.lines, "\n")))
			require.NoError(t, err)
			require.Equal(t, c.protocol, f.Protocol)
			for i := range c.want {
				c.want[i].Seq = i + 1
			}
			require.Equal(t, c.want, f.Entries)
		})
	}
}

// TestEveryTraceOfTheProtocolsIsRead has all traces with which the packages of the protocols
// are tested.
func TestEveryTraceOfTheProtocolsIsRead(t *testing.T) {
	t.Parallel()
	for folder, protocol := range map[string]string{
		"cuttlefish": "cuttlefish", "easyrtc": "easyrtc", "galene": "galene", "mediasoupproto": "mediasoup",
	} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			read := 0
			root := os.DirFS(filepath.Join("..", "..", "..", folder, "testdata", "traces"))
			require.NoError(t, fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
				if err != nil || filepath.Ext(path) != ".jsonl" {
					return err
				}
				data, err := fs.ReadFile(root, path)
				require.NoError(t, err)
				f, err := Read(bytes.NewReader(data))
				require.NoError(t, err, path)
				require.Equal(t, protocol, f.Protocol, path)
				require.NotEmpty(t, f.Entries, path)
				var b bytes.Buffer
				require.NoError(t, WriteFile(&b, f, nil))
				again, err := Read(&b)
				require.NoError(t, err)
				require.Equal(t, f, again, path)
				read++
				return nil
			}))
			require.Greater(t, read, 20)
		})
	}
}

func TestSessionsAreFoundInEveryForm(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`0{"sid":"a-b_C","upgrades":["websocket"],"pingInterval":1}`:        "a-b_C",
		`97:0{"sid":"S","upgrades":["websocket"],"pingInterval":25000}2:40`: "S",
		"\x00\x09\x07\xff0{\"sid\":\"S\",\"upgrades\":[]}":                  "S",
		`___eio[0]("97:0{\"sid\":\"S\",\"upgrades\":[]}2:40");`:             "S",
		`0{"upgrades":[],"sid":"S"}`:                                        "S",
		`40{"sid":"of Socket.IO"}`:                                          "",
		`42["x",{"sid":"S"}]`:                                               "",
		`ok`:                                                                "",
		``:                                                                  "",
		`0{"sid":""}`:                                                       "",
		strings.Repeat(" ", 5000) + `0{"sid":"far"}`:                        "",
	} {
		require.Equal(t, want, SessionInBody([]byte(body)), body)
	}
	for address, want := range map[string]string{
		"/socket.io/?EIO=4&transport=polling&sid=a%20b": "a b", "/?sid=x": "x", "/?xsid=x": "", "/sid=x": "", "": "",
		"/?sid=%zz": "", "/?sid=": "",
	} {
		require.Equal(t, want, SessionInURL(address), address)
	}
}
