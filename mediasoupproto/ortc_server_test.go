package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

func parametersFrom(tb testing.TB, text string) *RTPParameters {
	tb.Helper()
	p := new(RTPParameters)
	require.NoError(tb, jsonx.Unmarshal([]byte(text), p))
	return p
}

func TestPayloadTypesOfARoomAreGivenInTheOrderOfMediasoup(t *testing.T) {
	t.Parallel()
	require.Len(t, dynamicPayloadTypes, 88)
	require.Equal(t, []uint8{100, 101}, dynamicPayloadTypes[:2])
	require.Equal(t, []uint8{127, 96, 97, 98, 99, 77}, dynamicPayloadTypes[27:33])
	require.Equal(t, []uint8{95, 35}, dynamicPayloadTypes[50:52])
	require.Equal(t, uint8(71), dynamicPayloadTypes[87])

	audio := CodecCapability{Kind: Audio, Name: "iLBC", ClockRate: 8000}
	video := CodecCapability{Kind: Video, Name: "vp8", ClockRate: 90000}
	of := func(codec CodecCapability, n int) (codecs []CodecCapability) {
		for range n {
			codecs = append(codecs, codec)
		}
		return codecs
	}
	room, err := GenerateRoomRTPCapabilities(of(audio, 88))
	require.NoError(t, err)
	for i, c := range room.Codecs {
		require.Equal(t, dynamicPayloadTypes[i], c.PreferredPayloadType)
	}
	_, err = GenerateRoomRTPCapabilities(of(audio, 89))
	require.EqualError(t, err, "mediasoupproto: too many codecs")
	room, err = GenerateRoomRTPCapabilities(of(video, 44))
	require.NoError(t, err)
	require.Len(t, room.Codecs, 88)
	_, err = GenerateRoomRTPCapabilities(append(of(video, 43), audio, video))
	require.EqualError(t, err, "mediasoupproto: too many codecs", "there is one left, and none for rtx")
	require.Equal(t, uint8(100), dynamicPayloadTypes[0], "nothing is used up")
}

func TestStaticPayloadTypesOfARoomStay(t *testing.T) {
	t.Parallel()
	room, err := GenerateRoomRTPCapabilities([]CodecCapability{
		{Kind: Audio, Name: "PCMA", ClockRate: 8000, Channels: 1},
		{Kind: Audio, Name: "pcmu", ClockRate: 8000},
		{Kind: Audio, Name: "G722", ClockRate: 8000},
		{Kind: Audio, Name: "CN", ClockRate: 16000},
		{Kind: Audio, Name: "opus", ClockRate: 48000, Channels: 2},
	})
	require.NoError(t, err)
	var got []string
	for _, c := range room.Codecs {
		got = append(got, fmt.Sprintf("%d %s/%d/%d", c.PreferredPayloadType, c.MimeType, c.ClockRate, c.Channels))
		require.Equal(t, []RTCPFeedback{}, c.RTCPFeedback)
		require.Equal(t, Fields{}, c.Parameters)
	}
	require.Equal(t, []string{
		"8 audio/PCMA/8000/1", "0 audio/PCMU/8000/1", "9 audio/G722/8000/1", "13 audio/CN/16000/1", "100 audio/opus/48000/2",
	}, got)
	_, err = GenerateRoomRTPCapabilities([]CodecCapability{
		{Kind: Audio, Name: "CN", ClockRate: 16000}, {Kind: Audio, Name: "CN", ClockRate: 8000},
	})
	require.EqualError(t, err, "mediasoupproto: two codecs of the payload type 13")
}

// Whatever mediasoup supports makes a room of its own, which a client of the same can join.
func TestEverySupportedCodecMakesARoom(t *testing.T) {
	t.Parallel()
	require.Len(t, supportedCodecs, 23)
	for _, s := range supportedCodecs {
		given := CodecCapability{
			Kind: s.Kind, Name: s.Name, ClockRate: s.ClockRate, Channels: s.Channels, Parameters: s.Parameters,
		}
		room, err := GenerateRoomRTPCapabilities([]CodecCapability{given})
		require.NoError(t, err, s.Name)
		require.Equal(t, s.MimeType, room.Codecs[0].MimeType)
		require.Len(t, room.HeaderExtensions, 8)
		require.NoError(t, (&Join{PeerName: "a", RTPCapabilities: room}).Validate(), s.Name)
		require.Nil(t, checkCapabilities(room, room), s.Name)
		common := ExtendRTPCapabilities(room, room)
		require.Nil(t, checkCapabilities(common.RTPCapabilities(), room), s.Name)
		p := common.SendingRTPParameters(s.Kind)
		m, e := mapProducer(p, room)
		require.Nil(t, e, s.Name)
		for from, to := range m.PayloadTypes {
			require.Equal(t, from, to, s.Name)
		}
	}
}

func TestARoomRefusesCodecsThatMediasoupDoesNotSupport(t *testing.T) {
	t.Parallel()
	for want, codecs := range map[string][]CodecCapability{
		"mediasoupproto: a room without codecs":                   nil,
		"mediasoupproto: codec \"video/AV1\" is not supported":    {{Kind: Video, Name: "AV1", ClockRate: 90000}},
		"mediasoupproto: codec \"video/rtx\" is not supported":    {{Kind: Video, Name: "rtx", ClockRate: 90000}},
		"mediasoupproto: codec \"audio/opus\" is not supported":   {{Kind: Audio, Name: "opus", ClockRate: 48000}},
		"mediasoupproto: codec \"video/VP8\" is not supported":    {{Kind: Video, Name: "VP8", ClockRate: 48000}},
		"mediasoupproto: codec \"audio/VP8\" is not supported":    {{Kind: Audio, Name: "VP8", ClockRate: 90000}},
		"mediasoupproto: codec \"/VP8\" is not supported":         {{Name: "VP8", ClockRate: 90000}},
		"mediasoupproto: codec \"video/H264\" is not supported":   {h264(`2`)},
		"mediasoupproto: codec \"video/H264x\" is not supported":  {{MimeType: "video/H264x"}},
		"mediasoupproto: codec \"video/theirs\" is not supported": {DefaultCodecs()[0], {MimeType: "video/theirs"}},
	} {
		room, err := GenerateRoomRTPCapabilities(codecs)
		require.EqualError(t, err, want)
		require.Nil(t, room)
	}
	for _, mode := range []string{``, `0`, `1`} {
		room, err := GenerateRoomRTPCapabilities([]CodecCapability{h264(mode)})
		require.NoError(t, err, mode)
		if mode == "" {
			mode = "0"
		}
		require.Equal(t, Fields{packetizationMode: json.RawMessage(mode)}, room.Codecs[0].Parameters)
	}
}

func h264(mode string) CodecCapability {
	c := CodecCapability{Kind: Video, Name: "h264", MimeType: "video/H264", ClockRate: 90000}
	if mode != "" {
		c.Parameters = Fields{packetizationMode: json.RawMessage(mode)}
	}
	return c
}

func TestCapabilitiesThatAreNotOfTheRoomAreRefused(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	const none = `,"headerExtensions":[]`
	for _, tt := range []struct{ caps, want string }{
		{`{"codecs":[]` + none + `}`, ""},
		{`{"codecs":[{"name":"OPUS","clockRate":48000,"channels":2,"preferredPayloadType":100}]` + none + `}`, ""},
		{`{"codecs":[{"name":"VP8","clockRate":90000,"channels":9,"preferredPayloadType":101}]` + none + `}`, ""},
		{`{"codecs":[{"name":"rtx","clockRate":90000,"preferredPayloadType":104}]` + none + `}`, ""},
		{
			`{"codecs":[{"name":"H264","clockRate":90000,"preferredPayloadType":103,
				"parameters":{"packetization-mode":1}}]` + none + `}`, "",
		},
		{`{"codecs":[],"headerExtensions":[{"uri":"urn:3gpp:video-orientation","preferredId":4}]}`, ""},
		{`{"codecs":[]}`, "TypeError: rtpCapabilities.headerExtensions is missing"},
		{`{` + none[1:] + `}`, "TypeError: rtpCapabilities.codecs is not iterable"},
		{`{"codecs":[{"name":"","clockRate":90000,"preferredPayloadType":104}]` + none + `}`, "TypeError: " + textNoName},
		{
			`{"codecs":[{"name":"opus","clockRate":48000,"channels":2,"preferredPayloadType":111}]` + none + `}`,
			"Error: unsupported codec [name:opus, preferredPayloadType:111]",
		},
		{
			`{"codecs":[{"name":"opus","clockRate":48000,"preferredPayloadType":100}]` + none + `}`,
			"Error: unsupported codec [name:opus, preferredPayloadType:100]",
		},
		{
			`{"codecs":[{"kind":"video","name":"opus","clockRate":48000,"channels":2,"preferredPayloadType":100}]` + none + `}`,
			"Error: unsupported codec [name:opus, preferredPayloadType:100]",
		},
		{
			`{"codecs":[{"name":"H264","clockRate":90000,"preferredPayloadType":103}]` + none + `}`,
			"Error: unsupported codec [name:H264, preferredPayloadType:103]",
		},
		{
			`{"codecs":[],"headerExtensions":[{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level",
				"preferredId":1}]}`,
			"Error: unsupported header extension [kind:video, uri:urn:ietf:params:rtp-hdrext:ssrc-audio-level]",
		},
		{
			`{"codecs":[],"headerExtensions":[{"uri":"urn:3gpp:video-orientation","preferredId":5}]}`,
			"Error: unsupported header extension [kind:undefined, uri:urn:3gpp:video-orientation]",
		},
		{
			`{"codecs":[],"headerExtensions":[{"kind":"audio","uri":"urn:x","preferredId":1}]}`,
			"Error: unsupported header extension [kind:audio, uri:urn:x]",
		},
	} {
		e := checkCapabilities(capabilitiesOf(t, tt.caps), room)
		if tt.want == "" {
			require.Nil(t, e, tt.caps)
			continue
		}
		require.Equal(t, &Error{Code: CodeFailed, Reason: tt.want}, e, tt.caps)
	}
	require.Equal(t, "TypeError: "+textNoParameters, checkCapabilities(nil, room).Reason)
}

// What the traces do not show of the mapping.
func TestProducersAreMappedToTheirRoom(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	for _, tt := range []struct{ parameters, want string }{
		{`{"codecs":[{"name":"vp8","clockRate":90000,"payloadType":96},
			{"name":"RTX","clockRate":90000,"payloadType":97,"parameters":{"apt":96}}]}`, "map[96:101 97:102] map[]"},
		{`{"codecs":[{"name":"rtx","payloadType":97,"parameters":{"apt":96.0}},
			{"name":"VP8","clockRate":90000,"payloadType":96}]}`, "map[96:101 97:102] map[]"},
		{`{"codecs":[{"name":"VP8","clockRate":90000}],"headerExtensions":[{"uri":"urn:3gpp:video-orientation"}]}`,
			"map[] map[]"},
		{`{"codecs":[{"name":"VP8","clockRate":90000,"payloadType":0}],"headerExtensions":[
			{"uri":"urn:3gpp:video-orientation","id":13},{"uri":"urn:ietf:params:rtp-hdrext:sdes:mid","id":1}]}`,
			"map[0:101] map[1:5 13:4]"},
		{`{"codecs":[{"name":"VP8","clockRate":90000,"payloadType":96},{"name":"H264","clockRate":90000,"payloadType":98,
			"parameters":{"packetization-mode":1}},{"name":"rtx","payloadType":99,"parameters":{"apt":98}},
			{"name":"rtx","payloadType":97,"parameters":{"apt":96}}]}`, "map[96:101 97:102 98:103 99:104] map[]"},
	} {
		m, e := mapProducer(parametersFrom(t, tt.parameters), room)
		require.Nil(t, e, tt.parameters)
		require.Equal(t, tt.want, fmt.Sprint(m.PayloadTypes, m.HeaderExtensions), tt.parameters)
	}

	bare := &RTPCapabilities{Codecs: room.Codecs[:2]} // without rtx
	for _, tt := range []struct{ parameters, want string }{
		{`{"codecs":[{"name":"VP8","clockRate":90000,"payloadType":96},{"name":"rtx","payloadType":97,
			"parameters":{"apt":96}}]}`, "no RTX codec found in capabilities [capabilities codec PT:101]"},
		{`{"codecs":[{"name":"VP8","clockRate":90000},{"name":"rtx","parameters":{}}]}`,
			"no media codec found for RTX PT undefined"},
		{`{"codecs":[{"name":"rtx","payloadType":97,"parameters":{"apt":97}}]}`, "no media codec found for RTX PT 97"},
		{`{"codecs":[{"name":"VP9","clockRate":90000}]}`, "unsupported codec [name:VP9, payloadType:undefined]"},
		{`{"codecs":[],"headerExtensions":[{"uri":"urn:x"}]}`,
			`unsupported header extensions [uri:"urn:x", id:undefined]`},
	} {
		m, e := mapProducer(parametersFrom(t, tt.parameters), bare)
		require.Nil(t, m)
		require.Equal(t, NewError("Error", "wrong RTP parameters: Error: "+tt.want), e, tt.parameters)
	}
}

const cameraParameters = `{"muxId":"1","codecs":[
	{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":96,"parameters":{"a":"b"}},
	{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":97,"parameters":{"apt":96}}],
	"headerExtensions":[{"uri":"urn:3gpp:video-orientation","id":13,"encrypt":true,"parameters":{"x":1},"y":2},
		{"uri":"urn:ietf:params:rtp-hdrext:sdes:mid","id":4}],
	"encodings":[{"ssrc":7,"rtx":{"ssrc":8,"e":1},"fec":{"mechanism":"red","e":2},"codecPayloadType":96,"e":3}],
	"rtcp":{"cname":"c","ssrc":9,"reducedSize":true,"mux":true,"e":4}}`

func TestConsumersAreTailoredToTheirClient(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	p := parametersFrom(t, cameraParameters)
	m, e := mapProducer(p, room)
	require.Nil(t, e)
	c := consumable(p, room, m)
	require.Equal(t, p.Encodings, c.Encodings)
	require.Empty(t, c.MuxID)
	const rtcp = `"rtcp":{"cname":"c","ssrc":9,"reducedSize":true,"mux":true,"e":4}`
	for caps, want := range map[string]string{
		`{"codecs":[]}`: `{"codecs":[],"headerExtensions":[],"encodings":[{"ssrc":1}],` + rtcp + `}`,
		`{"codecs":[{"name":"VP8","preferredPayloadType":101}],"headerExtensions":[
			{"uri":"urn:other","preferredId":4}]}`: `` +
			`{"codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":101,` +
			`"parameters":{"x-google-start-bitrate":1500}}],` +
			`"headerExtensions":[{"uri":"urn:3gpp:video-orientation","id":4}],` +
			`"encodings":[{"ssrc":1}],` + rtcp + `}`,
		`{"codecs":[{"name":"rtx","preferredPayloadType":102},{"name":"VP8","preferredPayloadType":101,
			"rtcpFeedback":[{"type":"nack","a":1}]}],"headerExtensions":[{"uri":"u","preferredId":5}]}`: `` +
			`{"codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":101,` +
			`"rtcpFeedback":[{"type":"nack","a":1}],"parameters":{"x-google-start-bitrate":1500}},` +
			`{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":102,"parameters":{"apt":101}}],` +
			`"headerExtensions":[],"encodings":[{"ssrc":1,"rtx":{"ssrc":2}}],` + rtcp + `}`,
	} {
		require.Equal(t, want, jsonOf(t, consumerParameters(c, capabilitiesOf(t, caps), 1, 2)), caps)
	}
}

// Two codecs of a producer may be the same one to the room, and a consumer has it once.
func TestWhatIsTwiceInAProducerIsOnceInItsConsumers(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	p := parametersFrom(t, `{"codecs":[{"name":"VP8","clockRate":90000,"payloadType":96},
		{"name":"VP8","clockRate":90000,"payloadType":98}],"headerExtensions":[
		{"uri":"urn:3gpp:video-orientation","id":1},{"uri":"urn:3gpp:video-orientation","id":2}],"encodings":[{"ssrc":1}]}`)
	m, e := mapProducer(p, room)
	require.Nil(t, e)
	require.Equal(t, map[uint8]uint8{96: 101, 98: 101}, m.PayloadTypes)
	require.Equal(t, map[uint8]uint8{1: 4, 2: 4}, m.HeaderExtensions)
	q := consumerParameters(consumable(p, room, m), room, 1, 2)
	require.Len(t, q.Codecs, 2, "with rtx")
	require.Equal(t, []HeaderExtension{{URI: ExtensionVideoOrientation, ID: 4}}, q.HeaderExtensions)
	require.Nil(t, q.RTCP)
}

// Consumers have the media codecs of the producer in its order, each with the room's rtx, and
// none that the mapping does not have.
func TestConsumersHaveAllCodecsOfTheirProducer(t *testing.T) {
	t.Parallel()
	codecs := append(DefaultCodecs(), CodecCapability{Kind: Audio, Name: "PCMU", ClockRate: 8000})
	room, err := GenerateRoomRTPCapabilities(codecs)
	require.NoError(t, err)
	p := parametersFrom(t, `{"codecs":[{"name":"rtx","payloadType":97,"parameters":{"apt":96}},{"name":"opus"},
		{"name":"H264","clockRate":90000,"payloadType":98,"parameters":{"packetization-mode":1}},
		{"name":"H264","clockRate":90000,"payloadType":99,"parameters":{"packetization-mode":1}},
		{"name":"VP8","clockRate":90000,"payloadType":96}]}`)
	payloadTypes := func(m *RTPMapping) (all []uint8) {
		for _, c := range consumable(p, room, m).Codecs {
			all = append(all, *c.PayloadType)
		}
		return all
	}
	mapping := &RTPMapping{PayloadTypes: map[uint8]uint8{96: 101, 97: 102, 98: 103, 99: 103}}
	require.Equal(t, []uint8{103, 104, 101, 102}, payloadTypes(mapping))
	q := consumerParameters(consumable(p, room, mapping), capabilitiesOf(t, `{"codecs":[
		{"name":"VP8","preferredPayloadType":101}],"headerExtensions":[]}`), 1, 2)
	require.Len(t, q.Codecs, 1)
	require.Equal(t, "VP8", q.Codecs[0].Name, "though it is not the first")
	require.NotNil(t, codecOf(room, 0))
	require.Empty(t, payloadTypes(new(RTPMapping)))
	require.Empty(t, payloadTypes(&RTPMapping{PayloadTypes: map[uint8]uint8{96: 55}}), "which the room does not have")
}

// Results share nothing with what they were made of that may be written, but for those of
// consumerParameters, which only a server's machine sees.
func TestResultsOfORTCAreTheirOwn(t *testing.T) {
	t.Parallel()
	given, device := DefaultCodecs(), capabilitiesOf(t, chromiumDevice)
	room, err := GenerateRoomRTPCapabilities(given)
	require.NoError(t, err)
	p := parametersFrom(t, cameraParameters)
	m, e := mapProducer(p, room)
	require.Nil(t, e)
	common := ExtendRTPCapabilities(device, room)
	caps, sending := common.RTPCapabilities(), common.SendingRTPParameters(Video)
	missing, err := new(ExtendedRTPCapabilities).Unsupported(room, []uint8{101})
	require.NoError(t, err)
	c := consumable(p, room, m)
	parts := []any{&RTPCapabilities{Codecs: given}, device, room, p, caps, sending, c, &missing[0]}
	var before []string
	for _, part := range parts {
		before = append(before, jsonOf(t, part))
	}
	for i, part := range parts {
		spoil(part)
		require.NotEqual(t, before[i], jsonOf(t, part))
		for j := i + 1; j < len(parts); j++ {
			require.Equal(t, before[j], jsonOf(t, parts[j]), "%d changes %d", i, j)
		}
	}
	require.Equal(t, before[2], jsonOf(t, defaultRoom(t)), "the tables have changed")
}
