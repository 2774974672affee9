package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// maxMessage bounds a message with all its attachments.
const maxMessage = 64 << 20

func newEasyRTC(r *Recording, _ capture.Entry) Conn {
	c := &easyrtcConn{r: r} // of which the beginning may be missing
	c.toServer, c.toClient = easyrtcSide{forgot: true, lost: true}, easyrtcSide{forgot: true, lost: true}
	return newEngineConn(r, c)
}

// An easyrtcConn explains the messages of a connection of EasyRTC.
//
// The states are those of the package's machines. These cannot be run beside the traffic,
// because they number their events by themselves; but what may be sent when is little.
type easyrtcConn struct {
	r *Recording

	user     string // that the login names
	known    bool   // where the sides stand
	gone     bool   // the connection
	client   easyrtc.ClientState
	server   easyrtc.ServerState
	thrown   bool // the server has ended the login: the client may not know yet
	toServer easyrtcSide
	toClient easyrtcSide
}

// An easyrtcSide is one direction.
type easyrtcSide struct {
	decoder easyrtc.Decoder
	text    []byte // of a packet whose attachments are due
	parts   [][]byte
	waiting pending[easyrtc.ID, easyrtcEvent]
	forgot  bool // an event that waits, or may have been one
	lost    bool // a packet whose attachments may follow
}

// An easyrtcEvent waits for its acknowledgement.
type easyrtcEvent struct {
	name, about string
	login       bool
}

func (c *easyrtcConn) begin() {
	*c = easyrtcConn{r: c.r, known: true, client: easyrtc.ClientOpening, server: easyrtc.ServerOpening}
}

func (c *easyrtcConn) end() { c.known, c.gone, c.client = true, true, easyrtc.ClientClosed }

// logout ends what connect has begun.
func (c *easyrtcConn) logout(by capture.Side) {
	c.known, c.thrown = true, by == capture.Server
	c.client, c.server = easyrtc.ClientClosed, easyrtc.ServerDisconnected
}

func (c *easyrtcConn) states() (client, server string) {
	if !c.known {
		return "", ""
	}
	if c.gone {
		return c.client.String(), closedState
	}
	return c.client.String(), c.server.String()
}

// side returns the direction of what a side sends, and the other one.
func (c *easyrtcConn) side(from capture.Side) (own, other *easyrtcSide) {
	if from == capture.Client {
		return &c.toServer, &c.toClient
	}
	return &c.toClient, &c.toServer
}

// cut takes what is known of an event: that it may wait for its acknowledgement.
func (c *easyrtcConn) cut(from capture.Side, beginning []byte) (name, about string) {
	own, other := c.side(from)
	*own = easyrtcSide{waiting: own.waiting, forgot: true, lost: true}
	p, err := socketio.Parse(beginning)
	switch {
	case err != nil:
		other.forgot = true
	case p.Type == socketio.Ack || p.Type == socketio.BinaryAck:
		if event, ok := other.waiting.take(p.ID); ok {
			return "answer (" + event.name + ")", event.about
		}
	case p.Type == socketio.Event || p.Type == socketio.BinaryEvent:
		rest, ok := bytes.CutPrefix(p.Data, []byte(`["`))
		event, _, found := bytes.Cut(rest, []byte(`"`))
		if ok && found {
			name = text(event)
			own.wait(p.ID, easyrtcEvent{name: name, login: name == easyrtc.EventAuth})
		}
	}
	return name, ""
}

func (s *easyrtcSide) wait(id easyrtc.ID, event easyrtcEvent) {
	if _, ok := id.Number(); !ok {
		return
	}
	s.forgot = s.forgot || len(s.waiting.keys) >= maxPending
	event.name, event.about = clip(event.name, 80), clip(event.about, 120)
	s.waiting.put(id, event)
}

func (c *easyrtcConn) message(from capture.Side, typ transport.MessageType, data []byte) Arrow {
	own, _ := c.side(from)
	if own.lost && typ == transport.Binary {
		return c.part(own, typ, data)
	}
	own.lost, own.decoder.Limit = false, maxMessage
	m, err := own.decoder.Decode(typ, data)
	if err == nil && m == nil {
		return c.part(own, typ, data)
	}
	raw, parts := data, own.parts
	if err == nil && typ == transport.Binary {
		raw, parts = own.text, append(parts, data)
	}
	if typ == transport.Binary || err != nil {
		own.text, own.parts = nil, nil
	}
	if err != nil {
		return c.undecodable(from, typ, data, err)
	}
	a := Arrow{Kind: Message, Size: 1 + len(raw)}
	for _, part := range parts {
		a.Size += len(part)
	}
	c.explain(&a, from, m)
	a.Detail = c.detail(from, m, raw, parts, a.Name)
	return a
}

// part returns the arrow of a packet whose attachments are due, or of one of those.
func (c *easyrtcConn) part(own *easyrtcSide, typ transport.MessageType, data []byte) Arrow {
	a := Arrow{Kind: Carrier, Size: len(data), Detail: new(Detail)}
	if typ == transport.Binary {
		if !own.lost {
			own.parts = append(own.parts, bytes.Clone(data))
		}
		a.Name = "attachment"
		a.Detail.Raw = strconv.Quote(string(data))
		return a
	}
	own.text, own.parts = bytes.Clone(data), nil
	a.Name = "attachments follow"
	if p, err := socketio.Parse(data); err == nil {
		a.About = strconv.Itoa(p.Attachments)
	}
	a.Detail.Raw = "4" + unreadablePacket(c.r, data)
	return a
}

// undecodable returns the arrow of what is no message. An event may be answered all the same.
func (c *easyrtcConn) undecodable(from capture.Side, typ transport.MessageType, data []byte, err error) Arrow {
	own, other := c.side(from)
	own.decoder = easyrtc.Decoder{}
	a := c.r.undecodable(data, err)
	if a.Detail.Raw = unreadablePacket(c.r, data); typ == transport.Text {
		a.Detail.Raw = "4" + a.Detail.Raw
	}
	a.Size = 1 + len(data)
	e, _ := errors.AsType[*easyrtc.DecodeError](err)
	if e != nil && e.Event+e.Type != "" {
		a.Name = cmp.Or(e.Type, e.Event)
		own.wait(e.ID, easyrtcEvent{name: a.Name, login: e.Event == easyrtc.EventAuth})
		if e.Event == easyrtc.EventAuth && from == capture.Client {
			c.authenticating()
		}
	}
	if p, err := socketio.Parse(data); err == nil && (p.Type == socketio.Ack || p.Type == socketio.BinaryAck) {
		if event, ok := other.waiting.take(p.ID); ok {
			a.About = "answers " + event.name
		}
	} else if err != nil {
		other.forgot = true // it may have been an acknowledgement
	}
	return a
}

// explain says what a message is, and takes note of it.
func (c *easyrtcConn) explain(a *Arrow, from capture.Side, m easyrtc.Message) {
	own, other := c.side(from)
	name, pkt := easyrtcHead(m)
	a.Name, a.About = name, c.about(from, m)
	a.Problems = problem(Invalid, validEasyRTC(m))
	switch m := m.(type) {
	case *easyrtc.ConnectPacket:
		a.Kind = Carrier
		c.connect(a, from, m)
		return
	case *easyrtc.DisconnectPacket:
		if m.Namespace == "" {
			c.logout(from)
		}
		return
	case *easyrtc.ConnectErrorPacket:
		a.Problems = append(a.Problems, Problem{Refused, "the server refuses to connect: " + c.reason(m.Payload)})
		return
	}
	if pkt.Ack {
		c.acknowledge(a, from, m, other, pkt.ID)
		return
	}
	if err := c.allowed(from, m, name); err != nil {
		a.Problems = append(a.Problems, Problem{Illegal, err.Error()})
	}
	login := isLogin(m)
	if from == capture.Client {
		if u, ok := m.(*easyrtc.Unknown); ok && login {
			a.Problems = append(a.Problems, Problem{Invalid,
				fmt.Sprintf("easyrtc: %s has no type %q: servers disconnect the client", u.Event, u.Type)})
		}
		if _, ok := pkt.ID.Number(); !ok && !isUnknownEvent(m) {
			a.Problems = append(a.Problems, problem(Invalid, errNoID(login))...)
		}
		if login {
			c.authenticating()
			a.Who = c.login(m)
		}
	}
	if e, ok := m.(*easyrtc.ErrorMessage); ok && e.MsgData != nil {
		a.Problems = append(a.Problems, Problem{Refused, e.MsgData.Error()})
	}
	own.wait(pkt.ID, easyrtcEvent{a.Name, a.About, login})
}

// validEasyRTC reports what is wrong with a message. The mark that stands for a session in a
// recording that was given away is not.
func validEasyRTC(m easyrtc.Message) error {
	if login, ok := m.(*easyrtc.Authenticate); ok && login.MsgData != nil && login.MsgData.EasyrtcSID != nil {
		if sid := *login.MsgData.EasyrtcSID; sid != "" && strings.Trim(sid, "*") == "" {
			unmarked, data := *login, *login.MsgData
			data.EasyrtcSID, unmarked.MsgData = nil, &data
			return unmarked.Validate()
		}
	}
	return m.Validate()
}

// login takes the name in a login, and returns it.
func (c *easyrtcConn) login(m easyrtc.Message) string {
	c.user = ""
	if m, ok := m.(*easyrtc.Authenticate); ok && m.MsgData != nil && m.MsgData.Username != nil {
		c.user = clip(*m.MsgData.Username, 40)
	}
	return c.user
}

// authenticating takes a login. One that changes a login leaves the client ready.
func (c *easyrtcConn) authenticating() {
	if c.client < easyrtc.ClientReady {
		c.client = easyrtc.ClientAuthenticating
	}
}

func errNoID(login bool) error {
	if login {
		return errors.New("easyrtc: the event asks for no acknowledgement: servers disconnect the client")
	}
	return errors.New("easyrtc: the event asks for no acknowledgement: servers ignore it")
}

// isLogin reports whether servers take a message for a login.
func isLogin(m easyrtc.Message) bool {
	switch m := m.(type) {
	case *easyrtc.Authenticate:
		return true
	case *easyrtc.Unknown:
		return !m.Ack && m.Event == easyrtc.EventAuth
	}
	return false
}

// isUnknownEvent reports whether a message is in an event that is not the protocol's.
func isUnknownEvent(m easyrtc.Message) bool {
	u, ok := m.(*easyrtc.Unknown)
	return ok && u.Event != easyrtc.EventAuth && u.Event != easyrtc.EventCmd && u.Event != easyrtc.EventMsg
}

// connect takes a connect packet.
func (c *easyrtcConn) connect(a *Arrow, from capture.Side, m *easyrtc.ConnectPacket) {
	switch {
	case m.Namespace != "":
	case from == capture.Server:
		c.known, c.thrown = true, false
		c.client, c.server = max(c.client, easyrtc.ClientConnected), easyrtc.ServerConnected
		if c.client == easyrtc.ClientClosed {
			c.client = easyrtc.ClientConnected
		}
	case c.known && c.client > easyrtc.ClientOpening && c.client < easyrtc.ClientClosed:
		a.Problems = append(a.Problems, Problem{Illegal, c.illegal("connect", easyrtc.ClientOpening).Error()})
	default:
		c.known, c.thrown = true, false
		c.client, c.server = easyrtc.ClientOpening, easyrtc.ServerConnected
		c.toServer, c.toClient = easyrtcSide{}, easyrtcSide{} // whose numbers begin anew
	}
}

// reason returns what a ConnectErrorPacket says.
func (c *easyrtcConn) reason(payload json.RawMessage) string {
	var message string
	var object struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(payload, &message) == nil || json.Unmarshal(payload, &object) == nil {
		return message + object.Message
	}
	return ""
}

// acknowledge takes an acknowledgement.
func (c *easyrtcConn) acknowledge(a *Arrow, from capture.Side, m easyrtc.Message, other *easyrtcSide, id easyrtc.ID) {
	event, ok := other.waiting.take(id)
	if ok {
		a.Name += " (" + event.name + ")"
		if a.About == "" {
			a.About = event.about
		}
	} else if c.known && !other.forgot && !c.thrown {
		a.Problems = append(a.Problems, Problem{Illegal,
			"easyrtc: acknowledges event " + id.String() + ", for which nobody waits"})
	}
	_, a.Ack = m.(*easyrtc.Ack)
	if from == capture.Client {
		return
	}
	switch m := m.(type) {
	case *easyrtc.Token:
		if m.MsgData != nil {
			a.Who = joinedBy(" ", c.user, m.MsgData.EasyrtcID) // by which the others call it
		}
		c.known, c.thrown = true, false
		c.client, c.server = easyrtc.ClientReady, easyrtc.ServerReady
	case *easyrtc.ErrorMessage:
		text := "refused"
		if m.MsgData != nil {
			text = m.MsgData.Error()
		}
		a.Problems = append(a.Problems, Problem{Refused, text})
		if event.login { // the server disconnects
			c.logout(from)
		}
	}
}

// allowed returns why a message may not be sent. What crosses with a message that changes
// the state is not the fault of its sender: nothing is said about it.
func (c *easyrtcConn) allowed(from capture.Side, m easyrtc.Message, name string) error {
	var required []easyrtc.ClientState
	switch m.(type) {
	case *easyrtc.Authenticate:
		required = []easyrtc.ClientState{easyrtc.ClientConnected, easyrtc.ClientAuthenticating, easyrtc.ClientReady}
	case *easyrtc.GetICEConfig, *easyrtc.GetRoomList, *easyrtc.RoomJoin, *easyrtc.RoomLeave, *easyrtc.SetRoomAPIField,
		*easyrtc.SetPresence, *easyrtc.SetUserCfg, *easyrtc.StillAlive:
		required = []easyrtc.ClientState{easyrtc.ClientAuthenticating, easyrtc.ClientReady}
	case *easyrtc.Offer, *easyrtc.Answer, *easyrtc.Candidate, *easyrtc.Reject, *easyrtc.Hangup, *easyrtc.Msg,
		*easyrtc.Unknown:
		if from == capture.Server {
			return nil
		}
		required = []easyrtc.ClientState{easyrtc.ClientAuthenticating, easyrtc.ClientReady}
		if isLogin(m) || isUnknownEvent(m) {
			required = []easyrtc.ClientState{easyrtc.ClientConnected, easyrtc.ClientAuthenticating, easyrtc.ClientReady}
		}
	default: // of servers
		if from == capture.Client {
			return c.illegal(name)
		}
		return nil
	}
	switch {
	case from == capture.Server:
		return c.illegal(name)
	case !c.known, c.thrown, slices.Contains(required, c.client):
		return nil
	}
	return c.illegal(name, required...)
}

func (c *easyrtcConn) illegal(name string, required ...easyrtc.ClientState) error {
	e := &easyrtc.StateError{State: c.client, Type: name}
	for _, state := range required {
		if state != easyrtc.ClientAuthenticating { // in which nothing is sent for sure
			e.Required = append(e.Required, state.String())
		}
	}
	slices.Sort(e.Required)
	return e
}

// easyrtcHead returns the type of a message, or the event of one without a type, and what
// Socket.IO adds to it.
func easyrtcHead(m easyrtc.Message) (name string, p easyrtc.Packet) {
	switch m := m.(type) {
	case *easyrtc.ConnectPacket:
		return "connect", p
	case *easyrtc.DisconnectPacket:
		return "disconnect", p
	case *easyrtc.ConnectErrorPacket:
		return "connect_error", p
	case *easyrtc.Authenticate:
		return "authenticate", m.Packet
	case *easyrtc.Offer:
		return "offer", m.Packet
	case *easyrtc.Answer:
		return "answer", m.Packet
	case *easyrtc.Candidate:
		return "candidate", m.Packet
	case *easyrtc.Reject:
		return "reject", m.Packet
	case *easyrtc.Hangup:
		return "hangup", m.Packet
	case *easyrtc.GetICEConfig:
		return "getIceConfig", m.Packet
	case *easyrtc.GetRoomList:
		return "getRoomList", m.Packet
	case *easyrtc.RoomJoin:
		return "roomJoin", m.Packet
	case *easyrtc.RoomLeave:
		return "roomLeave", m.Packet
	case *easyrtc.SetRoomAPIField:
		return "setRoomApiField", m.Packet
	case *easyrtc.SetPresence:
		return "setPresence", m.Packet
	case *easyrtc.SetUserCfg:
		return "setUserCfg", m.Packet
	case *easyrtc.StillAlive:
		return "stillAlive", m.Packet
	case *easyrtc.Ack:
		return "ack", m.Packet
	case *easyrtc.ErrorMessage:
		return "error", m.Packet
	case *easyrtc.Token:
		return "token", m.Packet
	case *easyrtc.RoomData:
		return "roomData", m.Packet
	case *easyrtc.SessionData:
		return "sessionData", m.Packet
	case *easyrtc.ICEConfig:
		return "iceConfig", m.Packet
	case *easyrtc.RoomList:
		return "roomList", m.Packet
	case *easyrtc.ForwardToURL:
		return "forwardToUrl", m.Packet
	case *easyrtc.Msg:
		return cmp.Or(m.MsgType, easyrtc.EventMsg), m.Packet
	case *easyrtc.Unknown:
		name = "event"
		if m.Ack {
			name = "ack"
		}
		return cmp.Or(m.Type, m.Event, name), m.Packet
	}
	return "message", p
}

// about returns what tells a message from others of its type.
func (c *easyrtcConn) about(from capture.Side, m easyrtc.Message) string {
	party := func(target, sender string) string {
		switch {
		case from == capture.Client && target != "":
			return "to " + target
		case from == capture.Server && sender != "":
			return "from " + sender
		}
		return ""
	}
	switch m := m.(type) {
	case *easyrtc.Authenticate:
		if d := m.MsgData; d != nil {
			for _, name := range []*string{d.Username, d.ApplicationName} {
				if name != nil {
					return *name
				}
			}
		}
	case *easyrtc.Offer:
		return party(m.TargetEasyrtcID, m.SenderEasyrtcID)
	case *easyrtc.Answer:
		return party(m.TargetEasyrtcID, m.SenderEasyrtcID)
	case *easyrtc.Candidate:
		return party(m.TargetEasyrtcID, m.SenderEasyrtcID)
	case *easyrtc.Reject:
		return party(m.TargetEasyrtcID, m.SenderEasyrtcID)
	case *easyrtc.Hangup:
		return party(m.TargetEasyrtcID, m.SenderEasyrtcID)
	case *easyrtc.Msg:
		about := party(m.TargetEasyrtcID, m.SenderEasyrtcID)
		if m.TargetRoom != "" {
			about = strings.TrimPrefix(about+" to room "+m.TargetRoom, " ")
		}
		if m.TargetGroup != "" {
			about = strings.TrimPrefix(about+" to group "+m.TargetGroup, " ")
		}
		return about
	case *easyrtc.Token:
		if m.MsgData != nil {
			return m.MsgData.EasyrtcID
		}
	case *easyrtc.RoomData:
		if m.MsgData != nil {
			return aboutRooms(m.MsgData.RoomData)
		}
	case *easyrtc.RoomJoin:
		if m.MsgData != nil {
			return listed(m.MsgData.RoomJoin)
		}
	case *easyrtc.RoomLeave:
		if m.MsgData != nil {
			return listed(m.MsgData.RoomLeave)
		}
	case *easyrtc.RoomList:
		if m.MsgData != nil {
			return listed(m.MsgData.RoomList)
		}
	case *easyrtc.SetRoomAPIField:
		if m.MsgData != nil && m.MsgData.SetRoomAPIField != nil {
			return m.MsgData.SetRoomAPIField.RoomName
		}
	case *easyrtc.SetPresence:
		if m.MsgData != nil && m.MsgData.SetPresence != nil {
			if show := m.MsgData.SetPresence.Show; show != nil {
				return string(*show)
			}
		}
	case *easyrtc.ErrorMessage:
		if m.MsgData != nil {
			return string(m.MsgData.ErrorCode)
		}
	case *easyrtc.ForwardToURL:
		if m.MsgData != nil && m.MsgData.ForwardToURL != nil {
			return c.r.address(m.MsgData.ForwardToURL.URL)
		}
	case *easyrtc.ConnectPacket:
		return m.Namespace
	case *easyrtc.DisconnectPacket:
		return m.Namespace
	case *easyrtc.ConnectErrorPacket:
		return m.Namespace
	}
	return ""
}

// maxListed is how many names stand on an arrow.
const maxListed = 4

// listed returns the keys of a map, some of many.
func listed[V any](m map[string]V) string {
	keys := slices.Sorted(maps.Keys(m))
	if len(keys) > maxListed {
		keys = append(keys[:maxListed], strconv.Itoa(len(keys)-maxListed)+" more")
	}
	return strings.Join(keys, ", ")
}

// aboutRooms says what has changed in rooms: "default +a -b".
func aboutRooms(rooms map[string]*easyrtc.Room) string {
	var about []string
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		if len(about) == maxListed {
			about = append(about, strconv.Itoa(len(rooms)-maxListed)+" more")
			break
		}
		room, text := rooms[name], name
		if room == nil {
			continue
		}
		switch delta := room.ClientListDelta; {
		case room.RoomStatus == easyrtc.RoomStatusJoin:
			text += " joined, " + strconv.Itoa(len(room.ClientList)) + " in it"
		case room.RoomStatus == easyrtc.RoomStatusLeave:
			text += " left"
		case delta != nil && len(delta.UpdateClient)+len(delta.RemoveClient) > 0:
			if len(delta.UpdateClient) > 0 {
				text += " +" + listed(delta.UpdateClient)
			}
			if len(delta.RemoveClient) > 0 {
				text += " -" + listed(delta.RemoveClient)
			}
		case room.Field != nil:
			text += " fields"
		}
		about = append(about, text)
	}
	return strings.Join(about, "; ")
}

// detail returns what a click on a message shows.
func (c *easyrtcConn) detail(from capture.Side, m easyrtc.Message, raw []byte, parts [][]byte, name string) *Detail {
	d := &Detail{Type: fmt.Sprintf("%T", m)}
	shown := m
	if !c.r.Secrets {
		shown, raw = withoutSecrets(from, m, raw)
	}
	d.Raw = "4" + text(raw)
	for _, part := range parts {
		d.Raw += "\n" + strconv.Quote(string(part))
	}
	if shown == nil {
		return d
	}
	if d.Decoded = easyrtcObject(shown); d.Decoded != nil {
		sdp, _, _ := strings.Cut(name, " ")
		if !isSDPType(sdp) {
			sdp = ""
		}
		d.Folds = foldsOf(d.Decoded, sdp)
	}
	return d
}

// withoutSecrets returns a message and its packet with the secrets masked. The message is nil
// if there is nothing else to show.
func withoutSecrets(from capture.Side, m easyrtc.Message, raw []byte) (easyrtc.Message, []byte) {
	switch m := m.(type) {
	case *easyrtc.ConnectPacket:
		if from == capture.Client && m.Payload != nil { // for an application's middleware
			return nil, []byte("0" + hidden)
		}
		return m, raw
	case *easyrtc.Unknown:
		return nil, []byte(hidden)
	case *easyrtc.Authenticate, *easyrtc.RoomJoin, *easyrtc.Token, *easyrtc.ICEConfig, *easyrtc.SessionData:
		raw = easyrtc.Redact(raw)
		masked, err := easyrtc.Decode(raw)
		if err != nil {
			return nil, raw
		}
		return masked, raw
	}
	return m, raw
}

// easyrtcObject returns a message as its codec writes it: the object, or all arguments.
func easyrtcObject(m easyrtc.Message) json.RawMessage {
	packet, err := easyrtc.Encode(m)
	if err != nil {
		return nil
	}
	p, err := socketio.Parse(packet)
	if err != nil || len(p.Data) == 0 {
		return nil
	}
	if p.Type == socketio.Connect || p.Type == socketio.ConnectError {
		return p.Data
	}
	p.Attachments = 0 // which have been checked
	args, err := socketio.Arguments(p)
	if err != nil {
		return nil
	}
	isAck := p.Type == socketio.Ack || p.Type == socketio.BinaryAck
	switch {
	case isAck && len(args) == 1:
		return args[0]
	case !isAck && len(args) == 2:
		return args[1]
	}
	return p.Data
}
