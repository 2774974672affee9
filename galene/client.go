package galene

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ClientOptions say how a [Client] behaves. Nil and zero fields mean the defaults.
type ClientOptions struct {
	// Versions of the protocol that the client speaks; default [Version]. With "1" among
	// them it takes servers before 0.7, too, and writes their dialect.
	Versions []string
	// NewID makes the client's id for each connection. Nil makes 128 random bits.
	NewID func() string

	HandshakeTimeout time.Duration // default 15 s
	CallTimeout      time.Duration // for the answer to a join or a token action; default 15 s, negative without a limit
	Heartbeat        time.Duration // silence before a ping; default 15 s, negative sends none
	Silence          time.Duration // silence that loses the connection; default 45 s, negative bears any

	// Redial opens a new connection after one was lost; the client joins its group and
	// requests its streams again, and the application gets a [*Reconnected]. It is not
	// called after the server has closed the connection with a reason, such as a kick.
	// Nil ends the client instead.
	Redial func(ctx context.Context) (transport.Conn, error)
	// Rejoin returns what to join again with, because a token may have expired, or nil for
	// what it was. An error counts as one of Redial. Nil joins as before.
	Rejoin  func(ctx context.Context, last *Join) (*Join, error)
	Backoff Backoff

	// StateBytes bounds the memory of what the client keeps of what the server says about
	// the group, and again of the messages that wait for Next; default 64 MiB, negative without
	// a limit. More ends the client with ErrTooMuchState or ErrSlowConsumer.
	StateBytes int
	// Inbox is how many messages wait for Next; default 4096, more end the client with
	// ErrSlowConsumer. A client that joins is told of all members at once.
	Inbox         int
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 1 MiB
	// MessageBytes is the size of the largest message that is read; default 2 MiB, negative
	// without a limit. A server adds to a chat message of 1 MiB, which it takes, who sends it.
	// The ReadLimit of a WebSocket must be as high.
	MessageBytes int
}

// A Client is a client's side of a connection, and what it knows of its group. Its methods
// may be called concurrently. What arrives must be read with Next or Messages; pings are
// answered whether that happens or not.
type Client struct {
	machine  *ClientMachine
	end      *link.Endpoint[Message]
	calls    *calls.Table[Message, Reply]
	dialect  atomic.Int64 // the server's
	counters link.Counters
}

// NewID returns an id for a client or a stream that nobody else has: 128 random bits.
func NewID() string { return rand.Text() }

// Connect shakes hands over conn, which it owns from then on. ctx bounds only that. What
// follows is [Client.Join].
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	if o.NewID == nil {
		o.NewID = NewID
	}
	c := &Client{
		machine: NewClientMachine(ClientConfig{
			Versions: o.Versions, NewID: o.NewID,
			HandshakeTimeout: o.HandshakeTimeout, CallTimeout: o.CallTimeout, Heartbeat: o.Heartbeat, Silence: o.Silence,
			StateBytes: o.StateBytes,
		}),
		calls: calls.NewTable[Message, Reply](-1), // the machine has a limit
	}
	c.end = link.NewEndpoint(linked{c}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: c.append, Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: o.QueueBytes,
			Limits: link.Unlimited, Counters: &c.counters,
		},
		Decode: decoder(cmp.Or(o.MessageBytes, 2*DefaultMessageBytes), false),
		Ready:  c.isReady,
		Inbox:  cmp.Or(o.Inbox, DefaultQueueMessages), InboxBytes: o.StateBytes,
		Redial:  c.redial(o),
		Backoff: link.Backoff(o.Backoff),
	})
	if err := c.end.Open(ctx, conn); err != nil {
		return nil, fmt.Errorf("galene: connect: %w", err)
	}
	return c, nil
}

// isReady is the machine's Ready. It also takes note of the dialect, before anything but
// the handshake is written.
func (c *Client) isReady() bool {
	if c.machine.State() >= ClientReady {
		c.dialect.Store(int64(dialectOf(c.machine.Version())))
	}
	return c.machine.Ready()
}

// dialectOf returns the dialect of a version; servers that say none want labels and
// statuses.
func dialectOf(version string) Dialect {
	switch version {
	case "1":
		return DialectV1
	case "":
		return Dialect04
	}
	return DialectV2
}

func (c *Client) append(dst []byte, m Message) ([]byte, error) {
	return Dialect(c.dialect.Load()).append(dst, m)
}

// redial asks for what to join again with.
func (c *Client) redial(o ClientOptions) func(ctx context.Context) (transport.Conn, error) {
	if o.Redial == nil || o.Rejoin == nil {
		return o.Redial
	}
	return func(ctx context.Context) (transport.Conn, error) {
		var last *Join
		c.end.Locked(func() { last = c.machine.join })
		if last != nil {
			join, err := o.Rejoin(ctx, last)
			if err != nil {
				return nil, err
			}
			if join != nil {
				request := *join
				request.Kind = JoinJoin
				if err := request.Validate(); err != nil {
					return nil, err
				}
				c.end.Locked(func() { c.machine.SetJoin(&request) })
			}
		}
		return o.Redial(ctx)
	}
}

// Send validates and queues a message and never blocks; who sends it is filled in. The
// error is a [*ValidationError], a [*StateError], a [*PermissionError],
// [ErrUnknownStream], [ErrTooManyCalls] or why the client has ended.
func (c *Client) Send(m Message) error {
	return c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := c.machine.Send(now, m)
		return linked{c}.effects(fx), err
	})
}

// call sends a message and waits for what becomes of it. The end of ctx gives up the wait
// and does not hurt the client.
func (c *Client) call(ctx context.Context, request Message) (Message, error) {
	pending, err := c.calls.Add(request)
	if err != nil {
		return nil, err
	}
	defer pending.Cancel()
	if err := c.Send(request); err != nil {
		return nil, err
	}
	reply, err := pending.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return reply.Response, reply.Err
}

// Join joins a group and waits for the server's verdict. A refusal is an [*Error]; the
// client may try again then, with a user name after [ErrNeedUsername]. The user name that
// the client has from now on is in the answer. The members of the group come with Next.
func (c *Client) Join(ctx context.Context, join *Join) (*Joined, error) {
	request := *join
	request.Kind = JoinJoin
	return c.join(ctx, &request)
}

func (c *Client) join(ctx context.Context, request *Join) (*Joined, error) {
	response, err := c.call(ctx, request)
	joined, _ := response.(*Joined)
	if err != nil {
		joined = nil
	}
	return joined, err
}

// JoinWithToken joins a group with a token. If the token names no user, username is asked
// for a name; "" is anonymous.
func (c *Client) JoinWithToken(
	ctx context.Context, group, token string, username func(ctx context.Context) (string, error),
) (*Joined, error) {
	joined, err := c.Join(ctx, &Join{Group: group, Token: token})
	if !errors.Is(err, ErrNeedUsername) {
		return joined, err
	}
	name, err := username(ctx)
	if err != nil {
		return nil, err
	}
	return c.Join(ctx, &Join{Group: group, Token: token, Username: &name})
}

// Leave leaves the group and waits for the server's word; the connection stays, and the
// client may join again. Servers are not used to that: browsers leave by [Client.Close].
func (c *Client) Leave(ctx context.Context) error {
	_, err := c.join(ctx, &Join{Kind: JoinLeave, Group: c.Group()})
	return err
}

// Chat sends a text to the group. It does not block. The client gets it as well.
func (c *Client) Chat(text string) error { return c.Send(&Chat{Value: NewText(text)}) }

// ChatTo sends a text to one member. The client gets no copy. It does not block.
func (c *Client) ChatTo(dest, text string) error {
	return c.Send(&Chat{Dest: dest, Value: NewText(text)})
}

// Caption sends what is being said to the group. It does not block.
func (c *Client) Caption(text string) error {
	return c.Send(&Chat{Kind: ChatCaption, Value: NewText(text)})
}

// UserMessage sends a message to the program of a member, or with an empty dest to those
// of all others. The value is any JSON. It does not block.
func (c *Client) UserMessage(kind UserMessageKind, dest string, value json.RawMessage) error {
	return c.Send(&UserMessage{Kind: kind, Dest: dest, Value: value, NoEcho: dest == ""})
}

// UserAction does something to a member, such as [UserOp]. What comes of it is seen in
// what the server sends. It does not block.
func (c *Client) UserAction(kind UserActionKind, dest string) error {
	return c.Send(&UserAction{Kind: kind, Dest: dest})
}

// Kick throws a member out, with a text. It does not block.
func (c *Client) Kick(dest, text string) error {
	m := &UserAction{Kind: UserKick, Dest: dest}
	if text != "" {
		m.Value = NewText(text)
	}
	return c.Send(m)
}

// SetData changes the data of the client's user; null deletes a member. It does not
// block.
func (c *Client) SetData(data Fields) error {
	b, err := objectOf("useraction", data)
	if err != nil {
		return err
	}
	return c.Send(&UserAction{Kind: UserSetData, Value: b})
}

// RaiseHand raises or lowers the user's hand, as the web client shows it. It does not
// block.
func (c *Client) RaiseHand(up bool) error {
	value := json.RawMessage("null")
	if up {
		value = json.RawMessage("true")
	}
	return c.SetData(Fields{"raisehand": value})
}

// Identify asks for the address of a member, who is told of it.
func (c *Client) Identify(ctx context.Context, dest string) (*UserInfo, error) {
	m, err := c.call(ctx, &UserAction{Kind: UserIdentify, Dest: dest})
	if err != nil {
		return nil, err
	}
	return m.(*UserMessage).UserInfo()
}

// GroupAction does something to the group, such as [GroupUnlock]. What comes of it is seen
// in what the server sends. It does not block.
func (c *Client) GroupAction(kind GroupActionKind) error { return c.Send(&GroupAction{Kind: kind}) }

// Lock lets nobody but operators join; text, unless it is empty, is what others hear. It
// does not block.
func (c *Client) Lock(text string) error {
	m := &GroupAction{Kind: GroupLock}
	if text != "" {
		m.Value = NewText(text)
	}
	return c.Send(m)
}

// ClearChat deletes chat messages at all members; nil deletes all. It does not block.
func (c *Client) ClearChat(which *ClearChat) error {
	m := &GroupAction{Kind: GroupClearChat}
	if which != nil {
		m.Value = value(which)
	}
	return c.Send(m)
}

// SetGroupData changes the data of the group; null deletes a member. It does not block.
func (c *Client) SetGroupData(data Fields) error {
	b, err := objectOf("groupaction", data)
	if err != nil {
		return err
	}
	return c.Send(&GroupAction{Kind: GroupSetData, Value: b})
}

// MakeToken invites somebody to the client's group; r needs Expires. A refusal is an
// [*Error].
func (c *Client) MakeToken(ctx context.Context, r *TokenRequest) (*Token, error) {
	request := *r
	if request.Group == "" {
		request.Group = c.Group()
	}
	return c.token(ctx, &GroupAction{Kind: GroupMakeToken, Value: value(&request)})
}

// EditToken changes when a token is valid; r names the Token. A refusal is an [*Error].
func (c *Client) EditToken(ctx context.Context, r *TokenRequest) (*Token, error) {
	return c.token(ctx, &GroupAction{Kind: GroupEditToken, Value: value(r)})
}

func (c *Client) token(ctx context.Context, request *GroupAction) (*Token, error) {
	m, err := c.call(ctx, request)
	if err != nil {
		return nil, err
	}
	return m.(*UserMessage).Token()
}

// ListTokens returns the tokens of the client's group. A refusal is an [*Error].
func (c *Client) ListTokens(ctx context.Context) ([]*Token, error) {
	m, err := c.call(ctx, &GroupAction{Kind: GroupListTokens})
	if err != nil {
		return nil, err
	}
	return m.(*UserMessage).Tokens()
}

// Request says which streams the client wants, by label; "" is for all other labels, nil
// wants nothing. It does not block. The server offers them, now and later.
func (c *Client) Request(streams map[string][]TrackKind) error {
	return c.Send(&Request{Request: streams})
}

// RequestStream says which tracks of one received stream the client wants; none closes it,
// nil is what Request said. It does not block.
func (c *Client) RequestStream(id string, kinds []TrackKind) error {
	return c.Send(&RequestStream{ID: id, Request: kinds})
}

// Next returns the next message: what the server says about the group and its members,
// chat, user messages and what is about streams. After the end it returns io.EOF when
// that was orderly, its cause otherwise: a [*KickedError], an [*Error] with the text of a
// server that closed with 1000 and a reason, or a [*transport.CloseError]. The end of ctx does
// not hurt the client.
func (c *Client) Next(ctx context.Context) (Message, error) { return c.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the client.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] { return c.end.All(ctx) }

// State returns where the connection stands.
func (c *Client) State() (state ClientState) {
	c.end.Locked(func() { state = c.machine.State() })
	return state
}

// ID returns the client's id, which changes with every connection.
func (c *Client) ID() (id string) {
	c.end.Locked(func() { id = c.machine.ID() })
	return id
}

// Group returns the name of the group that the client is in, or "".
func (c *Client) Group() (group string) {
	c.end.Locked(func() { group = c.machine.Group() })
	return group
}

// Username returns the name that the client has in its group.
func (c *Client) Username() (username string) {
	c.end.Locked(func() { username = c.machine.Username() })
	return username
}

// Permissions returns what the client may do in its group. They must not be changed.
func (c *Client) Permissions() (p Permissions) {
	c.end.Locked(func() { p = c.machine.Permissions() })
	return p
}

// Status returns what the server said last about the group, or nil. It must not be
// changed.
func (c *Client) Status() (s *Status) {
	c.end.Locked(func() { s = c.machine.Status() })
	return s
}

// Data returns what the group's operators have set. It must not be changed.
func (c *Client) Data() (data Fields) {
	c.end.Locked(func() { data = c.machine.Data() })
	return data
}

// Users returns the members of the group, the client included, in the order of their ids.
// They must not be changed. It may be ahead of what Next has returned.
func (c *Client) Users() (users []*User) {
	c.end.Locked(func() { users = c.machine.members() })
	return users
}

// User returns a member of the group by its id, or nil.
func (c *Client) User(id string) (u *User) {
	c.end.Locked(func() { u = c.machine.Users()[id] })
	return u
}

// AwaitUser waits until there is a member of the group that match takes, and returns it. It
// is for those who look for somebody right after joining, when the members are still being
// told of. The end of the client is io.EOF when it was orderly, its cause otherwise.
func (c *Client) AwaitUser(ctx context.Context, match func(*User) bool) (*User, error) {
	for {
		var users []*User
		var seen uint64
		c.end.Locked(func() { users, seen = c.machine.members(), c.machine.changes })
		if i := slices.IndexFunc(users, match); i >= 0 {
			return users[i], nil
		}
		if err := c.end.Await(ctx, func() bool { return c.machine.changes != seen }); err != nil {
			return nil, err
		}
	}
}

// RTCConfiguration returns the newest configuration for peer connections. It changes over
// time, because the credentials of TURN servers do.
func (c *Client) RTCConfiguration() (*RTCConfiguration, error) {
	var m Joined
	c.end.Locked(func() { m.RTCConfiguration = c.machine.RTCConfiguration() })
	return m.Configuration()
}

// Close ends the client, which leaves its group, and waits for its goroutines. It may be
// called more than once.
func (c *Client) Close() error {
	c.end.Close()
	return nil
}

// Done is closed when the client has ended.
func (c *Client) Done() <-chan struct{} { return c.end.Done() }

// Err returns why the client ended; nil before and after an orderly end.
func (c *Client) Err() error { return c.end.Err() }

// Stats returns what the client has read and written.
func (c *Client) Stats() Stats { return statsOf(&c.counters) }
