package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A member is a client that others can be told something through.
type member struct {
	link
	// tell makes the frames that bring a value, which is JSON, to the other one of a pair, or
	// to everybody in a group.
	tell func(value string) []byte
	// told reports whether a message is what somebody else has told, and returns what is to
	// be answered to it, or nil.
	told func(message []byte) (yes bool, reply []byte)
	// echoed reports whether a member of a group hears what it tells.
	echoed bool
	id     string
}

// A protocol is what the scenarios need of one.
type protocol struct {
	name string
	// meet brings the two members of a pair together. Nil if the protocol has no such thing.
	meet func(at address, pair int) (a, b *member, err error)
	// join brings a member into a group. Nil if the protocol has no such thing.
	join func(at address, group string, number int) (*member, error)
	// call makes a request and says what its answer contains. Nil if the protocol has none.
	call func(at address, number int) (l link, request []byte, answer string, err error)
	// sit brings a member that has nobody to tell anything. Nil if the protocol has another way.
	sit func(at address, group string, number int) (*member, error)
}

// An address is where a server is.
type address struct {
	ws     string // ws://127.0.0.1:1234
	socket string // for devices of Cuttlefish
	kind   string // of the server: "bare", "centrifuge" or that of the protocol
}

// bare reports whether the server looks at nothing.
func (at address) bare() bool { return at.kind == "bare" }

var protocols = []*protocol{
	{name: "cuttlefish", meet: meetCuttlefish},
	{name: "easyrtc", meet: meetEasyRTC, join: joinEasyRTC},
	{name: "galene", meet: meetGalene, join: joinGalene},
	{name: "mediasoup", call: callMediasoup, sit: sitMediasoup},
	{name: "mse", call: callMSE, sit: sitMSE},
}

// The bare relay: whatever a member of a group says, all others hear.

func joinBare(at address, group string, _ int) (*member, error) {
	w, err := dial(at.ws+"/"+group, "")
	if err != nil {
		return nil, err
	}
	m := &member{link: w, told: func([]byte) (bool, []byte) { return true, nil }, tell: func(value string) []byte {
		return w.frame(value)
	}}
	if _, err := expect(w, "joined"); err != nil {
		return nil, errors.Join(err, end(w))
	}
	return m, nil
}

func meetBare(at address, pair int) (a, b *member, err error) {
	return both(func(number int) (*member, error) { return joinBare(at, fmt.Sprintf("pair%d", pair), number) })
}

// both makes the members of a pair.
func both(make func(number int) (*member, error)) (a, b *member, err error) {
	if a, err = make(0); err != nil {
		return nil, nil, err
	}
	if b, err = make(1); err != nil {
		return nil, nil, errors.Join(err, end(a))
	}
	return a, b, nil
}

func end(l link) error {
	l.close()
	return nil
}

// meetCuttlefish has the device on a unix socket and the client on a WebSocket, as today's
// operator wants them.
func meetCuttlefish(at address, pair int) (device, client *member, err error) {
	if at.bare() {
		return meetBare(at, pair)
	}
	id := fmt.Sprintf("cvd-%d", pair)
	d, err := dialPacket(at.socket)
	if err != nil {
		return nil, nil, err
	}
	device = &member{link: d, told: has(`"client_msg"`)}
	err = say(d, `{"message_type":"register","device_id":"`+id+`","device_info":{}}`)
	if err == nil {
		_, err = expect(d, `"config"`)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end(d))
	}
	c, err := dial(at.ws+"/devices/"+id+"/connect", "")
	if err != nil {
		return nil, nil, errors.Join(err, end(d))
	}
	client = &member{link: c, told: has(`"device_msg"`)}
	if _, err := expect(c, `"device_info"`); err != nil {
		return nil, nil, errors.Join(err, end(d), end(c))
	}
	device.tell = func(value string) []byte {
		return d.frame(`{"message_type":"forward","client_id":1,"payload":` + value + `}`)
	}
	client.tell = c.frame
	return device, client, nil
}

// has looks for a text near the beginning of messages.
func has(text string) func([]byte) (bool, []byte) {
	return func(m []byte) (bool, []byte) { return bytes.Contains(m[:min(len(m), 200)], []byte(text)), nil }
}

const easyrtcPath = "/socket.io/?EIO=4&transport=websocket"

var easyrtcID = regexp.MustCompile(`"easyrtcid":"([^"]+)","iceConfig"`)

// joinEasyRTC logs a client in to a room of the group's name.
func joinEasyRTC(at address, group string, number int) (*member, error) {
	if at.bare() {
		return joinBare(at, group, number)
	}
	w, err := dial(at.ws+easyrtcPath, "")
	if err != nil {
		return nil, err
	}
	m := &member{link: w}
	if _, err = expect(w, `0{`); err == nil {
		if err = say(w, "40"); err == nil {
			_, err = expect(w, "40")
		}
	}
	if err == nil {
		err = say(w, `420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","roomJoin":{"`+group+
			`":{"roomName":"`+group+`"}}}}]`)
	}
	var token []byte
	if err == nil {
		token, err = expect(w, `"token"`)
	}
	if err != nil {
		return nil, errors.Join(err, end(w))
	}
	if found := easyrtcID.FindSubmatch(token); found != nil {
		m.id = string(found[1])
	} else {
		return nil, errors.Join(fmt.Errorf("no easyrtcid: %s", token), end(w))
	}
	m.tell = func(value string) []byte {
		return w.frame(`421["easyrtcMsg",{"msgType":"load","targetRoom":"` + group + `","msgData":` + value + `}]`)
	}
	pong := w.frame("3")
	m.told = func(text []byte) (bool, []byte) {
		if len(text) == 1 && text[0] == '2' {
			return false, pong
		}
		if !bytes.HasPrefix(text, []byte("42")) {
			return false, nil // an acknowledgement
		}
		var reply []byte
		if i := bytes.IndexByte(text, '['); i > 2 {
			reply = w.frame(`43` + string(text[2:i]) + `[{"msgType":"ack"}]`)
		}
		return bytes.Contains(text[:min(len(text), 150)], []byte(`senderEasyrtcid`)), reply
	}
	return m, nil
}

// meetEasyRTC has two clients send candidates to each other, which are acknowledged by the
// server and by the receiver.
func meetEasyRTC(at address, pair int) (a, b *member, err error) {
	if at.bare() {
		return meetBare(at, pair)
	}
	a, b, err = both(func(number int) (*member, error) { return joinEasyRTC(at, fmt.Sprintf("pair%d", pair), number) })
	if err != nil {
		return nil, nil, err
	}
	to := func(from, to *member) {
		from.tell = func(value string) []byte {
			return from.frame(`421["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"` + to.id + `","msgData":` + value + `}]`)
		}
	}
	to(a, b)
	to(b, a)
	return a, b, nil
}

// joinGalene brings a member into a sub-group of the group bench.
func joinGalene(at address, group string, number int) (*member, error) {
	if at.bare() {
		return joinBare(at, group, number)
	}
	w, err := dial(at.ws+"/ws", "")
	if err != nil {
		return nil, err
	}
	m := &member{link: w, id: fmt.Sprintf("id-%d", number), echoed: true}
	err = say(w,
		`{"type":"handshake","version":["2"],"id":"`+m.id+`"}`,
		`{"type":"join","kind":"join","group":"bench/`+group+`","username":"u","password":"p"}`)
	if err == nil {
		_, err = expect(w, `"id":"`+m.id+`","username":"u"`)
	}
	if err != nil {
		return nil, errors.Join(err, end(w))
	}
	m.tell = func(value string) []byte {
		return w.frame(`{"type":"chat","source":"` + m.id + `","username":"u","value":` + value + `}`)
	}
	pong := w.frame(`{"type":"pong"}`)
	m.told = func(text []byte) (bool, []byte) {
		head := text[:min(len(text), 40)]
		if bytes.Contains(head, []byte(`"type":"ping"`)) {
			return false, pong
		}
		return bytes.Contains(head, []byte(`"type":"chat"`)), nil
	}
	return m, nil
}

// meetGalene has two members send each other chat.
func meetGalene(at address, pair int) (a, b *member, err error) {
	if at.bare() {
		return meetBare(at, pair)
	}
	a, b, err = both(func(number int) (*member, error) { return joinGalene(at, fmt.Sprintf("pair%d", pair), number) })
	if err != nil {
		return nil, nil, err
	}
	to := func(from, to *member) {
		from.echoed = false
		from.tell = func(value string) []byte {
			return from.frame(`{"type":"chat","source":"` + from.id + `","dest":"` + to.id + `","username":"u","value":` + value + `}`)
		}
	}
	to(a, b)
	to(b, a)
	return a, b, nil
}

// callMediasoup asks a room what it can do.
func callMediasoup(at address, number int) (link, []byte, string, error) {
	w, err := dial(fmt.Sprintf("%s/?roomId=bench&peerName=p%d", at.ws, number), "protoo")
	if err != nil {
		return nil, nil, "", err
	}
	request := w.frame(`{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"queryRoom","target":"room"}}`)
	return w, request, `"rtpCapabilities"`, nil
}

// sitMediasoup joins a room as somebody who can receive Opus.
func sitMediasoup(at address, group string, number int) (*member, error) {
	if at.bare() {
		return joinBare(at, group, number)
	}
	name := fmt.Sprintf("p%d", number)
	w, err := dial(at.ws+"/?roomId="+group+"&peerName="+name, "protoo")
	if err != nil {
		return nil, err
	}
	const codec = `{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,` +
		`"preferredPayloadType":100,"rtcpFeedback":[],"parameters":{}}`
	err = say(w, `{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"join","target":"room","peerName":"`+
		name+`","rtpCapabilities":{"codecs":[`+codec+`],"headerExtensions":[],"fecMechanisms":[]},"spy":false}}`)
	if err == nil {
		_, err = expect(w, `"peers"`)
	}
	if err != nil {
		return nil, errors.Join(err, end(w))
	}
	return silent(w), nil
}

// silent is a member that is told nothing.
func silent(l link) *member {
	return &member{link: l, told: func([]byte) (bool, []byte) { return false, nil }}
}

// callMSE pings.
func callMSE(at address, _ int) (link, []byte, string, error) {
	w, err := dial(at.ws+"/", "")
	if err != nil {
		return nil, nil, "", err
	}
	err = say(w, `{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"T","version":"1.0"}}`)
	if err == nil {
		_, err = expect(w, "authenticated")
	}
	if err != nil {
		return nil, nil, "", errors.Join(err, end(w))
	}
	return w, w.frame(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), `"pong"`, nil
}

// sitMSE starts a session.
func sitMSE(at address, group string, number int) (*member, error) {
	if at.bare() {
		return joinBare(at, group, number)
	}
	w, _, _, err := callMSE(at, number)
	if err != nil {
		return nil, err
	}
	err = say(w, `{"jsonrpc":"2.0","id":2,"method":"start"}`)
	if err == nil {
		_, err = expect(w, `"started"`)
	}
	if err != nil {
		return nil, errors.Join(err, end(w))
	}
	return silent(w), nil
}

// candidate is a value of about 150 bytes, and offer one of 5.5 kB or so.
var (
	candidate = value(`{"type":"candidate","label":0,"id":"0","candidate":"` +
		`candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.17 rport 46154 ufrag EEtu"}`)
	offer = value(`{"type":"offer","sdp":"v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\n`, 50) + `"}`)
)

// value demands JSON.
func value(text string) string {
	if !json.Valid([]byte(text)) {
		panic(text)
	}
	return text
}
