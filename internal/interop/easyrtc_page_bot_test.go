package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// An easyrtcVisitor is a bot among pages. It accepts calls with the clip, unless it is told
// otherwise, and sends back what it gets on the data channel.
type easyrtcVisitor struct {
	*easyrtcpion.Peer
	t      *testing.T
	id     string
	tracks []webrtc.TrackLocal
	extra  *webrtc.TrackLocalStaticSample // the picture once more, for AddTrack
	reject atomic.Bool
	living context.Context

	calls  journal[*easyrtcpion.Call] // that it has accepted
	flows  journal[*visitorFlow]
	closed journal[visitorClosed]
	told   journal[*easyrtc.DataMessage]
	files  journal[visitorFile]
	seen   journal[string]          // names of streams that have arrived at the other side
	others journal[easyrtc.Message] // that are not about calls
}

// A visitorFlow is a track that a bot receives.
type visitorFlow struct {
	from, stream string // the sender's id and the name of the stream
	kind         webrtc.RTPCodecType
	packets      atomic.Int64
	ended        atomic.Bool
}

// A visitorClosed is the end of a call.
type visitorClosed struct {
	call *easyrtcpion.Call
	err  error
}

// A visitorFile is a file that has been received.
type visitorFile struct {
	name, text string
	err        error
}

// visitEasyRTC has a bot enter the default room of a server.
func visitEasyRTC(t *testing.T, h easyrtcHost) *easyrtcVisitor {
	t.Helper()
	client, token, err := easyrtchttp.Login(bounded(t), h.origin(), &easyrtc.Login{
		Username: "bot", Credential: json.RawMessage(`{"password": "right"}`),
	}, nil)
	require.NoError(t, err)
	track := func(mime, stream string) *webrtc.TrackLocalStaticSample {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime[:5], stream)
		require.NoError(t, err)
		return track
	}
	// easyrtc.js 2.1 tells of the end of a stream only when its name is default.
	video, audio := track(webrtc.MimeTypeVP8, easyrtc.DefaultStream), track(webrtc.MimeTypeOpus, easyrtc.DefaultStream)
	v := &easyrtcVisitor{t: t, id: token.EasyrtcID, extra: track(webrtc.MimeTypeVP8, "more")}
	v.tracks = []webrtc.TrackLocal{audio, video}
	player := &clip.Player{Video: both{video, v.extra}, Audio: audio}
	living, stop := context.WithCancel(context.Background())
	v.living = living
	var running sync.WaitGroup
	v.Peer = easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		OnCall: func(in *easyrtcpion.IncomingCall) {
			if v.reject.Load() {
				in.Reject()
				return
			}
			if c, err := in.Accept(v.tracks...); err == nil { // otherwise the page has changed its mind
				v.calls.add(c)
			}
		},
		OnTrack: v.receive,
		OnData: func(c *easyrtcpion.Call, m *easyrtc.DataMessage) {
			v.told.add(m)
			running.Go(func() { _ = c.Send(living, "echo", m.MsgData) }) // the page waits for it
		},
		OnStreamReceived: func(_ *easyrtcpion.Call, name string) { v.seen.add(name) },
		OnKeyFrame:       func(*easyrtcpion.Call, webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnMessage:        v.others.add,
		OnClosed:         func(c *easyrtcpion.Call, err error) { v.closed.add(visitorClosed{c, err}) },
		OnFiles: func(in *easyrtcpion.IncomingFiles) {
			if v.reject.Load() {
				in.Reject()
				return
			}
			running.Go(func() { v.accept(in) })
		},
		Settings:      loopback.Settings(),
		Configuration: new(webrtc.Configuration),
	})
	running.Go(func() { _ = v.Run(living) })
	running.Go(func() { _ = player.Play(living) })
	t.Cleanup(func() {
		stop()
		_ = v.Close()
		_ = client.Close()
		running.Wait()
	})
	return v
}

func (v *easyrtcVisitor) receive(c *easyrtcpion.Call, track *webrtc.TrackRemote) {
	f := &visitorFlow{from: c.EasyrtcID(), stream: c.StreamName(track.StreamID()), kind: track.Kind()}
	defer f.ended.Store(true)
	readTrack(track, func(n int) {
		if f.packets.Store(int64(n)); n == 1 {
			v.flows.add(f)
		}
	})
}

func (v *easyrtcVisitor) accept(in *easyrtcpion.IncomingFiles) {
	var text bytes.Buffer
	name := ""
	err := in.Accept(v.living, func(i int, _ string) (io.Writer, error) {
		name = in.Files[i].FileName()
		return &text, nil
	})
	v.files.add(visitorFile{name, text.String(), err})
}

// hears waits for a track of a page that still runs, and for further packets of it.
func (v *easyrtcVisitor) hears(p *easyrtcPage, stream string, kind webrtc.RTPCodecType) *visitorFlow {
	v.t.Helper()
	f := await(v.t, kind.String()+" of "+stream, &v.flows, func(f *visitorFlow) bool {
		return f.from == p.id && f.stream == stream && f.kind == kind && !f.ended.Load()
	})
	const some = 10
	before := f.packets.Load()
	eventually(v.t, "packets of "+kind.String(), func() bool { return f.packets.Load() >= before+some })
	return f
}

// ends waits for the end of a call, and returns its cause.
func (v *easyrtcVisitor) ends(c *easyrtcpion.Call) error {
	v.t.Helper()
	return await(v.t, "end of the call", &v.closed, func(e visitorClosed) bool { return e.call == c }).err
}

// incoming waits for a call of a page that is not over.
func (v *easyrtcVisitor) incoming(p *easyrtcPage) *easyrtcpion.Call {
	v.t.Helper()
	return await(v.t, "call", &v.calls, func(c *easyrtcpion.Call) bool {
		select {
		case <-c.Done():
			return false
		default:
			return c.EasyrtcID() == p.id
		}
	})
}

// begins waits for the beginning of a call, and demands what converses does.
func (v *easyrtcVisitor) begins(p *easyrtcPage, c *easyrtcpion.Call) {
	v.t.Helper()
	p.sees("open", wanted{"with": v.id})
	p.sees("stream", wanted{"from": v.id, "name": "default", "audio": 1, "video": 1})
	p.forgets()
	v.converses(p, c)
}

// converses demands that a page and the bot see, hear and read each other in a call.
func (v *easyrtcVisitor) converses(p *easyrtcPage, c *easyrtcpion.Call) {
	v.t.Helper()
	p.requireVideo(v.id)
	v.hears(p, "default", webrtc.RTPCodecTypeVideo)
	v.hears(p, "default", webrtc.RTPCodecTypeAudio)
	for _, text := range []string{"short", strings.Repeat("long ☕😀 ", 700)} {
		p.does("sendP2P", v.id, "note", wanted{"text": text})
		await(v.t, "message of the page", &v.told, func(m *easyrtc.DataMessage) bool {
			return m.MsgType == "note" && sameJSON(quotedText(v.t, text), string(m.MsgData))
		})
		p.sees("message", wanted{"from": v.id, "msgType": "echo", "msgData": wanted{"text": text}, "target": nil})
	}
	require.NoError(v.t, c.Send(bounded(v.t), "of itself", nil))
	p.sees("message", wanted{"from": v.id, "msgType": "of itself", "target": nil})
}

func quotedText(t *testing.T, text string) string { return fmt.Sprintf(`{"text":%s}`, quoted(t, text)) }

// onEasyRTCHosts runs a test with the real server and with ours.
func onEasyRTCHosts(t *testing.T, test func(t *testing.T, b *chromium.Browser, h easyrtcHost)) {
	t.Helper()
	browser := chromium.Start(t)
	t.Run("open-easyrtc 2.1.8", func(t *testing.T) {
		test(t, browser, startRealEasyRTC(t, easyrtc218, easyrtcSettings{hooks: `{"ice": []}`}))
	})
	t.Run("ours", func(t *testing.T) {
		easyrtcNode(t, easyrtc218.easyrtc, easyrtc218.client)
		test(t, browser, startEasyRTCSite(t, easyrtc.ServerOptions{}))
	})
}

// visits opens a page with a camera and has a bot come.
func visits(
	t *testing.T, b *chromium.Browser, h easyrtcHost, version easyrtcVersion,
) (p *easyrtcPage, v *easyrtcVisitor) {
	t.Helper()
	p = openEasyRTCPage(t, b, h.origin(), version)
	p.connect(admitted("alice", wanted{"audio": true, "video": true, "foreign": !version.camera}))
	v = visitEasyRTC(t, h)
	p.meets(v.id, "default")
	return p, v
}

// settles waits until the bot has heard all that the page has said up to now.
func (v *easyrtcVisitor) settles(p *easyrtcPage) {
	v.t.Helper()
	before, _ := v.others.from(0)
	require.Empty(v.t, p.asks("send", v.id, "settled", len(before)).Code)
	await(v.t, "word of the page", &v.others, func(m *easyrtc.Msg) bool {
		return m.MsgType == "settled" && string(m.MsgData) == fmt.Sprint(len(before))
	})
}

func TestEasyRTCPageAndABotCallEachOther(t *testing.T) {
	onEasyRTCHosts(t, func(t *testing.T, b *chromium.Browser, h easyrtcHost) {
		p, v := visits(t, b, h, easyrtc218)
		p.does("call", v.id)
		p.sees("accepted", wanted{"to": v.id, "accepted": true})
		c := v.incoming(p)
		v.begins(p, c)
		t.Logf("%s has received %s", b.Version(),
			chromium.Eval[string](p.Page, p.js("stats", v.id)+`.then(JSON.stringify)`))
		require.Equal(t, easyrtc.DefaultStream, await[string](t, "word of the page", &v.seen, nil))
		p.does("hangup", v.id)
		require.NoError(t, v.ends(c))
		v.settles(p)

		c, err := v.Call(bounded(t), p.id, v.tracks...)
		require.NoError(t, err)
		v.begins(p, c)
		c.Hangup()
		require.NoError(t, v.ends(c))
		p.sees("close", wanted{"with": v.id})
		p.sees("ended", wanted{"from": v.id, "name": "default"})

		v.reject.Store(true)
		p.does("call", v.id)
		p.sees("accepted", wanted{"to": v.id, "accepted": false})
		p.does("accept", "reject")
		_, err = v.Call(bounded(t), p.id, v.tracks...)
		require.ErrorIs(t, err, easyrtcpion.ErrRejected)
		p.requireQuiet()

		v.reject.Store(false)
		p.does("accept", "ask")
		before := chromium.Eval[int](p.Page, p.js("entries", "incoming")+`.length`)
		calling := make(chan *easyrtcpion.Call, 1)
		go func() {
			c, _ := v.Call(v.living, p.id, v.tracks...)
			calling <- c
		}()
		p.Await(fmt.Sprintf(`%s.length > %d`, p.js("entries", "incoming"), before))
		p.does("answer", v.id, true)
		c = <-calling
		require.NotNil(t, c)
		v.begins(p, c)
		p.Run(`location.href = 'about:blank'`) // without a word
		err = v.ends(c)
		require.True(t, err == nil || errors.Is(err, easyrtcpion.ErrGone), err)
	})
}

// TestEasyRTCPageCallsABotAgainAtOnce has nobody wait for the end of the call before.
func TestEasyRTCPageCallsABotAgainAtOnce(t *testing.T) {
	const rounds = 5
	onEasyRTCHosts(t, func(t *testing.T, b *chromium.Browser, h easyrtcHost) {
		p, v := visits(t, b, h, easyrtc218)
		for range rounds {
			p.forgets()
			p.does("call", v.id)
			p.sees("open", wanted{"with": v.id})
			p.sees("stream", wanted{"from": v.id, "name": "default"})
			p.does("hangup", v.id)
			p.does("call", v.id)
			p.Await(p.js("entries", "open") + `.length === 2`)
			p.requireVideo(v.id)
			p.does("hangup", v.id)
		}
		p.requireQuiet()
	})
}

func TestEasyRTCPageAndABotAddStreams(t *testing.T) {
	onEasyRTCHosts(t, func(t *testing.T, b *chromium.Browser, h easyrtcHost) {
		for _, direction := range []string{"the page calls", "the bot calls"} {
			t.Run(direction, func(t *testing.T) {
				p, v := visits(t, b, h, easyrtc218)
				var c *easyrtcpion.Call
				if direction == "the page calls" {
					p.does("call", v.id)
					c = v.incoming(p)
				} else {
					var err error
					c, err = v.Call(bounded(t), p.id, v.tracks...)
					require.NoError(t, err)
				}
				v.begins(p, c)

				require.Empty(t, p.asks("addStream", v.id, "screen").Code)
				v.hears(p, "screen", webrtc.RTPCodecTypeVideo)
				p.sees("delivered", wanted{"to": v.id, "name": "screen"})
				require.NoError(t, c.AddTrack(v.extra))
				p.sees("stream", wanted{"from": v.id, "name": "more", "audio": 0, "video": 1})
				await(t, "word of the page", &v.seen, is("more"))
				p.requireVideo(v.id)
				require.NoError(t, c.RemoveTrack(v.extra))
				p.sees("ended", wanted{"from": v.id, "name": "more"})
				p.forgets()
				v.converses(p, c)
				v.hears(p, "screen", webrtc.RTPCodecTypeVideo)
				p.requireQuiet()
			})
		}
	})
}

func TestEasyRTCPageAndABotSendFilesToEachOther(t *testing.T) {
	every := make([]rune, 256)
	for i := range every {
		every[i] = rune(i)
	}
	content := strings.Repeat(string(every), 1200) // 300 kB, as Latin-1
	onEasyRTCHosts(t, func(t *testing.T, b *chromium.Browser, h easyrtcHost) {
		p, v := visits(t, b, h, easyrtc218)
		for _, way := range []string{"through the server", "in a call"} {
			if way == "in a call" {
				p.does("call", v.id)
				p.sees("open", wanted{"with": v.id})
			}
			p.does("receiveFiles", true)
			p.does("sendFile", v.id, way, content)
			got := await(t, "file of the page", &v.files, func(f visitorFile) bool { return f.name == way })
			require.NoError(t, got.err)
			require.True(t, got.text == latin1(content), "another content")
			p.sees("sending", wanted{"to": v.id, "status": "done"})

			require.NoError(t, v.SendFiles(bounded(t), p.id, &easyrtcpion.File{
				Name: way + ".bin", Type: "application/x-test", Size: int64(len(every) * 1200),
				Content: strings.NewReader(latin1(content)),
			}))
			p.Await(`user.saw('file', {name: ` + quoted(t, way+".bin") + `})`)
			p.sees("file", wanted{"from": v.id, "name": way + ".bin", "mime": "application/x-test", "text": content})
			p.sees("receiving", wanted{"from": v.id, "status": "done", "reason": "success"})
			p.forgets()
		}
		v.reject.Store(true)
		p.does("sendFile", v.id, "unwanted", content)
		p.sees("sending", wanted{"to": v.id, "status": "rejected"})
		p.does("receiveFiles", false)
		err := v.SendFiles(bounded(t), p.id, &easyrtcpion.File{Name: "x", Size: 1, Content: strings.NewReader("x")})
		require.ErrorIs(t, err, easyrtcpion.ErrRejected)
		p.requireQuiet()
	})
}

// latin1 returns a text of bytes that stand for one character each.
func latin1(text string) string {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		out = append(out, byte(r))
	}
	return string(out)
}

// TestEasyRTCOldPagesAndABotCallEachOther is about pages of Engine.IO 3.
func TestEasyRTCOldPagesAndABotCallEachOther(t *testing.T) {
	browser := chromium.Start(t)
	for _, version := range []easyrtcVersion{easyrtc2020, easyrtc110} {
		t.Run(version.name, func(t *testing.T) {
			easyrtcNode(t, version.easyrtc, version.client)
			p, v := visits(t, browser, startEasyRTCSite(t, easyrtc.ServerOptions{}), version)
			p.does("call", v.id)
			p.sees("accepted", wanted{"to": v.id, "accepted": true})
			c := v.incoming(p)
			v.begins(p, c)
			p.does("hangup", v.id)
			require.NoError(t, v.ends(c))
			v.settles(p)
			if version.deaf {
				return
			}
			c, err := v.Call(bounded(t), p.id, v.tracks...)
			require.NoError(t, err)
			v.begins(p, c)
			c.Hangup()
			p.sees("close", wanted{"with": v.id})
			p.requireQuiet()
		})
	}
}
