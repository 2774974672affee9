package mediasouppion

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// lines is a session description as it goes to Pion.
func lines(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "\n"), "\n", "\r\n")
}

func testServerSide(t *testing.T) *serverSide {
	t.Helper()
	var result mediasoupproto.CreateTransportResult
	require.NoError(t, json.Unmarshal([]byte(`{
		"iceParameters":{"iceLite":true,"usernameFragment":"yxw6np7945mb2aa5","password":"wz28wz28wz28wz28wz28wz28wz28wz28"},
		"iceCandidates":[
			{"family":"ipv4","foundation":"udpcandidate","ip":"192.0.2.2","port":42992,
				"priority":1078862079,"protocol":"udp","type":"host"},
			{"family":"ipv6","foundation":"udpcandidate","ip":"2001:DB8:0::2","port":42993,
				"priority":1078862078,"protocol":"udp","type":"host"},
			{"family":"ipv4","foundation":"tcpcandidate","ip":"192.0.2.2","port":42751,
				"priority":1078862079,"protocol":"tcp","tcpType":"passive","type":"host"}
		]
	}`), &result))
	result.DTLSParameters = &mediasoupproto.DTLSParameters{
		Role: mediasoupproto.DTLSRoleAuto,
		Fingerprints: []mediasoupproto.Fingerprint{
			{Algorithm: "sha-1", Value: strings.Repeat("00:", 19) + "00"},
			{Algorithm: "SHA-256", Value: strings.Repeat("ab:", 31) + "ab"},
			{Algorithm: "sha-224", Value: strings.Repeat("11:", 27) + "11"},
		},
	}
	s, err := newServerSide(&result, mediasoupproto.DTLSRoleAuto)
	require.NoError(t, err)
	return s
}

func testCodecs(t *testing.T) []codec {
	t.Helper()
	var room mediasoupproto.QueryRoomResult
	require.NoError(t, json.Unmarshal([]byte(`{"rtpCapabilities":{"codecs":[
		{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,
			"parameters":{"useinbandfec":1},"rtcpFeedback":[],"preferredPayloadType":100},
		{"kind":"audio","name":"PCMU","mimeType":"audio/PCMU","clockRate":8000,"preferredPayloadType":0},
		{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":101,
			"rtcpFeedback":[{"type":"nack"},{"type":"nack","parameter":"pli"},{"type":"ccm","parameter":"fir"},
				{"type":"goog-remb"}]},
		{"kind":"video","name":"rtx","preferredPayloadType":102,"clockRate":90000,"parameters":{"apt":101}},
		{"kind":"video","name":"H264","mimeType":"video/H264","clockRate":90000,"preferredPayloadType":103,
			"parameters":{"profile-level-id":"42e01f","packetization-mode":1}},
		{"kind":"video","name":"rtx","preferredPayloadType":104,"clockRate":90000,"parameters":{"apt":103}}
	],"headerExtensions":[
		{"kind":"audio","uri":"urn:ietf:params:rtp-hdrext:ssrc-audio-level","preferredId":1},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:toffset","preferredId":2},
		{"kind":"video","uri":"urn:ietf:params:rtp-hdrext:sdes:mid","preferredId":5}
	]}}`), &room))
	caps, codecs, err := capabilities(&room, nil)
	require.NoError(t, err)
	require.Len(t, caps.Codecs, len(codecs))
	return codecs
}

func TestDescriptionOfWhatTheServerSends(t *testing.T) {
	t.Parallel()
	codecs := testCodecs(t)
	text := testServerSide(t).description(3, "actpass", []section{
		{
			mid: "0", kind: mediasoupproto.Audio, direction: "sendonly", codecs: withRTX(codecs, 100),
			stream: &stream{id: 85833217, ssrc: 28478990},
		},
		{mid: "1", kind: mediasoupproto.Audio, direction: "recvonly", codecs: withRTX(codecs, 0)},
		{
			mid: "2", kind: mediasoupproto.Video, direction: "sendonly", codecs: withRTX(codecs, 101),
			stream: &stream{id: 7, ssrc: 11111111, rtx: 22222222},
		},
	})
	require.Equal(t, lines(`
v=0
o=mediasoup 1 3 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-lite
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
a=msid-semantic: WMS *
a=group:BUNDLE 0 1 2
m=audio 7 UDP/TLS/RTP/SAVPF 100
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ice-ufrag:yxw6np7945mb2aa5
a=ice-pwd:wz28wz28wz28wz28wz28wz28wz28wz28
a=candidate:udpcandidate 1 udp 1078862079 192.0.2.2 42992 typ host
a=candidate:udpcandidate 1 udp 1078862078 2001:db8::2 42993 typ host
a=end-of-candidates
a=setup:actpass
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:100 opus/48000/2
a=fmtp:100 useinbandfec=1
a=msid:stream-85833217 consumer-85833217
a=ssrc:28478990 cname:consumer-85833217
m=audio 7 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=mid:1
a=recvonly
a=ice-ufrag:yxw6np7945mb2aa5
a=ice-pwd:wz28wz28wz28wz28wz28wz28wz28wz28
a=setup:actpass
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:0 PCMU/8000
m=video 7 UDP/TLS/RTP/SAVPF 101 102
c=IN IP4 0.0.0.0
a=mid:2
a=sendonly
a=ice-ufrag:yxw6np7945mb2aa5
a=ice-pwd:wz28wz28wz28wz28wz28wz28wz28wz28
a=setup:actpass
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:101 VP8/90000
a=rtcp-fb:101 nack
a=rtcp-fb:101 nack pli
a=rtcp-fb:101 ccm fir
a=rtpmap:102 rtx/90000
a=fmtp:102 apt=101
a=msid:stream-7 consumer-7
a=ssrc-group:FID 11111111 22222222
a=ssrc:11111111 cname:consumer-7
a=ssrc:22222222 cname:consumer-7
`), text)
	parsed := new(sdp.SessionDescription)
	require.NoError(t, parsed.UnmarshalString(text))
	require.Len(t, parsed.MediaDescriptions, 3)
}

func TestAnswerTakesWhatIsOffered(t *testing.T) {
	t.Parallel()
	offer := new(sdp.SessionDescription)
	require.NoError(t, offer.UnmarshalString(lines(`
v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 100
a=mid:0
a=sendonly
m=video 9 UDP/TLS/RTP/SAVPF 101
a=mid:x
a=inactive
`)))
	sections := answerTo(offer, testCodecs(t))
	require.Len(t, sections, 2)
	require.Equal(t, "0", sections[0].mid)
	require.Equal(t, "recvonly", sections[0].direction)
	require.Len(t, sections[0].codecs, 2)
	require.Equal(t, "x", sections[1].mid)
	require.Equal(t, "inactive", sections[1].direction)
	require.Len(t, sections[1].codecs, 4)
	text := testServerSide(t).description(1, "active", sections)
	require.Equal(t, 2, strings.Count(text, "a=setup:active\r\n"))
	require.Contains(t, text, "a=fmtp:103 packetization-mode=1;profile-level-id=42e01f\r\n")
}

func TestCapabilitiesAreTheRoomsWithoutWhatABotCannotDo(t *testing.T) {
	t.Parallel()
	var room mediasoupproto.QueryRoomResult
	room.RTPCapabilities = &mediasoupproto.RTPCapabilities{
		Codecs: []mediasoupproto.CodecCapability{
			{
				Kind: "video", Name: "VP8", ClockRate: 90000, PreferredPayloadType: 101,
				RTCPFeedback: []mediasoupproto.RTCPFeedback{{Type: "nack"}, {Type: "goog-remb"}, {Type: "transport-cc"}},
			},
			{Kind: "video", Name: "rtx", ClockRate: 90000, PreferredPayloadType: 102, Parameters: mediasoupproto.Fields{
				"apt": json.RawMessage("101"),
			}},
			{Kind: "video", Name: "VP9", ClockRate: 90000, PreferredPayloadType: 103},
			{Kind: "video", Name: "rtx", ClockRate: 90000, PreferredPayloadType: 104, Parameters: mediasoupproto.Fields{
				"apt": json.RawMessage("103"),
			}},
		},
		HeaderExtensions: []mediasoupproto.HeaderExtensionCapability{
			{Kind: "video", URI: mediasoupproto.ExtensionTOffset, PreferredID: 2},
			{Kind: "video", URI: mediasoupproto.ExtensionAbsSendTime, PreferredID: 3, PreferredEncrypt: new(false)},
			{Kind: "video", URI: mediasoupproto.ExtensionMID, PreferredID: 5},
			{Kind: "video", URI: mediasoupproto.ExtensionRTPStreamID, PreferredID: 6},
		},
	}
	caps, codecs, err := capabilities(&room, func(c *mediasoupproto.CodecCapability) bool { return c.Name == "VP8" })
	require.NoError(t, err)
	require.Len(t, codecs, 2)
	require.Equal(t, []mediasoupproto.CodecCapability{
		{
			Kind: "video", Name: "VP8", MimeType: "video/VP8", ClockRate: 90000, PreferredPayloadType: 101,
			RTCPFeedback: []mediasoupproto.RTCPFeedback{{Type: "nack"}},
		},
		{
			Kind: "video", Name: "rtx", MimeType: "video/rtx", ClockRate: 90000, PreferredPayloadType: 102,
			Parameters: mediasoupproto.Fields{"apt": json.RawMessage("101")},
		},
	}, caps.Codecs)
	require.Equal(t, []mediasoupproto.HeaderExtensionCapability{
		{Kind: "video", URI: mediasoupproto.ExtensionAbsSendTime, PreferredID: 3},
	}, caps.HeaderExtensions)
	require.NoError(t, (&mediasoupproto.Join{PeerName: "bot", RTPCapabilities: caps}).Validate())

	room.MandatoryCodecPayloadTypes = []uint8{101, 103}
	_, _, err = capabilities(&room, func(c *mediasoupproto.CodecCapability) bool { return c.Name == "VP8" })
	require.ErrorIs(t, err, mediasoupproto.ErrMandatoryCodec)
	_, _, err = capabilities(&room, nil)
	require.NoError(t, err)
}

func TestOnlySomeCandidatesOfManyAreTried(t *testing.T) {
	t.Parallel()
	result := &mediasoupproto.CreateTransportResult{
		ICEParameters: &mediasoupproto.ICEParameters{UsernameFragment: "abcd", Password: strings.Repeat("x", 22)},
		DTLSParameters: &mediasoupproto.DTLSParameters{Fingerprints: []mediasoupproto.Fingerprint{
			{Algorithm: "sha-512", Value: strings.Repeat("0A:", 63) + "0A"},
		}},
	}
	for i := range 1000 {
		result.ICECandidates = append(result.ICECandidates, mediasoupproto.ICECandidate{
			Foundation: "f", IP: fmt.Sprintf("192.0.2.%d", i%256), Port: uint16(1 + i), Type: "host", Protocol: "udp",
		})
	}
	s, err := newServerSide(result, mediasoupproto.DTLSRoleAuto)
	require.NoError(t, err)
	require.Len(t, s.candidates, maxCandidates)
	require.True(t, strings.HasPrefix(s.fingerprint, "sha-512 0A:"))
}

// FuzzDescription checks that nothing a server says breaks out of its place in a session
// description, and that Pion takes the description.
func FuzzDescription(f *testing.F) {
	good := strings.Repeat("AB:", 31) + "AB"
	f.Add("yxw6np7945mb2aa5", "wz28wz28wz28wz28wz28wz28", "192.0.2.2", "udpcandidate", "sha-256", good, "opus", "nack",
		`{"useinbandfec":1}`, uint8(100), uint16(2))
	f.Add("abcd\r\na=x", "wz28", "::1", "a b", "sha-1", "AB", "rtx", "ccm", `{"apt":100}`, uint8(101), uint16(0))
	f.Add("abcd", "wz28wz28wz28wz28wz28wz28", "fe80::1%x", "f", "SHA-512", strings.ToLower(good), "H264", "", `{"a":"b;c"}`,
		uint8(0), uint16(1))
	f.Fuzz(func(t *testing.T, ufrag, password, ip, foundation, algorithm, value, name, feedback, parameters string,
		payloadType uint8, channels uint16,
	) {
		s, err := newServerSide(&mediasoupproto.CreateTransportResult{
			ICEParameters: &mediasoupproto.ICEParameters{UsernameFragment: ufrag, Password: password},
			ICECandidates: []mediasoupproto.ICECandidate{
				{Foundation: foundation, Priority: 1, IP: ip, Port: 9, Type: "host", Protocol: "udp"},
			},
			DTLSParameters: &mediasoupproto.DTLSParameters{
				Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: algorithm, Value: value}},
			},
		}, mediasoupproto.DTLSRoleAuto)
		if err != nil {
			require.ErrorIs(t, err, ErrParameters)
			s = testServerSide(t)
		}
		var fields mediasoupproto.Fields
		if json.Unmarshal([]byte(parameters), &fields) != nil {
			fields = nil
		}
		c, err := newCodec(&mediasoupproto.CodecCapability{
			Kind: mediasoupproto.Audio, Name: name, ClockRate: 48000, Channels: channels, PreferredPayloadType: payloadType,
			RTCPFeedback: []mediasoupproto.RTCPFeedback{{Type: feedback}}, Parameters: fields,
		})
		if err != nil {
			require.ErrorIs(t, err, ErrParameters)
			c = testCodecs(t)[0]
		}
		text := s.description(1, "actpass", []section{{
			mid: "0", kind: mediasoupproto.Audio, direction: "sendonly", codecs: []codec{c}, stream: &stream{id: 1, ssrc: 2},
		}})
		parsed := new(sdp.SessionDescription)
		require.NoError(t, parsed.UnmarshalString(text))
		require.Len(t, parsed.MediaDescriptions, 1)
		require.Len(t, parsed.Attributes, 4)
		for _, a := range parsed.MediaDescriptions[0].Attributes {
			require.Contains(t, []string{
				"mid", "sendonly", "ice-ufrag", "ice-pwd", "candidate", "end-of-candidates", "setup", "rtcp-mux", "rtcp-rsize",
				"rtpmap", "fmtp", "rtcp-fb", "msid", "ssrc",
			}, a.Key)
		}
	})
}
