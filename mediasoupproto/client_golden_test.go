package mediasoupproto

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What the tests of the client say most.
const (
	clientCaps = `{"codecs":[{"kind":"audio","name":"opus","clockRate":48000,"channels":2,"preferredPayloadType":100}],` +
		`"headerExtensions":[]}`
	clientRoom  = `{"rtpCapabilities":` + clientCaps + `,"mandatoryCodecPayloadTypes":[]}`
	clientMedia = `{"codecs":[{"name":"opus","mimeType":"audio/opus","clockRate":48000,"payloadType":100,"channels":2}],` +
		`"headerExtensions":[],"encodings":[{"ssrc":11}],"rtcp":{"cname":"x"}}`
	clientConsumer = `"kind":"audio","rtpParameters":` + clientMedia +
		`,"paused":false,"preferredProfile":"default","effectiveProfile":null`

	clientQueries = `< {"method":"queryRoom","target":"room"}`
	clientJoin    = `{"method":"join","target":"room","peerName":"alice","rtpCapabilities":` + clientCaps + `,"spy":false}`
	clientJoins   = `< ` + clientJoin
	clientBob     = `{"peers":[{"name":"bob","consumers":[{"id":7,` + clientConsumer + `,"peerName":"bob"}]}]}`
	clientIsIn    = `> {"response":true,"id":1,"ok":true,"data":` + clientBob + `}`

	clientTransports = `< {"method":"createTransport","target":"peer","id":1,"direction":"send","options":{}}`
	clientTransport  = `{"iceParameters":{"usernameFragment":"u","password":"p"},"iceCandidates":[],` +
		`"dtlsParameters":{"role":"client","fingerprints":[]}}`
	clientDTLS     = `{"role":"client","fingerprints":[{"algorithm":"sha-256","value":"AA:BB"}]}`
	clientProducer = `{"method":"createProducer","target":"peer","id":2,"kind":"audio","transportId":1,` +
		`"rtpParameters":` + clientMedia + `,"paused":false}`
	clientEnables = `< {"method":"enableConsumer","target":"peer","id":7,"transportId":3,"paused":false}`
)

// ofPeer is a notification.
func ofPeer(method, members string) string {
	return `{"method":"` + method + `","target":"peer","notification":true` + members + `}`
}

// clientStimuli are what a client is given in every state: received, and sent if it can be.
var clientStimuli = []script.Stimulus[Message]{
	{Name: "queryRoom", Wire: `{"method":"queryRoom","target":"room"}`},
	{Name: "join", Wire: clientJoin},
	{Name: "join, spy", Wire: strings.Replace(clientJoin, `"spy":false`, `"spy":true`, 1)},
	{Name: "join, no name", Wire: strings.Replace(clientJoin, `"alice"`, `""`, 1)},
	{Name: "createTransport 1", Wire: clientTransports[2:]},
	{Name: "createTransport 3",
		Wire: strings.Replace(clientTransports[2:], `"id":1,"direction":"send"`, `"id":3,"direction":"recv"`, 1)},
	{Name: "createTransport 0", Wire: strings.Replace(clientTransports[2:], `"id":1`, `"id":0`, 1)},
	{Name: "restartTransport 1", Wire: `{"method":"restartTransport","target":"peer","id":1}`},
	{Name: "createProducer 2", Wire: clientProducer},
	{Name: "createProducer 5 on 3",
		Wire: strings.NewReplacer(`"id":2`, `"id":5`, `"transportId":1`, `"transportId":3`).Replace(clientProducer)},
	{Name: "enableConsumer 7", Wire: clientEnables[2:]},
	{Name: "enableConsumer 8", Wire: strings.Replace(clientEnables[2:], `"id":7`, `"id":8`, 1)},
	{Name: "leave", Wire: ofPeer("leave", `,"appData":1`)},
	{Name: "updateTransport 1",
		Wire: ofPeer("updateTransport", `,"id":1,"dtlsParameters":`+clientDTLS)},
	{Name: "updateTransport, nothing", Wire: ofPeer("updateTransport", `,"id":1`)},
	{Name: "closeTransport 1", Wire: ofPeer("closeTransport", `,"id":1`)},
	{Name: "enableTransportStats 1", Wire: ofPeer("enableTransportStats", `,"id":1,"interval":10`)},
	{Name: "disableTransportStats 1", Wire: ofPeer("disableTransportStats", `,"id":1`)},
	{Name: "pauseProducer 2", Wire: ofPeer("pauseProducer", `,"id":2`)},
	{Name: "resumeProducer 2", Wire: ofPeer("resumeProducer", `,"id":2`)},
	{Name: "closeProducer 2", Wire: ofPeer("closeProducer", `,"id":2`)},
	{Name: "enableProducerStats 2", Wire: ofPeer("enableProducerStats", `,"id":2`)},
	{Name: "disableProducerStats 2", Wire: ofPeer("disableProducerStats", `,"id":2`)},
	{Name: "updateProducer 2", Wire: ofPeer("updateProducer", `,"id":2,"rtpParameters":`+clientMedia)},
	{Name: "pauseConsumer 7", Wire: ofPeer("pauseConsumer", `,"id":7`)},
	{Name: "resumeConsumer 7", Wire: ofPeer("resumeConsumer", `,"id":7`)},
	{Name: "setConsumerPreferredProfile 7", Wire: ofPeer("setConsumerPreferredProfile", `,"id":7,"profile":"low"`)},
	{Name: "enableConsumerStats 7", Wire: ofPeer("enableConsumerStats", `,"id":7,"interval":2500`)},
	{Name: "disableConsumerStats 7", Wire: ofPeer("disableConsumerStats", `,"id":7`)},

	{Name: "closed", Wire: ofPeer("closed", `,"appData":1`)},
	{Name: "newPeer bob", Wire: ofPeer("newPeer", `,"name":"bob","consumers":[]`)},
	{Name: "newPeer carol", Wire: ofPeer("newPeer", `,"name":"carol","consumers":[]`)},
	{Name: "newPeer carol, without consumers", Wire: ofPeer("newPeer", `,"name":"carol"`)},
	{Name: "peerClosed bob", Wire: ofPeer("peerClosed", `,"name":"bob","appData":1`)},
	{Name: "peerClosed carol", Wire: ofPeer("peerClosed", `,"name":"carol"`)},
	{Name: "newConsumer 7 of bob", Wire: ofPeer("newConsumer", `,"id":7,`+clientConsumer+`,"peerName":"bob"`)},
	{Name: "newConsumer 8 of bob", Wire: ofPeer("newConsumer", `,"id":8,`+clientConsumer+`,"peerName":"bob"`)},
	{Name: "newConsumer 8 of carol", Wire: ofPeer("newConsumer", `,"id":8,`+clientConsumer+`,"peerName":"carol"`)},
	{Name: "newConsumer 8, without parameters", Wire: ofPeer("newConsumer", `,"id":8,"kind":"audio","peerName":"bob"`)},
	{Name: "consumerClosed 7", Wire: ofPeer("consumerClosed", `,"id":7,"peerName":"bob"`)},
	{Name: "consumerClosed 8", Wire: ofPeer("consumerClosed", `,"id":8,"peerName":"bob"`)},
	{Name: "consumerPaused 7", Wire: ofPeer("consumerPaused", `,"id":7,"peerName":"bob"`)},
	{Name: "consumerPaused 8", Wire: ofPeer("consumerPaused", `,"id":8,"peerName":"bob"`)},
	{Name: "consumerResumed 7", Wire: ofPeer("consumerResumed", `,"id":7,"peerName":"bob"`)},
	{Name: "consumerPreferredProfileSet 7",
		Wire: ofPeer("consumerPreferredProfileSet", `,"id":7,"peerName":"bob","profile":"low"`)},
	{Name: "consumerEffectiveProfileChanged 7",
		Wire: ofPeer("consumerEffectiveProfileChanged", `,"id":7,"peerName":"bob","profile":"low"`)},
	{Name: "consumerStats 7", Wire: ofPeer("consumerStats", `,"id":7,"peerName":"bob","stats":[]`)},
	{Name: "consumerStats 8", Wire: ofPeer("consumerStats", `,"id":8,"peerName":"bob","stats":[]`)},
	{Name: "transportClosed 1", Wire: ofPeer("transportClosed", `,"id":1`)},
	{Name: "transportStats 1", Wire: ofPeer("transportStats", `,"id":1,"stats":[]`)},
	{Name: "producerPaused 2", Wire: ofPeer("producerPaused", `,"id":2,"peerName":"alice"`)},
	{Name: "producerResumed 2", Wire: ofPeer("producerResumed", `,"id":2,"peerName":"alice"`)},
	{Name: "producerClosed 2", Wire: ofPeer("producerClosed", `,"id":2,"peerName":"alice"`)},
	{Name: "producerStats 2", Wire: ofPeer("producerStats", `,"id":2,"stats":[]`)},

	{Name: "response 1", Wire: `{"response":true,"id":1,"ok":true,"data":` + clientBob + `}`},
	{Name: "response 1, a room", Wire: `{"response":true,"id":1,"ok":true,"data":` + clientRoom + `}`},
	{Name: "response 1, empty", Wire: `{"response":true,"id":1,"ok":true,"data":{}}`},
	{Name: "response 1, a refusal", Wire: `{"response":true,"id":1,"errorCode":500,"errorReason":"Error: no"}`},
	{Name: "response 1, forbidden", Wire: `{"response":true,"id":1,"errorCode":403,"errorReason":"no"}`},
	{Name: "response 1, nonsense",
		Wire: `{"response":true,"id":1,"ok":true,"data":{"peers":7,"rtpCapabilities":7,"paused":7}}`},
	{Name: "response 2", Wire: `{"response":true,"id":2,"ok":true,"data":` + clientTransport + `}`},
	{Name: "response 2, a room", Wire: `{"response":true,"id":2,"ok":true,"data":` + clientRoom + `}`},
	{Name: "response 2, a refusal", Wire: `{"response":true,"id":2,"errorCode":500,"errorReason":"Error: no"}`},
	{Name: "response 3",
		Wire: granted(3, `{"peers":[],"paused":true,"preferredProfile":"low","effectiveProfile":"high"}`)},
	{Name: "response 3, a refusal", Wire: `{"response":true,"id":3,"errorCode":500,"errorReason":"Error: no"}`},
	{Name: "response 99", Wire: `{"response":true,"id":99,"ok":true,"data":{}}`},

	{Name: "application request", Wire: `{"request":true,"id":50,"method":"ours","data":{"a":1}}`},
	{Name: "application notification", Wire: `{"notification":true,"method":"ours","data":{"a":1}}`},
	{Name: "novelty", Wire: ofPeer("novelty", `,"x":1`)},
	{Name: "novelty, a request",
		Wire: `{"request":true,"id":51,"method":"mediasoup-request","data":{"method":"novelty","x":1}}`},
	{Name: "newPeer as protoo 2 has it",
		Wire: `{"request":true,"id":52,"method":"mediasoup-notification","data":` +
			ofPeer("newPeer", `,"name":"dave","consumers":[]`) + `}`},
	{Name: "reconnected", Msg: new(Reconnected)},

	{Name: "nothing", Wire: ``},
	{Name: "not JSON", Wire: `{"response":`},
	{Name: "null", Wire: `null`},
	{Name: "no kind", Wire: `{"data":{}}`},
	{Name: "not marked as a notification",
		Wire: `{"notification":true,"method":"mediasoup-notification","data":{"method":"closed"}}`},
	{Name: "wrong type of a member", Wire: ofPeer("peerClosed", `,"name":7`)},
	{Name: "wrong type of a request's member",
		Wire: `{"request":true,"id":53,"method":"mediasoup-request","data":{"method":7}}`},
	{Name: "wrong notification of protoo 2",
		Wire: `{"request":true,"id":54,"method":"mediasoup-notification","data":{"method":7}}`},
	{Name: "too big", Wire: ofPeer("novelty", `,"x":"`+strings.Repeat("x", clientTooBig)+`"`)},
}

// clientTooBig is the limit of the decoder in these tests.
const clientTooBig = 2000

func decodeStimulus(wire string) (Message, error) {
	if _, err := decoder(Protoo, clientTooBig)(transport.Text, []byte(wire)); len(wire) > clientTooBig {
		return nil, err
	}
	return decodeOfClient([]byte(wire))
}

func TestClientStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range clientStimuli {
		require.False(t, names[in.Name], in.Name)
		names[in.Name] = true
		if m, err := in.Decoded(decodeStimulus); err == nil {
			types[m.wireType()] = true
		}
	}
	for typ := range registry {
		require.True(t, types[typ], typ)
	}
}

// clientAfter returns a machine after some steps, see script.After.
func clientAfter(t testing.TB, cfg ClientConfig, steps ...string) *ClientMachine {
	t.Helper()
	m := NewClientMachine(cfg)
	script.After(t, m, clientDawn, decodeOfClient, steps...)
	return m
}

type clientWay struct {
	name  string
	state ClientState
	steps []string // see clientAfter
}

func TestClientMachineInEveryState(t *testing.T) {
	t.Parallel()
	joined := []string{"start", clientJoins, clientIsIn}
	after := func(base []string, steps ...string) []string { return append(base[:len(base):len(base)], steps...) }
	busy := after(joined, clientTransports, `< `+clientProducer, `< `+ofPeer("pauseProducer", `,"id":2`), clientEnables)
	spy := strings.Replace(clientJoins, `"spy":false`, `"spy":true`, 1)
	var b script.Table
	for _, w := range []clientWay{
		{"idle", ClientIdle, nil},
		{"new", ClientNew, []string{"start"}},
		{"new, asking about the room", ClientNew, []string{"start", clientQueries}},
		{"joining", ClientJoining, joined[:2]},
		{"joining, with early news", ClientJoining, after(joined[:2],
			`> `+ofPeer("newPeer", `,"name":"carol","consumers":[]`),
			`> `+ofPeer("peerClosed", `,"name":"bob"`))},
		{"joined", ClientJoined, joined},
		{"joined as a spy", ClientJoined, []string{"start", spy, clientIsIn}},
		{"joined, with requests that wait for the transport 1, and the consumer 7", ClientJoined, busy},
		{"left", ClientLeft, after(busy, `< `+ofPeer("leave", ""))},
		{"closed by the server", ClientLeft, after(busy, `> `+ofPeer("closed", ""))},
		{"lost, with requests", ClientIdle, after(busy, "lost")},
		{"back before a join", ClientNew, []string{"start", "lost", "start"}},
		{"asking about the room again", ClientNew, after(joined, "lost", "start")},
		{"joining again", ClientJoining, after(joined, "lost", "start",
			`> {"response":true,"id":2,"ok":true,"data":`+clientRoom+`}`)},
		{"joined again", ClientJoined, after(joined, "lost", "start",
			`> {"response":true,"id":2,"ok":true,"data":`+clientRoom+`}`, `> {"response":true,"id":3,"ok":true,"data":{}}`)},
		{"refused, over", ClientClosed, after(joined, "lost", "start",
			`> {"response":true,"id":2,"errorCode":500,"errorReason":"no"}`)},
	} {
		b.State(w.name)
		everyClientState.Rows(t, &b, func() *ClientMachine {
			m := clientAfter(t, ClientConfig{}, w.steps...)
			require.Equal(t, w.state, m.State(), w.name)
			return m
		})
	}
	b.Compare(t, "client")
}

var everyClientState = script.ClientStates[Message, Effects, *ClientMachine]{
	Dawn: clientDawn, Times: []time.Duration{DefaultHandshakeTimeout, DefaultCallTimeout},
	Stimuli: clientStimuli, Decode: decodeStimulus,
	Malformed: func(m *ClientMachine, err error) Effects { return m.Malformed(clientDawn, asDecodeError(err)) },
	Result: func(tb testing.TB, m *ClientMachine, given Message, fx Effects, err error) string {
		requireClientModel(tb, m)
		if m.State() == ClientIdle || m.State() == ClientClosed {
			requireClientForgets(tb, m)
		}
		text := clientEffects(fx, err)
		if given != nil { // what stays as it is need not be repeated
			text = strings.ReplaceAll(text, clientShort(given), "it")
			text = strings.ReplaceAll(text, "ignore "+name(given), "ignore it")
			text = strings.ReplaceAll(text, "cannot send "+name(given), "cannot send it")
		}
		for _, m := range fx.Send {
			if kindOf(m) == FrameRequest {
				text += ", request " + string(m.head().RequestID)
			}
		}
		return m.State().String() + text
	},
}

// clientEffects tells what a step asks for.
func clientEffects(fx Effects, err error) string {
	var text strings.Builder
	text.WriteString(clientSpeech.Text(clientScript(fx), clientShort, clientShort))
	for _, m := range fx.Ignored {
		text.WriteString(", ignore " + name(m))
	}
	if err != nil {
		text.WriteString(", error " + clientSpeech.Short(err))
	}
	return text.String()
}

// clientShort is clientText without what all have.
func clientShort(m Message) string {
	text := clientText(m)
	return strings.NewReplacer(clientCaps, "CAPS", clientMedia, "MEDIA",
		`"target":"peer",`, "", `"notification":true,`, "",
		`,"target":"peer"`, "", `,"notification":true`, "").Replace(text)
}

// requireClientModel demands that what a machine knows of the room makes sense.
func requireClientModel(tb testing.TB, m *ClientMachine) {
	tb.Helper()
	names, ids := make(map[string]bool), make(map[uint32]string)
	for _, p := range m.Peers() {
		require.NotEmpty(tb, p.Name)
		require.False(tb, names[p.Name], p.Name)
		names[p.Name] = true
		for _, c := range p.Consumers {
			require.NotNil(tb, c.RTPParameters)
			require.Empty(tb, ids[c.ID], "a consumer of two")
			ids[c.ID] = p.Name
		}
	}
	require.Equal(tb, ids, m.consumers)
	queued := 0
	for id, l := range m.lanes {
		require.Equal(tb, id, l.transport)
		require.True(tb, l.busy, "nothing waits for nothing")
		for _, q := range l.queue {
			if isRequest(q.out) {
				queued++
			}
		}
	}
	require.Equal(tb, queued, m.queued)
	for _, p := range m.pending {
		require.True(tb, p.lane == nil || p.lane.transport != 0)
	}
	require.Equal(tb, m.State() == ClientJoined, m.Joined() != nil)
	if m.State() != ClientJoined && m.State() != ClientClosed {
		require.Empty(tb, m.Peers())
	}
	if m.State() != ClientJoining && m.State() != ClientClosed {
		require.Empty(tb, m.early)
	}
	if m.State() != ClientJoined {
		require.Empty(tb, m.lanes)
	}
}
