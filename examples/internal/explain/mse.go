package explain

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// An mseConn is a connection of MSE JSON-RPC. Its states are those of
// [msejsonrpc.ClientMachine] and [msejsonrpc.ServerMachine], which are not run here: a
// client need not wait for an answer before its next request, as theirs does.
type mseConn struct {
	r     *Recording
	whole bool // the connection is known from its beginning
	over  bool
	said  bool // the client has said goodbye

	client, server state
	calls          pending[string, mseCall] // of the client, by id
	asked          pending[string, string]  // of the server, by id: methods that no client knows
	open           [3]int                   // calls of a method that have no answer, see mseOpen
	offered        capture.Side             // whose description waits for the other side's
}

// A state is a state of one of the packages.
type state interface{ String() string }

// An mseCall is a request that waits for its answer.
type mseCall struct {
	method string
	from   state // of the client before it
	open   bool
}

// mseOpen are the methods whose answers change the state, and the places of their numbers.
var mseOpen = map[string]int{"auth": 1, "start": 2}

func newMSE(r *Recording, first capture.Entry) Conn {
	return &mseConn{
		r: r, whole: first.Kind == capture.Open,
		client: msejsonrpc.ClientConnected, server: msejsonrpc.ServerNew,
	}
}

// Explain returns the arrows of an entry.
func (c *mseConn) Explain(e capture.Entry) []Arrow {
	if e.Kind == capture.Open {
		*c = *newMSE(c.r, e).(*mseConn)
	}
	return c.r.socket(e, &c.over, c.message, c.states)
}

// states returns where both sides stand.
func (c *mseConn) states() (client, server string) {
	switch {
	case c.over:
		return msejsonrpc.ClientClosed.String(), closedState
	case c.said:
		return msejsonrpc.ClientClosed.String(), c.server.String()
	case c.whole || c.server != msejsonrpc.ServerNew:
		return c.client.String(), c.server.String()
	}
	return "", ""
}

var errMSEBinary = errors.New("msejsonrpc: a binary message")

// message explains a message.
func (c *mseConn) message(e capture.Entry) Arrow {
	if e.Cut > 0 {
		return c.r.truncated(e)
	}
	msg, err := msejsonrpc.Decode(e.Data)
	if e.Binary {
		err = cmp.Or(err, errMSEBinary)
	}
	if err != nil {
		return c.undecodable(e, err)
	}
	a := Arrow{Kind: Message, Name: mseName(msg), Problems: problem(Invalid, msg.Validate())}
	var what string // of a description
	var illegal error
	switch m := msg.(type) {
	case *msejsonrpc.Response:
		illegal = c.response(&a, e.From, m)
	case *msejsonrpc.Ping:
		a.Kind = Carrier
	case *msejsonrpc.Auth:
		a.About = "version " + m.Version
		if e.From == capture.Client {
			a.Who = userOfToken(m.Token)
		}
	case *msejsonrpc.SDPOffer:
		what = c.describe(&a, e.From, m)
	case *msejsonrpc.ICECandidate:
		if init, err := m.Init(); err == nil {
			a.About = strings.TrimPrefix(candidateFold(init.Candidate).Title, "candidate: ")
		}
	case *msejsonrpc.Chat:
		a.About = joinedBy(": ", strings.Join(firstOf(m.To, 4), ", "), clip(m.Message, 60))
	}
	if _, ok := msg.(*msejsonrpc.Response); !ok {
		if e.From == capture.Client {
			illegal = c.maySend(msg)
			c.sent(msg)
		} else {
			illegal = c.mayReceive(msg)
			if id := mseID(msg); !id.IsNotification() {
				c.asked.put(idKey(id), mseName(msg))
			}
		}
	}
	if len(a.Problems) == 0 {
		a.Problems = problem(Illegal, illegal)
	}
	if m, ok := msg.(*msejsonrpc.Response); ok && m.Error != nil {
		a.Problems = append(a.Problems, problem(Refused, m.Error)...)
	}
	a.Detail = c.detail(e.Data, msg, what)
	return a
}

// undecodable is the arrow of what is no message. A broken response answers nevertheless.
func (c *mseConn) undecodable(e capture.Entry, err error) Arrow {
	a := c.r.undecodable(e.Data, err)
	d, ok := errors.AsType[*msejsonrpc.DecodeError](err)
	if !ok {
		return a
	}
	a.Name = cmp.Or(d.Type, a.Name)
	switch {
	case e.From == capture.Server:
		if call, ok := c.calls.take(idKey(d.ID)); ok {
			a.Name += " (" + call.method + ")"
			c.settle(call, false)
		}
	case !d.ID.IsNotification(): // its error will come back
		c.calls.put(idKey(d.ID), mseCall{method: cmp.Or(d.Type, "request"), from: c.client})
	}
	return a
}

func (c *mseConn) detail(data []byte, msg msejsonrpc.Message, sdp string) *Detail {
	shown := c.r.masked(data, msejsonrpc.Redact)
	d := &Detail{Type: fmt.Sprintf("%T", msg), Raw: text(shown)}
	masked, err := msejsonrpc.Decode(shown)
	if err != nil {
		return d
	}
	encoded, err := msejsonrpc.Encode(masked)
	if err != nil {
		return d
	}
	d.Decoded = encoded
	switch m := masked.(type) {
	case *msejsonrpc.SDPOffer:
		d.Folds = foldsOf(m.Offer, sdp)
	case *msejsonrpc.ICECandidate:
		if init, err := m.Init(); err == nil && isJSONText(m.Candidate) {
			d.Folds = []Fold{candidateFold(init.Candidate)}
		} else {
			d.Folds = foldsOf(encoded, "")
		}
	default:
		d.Folds = foldsOf(encoded, "")
	}
	return d
}

func isJSONText(value json.RawMessage) bool {
	_, ok := jsonx.Text(value)
	return ok
}

// describe tells what a description is: where it does not say it itself it answers the
// offer of the other side, if there is one.
func (c *mseConn) describe(a *Arrow, from capture.Side, m *msejsonrpc.SDPOffer) (sdp string) {
	d, err := m.Description()
	if err != nil {
		return ""
	}
	sdp = d.Type
	if sdp == "" {
		sdp = "offer"
		if c.offered == from.Other() {
			sdp = "answer"
		}
	}
	c.offered = ""
	if sdp == "offer" {
		c.offered = from
	}
	a.About = strings.TrimPrefix(sdpFold(sdp, d.SDP).Title, "SDP ")
	return sdp
}

// maySend returns what is wrong with a request or notification of the client at this time.
// What an answer that is on its way may allow is not held against it.
func (c *mseConn) maySend(msg msejsonrpc.Message) error {
	wrong := func(required ...msejsonrpc.ClientState) error {
		e := &msejsonrpc.StateError{State: c.client, Type: mseName(msg)}
		for _, s := range required {
			e.Required = append(e.Required, s.String())
		}
		return e
	}
	if !c.whole {
		return nil
	}
	if c.said {
		return &msejsonrpc.StateError{State: msejsonrpc.ClientClosed, Type: mseName(msg),
			Required: []string{msejsonrpc.ClientConnected.String()}}
	}
	authorized := c.server != msejsonrpc.ServerNew || c.open[mseOpen["auth"]] > 0
	starting := c.open[mseOpen["start"]] > 0
	active := c.server == msejsonrpc.ServerActive
	switch msg.(type) {
	case *msejsonrpc.Auth:
		if active {
			return wrong(msejsonrpc.ClientAuthorized, msejsonrpc.ClientConnected)
		}
	case *msejsonrpc.Start:
		if active || !authorized {
			return wrong(msejsonrpc.ClientAuthorized)
		}
	case *msejsonrpc.WhoAmI, *msejsonrpc.Chat:
		if !authorized {
			return wrong(msejsonrpc.ClientActive, msejsonrpc.ClientAuthorized, msejsonrpc.ClientStarting)
		}
	case *msejsonrpc.ICECandidate, *msejsonrpc.SDPOffer:
		if !active && !(starting && authorized) {
			return wrong(msejsonrpc.ClientActive)
		}
	}
	return nil
}

// sent takes a request or notification of the client.
func (c *mseConn) sent(msg msejsonrpc.Message) {
	name, id := mseName(msg), mseID(msg)
	call := mseCall{method: name, from: c.client}
	if !id.IsNotification() {
		if place := mseOpen[name]; place > 0 {
			call.open = true
			c.open[place]++
		}
		c.calls.put(idKey(id), call)
	}
	switch msg.(type) {
	case *msejsonrpc.Auth:
		if call.open && c.client != msejsonrpc.ClientActive {
			c.client = msejsonrpc.ClientAuthenticating
		}
	case *msejsonrpc.Start:
		if call.open && c.client != msejsonrpc.ClientActive {
			c.client = msejsonrpc.ClientStarting
		}
	case *msejsonrpc.Disconnect:
		c.said = true
	}
}

// mayReceive returns what is wrong with a request or notification of the server at this
// time.
func (c *mseConn) mayReceive(msg msejsonrpc.Message) error {
	wrong := func(required msejsonrpc.ServerState) error {
		return &msejsonrpc.StateError{State: c.server, Type: mseName(msg), Required: []string{required.String()}}
	}
	switch msg.(type) {
	case *msejsonrpc.ICECandidate, *msejsonrpc.SDPOffer:
		if c.whole && c.server != msejsonrpc.ServerActive {
			return wrong(msejsonrpc.ServerActive)
		}
	case *msejsonrpc.Chat:
		if c.whole && c.server == msejsonrpc.ServerNew {
			return wrong(msejsonrpc.ServerAuthorized)
		}
	case *msejsonrpc.Unknown:
	default:
		return &msejsonrpc.StateError{Type: mseName(msg)}
	}
	return nil
}

var errMSEUnpaired = errors.New("msejsonrpc: a response to no request")

// response takes a response.
func (c *mseConn) response(a *Arrow, from capture.Side, m *msejsonrpc.Response) error {
	a.Name = "result"
	result, isText := jsonx.Text(m.Result)
	switch {
	case m.Error != nil:
		a.Name, a.About = "error "+strconv.Itoa(int(m.Error.Code)), m.Error.Message
	case isText:
		a.Name = clip(string(result), 40)
	}
	key := idKey(m.ID)
	if from == capture.Client {
		if method, ok := c.asked.take(key); ok {
			a.Name += " (" + method + ")"
		} else if c.whole {
			return errMSEUnpaired
		}
		return nil
	}
	call, ok := c.calls.take(key)
	if !ok {
		if c.whole && m.Error == nil && !m.ID.IsNotification() {
			return errMSEUnpaired
		}
		return nil // an error may be about what could not be read
	}
	if a.Name != call.method {
		a.Name += " (" + call.method + ")"
	}
	switch call.method {
	case "ping":
		a.Kind = Carrier
	case "whoami":
		if identity, err := m.Identity(); err == nil {
			a.Who = identity.UserID
		}
	}
	expected := m.Error == nil
	switch call.method {
	case "ping":
		expected = m.Pong()
	case "auth":
		expected = m.Authenticated()
	case "start":
		expected = m.Started()
	}
	c.settle(call, expected)
	if !expected && m.Error == nil && len(a.Problems) == 0 {
		a.Problems = []Problem{{Kind: Invalid, Text: (&msejsonrpc.UnexpectedResultError{Type: call.method}).Error()}}
	}
	return nil
}

// userOfToken returns the user that a JSON Web Token is for, whose signature is for the server
// to check, or "".
func userOfToken(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var user string
	for _, name := range [...]string{"userId", "sub"} {
		value, _ := jsonx.Peek(claims, name)
		if text, ok := jsonx.Text(value); ok {
			user = cmp.Or(user, string(text))
		}
	}
	return user
}

// settle takes the outcome of a request.
func (c *mseConn) settle(call mseCall, ok bool) {
	if !call.open {
		return
	}
	place := mseOpen[call.method]
	c.open[place]--
	switch {
	case ok && call.method == "auth":
		c.whole = true
		if c.server == msejsonrpc.ServerNew {
			c.server = msejsonrpc.ServerAuthorized
		}
		if c.client == msejsonrpc.ClientAuthenticating || c.client == msejsonrpc.ClientConnected {
			c.client = msejsonrpc.ClientAuthorized
		}
	case ok:
		c.whole = true
		c.client, c.server = msejsonrpc.ClientActive, msejsonrpc.ServerActive
	case c.open[1] == 0 && c.open[2] == 0 && c.client != msejsonrpc.ClientActive:
		c.client = msejsonrpc.ClientConnected
		if c.server == msejsonrpc.ServerAuthorized {
			c.client = msejsonrpc.ClientAuthorized
		}
	}
}

// idKey returns an id as a key. Servers may write 1.0 for 1.
func idKey(id msejsonrpc.ID) string {
	if id.IsNotification() {
		return ""
	}
	key := clip(id.String(), 100)
	if !strings.HasPrefix(key, `"`) {
		key = strings.TrimSuffix(key, ".0")
	}
	return key
}

// mseName returns the method of a message.
func mseName(msg msejsonrpc.Message) string {
	switch m := msg.(type) {
	case *msejsonrpc.Ping:
		return "ping"
	case *msejsonrpc.Auth:
		return "auth"
	case *msejsonrpc.Start:
		return "start"
	case *msejsonrpc.WhoAmI:
		return "whoami"
	case *msejsonrpc.ICECandidate:
		return "iceCandidate"
	case *msejsonrpc.SDPOffer:
		return "sdpOffer"
	case *msejsonrpc.Disconnect:
		return "disconnect"
	case *msejsonrpc.Chat:
		return "chat"
	case *msejsonrpc.Unknown:
		return m.Type
	}
	return "response"
}

// mseID returns the id of a message with a method.
func mseID(msg msejsonrpc.Message) msejsonrpc.ID {
	switch m := msg.(type) {
	case *msejsonrpc.Ping:
		return m.ID
	case *msejsonrpc.Auth:
		return m.ID
	case *msejsonrpc.Start:
		return m.ID
	case *msejsonrpc.WhoAmI:
		return m.ID
	case *msejsonrpc.ICECandidate:
		return m.ID
	case *msejsonrpc.SDPOffer:
		return m.ID
	case *msejsonrpc.Disconnect:
		return m.ID
	case *msejsonrpc.Chat:
		return m.ID
	case *msejsonrpc.Unknown:
		return m.ID
	}
	return msejsonrpc.NullID
}

// firstOf returns at most n of the texts.
func firstOf(texts []string, n int) []string {
	if len(texts) > n {
		return append(append([]string(nil), texts[:n]...), "…")
	}
	return texts
}
