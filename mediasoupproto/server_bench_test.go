package mediasoupproto

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// benchSays is what a client says, as scripts have it.
func benchSays(texts ...string) (frames []string) {
	for _, text := range texts {
		frames = append(frames, string(sceneSays(Protoo, script.Message{Data: []byte(text)}).Data))
	}
	return frames
}

const benchProduce = `createProducer#3 {"id":1,"kind":"video","transportId":1,"rtpParameters":@vp8:1,` +
	`"appData":{"source":"camera"}}`

// newCrowd returns n clients in one room of a server without limits. The first one sends if
// there is something to receive, and all others but the last one receive it.
func newCrowd(tb testing.TB, n int, receive bool) *script.Crowd {
	var ids atomic.Uint32
	srv := NewServer(&ServerOptions{
		AllowAll: true, ServerConfig: ServerConfig{
			NewID: func() uint32 { return ids.Add(1) }, Peers: -1, RoomBytes: -1, PeerBytes: -1, JoinTimeout: -1,
		},
		QueueMessages: -1, QueueBytes: -1, Limits: Limits{Messages: -1, Bytes: -1},
	})
	// say says something for the client before, whose media are ready then. It has two answers.
	say := func(i int, texts ...string) int {
		for _, text := range benchSays(texts...) {
			m, err := Decode([]byte(text))
			require.NoError(tb, err)
			srv.step(func(now time.Time) ServerEffects { return srv.machine.Receive(now, PeerID(i), m) })
			srv.working.Wait()
		}
		return len(texts)
	}
	const transport = `createTransport#2 {"id":1,"dtlsParameters":@dtls}`
	return script.NewCrowd(tb, n, srv.Serve, srv.Close, func(i int) ([]string, int) {
		caused := 1 + i // an answer, and all others are told
		switch {
		case !receive || i == 0:
		case i == 1:
			caused += say(i, transport, benchProduce)
		default: // its consumer took three ids
			caused += say(i, transport, fmt.Sprintf(`enableConsumer#4 {"id":%d,"transportId":1}`, 3*(i-1)-2))
		}
		return benchSays(fmt.Sprintf(
			`join#1 {"peerName":"p%d","rtpCapabilities":@caps,"appData":{"displayName":"x"}}`, i,
		)), caused
	})
}

// BenchmarkServerJoin is a client that comes, joins and goes, while others are in the room.
func BenchmarkServerJoin(b *testing.B) {
	for _, n := range []int{2, 100, 999} {
		for _, receive := range []bool{false, true} {
			b.Run(fmt.Sprintf("room of %d, receives %v", n, receive), func(b *testing.B) {
				c := newCrowd(b, n, receive)
				c.Await(math.MaxInt)
				join := benchSays(`queryRoom#1`, `join#2 {"peerName":"visitor","rtpCapabilities":@caps}`)
				b.ReportAllocs()
				for b.Loop() {
					c.Visit(join, 2, nil)
				}
			})
		}
	}
}

// BenchmarkServerProduce is a producer that goes and another one that comes, of which others
// are told.
func BenchmarkServerProduce(b *testing.B) {
	for _, n := range []int{2, 101} {
		b.Run(fmt.Sprint("told to ", n-1), func(b *testing.B) {
			c := newCrowd(b, n, true)
			says := benchSays(`closeProducer {"id":1}`, benchProduce)
			c.Await((n - 1) + n) // as many again, and the answer
			b.ReportAllocs()
			for b.Loop() {
				for _, text := range says {
					c.Say(text)
				}
				c.Heard()
			}
		})
	}
}

// BenchmarkServerPause is a producer that is paused and resumed, of which those who receive
// it are told.
func BenchmarkServerPause(b *testing.B) {
	for _, n := range []int{3, 102} {
		b.Run(fmt.Sprint("told to ", n-2), func(b *testing.B) {
			c := newCrowd(b, n, true)
			says := benchSays(`pauseProducer {"id":1}`, `resumeProducer {"id":1}`)
			c.Await(2 * (n - 2))
			b.ReportAllocs()
			for b.Loop() {
				for _, text := range says {
					c.Say(text)
				}
				c.Heard()
			}
		})
	}
}

// BenchmarkServerQueryRoom is what every client asks first.
func BenchmarkServerQueryRoom(b *testing.B) {
	newCrowd(b, 1, false).Pump(b, benchSays(`queryRoom#1`)[0], 1)
}
