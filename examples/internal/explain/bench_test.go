package explain

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// benchmarked are a recording of each protocol, and what its offer has in it.
var benchmarked = map[string]struct{ file, offer string }{
	"cuttlefish": {"cuttlefish/testdata/traces/go-real-browser-ws.device.jsonl", "m=video"},
	"mse":        {"", "m=video"},
	"galene":     {"galene/testdata/traces/v2/30-publish-subscribe-close.jsonl", "m=video"},
	"easyrtc":    {"easyrtc/testdata/traces/browser_data_websocket_only.jsonl", "v=0"},
	"mediasoup":  {"mediasoupproto/testdata/traces/*.jsonl", "rtpParameters"},
}

// What an inspector does for each offer that passes.
func BenchmarkExplainOffer(b *testing.B) {
	for _, p := range Protocols {
		b.Run(p.Name, func(b *testing.B) {
			r := NewRecording(p)
			offer := offerOf(b, r, p.Name)
			b.SetBytes(int64(len(offer.Data)))
			b.ReportAllocs()
			for b.Loop() {
				r.Explain(offer)
			}
		})
	}
}

// offerOf explains a recording up to its offer, which it returns.
func offerOf(b *testing.B, r *Recording, protocol string) capture.Entry {
	b.Helper()
	what := benchmarked[protocol]
	files := []string{filepath.Join("testdata", "mse", "typical-flow.jsonl")}
	if what.file != "" {
		files = filesOf(b, what.file)
	}
	for _, file := range files {
		for _, e := range readTrace(b, file) {
			if e.Cut == 0 && e.Kind == capture.Message && bytes.Contains(e.Data, []byte(what.offer)) {
				return e
			}
			r.Explain(e)
		}
	}
	require.Fail(b, "there is no offer", protocol)
	return capture.Entry{}
}
