package cuttlefishpion

import (
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

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
