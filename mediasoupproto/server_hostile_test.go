package mediasoupproto

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a client says of its feedback stands in each of its consumers, so that a short join
// could ask for an answer of hundreds of megabytes.
func TestFeedbackIsAsShortAsThatOfABrowser(t *testing.T) {
	t.Parallel()
	const join = `join#1 {"peerName":%q,"rtpCapabilities":{"codecs":[{"kind":"video","name":"VP8","clockRate":90000,` +
		`"preferredPayloadType":101,"rtcpFeedback":[%s]}],"headerExtensions":[]}}`
	r := newServerRig(t, ServerConfig{})
	for i, feedback := range []string{
		`{"type":"` + strings.Repeat("x", maxFeedback) + `"}`,
		`{"type":"x","parameter":"` + strings.Repeat("x", maxFeedback) + `"}`,
		`{"type":"x","y":"` + strings.Repeat("x", maxFeedback) + `"}`,
		`{"type":"x","` + strings.Repeat("x", maxFeedback) + `":1}`,
		strings.Repeat(`{"type":"x"},`, maxFeedback/10) + `{"type":"x"}`,
	} {
		id := PeerID(i + 1)
		r.connect(id, fmt.Sprint("p", i))
		r.say(id, fmt.Sprintf(join, r.names[id], feedback))
		require.Contains(t, r.take()[0], "request too big", feedback[:30])
	}
	// In the answer to a join it stands deeper than in the join.
	deep := strings.Repeat("[", 55) + strings.Repeat("]", 55)
	r.connect(8, "deep")
	r.say(8, fmt.Sprintf(join, "deep", `{"type":"x","y":`+deep+`}`))
	require.Contains(t, r.take()[0], "TypeError: wrong rtpCapabilities")
	const ofChromium = `{"type":"goog-remb"},{"type":"transport-cc"},{"type":"ccm","parameter":"fir"},{"type":"nack"},` +
		`{"type":"nack","parameter":"pli"}`
	r.connect(9, "browser")
	r.say(9, fmt.Sprintf(join, "browser", ofChromium))
	require.Contains(t, r.take()[0], `"peers":[]`)
	r.end()
}

// Each codec is looked for among the others: a list of a megabyte would hold up the server for
// seconds.
func TestMoreCodecsThanPayloadTypesAreNotCompared(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.say(1, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`)
	r.forget()
	const produce = `createProducer#3 {"id":1,"kind":"video","transportId":1,"rtpParameters":{"codecs":[%s` +
		`{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":120}],"encodings":[{"ssrc":1}]}}`
	const unlike = `{"name":"rtx","mimeType":"video/rtx","clockRate":90000,"payloadType":1,"parameters":{"apt":1}},`
	for n, want := range map[int]string{
		maxCodecs - 1: "no media codec found for RTX PT 1", // what comparing them shows
		maxCodecs:     "duplicated codec.payloadType",
	} {
		r.say(1, fmt.Sprintf(produce, strings.Repeat(unlike, n)))
		require.Contains(t, r.take()[0], want, n)
	}
	r.end()
}

// What somebody says on leaving goes to everybody: a megabyte of it would fill their queues.
func TestDataOfALeaveAreBoundedAsAllOthers(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{PeerBytes: 2000})
	r.enter(1, "ann")
	for n, told := range map[int]bool{2000: true, 2001: false} {
		r.enter(2, "ben")
		r.forget()
		r.say(2, fmt.Sprintf(`leave {"appData":"%s"}`, strings.Repeat("x", n-2)))
		require.Equal(t, told, strings.Contains(r.take()[0], "appData"), n)
		r.do(r.Disconnect(r.now, 2))
	}
	r.end()
}

// The answer to a join may have megabytes. A server encodes it where nobody else waits for it,
// and says the same.
func TestTheAnswerToAJoinIsEncodedByItsWriter(t *testing.T) {
	t.Parallel()
	play := func(late bool) (said []string, answer Message) {
		r := newServerRig(t, ServerConfig{})
		r.lateJoins = late
		r.enter(1, "ann")
		r.say(1, `createTransport#2 {"id":1,"dtlsParameters":@dtls}`,
			`createProducer#3 {"id":1,"kind":"video","transportId":1,"rtpParameters":@vp8:1,"appData":"@long:2000"}`)
		r.connect(2, "ben")
		r.enter(3, "cleo")
		m, err := Decode([]byte(benchSays(`join#1 {"peerName":"ben","rtpCapabilities":@caps,"appData":"x"}`)[0]))
		require.NoError(t, err)
		ask := r.Receive(r.now, 2, m).Ask
		require.Len(t, ask, 1)
		fx := r.Decide(r.now, ask[0].Ticket, Decision{})
		answer = fx.Send[len(fx.Send)-1].Message
		r.do(fx)
		said = r.take()
		r.end()
		return said, answer
	}
	want, plain := play(false)
	said, late := play(true)
	require.Equal(t, want, said)
	require.IsType(t, &Response{}, plain)
	require.IsType(t, &lateAnswer{}, late)
	for _, m := range []Message{plain, late} {
		require.InDelta(t, len(plain.(*Response).Result), size(m), 1500)
	}

	bad := &lateAnswer{
		Message: &Response{Head: Head{RequestID: "7", kind: FrameResponse}},
		result:  &JoinResult{Peers: []*PeerInfo{{Name: "\xff"}}},
	}
	data, err := Encode(bad)
	require.NoError(t, err)
	require.Equal(t, `{"errorCode":500,"errorReason":"Error: internal error","id":7}`, heardShort(data))
}
