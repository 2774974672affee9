package interop

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/firefox"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// startDemo runs examples/demo -serve until the test ends, and returns the address of the page
// that leads to the others.
func startDemo(t *testing.T) string {
	t.Helper()
	p := peer.Start(t, exec.Command(buildExample(t, "demo"), "-serve"))
	ready := regexp.MustCompile(`(?s)^Open (\S+) in a browser.*\nmediasoup `)
	require.True(t, peer.Await(patience, func() bool { return p.Ended() || ready.MatchString(p.Output()) }))
	require.False(t, p.Ended(), p.Output())
	return ready.FindStringSubmatch(p.Output())[1]
}

// buildExample builds one of the examples, and returns where it is.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // of a machine that has built nothing yet
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./examples/"+name)
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// collectPeers keeps the peer connections of a page in window.peers.
const collectPeers = `{
	const Original = RTCPeerConnection;
	window.peers = [];
	window.RTCPeerConnection = class extends Original {
		constructor(...args) {
			super(...args);
			window.peers.push(this);
		}
	};
}`

// A demoBrowser is any browser.
type demoBrowser struct {
	version string
	links   map[string]string // of the page that leads to the others
	open    func(t *testing.T, url string) demoPage
	count   func(p demoPage, js string) int
}

type demoPage interface {
	Await(js string)
	Run(js string)
	Exceptions() []string
}

const demoLinks = `Object.fromEntries([...document.querySelectorAll('a.watch')].map(a => [a.dataset.protocol, a.href]))`

func TestDemoServesBrowsers(t *testing.T) {
	page := startDemo(t)
	t.Run("Chromium", func(t *testing.T) {
		b := chromium.Start(t)
		requireDemoPages(t, demoBrowser{
			version: b.Version(),
			links:   chromium.Eval[map[string]string](b.Open(t, page), demoLinks),
			open:    func(t *testing.T, url string) demoPage { return b.Open(t, url, collectPeers) },
			count:   func(p demoPage, js string) int { return chromium.Eval[int](p.(*chromium.Page), js) },
		})
		requireDemoFollowsBots(t, b, page)
	})
	t.Run("Firefox", func(t *testing.T) {
		mediaIP(t) // without one there are no media
		b := firefox.Start(t)
		requireDemoPages(t, demoBrowser{
			version: b.Version(),
			links:   firefox.Eval[map[string]string](b.Open(t, page), demoLinks),
			open:    func(t *testing.T, url string) demoPage { return b.Open(t, url, collectPeers) },
			count:   func(p demoPage, js string) int { return firefox.Eval[int](p.(*firefox.Page), js) },
		})
	})
}

// requireDemoPages follows all links of a demo's page. Each leads to a bot's picture and sound,
// and most to one who talks.
func requireDemoPages(t *testing.T, b demoBrowser) {
	t.Helper()
	require.Len(t, b.links, 5)
	for _, c := range []struct{ name, answers string }{
		{"cuttlefish", ""}, {"mse", ""}, {"galene", "publisher"}, {"easyrtc", "publisher"}, {"mediasoup", "the server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, b.links, c.name)
			p := b.open(t, b.links[c.name])
			p.Await(`document.querySelector('video')?.videoWidth === 320 && document.querySelector('video').videoHeight === 240`)
			received := inbound("peers[0]")
			decoded := received + `.then(all => all.find(s => s.kind === 'video')?.framesDecoded ?? 0)`
			p.Await(fmt.Sprintf(`%s.then(n => n > %d)`, decoded, b.count(p, decoded)+10))
			p.Await(received + `.then(all => all.some(s => s.kind === 'audio' && s.packetsReceived > 0))`)
			t.Logf("%s: %d frames decoded", b.version, b.count(p, decoded))
			if c.answers != "" {
				p.Await(`!document.getElementById('talk').hidden`)
				p.Run(`(document.getElementById('words').value = 'hello', document.getElementById('talk').requestSubmit())`)
				p.Await(fmt.Sprintf(`document.getElementById('log').textContent.includes('\n%s: hello\n')`, c.answers))
			}
			require.Zero(t, b.count(p, `document.getElementById('log').textContent.split('failed').length - 1`))
			require.Empty(t, p.Exceptions())
		})
	}
}

// requireDemoFollowsBots has a second bot come and go, twice.
func requireDemoFollowsBots(t *testing.T, b *chromium.Browser, page string) {
	t.Helper()
	links := chromium.Eval[map[string]string](b.Open(t, page), demoLinks)
	galene, err := url.Parse(links["galene"])
	require.NoError(t, err)
	mediasoup, err := url.Parse(links["mediasoup"])
	require.NoError(t, err)
	for _, c := range []struct {
		name, page, bot string
		args            []string
	}{
		{"galene", galene.String(), "bot-galene-publisher", []string{"-group", galene.String()}},
		{"mediasoup", mediasoup.String(), "bot-mediasoup-publisher",
			[]string{"-server", "ws://" + mediasoup.Host, "-room", "demo"}},
	} {
		t.Run(c.name+" with a second bot", func(t *testing.T) {
			bot := buildExample(t, c.bot)
			p := b.Open(t, c.page)
			pictures := func(n int) {
				p.Await(fmt.Sprintf(`(v => v.length === %d && v.every(v => v.videoWidth === 320))`+
					`([...document.querySelectorAll('video')])`, n))
			}
			pictures(1)
			for range 2 {
				t.Run("while it is there", func(t *testing.T) {
					peer.Start(t, exec.Command(bot, append(c.args, "-user", "second")...))
					pictures(2)
					p.Await(`document.getElementById('videos').textContent.includes('second, connected: 320')`)
				})
				pictures(1) // the bot's program has ended
			}
			const time = `document.querySelector('video').currentTime`
			p.Await(fmt.Sprintf(`%s > %v`, time, chromium.Eval[float64](p, time)+0.5))
			require.Empty(t, p.Exceptions())
			require.NotContains(t, chromium.Eval[string](p, `document.getElementById('log').textContent`), "failed")
		})
	}
}
