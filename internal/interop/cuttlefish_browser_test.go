package interop

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// withoutWebSocket makes a page poll.
const withoutWebSocket = `delete window.WebSocket`

// ways are the two ways in which a page talks to a server, with the script that makes it
// take this way and what our connector and the operator's say about it.
var ways = []struct{ name, script, says string }{
	{"websocket", "", "Using WebSocket signaling"},
	{"polling", withoutWebSocket, "Using HTTP polling signaling"},
}

func TestCuttlefishBrowserPlaysOurDeviceThroughOurServer(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			browser := chromium.Start(t)
			srv := startServer(t, http.FileServer(http.Dir("testdata/cuttlefish/page")))
			dev := startDevice(t, srv.url, 0)
			start := time.Now()
			page := browser.Open(t, srv.url+"/devices/"+deviceID+"/files/client.html", way.script)
			page.Await(playing("display_0"))
			toVideo := time.Since(start)
			require.Contains(t, page.Console(), "log: "+way.says)

			page.Await(`client.control?.readyState === 'open' && client.events.includes('VIRTUAL_DEVICE_BOOT_COMPLETED')`)
			page.Run(`for (const state of ['down', 'up'])
				client.control.send(JSON.stringify({command: 'home', button_state: state}))`)
			dev.awaitButton(t, cuttlefish.ButtonHome)
			page.Run(`for (const type of ['keydown', 'keyup'])
				client.input.send(JSON.stringify({type: 'keyboard', event_type: type, keycode: 'KeyA'}))`)
			dev.awaitKey(t, "KeyA")
			page.Run(`client.adb.send(new TextEncoder().encode('ping'))`)
			page.Await(`client.echoes.includes('ping')`)
			page.Run(`client.microphone()`)
			await(t, "microphone", &dev.tracks, is(webrtc.RTPCodecTypeAudio))
			page.Await(stillPlaying("display_0"))
			require.Empty(t, page.Exceptions())
			t.Logf("%s, our page over %s: picture after %v, %s", browser.Version(), way.name,
				toVideo.Round(time.Millisecond), receivedMedia(page, "client.pc"))
		})
	}
}

// TestCuttlefishBrowserPollsWhenUpgradeIsRefused stands for proxies that let no WebSocket
// through.
func TestCuttlefishBrowserPollsWhenUpgradeIsRefused(t *testing.T) {
	browser := chromium.Start(t)
	srv := startServer(t, http.FileServer(http.Dir("testdata/cuttlefish/page")))
	startDevice(t, srv.url, 0)
	proxy := httptest.NewServer(refuseUpgrades(srv))
	defer proxy.Close()
	page := browser.Open(t, proxy.URL+"/devices/"+deviceID+"/files/client.html")
	page.Await(playing("display_0"))
	require.Contains(t, page.Console(), "log: Using HTTP polling signaling")
}
