package interop

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/clip"
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

// receivedMedia tells what a peer connection of a page has received.
func receivedMedia(page *chromium.Page, pc string) string {
	var parts []string
	for _, s := range inbound(page, pc) {
		if s.Kind == "video" {
			parts = append(parts, fmt.Sprintf("%d RTP packets of video, %d frames decoded", s.Packets, s.Frames))
		} else {
			parts = append(parts, fmt.Sprintf("%d RTP packets of audio", s.Packets))
		}
	}
	return strings.Join(parts, ", ")
}

// inboundStats are an RTCInboundRtpStreamStats.
type inboundStats struct {
	Kind    string  `json:"kind"`
	Packets int     `json:"packets"`
	Frames  int     `json:"frames"`
	Energy  float64 `json:"energy"`
}

func inbound(page *chromium.Page, pc string) (stats []inboundStats) {
	text := chromium.Eval[string](page, fmt.Sprintf(`%s.getStats().then(all => JSON.stringify(
		[...all.values()].filter(s => s.type === 'inbound-rtp').map(s => ({
			kind: s.kind, packets: s.packetsReceived, frames: s.framesDecoded, energy: s.totalAudioEnergy}))))`, pc))
	_ = json.Unmarshal([]byte(text), &stats) // its own JSON
	return stats
}
