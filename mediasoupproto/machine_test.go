package mediasoupproto

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A serverStimulus is something that a server's machine may hear in any state, as scripts
// have it.
type serverStimulus struct{ name, wire string }

// serverStimuli holds every message of the registry with its important variants, and what
// is no message.
var serverStimuli = []serverStimulus{
	{"queryRoom", `queryRoom#1`},
	{"join", `join#1 {"peerName":"it","rtpCapabilities":@caps,"appData":{"a":1}}`},
	{"join by another name", `join#1 {"peerName":"x","rtpCapabilities":@caps}`},
	{"join by the other's name", `join#1 {"peerName":"the other","rtpCapabilities":@caps}`},
	{"join without a name", `join#1 {"rtpCapabilities":@caps}`},
	{"join as a spy", `join#1 {"peerName":"it","rtpCapabilities":@caps,"spy":true}`},
	{"createTransport", `createTransport#1 {"id":9,"direction":"send","options":{},"dtlsParameters":@dtls}`},
	{"createTransport again", `createTransport#1 {"id":1}`},
	{"createTransport without an id", `createTransport#1 {}`},
	{"createTransport, plain", `createTransport#1 {"id":9,"options":{},"plainRtpParameters":{}}`},
	{"restartTransport", `restartTransport#1 {"id":1}`},
	{"restartTransport of the other's", `restartTransport#1 {"id":101}`},
	{"createProducer", `createProducer#1 {"id":9,"kind":"audio","transportId":1,"rtpParameters":@opus:9}`},
	{"createProducer again", `createProducer#1 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:9}`},
	{
		"createProducer of a known SSRC",
		`createProducer#1 {"id":9,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`,
	},
	{
		"createProducer over the other's transport",
		`createProducer#1 {"id":9,"kind":"audio","transportId":101,"rtpParameters":@opus:9}`,
	},
	{"createProducer of no kind", `createProducer#1 {"id":9,"transportId":1,"rtpParameters":@opus:9}`},
	{"enableConsumer", `enableConsumer#1 {"id":10000001,"transportId":1,"paused":false}`},
	{"enableConsumer of the other's", `enableConsumer#1 {"id":10000004,"transportId":1}`},
	{"enableConsumer over no transport", `enableConsumer#1 {"id":10000001,"transportId":9}`},
	{"leave", `leave {"appData":1}`},
	{"updateTransport", `updateTransport {"id":1,"dtlsParameters":@dtls}`},
	{"updateTransport of the other's", `updateTransport {"id":101,"dtlsParameters":@dtls}`},
	{"updateTransport without parameters", `updateTransport {"id":1}`},
	{"updateTransport with bad ones", `updateTransport {"id":1,"dtlsParameters":{"fingerprints":[]}}`},
	{"updateTransport, plain", `updateTransport {"id":1,"plainRtpParameters":{"ip":"127.0.0.1","port":1}}`},
	{"closeTransport", `closeTransport {"id":1}`},
	{"closeTransport of the other's", `closeTransport {"id":101}`},
	{"enableTransportStats", `enableTransportStats {"id":1,"interval":1}`},
	{"disableTransportStats", `disableTransportStats {"id":1}`},
	{"pauseProducer", `pauseProducer {"id":1}`},
	{"pauseProducer of the other's", `pauseProducer {"id":101}`},
	{"pauseProducer without an id", `pauseProducer {}`},
	{"resumeProducer", `resumeProducer {"id":1}`},
	{"closeProducer", `closeProducer {"id":1}`},
	{"closeProducer of the other's", `closeProducer {"id":101}`},
	{"enableProducerStats", `enableProducerStats {"id":1}`},
	{"disableProducerStats", `disableProducerStats {"id":1}`},
	{"updateProducer", `updateProducer {"id":1,"rtpParameters":@opus:9}`},
	{"pauseConsumer", `pauseConsumer {"id":10000001}`},
	{"resumeConsumer", `resumeConsumer {"id":10000001}`},
	{"setConsumerPreferredProfile", `setConsumerPreferredProfile {"id":10000001,"profile":"low"}`},
	{"setConsumerPreferredProfile none", `setConsumerPreferredProfile {"id":10000001,"profile":"none"}`},
	{"enableConsumerStats", `enableConsumerStats {"id":10000001}`},
	{"disableConsumerStats", `disableConsumerStats {"id":10000001}`},

	{"closed", `closed`},
	{"newPeer", `newPeer {"name":"x","consumers":[]}`},
	{"peerClosed", `peerClosed {"name":"the other"}`},
	{"newConsumer", `newConsumer {"id":1,"kind":"audio","rtpParameters":@opus:1,"peerName":"x"}`},
	{"consumerClosed", `consumerClosed {"id":10000001}`},
	{"consumerPaused", `consumerPaused {"id":10000001}`},
	{"consumerResumed", `consumerResumed {"id":10000001}`},
	{"consumerPreferredProfileSet", `consumerPreferredProfileSet {"id":10000001,"profile":"low"}`},
	{"consumerEffectiveProfileChanged", `consumerEffectiveProfileChanged {"id":10000001,"profile":"low"}`},
	{"consumerStats", `consumerStats {"id":10000001,"stats":[]}`},
	{"transportClosed", `transportClosed {"id":1}`},
	{"transportStats", `transportStats {"id":1,"stats":[]}`},
	{"producerPaused", `producerPaused {"id":1}`},
	{"producerResumed", `producerResumed {"id":1}`},
	{"producerClosed", `producerClosed {"id":1}`},
	{"producerStats", `producerStats {"id":1,"stats":[]}`},

	{"an unknown request", `foo#1 {"a":1}`},
	{
		"an unknown notification",
		`{"notification":true,"method":"mediasoup-notification","data":{"method":"foo","notification":true}}`,
	},
	{"a request of the application", `app-x#1 {}`},
	{"a notification of the application", `app-x {}`},
	{"a response", `response#1`},
	{
		"a notification as a request of protoo 2",
		`{"request":true,"id":1,"method":"mediasoup-notification","data":{"method":"leave","notification":true}}`,
	},
	{
		"a request that is a notification",
		`{"request":true,"id":1,"method":"mediasoup-request","data":{"notification":true}}`,
	},
	{"a request that is a list", `{"request":true,"id":1,"method":"mediasoup-request","data":[]}`},
	{"a request without a method", `{"request":true,"id":1,"method":"mediasoup-request"}`},
	{
		"a request as a notification",
		`{"notification":true,"method":"mediasoup-notification","data":{"method":"join","notification":true}}`,
	},
	{
		"a notification without the mark",
		`{"notification":true,"method":"mediasoup-notification","data":{"method":"leave"}}`,
	},
	{"createTransport with an id of another type", `createTransport#1 {"id":"x"}`},
	{"join with a name of another type", `join#1 {"peerName":7}`},
	{"pauseProducer with an id of another type", `pauseProducer {"id":"x"}`},
	{"nothing", ``},
	{"not JSON", `{"request":`},
	{"a list", `[]`},
	{"too big", `{"a":"` + strings.Repeat("x", serverStimuliLimit) + `"}`},
}

// serverStimuliLimit is the limit of the decoder in these tests.
const serverStimuliLimit = 5000

// decoded returns the message, or what is wrong with it.
func (s serverStimulus) decoded() (Message, *DecodeError) {
	frame := sceneSays(Protoo, script.Message{Data: []byte(s.wire)})
	m, err := decoder(Protoo, serverStimuliLimit)(transport.Text, frame.Data)
	if err == nil {
		return m, nil
	}
	return nil, asDecodeError(err)
}

func TestServerStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range serverStimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		if m, err := in.decoded(); err == nil {
			types[m.wireType()] = true
		}
	}
	for typ := range registry {
		require.True(t, types[typ], typ)
	}
}

// The peers of TestServerMachineInEveryState.
const (
	subject   PeerID = 1
	companion PeerID = 2 // in its room, sending
)

type serverWay struct {
	name  string
	state ServerState
	cfg   ServerConfig
	way   func(r *serverRig)
}

func TestServerMachineInEveryState(t *testing.T) {
	t.Parallel()
	const join = `join#1 {"peerName":"it","rtpCapabilities":@caps}`
	joined := func(r *serverRig) { r.say(subject, join) }
	calling := func(r *serverRig) {
		joined(r)
		r.say(subject, `createTransport#1 {"id":1,"dtlsParameters":@dtls}`,
			`createProducer#1 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`,
			`enableConsumer#1 {"id":10000001,"transportId":1}`)
		r.say(companion, `enableConsumer#1 {"id":10000004,"transportId":101}`)
	}
	waiting := func(r *serverRig) {
		joined(r)
		r.auto = false
		r.say(subject, `createTransport#1 {"id":1}`)
	}
	var b script.Table
	for _, w := range []serverWay{
		{"new", ServerNew, ServerConfig{}, func(*serverRig) {}},
		{"joining", ServerJoining, ServerConfig{}, func(r *serverRig) {
			r.asks = true
			r.say(subject, join)
		}},
		{"joined", ServerJoined, ServerConfig{}, joined},
		{"joined as a spy", ServerJoined, ServerConfig{AllowSpies: true}, func(r *serverRig) {
			r.say(subject, `join#1 {"peerName":"it","rtpCapabilities":@caps,"spy":true}`, `createTransport#1 {"id":1}`)
		}},
		{"joined, the application asked about a request", ServerJoined, ServerConfig{AskRequests: true}, func(r *serverRig) {
			calling(r)
			r.asks = true
			r.say(subject, `createTransport#1 {"id":9}`)
		}},
		{"joined, sending and receiving", ServerJoined, ServerConfig{}, calling},
		{"joined, waiting for a transport", ServerJoined, ServerConfig{}, waiting},
		{"joined, waiting for a producer", ServerJoined, ServerConfig{}, func(r *serverRig) {
			joined(r)
			r.say(subject, `createTransport#1 {"id":1}`)
			r.auto = false
			r.say(subject, `createProducer#1 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`)
		}},
		{"joined, waiting for a consumer", ServerJoined, ServerConfig{}, func(r *serverRig) {
			joined(r)
			r.say(subject, `createTransport#1 {"id":1}`)
			r.auto = false
			r.say(subject, `enableConsumer#1 {"id":10000001,"transportId":1}`)
		}},
		{"left", ServerLeft, ServerConfig{}, func(r *serverRig) {
			calling(r)
			r.say(subject, `leave`)
		}},
		{"left, waiting for a transport", ServerLeft, ServerConfig{}, func(r *serverRig) {
			waiting(r)
			r.say(subject, `leave`)
		}},
	} {
		b.State(w.name)
		serverRows(t, &b, w)
	}
	b.Compare(t, "server")
}

func serverRows(t *testing.T, b *script.Table, w serverWay) {
	once := func(step func(r *serverRig)) string {
		r := newServerRig(t, w.cfg)
		r.enter(companion, "the other")
		r.say(companion, `createTransport#1 {"id":101,"dtlsParameters":@dtls}`,
			`createProducer#1 {"id":101,"kind":"audio","transportId":101,"rtpParameters":@opus:101}`)
		r.connect(subject, "it")
		w.way(r)
		state, ok := r.State(subject)
		require.True(t, ok)
		require.Equal(t, w.state, state)
		r.forget()
		r.asks = true
		step(r)
		result := "gone"
		if s, ok := r.State(subject); ok {
			result = s.String()
		}
		said := r.take()
		if len(said) > 0 {
			result += ", " + strings.Join(said, ", ")
		}
		r.asks = false
		r.end()
		return result
	}
	row := func(name string, step func(r *serverRig)) {
		result := once(step)
		require.Equal(t, result, once(step), "%s: not deterministic", name)
		b.Row(name, result)
	}
	for _, in := range serverStimuli {
		row(in.name, func(r *serverRig) {
			msg, err := in.decoded()
			if err != nil {
				r.do(r.Malformed(r.now, subject, err))
			} else {
				r.do(r.Receive(r.now, subject, msg))
			}
		})
	}
	ticket := func(r *serverRig) Ticket { return Ticket{subject, r.tickets} }
	row("let it happen", func(r *serverRig) { r.do(r.Decide(r.now, ticket(r), Decision{})) })
	row("refuse", func(r *serverRig) { r.do(r.Decide(r.now, ticket(r), Decision{Refuse: ErrNotAuthorised})) })
	row("decide with another ticket", func(r *serverRig) { r.do(r.Decide(r.now, Ticket{subject, 99}, Decision{})) })
	row("the media are ready", func(r *serverRig) { r.answerAll(nullResult) })
	row("the media refuse", func(r *serverRig) { r.answerAll(refusedResult) })
	row("the media answer what nobody asked", func(r *serverRig) {
		r.do(r.MediaDone(r.now, Ticket{subject, 99}, MediaResult{}))
	})
	row("disconnect", func(r *serverRig) { r.do(r.Disconnect(r.now, subject)) })
	row("the other disconnects", func(r *serverRig) { r.do(r.Disconnect(r.now, companion)) })
	row("at the end of the time to join", func(r *serverRig) { r.do(r.Expire(r.now.Add(DefaultJoinTimeout))) })
	row("after an hour", func(r *serverRig) { r.do(r.Expire(r.now.Add(time.Hour))) })
	for _, c := range []applicationCall{
		{Call: "closeRoom"},
		{Call: "closePeer"},
		{Call: "closeTransport", ID: 1},
		{Call: "pauseProducer", ID: 1},
		{Call: "resumeProducer", ID: 1},
		{Call: "closeProducer", ID: 1},
		{Call: "pauseConsumer", ID: 10000001},
		{Call: "resumeConsumer", ID: 10000001},
		{Call: "setPreferredProfile", ID: 10000001, Profile: ProfileLow},
		{Call: "requestKeyFrame", ID: 10000001},
		{Call: "effectiveProfile", ID: 10000001, Profile: ProfileLow},
	} {
		c.Peer = "it"
		row("the application or the media: "+c.Call, func(r *serverRig) {
			fx, ok := c.call(r.ServerMachine, r.now)
			if ok == false {
				require.Empty(t, fx.Send, "refused and done")
				require.Empty(t, fx.Media, "refused and done")
			}
			r.do(fx)
		})
	}
}

func TestServerMachineIgnoresPeersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	for _, in := range serverStimuli {
		msg, err := in.decoded()
		if err != nil {
			require.Zero(t, m.Malformed(serverDawn, 1, err))
			continue
		}
		require.Zero(t, m.Receive(serverDawn, 1, msg))
	}
	require.Zero(t, m.Disconnect(serverDawn, 1))
	require.Zero(t, m.Decide(serverDawn, Ticket{Peer: 1}, Decision{}))
	require.Zero(t, m.MediaDone(serverDawn, Ticket{Peer: 1, number: 1}, MediaResult{}))
	require.Zero(t, m.EffectiveProfile(serverDawn, MediaID{1, 1}, ProfileLow))
	require.Zero(t, m.Expire(serverDawn.Add(time.Hour)))
	oks := []bool{}
	for _, call := range []func() (ServerEffects, bool){
		func() (ServerEffects, bool) { return m.CloseRoom(serverDawn, "") },
		func() (ServerEffects, bool) { return m.ClosePeer(serverDawn, 1, nil) },
		func() (ServerEffects, bool) { return m.CloseTransport(serverDawn, MediaID{1, 1}, nil) },
		func() (ServerEffects, bool) { return m.PauseProducer(serverDawn, MediaID{1, 1}, true, nil) },
		func() (ServerEffects, bool) { return m.CloseProducer(serverDawn, MediaID{1, 1}, nil) },
		func() (ServerEffects, bool) { return m.PauseConsumer(serverDawn, MediaID{1, 1}, true, nil) },
		func() (ServerEffects, bool) { return m.SetPreferredProfile(serverDawn, MediaID{1, 1}, ProfileLow) },
		func() (ServerEffects, bool) { return m.RequestKeyFrame(serverDawn, MediaID{1, 1}) },
	} {
		fx, ok := call()
		require.Zero(t, fx)
		oks = append(oks, ok)
	}
	require.False(t, slices.Contains(oks, true))
	_, known := m.State(1)
	require.False(t, known)
	_, known = m.Peer(1)
	require.False(t, known)
	_, known = m.Find("", "x")
	require.False(t, known)
	requireNobodyLeft(t, m)
}
