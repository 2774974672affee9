package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pauseState is all that decides about who is told of a pause.
type pauseState struct {
	byServer, byClient           bool // the producer
	enabled                      bool // the consumer
	byServerToo, byReceivingSide bool // the consumer
}

func (s pauseState) paused() bool { return s.byServer || s.byClient }

// next returns the state after somebody has paused or resumed something, and what is told of
// it, as measured with mediasoup.
func (s pauseState) next(who string, paused bool) (pauseState, []string) {
	after, verb := s, "Resumed"
	if paused {
		verb = "Paused"
	}
	own := fmt.Sprintf(`ben {"data":{"id":10000001,"method":"consumer%s","peerName":"ann"}}`, verb)
	toldBy := fmt.Sprintf(`ben {"data":{"appData":7,"id":10000001,"method":"consumer%s","peerName":"ann"}}`, verb)
	var told []string
	switch who {
	case "producer by its client":
		after.byClient = paused
	case "producer by the server":
		after.byServer = paused
		if after != s {
			told = append(told, fmt.Sprintf(`ann {"data":{"appData":7,"id":1,"method":"producer%s","peerName":"ann"}}`, verb))
		}
	case "consumer by its client":
		after.byReceivingSide = paused
		return after, nil
	case "consumer by the server":
		after.byServerToo = paused
		if after != s && s.enabled && !s.paused() {
			told = append(told, toldBy)
		}
		return after, told
	}
	if after.paused() != s.paused() && s.enabled && !s.byServerToo {
		told = append(told, own)
	}
	return after, told
}

// begin brings a machine into the state.
func (s pauseState) begin(t *testing.T) *serverRig {
	r := newServerRig(t, ServerConfig{})
	r.enter(1, "ann")
	r.enter(2, "ben")
	r.say(1, `createTransport#2 {"id":1}`, produceAudio)
	if s.enabled {
		r.say(2, `createTransport#2 {"id":1}`, `enableConsumer#3 {"id":10000001,"transportId":1}`)
	}
	for who, paused := range map[string]bool{
		"producer by its client": s.byClient, "producer by the server": s.byServer,
		"consumer by its client": s.byReceivingSide, "consumer by the server": s.byServerToo,
	} {
		if paused {
			s.do(r, who, true)
		}
	}
	return r.forget()
}

func (pauseState) do(r *serverRig, who string, paused bool) {
	verb := "resume"
	if paused {
		verb = "pause"
	}
	appData := json.RawMessage("7")
	var fx ServerEffects
	ok := true
	switch who {
	case "producer by its client":
		r.say(1, verb+`Producer {"id":1,"appData":8}`)
	case "producer by the server":
		fx, ok = r.PauseProducer(r.now, MediaID{1, 1}, paused, appData)
	case "consumer by its client":
		r.say(2, verb+`Consumer {"id":10000001,"appData":8}`)
	case "consumer by the server":
		fx, ok = r.PauseConsumer(r.now, MediaID{2, 10000001}, paused, appData)
	}
	require.True(r.t, ok)
	r.do(fx)
}

func TestEveryPauseIsToldToThoseToWhomItMakesADifference(t *testing.T) {
	t.Parallel()
	for bits := range 32 {
		s := pauseState{bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0, bits&16 != 0}
		for _, who := range []string{
			"producer by its client", "producer by the server", "consumer by its client", "consumer by the server",
		} {
			for _, paused := range []bool{true, false} {
				r := s.begin(t)
				after, told := s.next(who, paused)
				s.do(r, who, paused)
				what := fmt.Sprintf("%+v: %s: %v", s, who, paused)
				var heard, media []string
				for _, line := range r.take() {
					if line[:5] == "media" {
						media = append(media, line)
					} else {
						heard = append(heard, line)
					}
				}
				require.Equal(t, told, heard, what)

				// The media are told of what changes, and what a consumer that is enabled has of it.
				var want []string
				if after.paused() != s.paused() {
					want = append(want, fmt.Sprint("media PauseProducer ann's 1 ", after.paused()))
				}
				was, is := s.byServerToo || s.byReceivingSide, after.byServerToo || after.byReceivingSide
				if was != is && s.enabled {
					want = append(want, fmt.Sprint("media PauseConsumer ben's 10000001 ", is))
				}
				require.Equal(t, want, media, what)

				// Who enables it then, or joins, is told how it stands.
				r.say(2, `createTransport#8 {"id":9}`)
				r.forget()
				r.say(2, `enableConsumer#9 {"id":10000001,"transportId":9}`)
				answer := `ben {"errorCode":500,"errorReason":"InvalidStateError: Consumer already enabled","id":9}`
				if !s.enabled {
					answer = fmt.Sprintf(
						`ben {"data":{"effectiveProfile":null,"paused":%v,"preferredProfile":"default"},"id":9,"ok":true}`,
						after.paused() || after.byServerToo)
				}
				said := r.take()
				require.Equal(t, answer, said[len(said)-1], what)
				r.end()
			}
		}
	}
}

func TestAnEnabledConsumerBeginsAsItsPausesSay(t *testing.T) {
	t.Parallel()
	for bits := range 8 {
		r := pauseState{byServerToo: bits&1 != 0, byReceivingSide: bits&2 != 0}.begin(t)
		r.say(2, `createTransport#2 {"id":1}`)
		r.auto = false
		r.say(2, fmt.Sprintf(`enableConsumer#3 {"id":10000001,"transportId":1,"paused":%v}`, bits&4 != 0))
		require.Len(t, r.ops, 1)
		require.Equal(t, bits != 0, r.ops[0].Consumer.Paused)
		r.end()
	}
}
