package explain

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// carried explains what a session of Engine.IO carries.
type carried interface {
	// begin begins a session.
	begin()
	// message returns the arrow of a message, but for its From and Size.
	message(from capture.Side, typ transport.MessageType, data []byte) Arrow
	// cut takes note of a message of which only the beginning is known, maybe none of it, and
	// returns what there is to say.
	cut(from capture.Side, beginning []byte) (name, about string)
	// end ends the session.
	end()
	// states returns where the sides stand, "" for what is not known.
	states() (client, server string)
}

// An engineConn explains a session of Engine.IO: the packets of its WebSocket and of the
// bodies of its polls.
type engineConn struct {
	r       *Recording
	carried carried

	version  engineio.Version // 0 is not known
	polling  bool             // the session has begun with polls
	upgraded bool             // and has left them
}

func newEngineConn(r *Recording, c carried) *engineConn { return &engineConn{r: r, carried: c} }

// isEngine reports whether an entry is one of Engine.IO.
func isEngine(e capture.Entry) bool {
	_, query, _ := strings.Cut(e.URL, "?")
	return strings.HasPrefix(query, "EIO=") || strings.Contains(query, "&EIO=") ||
		strings.Contains(e.URL, "/socket.io/?") || strings.Contains(e.URL, "transport=polling")
}

// Explain returns the arrows of an entry.
func (c *engineConn) Explain(e capture.Entry) []Arrow {
	c.learn(e.URL)
	masked, belongs := session(e.URL)
	if !c.r.Secrets {
		e.URL = masked
	}
	switch e.Kind {
	case capture.Open, capture.Close, capture.Note:
		c.lifecycle(e, belongs)
		return c.now(c.r.lifecycle(e)...)
	case capture.Message:
		return c.now(c.frame(e))
	case capture.Request, capture.Response:
		return c.poll(e, belongs)
	}
	return nil
}

// now returns arrows with the states that hold now.
func (c *engineConn) now(arrows ...Arrow) []Arrow {
	for i := range arrows {
		arrows[i].Client, arrows[i].Server = c.carried.states()
	}
	return arrows
}

// learn takes the version of the protocol from an address.
func (c *engineConn) learn(address string) {
	switch {
	case strings.Contains(address, "EIO=4"):
		c.version = engineio.V4
	case strings.Contains(address, "EIO=3"):
		c.version = engineio.V3
	}
}

// known returns the version, which is that of today if nobody has said one.
func (c *engineConn) known() engineio.Version {
	if c.version == 0 {
		return engineio.V4
	}
	return c.version
}

// lifecycle takes the beginning and the end of a WebSocket. One that has an id in its address
// belongs to a session that has begun with polls, and ends it only after the upgrade.
func (c *engineConn) lifecycle(e capture.Entry, belongs bool) {
	switch {
	case e.Kind == capture.Open && belongs:
		c.polling, c.upgraded = true, false
	case e.Kind == capture.Open && e.Status < http.StatusBadRequest:
		c.polling, c.upgraded = false, false
		c.carried.begin()
	case e.Kind == capture.Close && (!c.polling || c.upgraded):
		c.carried.end()
	}
}

// frame returns the arrow of a WebSocket message.
func (c *engineConn) frame(e capture.Entry) Arrow {
	if e.Cut != 0 {
		a := c.r.truncated(e)
		a.Detail.Raw = c.unreadable(e.Data)
		message := !e.Binary && len(e.Data) > 0 && e.Data[0] == '0'+byte(engineio.Message)
		if message {
			a.Name, a.About = c.cut(e.From, e.Data[1:], a)
		} else {
			c.carried.cut(e.From, nil)
		}
		return a
	}
	typ := transport.Text
	if e.Binary {
		typ = transport.Binary
	}
	p, err := engineio.ParsePacket(c.known(), typ, e.Data)
	if err != nil {
		a := c.r.undecodable(e.Data, err)
		a.Detail.Raw = c.unreadable(e.Data)
		return a
	}
	return c.packet(e.From, p, false)
}

func (c *engineConn) unreadable(data []byte) string { return unreadablePacket(c.r, data) }

// unreadablePacket returns data that cannot be read, or of which not all is there, as they
// are shown.
func unreadablePacket(r *Recording, data []byte) string {
	plain := bytes.ToLower(data)
	for _, name := range []string{"sid", "roomparameter", "appdata"} {
		if !r.Secrets && bytes.Contains(plain, []byte(name)) {
			return hidden
		}
	}
	return r.unreadable(data)
}

func (c *engineConn) cut(from capture.Side, beginning []byte, a Arrow) (name, about string) {
	name, about = c.carried.cut(from, beginning)
	if name == "" {
		name = a.Name
	}
	return name, strings.TrimPrefix(about+", "+a.About, ", ")
}

// poll returns the arrows of a request or of its answer.
func (c *engineConn) poll(e capture.Entry, belongs bool) []Arrow {
	from := capture.Client
	if e.Kind == capture.Response {
		from = capture.Server
	}
	data, err := inflated(e.Data)
	switch {
	case !isEngine(e), e.Status >= http.StatusBadRequest, e.Method == http.MethodOptions:
		return c.refused(e)
	case len(data) == 0 && err == nil, from == capture.Server && string(data) == "ok":
		return c.idle(e, belongs, string(data))
	case e.Cut != 0:
		c.carried.cut(from, nil)
		a := c.r.truncated(e)
		a.Detail.Raw = c.unreadable(e.Data)
		return c.now(a)
	case bytes.HasPrefix(data, []byte("___eio[")), bytes.HasPrefix(data, []byte("d=")): // JSONP, which nobody uses
		c.carried.cut(from, nil)
		return c.now(c.r.carrier(e, false)...)
	}
	var packets []engineio.Packet
	if err == nil {
		packets, err = c.payload(data)
	}
	if err != nil {
		a := c.r.undecodable(data, err)
		a.From, a.Detail.Raw = from, c.unreadable(data)
		return c.now(a)
	}
	arrows := make([]Arrow, 0, len(packets))
	for _, p := range packets {
		if c.version == engineio.V3 && !p.Binary {
			p.Data = engineio.UndoDoubleUTF8(p.Data)
		}
		a := c.packet(from, p, true)
		if a.Size == 0 {
			a.Size = 1 + len(p.Data)
		}
		arrows = append(arrows, c.now(a)...)
	}
	return arrows
}

// idle returns the arrow of a poll, which has no body, or of the answer to packets. A poll
// without an id asks for a new session.
func (c *engineConn) idle(e capture.Entry, belongs bool, body string) []Arrow {
	if e.Kind == capture.Request && e.Method == http.MethodGet && !belongs {
		c.polling, c.upgraded = true, false
		c.carried.begin()
	}
	arrows := c.r.carrier(e, false)
	if len(arrows) == 0 {
		return nil
	}
	switch {
	case e.Kind == capture.Request && e.Method == http.MethodGet:
		arrows[0].Name, arrows[0].About = "poll", ""
	case body != "":
		arrows[0].Name, arrows[0].About = body, ""
	}
	return c.now(arrows...)
}

// payload returns the packets of a body.
func (c *engineConn) payload(body []byte) ([]engineio.Packet, error) {
	if body[0] <= 1 { // no packet of text begins so
		return engineio.ParseBinaryPayload(body)
	}
	if c.version == 0 && lengthBefore(body) {
		c.version = engineio.V3
	}
	return engineio.ParsePayload(c.known(), body)
}

// lengthBefore reports whether a body begins with a length, as those of version 3 do.
func lengthBefore(body []byte) bool {
	digits, _, ok := bytes.Cut(body[:min(len(body), 10)], []byte{':'})
	_, err := strconv.ParseUint(string(digits), 10, 32)
	return ok && err == nil
}

// maxInflated is how large a body may be that came compressed.
const maxInflated = 16 << 20

// inflated returns a body that may have been compressed.
func inflated(body []byte) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	switch {
	case err != nil:
		return body, err
	case len(plain) > maxInflated:
		return body, errors.New("too big when inflated")
	}
	return plain, nil
}

// refused returns the arrow of HTTP that carries no packets, with what an error says.
func (c *engineConn) refused(e capture.Entry) []Arrow {
	arrows := c.r.carrier(e, e.Status >= http.StatusBadRequest)
	var body struct {
		Message string `json:"message"`
	}
	if len(arrows) > 0 && len(arrows[0].Problems) > 0 && json.Unmarshal(e.Data, &body) == nil && body.Message != "" {
		arrows[0].Problems[0].Text += ": " + body.Message
	}
	return c.now(arrows...)
}

var errPingOfClient = errors.New("engineio: clients of version 4 do not ping; servers end the connection")

// packet returns the arrow of a packet.
func (c *engineConn) packet(from capture.Side, p engineio.Packet, polled bool) Arrow {
	if p.Type == engineio.Message {
		typ := transport.Text
		if p.Binary {
			typ = transport.Binary
		}
		a := c.carried.message(from, typ, p.Data)
		a.From = from
		return a
	}
	a := Arrow{From: from, Kind: Carrier, Name: p.Type.String(), Detail: new(Detail)}
	a.Detail.Raw = strconv.Itoa(int(p.Type)) + c.unreadable(p.Data)
	switch p.Type {
	case engineio.Open:
		if from == capture.Server {
			c.opened(&a, p.Data, polled)
		}
	case engineio.Close: // which servers do not heed on a WebSocket
		if polled || from == capture.Server {
			c.carried.end()
		}
	case engineio.Ping, engineio.Pong:
		if string(p.Data) == "probe" {
			a.About = "probe"
		} else if p.Type == engineio.Ping {
			c.heartbeat(&a, from)
		}
	case engineio.Upgrade:
		c.upgraded = true
	}
	return a
}

// heartbeat takes a ping: of the server in version 4, of the client in version 3.
func (c *engineConn) heartbeat(a *Arrow, from capture.Side) {
	switch {
	case c.version == 0 && from == capture.Client:
		c.version = engineio.V3
	case c.version == 0:
		c.version = engineio.V4
	case c.version == engineio.V4 && from == capture.Client:
		a.Problems = problem(Illegal, errPingOfClient)
	}
}

// opened takes the handshake. The first answer to a poll begins a session.
func (c *engineConn) opened(a *Arrow, data []byte, polled bool) {
	if polled {
		c.polling, c.upgraded = true, false
		c.carried.begin()
	}
	var h engineio.Handshake
	if err := h.UnmarshalJSON(data); err != nil {
		a.Problems = problem(Undecodable, err)
		a.Detail.Raw = c.unreadable(append([]byte{'0'}, data...))
		return
	}
	a.About = "ping every " + h.PingInterval.String()
	if !c.r.Secrets {
		h.SID = hidden
		data, _ = h.MarshalJSON() // never fails
		a.Detail.Raw = "0" + string(data)
	}
	a.Detail.Decoded, a.Detail.Type = data, "engineio.Handshake"
}

// session returns an address without the id of its session, with which anybody could take
// the session over, and whether it has one.
func session(address string) (masked string, has bool) {
	path, query, ok := strings.Cut(address, "?")
	if !ok || !strings.Contains(query, "sid") {
		return address, false
	}
	members := strings.Split(query, "&")
	for i, member := range members {
		name, _, _ := strings.Cut(member, "=")
		if plain, err := url.QueryUnescape(name); err == nil && plain == "sid" {
			members[i], has = "sid="+hidden, true
		}
	}
	return path + "?" + strings.Join(members, "&"), has
}
