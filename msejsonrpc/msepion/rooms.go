package msepion

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
)

// The defaults of [RoomsOptions].
const (
	DefaultMembers = 50
	DefaultTracks  = 8
)

// keyFrameInterval is how often a sender is asked for a key frame of a track at most,
// however many viewers want one.
const keyFrameInterval = 500 * time.Millisecond

// RoomsOptions say how [Rooms] behave. Nil and zero fields mean the defaults, a negative
// number no limit.
type RoomsOptions struct {
	// API makes the peer connections. Nil makes one of Settings and Pion's default
	// codecs and interceptors.
	API           *webrtc.API
	Settings      webrtc.SettingEngine
	Configuration webrtc.Configuration

	Members int // of a room; default 50
	Tracks  int // that one member sends at once; default 8

	Logger *slog.Logger // nil discards
}

// Rooms are a media server: the tracks of each member of a room are forwarded to all
// others, and what a member sends on a data channel goes to the channels of the same label
// that the others have opened. Its methods may be called concurrently.
//
// Packets are forwarded as they are, one encoding a track. A track arrives under its own
// id, in a stream with the number of its sender's session in front: "7.camera". The room of
// a session is its domain and room id, see [msejsonrpc.Identity].
type Rooms struct {
	opts     RoomsOptions
	log      *slog.Logger
	api      func() (*webrtc.API, error)
	patience time.Duration

	mu    sync.Mutex // held for looking things up and for queueing only
	rooms map[roomID]map[*member]bool
}

type roomID struct{ domain, room string }

// A member is one session in a room.
type member struct {
	rooms *Rooms
	room  roomID
	id    msejsonrpc.PeerID
	peer  *Peer
	gone  <-chan struct{}

	// Guarded by the lock of Rooms.
	sources map[webrtc.TrackLocal]*source // what it sends, by what the others get
	outlets map[string]*outlet            // open data channels, by label
}

// A source is a track that a member sends.
type source struct {
	remote *webrtc.TrackRemote
	asked  time.Time // for a key frame
}

// NewRooms returns a media server without members.
func NewRooms(opts *RoomsOptions) *Rooms {
	r := &Rooms{patience: defaultPatience, rooms: make(map[roomID]map[*member]bool)}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.Members = cmp.Or(r.opts.Members, DefaultMembers)
	r.opts.Tracks = cmp.Or(r.opts.Tracks, DefaultTracks)
	if r.log = r.opts.Logger; r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.api = pionpeer.LazyAPI(r.opts.API, r.opts.Settings)
	return r
}

// Handle makes a session a member of its room until it ends. It is meant for
// [msejsonrpc.ServerOptions.Handle].
func (r *Rooms) Handle(ctx context.Context, s *msejsonrpc.ServerSession) error {
	api, err := r.api()
	if err != nil {
		return fmt.Errorf("msepion: %w", err)
	}
	identity := s.Identity()
	if identity == nil { // it has ended already
		return nil
	}
	m := &member{
		rooms: r, room: roomID{identity.Domain, identity.RoomID}, id: s.ID(), gone: ctx.Done(),
		sources: make(map[webrtc.TrackLocal]*source), outlets: make(map[string]*outlet),
	}
	m.peer = NewServerPeer(s, &Options{
		API: api, Configuration: r.opts.Configuration, Logger: r.log,
		OnTrack: m.forward, OnChannel: m.opened, OnKeyFrame: m.keyFrame, OnState: m.changed,
	})
	if err := r.enter(m); err != nil {
		s.Close(transport.StatusTryAgainLater, "room is full")
		return err
	}
	defer r.leave(m)
	return m.peer.Run(ctx)
}

// Members returns how many sessions are in a room.
func (r *Rooms) Members(domain, room string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rooms[roomID{domain, room}])
}

// enter adds a member and gives it the tracks of the others.
func (r *Rooms) enter(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := r.rooms[m.room]
	if r.opts.Members > 0 && len(members) >= r.opts.Members {
		return ErrRoomFull
	}
	if members == nil {
		members = make(map[*member]bool)
		r.rooms[m.room] = members
	}
	for other := range members {
		for track := range other.sources {
			m.peer.AddTrack(track)
		}
	}
	members[m] = true
	return nil
}

// leave takes a member and its tracks away from the others.
func (r *Rooms) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := r.rooms[m.room]
	if delete(members, m); len(members) == 0 {
		delete(r.rooms, m.room)
	}
	for track := range m.sources {
		for other := range members {
			other.peer.RemoveTrack(track)
		}
	}
}

// forward is the life of a track that a member sends.
func (m *member) forward(remote *webrtc.TrackRemote) {
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability,
		remote.ID(), fmt.Sprintf("%d.%s", m.id, remote.StreamID()))
	if err == nil {
		err = m.publish(local, remote)
	}
	if err != nil {
		m.rooms.log.Warn("msepion: a track is not forwarded", "session", m.id, "error", err)
		discard(remote)
		return
	}
	defer m.unpublish(local)
	buf := make([]byte, 1500)
	var packet rtp.Packet
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		if packet.Unmarshal(buf[:n]) != nil {
			continue
		}
		// Their numbers mean something else to each of the others.
		packet.Extension, packet.Extensions = false, nil
		_ = local.WriteRTP(&packet) // a member that is leaving takes nothing
	}
}

// discard reads a track that nobody wants.
func discard(remote *webrtc.TrackRemote) {
	buf := make([]byte, 1500)
	for {
		if _, _, err := remote.Read(buf); err != nil {
			return
		}
	}
}

func (m *member) publish(local webrtc.TrackLocal, remote *webrtc.TrackRemote) error {
	r := m.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	members := r.rooms[m.room]
	switch {
	case !members[m]:
		return ErrClosed
	case r.opts.Tracks > 0 && len(m.sources) >= r.opts.Tracks:
		return ErrTooManyTracks
	}
	m.sources[local] = &source{remote: remote}
	for other := range members {
		if other != m {
			other.peer.AddTrack(local)
		}
	}
	return nil
}

func (m *member) unpublish(local webrtc.TrackLocal) {
	r := m.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(m.sources, local)
	for other := range r.rooms[m.room] {
		if other != m { // it would make an offer for nothing
			other.peer.RemoveTrack(local)
		}
	}
}

// changed asks for key frames of what a member can see from now on.
func (m *member) changed(s webrtc.PeerConnectionState) {
	if s != webrtc.PeerConnectionStateConnected {
		return
	}
	r := m.rooms
	r.mu.Lock()
	var tracks []webrtc.TrackLocal
	for other := range r.rooms[m.room] {
		for track := range other.sources {
			if other != m && track.Kind() == webrtc.RTPCodecTypeVideo {
				tracks = append(tracks, track)
			}
		}
	}
	r.mu.Unlock()
	for _, t := range tracks {
		m.keyFrame(t)
	}
}

// keyFrame asks the sender of a track that a member gets for a key frame.
func (m *member) keyFrame(track webrtc.TrackLocal) {
	sender, remote := m.wanted(track)
	if remote == nil {
		return
	}
	if err := sender.peer.RequestKeyFrame(remote); err != nil {
		m.rooms.log.Debug("msepion: asking for a key frame", "session", sender.id, "error", err)
	}
}

// wanted returns the sender of a track that may be asked for a key frame now.
func (m *member) wanted(track webrtc.TrackLocal) (*member, *webrtc.TrackRemote) {
	r := m.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.rooms[m.room] {
		s := other.sources[track]
		if s == nil {
			continue
		}
		if now := time.Now(); now.Sub(s.asked) >= keyFrameInterval {
			s.asked = now
			return other, s.remote
		}
		break
	}
	return nil, nil
}
