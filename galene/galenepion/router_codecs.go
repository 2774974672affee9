package galenepion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// routerDefaultCodecs are those of a group that names none.
var routerDefaultCodecs = []string{"vp8", "opus"}

// routerVideo is the feedback about video that a router understands.
var routerVideo = []webrtc.RTCPFeedback{{Type: "goog-remb"}, {Type: "ccm", Parameter: "fir"}}

// routerCodecs are the codecs that a group may name, with the payload types of Galène.
var routerCodecs = map[string][]webrtc.RTPCodecParameters{
	"vp8": {routerVideoCodec(webrtc.MimeTypeVP8, "", 96)},
	"vp9": {
		routerVideoCodec(webrtc.MimeTypeVP9, "profile-id=0", 98),
		routerVideoCodec(webrtc.MimeTypeVP9, "profile-id=2", 100),
	},
	"av1": {routerVideoCodec(webrtc.MimeTypeAV1, "", 35)},
	"h264": {
		routerVideoCodec(webrtc.MimeTypeH264,
			"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", 102),
		routerVideoCodec(webrtc.MimeTypeH264,
			"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 108),
	},
	"opus": {routerAudioCodec(webrtc.MimeTypeOpus, 48000, 2, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1", 111)},
	"g722": {routerAudioCodec(webrtc.MimeTypeG722, 8000, 1, "", 9)},
	"pcmu": {routerAudioCodec(webrtc.MimeTypePCMU, 8000, 1, "", 0)},
	"pcma": {routerAudioCodec(webrtc.MimeTypePCMA, 8000, 1, "", 8)},
}

func routerVideoCodec(mime, fmtp string, payload webrtc.PayloadType) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mime, ClockRate: 90000, SDPFmtpLine: fmtp, RTCPFeedback: routerVideo,
		},
		PayloadType: payload,
	}
}

func routerAudioCodec(
	mime string, clock uint32, channels uint16, fmtp string, payload webrtc.PayloadType,
) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mime, ClockRate: clock, Channels: channels, SDPFmtpLine: fmtp,
		},
		PayloadType: payload,
	}
}

// api returns what makes the peer connections for the streams of a group with these codecs.
func (r *Router) api(codecs []string) (*webrtc.API, error) {
	if r.opts.API != nil {
		return r.opts.API, nil
	}
	known := make([]string, 0, len(codecs))
	for _, name := range codecs {
		name = strings.ToLower(name)
		switch {
		case routerCodecs[name] == nil:
			r.log.Warn("galenepion: a group names a codec that is not known", "codec", name)
		case !slices.Contains(known, name):
			known = append(known, name)
		}
	}
	if len(known) == 0 {
		known = routerDefaultCodecs
	}
	key := strings.Join(known, " ")
	r.mu.Lock()
	api := r.apis[key]
	r.mu.Unlock()
	if api != nil {
		return api, nil
	}
	api, err := r.newAPI(known)
	if err != nil {
		return nil, fmt.Errorf("galenepion: codecs %s: %w", key, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apis[key] = api
	return api, nil
}

func (r *Router) newAPI(codecs []string) (*webrtc.API, error) {
	engine, interceptors := new(webrtc.MediaEngine), new(interceptor.Registry)
	for _, name := range codecs {
		for _, codec := range routerCodecs[name] {
			kind := webrtc.RTPCodecTypeAudio
			if strings.HasPrefix(codec.MimeType, "video/") {
				kind = webrtc.RTPCodecTypeVideo
			}
			if err := engine.RegisterCodec(codec, kind); err != nil {
				return nil, err
			}
		}
	}
	if err := webrtc.ConfigureNack(engine, interceptors); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureRTCPReports(interceptors); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(engine); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithSettingEngine(r.opts.Settings),
		webrtc.WithMediaEngine(engine),
		webrtc.WithInterceptorRegistry(interceptors),
	), nil
}
