package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// mseForms are all in which a server and a page can write.
var mseForms = []struct {
	name    string
	server  msejsonrpc.Form
	objects bool // of the page
}{
	{"strings", msejsonrpc.FormString, false},
	{"objects", msejsonrpc.FormObject, true},
	{"server strings, page objects", msejsonrpc.FormString, true},
	{"server objects, page strings", msejsonrpc.FormObject, false},
}

func TestMSEPagePlaysWhatABotSends(t *testing.T) {
	for _, form := range mseForms {
		t.Run(form.name, func(t *testing.T) {
			browser := chromium.Start(t)
			s := startMediaServer(t, form.server)
			bot := startMSEBot(t, s, "bot")
			start := time.Now()
			page := openMSEPage(t, browser, s, "viewer", wish{objects: form.objects})
			page.awaitStreams(1)
			page.requirePictures(10)
			t.Logf("%s: more than 10 frames after %v, %s", browser.Version(),
				time.Since(start).Round(time.Millisecond), receivedMedia(page.Page, "session.pc"))
			require.Equal(t, []string{"clip"}, page.streams())
			page.requireTalk(bot)
			sent, _ := bot.flows.from(0)
			require.Empty(t, sent, "the page has no camera")

			page.Run(fmt.Sprintf(addMedia, "audio: true, video: true"))
			requireFlow(t, bot.awaitFlow(t, webrtc.MimeTypeVP8), bot.awaitFlow(t, webrtc.MimeTypeOpus))
			page.requirePictures(10)
			page.requireQuiet()
		})
	}
}

// requireTalk demands that texts go both ways on the data channel. The server forwards
// to those whose channel is open by then, so the page repeats itself.
func (p *msePage) requireTalk(bot *mseBot) {
	p.t.Helper()
	p.Await(`session.data.readyState === 'open'`)
	p.Await(`(session.data.send('hello'), document.getElementById('log').textContent.includes('data: echo of hello\n'))`)
	await(p.t, "text of the page", &bot.texts, is("hello"))
	require.NoError(p.t, bot.Channel(mseLabel).SendText("good morning"))
	p.awaitLine("data: good morning")
}

func TestMSEPageSendsItsCameraToABot(t *testing.T) {
	for _, form := range mseForms {
		t.Run(form.name, func(t *testing.T) {
			browser := chromium.Start(t)
			s := startMediaServer(t, form.server)
			bot := startMSEBot(t, s, "bot")
			page := openMSEPage(t, browser, s, "sender", wish{camera: true, objects: form.objects})
			picture, sound := bot.awaitFlow(t, webrtc.MimeTypeVP8), bot.awaitFlow(t, webrtc.MimeTypeOpus)
			require.Equal(t, picture.StreamID(), sound.StreamID())
			requireFlow(t, picture, sound)

			before := page.sent()
			eventually(t, "key frame for a request", func() bool {
				require.NoError(t, bot.RequestKeyFrame(picture.TrackRemote)) // the server asks twice a second at most
				now := page.sent()
				return now.Requests > before.Requests && now.KeyFrames > before.KeyFrames
			})
			after := page.sent()
			require.Greater(t, after.Frames, before.Frames)
			t.Logf("%s: %+v, asked for key frames: %+v, %d and %d packets have arrived", browser.Version(),
				before, after, picture.packets.Load(), sound.packets.Load())

			page.Run(`session.pc.restartIce()`)
			g := page.gate
			awaitOffers(t, "page", &g.up, g.traffic().serverAnswers+1)
			requireFlow(t, picture, sound)
			page.requirePictures(10)
			page.requireTalk(bot)
			page.requireQuiet()
		})
	}
}

// sentStats are the members of an RTCOutboundRtpStreamStats that a test looks at.
type sentStats struct {
	Frames    int `json:"framesEncoded"`
	KeyFrames int `json:"keyFramesEncoded"`
	Requests  int `json:"pliCount"`
}

// sent tells what the page has sent of its camera.
func (p *msePage) sent() sentStats {
	p.t.Helper()
	return chromium.Eval[sentStats](p.Page, `session.pc.getStats().then(all =>
		[...all.values()].find(s => s.type === 'outbound-rtp' && s.kind === 'video'))`)
}

func TestMSEPagesSeeEachOtherUntilOneLeaves(t *testing.T) {
	for _, form := range mseForms[:2] {
		t.Run(form.name, func(t *testing.T) {
			browser := chromium.Start(t)
			s := startMediaServer(t, form.server)
			w := wish{camera: true, objects: form.objects}
			first, second := openMSEPage(t, browser, s, "first", w), openMSEPage(t, browser, s, "second", w)
			for range 2 {
				for _, p := range []*msePage{first, second} {
					p.awaitStreams(1)
					p.requirePictures(10)
				}
				t.Logf("first: %s; second: %s", receivedMedia(first.Page, "session.pc"), receivedMedia(second.Page, "session.pc"))
				second.press("leave")
				second.awaitLine("closed 1000")
				second.awaitStreams(0)
				first.awaitStreams(0)
				s.awaitMembers(t, 1)
				second.join(s.token(t, "second", time.Hour))
			}
			first.requireQuiet()
			second.requireQuiet()
		})
	}
}

// TestMSEPageWithdrawsOffersThatCrossTheServers has the server's offers wait until the
// page has made one.
func TestMSEPageWithdrawsOffersThatCrossTheServers(t *testing.T) {
	const rounds = 10
	for _, form := range mseForms[:2] {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel() // with the other form only: browsers need the processor
			browser := chromium.Start(t)
			s := startMediaServer(t, form.server)
			bot := startMSEBot(t, s, "bot")
			bot.awaitPublished(t, s)
			s.hold.Store(true)
			page := openMSEPage(t, browser, s, "page", wish{camera: true, objects: form.objects})
			g := page.gate
			awaitOffers(t, "server", &g.down, 1)
			awaitOffers(t, "page", &g.up, 1)
			g.release(t)
			g.await(t, traffic{clientOffers: 2, clientAnswers: 1, serverOffers: 1, serverAnswers: 1})

			base := []*flow{bot.awaitFlow(t, webrtc.MimeTypeVP8), bot.awaitFlow(t, webrtc.MimeTypeOpus)}
			requireFlow(t, base...)
			page.awaitStreams(1)
			page.requirePictures(5)
			for round := range rounds {
				kind := []string{"video", "audio"}[round%2]
				g.cross(t, 1,
					func() { bot.AddTrack(bot.track) },
					func() { page.Run(fmt.Sprintf(addTrack, kind)) })
				added := bot.awaitFlow(t, base[round%2].Codec().MimeType, base...)
				requireFlow(t, append(base, added)...)
				page.awaitStreams(2)
				page.requirePictures(5)
				require.Equal(t, []string{"clip", "more"}, page.streams())

				g.cross(t, 0, // the answer to the server says already that nothing is sent
					func() { bot.RemoveTrack(bot.track) },
					func() { page.Run(removeTrack) })
				added.awaitEnd(t)
				requireFlow(t, base...)
				page.awaitStreams(1)
			}
			page.requirePictures(5)
			page.requireTalk(bot)
			page.requireQuiet()
			t.Logf("%s: %d crossings, %+v", browser.Version(), 2*rounds+1, g.traffic())
		})
	}
}

// TestMSEPageWithdrawsItsFirstMedia has offers cross before it is settled how the two
// sides number codecs and header extensions.
func TestMSEPageWithdrawsItsFirstMedia(t *testing.T) {
	for kind, mime := range map[string]string{"audio": webrtc.MimeTypeOpus, "video": webrtc.MimeTypeVP8} {
		t.Run(kind, func(t *testing.T) {
			browser := chromium.Start(t)
			s := startMediaServer(t, msejsonrpc.FormString)
			page := openMSEPage(t, browser, s, "page", wish{})
			g := page.gate
			g.await(t, traffic{clientOffers: 1, serverAnswers: 1})
			g.hold()
			bot := startMSEBot(t, s, "bot")
			awaitOffers(t, "server", &g.down, 1)
			page.Run(fmt.Sprintf(addMedia, kind+": true"))
			awaitOffers(t, "page", &g.up, 2)
			g.release(t)
			requireFlow(t, bot.awaitFlow(t, mime))
			page.awaitStreams(1)
			page.requirePictures(10)
			page.requireTalk(bot)
			page.requireQuiet()
		})
	}
}

const (
	// addMedia sends camera, microphone or both.
	addMedia = `navigator.mediaDevices.getUserMedia({%s}).then(media =>
		media.getTracks().forEach(track => session.addTrack(track, media)))`
	// addTrack sends another track of a kind that the page sends already.
	addTrack = `window.added = session.addTrack(
		session.pc.getSenders().find(s => s.track?.kind === %q).track.clone(), new MediaStream())`
	// removeTrack takes it away.
	removeTrack = `(added.track.stop(), session.pc.removeTrack(added))`
)

// cross has the server and its client make an offer at the same time, and waits until
// both are settled: the client answers, and makes as many offers again as it needs to.
func (g *gate) cross(t *testing.T, again int, server, client func()) {
	t.Helper()
	n := g.traffic()
	g.hold()
	server()
	awaitOffers(t, "server", &g.down, n.serverOffers+1)
	client()
	awaitOffers(t, "client", &g.up, n.clientOffers+1)
	g.release(t)
	g.await(t, traffic{
		clientOffers: n.clientOffers + 1 + again, clientAnswers: n.clientAnswers + 1,
		serverOffers: n.serverOffers + 1, serverAnswers: n.serverAnswers + again,
	})
}

// TestMSEPageNegotiatesWhileMembersComeAndGo has both sides offer whenever they like.
func TestMSEPageNegotiatesWhileMembersComeAndGo(t *testing.T) {
	const rounds = 10
	for _, form := range mseForms[:2] {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel() // with the other form only: browsers need the processor
			browser := chromium.Start(t)
			s := startMediaServer(t, form.server)
			bot := startMSEBot(t, s, "bot")
			page := openMSEPage(t, browser, s, "page", wish{camera: true, objects: form.objects})
			base := []*flow{bot.awaitFlow(t, webrtc.MimeTypeVP8), bot.awaitFlow(t, webrtc.MimeTypeOpus)}
			page.awaitStreams(1)
			for range rounds {
				token := s.token(t, "member", time.Hour)
				type joined struct {
					member *mseBot
					err    error
				}
				joining := make(chan joined, 1)
				go func() {
					member, err := joinMSEBot(t, s, token)
					joining <- joined{member, err}
				}()
				page.Run(addAndRemove)
				j := <-joining
				require.NoError(t, j.err)
				page.awaitStreams(2)
				page.requirePictures(5)
				requireFlow(t, j.member.awaitFlow(t, webrtc.MimeTypeVP8), j.member.awaitFlow(t, webrtc.MimeTypeOpus))
				requireFlow(t, base...)
				j.member.leave()
				page.awaitStreams(1)
			}
			page.requirePictures(5)
			page.requireTalk(bot)
			page.requireQuiet()
			t.Logf("%s: %+v, the description of the page has %d bytes", browser.Version(), page.gate.traffic(),
				chromium.Eval[int](page.Page, `session.pc.localDescription.sdp.length`))
		})
	}
}

// addAndRemove sends another track and takes it away again, three times, each as soon as
// the last step is negotiated.
const addAndRemove = `(async () => {
	const {pc} = session;
	const microphone = pc.getSenders().find(s => s.track?.kind === 'audio').track;
	const settle = async (sender, direction) => {
		while (pc.signalingState !== 'stable' ||
			pc.getTransceivers().find(t => t.sender === sender).currentDirection !== direction)
			await new Promise(done => setTimeout(done));
	};
	for (let i = 0; i < 3; i++) {
		const track = microphone.clone(), sender = session.addTrack(track, new MediaStream());
		await settle(sender, 'sendonly');
		pc.removeTrack(sender);
		track.stop();
		await settle(sender, 'inactive');
	}
})()`

func TestMSEPageTellsWhyItIsRefused(t *testing.T) {
	browser := chromium.Start(t)
	s := startMediaServer(t, msejsonrpc.FormString)
	page := openMSEPage(t, browser, s, "user", wish{})
	page.awaitLine("started")
	page.press("leave")
	for _, refused := range []struct{ token, says string }{
		{"", "Error: Invalid params (-32602)"},
		{"nonsense", "Error: Authorization Failed (-4001)"},
		{s.token(t, "user", -time.Minute), "Error: Authorization Failed (-4001)"},
		{s.token(t, "", time.Hour), "Error: Authorization Failed (-4001)"},
	} {
		page.Run(`document.getElementById('log').textContent = ''`)
		page.join(refused.token)
		page.awaitLine(refused.says)
		page.awaitLine("closed 1000")
	}
	page.join(s.token(t, "user", time.Hour))
	page.awaitLine("started")
	require.Empty(t, page.Exceptions())
}

func TestMSEPageTellsThatItsTokenHasExpired(t *testing.T) {
	browser := chromium.Start(t)
	s := startMediaServer(t, msejsonrpc.FormString)
	bot := startMSEBot(t, s, "bot")
	page := openMSEPage(t, browser, s, "user", wish{})
	page.awaitStreams(1)
	page.press("leave")
	page.awaitStreams(0)

	page.join(s.token(t, "user", 5*time.Second))
	page.awaitStreams(1)
	page.requirePictures(0)
	page.awaitLine("closed 1008 token expired")
	page.awaitStreams(0)
	require.True(t, chromium.Eval[bool](page.Page,
		`document.getElementById('leave').disabled && !document.getElementById('join').disabled`))
	s.awaitMembers(t, 1)
	require.NoError(t, bot.signaling.Ping(bounded(t)))
	page.requireQuiet()
}
