package interop

import (
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// playing is true in a page once the video element of that id shows the clip.
func playing(id string) string {
	return fmt.Sprintf(`(() => {
		const v = document.getElementById(%q);
		return !!v && v.videoWidth === %d && v.videoHeight === %d && v.currentTime > 0.5;
	})()`, id, clip.Width, clip.Height)
}

// stillPlaying is true in a page when the video element of that id shows another
// picture.
func stillPlaying(id string) string {
	return fmt.Sprintf(`(async () => {
		const v = document.getElementById(%q), before = v.currentTime;
		await new Promise(done => v.requestVideoFrameCallback(done));
		return v.currentTime > before;
	})()`, id)
}

// receivedMedia waits until a peer connection of a page has decoded pictures and heard
// the tone, and tells what it has received.
func receivedMedia(page *chromium.Page, pc string) string {
	page.Await(fmt.Sprintf(`%s.then(all => all.some(s => s.framesDecoded > 0) && all.some(s => s.totalAudioEnergy > 0))`, inbound(pc)))
	var parts []string
	for _, s := range chromium.Eval[[]inboundStats](page, inbound(pc)) {
		if s.Kind == "video" {
			parts = append(parts, fmt.Sprintf("%d RTP packets of video, %d frames decoded", s.Packets, s.Frames))
		} else {
			parts = append(parts, fmt.Sprintf("%d RTP packets of audio", s.Packets))
		}
	}
	return strings.Join(parts, ", ")
}

// inboundStats are the members of an RTCInboundRtpStreamStats that a test reports.
type inboundStats struct {
	Kind    string `json:"kind"`
	Packets int    `json:"packetsReceived"`
	Frames  int    `json:"framesDecoded"`
}

// inbound is a promise of all RTCInboundRtpStreamStats of a peer connection of a page.
func inbound(pc string) string {
	return fmt.Sprintf(`%s.getStats().then(all => [...all.values()].filter(s => s.type === 'inbound-rtp'))`, pc)
}
