package cuttlefishpion

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// The defaults of [DeviceOptions] and [ClientOptions].
const (
	DefaultMaxPeers       = 16
	DefaultMaxPending     = pionpeer.DefaultMaxPending
	DefaultMaxChannels    = pionpeer.DefaultMaxChannels
	DefaultConnectTimeout = pionpeer.DefaultConnectTimeout
)

// maxClientServers is how many ICE servers a client may name: the device talks to each.
const maxClientServers = 16

// DeviceOptions say what a [Device] shows and to whom it tells what happens. Nil and
// zero fields mean the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception
// of OnTrack, and must not call Close of a Device or DevicePeer, which waits for them;
// there, use another goroutine.
type DeviceOptions struct {
	// Tracks are sent to every client, from the first offer on: see [NewDisplayTrack]
	// and [NewAudioTrack]. [Device.AddTrack] adds more.
	Tracks []webrtc.TrackLocal

	// OnPeer hears of a peer connection before its offer is made: the place to add
	// tracks and channels for this client alone.
	OnPeer func(*DevicePeer)
	// OnState hears of the states of a peer connection, one after the other, and of
	// Closed last; then [DevicePeer.Err] says why.
	OnState func(*DevicePeer, webrtc.PeerConnectionState)
	// OnControl gets a command from the channel device-control.
	OnControl func(*DevicePeer, cuttlefish.ControlCommand)
	// OnInput gets an event from the channel input-channel. When nil, OnChannel gets
	// the channel instead.
	OnInput func(*DevicePeer, cuttlefish.InputEvent)
	// OnChannel gets any other channel that the client opens, before its first
	// message arrives: set its OnOpen and OnMessage.
	OnChannel func(*DevicePeer, *webrtc.DataChannel)
	// OnTrack gets what the client sends, such as its microphone, in a goroutine of
	// its own. It may read until the track ends and must return then.
	OnTrack func(*DevicePeer, *webrtc.TrackRemote)
	// OnKeyFrame hears that the client needs a key frame of a display.
	OnKeyFrame func(*DevicePeer, webrtc.TrackLocal)

	// API makes the peer connections. It should have SetAnsweringDTLSRole(DTLSRoleServer),
	// without which Chrome refuses the answers to its own offers. Nil makes one of
	// Settings, that role, and Pion's default codecs and interceptors.
	API      *webrtc.API
	Settings webrtc.SettingEngine
	// Configuration makes the configuration of a peer connection from the ICE servers
	// of the server's config and of the client. Nil uses these and nothing else.
	Configuration func([]webrtc.ICEServer) webrtc.Configuration
	// IgnoreClientICEServers leaves out those of the client, which could make the
	// device talk to any host.
	IgnoreClientICEServers bool

	MaxPeers       int           // peer connections at once; default 16
	MaxPending     int           // descriptions and candidates of a client that wait; default 256
	MaxChannels    int           // channels that a client opens in the life of a peer connection; default 64
	ConnectTimeout time.Duration // from the offer until connected; default 30 s

	Logger *slog.Logger // nil discards
}

// A Device answers the clients of a [cuttlefish.Device], each with a peer connection
// of its own. Its methods may be called concurrently, except for Handle.
type Device struct {
	signaling *cuttlefish.Device
	opts      DeviceOptions
	log       *slog.Logger
	api       func() (*webrtc.API, error)
	sessions  sync.WaitGroup

	mu     sync.Mutex // held for looking things up and for queueing only
	closed bool
	peers  map[int]*DevicePeer // by client id
	ending int                 // peers that have left the map and not yet ended
	tracks []webrtc.TrackLocal
	events []lastEvent
}

// A lastEvent is the last event of its name, encoded.
type lastEvent struct {
	name cuttlefish.EventName
	text []byte
}

// NewDevice returns a device that answers the clients of signaling. It does nothing
// before [Device.Run] or [Device.Handle].
func NewDevice(signaling *cuttlefish.Device, opts *DeviceOptions) *Device {
	d := &Device{signaling: signaling, peers: make(map[int]*DevicePeer)}
	if opts != nil {
		d.opts = *opts
	}
	o := &d.opts
	o.MaxPeers = cmp.Or(o.MaxPeers, DefaultMaxPeers)
	o.MaxPending = cmp.Or(o.MaxPending, DefaultMaxPending)
	o.MaxChannels = cmp.Or(o.MaxChannels, DefaultMaxChannels)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	if d.log = o.Logger; d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	_ = o.Settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer) // fails for roles that are none
	d.api = pionpeer.LazyAPI(o.API, o.Settings)
	d.tracks = slices.Clone(o.Tracks)
	return d
}

// Run handles the messages of the device's signaling until it or ctx ends, then ends
// all peer connections and waits for them. It returns nil after an orderly end of
// signaling, its cause or that of ctx otherwise.
func (d *Device) Run(ctx context.Context) error {
	defer d.endAll()
	for m, err := range d.signaling.Messages(ctx) {
		if err != nil {
			return fmt.Errorf("cuttlefishpion: device: %w", err)
		}
		if _, err := d.Handle(m); err != nil {
			d.log.Warn("cuttlefishpion: refused a payload", "error", err)
		}
	}
	return nil
}

// Handle takes a message of the device's signaling, for an application with a loop of
// its own; one goroutine calls it, in the order of arrival. handled is false for a
// message that is not about peer connections. An error concerns one client, which has
// been told and has no peer connection any more; the device goes on.
func (d *Device) Handle(m cuttlefish.Message) (handled bool, err error) {
	switch m := m.(type) {
	case *cuttlefish.ClientMsg:
		if err := d.receive(m.ClientID, m.Payload); err != nil {
			d.refuse(m.ClientID, err)
			return true, fmt.Errorf("cuttlefishpion: client %d: %w", m.ClientID, err)
		}
	case *cuttlefish.ClientDisconnected:
		if p := d.Peer(m.ClientID); p != nil {
			d.forget(p, nil)
			p.session.End(nil)
		}
	case *cuttlefish.Reconnected:
		d.forgetAll()
	default:
		return false, nil
	}
	return true, nil
}

// Peer returns the peer connection with a client, or nil.
func (d *Device) Peer(clientID int) *DevicePeer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers[clientID]
}

// Peers returns the peer connections at the time of the call, by client id.
func (d *Device) Peers() []*DevicePeer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peersLocked()
}

func (d *Device) peersLocked() []*DevicePeer {
	all := make([]*DevicePeer, 0, len(d.peers))
	for _, p := range d.peers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *DevicePeer) int { return a.clientID - b.clientID })
	return all
}

// AddTrack sends a track, such as that of a new display, to the present clients, with
// a new offer, and to those that come.
func (d *Device) AddTrack(track webrtc.TrackLocal) {
	d.mu.Lock()
	if !slices.Contains(d.tracks, track) {
		d.tracks = append(d.tracks, track)
	}
	peers := d.peersLocked()
	d.mu.Unlock()
	for _, p := range peers {
		_ = p.AddTrack(track) // one that is ending needs none
	}
}

// RemoveTrack takes a track away from all clients.
func (d *Device) RemoveTrack(track webrtc.TrackLocal) {
	d.mu.Lock()
	d.tracks = slices.DeleteFunc(d.tracks, func(t webrtc.TrackLocal) bool { return t == track })
	peers := d.peersLocked()
	d.mu.Unlock()
	for _, p := range peers {
		_ = p.RemoveTrack(track) // one that is ending has none
	}
}

// SendEvent sends an event to all clients and never blocks. Those that come later get
// the last event of each name when their control channel opens, as from the real
// device. The error is a [*cuttlefish.ValidationError].
func (d *Device) SendEvent(e *cuttlefish.ControlEvent) error {
	text, err := encodeEvent(e)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = slices.DeleteFunc(d.events, func(last lastEvent) bool { return last.name == e.Event })
	d.events = append(d.events, lastEvent{e.Event, text})
	for _, p := range d.peers {
		_ = p.control.Send(text) // one that is ending or too slow is none of the others' business
	}
	return nil
}

// Close ends all peer connections and waits for them and their hooks. New ones are
// refused from then on. The signaling device stays the caller's.
func (d *Device) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.endAll()
	return nil
}

func (d *Device) endAll() {
	d.forgetAll()
	d.sessions.Wait()
}

// receive takes a client's payload. Its error ends that client's peer connection.
func (d *Device) receive(clientID int, data json.RawMessage) error {
	payload, err := cuttlefish.DecodePayload(data)
	if err != nil {
		return err
	}
	if err := payload.Validate(); err != nil {
		return err
	}
	if r, ok := payload.(*cuttlefish.RequestOffer); ok {
		return d.connect(clientID, r)
	}
	p := d.Peer(clientID)
	if e, ok := payload.(*cuttlefish.PayloadError); ok {
		return e
	}
	if p == nil {
		return ErrNoPeer
	}
	switch payload := payload.(type) {
	case *cuttlefish.Offer:
		return p.session.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: payload.SDP})
	case *cuttlefish.Answer:
		return p.session.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: payload.SDP})
	case *cuttlefish.ClientCandidate:
		return p.session.Candidate(webrtc.ICECandidateInit(payload.Candidate))
	case *cuttlefish.UnknownPayload:
		return fmt.Errorf("cuttlefishpion: unknown client message type: %s", payload.Type)
	default:
		return errors.New("cuttlefishpion: a payload that only devices send")
	}
}

// connect answers a request-offer with a new peer connection.
func (d *Device) connect(clientID int, r *cuttlefish.RequestOffer) error {
	if old := d.Peer(clientID); old != nil {
		d.forget(old, nil)
		old.session.End(nil)
	}
	p, err := d.newPeer(clientID, r)
	if err != nil {
		return err
	}
	if d.opts.OnPeer != nil {
		d.opts.OnPeer(p)
	}
	p.session.Start()
	p.session.Negotiate()
	return nil
}

// iceServers returns what a peer connection uses.
func (d *Device) iceServers(r *cuttlefish.RequestOffer) ([]cuttlefish.ICEServer, error) {
	var servers []cuttlefish.ICEServer
	if config := d.signaling.Config(); config != nil {
		servers = slices.Clone(config.ICEServers)
	}
	if d.opts.IgnoreClientICEServers {
		return servers, nil
	}
	if len(r.ICEServers) > maxClientServers {
		return nil, fmt.Errorf("cuttlefishpion: more than %d ICE servers", maxClientServers)
	}
	return append(servers, r.ICEServers...), nil
}

// refuse tells a client what was wrong and ends its peer connection. An error is not
// answered with an error.
func (d *Device) refuse(clientID int, cause error) {
	if p := d.Peer(clientID); p != nil {
		d.forget(p, cause)
		p.session.End(cause)
		return
	}
	if text := complaint(cause); text != nil {
		_ = d.signaling.Forward(clientID, text) // its signaling may have ended
	}
}

// complaint is the payload that tells the other side of an error, or nil when there is
// nothing to tell.
func complaint(cause error) json.RawMessage {
	if cause == nil {
		return nil
	}
	if _, ok := errors.AsType[*cuttlefish.PayloadError](cause); ok {
		return nil
	}
	text, err := cuttlefish.EncodePayload(&cuttlefish.PayloadError{Text: cause.Error()})
	if err != nil {
		return nil
	}
	return text
}

// forget takes a peer that is about to end out of the map and tells its client why.
// Both happen under the lock, so that a successor's offer comes after it, and once: a
// peer that has been replaced has nothing to say.
func (d *Device) forget(p *DevicePeer, cause error) {
	text := complaint(cause)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.peers[p.clientID] != p {
		return
	}
	delete(d.peers, p.clientID)
	d.ending++
	if text != nil {
		_ = d.signaling.Forward(p.clientID, text) // its signaling may have ended
	}
}

func (d *Device) forgetAll() {
	for _, p := range d.Peers() {
		d.forget(p, nil)
		p.session.End(nil)
	}
}
