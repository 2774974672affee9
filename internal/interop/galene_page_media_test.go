package interop

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// plays waits until the page shows and hears a stream of a user, and tells what it has
// received.
func (p *galenePage) plays(source string) string {
	p.t.Helper()
	down := fmt.Sprintf(`Object.values(serverConnection.down).find(c => c.source === %q && c.pc)`, source)
	p.Await("!!" + down)
	p.Await(fmt.Sprintf(`document.getElementById('media-' + %s.localId)?.videoWidth > 0`, down))
	return receivedMedia(p.Page, down+".pc")
}

// streams returns how many streams the page receives.
func (p *galenePage) streams() int {
	p.t.Helper()
	return chromium.Eval[int](p.Page, `Object.keys(serverConnection.down).length`)
}

// from waits for the tracks of a user's stream.
func (b *galeneBot) from(source string) []*galeneFlow {
	b.t.Helper()
	var flows []*galeneFlow
	for _, kind := range []webrtc.RTPCodecType{sound, picture} {
		flows = append(flows, await(b.t, kind.String(), &b.flows, func(f *galeneFlow) bool {
			return f.stream.Source == source && f.track.Kind() == kind && !f.ended.Load()
		}))
	}
	return flows
}

func TestGaleneWebUICallsABot(t *testing.T) {
	browser := galeneUI(t)
	for name, start := range map[string]func(t *testing.T) *galeneServer{
		"relay":  func(t *testing.T) *galeneServer { return startOurGalene(t, galene.ServerOptions{}) },
		"router": startRouted,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			page := openGalenePage(t, browser, s, "test")
			page.enter("alice", true)
			alice := page.id()
			bot := s.bot(t, "test", "bob", nil)
			require.NoError(t, bot.Request(everything))
			for _, f := range bot.from(alice) {
				require.Equal(t, "camera", f.stream.Label)
				require.Equal(t, "alice", f.stream.Username)
				f.runs(t)
			}
			pub := bot.publish("camera")
			t.Logf("%s from our bot: %s", browser.Version(), page.plays(bot.ID()))
			require.Equal(t, clip.Width, chromium.Eval[int](page.Page, fmt.Sprintf(
				`document.getElementById('media-' + serverConnection.down[%q].localId).videoWidth`, pub.ID())))

			page.command("/sharescreen")
			screen := await(t, "screen", &bot.streams, func(s *galenepion.Subscription) bool { return s.Label == "screenshare" })
			bot.flow(screen.ID, picture)
			page.command("/unsharescreen")
			require.NoError(t, bot.gone(screen))
			page.command("/renegotiate")
			page.command("still here")
			expect(bot.galeneClient, "chat", chatOf(t, "still here"))
			for _, f := range bot.from(alice) {
				f.runs(t)
			}

			require.NoError(t, pub.Restart())
			frames := decoded(page, pub.ID())
			eventually(t, "pictures after the restart", func() bool { return decoded(page, pub.ID()) > frames })

			page.Await(`Object.values(serverConnection.up)[0].pc.signalingState === 'stable'`)
			page.command("/replace") // the camera is sent anew, in place of the old stream
			replaced := await(t, "replacement", &bot.streams, func(s *galenepion.Subscription) bool { return s.Replaces != nil })
			bot.flow(replaced.ID, picture).runs(t)

			pub.Unpublish()
			page.Await(`Object.keys(serverConnection.down).length === 0`)
			page.Run(`document.getElementById('unpresentbutton').click()`)
			require.NoError(t, bot.gone(replaced))
			page.quiet()
		})
	}
}

// decoded returns how many pictures of a stream the page has decoded.
func decoded(p *galenePage, id string) int {
	return chromium.Eval[int](p.Page, fmt.Sprintf(`serverConnection.down[%q].pc.getStats().then(
		all => [...all.values()].filter(s => s.type === 'inbound-rtp').reduce((n, s) => n + (s.framesDecoded ?? 0), 0))`, id))
}

func TestGaleneTwoWebUIsCallEachOther(t *testing.T) {
	browser := galeneUI(t)
	s := startOurGalene(t, galene.ServerOptions{})
	alice, bob := openGalenePage(t, browser, s, "test"), openGalenePage(t, browser, s, "test")
	alice.enter("alice", true)
	bob.enter("bob", true)
	t.Logf("%s at alice's: %s", browser.Version(), alice.plays(bob.id()))
	t.Logf("at bob's: %s", bob.plays(alice.id()))
	alice.lists("alice", "bob")
	bob.lists("alice", "bob")
	bob.command("hello alice")
	alice.shows("hello alice", "")

	alice.command("/unpresent bob")
	bob.warns("permission denied")
	alice.Await(`Object.keys(serverConnection.down).length === 0`)
	alice.command("/present bob")
	bob.Await(`serverConnection.permissions.includes('present')`)

	bob.Run(`serverConnection.close()`)
	alice.lists("alice")
	bob.enter("bob", true)
	alice.plays(bob.id())
	bob.plays(alice.id())
	alice.quiet()
	bob.quiet()
}

func TestGaleneThreeWebUIsMeetThroughTheRouter(t *testing.T) {
	browser := galeneUI(t)
	s := startRouted(t)
	pages := make([]*galenePage, 3)
	for i, user := range []string{"alice", "bob", "guest"} {
		pages[i] = openGalenePage(t, browser, s, "open")
		pages[i].enter(user, true)
	}
	for i, p := range pages {
		for j, other := range pages {
			if i != j {
				t.Logf("%s, page %d from page %d: %s", browser.Version(), i, j, p.plays(other.id()))
			}
		}
		require.Equal(t, 2, p.streams())
	}
	bot := s.bot(t, "open", "somebody", nil)
	require.NoError(t, bot.Request(everything))
	for _, p := range pages {
		for _, f := range bot.from(p.id()) {
			f.runs(t)
		}
	}
	// With three in the group the pages send their camera in several encodings.
	pages[0].Await(`Object.values(serverConnection.up)[0].pc.localDescription.sdp.includes('a=simulcast:')`)
	require.NoError(t, bot.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideoLow}}))
	for _, p := range pages {
		bot.from(p.id())[1].runs(t)
	}
	pages[2].Run(`serverConnection.close()`)
	for _, p := range pages[:2] {
		p.Await(`Object.keys(serverConnection.down).length === 1`)
		p.quiet()
	}
}

// aFile is something to send, in several pieces. With larger files the page has stopped on a
// busy machine, even between two pages, because it waits for an event of its data channel.
var aFile = strings.Repeat("0123456789abcdef", 4000)

func TestGaleneWebUIsSendFilesToEachOther(t *testing.T) {
	browser := galeneUI(t)
	s := startOurGalene(t, galene.ServerOptions{})
	alice, bob := openGalenePage(t, browser, s, "test"), openGalenePage(t, browser, s, "test")
	alice.enter("alice", false)
	bob.enter("bob", false)
	alice.lists("alice", "bob")
	bob.lists("alice", "bob")

	bob.offerFile(alice.id())
	alice.shows("offered to send us a file called \"a file.txt\"", "")
	alice.Run(`document.querySelector('[id^=byes-]').click()`)
	alice.receives()
	bob.shows("Done.", "")

	alice.offerFile(bob.id())
	bob.shows("offered to send us a file", "")
	bob.Run(`document.querySelector('[id^=bno-]').click()`)
	alice.shows("Cancelled", "")
	alice.quiet()
	bob.quiet()
}

// offerFile does what the page does when its user has chosen a file.
func (p *galenePage) offerFile(to string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`serverConnection.sendFile(%q,
		new File(['0123456789abcdef'.repeat(4000)], 'a file.txt', {type: 'text/plain'}))`, to))
}

// receives waits for the file.
func (p *galenePage) receives() {
	p.t.Helper()
	p.Await(`window.received.length > 0`)
	require.Equal(p.t, aFile, chromium.Eval[string](p.Page, `window.received.at(-1).text()`))
}

func TestGaleneWebUIAndOurBotSendFilesToEachOther(t *testing.T) {
	browser := galeneUI(t)
	s := startOurGalene(t, galene.ServerOptions{})
	page := openGalenePage(t, browser, s, "test")
	page.enter("alice", false)
	bot := s.bot(t, "test", "bob", nil)
	page.lists("alice", "bob")

	page.offerFile(bot.ID())
	offered := await[*galenepion.IncomingFile](t, "file", &bot.files, nil)
	require.Equal(t, "a file.txt", offered.Name)
	require.Equal(t, "text/plain", offered.MimeType)
	require.EqualValues(t, len(aFile), offered.Size)
	require.Equal(t, page.id(), offered.Source)
	require.Equal(t, "alice", offered.Username)
	var got bytes.Buffer
	require.NoError(t, offered.Accept(bounded(t), &got))
	require.Equal(t, aFile, got.String())
	page.shows("Done.", "")

	sent := make(chan error, 1)
	send := func() {
		sent <- bot.SendFile(bounded(t), page.id(), &galenepion.File{
			Name: "from the bot.txt", MimeType: "text/plain", Size: int64(len(aFile)), Content: strings.NewReader(aFile),
		})
	}
	go send()
	page.shows("offered to send us a file called \"from the bot.txt\"", "")
	page.Run(`document.querySelector('[id^=byes-]').click()`)
	page.receives()
	require.NoError(t, <-sent)

	go send()
	page.Await(`document.querySelectorAll('[id^=byes-]').length === 1`)
	page.Run(`document.querySelector('[id^=bno-]').click()`)
	var cancelled *galenepion.CancelError
	require.ErrorAs(t, <-sent, &cancelled)

	page.offerFile(bot.ID())
	refused := await(t, "file", &bot.files, func(f *galenepion.IncomingFile) bool { return f != offered })
	refused.Reject("no thanks")
	page.shows("no thanks", "")
	page.quiet()
}
