package interop

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A rawEasyRTC is a connection to a server without a client: what it says and hears are
// packets of Socket.IO.
type rawEasyRTC struct {
	t    *testing.T
	conn transport.Conn
	id   string // while logged in
	over bool
}

// raw opens a connection for what our client does not send.
func (s *easyrtcServer) raw(t *testing.T) *rawEasyRTC {
	t.Helper()
	conn, err := s.dial(bounded(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(transport.StatusNormal, "") })
	r := &rawEasyRTC{t: t, conn: conn}
	if s.way.version == 3 {
		require.Equal(t, "0", r.next())
	} else {
		r.say("0")
		require.Regexp(t, `^0\{"sid":"[\w-]+"\}$`, r.next())
	}
	return r
}

// login logs in.
func (r *rawEasyRTC) login(application, username string, rooms ...string) {
	r.t.Helper()
	join := object{}
	for _, room := range rooms {
		join[room] = object{"roomName": room}
	}
	data, err := json.Marshal(object{
		"apiVersion": "1", "applicationName": application, "username": username, "roomJoin": join,
	})
	require.NoError(r.t, err)
	r.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":` + string(data) + `}]`)
	answer := r.next()
	token, ok := strings.CutPrefix(answer, "30[")
	require.True(r.t, ok, answer)
	r.noteID(strings.TrimSuffix(token, "]"))
	require.NotEmpty(r.t, r.id, answer)
}

// noteID notes what a token says.
func (r *rawEasyRTC) noteID(text string) {
	var token struct {
		MsgType string `json:"msgType"`
		MsgData struct {
			EasyrtcID string `json:"easyrtcid"`
		} `json:"msgData"`
	}
	if json.Unmarshal([]byte(text), &token) == nil && token.MsgType == "token" {
		r.id = token.MsgData.EasyrtcID
	}
}

// say sends a packet, or with the prefix "binary:" an attachment in hexadecimal.
func (r *rawEasyRTC) say(packet string) {
	r.t.Helper()
	if text, ok := strings.CutPrefix(packet, "binary:"); ok {
		data, err := hex.DecodeString(text)
		require.NoError(r.t, err)
		_ = r.conn.Write(transport.Binary, data)
		return
	}
	_ = r.conn.Write(transport.Text, []byte(packet)) // the server may have closed: its replies say so
}

// next returns the next packet, or the end of the connection.
func (r *rawEasyRTC) next() string {
	r.t.Helper()
	limit := time.AfterFunc(patience, func() { _ = r.conn.Close(transport.StatusNormal, "the test is over") })
	defer limit.Stop()
	typ, b, err := r.conn.Read(nil)
	var closed *transport.CloseError
	switch {
	case errors.As(err, &closed):
		r.over = true
		return strings.TrimSpace(fmt.Sprintf("closed %d %s", closed.Code, closed.Reason))
	case err != nil:
		require.NoError(r.t, err)
	case typ == transport.Binary:
		return "binary:" + hex.EncodeToString(b)
	}
	return string(b)
}

// replies returns everything that the server has said, up to its end, or up to an answer that
// comes after all others. There should be as many packets as that: it waits for them.
func (r *rawEasyRTC) replies(many int) (packets []string) {
	r.t.Helper()
	const turns = 8 // of the event loop that a real server takes for something at most
	limit := time.Now().Add(patience)
	for n := 0; n < turns || len(packets) < many && !r.over && time.Now().Before(limit); n++ {
		r.say("0/mark,")
		for !r.over {
			packet := r.next()
			if strings.HasPrefix(packet, "4/mark,") {
				break
			}
			packets = append(packets, packet)
		}
	}
	return packets
}

// An easyrtcCast is who takes part in a case, by the names in it.
type easyrtcCast map[string]*rawEasyRTC

var ghost = regexp.MustCompile(`@[A-Za-z0-9]{16}\b`)

// heard returns what one of them has heard, in short, which should be so many packets.
func (cast easyrtcCast) heard(name string, many int) (lines []string) {
	r := cast[name]
	r.t.Helper()
	for _, packet := range r.replies(many) {
		line := r.short(packet)
		for name, other := range cast {
			if other.id != "" {
				line = strings.ReplaceAll(line, other.id, name)
			}
		}
		lines = append(lines, runsInShort(ghost.ReplaceAllString(line, "@GHOST")))
	}
	return lines
}

// runsInShort returns a text with "<x*20>" for 20 times x, and the like.
func runsInShort(s string) string {
	const few = 20
	var b strings.Builder
	letters := []rune(s)
next:
	for len(letters) > 0 {
		for size := 1; size <= 2; size++ {
			n := 1
			for len(letters) >= (n+1)*size && slices.Equal(letters[:size], letters[n*size:(n+1)*size]) {
				n++
			}
			if n >= few {
				fmt.Fprintf(&b, "<%s*%d>", string(letters[:size]), n)
				letters = letters[n*size:]
				continue next
			}
		}
		b.WriteRune(letters[0])
		letters = letters[1:]
	}
	return b.String()
}

var aRun = regexp.MustCompile(`<([^<>]+)\*(\d+)>`)

// runs undoes runsInShort.
func runs(s string) string {
	return aRun.ReplaceAllStringFunc(s, func(run string) string {
		parts := aRun.FindStringSubmatch(run)
		n, _ := strconv.Atoi(parts[2])
		return strings.Repeat(parts[1], n)
	})
}

var anyPacket = regexp.MustCompile(`^([2356])(?:(\d+)-)?(\d*)(\[.*\])$`)

// short returns a packet without what differs from time to time, and in few words where
// that loses nothing.
func (r *rawEasyRTC) short(packet string) string {
	if packet == "1" {
		return "disconnected"
	}
	parts := anyPacket.FindStringSubmatch(packet)
	if parts == nil {
		return regexp.MustCompile(`"sid":"[\w-]+"`).ReplaceAllString(packet, `"sid":"…"`)
	}
	var args []json.RawMessage
	require.NoError(r.t, json.Unmarshal([]byte(parts[4]), &args), packet)
	prefix := parts[3]
	if parts[1] == "2" || parts[1] == "5" {
		require.NotEmpty(r.t, parts[3], "no id: %s", packet)
		prefix = strings.Trim(string(args[0]), `"`)
		args = args[1:]
	}
	if parts[2] != "" {
		prefix += " with " + parts[2]
	}
	if len(args) != 1 {
		return packet
	}
	r.noteID(string(args[0]))
	var o object
	if json.Unmarshal(args[0], &o) != nil { // perhaps because of a number
		d := json.NewDecoder(bytes.NewReader(args[0]))
		d.UseNumber()
		if o = nil; d.Decode(&o) != nil {
			return packet
		}
	}
	return prefix + " " + r.inShort(o, parts[1] == "2" || parts[1] == "5")
}

// inShort returns the object of a packet.
func (r *rawEasyRTC) inShort(o object, event bool) string {
	typ, _ := o["msgType"].(string)
	if event {
		require.Equal(r.t, r.id, o["easyrtcid"], "%v", o)
		r.requireTime(o, "serverTime")
		delete(o, "easyrtcid")
	} else if typ == "error" {
		r.requireTime(o, "serverTime")
	}
	data, _ := o["msgData"].(object)
	switch {
	case typ == "ack" && len(o) == 1:
		return "ack"
	case typ == "error":
		code, _ := data["errorCode"].(string)
		require.Equal(r.t, easyrtc.ErrorCode(code).Text(), data["errorText"])
		require.Len(r.t, data, 2)
		return code
	case typ == "token":
		r.requireTime(data, "serverTime")
		rooms := roomsInShort(data["roomData"])
		delete(data, "roomData")
		delete(data, "easyrtcid")
		require.Equal(r.t, object{"iceServers": []any{}}, data["iceConfig"])
		delete(data, "iceConfig")
		delete(data, "stillAliveInterval") // other tests look at it
		delete(data["application"].(object), "applicationName")
		if len(data["application"].(object)) == 0 {
			delete(data, "application")
		}
		return "token " + rooms + text(r.t, data)
	case typ == "roomData" && len(o) == 2 && len(data) == 1:
		return strings.TrimSpace("roomData " + roomsInShort(data["roomData"]))
	case typ == "roomList" && len(data) == 1:
		var list []string
		for name, room := range data["roomList"].(object) {
			require.Equal(r.t, name, room.(object)["roomName"])
			list = append(list, fmt.Sprintf("%s:%v", name, room.(object)["numberClients"]))
		}
		slices.Sort(list)
		return "roomList " + strings.Join(list, " ")
	}
	return text(r.t, o)
}

// requireTime demands a time and deletes it.
func (r *rawEasyRTC) requireTime(o object, name string) {
	r.t.Helper()
	var ms int64
	require.NoError(r.t, json.Unmarshal([]byte(text(r.t, o[name])), &ms), "%v", o)
	require.WithinDuration(r.t, time.Now(), time.UnixMilli(ms), time.Hour)
	delete(o, name)
}

func text(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(v))
	return strings.TrimSpace(b.String())
}

// roomsInShort returns rooms by name: "den=" with all who are in it, "den+" or "den-" with
// those who have changed or gone, "den:leave".
func roomsInShort(v any) string {
	rooms, _ := v.(object)
	var list []string
	for _, name := range keys(rooms) {
		room := rooms[name].(object)
		s := name
		if room["roomName"] != name {
			s += fmt.Sprintf("(%v)", room["roomName"])
		}
		delta, _ := room["clientListDelta"].(object)
		switch status := room["roomStatus"]; {
		case status == "join":
			s += "=" + clientsInShort(room["clientList"])
		case status == "update" && delta["updateClient"] != nil && len(delta) == 1:
			s += "+" + clientsInShort(delta["updateClient"])
		case status == "update" && delta["removeClient"] != nil && len(delta) == 1:
			s += "-" + strings.Join(keys(delta["removeClient"].(object)), ",")
		default:
			s += fmt.Sprintf(":%v", status)
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

// clientsInShort returns clients by what they show, in an order that does not depend on
// their ids.
func clientsInShort(v any) string {
	clients, _ := v.(object)
	var list []string
	for id, v := range clients {
		c := v.(object)
		s := fmt.Sprint(cmp.Or(c["username"], any("?")), "@", id)
		presence, _ := c["presence"].(object)
		if typ, ok := presence["type"]; presence["show"] != "chat" || presence["status"] != nil || ok {
			s += fmt.Sprintf("/%v/%v", presence["show"], presence["status"])
			if ok {
				b, _ := json.Marshal(typ)
				s += "/" + string(b)
			}
		}
		if field, ok := c["apiField"]; ok {
			b, _ := json.Marshal(field)
			s += string(b)
		}
		if ms, ok := c["roomJoinTime"].(float64); !ok || ms < 1e12 || c["easyrtcid"] != id {
			s += fmt.Sprint(c)
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}
