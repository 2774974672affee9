package mediasoupproto

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A verdict is what the two rules say of a payload: the place and the reason, or "".
type verdict struct {
	payload        string
	strict, compat string
	answer         string // what a server says by the rules that refuse it
}

func requireVerdicts(t *testing.T, id ID, all []verdict) {
	t.Helper()
	for _, tt := range all {
		m, err := DecodePayload(id, []byte(tt.payload))
		require.NoError(t, err, tt.payload)
		answers := map[string]bool{}
		for rules, want := range map[Rules]string{Strict: tt.strict, Compat: tt.compat} {
			err := rules.Validate(m)
			if want == "" {
				require.NoError(t, err, "%d: %s", rules, tt.payload)
				continue
			}
			require.EqualError(t, err, "mediasoupproto: invalid "+name(m)+": "+want, "%d: %s", rules, tt.payload)
			e := err.(*ValidationError)
			if e.Answer != nil {
				answers[e.Answer.Reason] = true
				require.Equal(t, CodeFailed, e.Answer.Code)
			}
		}
		want := map[string]bool{}
		if tt.answer != "" {
			want[tt.answer] = true
		}
		require.Equal(t, want, answers, tt.payload)
		if tt.strict == "" {
			require.NoError(t, m.Validate())
		} else {
			require.EqualError(t, m.Validate(), Strict.Validate(m).Error())
		}
	}
}

// both is a verdict that both rules agree in.
func both(payload, problem, answer string) verdict { return verdict{payload, problem, problem, answer} }

// only is a verdict of Strict.
func only(payload, problem, answer string) verdict { return verdict{payload, problem, "", answer} }

func TestJoinsAreJudged(t *testing.T) {
	t.Parallel()
	join := func(caps string) string { return `{"method":"join","peerName":"a","rtpCapabilities":` + caps + `}` }
	codec := func(members string) string { return join(`{"codecs":[{` + members + `}],"headerExtensions":[]}`) }
	const at = "rtpCapabilities.codecs[0]."
	long := strings.Repeat("é", MaxPeerName/2)
	requireVerdicts(t, "7", []verdict{
		both(join(`{"codecs":[],"headerExtensions":[]}`), "", ""),
		both(strings.Replace(join(`{"codecs":[],"headerExtensions":[]}`), `"a"`, `"`+long+`"`, 1), "", ""),
		both(strings.Replace(join(`{"codecs":[],"headerExtensions":[]}`), `"a"`, `"`+long+`a"`, 1),
			"peerName: is too long", "Error: peerName is too long"),
		both(`{"method":"join","peerName":""}`, "peerName: missing", "TypeError: peerName must be a string"),
		both(`{"method":"join","peerName":"a"}`, "rtpCapabilities: missing", "TypeError: rtpCapabilities is missing"),
		both(join(`{"codecs":[]}`), "rtpCapabilities.headerExtensions: missing",
			"TypeError: rtpCapabilities.headerExtensions is missing"),
		both(codec(`"kind":"audio","name":"opus","clockRate":48000,"preferredPayloadType":0`), "", ""),
		only(codec(`"kind":"audio","clockRate":48000`), at+"name: missing", ""),
		only(codec(`"kind":"audio","name":"opus"`), at+"clockRate: missing", ""),
		only(codec(`"name":"opus","clockRate":48000`), at+"kind: is neither audio nor video", ""),
		only(codec(`"kind":"video","name":"RTX","clockRate":90000`), at+"parameters.apt: missing", ""),
		both(codec(`"kind":"video","name":"rtx","clockRate":90000,"parameters":{"apt":0}`), "", ""),
		only(codec(`"kind":"video","name":"rtx","clockRate":90000,"parameters":{"apt":256}`),
			at+"parameters.apt: missing", ""),
		only(join(`{"codecs":[],"headerExtensions":[{"uri":"","preferredId":1}]}`),
			"rtpCapabilities.headerExtensions[0].uri: missing", ""),
		only(join(`{"codecs":[],"headerExtensions":[{"uri":"a","preferredId":1},{"uri":"u"}]}`),
			"rtpCapabilities.headerExtensions[1].preferredId: missing", ""),
	})
}

func TestTransportsAreJudged(t *testing.T) {
	t.Parallel()
	of := func(members string) string {
		return `{"method":"createTransport","id":1,"direction":"recv"` + members + `}`
	}
	dtls := func(parameters string) string { return of(`,"dtlsParameters":` + parameters) }
	const good = `{"algorithm":"sha-256","value":"AB:CD"}`
	const fp = "dtlsParameters.fingerprints"
	requireVerdicts(t, "7", []verdict{
		both(of(``), "", ""),
		both(of(`,"options":{"udp":false}`), "", ""),
		both(`{"method":"createTransport","direction":"send"}`, "id: must be an integer from 1 to 4294967295",
			"Error: Request has not numeric internal.transportId"),
		only(`{"method":"createTransport","id":1}`, "direction: is neither send nor recv", "Error: wrong direction"),
		only(`{"method":"createTransport","id":1,"direction":"both"}`, "direction: is neither send nor recv",
			"Error: wrong direction"),
		both(of(`,"options":{},"plainRtpParameters":{"ip":"192.0.2.1","port":5}`), "", ""),
		both(of(`,"options":{},"plainRtpParameters":{"ip":"2001:db8::1","port":5}`), "", ""),
		both(of(`,"options":{},"plainRtpParameters":{}`), "", ""),
		both(of(`,"plainRtpParameters":{}`), "options: missing", "TypeError: options is missing"),
		both(of(`,"options":{},"plainRtpParameters":{"ip":"nowhere","port":5}`),
			"plainRtpParameters.ip: invalid destination IP 'nowhere'", "Error: invalid destination IP 'nowhere'"),
		both(of(`,"options":{},"plainRtpParameters":{"ip":"192.0.2.1"}`),
			"plainRtpParameters.port: missing data.port", "Error: missing data.port"),
		both(dtls(`{"role":"client","fingerprints":[`+good+`]}`), "", ""),
		both(dtls(`{"fingerprints":[`+good+`]}`), "", ""),
		both(dtls(`{"role":"auto","fingerprints":[`+good+`]}`), "", ""),
		both(dtls(`{"role":"Client","fingerprints":[`+good+`]}`), "dtlsParameters.role: invalid remote role",
			"Error: invalid remote role"),
		both(dtls(`{}`), fp+": missing data.fingerprints", "Error: missing data.fingerprints"),
		both(dtls(`{"fingerprints":[]}`), fp+": unsupported remote fingerprint algorithm",
			"Error: unsupported remote fingerprint algorithm"),
		{
			dtls(`{"fingerprints":[{"algorithm":"md5","value":"AB:CD"}]}`),
			fp + "[0].algorithm: unsupported remote fingerprint algorithm",
			fp + ": unsupported remote fingerprint algorithm", "Error: unsupported remote fingerprint algorithm",
		},
		only(dtls(`{"fingerprints":[`+good+`,{"algorithm":"md5","value":"AB:CD"}]}`),
			fp+"[1].algorithm: unsupported remote fingerprint algorithm", "Error: unsupported remote fingerprint algorithm"),
		both(dtls(`{"fingerprints":[{"algorithm":"md5","value":"AB:CD"},`+good+`]}`), "", ""),
		both(dtls(`{"fingerprints":[{"value":"AB:CD"}]}`),
			fp+"[0]: missing data.fingerprint.algorithm and/or data.fingerprint.value",
			"Error: missing data.fingerprint.algorithm and/or data.fingerprint.value"),
		both(dtls(`{"fingerprints":[`+good+`,{"algorithm":"sha-1"}]}`),
			fp+"[1]: missing data.fingerprint.algorithm and/or data.fingerprint.value",
			"Error: missing data.fingerprint.algorithm and/or data.fingerprint.value"),
		only(dtls(`{"fingerprints":[{"algorithm":"sha-1","value":"ab:cd"}]}`),
			fp+"[0].value: is not in upper case with colons", ""),
		only(dtls(`{"fingerprints":[{"algorithm":"sha-1","value":"ABCD"}]}`),
			fp+"[0].value: is not in upper case with colons", ""),
		both(`{"method":"restartTransport"}`, "id: must be an integer from 1 to 4294967295", "Error: Transport not found"),
	})
	update := func(members string) string { return `{"method":"updateTransport","notification":true` + members + `}` }
	requireVerdicts(t, "", []verdict{
		both(update(`,"id":1,"dtlsParameters":{"fingerprints":[`+good+`]}`), "", ""),
		both(update(``), "id: must be an integer from 1 to 4294967295", ""),
		only(update(`,"id":1`), "dtlsParameters: missing", ""),
		both(update(`,"id":1,"plainRtpParameters":{"ip":"x","port":1}`),
			"plainRtpParameters.ip: invalid destination IP 'x'", "Error: invalid destination IP 'x'"),
		both(update(`,"id":1,"dtlsParameters":{}`), fp+": missing data.fingerprints", "Error: missing data.fingerprints"),
	})
}

func TestProducersAreJudged(t *testing.T) {
	t.Parallel()
	const vp8 = `{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":96}`
	const rtx = `{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":97,"parameters":{"apt":96}}`
	of := func(parameters string) string {
		return `{"method":"createProducer","id":7,"kind":"video","transportId":5,"rtpParameters":` + parameters + `}`
	}
	codecs := func(list string) string { return of(`{"codecs":[` + list + `],"encodings":[{"ssrc":1}]}`) }
	streams := func(list string) string { return of(`{"codecs":[` + vp8 + `,` + rtx + `],"encodings":[` + list + `]}`) }
	more := func(members string) string {
		return of(`{"codecs":[` + vp8 + `],"encodings":[{"ssrc":1}],` + members + `}`)
	}
	const codec, stream = "rtpParameters.codecs[0].", "rtpParameters.encodings[0]."
	worker := func(payload, at, text string) verdict { return both(payload, at+": "+text, "Error: "+text) }
	requireVerdicts(t, "7", []verdict{
		both(codecs(vp8), "", ""),
		both(codecs(vp8+","+rtx), "", ""),
		worker(codecs(strings.Replace(vp8, `"mimeType":"video/VP8",`, "", 1)), codec+"mimeType", "missing RtpCodec.mimeType"),
		worker(codecs(strings.Replace(vp8, `video/VP8`, "VP8", 1)), codec+"mimeType", "wrong codec MIME"),
		worker(codecs(strings.Replace(vp8, `video/`, "text/", 1)), codec+"mimeType", "unknown codec MIME type 'text'"),
		worker(codecs(strings.Replace(vp8, `video/VP8`, "video/", 1)), codec+"mimeType", "wrong codec MIME"),
		worker(codecs(strings.Replace(vp8, `video/VP8`, "video/vp8|vp9", 1)), codec+"mimeType",
			"unknown codec MIME subtype 'vp8|vp9'"),
		both(codecs(strings.Replace(vp8, `video/VP8`, "VIDEO/x-H264UC", 1)), "", ""),
		worker(codecs(strings.Replace(vp8, `,"payloadType":96`, "", 1)), codec+"payloadType",
			"missing RtpCodecParameters.payloadType"),
		worker(codecs(strings.Replace(vp8, `"clockRate":90000,`, "", 1)), codec+"clockRate",
			"missing RtpCodecParameters.clockRate"),
		worker(codecs(strings.Replace(rtx, `"apt":96`, "", 1)), codec+"parameters.apt",
			"missing apt parameter in RTX RtpCodecParameters"),
		worker(codecs(vp8+","+vp8), "rtpParameters.codecs[1].payloadType", "duplicated codec.payloadType"),
		worker(codecs(rtx), "rtpParameters.codecs", "no media codecs found"),
		worker(codecs(strings.Replace(vp8, `video/VP8`, "video/ulpfec", 1)), "rtpParameters.codecs", "no media codecs found"),

		worker(streams(`{"ssrc":1,"profile":"none"}`), stream+"profile", "invalid profile"),
		worker(streams(`{"ssrc":1,"profile":"default"}`), stream+"profile", "invalid profile"),
		worker(streams(`{"ssrc":1,"profile":"ultra"}`), stream+"profile", "unknown profile"),
		worker(streams(`{"ssrc":1,"profile":"low"}`), stream+"profile", "invalid single encoding with non default profile"),
		both(streams(`{"ssrc":1,"profile":"low"},{"ssrc":2,"profile":"high"},{"ssrc":3}`), "", ""),
		worker(streams(`{"ssrc":1},{"ssrc":2}`), "rtpParameters.encodings[1].profile", "duplicated encoding.profile"),
		both(streams(`{"ssrc":1,"codecPayloadType":96}`), "", ""),
		worker(streams(`{"ssrc":1,"codecPayloadType":97}`), stream+"codecPayloadType", "invalid encoding.codecPayloadType"),
		worker(streams(`{"ssrc":1,"codecPayloadType":0}`), stream+"codecPayloadType", "unknown encoding.codecPayloadType"),
		only(streams(`{}`), "rtpParameters.encodings[0]: has nothing that its packets can be known by", ""),
		both(streams(`{"encodingId":"r"}`), "", ""),
		only(streams(`{"encodingId":"r","profile":"low"},{"encodingId":"r","profile":"high"}`),
			"rtpParameters.encodings[1].encodingId: is another stream's", ""),
		only(streams(`{"ssrc":1,"rtx":{"ssrc":1}}`), stream+"ssrc: is another stream's", ""),
		only(streams(`{"ssrc":1,"rtx":{"ssrc":2},"profile":"low"},{"ssrc":2,"profile":"high"}`),
			"rtpParameters.encodings[1].ssrc: is another stream's", ""),
		only(streams(`{"ssrc":1,"rtx":{"ssrc":2},"profile":"low"},{"ssrc":3,"rtx":{"ssrc":1},"profile":"high"}`),
			"rtpParameters.encodings[1].rtx.ssrc: is another stream's", ""),
		both(streams(`{"ssrc":1,"rtx":{},"profile":"low"},{"ssrc":3,"rtx":{},"profile":"high"}`), "", ""),

		both(of(`{"muxId":"0","codecs":[`+vp8+`],"encodings":[{}]}`), "", ""),
		only(of(`{"muxId":null,"codecs":[`+vp8+`],"encodings":[{}]}`),
			"rtpParameters.encodings[0]: has nothing that its packets can be known by", ""),
		both(more(`"headerExtensions":[{"uri":"u","id":1},{"uri":"u","id":2}]`), "", ""),
		only(more(`"headerExtensions":[{"uri":"u","id":1},{"uri":"v","id":1}]`),
			"rtpParameters.headerExtensions[1].id: is another extension's", ""),
		worker(more(`"headerExtensions":[{"uri":"","id":1}]`), "rtpParameters.headerExtensions[0].uri",
			"missing RtpHeaderExtensionParameters.uri"),
		worker(more(`"headerExtensions":[{"uri":"u"}]`), "rtpParameters.headerExtensions[0].id",
			"missing RtpHeaderExtensionParameters.id"),
		both(more(`"rtcp":{}`), "", ""),
		worker(more(`"rtcp":{"cname":""}`), "rtpParameters.rtcp.cname", "empty RtcpParameters.cname"),
	})
}

// What a peer says stands deeper in what others are told of it, and must fit there as well.
func TestWhatIsToldToOthersMayNotNestTooDeeply(t *testing.T) {
	t.Parallel()
	const level, parametersLevel = appDataLevel, appDataLevel + 4
	deep := func(level, more int) string { return nestedArrays(jsonx.MaxDepth - level + 1 + more) }
	for _, tt := range []struct {
		payload, field string
		level          int
	}{
		{`{"method":"join","peerName":"a","rtpCapabilities":{"codecs":[],"headerExtensions":[]},"appData":#}`,
			"appData", level},
		{`{"method":"createTransport","id":1,"direction":"send","appData":#}`, "appData", level},
		{`{"method":"createProducer","id":7,"kind":"video","transportId":5,"appData":#,"rtpParameters":{"codecs":[` +
			`{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":96}],"encodings":[{"ssrc":1}]}}`,
			"appData", level},
		{`{"method":"createProducer","id":7,"kind":"video","transportId":5,"rtpParameters":{"codecs":[{"name":"VP8",` +
			`"mimeType":"video/VP8","clockRate":90000,"payloadType":96,"parameters":{"a":#}}],"encodings":[{"ssrc":1}]}}`,
			"rtpParameters.codecs[0].parameters.a", parametersLevel},
		{`{"method":"createProducer","id":7,"kind":"video","transportId":5,"rtpParameters":{"codecs":[{"name":"VP8",` +
			`"mimeType":"video/VP8","clockRate":90000,"payloadType":96}],"encodings":[{"ssrc":1,"rtx":{"a":#}}]}}`,
			"rtpParameters.encodings[0].rtx.a", parametersLevel},
		{`{"method":"createProducer","id":7,"kind":"video","transportId":5,"rtpParameters":{"codecs":[{"name":"VP8",` +
			`"mimeType":"video/VP8","clockRate":90000,"payloadType":96}],"encodings":[{"ssrc":1}],"rtcp":{"a":#}}}`,
			"rtpParameters.rtcp.a", parametersLevel},
		{`{"method":"createProducer","id":7,"kind":"video","transportId":5,"rtpParameters":{"codecs":[{"name":"VP8",` +
			`"mimeType":"video/VP8","clockRate":90000,"payloadType":96}],"encodings":[{"ssrc":1}],"headerExtensions":[` +
			`{"uri":"u","id":1,"parameters":#}]}}`, "rtpParameters.headerExtensions[0].parameters", parametersLevel},
	} {
		m, err := DecodePayload("7", []byte(strings.Replace(tt.payload, "#", deep(tt.level, 0), 1)))
		require.NoError(t, err, tt.field)
		require.NoError(t, m.Validate(), tt.field)
		m, err = DecodePayload("7", []byte(strings.Replace(tt.payload, "#", deep(tt.level, 1), 1)))
		require.NoError(t, err, tt.field)
		for _, rules := range []Rules{Strict, Compat} {
			err := rules.Validate(m)
			require.ErrorContains(t, err, ": "+tt.field+": nested too deeply")
			require.True(t, strings.HasPrefix(err.(*ValidationError).Answer.Reason, "TypeError: wrong "))
		}
	}
}

// The deepest place that a producer's data reach is the answer to a later join, and there
// they still fit.
func TestTheDeepestDataFitIntoTheAnswerToAJoin(t *testing.T) {
	t.Parallel()
	data := raw(nestedArrays(jsonx.MaxDepth - appDataLevel + 1))
	parameter := raw(nestedArrays(jsonx.MaxDepth - appDataLevel - 4 + 1))
	p := parametersFrom(t, cameraParameters)
	p.RTCP.Extra = Fields{"a": parameter}
	p.HeaderExtensions[0].Extra = Fields{"a": parameter}
	room := defaultRoom(t)
	m, e := mapProducer(p, room)
	require.Nil(t, e)
	q := consumerParameters(consumable(p, room, m), room, 1, 2)
	result, err := appendResult(&JoinResult{Peers: []*PeerInfo{{
		Name: "a", AppData: data, Consumers: []*ConsumerInfo{{ID: 1, Kind: Video, RTPParameters: q, AppData: data}},
	}}})
	require.NoError(t, err)
	for name, f := range framings {
		b, err := EncodeFramed(f, &Response{Head: Head{RequestID: "7"}, Result: result})
		require.NoError(t, err, name)
		again, err := DecodeFramed(f, 0, b)
		require.NoError(t, err, name)
		joined, err := again.(*Response).Join()
		require.NoError(t, err, name)
		require.Equal(t, data, joined.Peers[0].Consumers[0].AppData)
	}
}

func TestIDsMustBeNumbers(t *testing.T) {
	t.Parallel()
	for id, want := range map[ID]bool{
		"7": true, "-1": true, "1.5e3": true, "0": true, "x": false, "1x": false, `"7"`: false,
	} {
		m := &QueryRoom{Head: Head{RequestID: id}}
		if want {
			require.NoError(t, m.Validate(), id)
			continue
		}
		require.EqualError(t, m.Validate(), "mediasoupproto: invalid queryRoom: id: is not a number", id)
		_, err := Encode(m)
		require.Error(t, err, id)
	}
}

// The first member that breaks a rule is named, and it is always the same.
func TestTheFirstFurtherMemberThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for range 20 {
		err := (&Leave{Extra: Fields{"z": raw(nestedArrays(64)), "a": raw("{")}}).Validate()
		require.EqualError(t, err, "mediasoupproto: invalid leave: a: not JSON")
	}
}
