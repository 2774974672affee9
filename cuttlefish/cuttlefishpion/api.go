package cuttlefishpion

import (
	"fmt"
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// apiOf returns what makes peer connections: the application's API, or else, made
// with the first peer connection, one with Pion's default codecs and interceptors
// (NACK, RTCP reports, transport-wide feedback).
func apiOf(given *webrtc.API, settings webrtc.SettingEngine) func() (*webrtc.API, error) {
	if given != nil {
		return func() (*webrtc.API, error) { return given, nil }
	}
	return sync.OnceValues(func() (*webrtc.API, error) {
		codecs, interceptors := new(webrtc.MediaEngine), new(interceptor.Registry)
		if err := codecs.RegisterDefaultCodecs(); err != nil {
			return nil, fmt.Errorf("cuttlefishpion: codecs: %w", err)
		}
		if err := webrtc.RegisterDefaultInterceptors(codecs, interceptors); err != nil {
			return nil, fmt.Errorf("cuttlefishpion: interceptors: %w", err)
		}
		return webrtc.NewAPI(
			webrtc.WithSettingEngine(settings),
			webrtc.WithMediaEngine(codecs),
			webrtc.WithInterceptorRegistry(interceptors),
		), nil
	})
}

// configurationOf returns the configuration of a peer connection that uses servers.
func configurationOf(f func([]webrtc.ICEServer) webrtc.Configuration, servers []cuttlefish.ICEServer) webrtc.Configuration {
	converted := make([]webrtc.ICEServer, len(servers))
	for i, s := range servers {
		converted[i] = webrtc.ICEServer{URLs: s.URLs, Username: s.Username}
		if s.Credential != "" {
			converted[i].Credential = s.Credential
		}
	}
	if f != nil {
		return f(converted)
	}
	return webrtc.Configuration{ICEServers: converted}
}
