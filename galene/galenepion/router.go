package galenepion

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
)

// The defaults of [RouterOptions].
const (
	DefaultRouterStreams        = 500
	DefaultRouterTracks         = 8
	DefaultRouterBitrate        = 4_000_000
	DefaultRouterConnectTimeout = time.Minute
)

// routerDebounce is how long the tracks of a stream wait for each other, so that they are
// offered together.
const routerDebounce = 200 * time.Millisecond

// RouterOptions say how a [Router] behaves. Nil and zero fields mean the defaults, a
// negative number no limit.
type RouterOptions struct {
	// API makes the peer connections, whatever codecs a group allows. Nil makes one of
	// Settings and the codecs of each group, by default VP8 and Opus.
	API           *webrtc.API
	Settings      webrtc.SettingEngine
	Configuration webrtc.Configuration

	Streams int // of a group at once; default 500, more are refused
	Tracks  int // of a stream at once, each encoding counts; default 8, more are not forwarded
	Bitrate int // of a stream's video in bit/s, that its sender is told at most; default 4,000,000

	// ConnectTimeout is how long a peer connection may take to be connected, or to be
	// connected again after its network path was lost; default 1 min.
	ConnectTimeout time.Duration

	Logger *slog.Logger // nil discards
}

// A Router is a [galene.MediaRouter] for groups of any size, a selective forwarding unit:
// each stream of a member goes to all others of the group who request it, packet by packet,
// without being decoded. Its methods may be called concurrently.
//
// It has a peer connection for each stream that a member sends, and one for each stream
// and member who gets it. It answers lost packets from its own memory, asks for key frames
// at most twice a second, and tells a sender the bit rate that its receivers can take. A
// receiver that takes nothing loses packets; nobody waits for it.
type Router struct {
	opts RouterOptions
	log  *slog.Logger
	done chan struct{} // closed by Close
	work sync.WaitGroup

	mu     sync.Mutex // held for looking things up only
	closed bool
	apis   map[string]*webrtc.API
	groups map[string]*routerGroup
}

// A routerGroup is guarded by the lock of its router.
type routerGroup struct {
	members map[*routerMember]bool
	streams map[string]*routerUp // by id
}

// NewRouter returns a router without members, for [galene.ServerOptions]. opts may be nil.
func NewRouter(opts *RouterOptions) *Router {
	r := &Router{
		done:   make(chan struct{}),
		apis:   make(map[string]*webrtc.API),
		groups: make(map[string]*routerGroup),
	}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.Streams = cmp.Or(r.opts.Streams, DefaultRouterStreams)
	r.opts.Tracks = cmp.Or(r.opts.Tracks, DefaultRouterTracks)
	r.opts.Bitrate = cmp.Or(r.opts.Bitrate, DefaultRouterBitrate)
	r.opts.ConnectTimeout = cmp.Or(r.opts.ConnectTimeout, DefaultRouterConnectTimeout)
	if r.log = r.opts.Logger; r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Serve is the media of a member until it leaves, see [galene.MediaRouter]. It returns nil
// then, and [ErrClosed] when the router has been closed.
func (r *Router) Serve(ctx context.Context, media *galene.MediaMember) error {
	api, err := r.api(media.Codecs)
	if err != nil {
		return err
	}
	m := &routerMember{
		router: r, media: media, api: api,
		wake:    make(chan struct{}, 1),
		ups:     make(map[string]*routerUp),
		downs:   make(map[string]*routerDown),
		dropped: make(map[*routerUp]bool),
	}
	if !r.enter(m) {
		return ErrClosed
	}
	defer r.work.Done()
	return m.run(ctx)
}

// Close ends the media of all members and waits for it. Their connections end with 1011,
// so the server is closed first.
func (r *Router) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.done)
	}
	r.mu.Unlock()
	r.work.Wait()
	return nil
}

// Streams returns how many streams the members of a group send.
func (r *Router) Streams(group string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.groups[group]; g != nil {
		return len(g.streams)
	}
	return 0
}

func (r *Router) enter(m *routerMember) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	g := r.groups[m.media.Group]
	if g == nil {
		g = &routerGroup{members: make(map[*routerMember]bool), streams: make(map[string]*routerUp)}
		r.groups[m.media.Group] = g
	}
	m.group = g
	g.members[m] = true
	r.work.Add(1)
	return true
}

func (r *Router) leave(m *routerMember) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(m.group.members, m); len(m.group.members) == 0 && r.groups[m.media.Group] == m.group {
		delete(r.groups, m.media.Group)
	}
}

// publish makes a stream known to the group. It reports false when there are too many.
func (r *Router) publish(u *routerUp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := u.owner.group
	if len(u.replaces) == 0 && r.opts.Streams > 0 && len(g.streams) >= r.opts.Streams {
		return false
	}
	g.streams[u.id] = u
	return true
}

// unpublish takes a stream away from the group.
func (r *Router) unpublish(u *routerUp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u.over = true
	if u.timer != nil {
		u.timer.Stop()
	}
	if g := u.owner.group; g.streams[u.id] == u {
		delete(g.streams, u.id)
	}
	u.changed()
}

// A routerView is a stream as it is at one time.
type routerView struct {
	up           *routerUp
	ready        bool
	audio, video []*forwardLayer // of the track that is forwarded, the best encoding first
	live         []*forwardLayer // all that arrive
}

// view returns the streams that a member can get, in the order of their beginning.
func (r *Router) view(m *routerMember) []routerView {
	views := r.unordered(m)
	slices.SortFunc(views, func(a, b routerView) int { return a.up.begun.Compare(b.up.begun) })
	return views
}

func (r *Router) unordered(m *routerMember) []routerView {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := make([]routerView, 0, len(m.group.streams))
	for _, u := range m.group.streams {
		if u.owner == m {
			continue
		}
		v := routerView{
			up: u, ready: u.ready,
			audio: u.layers(webrtc.RTPCodecTypeAudio), video: u.layers(webrtc.RTPCodecTypeVideo),
		}
		for _, t := range u.tracks {
			if !t.dead && u.sends(t) {
				v.live = append(v.live, &t.forwardLayer)
			}
		}
		views = append(views, v)
	}
	return views
}
