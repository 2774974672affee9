package interop

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

func TestCuttlefishPagePlaysOurDeviceThroughOurServer(t *testing.T) {
	files := http.FileServer(http.Dir(peer.Path(t, "Cuttlefish page", "CUTTLEFISH_HTML")))
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			browser := chromium.Start(t)
			srv := startServer(t, files)
			dev := startDevice(t, srv.url, 0)
			page := openCuttlefishPage(t, browser, srv.url+"/devices/"+deviceID+"/files/client.html", way.script)
			require.Contains(t, page.Console(), "log: "+way.says)
			page.use(dev)
			page.reload(dev)
			page.report(browser, "our server, "+way.name)
		})
	}
}

func TestCuttlefishPagePlaysOurDeviceThroughOperator(t *testing.T) {
	dir := peer.Path(t, "Cuttlefish page", "CUTTLEFISH_HTML")
	operatorBin(t)
	intercept := peer.Path(t, "connector of the Cuttlefish operator", "CUTTLEFISH_INTERCEPT")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			op := startOperator(t, intercept)
			browser := chromium.Start(t)
			files := httptest.NewServer(http.FileServer(http.Dir(dir))) // on the device: the operator fetches the page there
			defer files.Close()
			dev := op.startDevice(t, portOf(t, files))
			page := openCuttlefishPage(t, browser, op.url+"/devices/"+deviceID+"/files/client.html", way.script)
			require.Contains(t, page.Console(), "log: "+way.says)
			page.use(dev)
			page.reload(dev)
			page.report(browser, "operator, "+way.name)
		})
	}
}

// TestCuttlefishPageOf2025PlaysOurDeviceThroughOurServer has the page of the server that
// the protocol document describes, with the connector of its day, which speaks the
// document's endpoints.
func TestCuttlefishPageOf2025PlaysOurDeviceThroughOurServer(t *testing.T) {
	files := http.FileServer(http.Dir(peer.Path(t, "Cuttlefish page of 2025", "CUTTLEFISH_HTML_2025")))
	browser := chromium.Start(t)
	srv := startServer(t, files)
	dev := startDevice(t, srv.url, 0)
	page := openCuttlefishPage(t, browser, srv.url+"/client.html?deviceId="+deviceID, "")
	require.Equal(t, []cuttlefish.Dialect{cuttlefish.DialectDocument}, srv.clientDialects())
	page.use(dev)
	page.reload(dev)
	page.report(browser, "our server, page of 2025")
}

// A cuttlefishPage is the real page of a device.
type cuttlefishPage struct {
	*chromium.Page
	t       *testing.T
	toVideo time.Duration
}

// keepPeerConnections leaves the peer connections of a page in window.peerConnections.
const keepPeerConnections = `(() => {
	const Original = RTCPeerConnection;
	window.peerConnections = [];
	window.RTCPeerConnection = class extends Original {
		constructor(...args) {
			super(...args);
			window.peerConnections.push(this);
		}
	};
})()`

// openCuttlefishPage opens the page and waits for its picture.
func openCuttlefishPage(t *testing.T, b *chromium.Browser, url, script string) *cuttlefishPage {
	t.Helper()
	start := time.Now()
	p := &cuttlefishPage{Page: b.Open(t, url, keepPeerConnections, script), t: t}
	p.Await(playing("display_0"))
	p.toVideo = time.Since(start)
	p.Await(`document.getElementById('device-connection').style.display === 'block'`)
	p.Await(`!document.getElementById('power_btn').disabled`)
	return p
}

// use does what a user of the page does, and demands that the device notices.
func (p *cuttlefishPage) use(dev *device) {
	p.t.Helper()
	r := chromium.Eval[map[string]float64](p.Page, `document.getElementById('display_0').getBoundingClientRect().toJSON()`)
	p.Touch(r["x"]+r["width"]/2, r["y"]+r["height"]/2)
	dev.awaitTouch(p.t)
	p.press("home_btn")
	dev.awaitButton(p.t, cuttlefish.ButtonHome)
	p.Run(`for (const type of ['keydown', 'keyup'])
		document.getElementById('device-displays').dispatchEvent(new KeyboardEvent(type, {code: 'KeyB', bubbles: true}))`)
	dev.awaitKey(p.t, "KeyB")
	p.Run(`document.getElementById('mic_btn').dispatchEvent(new MouseEvent('mousedown'))`)
	await(p.t, "microphone", &dev.tracks, is(webrtc.RTPCodecTypeAudio))
	p.press("display-add-confirm")
	p.Await(playing("display_1"))
	p.Await(stillPlaying("display_0"))
	p.checkErrors()
}

// press presses and releases a button. The page's message bar may cover it, so the
// events are made rather than those of a mouse.
func (p *cuttlefishPage) press(id string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`for (const type of ['mousedown', 'mouseup', 'click'])
		document.getElementById(%q).dispatchEvent(new MouseEvent(type, {bubbles: true}))`, id))
}

// reload loads the page again, and demands that it plays and controls as before.
func (p *cuttlefishPage) reload(dev *device) {
	p.t.Helper()
	start := time.Now()
	p.Reload()
	p.Await(playing("display_0"))
	toVideo := time.Since(start)
	p.t.Logf("picture %v after a reload", toVideo.Round(time.Millisecond))
	p.Await(`!document.getElementById('volume_up_btn').disabled`)
	p.press("volume_up_btn")
	dev.awaitButton(p.t, cuttlefish.ButtonVolumeUp)
	p.checkErrors()
}

// checkErrors demands that nothing went wrong in the page but the loading of jQuery,
// which comes from another host.
func (p *cuttlefishPage) checkErrors() {
	p.t.Helper()
	require.Empty(p.t, slices.DeleteFunc(p.Exceptions(), func(text string) bool {
		return strings.Contains(text, "$ is not defined")
	}))
}

// report logs what was seen.
func (p *cuttlefishPage) report(b *chromium.Browser, how string) {
	p.t.Logf("%s, real page through %s: picture after %v, after the reload %s", b.Version(), how,
		p.toVideo.Round(time.Millisecond), receivedMedia(p.Page, "peerConnections.at(-1)"))
}

// portOf returns the port on which a test's HTTP server listens.
func portOf(t *testing.T, s *httptest.Server) int {
	t.Helper()
	_, text, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	return port
}
