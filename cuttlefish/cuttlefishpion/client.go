package cuttlefishpion

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// ClientOptions say what a [Client] opens and whom it tells what happens. Nil and zero
// fields mean the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception
// of OnTrack, and must not call Close, which waits for them; there, use another
// goroutine.
type ClientOptions struct {
	// Labels are the data channels to open with each peer connection, such as
	// [cuttlefish.LabelADB]. Nil means [cuttlefish.LabelInput] alone. device-control
	// is opened by the device.
	Labels []string

	// OnTrack gets a display or the sound, in a goroutine of its own: its StreamID says
	// which, see [cuttlefish.DisplayNumber] and [cuttlefish.AudioStreamID]. It may read
	// until the track ends and must return then.
	OnTrack func(*webrtc.TrackRemote)
	// OnEvent gets an event from the channel device-control.
	OnEvent func(*cuttlefish.ControlEvent)
	// OnChannel gets each data channel before its first message arrives, those of
	// Labels and those that the device opens: set its OnOpen and OnMessage. It does not
	// get device-control and input-channel, see [Client.SendControl] and
	// [Client.SendInput].
	OnChannel func(*webrtc.DataChannel)
	// OnState hears of the states of the present peer connection, one after the other,
	// and of Closed last; then [Client.Err] says why. A peer connection that has been
	// replaced says no more.
	OnState func(webrtc.PeerConnectionState)
	// OnKeyFrame hears that the device needs a key frame of what the client sends.
	OnKeyFrame func(webrtc.TrackLocal)

	// API makes the peer connections. Nil makes one of Settings and Pion's default
	// codecs and interceptors.
	API      *webrtc.API
	Settings webrtc.SettingEngine
	// ICEServers are used in addition to those of the server's config: today's operator
	// says its own over HTTP only. The device is asked to use all of them too.
	ICEServers []cuttlefish.ICEServer
	// Configuration makes the configuration of a peer connection from the ICE servers.
	// Nil uses these and nothing else.
	Configuration func([]webrtc.ICEServer) webrtc.Configuration

	MaxPending     int           // descriptions and candidates that wait; default 256
	MaxChannels    int           // channels that the device opens in the life of a peer connection; default 64
	ConnectTimeout time.Duration // from the request until connected; default 30 s

	Logger *slog.Logger // nil discards
}

// A Client watches and controls the device of a [cuttlefish.Client] over a peer
// connection, one at a time. Its methods may be called concurrently, except for Handle.
type Client struct {
	signaling *cuttlefish.Client
	opts      ClientOptions
	log       *slog.Logger
	api       func() (*webrtc.API, error)
	sessions  sync.WaitGroup
	spoken    bool // the device has, since its last device_info; of Handle

	mu      sync.Mutex // held for looking things up and for queueing only
	closed  bool
	present *clientPeer // nil before the first request and after an end
	last    error       // why the one before ended
	failed  func(error) // ends Run
	tracks  []webrtc.TrackLocal
}

// NewClient returns a client of the device that signaling is connected to. It does
// nothing before [Client.Run] or [Client.RequestOffer].
func NewClient(signaling *cuttlefish.Client, opts *ClientOptions) *Client {
	c := &Client{signaling: signaling}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	if o.Labels == nil {
		o.Labels = []string{cuttlefish.LabelInput}
	}
	o.MaxPending = cmp.Or(o.MaxPending, DefaultMaxPending)
	o.MaxChannels = cmp.Or(o.MaxChannels, DefaultMaxChannels)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	if c.log = o.Logger; c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.api = pionpeer.LazyAPI(o.API, o.Settings)
	return c
}

// Run requests an offer and handles the messages of the client's signaling until
// signaling or ctx ends or the peer connection fails, then ends the peer connection and
// waits for it. It returns nil after an orderly end of signaling, or the cause: a
// [*cuttlefish.PayloadError] is what the device said. It may be called again, one call
// at a time.
//
// Run goes on after an orderly end of the peer connection, as when signaling is lost,
// the device hangs up and the driver connects again: see [ClientOptions.OnState] and
// [Client.RequestOffer].
func (c *Client) Run(ctx context.Context) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer c.hangUp()
	c.onFailure(cancel)
	defer c.onFailure(nil)

	if err := c.RequestOffer(); err != nil {
		return err
	}
	for m, err := range c.signaling.Messages(running) {
		switch cause := context.Cause(running); {
		case cause != nil && ctx.Err() == nil:
			return cause
		case err != nil:
			return fmt.Errorf("cuttlefishpion: client: %w", err)
		}
		if _, err := c.Handle(m); err != nil {
			c.log.Warn("cuttlefishpion: refused a payload", "error", err)
		}
	}
	return nil
}

func (c *Client) onFailure(f func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = f
}

// Handle takes a message of the client's signaling, for an application with a loop of
// its own; one goroutine calls it, in the order of arrival, after RequestOffer. After a
// [*cuttlefish.Reconnected], and when the device has registered again, it requests
// another offer. handled is false for a message
// that is not about the peer connection, and for a payload of an unknown type. After an
// error over a payload there is no peer connection any more.
func (c *Client) Handle(m cuttlefish.Message) (handled bool, err error) {
	switch m := m.(type) {
	case *cuttlefish.DeviceMsg:
		c.spoken = true
		handled, err = c.receive(m.Payload)
		if err != nil {
			c.refuse(err)
			err = fmt.Errorf("cuttlefishpion: device: %w", err)
		}
		return handled, err
	case *cuttlefish.Reconnected:
		c.spoken = false
		return true, c.RequestOffer()
	case *cuttlefish.DeviceInfoMsg:
		// A server may keep the clients of a device that registers again.
		again := c.spoken
		c.spoken = false
		if again {
			return true, c.RequestOffer()
		}
	}
	return false, nil
}

// RequestOffer asks the device for an offer and begins a new peer connection for it,
// which replaces the present one. It does not wait for the device.
func (c *Client) RequestOffer() error {
	var servers []cuttlefish.ICEServer
	if config := c.signaling.Config(); config != nil {
		servers = slices.Clone(config.ICEServers)
	}
	servers = append(servers, c.opts.ICEServers...)
	p, err := c.newPeer(servers)
	if err != nil {
		return err
	}
	request, err := cuttlefish.EncodePayload(&cuttlefish.RequestOffer{ICEServers: servers})
	if err == nil {
		err = c.enter(p, request)
	}
	if err != nil {
		p.session.Discard()
		return fmt.Errorf("cuttlefishpion: request an offer: %w", err)
	}
	p.session.Start()
	return nil
}

// AddTrack sends a track, such as that of a microphone, to the device: with an offer of
// the client's, once the device has made its own, and to the peer connections that
// follow.
func (c *Client) AddTrack(track webrtc.TrackLocal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.tracks, track) {
		return
	}
	c.tracks = append(c.tracks, track)
	if c.present != nil && c.present.answered {
		_ = c.present.session.AddTrack(track) // one that is ending needs none
	}
}

// RemoveTrack takes a track away from the device, with an offer of the client's.
func (c *Client) RemoveTrack(track webrtc.TrackLocal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracks = slices.DeleteFunc(c.tracks, func(t webrtc.TrackLocal) bool { return t == track })
	if c.present != nil && c.present.answered {
		_ = c.present.session.RemoveTrack(track) // one that is ending has none
	}
}

// SendControl sends a command and never blocks. It waits for the device to open its
// control channel. The error is a [*cuttlefish.ValidationError], [ErrNoPeer],
// [ErrClosed] or [ErrSlowPeer].
func (c *Client) SendControl(command cuttlefish.ControlCommand) error {
	text, err := encodeControl(command)
	if err != nil {
		return err
	}
	p := c.peer()
	if p == nil {
		return ErrNoPeer
	}
	return p.control.Send(text)
}

// SendInput sends an input event and never blocks. It waits for input-channel to open,
// which must be among the labels. The errors are those of SendControl.
func (c *Client) SendInput(e cuttlefish.InputEvent) error {
	text, err := encodeInput(e)
	if err != nil {
		return err
	}
	p := c.peer()
	switch {
	case p == nil:
		return ErrNoPeer
	case p.input == nil:
		return fmt.Errorf("cuttlefishpion: %s is not among the labels", cuttlefish.LabelInput)
	}
	return p.input.Send(text)
}

// Channel returns a data channel of the present peer connection that OnChannel has
// got, or nil.
func (c *Client) Channel(label string) *webrtc.DataChannel {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.present == nil {
		return nil
	}
	return c.present.channels[label]
}

// RequestKeyFrame asks the device for a key frame of a display, with a picture loss
// indication. A viewer that begins to decode needs one.
func (c *Client) RequestKeyFrame(track *webrtc.TrackRemote) error {
	p := c.peer()
	if p == nil {
		return ErrNoPeer
	}
	return p.session.RequestKeyFrame(track)
}

// PeerConnection returns the Pion side of the present peer connection, or nil, for
// statistics and for channels of the application's own. Its negotiation and its
// callbacks belong to the Client, except for those of the channels.
func (c *Client) PeerConnection() *webrtc.PeerConnection {
	if p := c.peer(); p != nil {
		return p.session.PeerConnection()
	}
	return nil
}

// Err returns why the last peer connection ended: a [*cuttlefish.PayloadError] is what
// the device said. It is nil while there is one and after an orderly end.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Close ends the peer connection and waits for it and its hooks. No other one can be
// requested. The signaling client stays the caller's.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.hangUp()
	return nil
}

func (c *Client) hangUp() {
	if p := c.peer(); p != nil {
		p.session.End(nil)
	}
	c.sessions.Wait()
}

func (c *Client) peer() *clientPeer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.present
}
