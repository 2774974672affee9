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

// DeviceOptions say what a [Device] registers and how it behaves. Nil and zero fields
// mean the defaults.
type DeviceOptions struct {
	DeviceInfo       json.RawMessage // any JSON, see [DeviceInfo]
	DevicePort       *int            // TCP port of the device's file server, for today's operator
	Dialect          Dialect
	HandshakeTimeout time.Duration // for the server's config; default 10 s

	// Redial opens a new connection after one was lost, and the device registers
	// again; then the application gets a [*Reconnected]. Nil ends the device instead.
	Redial  func(ctx context.Context) (transport.Conn, error)
	Backoff Backoff

	// StateBytes bounds the memory of the last config, which the device keeps, and
	// again of the messages that wait for Next; default 64 MiB, negative without a limit.
	// More ends the device with ErrTooMuchState or ErrSlowConsumer.
	StateBytes    int
	Inbox         int // messages waiting for Next; default 256, more end the device with ErrSlowConsumer
	QueueMessages int // messages waiting to be written; default 256, more end the connection with ErrSlowPeer
	QueueBytes    int // their bytes; default 1 MiB
}

// A Device is a device's side of a connection. Its methods may be called
// concurrently. What arrives must be read with Next or Messages.
type Device struct {
	machine  *DeviceMachine
	end      *link.Endpoint[Message]
	counters link.Counters
}

// ConnectDevice registers a device over conn, which it owns from then on, and returns
// when the server's config has arrived. ctx bounds only that. A refusal is an
// [*Error].
func ConnectDevice(ctx context.Context, conn transport.Conn, deviceID string, opts *DeviceOptions) (*Device, error) {
	o := DeviceOptions{}
	if opts != nil {
		o = *opts
	}
	d := &Device{machine: NewDeviceMachine(DeviceConfig{
		DeviceID: deviceID, DeviceInfo: o.DeviceInfo, DevicePort: o.DevicePort,
		Dialect: o.Dialect, HandshakeTimeout: o.HandshakeTimeout, StateBytes: o.StateBytes,
	})}
	d.end = link.NewEndpoint(linked{d.machine}, link.EndpointOptions[Message]{
		Options: link.Options[Message]{
			Append: peerAppender(o.Dialect), Size: size,
			QueueMessages: o.QueueMessages, QueueBytes: o.QueueBytes,
			Limits: link.Unlimited, Counters: &d.counters,
		},
		Decode: peerDecode,
		Ready:  func() bool { return d.machine.State() == DeviceRegistered },
		Inbox:  o.Inbox, InboxBytes: o.StateBytes,
		Redial:  o.Redial,
		Backoff: link.Backoff(o.Backoff),
	})
	if err := d.end.Open(ctx, conn); err != nil {
		return nil, fmt.Errorf("cuttlefish: register device %q: %w", deviceID, err)
	}
	return d, nil
}

// Send validates and queues a message and never blocks. The error is a
// [*ValidationError], a [*StateError] or why the device has ended.
func (d *Device) Send(m Message) error {
	return d.end.Do(func(now time.Time) (link.Effects[Message], error) {
		fx, err := d.machine.Send(now, m)
		return linkEffects(fx), err
	})
}

// Forward sends a payload, any JSON, to a client. The payload must not be changed
// afterwards.
func (d *Device) Forward(clientID int, payload json.RawMessage) error {
	return d.Send(&Forward{ClientID: &clientID, Payload: payload})
}

// SendPayload validates a payload and sends it to a client.
func (d *Device) SendPayload(clientID int, p Payload) error {
	if err := p.Validate(); err != nil {
		return err
	}
	b, err := EncodePayload(p)
	if err != nil {
		return err
	}
	return d.Forward(clientID, b)
}

// Next returns the next message: the config of the handshake first, then the
// clients' messages. After the end it returns io.EOF when that was orderly, its cause
// otherwise. The end of ctx does not hurt the device.
func (d *Device) Next(ctx context.Context) (Message, error) { return d.end.Next(ctx) }

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end. Breaking out does not hurt the device.
func (d *Device) Messages(ctx context.Context) iter.Seq2[Message, error] { return d.end.All(ctx) }

// State returns where the device stands.
func (d *Device) State() (state DeviceState) {
	d.end.Locked(func() { state = d.machine.State() })
	return state
}

// Config returns the server's last config.
func (d *Device) Config() (config *Config) {
	d.end.Locked(func() { config = d.machine.Config() })
	return config
}

// Close ends the device and waits for its goroutines. It may be called more than
// once.
func (d *Device) Close() error {
	d.end.Close()
	return nil
}

// Done is closed when the device has ended.
func (d *Device) Done() <-chan struct{} { return d.end.Done() }

// Err returns why the device ended; nil before and after an orderly end.
func (d *Device) Err() error { return d.end.Err() }

// Stats returns what the device has read and written.
func (d *Device) Stats() Stats { return statsOf(&d.counters) }
