package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// botRoom is where bots and their pages are.
const botRoom = "room"

// byTest is what comes with what a server application does.
const byTest = `"by a test"`

// A mediasoupHost is a server, with what its application can do to those in botRoom.
type mediasoupHost interface {
	// where returns the URL of its WebSocket, without the query, and its envelope.
	where() (url, envelope string)
	// tells does something to a transport, producer or consumer of somebody: "pauseProducer"
	// and so on.
	tells(command, peer string, id uint32)
	// throwsOut ends somebody's presence, cutsOff the connection.
	throwsOut(peer string)
	cutsOff(peer string)
	closesRoom()
	// prefers sets the stream that a consumer is to get.
	prefers(peer string, consumer uint32, profile mediasoupproto.Profile)
	// transports returns those of somebody, and restarts how often they were restarted.
	transports(peer string) []uint32
	restarts(peer string) int
}

func (r *realMediasoup) where() (url, envelope string) { return r.url, r.envelope }

func (r *realMediasoup) tells(command, peer string, id uint32) {
	r.t.Helper()
	r.do(command, map[string]any{"room": botRoom, "peer": peer, "id": id, "appData": json.RawMessage(byTest)})
}

func (r *realMediasoup) throwsOut(peer string) {
	r.t.Helper()
	r.do("closePeer", map[string]any{"room": botRoom, "peer": peer, "appData": json.RawMessage(byTest)})
}

func (r *realMediasoup) cutsOff(peer string) {
	r.t.Helper()
	r.do("cut", map[string]any{"room": botRoom, "peer": peer})
}

func (r *realMediasoup) closesRoom() {
	r.t.Helper()
	r.do("closeRoom", map[string]any{"room": botRoom})
}

func (r *realMediasoup) prefers(peer string, consumer uint32, profile mediasoupproto.Profile) {
	r.t.Helper()
	r.do("setConsumerPreferredProfile", map[string]any{
		"room": botRoom, "peer": peer, "id": consumer, "profile": profile,
	})
}

func (r *realMediasoup) transports(peer string) (all []uint32) {
	r.t.Helper()
	for _, t := range r.peer(botRoom, peer).Transports {
		all = append(all, t.ID)
	}
	return all
}

func (r *realMediasoup) restarts(peer string) (n int) {
	r.t.Helper()
	var all []struct {
		Dir, Peer string
		Body      struct{ Method string }
	}
	require.NoError(r.t, json.Unmarshal(r.do("journal", map[string]any{"room": botRoom}), &all))
	for _, e := range all {
		if e.Dir == "c2s" && e.Peer == peer && e.Body.Method == "restartTransport" {
			n++
		}
	}
	return n
}

func (s *mediasoupSFU) where() (url, envelope string) { return s.url, s.envelope }

func (s *mediasoupSFU) tells(command, peer string, id uint32) {
	s.t.Helper()
	do := map[string]func(mediasoupproto.MediaID, json.RawMessage) error{
		"pauseProducer": s.srv.PauseProducer, "resumeProducer": s.srv.ResumeProducer,
		"closeProducer": s.srv.CloseProducer, "closeTransport": s.srv.CloseTransport,
		"pauseConsumer": s.srv.PauseConsumer, "resumeConsumer": s.srv.ResumeConsumer,
	}[command]
	require.NoError(s.t, do(s.id(botRoom, peer, id), json.RawMessage(byTest)))
}

func (s *mediasoupSFU) throwsOut(peer string) {
	s.t.Helper()
	require.NoError(s.t, s.srv.Session(botRoom, peer).ClosePeer(json.RawMessage(byTest)))
}

func (s *mediasoupSFU) cutsOff(peer string) {
	s.t.Helper()
	s.srv.Session(botRoom, peer).Close(transport.StatusInternalError, "")
}

func (s *mediasoupSFU) closesRoom() {
	s.t.Helper()
	require.NoError(s.t, s.srv.CloseRoom(botRoom))
}

func (s *mediasoupSFU) prefers(peer string, consumer uint32, profile mediasoupproto.Profile) {
	s.t.Helper()
	require.NoError(s.t, s.srv.SetPreferredProfile(s.id(botRoom, peer, consumer), profile))
}

func (s *mediasoupSFU) transports(peer string) []uint32 {
	s.t.Helper()
	return s.peer(botRoom, peer).Transports
}

func (s *mediasoupSFU) restarts(peer string) (n int) {
	all, _ := s.requests.from(0)
	for _, r := range all {
		if r == fmt.Sprintf("%s %T", peer, &mediasoupproto.RestartTransport{}) {
			n++
		}
	}
	return n
}

// mediasoupHosts start the real server and ours.
var mediasoupHosts = []struct {
	name  string
	start func(t *testing.T, envelope string) mediasoupHost
}{
	{"mediasoup 2.6.19", func(t *testing.T, envelope string) mediasoupHost { return startMediasoup(t, envelope) }},
	{"ours", func(t *testing.T, envelope string) mediasoupHost {
		return startMediasoupSFU(t, envelope, mediasoupproto.ServerOptions{})
	}},
}

// onMediasoupHosts runs a test with the real server and with ours, at the same time and at that of
// other tests: bots wait for media most of the time.
func onMediasoupHosts(t *testing.T, envelope string, test func(t *testing.T, h mediasoupHost)) {
	t.Helper()
	t.Parallel()
	for _, host := range mediasoupHosts {
		t.Run(host.name, func(t *testing.T) {
			t.Parallel()
			test(t, host.start(t, envelope))
		})
	}
}

// A mediasoupBot is a client with media that receives everything. It has the clip to publish.
type mediasoupBot struct {
	*mediasouppion.Peer
	t            *testing.T
	h            mediasoupHost
	name         string
	client       *mediasoupproto.Client
	plan         botPlan
	audio, video *webrtc.TrackLocalStaticSample
	player       *clip.Player
	stop         func() // ends Run, and with it the peer

	flows  journal[*botFlow]
	closed journal[botClosed]
	told   journal[mediasoupproto.Message]
	failed journal[error] // of plan
	asked  atomic.Int64   // for key frames
}

// A botPlan says how a bot is made.
type botPlan struct {
	settings *webrtc.SettingEngine                                         // nil are those for the media address
	onTrack  func(b *mediasoupBot, f *botFlow) *webrtc.TrackLocalStaticRTP // where to write it, or nil; may be nil
	onPacket func(f *botFlow, sequence uint16)                             // may be nil
}

// A botFlow is a track that a bot receives.
type botFlow struct {
	consumer  *mediasouppion.Consumer
	track     *webrtc.TrackRemote
	packets   atomic.Int64
	keyFrames atomic.Int64 // of VP8
	ended     atomic.Bool
}

// A botClosed is what a bot is told of the end of a consumer.
type botClosed struct {
	consumer *mediasouppion.Consumer
	err      error
}

// botSettings are those of peer connections with the address for media.
func botSettings(t *testing.T) webrtc.SettingEngine {
	t.Helper()
	settings, ip := loopback.Settings(), mediaIP(t)
	settings.SetIPFilter(func(candidate net.IP) bool { return candidate.String() == ip })
	return settings
}

// connectMediasoup connects a client of ours, which comes again after a loss of the connection.
func connectMediasoup(t *testing.T, h mediasoupHost, name string) *mediasoupproto.Client {
	t.Helper()
	url, envelope := h.where()
	url, err := mediasouphttp.URL(url, botRoom, name)
	require.NoError(t, err)
	opts := &mediasoupproto.ClientOptions{Backoff: mediasoupproto.Backoff{Min: 10 * time.Millisecond}}
	var client *mediasoupproto.Client
	switch envelope {
	case overSocketIO:
		opts.Framing = mediasoupproto.SocketIO
		opts.Redial = func(ctx context.Context) (transport.Conn, error) {
			return enginehttp.Dial(ctx, strings.Replace(url, "/?", "/socket.io/?", 1), nil)
		}
		conn, err := opts.Redial(bounded(t))
		require.NoError(t, err)
		client, err = mediasoupproto.Connect(bounded(t), conn, opts)
		require.NoError(t, err)
	default:
		if envelope == overProtoo2 {
			opts.Framing = mediasoupproto.Protoo2
		}
		client, err = mediasouphttp.Connect(bounded(t), url, &mediasouphttp.DialOptions{Client: opts, Reconnect: true})
		require.NoError(t, err)
	}
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// joinMediasoup has a bot join the room.
func joinMediasoup(t *testing.T, h mediasoupHost, name string, plan botPlan) *mediasoupBot {
	t.Helper()
	b := &mediasoupBot{
		t: t, h: h, name: name, client: connectMediasoup(t, h, name), plan: plan, stop: func() {},
		audio: botTrack(t, webrtc.MimeTypeOpus), video: botTrack(t, webrtc.MimeTypeVP8),
	}
	b.player = &clip.Player{Video: b.video, Audio: b.audio}
	living, stop := context.WithCancel(context.Background())
	played := make(chan struct{})
	go func() {
		defer close(played)
		_ = b.player.Play(living)
	}()
	t.Cleanup(func() {
		b.stop()
		stop()
		<-played
	})
	b.enter()
	return b
}

func botTrack(t *testing.T, mime string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	kind, _, _ := strings.Cut(mime, "/")
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind, "bot")
	require.NoError(t, err)
	return track
}

// enter joins, for the first time or again, and returns who is there.
func (b *mediasoupBot) enter() (others []string) {
	b.t.Helper()
	b.stop()
	settings := botSettings(b.t)
	if b.plan.settings != nil {
		settings = *b.plan.settings
	}
	p, result, err := mediasouppion.Join(bounded(b.t), b.client,
		&mediasoupproto.Join{PeerName: b.name, AppData: json.RawMessage(`{"displayName":"a bot"}`)},
		&mediasouppion.Options{
			OnTrack:   b.receive,
			OnClosed:  func(c *mediasouppion.Consumer, err error) { b.closed.add(botClosed{c, err}) },
			OnMessage: b.told.add,
			Settings:  settings,
		})
	require.NoError(b.t, err)
	b.Peer = p
	living, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = p.Run(living) // ends with the context, or with the client
	}()
	b.stop = func() {
		cancel()
		<-ran
	}
	for _, peer := range result.Peers {
		others = append(others, peer.Name)
	}
	return others
}

func (b *mediasoupBot) receive(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
	f := &botFlow{consumer: c, track: track}
	b.flows.add(f)
	defer f.ended.Store(true)
	var to *webrtc.TrackLocalStaticRTP
	if b.plan.onTrack != nil {
		to = b.plan.onTrack(b, f)
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		f.packets.Add(1)
		if c.Kind() == mediasoupproto.Video && isVP8KeyFrame(packet.Payload) {
			f.keyFrames.Add(1)
		}
		if b.plan.onPacket != nil {
			b.plan.onPacket(f, packet.SequenceNumber)
		}
		if to != nil {
			packet.Extension, packet.Extensions = false, nil // the producer has announced none
			if err := to.WriteRTP(packet); err != nil {
				b.failed.add(err)
			}
		}
	}
}

// isVP8KeyFrame reports whether a packet begins a key frame, by RFC 7741.
func isVP8KeyFrame(b []byte) bool {
	if len(b) < 3 || b[0]&0x1f != 0x10 {
		return false
	}
	n := 1
	if b[0]&0x80 != 0 {
		n = 2
		if b[1]&0x80 != 0 {
			n += 1 + int(b[2]>>7)
		}
		if b[1]&0x40 != 0 {
			n++
		}
		if b[1]&0x30 != 0 {
			n++
		}
	}
	return len(b) > n && b[n]&1 == 0
}

// publish publishes one of the clip's tracks, or another one.
func (b *mediasoupBot) publish(track webrtc.TrackLocal) *mediasouppion.Producer {
	b.t.Helper()
	pr, err := b.Publish(bounded(b.t), track, &mediasouppion.PublishOptions{
		AppData: json.RawMessage(`{"source":"clip"}`),
		OnKeyFrame: func(webrtc.TrackLocal) {
			b.asked.Add(1)
			b.player.RequestKeyFrame()
		},
	})
	require.NoError(b.t, err)
	return pr
}

// sends publishes the sound and the picture.
func (b *mediasoupBot) sends() (audio, video *mediasouppion.Producer) {
	b.t.Helper()
	return b.publish(b.audio), b.publish(b.video)
}

// flow waits for a track of somebody that runs.
func (b *mediasoupBot) flow(kind mediasoupproto.Kind, of string) *botFlow {
	b.t.Helper()
	return await(b.t, fmt.Sprintf("%s of %s", kind, of), &b.flows, func(f *botFlow) bool {
		return f.consumer.Kind() == kind && f.consumer.PeerName() == of && !f.over()
	})
}

// over reports whether nothing more can come.
func (f *botFlow) over() bool {
	select {
	case <-f.consumer.Done():
		return true
	default:
		return f.ended.Load()
	}
}

// gets waits for a track of somebody, and for further packets of it; of video for a key frame
// as well.
func (b *mediasoupBot) gets(kind mediasoupproto.Kind, of string) *botFlow {
	b.t.Helper()
	f := b.flow(kind, of)
	b.goesOn(f)
	b.begins(f)
	return f
}

// begins waits for a key frame of video.
func (b *mediasoupBot) begins(f *botFlow) {
	b.t.Helper()
	if f.consumer.Kind() == mediasoupproto.Video {
		eventually(b.t, "key frame of "+f.consumer.PeerName(), func() bool { return f.keyFrames.Load() > 0 })
	}
}

// goesOn waits for further packets.
func (b *mediasoupBot) goesOn(f *botFlow) {
	b.t.Helper()
	b.more(f)()
}

// more returns what waits for further packets, counted from now.
func (b *mediasoupBot) more(f *botFlow) (wait func()) {
	const some = 20
	before := f.packets.Load()
	return func() {
		b.t.Helper()
		eventually(b.t, fmt.Sprintf("packets of %s of %s", f.consumer.Kind(), f.consumer.PeerName()), func() bool {
			return f.packets.Load() >= before+some
		})
	}
}

// fallsSilent waits until nothing comes of one track while many packets come of another one.
func (b *mediasoupBot) fallsSilent(f, other *botFlow) {
	b.t.Helper()
	const many = 30
	last, since := f.packets.Load(), other.packets.Load()
	eventually(b.t, fmt.Sprintf("silence of %s of %s", f.consumer.Kind(), f.consumer.PeerName()), func() bool {
		if n := f.packets.Load(); n != last {
			last, since = n, other.packets.Load()
		}
		return other.packets.Load() >= since+many
	})
}

// ends waits for the end of a consumer, and returns its cause.
func (b *mediasoupBot) ends(f *botFlow) error {
	b.t.Helper()
	e := await(b.t, "end of a consumer", &b.closed, func(e botClosed) bool { return e.consumer == f.consumer })
	require.Equal(b.t, e.err, f.consumer.Err())
	return e.err
}

// endsProducer waits for the end of a producer, and returns its cause.
func (b *mediasoupBot) endsProducer(pr *mediasouppion.Producer) error {
	b.t.Helper()
	select {
	case <-pr.Done():
	case <-bounded(b.t).Done():
		require.FailNow(b.t, "the producer does not end")
	}
	return pr.Err()
}

// isTold waits for a message of a type, from a place on, and returns it.
func isTold[M mediasoupproto.Message](b *mediasoupBot, match func(M) bool) M {
	b.t.Helper()
	return await(b.t, fmt.Sprintf("%T", *new(M)), &b.told, match)
}

// forgets empties what the bot was told.
func (b *mediasoupBot) forgets() {
	b.told.mu.Lock()
	defer b.told.mu.Unlock()
	b.told.entries = nil
}

// leaves leaves the room.
func (b *mediasoupBot) leaves(appData string) {
	b.t.Helper()
	b.stop()
	require.NoError(b.t, b.client.Leave(json.RawMessage(appData)))
}

// meet demands that bots get what the others send.
func meet(bots ...*mediasoupBot) {
	var all []func()
	for _, b := range bots {
		b.t.Helper()
		for _, other := range bots {
			if other == b {
				continue
			}
			for _, kind := range []mediasoupproto.Kind{mediasoupproto.Audio, mediasoupproto.Video} {
				f := b.flow(kind, other.name)
				more := b.more(f)
				all = append(all, func() {
					b.t.Helper()
					more()
					b.begins(f)
					b.t.Logf("%s gets %s of %s: %d packets, %d key frames",
						b.name, kind, other.name, f.packets.Load(), f.keyFrames.Load())
				})
			}
		}
	}
	for _, wait := range all { // they run at the same time
		wait()
	}
}

// requireRunning demands that the bot has not ended.
func (b *mediasoupBot) requireRunning() {
	b.t.Helper()
	select {
	case <-b.Done():
		require.FailNow(b.t, "the bot has ended", "%v", errors.Join(b.Err(), b.client.Err()))
	default:
	}
	if _, envelope := b.h.where(); envelope != overProtoo2 { // which answers notifications
		require.Zero(b.t, b.client.Ignored())
	}
}
