package msejsonrpc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ClientOptions say how a [Client] behaves. Nil and zero fields mean the defaults.
type ClientOptions struct {
	// Token is what Connect authenticates with before it starts the session. Without
	// one, Connect does neither: see [Client.Auth] and [Client.Start].
	Token string
	// NoStart leaves start to the application.
	NoStart bool
	Form    Form // how SendOffer and SendCandidate write

	HandshakeTimeout time.Duration // for auth and start together; default 15 s
	CallTimeout      time.Duration // for any other answer; default 10 s, negative without a limit
	Heartbeat        time.Duration // between pings; default 20 s, negative sends none

	// Redial opens a new connection after one was lost; the client authenticates and
	// starts again, and the application gets a [*Reconnected]. Nil ends the client
	// instead.
	Redial func(ctx context.Context) (transport.Conn, error)
	// RefreshToken returns the token for a new connection, because the first one may
	// have expired. Nil uses Token again.
	RefreshToken func(ctx context.Context) (string, error)
	Backoff      Backoff

	// StateBytes bounds the memory of the messages that wait for Next, which are all that
	// the client keeps of what the server says; default 64 MiB, negative without a limit.
	// More end the client with ErrSlowConsumer.
	StateBytes    int
	Inbox         int // messages waiting for Next; default 256, more end the client with ErrSlowConsumer
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 1 MiB
	MessageBytes  int // of the largest message that is read; default 256 KiB, negative without a limit
}

// A Client is a client's side of a connection. Its methods may be called concurrently.
// What arrives must be read with Next or Messages.
type Client struct {
	machine  *ClientMachine
	end      *link.Endpoint[Message]
	calls    *calls.Table[Message, Reply]
	form     Form
	counters link.Counters
	ignored  atomic.Uint64
}

// Connect begins a session over conn, which it owns from then on. With a token it
// returns when the server has answered auth and start; ctx bounds only that. A refusal is
// an [*Error]; [ErrNotAuthorized] is in it when the token is to blame.
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	c := &Client{
		machine: NewClientMachine(ClientConfig{
			Token: o.Token, NoStart: o.NoStart,
			HandshakeTimeout: o.HandshakeTimeout, CallTimeout: o.CallTimeout, Heartbeat: o.Heartbeat,
		}),
		calls: calls.NewTable[Message, Reply](-1), // the machine has a limit
		form:  o.Form,
	}
	c.end = link.NewEndpoint(linked{c}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: appendMessage, Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: o.QueueBytes,
			Limits: link.Unlimited, Counters: &c.counters,
		},
		Decode: decoder(cmp.Or(o.MessageBytes, DefaultMessageBytes)),
		Ready:  c.machine.Ready,
		Inbox:  o.Inbox, InboxBytes: o.StateBytes,
		Redial:  c.redial(o),
		Backoff: link.Backoff(o.Backoff),
	})
	if err := c.end.Open(ctx, conn); err != nil {
		return nil, fmt.Errorf("msejsonrpc: connect: %w", err)
	}
	return c, nil
}

// redial adds a fresh token to the new connection.
func (c *Client) redial(o ClientOptions) func(ctx context.Context) (transport.Conn, error) {
	if o.Redial == nil || o.RefreshToken == nil {
		return o.Redial
	}
	return func(ctx context.Context) (transport.Conn, error) {
		token, err := o.RefreshToken(ctx)
		if err != nil {
			return nil, err
		}
		c.end.Locked(func() { c.machine.SetToken(token) })
		return o.Redial(ctx)
	}
}

// Send validates and queues a message and never blocks. A request without an id gets
// one. The response to a request that was sent in this way comes with Next; the verbs and
// Call wait for it. The error is a [*ValidationError], a [*StateError], [ErrTooManyCalls]
// or why the client has ended.
func (c *Client) Send(m Message) error { return c.send(m, c.machine.Send) }

func (c *Client) send(m Message, send func(now time.Time, msg Message) (Effects, error)) error {
	return c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := send(now, m)
		return linked{c}.effects(fx), err
	})
}

// Call sends a request, such as an [*Unknown] with an id, and waits for its response,
// which is a success if err is nil. An error of the server's is an [*Error]. The end of
// ctx gives up the wait and does not hurt the client. A message that is never answered is
// refused with a [*ValidationError].
func (c *Client) Call(ctx context.Context, request Message) (*Response, error) {
	if !isCall(request) {
		return nil, invalid(name(request), "method", "is not a request: use Send")
	}
	return c.call(ctx, request, c.machine.Send)
}

// verb is Call for a request that nobody else has.
func (c *Client) verb(ctx context.Context, request call) (*Response, error) {
	return c.call(ctx, request, func(now time.Time, _ Message) (Effects, error) {
		return c.machine.request(now, request)
	})
}

func (c *Client) call(
	ctx context.Context, request Message, send func(now time.Time, msg Message) (Effects, error),
) (*Response, error) {
	pending, err := c.calls.Add(request)
	if err != nil {
		return nil, err
	}
	defer pending.Cancel()
	if err := c.send(request, send); err != nil {
		return nil, err
	}
	reply, err := pending.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return reply.Response, reply.Err
}

// Ping asks for an answer, in any state.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.verb(ctx, &Ping{})
	return err
}

// Auth authenticates, for the first time or, until start, with a fresh token. After a
// refusal, an [*Error], the client may try again; a server ends the connection after
// some.
func (c *Client) Auth(ctx context.Context, token string) error {
	_, err := c.verb(ctx, &Auth{Token: token, Version: Version})
	return err
}

// Start starts the session: from then on descriptions and candidates go both ways.
func (c *Client) Start(ctx context.Context) error {
	_, err := c.verb(ctx, &Start{})
	return err
}

// WhoAmI asks the server what it knows about the client. Servers that are not meant for
// development answer with [ErrMethodNotFound].
func (c *Client) WhoAmI(ctx context.Context) (*Identity, error) {
	r, err := c.verb(ctx, &WhoAmI{})
	if err != nil {
		return nil, err
	}
	return r.Identity()
}

// SendOffer sends a description, an offer or an answer, once the session is active. It
// does not block.
func (c *Client) SendOffer(d SessionDescription) error { return c.Send(NewSDPOffer(d, c.form)) }

// SendCandidate sends a candidate, or with an empty one the end of the candidates, once
// the session is active. It does not block.
func (c *Client) SendCandidate(candidate ICECandidateInit) error {
	return c.Send(NewICECandidate(candidate, c.form))
}

// Chat sends a message to the users of these ids, or to everybody in the room. A server
// without an option for it ignores the message. It does not block.
func (c *Client) Chat(message string, attachment json.RawMessage, to ...string) error {
	return c.Send(&Chat{To: to, Message: message, Attachment: attachment})
}

// Disconnect says goodbye, ends the client and waits for its goroutines.
func (c *Client) Disconnect() error {
	err := c.Send(&Disconnect{})
	c.end.Close()
	return err
}

// Next returns the next message: descriptions, candidates and chat; errors that answer no
// request, as [*Response]; notifications of unknown methods. After the end it returns
// io.EOF when that was orderly, its cause otherwise. The end of ctx does not hurt the
// client.
func (c *Client) Next(ctx context.Context) (Message, error) { return c.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the client.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] { return c.end.All(ctx) }

// State returns where the connection stands.
func (c *Client) State() (state ClientState) {
	c.end.Locked(func() { state = c.machine.State() })
	return state
}

// Close ends the client without a goodbye, which means the same to the server, and waits
// for its goroutines. It may be called more than once.
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

// Ignored returns how many messages of the server's broke the rules without asking for
// an answer: notifications before start, responses to nothing.
func (c *Client) Ignored() uint64 { return c.ignored.Load() }
