package mediasoupproto

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ClientOptions say how a [Client] behaves. Nil and zero fields mean the defaults.
type ClientOptions struct {
	Framing Framing // default [Protoo]

	HandshakeTimeout time.Duration // to be in the room again after a loss; default 15 s
	CallTimeout      time.Duration // for an answer; default 30 s, negative without a limit
	Pending          int           // requests that wait; default 256

	// Redial opens a new connection after one was lost, unless the server has closed it with
	// [CloseByServer]. A client that was in the room joins it again, and the application
	// gets a [*Reconnected]. Nil ends the client instead.
	Redial func(ctx context.Context) (transport.Conn, error)
	// Rejoin returns what to join again with, or nil for what it was. An error counts as one
	// of Redial. Nil joins as before.
	Rejoin  func(ctx context.Context, last *Join) (*Join, error)
	Backoff Backoff

	// StateBytes bounds the memory of what the client keeps of what the server says about
	// its room, and again of the messages that wait for Next; default 64 MiB, negative without
	// a limit. More ends the client with ErrTooMuchState or ErrSlowConsumer.
	StateBytes    int
	Inbox         int // messages waiting for Next; default 256, more end the client with ErrSlowConsumer
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 1 MiB
	// MessageBytes is the size of the largest message that is read; default 16 MiB, negative
	// without a limit. The ReadLimit of the carrier must be as high.
	MessageBytes int
}

// A Client is a client's side of a connection, and what it knows of its room. Its methods
// may be called concurrently. What arrives must be read with Next or Messages.
type Client struct {
	machine  *ClientMachine
	end      *link.Endpoint[Message]
	calls    *calls.Table[Message, Reply]
	framing  Framing
	counters link.Counters
	ignored  atomic.Uint64
}

// Connect opens a session over conn, which is the client's from then on. What follows is
// [Client.QueryRoom] and [Client.Join]. ctx bounds only the opening, which needs nothing of
// the server.
func Connect(ctx context.Context, conn transport.Conn, opts *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Framing == nil {
		o.Framing = Protoo
	}
	c := &Client{
		machine: NewClientMachine(ClientConfig{
			NewID: newRequestID, HandshakeTimeout: o.HandshakeTimeout, CallTimeout: o.CallTimeout, Pending: o.Pending,
			StateBytes: o.StateBytes,
		}),
		calls:   calls.NewTable[Message, Reply](-1), // the machine has a limit
		framing: o.Framing,
	}
	c.end = link.NewEndpoint(linked{c}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: appender(o.Framing), Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: o.QueueBytes,
			Limits: link.Unlimited, Counters: &c.counters,
		},
		Decode: decoder(o.Framing, max(cmp.Or(o.MessageBytes, DefaultClientMessageBytes), 0)),
		Ready:  c.machine.Ready,
		Inbox:  o.Inbox, InboxBytes: o.StateBytes,
		Redial:  c.redial(o),
		Backoff: link.Backoff(o.Backoff),
	})
	if err := c.end.Open(ctx, o.Framing.Open(conn, true)); err != nil {
		return nil, fmt.Errorf("mediasoupproto: connect: %w", err)
	}
	return c, nil
}

// newRequestID returns a number of seven digits, as protoo has them.
func newRequestID() uint64 { return 1_000_000 + rand.Uint64N(9_000_000) }

// NewID returns a number of eight digits, as mediasoup-client has them for transports and
// producers. It is random, and not a secret.
func NewID() uint32 { return 10_000_000 + rand.Uint32N(90_000_000) }

// redial asks for what to join again with, and opens the new connection.
func (c *Client) redial(o ClientOptions) func(ctx context.Context) (transport.Conn, error) {
	if o.Redial == nil {
		return nil
	}
	return func(ctx context.Context) (transport.Conn, error) {
		var last *Join
		c.end.Locked(func() { last = c.machine.join })
		if last != nil && o.Rejoin != nil {
			join, err := o.Rejoin(ctx, last)
			if err != nil {
				return nil, err
			}
			if join != nil {
				if err := join.Validate(); err != nil {
					return nil, err
				}
				c.end.Locked(func() { c.machine.SetJoin(join) })
			}
		}
		conn, err := o.Redial(ctx)
		if err != nil {
			return nil, err
		}
		return o.Framing.Open(conn, true), nil
	}
}

// Send validates and queues a message and never blocks. The answer to a request is dropped;
// [Client.Call] waits for it. The error is a [*ValidationError], a [*StateError],
// [ErrSpySends], [ErrUnsupportedCodecs], [ErrTooManyCalls] or why the client has ended.
func (c *Client) Send(m Message) error {
	if err := c.framable(m); err != nil {
		return err
	}
	return c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := c.machine.Send(now, m)
		return linked{c}.effects(fx), err
	})
}

// framable refuses what the framing has no form for, and would end the connection.
func (c *Client) framable(m Message) error {
	switch m.(type) {
	case *Application, *Response:
		f, err := frameOf(m)
		if err == nil {
			_, err = c.framing.AppendHead(nil, &f)
		}
		if err != nil {
			e := decodeError("", err)
			return &ValidationError{Type: name(m), Field: cmp.Or(e.Field, "message"), Reason: e.Err.Error()}
		}
	}
	return nil
}

// Call sends a request and waits for its answer. A refusal is an [*Error]. An [*Application]
// and an [*Unknown] are requests when they have a RequestID, which is replaced. Nobody else
// may send the same message meanwhile. The end of ctx gives up the wait and does not hurt the
// client.
func (c *Client) Call(ctx context.Context, m Message) (*Response, error) {
	if m == nil || !isRequest(m) {
		return nil, &ValidationError{Type: name(m), Field: "id", Reason: "is not a request: use Send"}
	}
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

// ask is Call for a request with a result of one type.
func ask[T any](ctx context.Context, c *Client, m Message, result func(*Response) (*T, error)) (*T, error) {
	response, err := c.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	return result(response)
}

// QueryRoom asks what the room can do.
func (c *Client) QueryRoom(ctx context.Context) (*QueryRoomResult, error) {
	return ask(ctx, c, &QueryRoom{}, (*Response).QueryRoom)
}

// Join enters the room, by a name that nobody else has there, and returns those who are in
// it. What the client can receive must be a part of what the room can do: see
// [ExtendRTPCapabilities].
func (c *Client) Join(ctx context.Context, m *Join) (*JoinResult, error) {
	return ask(ctx, c, m, (*Response).Join)
}

// CreateTransport asks for a transport. See [NewID] for its id.
func (c *Client) CreateTransport(ctx context.Context, m *CreateTransport) (*CreateTransportResult, error) {
	return ask(ctx, c, m, (*Response).CreateTransport)
}

// UpdateTransport says the client's parameters of a transport. It does not block.
func (c *Client) UpdateTransport(m *UpdateTransport) error { return c.Send(m) }

// RestartTransport asks for new ICE parameters of a transport.
func (c *Client) RestartTransport(ctx context.Context, id uint32) (*ICEParameters, error) {
	r, err := ask(ctx, c, &RestartTransport{ID: id}, (*Response).RestartTransport)
	if err != nil {
		return nil, err
	}
	return r.ICEParameters, nil
}

// CloseTransport closes a transport with its producers. Requests that wait for it are given
// up with [ErrTransportClosed]. It does not block.
func (c *Client) CloseTransport(id uint32, appData json.RawMessage) error {
	return c.Send(&CloseTransport{ID: id, AppData: appDataOf(appData)})
}

// CreateProducer begins to send. See [NewID] for the id.
func (c *Client) CreateProducer(ctx context.Context, m *CreateProducer) error {
	_, err := c.Call(ctx, m)
	return err
}

// EnableConsumer begins to receive.
func (c *Client) EnableConsumer(ctx context.Context, m *EnableConsumer) (*EnableConsumerResult, error) {
	return ask(ctx, c, m, (*Response).EnableConsumer)
}

// Ask sends a request of the application's own and returns the result.
func (c *Client) Ask(ctx context.Context, method string, data json.RawMessage) (json.RawMessage, error) {
	r, err := c.Call(ctx, &Application{Head: Head{RequestID: "0"}, Method: method, Data: data})
	if err != nil {
		return nil, err
	}
	return r.Result, nil
}

// Leave leaves the room; the connection stays, and the client may join again. It does not
// block.
func (c *Client) Leave(appData json.RawMessage) error {
	return c.Send(&Leave{AppData: appDataOf(appData)})
}

// Next returns the next message: what the server tells of the room, and what the server
// application sends. It comes as the server has sent it: Validate says whether all is
// there. After the end Next returns io.EOF when that was orderly, its cause otherwise. The
// end of ctx does not hurt the client.
func (c *Client) Next(ctx context.Context) (Message, error) { return c.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the client.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] { return c.end.All(ctx) }

// State returns where the connection stands.
func (c *Client) State() (state ClientState) {
	c.end.Locked(func() { state = c.machine.State() })
	return state
}

// Room returns what the room can do, or nil before that is known. It must not be changed.
func (c *Client) Room() (room *QueryRoomResult) {
	c.end.Locked(func() { room = c.machine.Room() })
	return room
}

// Peers returns the other peers in the order of their joining, with what can be received
// from them. They must not be changed. It may be ahead of what Next has returned.
func (c *Client) Peers() (peers []*PeerInfo) {
	c.end.Locked(func() { peers = c.machine.Peers() })
	return peers
}

// Close ends the client without leaving, which means the same to the others, and waits for
// its goroutines. It may be called more than once.
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

// Ignored returns how many messages of the server's made no sense: they were about peers and
// consumers that do not exist, or answers to nothing.
func (c *Client) Ignored() uint64 { return c.ignored.Load() }
