package mediasoupproto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// appX is a method of an application.
const appX = "app-x"

// cannedRoom is the answer to queryRoom#3.
const cannedRoom = `{"data":{"mandatoryCodecPayloadTypes":[],"rtpCapabilities":"of the room"},"id":3,"ok":true}`

func TestASlowReaderIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const members, notices = 50, 200
		s := NewServer(&ServerOptions{
			AllowAll: true, Limits: Limits{Messages: -1, Bytes: -1}, QueueMessages: 2 * members,
		})
		var heard, farewells atomic.Int64 // by all who read
		var peers []guest
		for i := range members {
			g := visit(t, s).says(fmt.Sprintf(`join#1 {"peerName":"p%d","rtpCapabilities":@caps}`, i))
			peers = append(peers, g)
			go func() {
				for {
					_, got, err := g.Read(nil)
					if err != nil {
						return
					}
					switch text := string(got); {
					case strings.Contains(text, `"app-x"`):
						heard.Add(1)
					case strings.Contains(text, `"peerClosed"`):
						farewells.Add(1)
					}
				}
			}()
		}
		slow := visit(t, s).says(`join#1 {"peerName":"slow","rtpCapabilities":@caps}`)
		synctest.Wait()
		begin := time.Now()
		for range notices {
			require.NoError(t, s.SendRoom("", &Application{Method: "app-x", Data: json.RawMessage(`"x"`)}))
			synctest.Wait() // all who read have read it
		}
		require.Zero(t, time.Since(begin), "nobody waited for it")
		require.EqualValues(t, members*notices, heard.Load())
		require.EqualValues(t, members, farewells.Load())
		require.ErrorIs(t, <-slow.Served, ErrSlowPeer)
		require.EqualValues(t, 1, s.Stats().Slow)
		require.Len(t, peers, members)
		closeServer(t, s)
	})
}

func TestABroadcastIsEncodedOnce(t *testing.T) {
	t.Parallel()
	for _, m := range []Message{
		&PeerClosed{Name: "x"}, &Application{Method: "app-x", Data: json.RawMessage("1")}, &Unknown{Type: "foo"},
	} {
		for _, framing := range []Framing{Protoo, TypeBody, SocketIO} {
			want, err := EncodeFramed(framing, m)
			require.NoError(t, err)
			msg := newShared(m)
			for range 3 {
				got, err := appendMessage(framing, nil, msg)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
			}
			if a, ok := m.(*Application); ok {
				a.Data = json.RawMessage("2") // which would show if it were encoded again
				got, err := appendMessage(framing, nil, msg)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
				a.Data = json.RawMessage("1")
			}
		}
	}
	// The machine names the same message for everybody, one after the other, so the driver
	// shares it.
	r := newServerRig(t, ServerConfig{})
	for id := range PeerID(5) {
		r.enter(id+1, fmt.Sprint("p", id))
	}
	for _, fx := range []ServerEffects{
		r.Receive(r.now, 1, &Leave{}), r.Disconnect(r.now, 2),
	} {
		require.GreaterOrEqual(t, len(fx.Send), 3)
		for _, d := range fx.Send {
			require.Same(t, fx.Send[0].Message, d.Message)
		}
	}
	r.end()
}

func TestAFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			AllowAll: true, Limits: Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second},
		})
		flood := visit(t, s).enters("flood")
		flood.Drain()
		begin := time.Now()
		go func() {
			frame := sceneSays(Protoo, script.Message{Data: []byte(`queryRoom#3`)})
			for flood.Write(transport.Text, frame.Data) == nil {
			}
		}()
		other := visit(t, s).enters("other")
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.says(`queryRoom#3`).hears(cannedRoom)
			require.Zero(t, time.Since(before))
		}
		require.ErrorIs(t, <-flood.Served, ErrFlood)
		require.EqualValues(t, 1, s.Stats().Flooded)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		other.hears(`{"data":{"method":"peerClosed","name":"flood"}}`)
		other.Drain()
		closeServer(t, s)
	})
}

// Clients of protoo 2 answer every notification, which their limits do not count.
func TestAnswersOfProtoo2ToNotificationsAreNoFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			AllowAll: true, Framing: Protoo2, Limits: Limits{Messages: 1, MessageBurst: 5, Patience: 2 * time.Second},
		})
		g := visit(t, s).enters("ann")
		begin := time.Now()
		for range 100 {
			require.NoError(t, s.SendRoom("", &Application{Method: appX}))
			_, got, err := g.Read(nil)
			require.NoError(t, err)
			var request struct{ ID json.Number }
			require.NoError(t, json.Unmarshal(got, &request))
			g.Say(fmt.Sprintf(`{"response":true,"id":%s,"ok":true,"data":{}}`, request.ID))
		}
		require.Zero(t, time.Since(begin))
		g.says(`queryRoom#3`).hears(cannedRoom)
		g.Drain()
		closeServer(t, s)
	})
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	message := func(n int) string {
		const begin, end = `{"notification":true,"method":"app-x","data":"`, `"}`
		return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, MessageBytes: 1000})
		g := visit(t, s)
		g.Say(message(1000))
		g.says(`queryRoom#3`).hears(cannedRoom)
		g.Say(message(1001))
		g.Closed(transport.StatusMessageTooBig)
		require.EqualValues(t, 1, s.Stats().TooBig)
		closeServer(t, s)

		s = NewServer(&ServerOptions{AllowAll: true, MessageBytes: -1, Limits: Limits{Bytes: -1}})
		g = visit(t, s)
		g.Say(message(3 * DefaultMessageBytes))
		g.says(`queryRoom#3`).hears(cannedRoom)
		g.Drain()
		closeServer(t, s)
	})
}

func TestAServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Connections: 2, Newcomers: -1})
		a, b := visit(t, s).enters("a"), visit(t, s)
		synctest.Wait()
		c := visit(t, s)
		c.Closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-c.Served, ErrTooManyConnections)
		require.EqualValues(t, 1, s.Stats().Refused)
		require.NoError(t, a.Close(transport.StatusNormal, ""))
		require.NoError(t, <-a.Served)
		visit(t, s).enters("c").Drain()
		b.Drain()
		closeServer(t, s)
	})
}

func TestNewcomersMakeWayForNewcomersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Newcomers: 1})
		in := visit(t, s).enters("a")
		first := visit(t, s).says(`queryRoom#3`).hears(cannedRoom)
		second := visit(t, s)
		first.Closed(transport.StatusTryAgainLater, "too many connections")
		require.ErrorIs(t, <-first.Served, ErrTooManyConnections)
		second.enters("b")
		in.skips(1) // newPeer
		visit(t, s)
		synctest.Wait()
		require.Len(t, slices.Collect(s.Sessions()), 3, "who is in stays")
		require.EqualValues(t, 1, s.Stats().Crowded)
		for _, g := range []guest{in, second} {
			g.says(`queryRoom#3`).hears(cannedRoom)
			g.Drain()
		}
		closeServer(t, s)
	})
}

func TestCloseEndsEverybodyAfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		joined, silent := visit(t, s).enters("ann"), visit(t, s)
		left := visit(t, s).enters("ben").says(`leave`)
		joined.skips(2)
		require.NoError(t, s.SendRoom("", &Application{Method: appX}))
		synctest.Wait() // the silent one is there, too
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		_, got, err := joined.Read(nil)
		require.NoError(t, err)
		require.Contains(t, string(got), appX)
		for _, g := range []guest{joined, silent, left} {
			g.Closed(transport.StatusGoingAway)
			require.NoError(t, <-g.Served)
		}
		require.NoError(t, <-closed)
		late := visit(t, s)
		late.Closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-late.Served, ErrServerClosed)
		closeServer(t, s)
	})
}

func TestEndOfTheContextEndsEveryWait(t *testing.T) {
	t.Parallel()
	block := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, opts := range map[string]*ServerOptions{
		"in no hook":      {AllowAll: true},
		"in Authenticate": {Authenticate: func(ctx context.Context, _ *ServerSession, _ *Join) error { return block(ctx) }},
		"in OnJoined":     {AllowAll: true, OnJoined: func(ctx context.Context, _ *ServerSession) { _ = block(ctx) }},
		"in AuthorizeRequest": {AllowAll: true, AuthorizeRequest: func(ctx context.Context, _ *ServerSession, _ Message) error {
			return block(ctx)
		}},
		"in Message": {AllowAll: true, Message: func(
			ctx context.Context, _ *ServerSession, _ *Application,
		) (json.RawMessage, error) {
			return nil, block(ctx)
		}},
	} {
		for _, end := range []string{"of Serve", "of the connection", "of the server"} {
			t.Run(name+", the end "+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := NewServer(opts)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					g := visitIn(t, ctx, s)
					said := make(chan struct{})
					go func() { // some of it is not read any more
						defer close(said)
						for _, text := range []string{
							`join#1 {"peerName":"ann","rtpCapabilities":@caps}`, `createTransport#2 {"id":1}`, `app-x {}`,
						} {
							_ = g.Write(transport.Text, sceneSays(Protoo, script.Message{Data: []byte(text)}).Data)
						}
					}()
					ended := make(chan error, 1)
					go func() {
						for {
							if _, _, err := g.Read(nil); err != nil {
								ended <- err
								return
							}
						}
					}()
					synctest.Wait()
					begin := time.Now()
					want := transport.StatusGoingAway
					switch end {
					case "of Serve":
						cancel()
						require.ErrorIs(t, <-g.Served, context.Canceled)
					case "of the connection":
						onlySession(t, s).Close(transport.StatusNormal, "enough")
						require.NoError(t, <-g.Served)
						want = transport.StatusNormal
					case "of the server":
						require.NoError(t, s.Close())
						require.NoError(t, <-g.Served)
					}
					closed, ok := errors.AsType[*transport.CloseError](<-ended)
					require.True(t, ok)
					require.Equal(t, want, closed.Code)
					require.Zero(t, time.Since(begin))
					<-said
					closeServer(t, s)
				})
			})
		}
	}
}

func TestSlowHooksDelayNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, m *Join) error {
			if m.PeerName == "slow" {
				<-release
			}
			return nil
		}})
		slow := visit(t, s).says(`join#1 {"peerName":"slow","rtpCapabilities":@caps}`)
		synctest.Wait()
		other := visit(t, s).enters("other").says(`queryRoom#3`).hears(cannedRoom)
		close(release)
		slow.hears(`{"data":{"peers":[{"consumers":[],"name":"other"}]},"id":1,"ok":true}`)
		other.hears(`{"data":{"consumers":[],"method":"newPeer","name":"slow"}}`)
		other.Drain()
		slow.Drain()
		closeServer(t, s)
	})
}

func TestTwoWhoAskForANameAtOnceDoNotBothGetIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(context.Context, *ServerSession, *Join) error {
			<-release
			return nil
		}})
		var both []guest
		for range 2 {
			both = append(both, visit(t, s).says(`join#1 {"peerName":"ann","rtpCapabilities":@caps}`))
		}
		synctest.Wait()
		close(release)
		answers := map[string]int{}
		for _, g := range both {
			_, got, err := g.Read(nil)
			require.NoError(t, err)
			answers[heardShort(got)]++
			g.Drain()
		}
		require.Equal(t, map[string]int{
			`{"data":{"peers":[]},"id":1,"ok":true}`:                                             1,
			`{"errorCode":500,"errorReason":"Error: duplicated Peer [peerName:\"ann\"]","id":1}`: 1,
		}, answers)
		closeServer(t, s)
	})
}

func TestAConnectionThatIsCutWhileItsJoinIsDecidedLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, m *Join) error {
			if m.PeerName == "ben" {
				<-release // whatever becomes of the connection
			}
			return nil
		}})
		ann := visit(t, s).enters("ann")
		ben := visit(t, s).says(`join#1 {"peerName":"ben","rtpCapabilities":@caps}`)
		require.NoError(t, ben.Close(transport.StatusNormal, ""))
		synctest.Wait()
		ann.says(`queryRoom#3`).hears(cannedRoom) // and nothing of ben
		close(release)
		ann.hears( // its reader finds the end when it has its answer
			`{"data":{"consumers":[],"method":"newPeer","name":"ben"}}`, `{"data":{"method":"peerClosed","name":"ben"}}`)
		require.NoError(t, <-ben.Served)
		ann.Drain()
		closeServer(t, s)
	})
}

func TestAPanicOfAHookEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"authenticate", "joined", "request", "message"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				blow := func(at string, sess *ServerSession) {
					if at == hook && sess.ID() > 1 {
						panic("a bug of the application")
					}
				}
				s := NewServer(&ServerOptions{
					Authenticate: func(_ context.Context, sess *ServerSession, _ *Join) error {
						blow("authenticate", sess)
						return nil
					},
					OnJoined:         func(_ context.Context, sess *ServerSession) { blow("joined", sess) },
					AuthorizeRequest: func(_ context.Context, sess *ServerSession, _ Message) error { blow("request", sess); return nil },
					Message: func(_ context.Context, sess *ServerSession, _ *Application) (json.RawMessage, error) {
						blow("message", sess)
						return nil, nil
					},
				})
				good := visit(t, s).enters("good")
				good.Drain()
				var log bytes.Buffer
				bad := guest{script.Serve(t, t.Context(), func(ctx context.Context, conn transport.Conn) error {
					transport.Serve(ctx, conn, slog.New(slog.NewTextHandler(&log, nil)), s.Serve)
					return nil
				})}
				bad.Drain()
				for _, text := range []string{
					`join#1 {"peerName":"bad","rtpCapabilities":@caps}`, `createTransport#2 {"id":1}`, `app-x {}`,
				} {
					_ = bad.Write(transport.Text, sceneSays(Protoo, script.Message{Data: []byte(text)}).Data)
				}
				<-bad.Served
				require.Contains(t, log.String(), "a bug of the application")
				require.NotNil(t, s.Session("", "good"))
				require.Nil(t, s.Session("", "bad"))
				closeServer(t, s)
			})
		})
	}
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code transport.StatusCode
		ok   bool
	}{
		"by the client": {transport.StatusNormal, true}, "by the client without a code": {transport.StatusNoStatus, true},
		"by nobody": {transport.StatusAbnormal, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{AllowAll: true})
				g := visit(t, s).enters("ann")
				_ = g.Close(tt.code, "")
				err := <-g.Served
				require.Equal(t, tt.ok, err == nil, "%v", err)
				closeServer(t, s)
			})
		})
	}
}

func TestAServerOfEachFramingServesItsClients(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		framing Framing
		says    []string
		hears   []string
	}{
		"protoo 2": {
			Protoo2,
			[]string{`{"request":true,"id":1,"method":"mediasoup-notification","data":{"method":"leave","notification":true}}`},
			[]string{`{"response":true,"id":1,"ok":true,"data":{}}`},
		},
		"type and body": {
			TypeBody, []string{`{"type":"mediasoup-request","id":1,"body":{"method":"restartTransport"}}`},
			[]string{`{"type":"mediasoup-response","id":1,"code":400,"error":"no mediasoup Peer"}`},
		},
		"Socket.IO": {
			SocketIO, []string{`21["mediasoup-request",{"method":"restartTransport"}]`}, []string{`31["no mediasoup Peer"]`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{AllowAll: true, Framing: tt.framing})
				g := visit(t, s)
				g.JSON = false
				if tt.framing == SocketIO { // which is opened first
					g.Say("0")
					g.skips(1)
				}
				g.Say(tt.says...).Hear(tt.hears...)
				g.Drain()
				closeServer(t, s)
			})
		})
	}
}

func TestAServerSurvivesWhateverComes(t *testing.T) {
	t.Parallel()
	s := NewServer(&ServerOptions{
		AllowAll: true, ServerConfig: ServerConfig{AllowSpies: true, AllowPlainRTP: true, Peers: 20},
		Limits: Limits{Messages: -1, Bytes: -1}, QueueMessages: -1, QueueBytes: -1, MessageBytes: serverStimuliLimit,
	})
	var frames []string
	for _, in := range serverStimuli {
		frames = append(frames, string(sceneSays(Protoo, script.Message{Data: []byte(in.wire)}).Data))
	}
	var clients atomic.Int64
	(&script.Storm{
		Frames: 10_000, Leave: 200,
		Open: func(*rand.Rand) *script.Line {
			g := visit(t, s)
			g.Drain()
			for _, text := range []string{
				fmt.Sprintf(`join#1 {"peerName":"p%d","rtpCapabilities":@caps}`, clients.Add(1)), `createTransport#2 {"id":1}`,
				produceAudio,
			} {
				_ = g.Write(transport.Text, sceneSays(Protoo, script.Message{Data: []byte(text)}).Data)
			}
			return g.Line
		},
		Frame: func(r *rand.Rand) func() script.Message { return script.BadFrames(r, frames, 6, 20) },
	}).Rage()
	require.NoError(t, s.Close())
	requireServerEmpty(t, s)
}
