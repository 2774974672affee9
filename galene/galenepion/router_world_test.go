package galenepion_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/transport"
)

// routerPatience is how long a test waits for an event before it fails.
const routerPatience = 30 * time.Second

// A routerHall is a server with a router and one group, "g".
type routerHall struct {
	t      *testing.T
	router *galenepion.Router
	server *galene.Server
}

func newRouterHall(t *testing.T, opts galenepion.RouterOptions, codecs ...string) *routerHall {
	t.Helper()
	return newRouterHallOver(t, loopback.Settings(), opts, codecs...)
}

func newRouterHallOver(
	t *testing.T, settings webrtc.SettingEngine, opts galenepion.RouterOptions, codecs ...string,
) *routerHall {
	t.Helper()
	opts.Settings = settings
	h := &routerHall{t: t, router: galenepion.NewRouter(&opts)}
	h.server = galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{
			"g": {Group: galene.Group{Codecs: codecs}, Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "op"}},
			"h": {Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "op"}},
		},
		Router: h.router,
		Limits: galene.Limits{Messages: -1, Bytes: -1}, // a test says more in a second than anybody else
	})
	t.Cleanup(func() {
		require.NoError(t, h.server.Close())
		require.NoError(t, h.router.Close())
		require.Zero(t, h.router.Groups(), "nothing is left of those who have gone")
	})
	return h
}

// join brings a member into the group that requests what it is told; nil requests nothing.
func (h *routerHall) join(name string, request map[string][]galene.TrackKind) *routerGuest {
	h.t.Helper()
	return h.joinGroup("g", name, request)
}

func (h *routerHall) joinGroup(group, name string, request map[string][]galene.TrackKind) *routerGuest {
	h.t.Helper()
	ours, theirs := transport.Pipe()
	g := &routerGuest{
		t: h.t, name: name,
		api:     pionpeer.LazyAPI(nil, loopback.Settings()),
		ups:     make(map[string]*pionpeer.Session),
		downs:   make(map[string]*pionpeer.Session),
		offers:  make(map[string]int),
		rembs:   make(map[string]float32),
		sent:    make(map[string]int),
		changed: make(chan struct{}),
	}
	var served sync.WaitGroup
	served.Go(func() { _ = h.server.Serve(context.Background(), theirs) })
	g.conn = &routerConn{Conn: ours}
	client, err := galene.Connect(h.t.Context(), g.conn, &galene.ClientOptions{Inbox: -1})
	require.NoError(h.t, err)
	g.client = client
	ctx, stop := context.WithCancel(context.Background())
	_, err = client.Join(ctx, &galene.Join{Group: group, Username: &name})
	require.NoError(h.t, err)
	if request != nil {
		require.NoError(h.t, g.request(request))
	}
	var running sync.WaitGroup
	running.Go(func() { g.run(ctx) })
	g.leave = sync.OnceFunc(func() {
		_ = client.Close()
		stop()
		running.Wait()
		g.closeAll()
		served.Wait()
	})
	h.t.Cleanup(g.leave)
	return g
}

// routerAll wants audio and video of everything.
var routerAll = map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}

// A routerGuest is a member, with a peer connection for each stream.
type routerGuest struct {
	t      *testing.T
	name   string
	client *galene.Client
	conn   *routerConn
	leave  func()
	api    func() (*webrtc.API, error)

	mu      sync.Mutex
	changed chan struct{} // closed with each change, and made anew
	ups     map[string]*pionpeer.Session
	downs   map[string]*pionpeer.Session
	offers  map[string]int // by stream
	sent    map[string]int // offers, by stream
	heard   []galene.Message
	flows   []*routerFlow
	refuse  bool               // offers are aborted
	stuck   bool               // offers are not answered
	mute    bool               // no candidates go out or come in
	rembs   map[string]float32 // by stream that is sent, the last one
}

// A routerFlow is a track that arrives.
type routerFlow struct {
	stream, kind string
	remote       *webrtc.TrackRemote
	session      *pionpeer.Session
	packets      []routerPacket
	ended        bool
}

// A routerPacket is what a test sends in a packet, and as what it came.
type routerPacket struct {
	layer     byte // who sent it
	key       bool
	number    uint32
	sequence  uint16
	timestamp uint32
	extension bool
}

// A routerConn lets only the requests of a test pass: the client repeats its request some
// time after joining.
type routerConn struct {
	transport.Conn
	requests atomic.Int64 // that may pass
}

func (c *routerConn) Write(typ transport.MessageType, msg []byte) error {
	if bytes.HasPrefix(msg, []byte(`{"type":"request",`)) || string(msg) == `{"type":"request"}` {
		if c.requests.Add(-1) < 0 {
			c.requests.Store(0)
			return nil
		}
	}
	return c.Conn.Write(typ, msg)
}

// request says which streams the member wants.
func (g *routerGuest) request(streams map[string][]galene.TrackKind) error {
	g.conn.requests.Add(1)
	return g.client.Request(streams)
}

func (g *routerGuest) note(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until ok, called under the lock, is satisfied.
func (g *routerGuest) await(what string, ok func() bool) {
	g.t.Helper()
	timeout := time.After(routerPatience)
	for {
		g.mu.Lock()
		satisfied, changed := ok(), g.changed
		g.mu.Unlock()
		if satisfied {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			g.mu.Lock()
			defer g.mu.Unlock()
			var flows []string
			for _, f := range g.flows {
				flows = append(flows, fmt.Sprintf("%s/%s: %d packets, ended: %t", f.stream, f.kind, len(f.packets), f.ended))
			}
			require.FailNow(g.t, "no "+what+" at "+g.name, "%q\n%s", flows, routerMessages(g.heard))
		}
	}
}

func routerMessages(all []galene.Message) (text string) {
	for _, m := range all {
		b, _ := galene.Encode(m)
		text += string(b[:min(len(b), 4000)]) + "\n"
	}
	return text
}

// routerAwait waits for a message of this type that satisfies ok and takes it away.
func routerAwait[M galene.Message](g *routerGuest, what string, ok func(M) bool) (found M) {
	g.t.Helper()
	g.await(what, func() bool {
		i := slices.IndexFunc(g.heard, func(m galene.Message) bool {
			m2, is := m.(M)
			return is && ok(m2)
		})
		if i < 0 {
			return false
		}
		found = g.heard[i].(M)
		g.heard = slices.Delete(g.heard, i, i+1)
		return true
	})
	return found
}

func (g *routerGuest) awaitClose(id string) {
	g.t.Helper()
	routerAwait(g, "close of "+id, func(m *galene.Close) bool { return m.ID == id })
}

func (g *routerGuest) run(ctx context.Context) {
	for m, err := range g.client.Messages(ctx) {
		if err != nil {
			return
		}
		g.handle(m)
		g.note(func() { g.heard = append(g.heard, m) })
	}
}

func (g *routerGuest) handle(m galene.Message) {
	switch m := m.(type) {
	case *galene.Offer:
		g.mu.Lock()
		refuse, stuck := g.refuse, g.stuck
		g.offers[m.ID]++
		g.mu.Unlock()
		switch {
		case refuse:
			_ = g.client.Send(&galene.Abort{ID: m.ID})
		case !stuck:
			if m.Replace != "" {
				g.drop(m.Replace)
			}
			g.answer(m)
		}
	case *galene.Answer:
		if s := g.session(m.ID); s != nil {
			_ = s.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP})
		}
	case *galene.ICE:
		c, err := m.Init()
		g.mu.Lock()
		mute := g.mute
		g.mu.Unlock()
		if s := g.session(m.ID); s != nil && err == nil && !mute {
			_ = s.Candidate(webrtc.ICECandidateInit(c))
		}
	case *galene.Renegotiate:
		g.setMute(false)
		if s := g.session(m.ID); s != nil {
			s.Restart()
		}
	case *galene.Close:
		g.drop(m.ID)
	case *galene.Abort:
		g.unpublish(m.ID)
	}
}

func (g *routerGuest) setMute(mute bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mute = mute
}

// offered returns how many offers of a stream have come.
func (g *routerGuest) offered(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.offers[id]
}

func (g *routerGuest) session(id string) *pionpeer.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.ups[id]; s != nil {
		return s
	}
	return g.downs[id]
}

// drop closes a stream that is received.
func (g *routerGuest) drop(id string) {
	g.mu.Lock()
	s := g.downs[id]
	delete(g.downs, id)
	g.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

func (g *routerGuest) closeAll() {
	g.mu.Lock()
	var all []*pionpeer.Session
	for _, m := range []map[string]*pionpeer.Session{g.ups, g.downs} {
		for id, s := range m {
			all = append(all, s)
			delete(m, id)
		}
	}
	g.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// config is what both directions have in common.
func (g *routerGuest) config(id string) pionpeer.SessionConfig {
	return pionpeer.SessionConfig{
		Name: "test", API: g.api, Patient: true,
		SendCandidate: func(c webrtc.ICECandidateInit) error {
			g.mu.Lock()
			mute := g.mute
			g.mu.Unlock()
			if c.Candidate != "" && !mute {
				_ = g.client.Send(galene.NewICE(id, galene.ICECandidateInit(c)))
			}
			return nil
		},
		OnFailed: func() bool { return true },
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// answer takes an offer of a stream.
func (g *routerGuest) answer(m *galene.Offer) {
	s := g.session(m.ID)
	if s == nil {
		cfg := g.config(m.ID)
		cfg.SendDescription = func(d webrtc.SessionDescription) error {
			_ = g.client.Send(&galene.Answer{ID: m.ID, SDP: d.SDP})
			return nil
		}
		cfg.OnTrack = func(remote *webrtc.TrackRemote) { g.receive(m.ID, s, remote) }
		var err error
		if s, err = pionpeer.NewSession(cfg); err != nil {
			g.t.Error(err)
			return
		}
		g.note(func() { g.downs[m.ID] = s })
		s.Start()
	}
	_ = s.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP})
}

// receive reads a track until it ends.
func (g *routerGuest) receive(stream string, s *pionpeer.Session, remote *webrtc.TrackRemote) {
	f := &routerFlow{stream: stream, kind: remote.Kind().String(), remote: remote, session: s}
	g.note(func() { g.flows = append(g.flows, f) })
	for {
		p, _, err := remote.ReadRTP()
		g.note(func() {
			if err != nil {
				f.ended = true
				return
			}
			got := routerPacket{sequence: p.SequenceNumber, timestamp: p.Timestamp, extension: p.Extension}
			if len(p.Payload) >= 7 {
				got.key, got.layer = p.Payload[1]&1 == 0, p.Payload[2]
				got.number = binary.BigEndian.Uint32(p.Payload[3:])
			}
			f.packets = append(f.packets, got)
		})
		if err != nil {
			return
		}
	}
}

// flow returns a track that arrives and has not ended, or nil. Called under the lock.
func (g *routerGuest) flow(stream, kind string) *routerFlow {
	for _, f := range slices.Backward(g.flows) {
		if f.stream == stream && f.kind == kind && !f.ended {
			return f
		}
	}
	return nil
}

// awaitMedia waits for packets that were not there before, of these tracks: "stream/kind".
func (g *routerGuest) awaitMedia(tracks ...string) {
	g.t.Helper()
	g.mu.Lock()
	before := make(map[*routerFlow]int)
	for _, f := range g.flows {
		before[f] = len(f.packets)
	}
	g.mu.Unlock()
	for _, name := range tracks {
		g.await("media of "+name, func() bool {
			return slices.ContainsFunc(g.flows, func(f *routerFlow) bool {
				return !f.ended && f.stream+"/"+f.kind == name && len(f.packets) > before[f]+2
			})
		})
	}
}

// awaitOnly waits until these tracks and no others have not ended.
func (g *routerGuest) awaitOnly(tracks ...string) {
	g.t.Helper()
	slices.Sort(tracks)
	g.await(fmt.Sprintf("set of tracks %q", tracks), func() bool {
		var live []string
		for _, f := range g.flows {
			if !f.ended {
				live = append(live, f.stream+"/"+f.kind)
			}
		}
		slices.Sort(live)
		return slices.Equal(live, tracks)
	})
}

// awaitLayer waits until packets of a layer arrive on the only video track of a stream.
func (g *routerGuest) awaitLayer(stream string, layer byte) {
	g.t.Helper()
	from := make(map[*routerFlow]int)
	g.mu.Lock()
	for _, f := range g.flows {
		from[f] = len(f.packets)
	}
	g.mu.Unlock()
	g.await(fmt.Sprintf("layer %d of %s", layer, stream), func() bool {
		f := g.flow(stream, "video")
		return f != nil && slices.ContainsFunc(f.packets[from[f]:], func(p routerPacket) bool { return p.layer == layer })
	})
}

// A routerSource is a track that a test sends. Its payload begins as one of VP8 does.
type routerSource struct {
	*webrtc.TrackLocalStaticRTP
	layer byte
	keys  chan struct{} // capacity 1: a key frame is due
	asked chan struct{} // every request for one

	mu       sync.Mutex
	paused   bool
	mid, rid uint8 // the numbers of the extensions that say which encoding it is
}

// Bind takes note of the extensions, which Pion leaves to the track.
func (s *routerSource) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	s.mu.Lock()
	for _, e := range ctx.HeaderExtensions() {
		switch e.URI {
		case sdp.SDESMidURI:
			s.mid = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			s.rid = uint8(e.ID)
		}
	}
	s.mu.Unlock()
	return s.TrackLocalStaticRTP.Bind(ctx)
}

func routerTrack(t *testing.T, mime string, layer byte, rid string) *routerSource {
	t.Helper()
	var options []func(*webrtc.TrackLocalStaticRTP)
	if rid != "" {
		options = append(options, webrtc.WithRTPStreamID(rid))
	}
	codec := webrtc.RTPCodecCapability{MimeType: mime}
	if mime == webrtc.MimeTypeG722 {
		codec.ClockRate = 8000
	}
	track, err := webrtc.NewTrackLocalStaticRTP(codec, "track", "stream", options...)
	require.NoError(t, err)
	s := &routerSource{
		TrackLocalStaticRTP: track, layer: layer,
		keys: make(chan struct{}, 1), asked: make(chan struct{}, 1000),
	}
	ctx, stop := context.WithCancel(context.Background())
	var feeding sync.WaitGroup
	feeding.Go(func() { s.feed(ctx) })
	t.Cleanup(func() { stop(); feeding.Wait() })
	return s
}

func routerVideo(t *testing.T) *routerSource { return routerTrack(t, webrtc.MimeTypeVP8, 1, "") }
func routerSound(t *testing.T) *routerSource { return routerTrack(t, webrtc.MimeTypeOpus, 0, "") }

// keyFrame is for a request.
func (s *routerSource) keyFrame() {
	for _, c := range []chan struct{}{s.keys, s.asked} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// pause stops the track, or lets it go on.
func (s *routerSource) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

func (s *routerSource) feed(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for number := uint32(0); ; number++ {
		key := byte(1)
		select {
		case <-ctx.Done():
			return
		case <-s.keys:
			key = 0
		case <-ticker.C:
		}
		p := &rtp.Packet{
			Header: rtp.Header{
				Version: 2, SequenceNumber: uint16(s.layer)*20_000 + uint16(number), Marker: true,
				Timestamp: uint32(s.layer)*1_000_000_000 + number*900,
			},
			Payload: binary.BigEndian.AppendUint32([]byte{0x10, key, s.layer}, number),
		}
		_ = p.SetExtension(14, []byte("mine")) // a number that nobody has agreed on
		s.mu.Lock()
		if s.RID() != "" && s.rid != 0 && s.mid != 0 {
			_ = p.SetExtension(s.mid, []byte("0"))
			_ = p.SetExtension(s.rid, []byte(s.RID()))
		}
		paused := s.paused
		s.mu.Unlock()
		if !paused {
			_ = s.WriteRTP(p)
		}
	}
}

// publish sends tracks in one stream; replace is "" or the stream in whose place it comes.
func (g *routerGuest) publish(id, label, replace string, tracks ...*routerSource) *pionpeer.Session {
	g.t.Helper()
	s := g.newUp(id, label, replace, tracks)
	for _, track := range tracks {
		require.NoError(g.t, s.AddTrack(track))
	}
	s.Start()
	s.Negotiate()
	return s
}

func (g *routerGuest) newUp(id, label, replace string, tracks []*routerSource) *pionpeer.Session {
	g.t.Helper()
	cfg := g.config(id)
	cfg.SendOnly = true
	cfg.SendDescription = func(d webrtc.SessionDescription) error {
		_ = g.client.Send(&galene.Offer{ID: id, Label: label, Replace: replace, SDP: d.SDP})
		replace = ""
		g.note(func() { g.sent[id]++ })
		return nil
	}
	cfg.OnKeyFrame = func(track webrtc.TrackLocal) {
		if s, ok := track.(*routerSource); ok {
			s.keyFrame()
		}
	}
	cfg.OnFeedback = func(_ webrtc.TrackLocal, packets []rtcp.Packet) { g.noteRates(id, packets) }
	s, err := pionpeer.NewSession(cfg)
	require.NoError(g.t, err)
	g.note(func() { g.ups[id] = s })
	return s
}

// noteRates takes note of the bit rates that the sender of a stream is told.
func (g *routerGuest) noteRates(id string, packets []rtcp.Packet) {
	for _, p := range packets {
		if remb, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
			g.note(func() { g.rembs[id] = remb.Bitrate })
		}
	}
}

// report tells the router again and again, until the test ends, which bit rate the member
// can take of a stream. The result changes it.
func (g *routerGuest) report(stream string, bits float32) (change func(bits float32)) {
	g.t.Helper()
	g.awaitMedia(stream + "/video")
	g.mu.Lock()
	f := g.flow(stream, "video")
	g.mu.Unlock()
	changes := make(chan float32)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			_ = f.session.PeerConnection().WriteRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{
				Bitrate: bits, SSRCs: []uint32{uint32(f.remote.SSRC())},
			}})
			select {
			case bits = <-changes:
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	g.t.Cleanup(func() { stop(); running.Wait() })
	return func(bits float32) { changes <- bits }
}

// publishSimulcast sends a video in several encodings, the best one first.
func (g *routerGuest) publishSimulcast(id string, encodings ...*routerSource) *pionpeer.Session {
	g.t.Helper()
	s := g.newUp(id, "camera", "", encodings)
	require.NoError(g.t, s.Change(func(pc *webrtc.PeerConnection) error {
		t, err := pc.AddTransceiverFromTrack(encodings[0], webrtc.RTPTransceiverInit{
			Direction: webrtc.RTPTransceiverDirectionSendonly,
		})
		if err != nil {
			return err
		}
		for _, e := range encodings[1:] {
			if err := t.Sender().AddEncoding(e); err != nil {
				return err
			}
		}
		for _, e := range encodings {
			go func() { // ends with the peer connection
				for {
					packets, _, err := t.Sender().ReadSimulcastRTCP(e.RID())
					if err != nil {
						return
					}
					g.noteRates(id, packets)
					for _, p := range packets {
						if _, ok := p.(*rtcp.PictureLossIndication); ok {
							e.keyFrame()
						}
					}
				}
			}()
		}
		return nil
	}))
	s.Start()
	s.Negotiate()
	return s
}

// unpublish ends a stream without a word.
func (g *routerGuest) unpublish(id string) {
	g.mu.Lock()
	s := g.ups[id]
	delete(g.ups, id)
	g.mu.Unlock()
	if s != nil {
		s.Close()
	}
}
