package mediasoupproto

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// capabilitiesOf reads capabilities that are written as JSON.
func capabilitiesOf(tb testing.TB, text string) *RTPCapabilities {
	tb.Helper()
	caps := new(RTPCapabilities)
	require.NoError(tb, jsonx.Unmarshal([]byte(text), caps))
	return caps
}

// The devices of the traces, as far as they show: what they can do in their own numbers.
const (
	firefoxDevice = `{"codecs":[
		{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,"preferredPayloadType":109},
		{"kind":"audio","name":"PCMU","mimeType":"audio/PCMU","clockRate":8000,"preferredPayloadType":0},
		{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":120,"rtcpFeedback":[
			{"type":"nack"},{"type":"nack","parameter":"pli"},{"type":"ccm","parameter":"fir"},{"type":"goog-remb"},
			{"type":"transport-cc"}]},
		{"kind":"video","name":"rtx","mimeType":"video/rtx","clockRate":90000,"preferredPayloadType":124,
			"parameters":{"apt":120}},
		{"kind":"video","name":"H264","mimeType":"video/H264","clockRate":90000,"preferredPayloadType":126,
			"parameters":{"profile-level-id":"42e01f"}}],
		"headerExtensions":[
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level","preferredId":1},
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:csrc-audio-level","preferredId":2},
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:sdes:mid","preferredId":3},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:sdes:mid","preferredId":3},
		{"kind":"video","uri":"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time","preferredId":4},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:toffset","preferredId":5},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id","preferredId":9}]}`
	chromiumDevice = `{"codecs":[
		{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":96,"rtcpFeedback":[
			{"type":"goog-remb"},{"type":"transport-cc"},{"type":"ccm","parameter":"fir"},{"type":"nack"},
			{"type":"nack","parameter":"pli"}]},
		{"kind":"video","name":"rtx","mimeType":"video/rtx","clockRate":90000,"preferredPayloadType":97,
			"parameters":{"apt":96}},
		{"kind":"video","name":"H264","mimeType":"video/H264","clockRate":90000,"preferredPayloadType":102,
			"parameters":{"packetization-mode":0}},
		{"kind":"video","name":"H264","mimeType":"video/H264","clockRate":90000,"preferredPayloadType":103,"rtcpFeedback":[
			{"type":"goog-remb"},{"type":"transport-cc"},{"type":"ccm","parameter":"fir"},{"type":"nack"},
			{"type":"nack","parameter":"pli"}],"parameters":{"packetization-mode":1,"profile-level-id":"42001f"}},
		{"kind":"video","name":"rtx","mimeType":"video/rtx","clockRate":90000,"preferredPayloadType":104,
			"parameters":{"apt":103}},
		{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,"preferredPayloadType":111,
			"rtcpFeedback":[{"type":"transport-cc"}]}],
		"headerExtensions":[
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level","preferredId":1},
		{"kind":"audio","uri":"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time","preferredId":2},
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:sdes:mid","preferredId":4},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:toffset","preferredId":14},
		{"kind":"video","uri":"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time","preferredId":2},
		{"kind":"video","uri":"urn:3gpp:video-orientation","preferredId":13},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:sdes:mid","preferredId":4},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id","preferredId":10}]}`
	scriptedDevice = `{"codecs":[
		{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,"preferredPayloadType":111},
		{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":96,"rtcpFeedback":[
			{"type":"goog-remb"},{"type":"nack"},{"type":"nack","parameter":"pli"},{"type":"ccm","parameter":"fir"}]},
		{"kind":"video","name":"rtx","mimeType":"video/rtx","clockRate":90000,"preferredPayloadType":97,
			"parameters":{"apt":96}}],
		"headerExtensions":[
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level","preferredId":10},
		{"kind":"video","uri":"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time","preferredId":3}]}`
)

// device returns what the peer of a line has, or nil if it is no mediasoup-client.
func (l *wireLine) device(tb testing.TB) *RTPCapabilities {
	tb.Helper()
	switch chromium := strings.HasPrefix(l.flow, "02-") || strings.HasPrefix(l.flow, "06-"); {
	case l.scripted():
		return capabilitiesOf(tb, scriptedDevice)
	case strings.HasPrefix(l.flow, "6"):
		if l.Peer == "alice" {
			return capabilitiesOf(tb, chromiumDevice)
		}
		return nil
	case !strings.HasPrefix(l.flow, "0") && !strings.HasPrefix(l.flow, "1"):
		return nil
	case l.Peer == "alice" && !chromium, l.Peer == "bob" && chromium:
		return capabilitiesOf(tb, firefoxDevice)
	}
	return capabilitiesOf(tb, chromiumDevice)
}

// What a device and a room have in common is what mediasoup-client made of it: in its joins, in
// its producers, and in what it could receive.
func TestClientsOfTheTracesSayWhatTheyHaveInCommonWithTheRoom(t *testing.T) {
	t.Parallel()
	lines := wireLines(t)
	room := map[string]*RTPCapabilities{}           // of a peer, by flow
	common := map[string]*ExtendedRTPCapabilities{} // likewise
	joins, producers, consumers := 0, 0, 0
	for i := range lines {
		l := &lines[i]
		device := l.device(t)
		if device == nil || l.Peer == "" {
			continue
		}
		key := l.flow + " " + l.Peer
		switch {
		case l.is("c2s", "request", "queryRoom"):
			answer := answerOf(lines, i)
			require.NotNil(t, answer, l.place())
			result, err := (&Response{Result: answer.Body}).QueryRoom()
			require.NoError(t, err, answer.place())
			if result.RTPCapabilities != nil {
				room[key] = result.RTPCapabilities
			}
		case l.is("c2s", "request", "join"):
			if room[key] == nil { // which the application knew already
				require.Equal(t, "53-client-capabilities alice", key)
				room[key] = room["50-client-join-produce-consume alice"]
			}
			m, err := payloadOf(l)
			require.NoError(t, err, l.place())
			common[key] = ExtendRTPCapabilities(device, room[key])
			want, got := jsonOf(t, m.(*Join).RTPCapabilities), jsonOf(t, common[key].RTPCapabilities())
			requireSameJSON(t, []byte(want), []byte(got), l.place())
			require.Nil(t, checkCapabilities(common[key].RTPCapabilities(), room[key]), l.place())
			joins++
		case l.is("c2s", "request", "createProducer"):
			m, err := payloadOf(l)
			require.NoError(t, err, l.place())
			p := m.(*CreateProducer)
			require.True(t, common[key].CanSend(p.Kind), l.place())
			got := common[key].SendingRTPParameters(p.Kind)
			require.Equal(t, NullMuxID, got.MuxID)
			require.NotNil(t, got.Encodings)
			got.MuxID, got.Encodings, got.RTCP = p.RTPParameters.MuxID, p.RTPParameters.Encodings, p.RTPParameters.RTCP
			requireSameJSON(t, []byte(jsonOf(t, p.RTPParameters)), []byte(jsonOf(t, got)), l.place())
			producers++
		case l.is("s2c", "notification", "newConsumer"):
			m, err := payloadOf(l)
			require.NoError(t, err, l.place())
			if common[key] == nil {
				continue
			}
			p := m.(*NewConsumer).RTPParameters
			received := p != nil && len(p.Codecs) > 0 && p.Codecs[0].Name != "H264"
			require.Equal(t, received, common[key].CanReceive(p), l.place())
			consumers++
		}
	}
	require.Greater(t, joins, 35)
	require.Greater(t, producers, 30)
	require.Greater(t, consumers, 20)
}

func TestARoomWithoutVideoTakesNone(t *testing.T) {
	t.Parallel()
	room, err := GenerateRoomRTPCapabilities(DefaultCodecs()[:1])
	require.NoError(t, err)
	common := ExtendRTPCapabilities(capabilitiesOf(t, chromiumDevice), room)
	require.True(t, common.CanSend(Audio))
	require.NotNil(t, common.SendingRTPParameters(Audio))
	require.False(t, common.CanSend(Video))
	require.Nil(t, common.SendingRTPParameters(Video))
	require.False(t, common.CanSend(""))
}

func TestNothingInCommonIsStillACapability(t *testing.T) {
	t.Parallel()
	for _, common := range []*ExtendedRTPCapabilities{
		ExtendRTPCapabilities(nil, nil),
		ExtendRTPCapabilities(nil, defaultRoom(t)),
		ExtendRTPCapabilities(capabilitiesOf(t, chromiumDevice), nil),
		ExtendRTPCapabilities(new(RTPCapabilities), defaultRoom(t)),
	} {
		caps := common.RTPCapabilities()
		require.Equal(t, `{"codecs":[],"headerExtensions":[],"fecMechanisms":[]}`, jsonOf(t, caps))
		require.Nil(t, checkCapabilities(caps, defaultRoom(t)))
		require.False(t, common.CanSend(Audio))
	}
}

func TestAClientReceivesByTheFirstCodec(t *testing.T) {
	t.Parallel()
	common := ExtendRTPCapabilities(capabilitiesOf(t, chromiumDevice), defaultRoom(t))
	of := func(payloadTypes ...uint8) *RTPParameters {
		p := &RTPParameters{Codecs: []CodecParameters{}}
		for _, payloadType := range payloadTypes {
			p.Codecs = append(p.Codecs, CodecParameters{PayloadType: new(payloadType)})
		}
		return p
	}
	require.True(t, common.CanReceive(of(100)))
	require.True(t, common.CanReceive(of(101, 55)))
	require.False(t, common.CanReceive(of(55, 101)))
	require.False(t, common.CanReceive(of(102)), "rtx alone")
	require.False(t, common.CanReceive(of()))
	require.False(t, common.CanReceive(&RTPParameters{Codecs: []CodecParameters{{Name: "opus"}}}))
	require.False(t, common.CanReceive(nil))
}

func TestMandatoryCodecsThatAClientLacksAreNamed(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	common := ExtendRTPCapabilities(capabilitiesOf(t, scriptedDevice), room)
	missing, err := common.Unsupported(room, []uint8{100, 101})
	require.NoError(t, err)
	require.Empty(t, missing)
	missing, err = common.Unsupported(room, nil)
	require.NoError(t, err)
	require.Empty(t, missing)
	missing, err = common.Unsupported(room, []uint8{101, 103, 100})
	require.NoError(t, err)
	require.Len(t, missing, 1)
	require.Equal(t, *codecOf(room, 103), missing[0])
	missing, err = common.Unsupported(room, []uint8{103, 55})
	require.EqualError(t, err, "mediasoupproto: mandatory codec PT 55 not found in remote codecs")
	require.Nil(t, missing)
	_, err = common.Unsupported(nil, []uint8{7})
	require.Error(t, err)
}

// Codecs are the same by their type, clock rate and channels, and H264 by its packetization.
func TestCodecsOfAClientMatchThoseOfTheRoom(t *testing.T) {
	t.Parallel()
	codec := func(text string) *RTPCapabilities { return capabilitiesOf(t, `{"codecs":[`+text+`]}`) }
	const opus = `{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,` +
		`"preferredPayloadType":100}`
	const pcmu = `{"kind":"audio","name":"PCMU","mimeType":"audio/PCMU","clockRate":8000,"channels":1,` +
		`"preferredPayloadType":0}`
	const vp8 = `{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":101}`
	h264 := func(parameters string) string {
		return `{"kind":"video","name":"H264","mimeType":"video/H264","clockRate":90000,"preferredPayloadType":103` +
			parameters + `}`
	}
	for _, tt := range []struct {
		local, room string
		want        bool
	}{
		{opus, opus, true},
		{strings.Replace(opus, "audio/opus", "Audio/OPUS", 1), opus, true},
		{strings.Replace(opus, `"mimeType":"audio/opus",`, "", 1), opus, true},
		{strings.Replace(opus, "48000", "44100", 1), opus, false},
		{strings.Replace(opus, `"channels":2,`, "", 1), opus, false},
		{strings.Replace(opus, `"channels":2`, `"channels":1`, 1), opus, false},
		{strings.Replace(pcmu, `"channels":1,`, "", 1), pcmu, true},
		{vp8, vp8, true},
		{strings.Replace(vp8, `"clock`, `"channels":1,"clock`, 1), vp8, true},
		{vp8, opus, false},
		{strings.Replace(vp8, "VP8", "VP9", 2), vp8, false},
		{h264(``), h264(``), true},
		{h264(``), h264(`,"parameters":{"packetization-mode":0}`), true},
		{h264(``), h264(`,"parameters":{"packetization-mode":1}`), false},
		{h264(`,"parameters":{"packetization-mode":1.0}`), h264(`,"parameters":{"packetization-mode":1}`), true},
		{h264(`,"parameters":{"packetization-mode":"1"}`), h264(`,"parameters":{"packetization-mode":1}`), false},
		{h264(`,"parameters":{"packetization-mode":null}`), h264(``), true},
		{strings.Replace(h264(``), "video/H264", "video/h264", 1), h264(`,"parameters":{"packetization-mode":1}`), false},
	} {
		common := ExtendRTPCapabilities(codec(tt.local), codec(tt.room))
		require.Equal(t, tt.want, len(common.Codecs) == 1, "%s\n%s", tt.local, tt.room)
	}
}

// The first codec of the room is sent, whatever the client likes best, with its own numbers.
func TestAClientSendsTheFirstCodecOfTheRoom(t *testing.T) {
	t.Parallel()
	codecs := DefaultCodecs()
	codecs[1], codecs[2] = codecs[2], codecs[1]
	room, err := GenerateRoomRTPCapabilities(codecs)
	require.NoError(t, err)
	p := ExtendRTPCapabilities(capabilitiesOf(t, chromiumDevice), room).SendingRTPParameters(Video)
	require.Len(t, p.Codecs, 2)
	require.Equal(t, "H264", p.Codecs[0].Name)
	require.Equal(t, uint8(103), *p.Codecs[0].PayloadType)
	require.JSONEq(t, `"42e01f"`, string(p.Codecs[0].Parameters["profile-level-id"]), "the room's")
	require.Equal(t, uint8(104), *p.Codecs[1].PayloadType)
	require.Equal(t, Fields{"apt": json.RawMessage("103")}, p.Codecs[1].Parameters)
}

// Repeated packets need a codec on both sides.
func TestRTXNeedsBothSides(t *testing.T) {
	t.Parallel()
	without := func(caps *RTPCapabilities) *RTPCapabilities {
		var media []CodecCapability
		for _, c := range caps.Codecs {
			if !isRTX(c.Name) {
				media = append(media, c)
			}
		}
		return &RTPCapabilities{Codecs: media, HeaderExtensions: caps.HeaderExtensions}
	}
	device, room := capabilitiesOf(t, chromiumDevice), defaultRoom(t)
	for _, common := range []*ExtendedRTPCapabilities{
		ExtendRTPCapabilities(without(device), room),
		ExtendRTPCapabilities(device, without(room)),
	} {
		require.Len(t, common.RTPCapabilities().Codecs, 3)
		require.Len(t, common.SendingRTPParameters(Video).Codecs, 1)
	}
	require.Len(t, ExtendRTPCapabilities(device, room).RTPCapabilities().Codecs, 5)
}

// A room may leave out the kind of a codec, and a client its type.
func TestKindsAndTypesStandForEachOther(t *testing.T) {
	t.Parallel()
	room := capabilitiesOf(t, `{"codecs":[
		{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":101},
		{"name":"rtx","clockRate":90000,"preferredPayloadType":102,"parameters":{"apt":101}},
		{"kind":"video","name":"VP9","clockRate":90000,"preferredPayloadType":103}],"headerExtensions":[]}`)
	device := capabilitiesOf(t, `{"codecs":[{"kind":"video","name":"VP8","clockRate":90000,"preferredPayloadType":96},
		{"kind":"video","name":"rtx","clockRate":90000,"preferredPayloadType":97,"parameters":{"apt":96}},
		{"mimeType":"Video/vp9","clockRate":90000,"preferredPayloadType":98}]}`)
	common := ExtendRTPCapabilities(device, room)
	require.Equal(t, `{"codecs":[{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,`+
		`"preferredPayloadType":101,"rtcpFeedback":[]},{"kind":"video","name":"rtx","mimeType":"video/rtx",`+
		`"clockRate":90000,"preferredPayloadType":102,"parameters":{"apt":101}},{"kind":"video","name":"VP9",`+
		`"mimeType":"video/VP9","clockRate":90000,"preferredPayloadType":103,"rtcpFeedback":[]}],"headerExtensions":[],`+
		`"fecMechanisms":[]}`, jsonOf(t, common.RTPCapabilities()))
	require.Nil(t, checkCapabilities(common.RTPCapabilities(), room))

	room.Codecs[1].ClockRate = 48000 // it repeats nothing of the other one
	require.Len(t, ExtendRTPCapabilities(device, room).RTPCapabilities().Codecs, 2)
}

// A header extension without a kind is one of both.
func TestHeaderExtensionsWithoutAKindAreOfBoth(t *testing.T) {
	t.Parallel()
	device := capabilitiesOf(t, chromiumDevice)
	device.HeaderExtensions = []HeaderExtensionCapability{{URI: ExtensionMID, PreferredID: 7}}
	room := defaultRoom(t)
	common := ExtendRTPCapabilities(device, room)
	require.Equal(t, []ExtendedHeaderExtension{
		{URI: ExtensionMID, Kind: Audio, SendID: 7, RecvID: 5}, {URI: ExtensionMID, Kind: Video, SendID: 7, RecvID: 5},
	}, common.HeaderExtensions)
	room.HeaderExtensions = []HeaderExtensionCapability{{URI: ExtensionMID, PreferredID: 2}}
	common = ExtendRTPCapabilities(device, room)
	for _, kind := range []Kind{Audio, Video} {
		require.Equal(t, []HeaderExtension{{URI: ExtensionMID, ID: 7}}, common.SendingRTPParameters(kind).HeaderExtensions)
	}
	device.HeaderExtensions[0].Kind, room.HeaderExtensions[0].Kind = Audio, Video
	require.Empty(t, ExtendRTPCapabilities(device, room).HeaderExtensions)
}
