package pionpeer

import (
	"fmt"
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// LazyAPI returns what makes peer connections: the application's API, or else, made with the first peer connection,
// one with Pion's default codecs and interceptors (NACK, RTCP reports, transport-wide feedback). The function may be
// called concurrently.
func LazyAPI(given *webrtc.API, settings webrtc.SettingEngine) func() (*webrtc.API, error) {
	if given != nil {
		return func() (*webrtc.API, error) { return given, nil }
	}
	return sync.OnceValues(func() (*webrtc.API, error) {
		codecs, interceptors := new(webrtc.MediaEngine), new(interceptor.Registry)
		if err := codecs.RegisterDefaultCodecs(); err != nil {
			return nil, fmt.Errorf("codecs: %w", err)
		}
		if err := webrtc.RegisterDefaultInterceptors(codecs, interceptors); err != nil {
			return nil, fmt.Errorf("interceptors: %w", err)
		}
		return webrtc.NewAPI(
			webrtc.WithSettingEngine(settings),
			webrtc.WithMediaEngine(codecs),
			webrtc.WithInterceptorRegistry(interceptors),
		), nil
	})
}
