package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A cuttlefishRole is what a connection of Cuttlefish is for.
type cuttlefishRole int

const (
	roleUnknown  cuttlefishRole = iota // until the first message
	roleDevice                         // register_device
	roleClient                         // connect_client
	roleSocket                         // a device on the unix socket of today's operator
	roleOperator                       // a client of today's operator: devices/{id}/connect
	roleControl                        // the control socket of today's operator, which is no signaling
)

// A cuttlefishConn is a connection of Cuttlefish. Its states are those of
// [cuttlefish.DeviceMachine] or [cuttlefish.ClientMachine], and of
// [cuttlefish.ServerMachine]. The machines are not run here: the real servers take a few
// things earlier than theirs does.
type cuttlefishConn struct {
	r     *Recording
	role  cuttlefishRole
	whole bool // the connection is known from its beginning
	over  bool

	client, server state
	configured     bool // a config was seen
	attached       bool // a device_info was seen
	polls          bool // over HTTP
}

func newCuttlefish(r *Recording, first capture.Entry) Conn {
	c := &cuttlefishConn{r: r, server: cuttlefish.ServerNew}
	if first.Kind == capture.Open {
		c.whole = true
		c.role = cuttlefishRoleOf(first)
	}
	c.client = c.idle()
	return c
}

// cuttlefishRoleOf returns the role that the opening of a connection tells.
func cuttlefishRoleOf(open capture.Entry) cuttlefishRole {
	path, _, _ := strings.Cut(open.URL, "?")
	switch {
	case strings.HasSuffix(path, "register_device"):
		return roleDevice
	case strings.HasSuffix(path, "connect_client"):
		return roleClient
	case strings.HasSuffix(path, "/connect") && strings.Contains(path, "devices/"):
		return roleOperator
	case path == "operator_control":
		return roleControl
	case path == "operator":
		return roleSocket
	}
	for name, value := range open.Header {
		if strings.EqualFold(name, "Role") {
			return map[string]cuttlefishRole{"device": roleDevice, "client": roleClient, "control": roleControl}[value]
		}
	}
	return roleUnknown
}

// isDevice reports whether the client's side is a device.
func (c *cuttlefishConn) isDevice() bool { return c.role == roleDevice || c.role == roleSocket }

// idle returns the state of the client's side before its first message.
func (c *cuttlefishConn) idle() state {
	switch {
	case c.isDevice():
		return cuttlefish.DeviceIdle
	case c.role == roleOperator: // its connect is the path
		return cuttlefish.ClientConnecting
	}
	return cuttlefish.ClientIdle
}

// Explain returns the arrows of an entry.
func (c *cuttlefishConn) Explain(e capture.Entry) []Arrow {
	var arrows []Arrow
	switch e.Kind {
	case capture.Message:
		arrows = c.message(e)
	case capture.Request:
		arrows = c.request(e)
	case capture.Response:
		arrows = c.response(e)
	case capture.Open:
		*c = *newCuttlefish(c.r, e).(*cuttlefishConn)
		arrows = c.r.lifecycle(e)
		if c.role == roleOperator {
			c.server = cuttlefish.ServerDeciding
			arrows[0].Who = clientOf(deviceInPath(c.r.address(e.URL)))
		}
		c.over = e.Status >= 400
	case capture.Close:
		c.over = true
		arrows = c.r.lifecycle(e)
	default:
		arrows = c.r.lifecycle(e)
	}
	if len(arrows) > 0 && arrows[len(arrows)-1].Client == "" {
		a := &arrows[len(arrows)-1]
		a.Client, a.Server = c.states()
	}
	return arrows
}

// states returns where both sides stand.
func (c *cuttlefishConn) states() (client, server string) {
	switch {
	case c.role == roleControl, c.role == roleUnknown && !c.over:
		return "", ""
	case c.over:
		return closedState, closedState
	case !c.whole && c.client == c.idle() && c.server == cuttlefish.ServerNew:
		return "", ""
	}
	return c.client.String(), c.server.String()
}

// message explains a message.
func (c *cuttlefishConn) message(e capture.Entry) []Arrow {
	if e.Cut > 0 {
		return []Arrow{c.cut(e)}
	}
	if c.role == roleUnknown {
		c.guess(e)
	}
	switch {
	case c.role == roleControl:
		return []Arrow{c.control(e)}
	case e.From == capture.Client && c.role == roleOperator:
		return []Arrow{c.bare(e)}
	case e.From == capture.Client && c.role == roleSocket:
		// Nobody looks at the type: the first is a registration, the others are forwards.
		typ := "forward"
		if c.whole && c.client == cuttlefish.DeviceIdle {
			typ = "register"
		}
		if data, ok := retyped(e.Data, typ); ok {
			return []Arrow{c.decoded(e, data)}
		}
	}
	return []Arrow{c.decoded(e, e.Data)}
}

// cut is the arrow of a message whose end is missing. It still changes the states.
func (c *cuttlefishConn) cut(e capture.Entry) Arrow {
	a := c.r.truncated(e)
	begin := strings.ReplaceAll(string(e.Data[:min(len(e.Data), 60)]), " ", "")
	_, rest, ok := strings.Cut(begin, `"message_type":"`)
	typ, _, _ := strings.Cut(rest, `"`)
	if !ok && strings.HasPrefix(begin, `{"device_info":`) {
		typ = "device_info"
	}
	var msg cuttlefish.Message
	switch typ {
	case "register":
		msg = new(cuttlefish.Register)
	case "device_info":
		msg = new(cuttlefish.DeviceInfoMsg)
	case "forward", "client_msg", "device_msg":
		a.Name = typ
		return a
	default:
		return a
	}
	a.Name = typ
	c.step(e.From, msg)
	return a
}

// guess finds out the role from the first message that tells it.
func (c *cuttlefishConn) guess(e capture.Entry) {
	value, _ := jsonx.Peek(e.Data, "message_type")
	typ, _ := jsonx.Text(value)
	switch string(typ) {
	case "register", "client_msg", "client_disconnected":
		c.role = roleDevice
	case "connect", "device_msg", "device_info":
		c.role = roleClient
	case "pre-register":
		c.role = roleControl
	default:
		return
	}
	c.client = c.idle()
}

// control explains a message of the control socket.
func (c *cuttlefishConn) control(e capture.Entry) Arrow {
	a := Arrow{Kind: Carrier, Name: "control", Detail: &Detail{Raw: text(c.r.masked(e.Data, maskCredentials))}}
	value, _ := jsonx.Peek(e.Data, "message_type")
	if typ, ok := jsonx.Text(value); ok {
		a.Name = string(typ)
	}
	if json.Valid(e.Data) {
		a.Detail.Decoded = c.r.masked(e.Data, maskCredentials)
	}
	return a
}

// maskCredentials hides what [cuttlefish.Redact] hides, the credentials of TURN servers, in
// whatever dialect they are said, and shows payloads of which that knows nothing.
func maskCredentials(data []byte) []byte {
	if !bytes.Contains(bytes.ToLower(data), []byte("credential")) && !bytes.Contains(data, []byte(`\u`)) {
		return data
	}
	masked, err := maskMembers(data, isCredential)
	if err != nil {
		return []byte(hidden)
	}
	return masked
}

// isCredential reports whether a member of a message of Cuttlefish is about a TURN server's
// client.
func isCredential(name string) bool {
	name = strings.ToLower(name)
	return name == "username" || strings.Contains(name, "credential") && name != "credentialtype"
}

// decoded explains a message of which data is the form in the protocol document.
func (c *cuttlefishConn) decoded(e capture.Entry, data []byte) Arrow {
	msg, err := cuttlefish.Decode(data)
	if err != nil {
		a := c.r.undecodable(e.Data, err)
		if d, ok := errors.AsType[*cuttlefish.DecodeError](err); ok && d.Type != "" {
			a.Name = d.Type
		}
		return a
	}
	a := c.arrow(e.From, msg)
	a.Detail = c.detail(e.Data, msg)
	return a
}

// bare explains what a client of today's operator sends: a payload as it is.
func (c *cuttlefishConn) bare(e capture.Entry) Arrow {
	if err := jsonx.Check(e.Data); err != nil {
		return c.r.undecodable(e.Data, &cuttlefish.DecodeError{Type: "forward", Field: "payload", Err: err})
	}
	msg := &cuttlefish.Forward{Payload: e.Data}
	a := c.arrow(e.From, msg)
	a.Name = cmp.Or(strings.TrimPrefix(a.Name, "forward "), "payload")
	if !jsonx.IsObject(e.Data) && !jsonx.IsNull(e.Data) {
		a.Problems = problem(Undecodable, &cuttlefish.DecodeError{Type: "forward", Field: "payload", Err: jsonx.ErrNotObject})
	}
	shown := c.r.masked(e.Data, maskCredentials)
	a.Detail = &Detail{Decoded: shown, Raw: text(shown), Folds: foldsOf(shown, ""), Type: payloadGoType(e.Data)}
	return a
}

// payloadGoType returns the Go type of a payload.
func payloadGoType(payload []byte) string {
	p, err := cuttlefish.DecodePayload(payload)
	if err != nil {
		return "json.RawMessage"
	}
	return fmt.Sprintf("%T", p)
}

// arrow explains a message and takes it.
func (c *cuttlefishConn) arrow(from capture.Side, msg cuttlefish.Message) Arrow {
	a := Arrow{Kind: Message, From: from, Name: cuttlefishName(msg), Problems: problem(Invalid, msg.Validate())}
	var payload json.RawMessage
	sender := capture.Client // of the payload: a device or a client
	switch m := msg.(type) {
	case *cuttlefish.Register:
		a.About = m.DeviceID
		if from == capture.Client {
			a.Who = m.DeviceID
		}
	case *cuttlefish.Connect:
		a.About = m.DeviceID
		if from == capture.Client {
			a.Who = clientOf(m.DeviceID)
		}
	case *cuttlefish.Forward:
		payload = m.Payload
		if c.isDevice() {
			sender = capture.Server
			if id, ok := m.Client(); ok {
				a.About = clientNumber(id)
			} else if len(a.Problems) == 0 {
				a.Problems = problem(Invalid, &cuttlefish.ValidationError{Type: "forward", Field: "client_id", Reason: "missing"})
			}
		}
	case *cuttlefish.ClientMsg:
		payload, a.About = m.Payload, clientNumber(m.ClientID)
	case *cuttlefish.ClientDisconnected:
		a.About = clientNumber(m.ClientID)
	case *cuttlefish.DeviceMsg:
		payload, sender = m.Payload, capture.Server
	case *cuttlefish.Config:
		a.About = strconv.Itoa(len(m.ICEServers)) + " ICE servers"
		if len(m.ICEServers) == 1 {
			a.About = "1 ICE server"
		}
	case *cuttlefish.Error:
		a.Problems = append(a.Problems, Problem{Kind: Refused, Text: strings.TrimSpace(m.Text)})
		a.About = strings.TrimSpace(m.Text)
	}
	c.payload(&a, payload, sender)
	if err := c.may(from, msg); len(a.Problems) == 0 {
		a.Problems = problem(Illegal, err)
	}
	c.step(from, msg)
	return a
}

var errCandidateForm = &cuttlefish.ValidationError{
	Type: "ice-candidate", Field: "candidate", Reason: "the form of the other side",
}

// payload adds to an arrow what is in a payload. Payloads are the two sides' own affair: only
// those that they would not take themselves are a problem.
func (c *cuttlefishConn) payload(a *Arrow, payload json.RawMessage, sender capture.Side) {
	if !jsonx.IsObject(payload) {
		return
	}
	value, _ := jsonx.Peek(payload, "type")
	typ, ok := jsonx.Text(value)
	if !ok {
		return
	}
	a.Name += " " + clip(string(typ), 40)
	p, err := cuttlefish.DecodePayload(payload)
	if err == nil {
		err = p.Validate()
	}
	about := ""
	switch p := p.(type) {
	case *cuttlefish.Offer:
		about = mediaOf(p.SDP)
	case *cuttlefish.Answer:
		about = mediaOf(p.SDP)
	case *cuttlefish.DeviceCandidate:
		about = candidateAbout(p.Candidate)
		if err == nil && sender == capture.Client {
			err = errCandidateForm
		}
	case *cuttlefish.ClientCandidate:
		about = candidateAbout(p.Candidate.Candidate)
		if err == nil && sender == capture.Server {
			err = errCandidateForm
		}
	case *cuttlefish.PayloadError:
		a.Problems = append(a.Problems, Problem{Kind: Refused, Text: p.Text})
		about = p.Text
	}
	if len(a.Problems) == 0 {
		a.Problems = problem(Invalid, err)
	}
	a.About = joinedBy(": ", a.About, about)
}

func clientNumber(id int) string { return "client " + strconv.Itoa(id) }

// clientOf says who a client is by its device: it has no name of its own.
func clientOf(device string) string {
	if device == "" {
		return ""
	}
	return "client of " + device
}

// deviceInPath returns the device of devices/{id}/connect.
func deviceInPath(address string) string {
	path, _, _ := strings.Cut(address, "?")
	path = strings.TrimSuffix(path, "/connect")
	id, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return ""
	}
	return id
}

// mediaOf returns the media of a description.
func mediaOf(sdp string) string { return strings.TrimPrefix(sdpFold("", sdp).Title, "SDP: ") }

// candidateAbout returns what tells a candidate from others.
func candidateAbout(candidate string) string {
	return strings.TrimPrefix(candidateFold(candidate).Title, "candidate: ")
}

func (c *cuttlefishConn) detail(data []byte, msg cuttlefish.Message) *Detail {
	shown := c.r.masked(data, maskCredentials)
	d := &Detail{Type: fmt.Sprintf("%T", msg), Raw: text(shown)}
	if encoded, err := cuttlefish.Encode(msg); err == nil {
		d.Decoded = c.r.masked(encoded, maskCredentials)
		d.Folds = foldsOf(d.Decoded, "")
	}
	return d
}

var (
	errInfoFirst    = errors.New("cuttlefish: device_info before config")
	errMessageFirst = errors.New("cuttlefish: device_msg before device_info")
)

// may returns what is wrong with a message at this time.
func (c *cuttlefishConn) may(from capture.Side, msg cuttlefish.Message) error {
	name := cuttlefishName(msg)
	wrong := func(now state, required ...state) error {
		e := &cuttlefish.StateError{State: now, Type: name}
		for _, s := range required {
			e.Required = append(e.Required, s.String())
		}
		slices.Sort(e.Required)
		return e
	}
	if c.role == roleUnknown {
		return nil
	}
	if from == capture.Client {
		switch msg.(type) {
		case *cuttlefish.Register:
			if !c.isDevice() {
				return wrong(c.client)
			}
			if c.whole && c.client != cuttlefish.DeviceIdle {
				return wrong(c.client, cuttlefish.DeviceIdle)
			}
		case *cuttlefish.Connect:
			if c.isDevice() {
				return wrong(c.client)
			}
			if c.whole && c.client != cuttlefish.ClientIdle {
				return wrong(c.client, cuttlefish.ClientIdle)
			}
		case *cuttlefish.Forward:
			if c.whole && c.client == cuttlefish.DeviceIdle {
				return wrong(c.client, cuttlefish.DeviceRegistered)
			}
			if c.whole && c.client == cuttlefish.ClientIdle {
				return wrong(c.client, cuttlefish.ClientReady)
			}
		case *cuttlefish.Unknown:
		default:
			return wrong(c.client)
		}
		return nil
	}
	device := c.isDevice()
	switch msg.(type) {
	case *cuttlefish.Config, *cuttlefish.Error, *cuttlefish.Unknown:
	case *cuttlefish.ClientMsg, *cuttlefish.ClientDisconnected:
		if !device {
			return wrong(c.server)
		}
		if c.whole && !c.configured {
			return wrong(c.server, cuttlefish.ServerRegistered)
		}
	case *cuttlefish.DeviceInfoMsg:
		if device {
			return wrong(c.server)
		}
		if c.whole && c.role == roleClient && !c.configured {
			return errInfoFirst
		}
	case *cuttlefish.DeviceMsg:
		if device {
			return wrong(c.server)
		}
		if c.whole && !c.attached {
			return errMessageFirst
		}
	default:
		return wrong(c.server)
	}
	return nil
}

// step takes a message.
func (c *cuttlefishConn) step(from capture.Side, msg cuttlefish.Message) {
	device := c.isDevice()
	switch msg.(type) {
	case *cuttlefish.Register:
		if device && c.client == cuttlefish.DeviceIdle && from == capture.Client {
			c.client, c.server = cuttlefish.DeviceRegistering, cuttlefish.ServerDeciding
		}
	case *cuttlefish.Connect:
		if !device && c.client == cuttlefish.ClientIdle && from == capture.Client {
			c.client, c.server = cuttlefish.ClientConnecting, cuttlefish.ServerDeciding
		}
	case *cuttlefish.Config:
		c.configured = true
		switch {
		case device:
			c.client, c.server = cuttlefish.DeviceRegistered, cuttlefish.ServerRegistered
		case c.client != cuttlefish.ClientReady && c.role == roleClient && !c.polls:
			c.client, c.server = cuttlefish.ClientWaiting, cuttlefish.ServerWaiting
		}
	case *cuttlefish.DeviceInfoMsg:
		if !device {
			c.attached = true
			c.client, c.server = cuttlefish.ClientReady, cuttlefish.ServerAttached
		}
	}
}

// cuttlefishName returns the type of a message.
func cuttlefishName(msg cuttlefish.Message) string {
	switch m := msg.(type) {
	case *cuttlefish.Register:
		return "register"
	case *cuttlefish.Forward:
		return "forward"
	case *cuttlefish.Config:
		return "config"
	case *cuttlefish.ClientMsg:
		return "client_msg"
	case *cuttlefish.ClientDisconnected:
		return "client_disconnected"
	case *cuttlefish.Connect:
		return "connect"
	case *cuttlefish.DeviceInfoMsg:
		return "device_info"
	case *cuttlefish.DeviceMsg:
		return "device_msg"
	case *cuttlefish.Unknown:
		return m.Type
	}
	return "error"
}

// retyped returns a message with another message_type, and false if it is no object.
func retyped(data []byte, typ string) (message []byte, ok bool) {
	o, err := jsonx.Scan(data)
	if err != nil {
		return nil, false
	}
	defer o.Free()
	message = append(make([]byte, 0, len(data)+32), `{"message_type":"`+typ+`"`...)
	for i := range o.Len() {
		name, value := o.Member(i)
		if string(name) == "message_type" {
			continue
		}
		text, err := json.Marshal(string(name))
		if err != nil {
			return nil, false
		}
		message = append(append(message, ','), text...)
		message = append(append(message, ':'), value...)
	}
	return append(message, '}'), true
}
