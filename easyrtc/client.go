package easyrtc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// APIVersion is what today's clients say that they are; servers take any other name as well.
const APIVersion = "1.1.1-beta"

// ClientOptions say how a [Client] behaves. Nil and zero fields mean the defaults.
type ClientOptions struct {
	HandshakeTimeout time.Duration // default 15 s
	CallTimeout      time.Duration // for an acknowledgement; default 10 s, negative without a limit
	Pending          int           // messages without their acknowledgement; default 1024

	// Redial opens a new connection after one was lost; the client logs in again, with a
	// new id, into its rooms, and the application gets a [*Reconnected]. It is not called
	// after the server has refused the client or thrown it out. Nil ends the client
	// instead.
	Redial func(ctx context.Context) (transport.Conn, error)
	// Relogin returns what to log in again with, because a credential may have expired, or
	// nil for what it was. An error counts as one of Redial. Nil logs in as before.
	Relogin func(ctx context.Context, last *Authenticate) (*Authenticate, error)
	Backoff Backoff

	// StateBytes bounds the memory of what the client keeps of what the server says about
	// its rooms, and again of the messages that wait for Next; default 64 MiB, negative without
	// a limit. More ends the client with ErrTooMuchState or ErrSlowConsumer.
	StateBytes    int
	Inbox         int // messages waiting for Next; default 256, more end the client with ErrSlowConsumer
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 2 MB
	// MessageBytes is the size of the largest message that is read, with its attachments;
	// default 2 MB, negative without a limit. The ReadLimit of the carrier must be as high.
	MessageBytes int
}

// A Client is a client's side of a connection, and what it knows of its rooms. Its methods
// may be called concurrently. What arrives must be read with Next or Messages.
type Client struct {
	machine  *ClientMachine
	end      *link.Endpoint[Message]
	calls    *calls.Table[Message, Reply]
	decoder  Decoder // of the present connection; for its reader only
	engineIO int     // of the next connection
	counters link.Counters
}

// Connect opens a session over conn, which carries Engine.IO messages and is the client's
// from then on; see the packages transport/engineio and enginehttp, and [Server.Serve] for
// the version of Engine.IO. ctx bounds only that. What follows is [Client.Login]. The error
// is [ErrVersion], [ErrNamespace], [ErrHandshakeTimeout] or why the connection ended.
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	c := &Client{
		machine: NewClientMachine(ClientConfig{
			HandshakeTimeout: o.HandshakeTimeout, CallTimeout: o.CallTimeout, Pending: o.Pending,
			StateBytes: o.StateBytes,
		}),
		calls:    calls.NewTable[Message, Reply](-1), // the machine has a limit
		decoder:  Decoder{Limit: max(cmp.Or(o.MessageBytes, 2*DefaultMessageBytes), 0)},
		engineIO: socketio.Version(conn),
	}
	c.end = link.NewEndpoint(linked{c}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: appendMessage, Parts: attachments, Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: cmp.Or(o.QueueBytes, 2*DefaultMessageBytes),
			Limits: link.Unlimited, Counters: &c.counters,
		},
		Decode: func(typ transport.MessageType, data []byte) (Message, error) {
			return decoded(c.decoder.Decode(typ, data))
		},
		Ready: c.machine.Ready,
		Inbox: o.Inbox, InboxBytes: o.StateBytes,
		Redial:  c.redial(o),
		Backoff: link.Backoff(o.Backoff),
	})
	if err := c.end.Open(ctx, conn); err != nil {
		return nil, fmt.Errorf("easyrtc: connect: %w", err)
	}
	return c, nil
}

// redial asks for what to log in again with, and notes what the new connection speaks.
func (c *Client) redial(o ClientOptions) func(ctx context.Context) (transport.Conn, error) {
	if o.Redial == nil {
		return nil
	}
	return func(ctx context.Context) (transport.Conn, error) {
		var last *Authenticate
		c.end.Locked(func() { last = c.machine.login })
		if last != nil && o.Relogin != nil {
			login, err := o.Relogin(ctx, last)
			if err != nil {
				return nil, err
			}
			if login != nil {
				if err := login.Validate(); err != nil {
					return nil, err
				}
				c.end.Locked(func() { c.machine.SetLogin(login) })
			}
		}
		conn, err := o.Redial(ctx)
		if err == nil {
			c.engineIO = socketio.Version(conn)
		}
		return conn, err
	}
}

// Send validates and queues a message and never blocks; its acknowledgement is dropped. The
// error is a [*ValidationError], a [*StateError], [ErrTooManyCalls] or why the client has
// ended.
func (c *Client) Send(m Message) error {
	return c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := c.machine.Send(now, m)
		return linked{c}.effects(fx), err
	})
}

// Call sends a message and waits for its acknowledgement: an [*Ack], or whatever the server
// answers. A refusal is an [*Error]. Nobody else may send the same message meanwhile. The
// end of ctx gives up the wait and does not hurt the client.
func (c *Client) Call(ctx context.Context, m Message) (Message, error) {
	pending, err := c.calls.Add(m)
	if err != nil {
		return nil, err
	}
	defer pending.Cancel()
	if err := c.Send(m); err != nil {
		return nil, err
	}
	reply, err := pending.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return reply.Response, reply.Err
}

// ask is [Client.Call] for a message with an answer of one type.
func ask[M Message](ctx context.Context, c *Client, m Message) (answer M, err error) {
	response, err := c.Call(ctx, m)
	if err != nil {
		return answer, err
	}
	answer, ok := response.(M)
	if !ok {
		return answer, ErrUnexpectedReply
	}
	return answer, nil
}

// A Login says who logs in, and where. Empty fields are absent.
type Login struct {
	Application string
	Username    string
	Credential  json.RawMessage // an object or an array, for the server application
	SessionID   string          // easyrtcsid
	Presence    *PresenceUpdate
	Rooms       []string // none joins the default room
}

// Message returns the message of a login.
func (l *Login) Message() *Authenticate {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	d := &AuthenticateData{
		APIVersion: text(APIVersion), ApplicationName: text(l.Application), EasyrtcSID: text(l.SessionID),
		Username: text(l.Username), Credential: l.Credential, SetPresence: l.Presence,
	}
	if len(l.Rooms) > 0 {
		d.RoomJoin = roomRequests(l.Rooms)
	}
	return &Authenticate{MsgData: d}
}

func roomRequests(names []string) map[string]RoomRequest {
	rooms := make(map[string]RoomRequest, len(names))
	for _, name := range names {
		rooms[name] = RoomRequest{RoomName: name}
	}
	return rooms
}

// Login logs in and waits for the server's verdict. A refusal is an [*Error]; it ends the
// client, because the server disconnects it.
func (c *Client) Login(ctx context.Context, l *Login) (*TokenData, error) {
	return c.Authenticate(ctx, l.Message())
}

// Authenticate is [Client.Login] with all that the message can say.
func (c *Client) Authenticate(ctx context.Context, m *Authenticate) (*TokenData, error) {
	token, err := ask[*Token](ctx, c, m)
	if err != nil {
		return nil, err
	}
	return token.MsgData, nil
}

// JoinRoom joins a room, with a parameter for the server application or nil, and returns it
// with all that are in it. A refusal is an [*Error].
func (c *Client) JoinRoom(ctx context.Context, name string, parameter json.RawMessage) (*Room, error) {
	m := &RoomJoin{MsgData: &RoomJoinData{
		RoomJoin: map[string]RoomRequest{name: {RoomName: name, RoomParameter: parameter}},
	}}
	answer, err := ask[*RoomData](ctx, c, m)
	if err != nil {
		return nil, err
	}
	if answer.MsgData == nil || answer.MsgData.RoomData[name] == nil {
		return nil, ErrUnexpectedReply
	}
	return answer.MsgData.RoomData[name], nil
}

// LeaveRoom leaves a room. That the client is not in it is no error.
func (c *Client) LeaveRoom(ctx context.Context, name string) error {
	_, err := c.Call(ctx, &RoomLeave{MsgData: &RoomLeaveData{RoomLeave: roomRequests([]string{name})}})
	return err
}

// RoomList returns how many clients are in which room of the application. The rooms of the
// others are among them.
func (c *Client) RoomList(ctx context.Context) (map[string]ListedRoom, error) {
	answer, err := ask[*RoomList](ctx, c, &GetRoomList{})
	if err != nil {
		return nil, err
	}
	if answer.MsgData == nil {
		return nil, ErrUnexpectedReply
	}
	return answer.MsgData.RoomList, nil
}

// RefreshICE asks for fresh ICE servers, such as with new credentials.
func (c *Client) RefreshICE(ctx context.Context) ([]ICEServer, error) {
	if _, err := ask[*ICEConfig](ctx, c, &GetICEConfig{MsgData: json.RawMessage("{}")}); err != nil {
		return nil, err
	}
	return c.ICEServers(), nil
}

// SetAPIField replaces what the client shows of itself in a room.
func (c *Client) SetAPIField(ctx context.Context, room string, fields FieldMap) error {
	field, err := fields.JSON()
	if err != nil {
		return &ValidationError{Type: "setRoomApiField", Field: "msgData.setRoomApiField.field", Reason: err.Error()}
	}
	_, err = c.Call(ctx, &SetRoomAPIField{MsgData: &SetRoomAPIFieldData{
		SetRoomAPIField: &RoomAPIField{RoomName: room, Field: field},
	}})
	return err
}

// SetPresence changes the client's presence in all its rooms.
func (c *Client) SetPresence(ctx context.Context, show Show, status string) error {
	_, err := c.Call(ctx, &SetPresence{MsgData: &SetPresenceData{
		SetPresence: &PresenceUpdate{Show: &show, Status: &status},
	}})
	return err
}

// SendTo sends a message of any type to another client and waits until the server has taken
// it. data is any JSON, or nil. That nobody has the id is [ErrGenFail], as open-easyrtc says
// it; that it is the client's own, [ErrNoTarget].
func (c *Client) SendTo(ctx context.Context, easyrtcid, msgType string, data json.RawMessage) error {
	_, err := c.Call(ctx, &Msg{MsgType: msgType, TargetEasyrtcID: easyrtcid, MsgData: data})
	return err
}

// SendToRoom is [Client.SendTo] for all others in a room, which the client must be in.
func (c *Client) SendToRoom(ctx context.Context, room, msgType string, data json.RawMessage) error {
	_, err := c.Call(ctx, &Msg{MsgType: msgType, TargetRoom: room, MsgData: data})
	return err
}

// SendToServer sends a message to the server application and returns its answer, a [*Msg]
// or an [*Ack]. The original does not answer unless its application does: then the error is
// [ErrCallTimeout].
func (c *Client) SendToServer(ctx context.Context, msgType string, data json.RawMessage) (Message, error) {
	return c.Call(ctx, &Msg{MsgType: msgType, MsgData: data})
}

// Next returns the next message: signaling and messages of other clients, what has changed
// in rooms, and what the server application sends. It comes as the server has sent it:
// Validate says whether all is there. After the end Next returns io.EOF when that was
// orderly, its cause otherwise. The end of ctx does not hurt the client.
func (c *Client) Next(ctx context.Context) (Message, error) { return c.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the client.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] { return c.end.All(ctx) }

// State returns where the connection stands.
func (c *Client) State() (state ClientState) {
	c.end.Locked(func() { state = c.machine.State() })
	return state
}

// Token returns what the server has said of the client itself, or nil before the login. It
// must not be changed.
func (c *Client) Token() (token *TokenData) {
	c.end.Locked(func() { token = c.machine.Token() })
	return token
}

// EasyrtcID returns the client's id, which changes with every connection, or "".
func (c *Client) EasyrtcID() string {
	if token := c.Token(); token != nil {
		return token.EasyrtcID
	}
	return ""
}

// ICEServers returns the newest ICE servers.
func (c *Client) ICEServers() []ICEServer {
	if token := c.Token(); token != nil && token.ICEConfig != nil {
		return token.ICEConfig.ICEServers
	}
	return nil
}

// Rooms returns the rooms of the client by name, with those in them. They must not be
// changed. It may be ahead of what Next has returned.
func (c *Client) Rooms() (rooms map[string]*Room) {
	c.end.Locked(func() { rooms = maps.Clone(c.machine.Rooms()) })
	return rooms
}

// Occupants returns who is in a room, the client included, by id. They must not be changed.
func (c *Client) Occupants(room string) (occupants map[string]*Occupant) {
	c.end.Locked(func() {
		if r := c.machine.Rooms()[room]; r != nil {
			occupants = r.ClientList
		}
	})
	return occupants
}

// AwaitOccupant waits until there is an occupant of the room that match takes, and returns
// it. The end of the client is io.EOF when it was orderly, its cause otherwise.
func (c *Client) AwaitOccupant(ctx context.Context, room string, match func(*Occupant) bool) (*Occupant, error) {
	for {
		var seen uint64
		c.end.Locked(func() { seen = c.machine.changes })
		for _, o := range c.Occupants(room) {
			if match(o) {
				return o, nil
			}
		}
		if err := c.end.Await(ctx, func() bool { return c.machine.changes != seen }); err != nil {
			return nil, err
		}
	}
}

// Close ends the client and waits for its goroutines. It may be called more than once.
func (c *Client) Close() error {
	_ = c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		return linked{c}.effects(c.machine.Close(now)), nil
	})
	c.end.Close()
	return nil
}

// Done is closed when the client has ended.
func (c *Client) Done() <-chan struct{} { return c.end.Done() }

// Err returns why the client ended; nil before and after an orderly end.
func (c *Client) Err() error { return c.end.Err() }

// Stats returns what the client has read and written.
func (c *Client) Stats() Stats { return statsOf(&c.counters) }
