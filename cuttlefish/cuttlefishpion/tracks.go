package cuttlefishpion

import (
	"fmt"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// NewDisplayTrack returns a track for the device's display n, counted from 0, such as
// NewDisplayTrack(webrtc.MimeTypeVP8, 0). A client finds a display by the id of its
// stream, so a track of another kind must have [cuttlefish.DisplayStreamID] as its id
// and as that of its stream.
func NewDisplayTrack(mimeType string, n int) (*webrtc.TrackLocalStaticSample, error) {
	return newTrack(mimeType, cuttlefish.DisplayStreamID(n))
}

// NewAudioTrack returns a track for the device's sound, such as
// NewAudioTrack(webrtc.MimeTypeOpus).
func NewAudioTrack(mimeType string) (*webrtc.TrackLocalStaticSample, error) {
	return newTrack(mimeType, cuttlefish.AudioStreamID)
}

// newTrack names track and stream alike, as libwebrtc does with the label that the
// real device gives it.
func newTrack(mimeType, id string) (*webrtc.TrackLocalStaticSample, error) {
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mimeType}, id, id)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishpion: track %s: %w", id, err)
	}
	return track, nil
}
