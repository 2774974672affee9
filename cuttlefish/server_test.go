package cuttlefish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func serveDevice(t *testing.T, s *Server) *script.Line { return serveRaw(t, s.ServeDevice) }
func serveClient(t *testing.T, s *Server) *script.Line { return serveRaw(t, s.ServeClient) }

func serveRaw(t *testing.T, serve func(context.Context, transport.Conn) error) *script.Line {
	return script.Serve(t, t.Context(), serve)
}

// What the tests say and hear most.
const (
	sayRegister = `{"message_type":"register","device_id":"cvd-1","device_info":{"n":1}}`
	sayConnect  = `{"message_type":"connect","device_id":"cvd-1"}`
	hearConfig  = `{"message_type":"config","ice_servers":[]}`
	hearInfo    = `{"message_type":"device_info","device_info":{"n":1}}`
)

func TestServerAsksBeforeItAdmits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		var mu sync.Mutex
		note := func(s *ServerSession, m Message) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, fmt.Sprint(s.ID(), " ", s.Role(), " ", s.Dialect(), " ", s.DeviceID(), " ", wireText(m)))
		}
		s := NewServer(&ServerOptions{
			AuthorizeDevice: func(_ context.Context, s *ServerSession, r *Register) error { note(s, r); return nil },
			AuthorizeClient: func(_ context.Context, s *ServerSession, c *Connect) error { note(s, c); return nil },
		})
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		c := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		o := serveRaw(t, func(ctx context.Context, conn transport.Conn) error {
			return s.ServeOperatorClient(ctx, conn, "cvd-1")
		}).Hear(`{"device_info":{"n":1}}`)
		require.Equal(t, []string{
			`1 device document cvd-1 ` + sayRegister,
			`2 client document cvd-1 ` + sayConnect,
			`3 client operator cvd-1 ` + sayConnect,
		}, asked)
		require.NoError(t, s.Close())
		for _, r := range []*script.Line{d, c, o} {
			require.NoError(t, <-r.Served)
		}
	})
}

func TestServerRefusesAsTheApplicationSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		text string
		log  string
	}{
		"in its words":         {&Error{Text: "Pay first"}, "Pay first", ""},
		"in its words, within": {fmt.Errorf("db: %w", &Error{Text: "Pay first"}), "Pay first", ""},
		"without a word":       {errors.New("database is down"), "Internal server error", "database is down"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := NewServer(&ServerOptions{
					AuthorizeDevice: func(context.Context, *ServerSession, *Register) error { return tt.err },
					AuthorizeClient: func(context.Context, *ServerSession, *Connect) error { return tt.err },
					Logger:          slog.New(slog.NewTextHandler(&log, nil)),
				})
				want := wireText(&Error{Text: tt.text})
				d := serveDevice(t, s).Say(sayRegister).Hear(want)
				d.Closed(transport.StatusPolicyViolation)
				c := serveClient(t, s).Say(sayConnect).Hear(want)
				c.Closed(transport.StatusPolicyViolation)
				require.NoError(t, <-d.Served)
				require.NoError(t, <-c.Served)
				require.NoError(t, s.Close())
				if tt.log == "" {
					require.Empty(t, log.String())
				} else {
					require.Equal(t, 2, strings.Count(log.String(), tt.log))
				}
			})
		})
	}
}

func TestServerGivesEachConnectionItsICEServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			ICEServers: []ICEServer{{URLs: []string{"stun:unused"}}},
			ICEServersFor: func(_ context.Context, s *ServerSession) ([]ICEServer, error) {
				switch {
				case s.Role() == RoleDevice:
					return []ICEServer{{URLs: []string{"turn:a"}, Username: "device " + s.DeviceID()}}, nil
				case s.DeviceID() == "cvd-1":
					return []ICEServer{{URLs: nil}}, nil // not valid
				}
				return nil, errors.New("no credentials")
			},
		})
		serveDevice(t, s).Say(sayRegister).Hear(`{"message_type":"config","ice_servers":[{"urls":["turn:a"],"username":"device cvd-1"}]}`)
		for _, id := range []string{"cvd-1", "cvd-2"} {
			c := serveClient(t, s).Say(`{"message_type":"connect","device_id":"` + id + `"}`).Hear(`{"error":"Internal server error"}`)
			c.Closed(transport.StatusPolicyViolation)
		}
		require.NoError(t, s.Close())
	})
}

func TestSlowHookDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{AuthorizeDevice: func(_ context.Context, _ *ServerSession, r *Register) error {
			if r.DeviceID == "slow" {
				<-release
			}
			return nil
		}})
		slow := serveDevice(t, s).Say(`{"message_type":"register","device_id":"slow"}`)
		synctest.Wait()
		serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		_, there := s.Device("slow")
		require.False(t, there)
		close(release)
		slow.Hear(hearConfig)
		// What it says while the hook thinks waits, and is no offence.
		slow.Say(`{"message_type":"forward","client_id":1,"payload":1}`).Hear(`{"error":"Forward failed: Unknown client 1"}`)
		require.NoError(t, s.Close())
	})
}

func TestHooksContextEnds(t *testing.T) {
	t.Parallel()
	hanging := func(ended chan<- time.Duration) *ServerOptions {
		return &ServerOptions{AuthorizeDevice: func(ctx context.Context, _ *ServerSession, _ *Register) error {
			begin := time.Now()
			<-ctx.Done()
			ended <- time.Since(begin)
			return ctx.Err()
		}}
	}
	t.Run("with the server", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			s := NewServer(hanging(ended))
			d := serveDevice(t, s).Say(sayRegister)
			synctest.Wait()
			require.NoError(t, s.Close())
			require.Zero(t, <-ended)
			d.Closed(transport.StatusGoingAway)
		})
	})
	t.Run("with Serve's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			s := NewServer(hanging(ended))
			ctx, cancel := context.WithCancel(t.Context())
			d := serveRaw(t, func(_ context.Context, conn transport.Conn) error { return s.ServeDevice(ctx, conn) }).Say(sayRegister)
			synctest.Wait()
			cancel()
			require.Zero(t, <-ended)
			_, _, err := d.Read(nil)
			if err == nil { // the hook's refusal was faster
				_, _, err = d.Read(nil)
			}
			require.Equal(t, &transport.CloseError{Code: transport.StatusGoingAway}, err)
			require.ErrorIs(t, <-d.Served, context.Canceled)
			require.NoError(t, s.Close())
		})
	})
	t.Run("with the handshake's time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			s := NewServer(hanging(ended))
			d := serveDevice(t, s).Say(sayRegister)
			require.Equal(t, DefaultHandshakeTimeout, <-ended)
			d.Closed(transport.StatusPolicyViolation)
			require.NoError(t, <-d.Served)
			require.NoError(t, s.Close())
		})
	})
}

func TestPanicOfAHookLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AuthorizeDevice: func(context.Context, *ServerSession, *Register) error { panic("oops") }})
		d := serveRaw(t, func(ctx context.Context, conn transport.Conn) error {
			transport.Serve(ctx, conn, nil, s.ServeDevice)
			return nil
		}).Say(sayRegister)
		d.Closed(transport.StatusInternalError)
		require.NoError(t, <-d.Served)
		require.Empty(t, slices.Collect(s.Sessions()))
		require.Zero(t, s.machine.Len())
		require.NoError(t, s.Close())
	})
}

func TestServerEndsWhoDoesNotShakeHands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{ServerConfig: ServerConfig{HandshakeTimeout: 3 * time.Second}})
		begin := time.Now()
		for _, r := range []*script.Line{serveDevice(t, s), serveClient(t, s)} {
			r.Closed(transport.StatusPolicyViolation)
			require.Equal(t, 3*time.Second, time.Since(begin))
			require.NoError(t, <-r.Served)
		}
		require.NoError(t, s.Close())
	})
}

func TestServerCloseEndsEverybodyWith1001AfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		c := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		n := serveClient(t, s)
		d.Say(`{"message_type":"forward","client_id":1,"payload":"last"}`)
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Empty(t, closed, "Close waits for what is queued")
		c.Hear(`{"message_type":"device_msg","payload":"last"}`).Closed(transport.StatusGoingAway)
		require.NoError(t, <-closed)
		d.Closed(transport.StatusGoingAway)
		n.Closed(transport.StatusGoingAway)
		for _, r := range []*script.Line{d, c, n} {
			require.NoError(t, <-r.Served)
		}

		late := serveClient(t, s)
		late.Closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-late.Served, ErrServerClosed)
		require.NoError(t, s.Close())
	})
}

func TestEndOfServesContextEndsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		ctx, cancel := context.WithCancel(t.Context())
		d := serveRaw(t, func(_ context.Context, conn transport.Conn) error { return s.ServeDevice(ctx, conn) })
		d.Say(sayRegister).Hear(hearConfig)
		cancel()
		d.Closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-d.Served, context.Canceled)
		_, there := s.Device("cvd-1")
		require.False(t, there)
		require.NoError(t, s.Close())
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		for code, orderly := range map[transport.StatusCode]bool{1000: true, 1001: true, 1005: true, 1006: false, 4000: false} {
			d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
			require.NoError(t, d.Close(code, ""))
			err := <-d.Served
			if orderly {
				require.NoError(t, err)
				continue
			}
			closed, ok := errors.AsType[*transport.CloseError](err)
			require.True(t, ok)
			require.Equal(t, code, closed.Code)
			require.ErrorContains(t, err, "cuttlefish: serve device: ")
		}
		require.NoError(t, s.Close())
	})
}

func TestServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Connections: 2, Newcomers: -1})
		one, two := serveDevice(t, s), serveClient(t, s)
		synctest.Wait()
		three := serveClient(t, s)
		three.Closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-three.Served, ErrTooManyConnections)
		require.EqualValues(t, 1, s.Stats().Refused)
		require.NoError(t, one.Close(transport.StatusNormal, ""))
		require.NoError(t, <-one.Served)
		four := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		require.NoError(t, s.Close())
		two.Closed(transport.StatusGoingAway)
		four.Closed(transport.StatusGoingAway)
	})
}

func TestNewcomersMakeWayForNewcomersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Newcomers: 1, ServerConfig: ServerConfig{WaitForDevice: true}})
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		waiting := serveClient(t, s).Say(`{"message_type":"connect","device_id":"later"}`).Hear(hearConfig)
		first := serveClient(t, s)
		synctest.Wait()
		c := serveClient(t, s)
		first.Closed(transport.StatusTryAgainLater, "too many connections")
		require.ErrorIs(t, <-first.Served, ErrTooManyConnections)
		c.Say(sayConnect).Hear(hearConfig, hearInfo)
		last := serveClient(t, s)
		synctest.Wait()
		require.Len(t, slices.Collect(s.Sessions()), 4, "who is in stays")
		require.EqualValues(t, 1, s.Stats().Crowded)
		c.Say(`{"message_type":"forward","payload":1}`)
		d.Hear(`{"message_type":"client_msg","client_id":1,"payload":1}`)
		d.Drain()
		c.Drain()
		require.NoError(t, s.Close())
		waiting.Closed(transport.StatusGoingAway)
		last.Closed(transport.StatusGoingAway)
	})
}

func TestSlowPeerIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{QueueMessages: 4})
		begin := time.Now()
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		mute := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		good := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		for n := range 10 {
			for id := 1; id <= 2; id++ {
				d.Say(fmt.Sprintf(`{"message_type":"forward","client_id":%d,"payload":%d}`, id, n))
				if n >= 1+4 && id == 1 { // one is being written, four wait
					d.Hear(`{"message_type":"client_disconnected","client_id":1}`)
				}
			}
			good.Hear(fmt.Sprintf(`{"message_type":"device_msg","payload":%d}`, n))
		}
		mute.Closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-mute.Served, ErrSlowPeer)
		require.EqualValues(t, 1, s.Stats().Slow)
		require.Zero(t, time.Since(begin), "nobody waited")
		require.NoError(t, s.Close())
		good.Closed(transport.StatusGoingAway)
	})
}

func TestFloodIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Limits: Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second}})
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		c := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		go func() { // the device reads what there is
			for {
				if _, _, err := d.Read(nil); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		for range 1 << 20 {
			if err := c.Write(transport.Text, []byte(`{"message_type":"forward","payload":1}`)); err != nil {
				break
			}
		}
		require.ErrorIs(t, <-c.Served, ErrFlood)
		require.EqualValues(t, 1, s.Stats().Flooded)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		require.NoError(t, s.Close())
	})
}

func TestServerTellsWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		d := serveDevice(t, s).Say(sayRegister).Hear(hearConfig)
		c := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
		n := serveDevice(t, s)
		synctest.Wait()

		var sessions []string
		for sess := range s.Sessions() {
			state, ok := sess.State()
			require.True(t, ok)
			sessions = append(sessions, fmt.Sprint(sess.ID(), " ", sess.Role(), " ", sess.DeviceID(), " ", state))
		}
		require.Equal(t, []string{"1 device cvd-1 registered", "2 client cvd-1 attached", "3 device  new"}, sessions)
		entry := DeviceEntry{ID: "cvd-1", Peer: 1, Info: []byte(`{"n":1}`), Clients: 1}
		require.Equal(t, []DeviceEntry{entry}, slices.Collect(s.Devices()))
		got, ok := s.Device("cvd-1")
		require.True(t, ok)
		require.Equal(t, entry, got)
		require.Equal(t, Stats{
			MessagesRead: 2, BytesRead: uint64(len(sayRegister + sayConnect)),
			MessagesWritten: 3, BytesWritten: uint64(len(hearConfig + hearConfig + hearInfo)),
		}, s.Stats())

		first := slices.Collect(s.Sessions())[0]
		first.Close(4000, "enough")
		d.Closed(4000)
		require.NoError(t, <-d.Served)
		_, ok = first.State()
		require.False(t, ok)
		c.Hear(`{"error":"Device disconnected"}`).Closed(transport.StatusNormal)
		require.NoError(t, s.Close())
		n.Closed(transport.StatusGoingAway)
	})
}

func TestServerSendsTheApplicationsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		c := serveClient(t, s)
		synctest.Wait()
		require.NoError(t, s.Send(1, &Unknown{Type: "novelty", Extra: Fields{"a": []byte("1")}}))
		c.Hear(`{"message_type":"novelty","a":1}`)
		session := slices.Collect(s.Sessions())[0]
		require.NoError(t, session.Send(&Unknown{Type: "novelty"}))
		c.Hear(`{"message_type":"novelty"}`)
		_, ok := errors.AsType[*ValidationError](s.Send(1, &Config{ICEServers: []ICEServer{{}}}))
		require.True(t, ok)
		require.Equal(t, ErrUnknownPeer, s.Send(2, &Config{}))
		require.NoError(t, c.Close(transport.StatusNormal, ""))
		require.NoError(t, <-c.Served)
		require.Equal(t, ErrUnknownPeer, s.Send(1, &Config{}))
		require.Equal(t, ErrUnknownPeer, session.Send(&Config{}))
		require.NoError(t, s.Close())
	})
}

func TestMessagesAtTheEdgeOfWhatADeviceTakes(t *testing.T) {
	t.Parallel()
	const envelope = 64 // what the machine reckons for the rest of the message
	for name, tt := range map[string]struct {
		serve func(*Server) func(context.Context, transport.Conn) error
		limit int
	}{
		"document": {func(s *Server) func(context.Context, transport.Conn) error { return s.ServeDevice }, DefaultDeviceMessage},
		"operator": {func(s *Server) func(context.Context, transport.Conn) error { return s.ServeOperatorDevice }, DefaultOperatorDeviceMessage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(nil)
				d := serveRaw(t, tt.serve(s)).Say(sayRegister).Hear(hearConfig)
				c := serveClient(t, s).Say(sayConnect).Hear(hearConfig, hearInfo)
				payload := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
				forward := func(p string) string { return `{"message_type":"forward","payload":` + p + `}` }
				fits := payload(tt.limit - envelope - 1)
				c.Say(forward(fits))
				_, got, err := d.Read(nil)
				require.NoError(t, err)
				require.Less(t, len(got), 1<<16+max(0, tt.limit-DefaultDeviceMessage))
				require.JSONEq(t, `{"message_type":"client_msg","client_id":1,"payload":`+fits+`}`, string(got))
				// Towards a client there is no such limit.
				large := payload(1 << 20)
				d.Say(`{"message_type":"forward","client_id":1,"payload":` + large + `}`)
				_, got, err = c.Read(nil)
				require.NoError(t, err)
				require.Equal(t, `{"message_type":"device_msg","payload":`+large+`}`, string(got), "byte for byte")
				synctest.Wait() // until it is written, it fills the queue
				c.Say(forward(payload(tt.limit - envelope))).
					Hear(`{"error":"Forward failed: Message too large for the device"}`).
					Closed(transport.StatusMessageTooBig)
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestPayloadsGoThroughByteForByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		d := serveDevice(t, s).Say(`{"message_type":"register","device_id":"cvd-1","device_info": { "b" : 1e3, "a":"\u0041" } }`).Hear(hearConfig)
		c := serveClient(t, s).Say(sayConnect).Hear(hearConfig)
		_, got, err := c.Read(nil)
		require.NoError(t, err)
		require.Contains(t, string(got), `{ "b" : 1e3, "a":"\u0041" }`)
		for _, payload := range []string{
			`{ "z":1 , "a":"\u00e9漢\ud83d\ude00/<>&","big":12345678901234567890,"f":0.10,"e":1E+3 }`, `[ ]`, `-0.0`, `"\/"`,
		} {
			c.Say(`{"payload": ` + payload + ` ,"message_type":"forward"}`)
			_, got, err = d.Read(nil)
			require.NoError(t, err)
			require.Equal(t, `{"message_type":"client_msg","client_id":1,"payload":`+payload+`}`, string(got))
			d.Say(`{"payload":` + payload + `,"client_id":1,"message_type":"forward"}`)
			_, got, err = c.Read(nil)
			require.NoError(t, err)
			require.Equal(t, `{"message_type":"device_msg","payload":`+payload+`}`, string(got))
		}
		require.NoError(t, s.Close())
	})
}

// badFrames makes frames that are random, or messages with something wrong.
func badFrames(r *rand.Rand) func() script.Message {
	good := []string{
		sayRegister, sayConnect, hearConfig, hearInfo,
		`{"message_type":"register","device_id":"cvd-2","device_port":8443}`,
		`{"message_type":"forward","client_id":1,"payload":{"type":"offer","sdp":"v=0\r\n"}}`,
		`{"message_type":"forward","payload":{"type":"ice-candidate","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0}}}`,
		`{"type":"request-offer"}`, `null`, `[]`, `{}`, `"\ud800"`, `1e999`, strings.Repeat("[", 10_000),
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
	}
	return script.BadFrames(r, good, 1, 50)
}

func TestServerSurvivesBadFrames(t *testing.T) {
	t.Parallel()
	s := NewServer(&ServerOptions{
		ServerConfig: ServerConfig{WaitForDevice: true, ParkClients: true, ReplaceExisting: true, RequestOffers: -1},
		Limits:       Limits{Messages: -1, Bytes: -1},
	})
	serves := []func(context.Context, transport.Conn) error{
		s.ServeDevice, s.ServeClient, s.ServeOperatorDevice,
		func(ctx context.Context, c transport.Conn) error { return s.ServeOperatorClient(ctx, c, "cvd-1") },
	}
	(&script.Storm{
		Frames: 100_000, Leave: 100, Frame: badFrames,
		Open: func(r *rand.Rand) *script.Line {
			line := serveRaw(t, serves[r.IntN(len(serves))])
			line.Drain()
			return line
		},
	}).Rage()
	require.Empty(t, slices.Collect(s.Sessions()))
	require.Zero(t, s.machine.Len())
	require.Empty(t, s.machine.devices)
	require.Empty(t, s.machine.waiting)
	require.NoError(t, s.Close())
}
