package cuttlefish

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ClientOptions say how a [Client] behaves. Nil and zero fields mean the defaults.
type ClientOptions struct {
	Dialect          Dialect
	HandshakeTimeout time.Duration // for the server's config; default 10 s

	// Redial opens a new connection after one was lost; then the application gets a
	// [*Reconnected]. Nil ends the client instead.
	Redial  func(ctx context.Context) (transport.Conn, error)
	Backoff Backoff

	// StateBytes bounds the memory of the last config and the device_info, which the client keeps, and
	// again of the messages that wait for Next; default 64 MiB, negative without a limit.
	// More ends the client with ErrTooMuchState or ErrSlowConsumer.
	StateBytes    int
	Inbox         int // messages waiting for Next; default 256, more end the client with ErrSlowConsumer
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 1 MiB
}

// A Client is a client's side of a connection. Its methods may be called
// concurrently. What arrives must be read with Next or Messages.
type Client struct {
	machine  *ClientMachine
	end      *link.Endpoint[Message]
	counters link.Counters
}

// ConnectClient attaches a client to a device over conn, which it owns from then on,
// and returns when the device's device_info has arrived. ctx bounds only that: a
// server that lets clients wait for their device answers as late as the device comes.
// A refusal is an [*Error].
func ConnectClient(ctx context.Context, conn transport.Conn, deviceID string, opts *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	c := &Client{machine: NewClientMachine(ClientConfig{
		DeviceID: deviceID, Dialect: o.Dialect, HandshakeTimeout: o.HandshakeTimeout, StateBytes: o.StateBytes,
	})}
	c.end = link.NewEndpoint(linked{c.machine}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: peerAppender(o.Dialect), Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: o.QueueBytes,
			Limits: link.Unlimited, Counters: &c.counters,
		},
		Decode: peerDecode,
		Ready:  func() bool { return c.machine.State() == ClientReady },
		Inbox:  o.Inbox, InboxBytes: o.StateBytes,
		Redial:  o.Redial,
		Backoff: link.Backoff(o.Backoff),
	})
	if err := c.end.Open(ctx, conn); err != nil {
		return nil, fmt.Errorf("cuttlefish: connect to device %q: %w", deviceID, err)
	}
	return c, nil
}

// Send validates and queues a message and never blocks. The error is a
// [*ValidationError], a [*StateError] or why the client has ended.
func (c *Client) Send(m Message) error {
	return c.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := c.machine.Send(now, m)
		return linkEffects(fx), err
	})
}

// Forward sends a payload, any JSON, to the device. The payload must not be changed
// afterwards.
func (c *Client) Forward(payload json.RawMessage) error { return c.Send(&Forward{Payload: payload}) }

// SendPayload validates a payload and sends it to the device.
func (c *Client) SendPayload(p Payload) error {
	if err := p.Validate(); err != nil {
		return err
	}
	b, err := EncodePayload(p)
	if err != nil {
		return err
	}
	return c.Forward(b)
}

// Next returns the next message: the config and the device_info of the handshake
// first, then the device's messages. After the end it returns io.EOF when that was
// orderly, its cause otherwise. The end of ctx does not hurt the client.
func (c *Client) Next(ctx context.Context) (Message, error) { return c.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the client.
func (c *Client) Messages(ctx context.Context) iter.Seq2[Message, error] { return c.end.All(ctx) }

// State returns where the client stands.
func (c *Client) State() (state ClientState) {
	c.end.Locked(func() { state = c.machine.State() })
	return state
}

// Config returns the server's last config; nil in the operator's dialect when the
// carrier does not announce what it has fetched over HTTP, as cuttlefishhttp does.
func (c *Client) Config() (config *Config) {
	c.end.Locked(func() { config = c.machine.Config() })
	return config
}

// DeviceInfo returns what the device registered, see [DeviceInfo].
func (c *Client) DeviceInfo() (info json.RawMessage) {
	c.end.Locked(func() { info = c.machine.DeviceInfo() })
	return info
}

// Close ends the client and waits for its goroutines. It may be called more than
// once.
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
