package explain

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestCuttlefishDiagrams(t *testing.T) {
	t.Parallel()
	compareDiagrams(t, "cuttlefish")
}

// The traces are of three servers. Every problem in them is a true one.
func TestCuttlefishProblemsOfAllTraces(t *testing.T) {
	t.Parallel()
	compareProblems(t, "cuttlefish", "cuttlefish/testdata/traces/*.jsonl")
}

func TestTheRoleOfACuttlefishConnectionIsKnownByItsPathOrFirstMessage(t *testing.T) {
	t.Parallel()
	register := message("1", capture.Client, `{"message_type":"register","device_id":"d"}`)
	connect := message("1", capture.Client, `{"message_type":"connect","device_id":"d"}`)
	withRole := opened("1", "/ws")
	withRole.Header = map[string]string{"Role": "device"}
	for _, c := range []struct {
		name    string
		entries []capture.Entry
		want    string
	}{
		{"the path of devices", []capture.Entry{opened("1", "/register_device"), register}, "registering | deciding"},
		{"the path of clients", []capture.Entry{opened("1", "/connect_client"), connect}, "connecting | deciding"},
		{"a path behind others", []capture.Entry{opened("1", "/x/register_device?y=z"), register}, "registering | deciding"},
		{"today's operator", []capture.Entry{opened("1", "/devices/d/connect")}, "connecting | deciding"},
		{"a role", []capture.Entry{withRole, register}, "registering | deciding"},
		{"a device's first message", []capture.Entry{opened("1", "/"), register}, "registering | deciding"},
		{"a client's first message", []capture.Entry{opened("1", "/"), connect}, "connecting | deciding"},
		{"no opening", []capture.Entry{register}, "registering | deciding"},
	} {
		arrows := explained(t, "cuttlefish", numbered(c.entries))
		require.Equal(t, c.want, statesOf(arrows[len(arrows)-1]), c.name)
		require.Empty(t, illegal(arrows), c.name)
	}
}

func TestMessagesOfTheOtherCuttlefishRoleAreIllegal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, text, want string }{
		{"/register_device", `{"message_type":"connect","device_id":"d"}`, "connect: cuttlefish: cannot send connect"},
		{"/connect_client", `{"message_type":"register","device_id":"d"}`, "register: cuttlefish: cannot send register"},
		{"/connect_client", `{"message_type":"config","ice_servers":[]}`, "config: cuttlefish: cannot send config"},
		{"/register_device", `{"message_type":"forward","client_id":1,"payload":{}}`,
			"forward: cuttlefish: cannot send forward while idle (only while registered)"},
	} {
		arrows := explained(t, "cuttlefish", numbered([]capture.Entry{opened("1", c.path), message("1", capture.Client, c.text)}))
		require.Equal(t, []string{c.want}, illegal(arrows), c.text)
	}
	for _, c := range []struct{ path, text, want string }{
		{"/register_device", `{"message_type":"device_msg","payload":{}}`, "device_msg: cuttlefish: cannot send device_msg"},
		{"/connect_client", `{"message_type":"client_msg","client_id":1,"payload":{}}`, "client_msg: cuttlefish: cannot send client_msg"},
		{"/connect_client", `{"message_type":"device_info","device_info":{}}`, "device_info: cuttlefish: device_info before config"},
		{"/devices/d/connect", `{"message_type":"device_msg","payload":{}}`, "device_msg: cuttlefish: device_msg before device_info"},
	} {
		arrows := explained(t, "cuttlefish", numbered([]capture.Entry{opened("1", c.path), message("1", capture.Server, c.text)}))
		require.Equal(t, []string{c.want}, illegal(arrows), c.text)
	}
}

// The two sides have different forms of candidates, and each takes its own only.
func TestACandidateInTheFormOfTheOtherSideIsInvalid(t *testing.T) {
	t.Parallel()
	flat := `{"type":"ice-candidate","candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","mid":"0","mLineIndex":0}`
	nested := `{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host",` +
		`"sdpMid":"0","sdpMLineIndex":0}}`
	for _, c := range []struct {
		path, payload string
		invalid       bool
	}{
		{"/devices/d/connect", nested, false},
		{"/devices/d/connect", flat, true},
		{"operator", flat, false},
		{"operator", nested, true},
	} {
		entries := []capture.Entry{opened("1", c.path)}
		if c.path == "operator" {
			entries = append(entries, message("1", capture.Client, `{"device_id":"d"}`),
				message("1", capture.Client, `{"client_id":1,"payload":`+c.payload+`}`))
		} else {
			entries = append(entries, message("1", capture.Client, c.payload))
		}
		arrows := explained(t, "cuttlefish", numbered(entries))
		last := arrows[len(arrows)-1]
		require.Equal(t, c.invalid, last.is(Invalid), "%s: %s: %v", c.path, c.payload, last.Problems)
		require.Contains(t, last.About, "host udp 192.0.2.1:5")
	}
}

// Whatever the payload is, it is the two sides' own affair.
func TestPayloadsThatNobodyKnowsAreNoProblem(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{}`, `{"type":"adb-message"}`, `{"type":7}`, `null`, `{"a":[1,2]}`} {
		arrows := explained(t, "cuttlefish", numbered([]capture.Entry{
			opened("1", "/devices/d/connect"), message("1", capture.Client, payload),
		}))
		require.Empty(t, arrows[1].Problems, payload)
		require.NotEmpty(t, arrows[1].Name)
	}
}

// polledFlow are the request and the answer of a client that polls.
func polledFlow(method, url, body string, status int, answer string) []capture.Entry {
	return []capture.Entry{
		{Conn: "1", Kind: capture.Request, From: capture.Client, Method: method, URL: url, Data: []byte(body)},
		{Conn: "1", Kind: capture.Response, From: capture.Server, Method: method, URL: url, Status: status, Data: []byte(answer)},
	}
}

func TestACuttlefishClientThatPollsHasTheStatesOfOthers(t *testing.T) {
	t.Parallel()
	const id = "/polled_connections/0123456789abcdef0123456789abcdef"
	var entries []capture.Entry
	for _, exchange := range [][]capture.Entry{
		polledFlow("POST", "/polled_connections", `{"device_id":"d"}`, 200, `{"connection_id":"x","device_info":{}}`),
		polledFlow("POST", id+"/:forward", `{"payload":{"type":"request-offer"}}`, 200, `"ok"`),
		polledFlow("GET", id+"/messages?start=0", "", 200, `[]`),
		polledFlow("GET", id+"/messages?start=0", "", 200, `[{"message_type":"device_msg","payload":{"type":"offer","sdp":"v=0"}},`+
			`{"message_type":"device_msg","payload":{"type":"error","error":"no"}}]`),
		polledFlow("DELETE", id, "", 204, ""),
	} {
		entries = append(entries, exchange...)
	}
	require.Equal(t, `   1 1 -> connect (d) {client of d}  [connecting | deciding]
   2 1 <- device_info  [ready | attached]
   3 1 -> forward request-offer  [ready | attached]
   4 1 <- carrier HTTP 200 OK (:forward)  [ready | attached]
   5 1 -> carrier GET (messages?start=0)  [ready | attached]
   6 1 <- carrier HTTP 200 OK (messages?start=0)  [ready | attached]
   7 1 -> carrier GET (messages?start=0)  [ready | attached]
   8 1 <- device_msg offer (no media)  [ready | attached]
         + SDP offer: no media
   8 1 <- device_msg error (no)  [ready | attached]
         ! refused: no
   9 1 -> carrier DELETE (01234567…)  [ready | attached]
  10 1 <- carrier HTTP 204 No Content (01234567…)  [closed | closed]
`, diagram(explained(t, "cuttlefish", numbered(entries))))
}
