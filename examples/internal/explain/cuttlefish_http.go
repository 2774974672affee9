package explain

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// A polled is what a request of the clients that poll is for: of today's operator, and of
// the C++ server.
type polled int

const (
	polledOther   polled = iota
	polledConfig         // GET /infra_config
	polledConnect        // POST /polled_connections, POST /connect
	polledForward        // POST /polled_connections/{id}/:forward, POST /forward
	polledPoll           // GET /polled_connections/{id}/messages, POST /poll_messages
	polledLeave          // DELETE /polled_connections/{id}, of this module's servers
)

// polledBy returns what a request is for. old says that it is one of the C++ server.
func polledBy(e capture.Entry) (p polled, old bool) {
	path, _, _ := strings.Cut(e.URL, "?")
	post := e.Method == http.MethodPost
	get := e.Method == http.MethodGet
	switch {
	case get && strings.HasSuffix(path, "/infra_config"):
		return polledConfig, false
	case post && strings.HasSuffix(path, "/polled_connections"):
		return polledConnect, false
	case post && strings.Contains(path, "/polled_connections/") && strings.HasSuffix(path, ":forward"):
		return polledForward, false
	case get && strings.Contains(path, "/polled_connections/") && strings.HasSuffix(path, "/messages"):
		return polledPoll, false
	case e.Method == http.MethodDelete && strings.Contains(path, "/polled_connections/"):
		return polledLeave, false
	case post && path == "/connect":
		return polledConnect, true
	case post && path == "/forward":
		return polledForward, true
	case post && path == "/poll_messages":
		return polledPoll, true
	}
	return polledOther, false
}

// request explains a request of a client that polls.
func (c *cuttlefishConn) request(e capture.Entry) []Arrow {
	what, _ := polledBy(e)
	if c.role == roleUnknown && what != polledOther {
		c.role = roleClient
		c.client = cuttlefish.ClientIdle
	}
	c.polls = c.polls || what != polledOther
	var typ string
	switch what {
	case polledConnect:
		typ = "connect"
		if c.attached { // one connection after the other
			c.client, c.server, c.attached, c.over = cuttlefish.ClientIdle, cuttlefish.ServerNew, false, false
		}
	case polledForward:
		typ = "forward"
	default:
		return c.carrier(e, what)
	}
	if e.Cut > 0 {
		return []Arrow{c.cut(e)}
	}
	data, ok := retyped(e.Data, typ)
	if !ok {
		_, err := cuttlefish.Decode(e.Data)
		a := c.r.undecodable(e.Data, err)
		a.Name = typ
		return []Arrow{a}
	}
	msg, err := cuttlefish.Decode(data)
	if err != nil {
		a := c.r.undecodable(e.Data, err)
		a.Name = typ
		return []Arrow{a}
	}
	switch m := msg.(type) {
	case *cuttlefish.Forward:
		m.ClientID = nil // which the Go client sends, and nobody looks at
		if m.Payload == nil {
			m.Payload = json.RawMessage("null")
		}
		delete(m.Extra, "connection_id")
	}
	a := c.arrow(e.From, msg)
	a.Detail = c.detail(data, msg)
	a.Detail.Raw = c.r.headers(e).Raw + "\n" + text(c.r.masked(e.Data, maskCredentials))
	return []Arrow{a}
}

// response explains an answer to a client that polls.
func (c *cuttlefishConn) response(e capture.Entry) []Arrow {
	what, old := polledBy(e)
	if what == polledLeave && e.Status/100 == 2 {
		c.over = true
		return c.carrier(e, what)
	}
	if e.Status != 0 && e.Status != http.StatusOK || what == polledOther || e.Cut > 0 {
		return c.failed(e, what)
	}
	c.polls = true
	switch what {
	case polledConfig:
		return []Arrow{c.answer(e, e.Data)}
	case polledConnect:
		if data, ok := retyped(e.Data, "device_info"); ok {
			c.configured = true // which is asked for apart
			return []Arrow{c.answer(e, data)}
		}
	case polledForward, polledPoll:
		return c.polledMessages(e, what, old)
	}
	return c.carrier(e, what)
}

// carrier explains what carries no message. The ids of connections are long.
func (c *cuttlefishConn) carrier(e capture.Entry, what polled) []Arrow {
	arrows := c.r.carrier(e, true)
	last := e.URL[strings.LastIndex(e.URL, "/")+1:]
	for i := range arrows {
		switch what {
		case polledForward, polledPoll:
			arrows[i].About = c.r.address(last)
		case polledLeave:
			arrows[i].About = short(last)
		}
	}
	return arrows
}

// failed explains an answer that is no success.
func (c *cuttlefishConn) failed(e capture.Entry, what polled) []Arrow {
	arrows := c.carrier(e, what)
	for i := range arrows {
		a := &arrows[i]
		if what != polledOther && len(a.Problems) > 0 {
			a.Kind = Message
			a.Problems[0].Text = joinedBy(": ", a.Problems[0].Text, clip(strings.TrimSpace(text(e.Data)), 200))
		}
		if what == polledConnect {
			c.client, c.server = cuttlefish.ClientIdle, cuttlefish.ServerNew
		}
	}
	return arrows
}

// answer explains a message in the body of an answer.
func (c *cuttlefishConn) answer(e capture.Entry, data []byte) Arrow {
	msg, err := cuttlefish.Decode(data)
	if err != nil {
		return c.r.undecodable(e.Data, err)
	}
	if m, ok := msg.(*cuttlefish.DeviceInfoMsg); ok {
		delete(m.Extra, "connection_id")
	}
	a := c.arrow(e.From, msg)
	a.Detail = c.detail(data, msg)
	a.Detail.Raw = c.r.headers(e).Raw + "\n" + text(c.r.masked(e.Data, maskCredentials))
	return a
}

// maxPolled is how many messages of one answer are told of.
const maxPolled = 4096

// polledMessages explains the messages in an answer: payloads as they are if it is one of
// the C++ server, and messages otherwise.
func (c *cuttlefishConn) polledMessages(e capture.Entry, what polled, old bool) []Arrow {
	data := bytes.TrimSpace(e.Data)
	var messages []json.RawMessage
	if len(data) == 0 || data[0] != '[' || json.Unmarshal(data, &messages) != nil || len(messages) == 0 {
		return c.carrier(e, what)
	}
	var arrows []Arrow
	for _, message := range messages[:min(len(messages), maxPolled)] {
		part := capture.Entry{From: e.From, Data: message}
		if old {
			msg := &cuttlefish.DeviceMsg{Payload: message}
			a := c.arrow(e.From, msg)
			a.Detail = c.detail(message, msg)
			arrows = append(arrows, a)
		} else {
			arrows = append(arrows, c.decoded(part, message))
		}
		a := &arrows[len(arrows)-1]
		a.Size = len(message)
		a.Client, a.Server = c.states()
	}
	return arrows
}
