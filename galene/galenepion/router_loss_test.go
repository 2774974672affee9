package galenepion_test

import (
	"sync"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// A routerLossy drops packets that are sent for the first time; those that are repeated
// pass it by further up.
type routerLossy struct {
	interceptor.NoOp
	mu    sync.Mutex
	every int
	seen  map[uint16]bool
	lost  int
}

func (l *routerLossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *routerLossy) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	if info.MimeType != webrtc.MimeTypeVP8 {
		return w
	}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		l.mu.Lock()
		first := !l.seen[h.SequenceNumber]
		l.seen[h.SequenceNumber] = true
		drop := first && len(l.seen) > 20 && len(l.seen)%l.every == 0
		if drop {
			l.lost++
		}
		l.mu.Unlock()
		if drop {
			return len(payload), nil
		}
		return w.Write(h, payload, a)
	})
}

// api makes peer connections whose video is lost in part.
func (l *routerLossy) api(t *testing.T) *webrtc.API {
	t.Helper()
	engine, registry := new(webrtc.MediaEngine), new(interceptor.Registry)
	require.NoError(t, engine.RegisterDefaultCodecs())
	registry.Add(l) // first, so that what repeats lost packets is further from the network
	require.NoError(t, webrtc.ConfigureNack(engine, registry))
	require.NoError(t, webrtc.ConfigureRTCPReports(registry))
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(loopback.Settings()))
}
