// Package chromium drives a headless Chromium in tests. Nothing in it knows a protocol.
package chromium

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// commands are the names under which distributions install it.
var commands = []string{"chromium", "chromium-browser", "google-chrome"}

// closing is how long the browser may take to end by itself before it is killed.
const closing = 10 * time.Second

// A Browser is a running Chromium.
type Browser struct {
	ctx     context.Context // of chromedp: its end is the end of the browser
	version string
}

// Start starts a browser with a profile of its own, which ends with the test. The test
// is skipped when no Chromium is in PATH.
//
// Its camera and microphone are fakes of Chromium, ICE candidates are addresses rather
// than mDNS names, and no name resolves: pages that want fonts or STUN servers from
// elsewhere hear at once that there are none.
func Start(t testing.TB) *Browser {
	t.Helper()
	var path string
	for _, name := range commands {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skipf("no Chromium: none of %q is in PATH", commands)
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, // which does not work for root in a container; the pages are known
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // it is small in containers
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	b := &Browser{ctx: ctx}
	t.Cleanup(func() {
		patient, stop := context.WithTimeout(ctx, closing)
		_ = chromedp.Cancel(patient) // otherwise it is killed
		stop()
		cancel()
		release()
	})
	require.NoError(t, chromedp.Do(ctx), "starting %s", path)
	v, err := cdp.Call(ctx, chromedp.FromContext(ctx).Browser, browser.GetVersion, cdp.Empty{})
	require.NoError(t, err)
	b.version = v.Product
	return b
}

// Version returns the product with its version, as in HeadlessChrome/140.0.7339.80.
func (b *Browser) Version() string { return b.version }
