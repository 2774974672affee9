package msejsonrpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			AllowAll: true,
			Limits:   Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second},
		})
		flood := activate(serveRaw(t, s))
		go func() { // it reads what there is
			for {
				if _, _, err := flood.Read(nil); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		go func() {
			for n := 0; n < 1<<20 && flood.Write(transport.Text, []byte(wirePing)) == nil; n++ {
			}
		}()
		other := activate(serveRaw(t, s))
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.Say(wirePing).Hear(wirePong)
			require.Zero(t, time.Since(before))
		}
		require.ErrorIs(t, <-flood.Served, ErrFlood)
		require.EqualValues(t, 1, s.Stats().Flooded)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		require.Less(t, s.Stats().MessagesWritten, uint64(60), "its burst and its rate, and the other's")
		other.Say(wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}

func TestServerBoundsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
			asked = len(auth.Token)
			return nil, nil
		}})
		auth := func(n int) string {
			const rest = len(`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"","version":"1.0"}}`)
			return wireText(&Auth{ID: NumberID(1), Token: strings.Repeat("x", n-rest), Version: Version})
		}
		r := serveRaw(t, s).Say(auth(DefaultMessageBytes)).Hear(wireAuthenticated)
		require.Greater(t, asked, DefaultMessageBytes-100)
		r.Say(auth(DefaultMessageBytes + 1))
		r.Closed(transport.StatusMessageTooBig)
		require.NoError(t, <-r.Served)
		require.EqualValues(t, 1, s.Stats().TooBig)
		closeServer(t, s)

		s = NewServer(&ServerOptions{MessageBytes: -1, QueueBytes: -1, Limits: Limits{Bytes: -1}})
		serveRaw(t, s).Say(auth(4 << 20)).Hear(wireError(1, ErrAuthorizationFailed))
		closeServer(t, s)
	})
}

func TestServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Connections: 2, Newcomers: -1, AllowAll: true})
		one, two := serveRaw(t, s), serveRaw(t, s)
		synctest.Wait()
		three := serveRaw(t, s)
		three.Closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-three.Served, ErrTooManyConnections)
		require.EqualValues(t, 1, s.Stats().Refused)
		require.NoError(t, one.Close(transport.StatusNormal, ""))
		require.NoError(t, <-one.Served)
		four := activate(serveRaw(t, s))
		closeServer(t, s)
		two.Closed(transport.StatusGoingAway)
		four.Closed(transport.StatusGoingAway)
	})
}

func TestNewcomersMakeWayForNewcomersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Newcomers: 1, Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
			if auth.Token != "T" {
				return nil, ErrAuthorizationFailed
			}
			return nil, nil
		}})
		in, authorized := activate(serveRaw(t, s)), authorize(serveRaw(t, s))
		first := serveRaw(t, s).Say(strings.Replace(wireAuth, `"T"`, `"wrong"`, 1)).Hear(wireError(1, ErrAuthorizationFailed))
		second := serveRaw(t, s)
		first.Closed(transport.StatusTryAgainLater, "too many connections")
		require.ErrorIs(t, <-first.Served, ErrTooManyConnections)
		activate(second)
		serveRaw(t, s)
		synctest.Wait()
		require.Len(t, slices.Collect(s.Sessions()), 4, "who is in stays")
		require.EqualValues(t, 1, s.Stats().Crowded)
		for _, p := range []*script.Line{in, authorized, second} {
			p.Say(wirePing).Hear(wirePong)
		}
		closeServer(t, s)
	})
}

func TestSlowPeerIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{ServerConfig: ServerConfig{Chat: true}, QueueMessages: 4, Authenticate: anybody})
		begin := time.Now()
		mute, good, author := activate(serveRaw(t, s)), activate(serveRaw(t, s)), activate(serveRaw(t, s))
		for n := range 10 {
			chat := fmt.Sprintf(`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"%d"}}`, n)
			author.Say(chat)
			good.Hear(chat)
		}
		synctest.Wait() // the end comes beside a write that is under way
		mute.Closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-mute.Served, ErrSlowPeer)
		require.EqualValues(t, 1, s.Stats().Slow)
		require.Zero(t, time.Since(begin), "nobody waited")
		author.Say(wirePing).Hear(wirePong)
		require.Equal(t, 2, s.machine.Len())
		closeServer(t, s)
	})
}

// badFrames makes frames that are random, or messages with something wrong.
func badFrames(r *rand.Rand) func() script.Message {
	good := []string{
		wireAuth, wireStart, wirePing, wirePong, wireOffer, wireCandidate, wireDisconnect,
		`{"id":1,"method":"whoami","jsonrpc":"2.0"}`,
		`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["T"],"message":"m","attachment":{}}}`,
		`{"id":"x","method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0\r\n"}}}`,
		`{"id":1,"jsonrpc":"2.0","error":{"code":-6001,"message":"m","data":{"required":"auth"}}}`,
		`null`, `[]`, `{}`, `"\ud800"`, `1e999`, strings.Repeat("[", 10_000),
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
	}
	return script.BadFrames(r, good, 4, 200)
}

func TestServerSurvivesBadFrames(t *testing.T) {
	t.Parallel()
	s := NewServer(&ServerOptions{
		ServerConfig: ServerConfig{WhoAmI: true, Chat: true},
		Authenticate: anybody,
		Handle: func(ctx context.Context, s *ServerSession) error {
			for m, err := range s.Messages(ctx) {
				if err != nil {
					return err
				}
				_ = s.Send(m)
			}
			return nil
		},
		Limits: Limits{Messages: -1, Bytes: -1}, Inbox: -1, QueueMessages: -1, QueueBytes: -1,
	})
	(&script.Storm{
		Frames: 100_000, Leave: 1000, Frame: badFrames,
		Open: func(*rand.Rand) *script.Line {
			r := serveRaw(t, s)
			r.Drain()
			return r
		},
	}).Rage()
	closeServer(t, s)
}

func TestClientSurvivesBadFrames(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	frame := badFrames(r)
	for range 300 {
		near, far := transport.Pipe()
		c, err := Connect(t.Context(), near, &ClientOptions{Inbox: -1, QueueMessages: -1, QueueBytes: -1})
		require.NoError(t, err)
		go func() { // read whatever comes
			var buf []byte
			var err error
			for err == nil {
				_, buf, err = far.Read(buf)
			}
		}()
		for range 100 {
			m := frame()
			_ = c.Send(&Ping{})
			if far.Write(m.Type(), m.Data) != nil {
				break
			}
		}
		require.NoError(t, c.Close())
	}
}
