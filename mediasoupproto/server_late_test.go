package mediasoupproto

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A lateOp is something that a client of serverRig wants of the media, whose answer comes late.
type lateOp struct {
	name    string
	prepare []string // said while the media answer at once
	say     string
	what    string // that is closed meanwhile, in the answer; "" when there is none
}

var lateOps = []lateOp{
	{"createTransport", nil, `createTransport#5 {"id":1}`, "Transport"},
	{"restartTransport", []string{`createTransport#4 {"id":1}`}, `restartTransport#5 {"id":1}`, "Transport"},
	{"updateTransport", []string{`createTransport#4 {"id":1}`}, `updateTransport {"id":1,"dtlsParameters":@dtls}`, ""},
	{
		"createProducer",
		[]string{`createTransport#4 {"id":1}`},
		`createProducer#5 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`,
		"Producer",
	},
	{
		"enableConsumer", []string{`createTransport#4 {"id":1}`}, `enableConsumer#5 {"id":10000001,"transportId":1}`,
		"Consumer",
	},
	{"transport stats", []string{`createTransport#4 {"id":1}`}, `enableTransportStats {"id":1}`, ""},
	{
		"producer stats",
		[]string{
			`createTransport#4 {"id":1}`, `createProducer#4 {"id":1,"kind":"audio","transportId":1,"rtpParameters":@opus:1}`,
		},
		`enableProducerStats {"id":1}`, "",
	},
	{
		"consumer stats",
		[]string{`createTransport#4 {"id":1}`, `enableConsumer#4 {"id":10000001,"transportId":1}`},
		`enableConsumerStats {"id":10000001}`, "",
	},
}

// begin has ann send, and ben wait for the media.
func (o lateOp) begin(t *testing.T) *serverRig {
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.say(1, `createTransport#2 {"id":1}`, produceAudio)
	r.enter(2, "ben")
	r.say(2, o.prepare...)
	r.auto = false
	r.say(2, o.say)
	require.Len(t, r.ops, 1, o.name)
	return r.forget()
}

// answer has the media answer, and returns what is said because of that.
func (o lateOp) answer(r *serverRig, result func(MediaOp) MediaResult) string {
	r.forget()
	r.answerAll(result)
	return strings.Join(r.take(), ", ")
}

func closedLine(what string) string {
	return fmt.Sprintf(`ben {"errorCode":500,"errorReason":"InvalidStateError: %s closed","id":5}`, what)
}

func TestLateResultsAreToldToNobodyWhoIsGone(t *testing.T) {
	t.Parallel()
	ends := map[string]func(r *serverRig){
		"the connection is gone": func(r *serverRig) { r.do(r.Disconnect(r.now, 2)) },
		"both are gone": func(r *serverRig) {
			r.do(r.Disconnect(r.now, 1))
			r.do(r.Disconnect(r.now, 2))
		},
		"another has come under the same name": func(r *serverRig) {
			r.do(r.Disconnect(r.now, 2))
			r.auto = true
			r.enter(3, "ben")
			r.say(3, `createTransport#4 {"id":1}`)
			r.auto = false
		},
	}
	for _, o := range lateOps {
		for name, end := range ends {
			for _, result := range []func(MediaOp) MediaResult{nullResult, refusedResult} {
				r := o.begin(t)
				end(r)
				require.Empty(t, o.answer(r, result), "%s: %s", o.name, name)
				r.end()
			}
		}
	}
}

func TestLateResultsOfPeersThatHaveLeftAnswerTheirRequests(t *testing.T) {
	t.Parallel()
	ends := map[string]func(r *serverRig){
		"left":             func(r *serverRig) { r.say(2, `leave`) },
		"left and is back": func(r *serverRig) { r.say(2, `leave`, `join#9 {"peerName":"ben","rtpCapabilities":@caps}`) },
		"closed":           func(r *serverRig) { fx, _ := r.ClosePeer(r.now, 2, nil); r.do(fx) },
		"the room closed":  func(r *serverRig) { fx, _ := r.CloseRoom(r.now, ""); r.do(fx) },
		"the room reopened": func(r *serverRig) {
			r.say(1, `leave`)
			r.say(2, `leave`, `join#9 {"peerName":"x","rtpCapabilities":@caps}`)
		},
	}
	for _, o := range lateOps {
		for name, end := range ends {
			for _, result := range []func(MediaOp) MediaResult{nullResult, refusedResult} {
				r := o.begin(t)
				end(r)
				want := ""
				if o.what != "" {
					want = closedLine(o.what)
				}
				require.Equal(t, want, o.answer(r, result), "%s: %s", o.name, name)
				r.end()
			}
		}
	}
}

func TestLateResultsOfTransportsThatAreClosed(t *testing.T) {
	t.Parallel()
	for _, o := range lateOps {
		for _, result := range []func(MediaOp) MediaResult{nullResult, refusedResult} {
			r := o.begin(t)
			r.say(2, `closeTransport {"id":1}`)
			want := ""
			switch o.what {
			case "":
			case "Consumer":
				want = closedLine("Transport") // it is the one that is closed
			default:
				want = closedLine(o.what)
			}
			require.Equal(t, want, o.answer(r, result), o.name)
			r.end()

			// Another transport of the same id has nothing to do with that.
			r = o.begin(t)
			r.say(2, `closeTransport {"id":1}`, `createTransport#6 {"id":1}`)
			require.Len(t, r.ops, 2)
			first := r.ops[0]
			r.ops = r.ops[1:]
			r.forget()
			r.done(first, result(first))
			require.Equal(t, want, strings.Join(r.take(), ", "), o.name)
			r.answerAll(nullResult)
			require.Contains(t, strings.Join(r.take(), ", "), `ben {"data":{"dtlsParameters":{"fingerprints":1,"role":"auto"}`)
			require.Equal(t, []uint32{1}, serverPeer(r, 2).Transports)
			r.end()
		}
	}
}

func serverPeer(r *serverRig, id PeerID) PeerState {
	p, ok := r.Peer(id)
	require.True(r.t, ok)
	return p
}

func TestAProducerThatIsClosedBeforeTheMediaAreReadyWasNeverThere(t *testing.T) {
	t.Parallel()
	for _, result := range []func(MediaOp) MediaResult{nullResult, refusedResult} {
		r := newServerRig(t, ServerConfig{})
		r.enter(1, "ann")
		r.enter(2, "ben")
		r.say(1, `createTransport#2 {"id":1}`)
		r.auto = false
		r.say(1, produceAudio)
		require.Empty(t, serverPeer(r, 1).Producers)
		_, ok := r.PauseProducer(r.now, MediaID{1, 1}, true, nil)
		require.False(t, ok, "it is not there yet")
		_, ok = r.CloseProducer(r.now, MediaID{1, 1}, nil)
		require.False(t, ok)
		r.forget()
		r.enter(3, "cat") // who is not told of it
		require.Contains(t, r.take(),
			`cat {"data":{"peers":[{"consumers":[],"name":"ann"},{"consumers":[],"name":"ben"}]},"id":1,"ok":true}`)
		r.say(1, `pauseProducer {"id":1}`, `closeProducer {"id":1}`)
		require.Equal(t, []string{"media PauseProducer ann's 1 true", "media CloseProducer ann's 1"}, r.take())
		r.answerAll(result)
		require.Equal(t, []string{
			`ann {"errorCode":500,"errorReason":"InvalidStateError: Producer closed","id":3}`,
		}, r.take())
		r.end()
	}
}

func TestAProducerThatThePauseOvertakesBeginsPaused(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.enter(2, "ben")
	r.say(1, `createTransport#2 {"id":1}`)
	r.say(2, `createTransport#2 {"id":1}`)
	r.auto = false
	r.say(1, produceAudio, `pauseProducer {"id":1}`)
	r.answerAll(nullResult)
	r.forget()
	r.auto = true
	r.say(2, `enableConsumer#3 {"id":10000001,"transportId":1}`)
	require.Contains(t, r.take(),
		`ben {"data":{"effectiveProfile":null,"paused":true,"preferredProfile":"default"},"id":3,"ok":true}`)
	r.end()
}

func TestAConsumerWhoseProducerEndsBeforeItIsEnabled(t *testing.T) {
	t.Parallel()
	for _, result := range []func(MediaOp) MediaResult{nullResult, refusedResult} {
		for _, end := range []string{`closeProducer {"id":1}`, `closeTransport {"id":1}`, `leave`} {
			r := lateOps[4].begin(t)
			r.say(1, end)
			require.Equal(t, closedLine("Consumer"), lateOps[4].answer(r, result), end)
			r.end()
		}
	}
}

func TestSoManyRequestsOfAPeerWaitForTheMedia(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{Pending: 2})
	r.enter(1, "ann")
	r.enter(2, "ben")
	r.auto = false
	r.say(1, `createTransport#2 {"id":1}`, `createTransport#3 {"id":2}`)
	r.forget()
	r.say(1, `createTransport#4 {"id":3}`)
	require.Equal(t, []string{`ann {"errorCode":500,"errorReason":"Error: request timeout","id":4}`}, r.take())
	r.say(2, `createTransport#4 {"id":3}`)
	require.Len(t, r.ops, 3, "another is not held up")
	r.answerAll(refusedResult)
	r.forget()
	r.say(1, `createTransport#5 {"id":3}`, `createTransport#6 {"id":4}`)
	require.Len(t, r.ops, 2)
	r.end()
}

func TestRequestsThatWaitDoNotCountAgainstAPeerThatIsBack(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{Pending: 1})
	r.enter(1, "ann")
	r.auto = false
	r.say(1, `createTransport#2 {"id":1}`, `leave`, `join#3 {"peerName":"ann","rtpCapabilities":@caps}`)
	r.say(1, `createTransport#4 {"id":1}`)
	require.Len(t, r.ops, 2)
	old := r.ops[0]
	r.ops = r.ops[1:]
	r.forget()
	r.done(old, nullResult(old))
	require.Equal(t, []string{
		`ann {"errorCode":500,"errorReason":"InvalidStateError: Transport closed","id":2}`,
	}, r.take())
	r.say(1, `createTransport#5 {"id":2}`)
	require.Equal(t, []string{`ann {"errorCode":500,"errorReason":"Error: request timeout","id":5}`}, r.take())
	r.end()
}

func TestStatisticsAreNotAskedForTwiceAtOnce(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.say(1, `createTransport#2 {"id":1}`)
	r.auto = false
	r.say(1, `enableTransportStats {"id":1}`)
	for range 5 {
		r.now = r.now.Add(time.Second)
		r.do(r.Expire(r.now))
	}
	require.Len(t, r.ops, 1)
	r.answerAll(refusedResult) // which says nothing, and goes on
	r.now = r.now.Add(time.Second)
	r.do(r.Expire(r.now))
	require.Len(t, r.ops, 1)
	r.forget()
	r.answerAll(nullResult)
	require.Len(t, r.take(), 1)
	r.end()
}

func TestStatisticsThatAreAskedForAnewDoNotHaveTheOldAnswer(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.say(1, `createTransport#2 {"id":1}`)
	r.auto = false
	r.say(1, `enableTransportStats {"id":1}`, `disableTransportStats {"id":1}`)
	r.forget()
	r.answerAll(nullResult)
	require.Empty(t, r.take(), "nobody wants it any more")
	r.say(1, `enableTransportStats {"id":1}`, `disableTransportStats {"id":1}`, `enableTransportStats {"id":1}`)
	r.forget()
	require.Len(t, r.ops, 2)
	r.answerAll(nullResult)
	require.Len(t, r.take(), 1)
	r.end()
}

func TestEventsOfTheMediaAboutWhatIsGoneAreIgnored(t *testing.T) {
	t.Parallel()
	r := lateOps[7].begin(t)
	r.answerAll(nullResult)
	r.forget()
	r.do(r.EffectiveProfile(r.now, MediaID{2, 10000001}, ProfileDefault))
	require.Len(t, r.take(), 1)
	for _, id := range []MediaID{{2, 1}, {1, 10000001}, {3, 10000001}, {0, 0}} {
		require.Zero(t, r.EffectiveProfile(r.now, id, ProfileLow))
	}
	for _, id := range []MediaID{{2, 10000001}, {3, 1}, {0, 0}} {
		fx, ok := r.CloseTransport(r.now, id, nil)
		require.Zero(t, fx)
		require.False(t, ok)
	}
	r.say(2, `leave`)
	require.Zero(t, r.EffectiveProfile(r.now, MediaID{2, 10000001}, ProfileLow))
	r.end()
}

func TestNothingOfConsumersStaysWithTheirPeer(t *testing.T) {
	t.Parallel()
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.enter(2, "ben")
	r.say(1, `createTransport#2 {"id":1}`)
	p := r.conns[2].peer
	for range 20 {
		r.say(1, produceAudio,
			`createProducer#4 {"id":2,"kind":"video","transportId":1,"rtpParameters":@vp8:2}`)
		require.Len(t, p.consumers, 2)
		r.say(1, `closeProducer {"id":1}`, `closeProducer {"id":2}`)
		require.Empty(t, p.consumers)
		require.Empty(t, p.ssrcs)
	}
	r.end()
}

func TestIDsOfConsumersAreNeverThoseInUse(t *testing.T) {
	t.Parallel()
	ids := []uint32{5, 6, 7}
	r := newServerRig(t, ServerConfig{NewID: func() uint32 { // which is out of ideas soon
		if len(ids) > 0 {
			id := ids[0]
			ids = ids[1:]
			return id
		}
		return 5
	}})
	r.enter(1, "ann")
	r.enter(2, "ben")
	r.say(1, `createTransport#2 {"id":1}`)
	for i := 1; i <= 3; i++ {
		r.say(1, fmt.Sprintf(`createProducer#3 {"id":%d,"kind":"audio","transportId":1,"rtpParameters":@opus:%[1]d}`, i))
	}
	var have []uint32
	for _, c := range serverPeer(r, 2).Consumers {
		have = append(have, c.ID)
	}
	slices.Sort(have)
	require.Len(t, slices.Compact(have), 3)
	require.Contains(t, have, uint32(5))
	r.end()
}
