package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// An easyrtcBot is a client that makes and takes calls.
type easyrtcBot struct {
	*easyrtcClient
	*easyrtcpion.Peer
	coming journal[*easyrtcpion.IncomingCall]
	flows  journal[*easyrtcFlow]
	told   journal[*easyrtc.DataMessage]
	closed journal[easyrtcEnd]
	files  journal[*easyrtcpion.IncomingFiles]
}

// An easyrtcFlow is a track that a bot receives.
type easyrtcFlow struct {
	from    string
	kind    webrtc.RTPCodecType
	packets atomic.Int64
	ended   atomic.Bool
}

// An easyrtcEnd is the end of a call.
type easyrtcEnd struct {
	call *easyrtcpion.Call
	err  error
}

// easyrtcTracks are tracks that a test begins to play.
type easyrtcTracks struct {
	video, audio *webrtc.TrackLocalStaticSample
}

// play plays the clip until the test ends.
func (c easyrtcTracks) play(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = clip.Play(ctx, c.video, c.audio) // fails only when a peer connection is closing
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// bot logs in a bot, into rooms or the default one.
func (s *easyrtcServer) bot(t *testing.T, user string, rooms ...string) *easyrtcBot {
	t.Helper()
	b := &easyrtcBot{easyrtcClient: s.unread(t, s.way, nil)}
	b.enter(&easyrtc.Login{Username: user, Rooms: rooms})
	b.Peer = easyrtcpion.NewPeer(b.Client, &easyrtcpion.Options{
		OnCall:    b.coming.add,
		OnTrack:   b.receive,
		OnData:    func(_ *easyrtcpion.Call, m *easyrtc.DataMessage) { b.told.add(m) },
		OnClosed:  func(c *easyrtcpion.Call, err error) { b.closed.add(easyrtcEnd{c, err}) },
		OnFiles:   b.files.add,
		OnMessage: b.got.add,
		Settings:  loopback.Settings(), Configuration: new(webrtc.Configuration),
	})
	b.listen(func() error { return b.Run(context.Background()) }, func() error {
		_ = b.Peer.Close()
		return b.Client.Close()
	})
	return b
}

func (b *easyrtcBot) receive(c *easyrtcpion.Call, track *webrtc.TrackRemote) {
	f := &easyrtcFlow{from: c.EasyrtcID(), kind: track.Kind()}
	b.flows.add(f)
	defer f.ended.Store(true)
	readTrack(track, func(n int) { f.packets.Store(int64(n)) })
}

// flow waits for a track of somebody, and for further packets of it.
func (b *easyrtcBot) flow(from string, kind webrtc.RTPCodecType) {
	b.t.Helper()
	f := await(b.t, kind.String(), &b.flows, func(f *easyrtcFlow) bool {
		return f.from == from && f.kind == kind && !f.ended.Load()
	})
	const some = 10
	before := f.packets.Load()
	eventually(b.t, "packets of "+kind.String(), func() bool { return f.packets.Load() >= before+some })
}

// answers waits for a call of somebody, and accepts it.
func (b *easyrtcBot) answers(from string, tracks ...webrtc.TrackLocal) *easyrtcpion.Call {
	b.t.Helper()
	c, err := b.comes(from).Accept(tracks...)
	require.NoError(b.t, err)
	return c
}

// comes waits for a call of somebody that nobody has decided about.
func (b *easyrtcBot) comes(from string) *easyrtcpion.IncomingCall {
	b.t.Helper()
	return await(b.t, "call", &b.coming, func(in *easyrtcpion.IncomingCall) bool {
		select {
		case <-in.Done():
			return false
		default:
			return in.EasyrtcID == from
		}
	})
}

// calls calls another bot, which answers.
func (b *easyrtcBot) calls(other *easyrtcBot, tracks, theirs []webrtc.TrackLocal) (call, answer *easyrtcpion.Call) {
	b.t.Helper()
	called := make(chan error, 1)
	go func() {
		var err error
		call, err = b.Call(bounded(b.t), other.EasyrtcID(), tracks...)
		called <- err
	}()
	answer = other.answers(b.EasyrtcID(), theirs...)
	require.NoError(b.t, <-called)
	return call, answer
}

// Call is that of the peer: the client has one, too.
func (b *easyrtcBot) Call(
	ctx context.Context, easyrtcid string, tracks ...webrtc.TrackLocal,
) (*easyrtcpion.Call, error) {
	return b.Peer.Call(ctx, easyrtcid, tracks...)
}

func TestEasyRTCBotsTalk(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.bot(t, "alice"), s.bot(t, "bob")
		ctx := bounded(t)
		for _, pair := range [][2]*easyrtcBot{{alice, bob}, {bob, alice}} {
			caller, callee := pair[0], pair[1]
			call, answer := caller.calls(callee, nil, nil)
			for _, c := range []*easyrtcpion.Call{call, answer} {
				require.NoError(t, c.AwaitConnected(ctx))
			}
			long := `"` + strings.Repeat("0123456789", 500) + `😀"` // in several pieces
			for _, text := range []string{`{"n":1}`, `null`, long} {
				require.NoError(t, call.Send(ctx, "ask", json.RawMessage(text)))
				require.NoError(t, answer.Send(ctx, "reply", json.RawMessage(text)))
				for _, c := range []struct {
					bot *easyrtcBot
					typ string
				}{{callee, "ask"}, {caller, "reply"}} {
					await(t, "message", &c.bot.told, func(m *easyrtc.DataMessage) bool {
						return m.MsgType == c.typ && sameJSON(text, string(m.MsgData))
					})
				}
			}
			call.Hangup()
			for _, b := range []struct {
				bot  *easyrtcBot
				call *easyrtcpion.Call
			}{{caller, call}, {callee, answer}} {
				end := await(t, "end", &b.bot.closed, func(e easyrtcEnd) bool { return e.call == b.call })
				require.NoError(t, end.err)
			}
		}
	})
}

func TestEasyRTCBotsSeeAndHearEachOther(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.bot(t, "alice"), s.bot(t, "bob")
		a, b := alice.EasyrtcID(), bob.EasyrtcID()
		call, answer := alice.calls(bob, clipTracks(t), clipTracks(t))
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			alice.flow(b, kind)
			bob.flow(a, kind)
		}
		answer.Hangup()
		await(t, "end", &alice.closed, func(e easyrtcEnd) bool { return e.call == call && e.err == nil })

		call, answer = bob.calls(alice, nil, nil) // and the tracks later, in both directions
		silent := make(map[*easyrtcpion.Call]easyrtcTracks)
		for _, c := range []*easyrtcpion.Call{call, answer} {
			silent[c] = easyrtcTracks{
				video: newTrack(t, webrtc.MimeTypeVP8, "video"), audio: newTrack(t, webrtc.MimeTypeOpus, "audio"),
			}
			require.NoError(t, c.AddTrack(silent[c].video))
			require.NoError(t, c.AddTrack(silent[c].audio))
		}
		for _, c := range []*easyrtcpion.Call{call, answer} { // Pion guesses about what comes before the answer
			eventually(t, "description of the tracks", func() bool {
				d := c.PeerConnection().CurrentRemoteDescription()
				return d != nil && strings.Count(d.SDP, "a=msid:clip ") == 2
			})
		}
		for _, tracks := range silent {
			tracks.play(t)
		}
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			alice.flow(b, kind)
			bob.flow(a, kind)
		}
		require.NoError(t, bob.Client.Close()) // it is gone, and so is the call
		end := await(t, "end", &alice.closed, func(e easyrtcEnd) bool { return e.call == answer })
		if end.err != nil {
			require.ErrorIs(t, end.err, easyrtcpion.ErrGone)
		}
	})
}

func TestEasyRTCBotsMayRejectEachOther(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.bot(t, "alice"), s.bot(t, "bob")
		called := make(chan error, 1)
		go func() {
			_, err := alice.Call(bounded(t), bob.EasyrtcID())
			called <- err
		}()
		bob.comes(alice.EasyrtcID()).Reject()
		require.ErrorIs(t, <-called, easyrtcpion.ErrRejected)
		_, err := alice.Call(bounded(t), "nobody")
		refused(t, easyrtc.CodeMsgRejectTarget, err)
	})
}

// TestEasyRTCBotsCallEachOtherAtOnce has calls that cross: one of the offers counts.
func TestEasyRTCBotsCallEachOtherAtOnce(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.bot(t, "alice"), s.bot(t, "bob")
		ctx := bounded(t)
		type outcome struct {
			call *easyrtcpion.Call
			err  error
		}
		start, done := make(chan struct{}), make(chan outcome, 2)
		for _, pair := range [][2]*easyrtcBot{{alice, bob}, {bob, alice}} {
			go func() {
				<-start
				c, err := pair[0].Call(ctx, pair[1].EasyrtcID())
				done <- outcome{c, err}
			}()
		}
		close(start)
		for range 2 { // whoever was called first has accepted by calling
			o := <-done
			require.NoError(t, o.err)
			require.NoError(t, o.call.AwaitConnected(ctx))
			require.NoError(t, o.call.Send(ctx, "glare", nil))
		}
		for _, b := range []*easyrtcBot{alice, bob} {
			await(t, "message", &b.told, func(m *easyrtc.DataMessage) bool { return m.MsgType == "glare" })
		}
	})
}

// TestEasyRTCBotsSendFiles sends one through the server, and one on the data channel.
func TestEasyRTCBotsSendFiles(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.bot(t, "alice"), s.bot(t, "bob")
		ctx := bounded(t)
		content := strings.Repeat("0123456789abcdef", 10_000)
		for n, name := range []string{"server.txt", "call.txt"} {
			if n == 1 {
				call, _ := alice.calls(bob, nil, nil)
				require.NoError(t, call.AwaitConnected(ctx))
				<-call.Ready()
			}
			sent := make(chan error, 1)
			go func() {
				sent <- alice.SendFiles(ctx, bob.EasyrtcID(), &easyrtcpion.File{
					Name: name, Type: "text/plain", Size: int64(len(content)), Content: strings.NewReader(content),
				})
			}()
			in := await(t, "file", &bob.files, func(in *easyrtcpion.IncomingFiles) bool {
				return in.Files[0].FileName() == name
			})
			var got bytes.Buffer
			require.NoError(t, in.Accept(ctx, func(int, string) (io.Writer, error) { return &got, nil }))
			require.NoError(t, <-sent)
			require.Equal(t, len(content), got.Len())
			require.True(t, content == got.String(), "what was sent")
		}
	})
}
