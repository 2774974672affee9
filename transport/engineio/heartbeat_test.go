package engineio_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// An event is a packet that the peer of a Conn received, or the end, at a time
// since the test began.
type event struct {
	at     time.Duration
	packet string // or
	code   transport.StatusCode
}

// A rig is a Conn in a synctest bubble with its peer beneath.
type rig struct {
	t      *testing.T
	conn   *engineio.Conn
	peer   transport.Conn
	start  time.Time
	answer string        // what the peer sends for each ping it receives
	after  time.Duration // that long after it
	events []event
	ended  chan error // the error of the Conn's Read
}

// run plays with a Conn for which the handshake has just been sent or read.
// What the peer received is complete when play returns or after a Wait.
func run(t *testing.T, server bool, v engineio.Version, answer string, after time.Duration, play func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, answer: answer, after: after, ended: make(chan error, 1)}
		if server {
			r.conn, r.peer, _ = rawServer(t, &engineio.Options{Version: v})
		} else {
			r.conn, r.peer = rawClient(t, v)
		}
		r.start = time.Now()
		go r.record()
		go func() {
			for {
				if _, _, err := r.conn.Read(nil); err != nil {
					r.ended <- err
					return
				}
			}
		}()
		play(r)
		require.NoError(t, r.conn.Close(transport.StatusNormal, ""))
	})
}

func (r *rig) record() {
	for {
		_, frame, err := r.peer.Read(nil)
		if ce, ok := errors.AsType[*transport.CloseError](err); ok {
			r.events = append(r.events, event{at: time.Since(r.start), code: ce.Code})
			return
		}
		r.events = append(r.events, event{at: time.Since(r.start), packet: string(frame)})
		if r.answer != "" && string(frame) == "2" {
			time.AfterFunc(r.after, func() { _ = r.peer.Write(transport.Text, []byte(r.answer)) })
		}
	}
}

// send has the peer send a packet at a time since the start.
func (r *rig) send(at time.Duration, packet string) {
	r.t.Helper()
	time.Sleep(at - time.Since(r.start))
	require.NoError(r.t, r.peer.Write(transport.Text, []byte(packet)))
	synctest.Wait()
}

// pass lets time pass until so long after the start.
func (r *rig) pass(until time.Duration) {
	time.Sleep(until - time.Since(r.start))
	synctest.Wait()
}

// requireLost checks that the Conn ended by a missing heartbeat, at a time.
func (r *rig) requireLost(at time.Duration, before ...event) {
	r.t.Helper()
	err := <-r.ended
	require.Equal(r.t, at, time.Since(r.start))
	require.ErrorIs(r.t, err, engineio.ErrHeartbeat)
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(r.t, ok)
	require.Equal(r.t, transport.StatusAbnormal, ce.Code)
	require.ErrorIs(r.t, r.conn.Write(transport.Text, nil), engineio.ErrHeartbeat)
	synctest.Wait()
	require.Equal(r.t, append(before, event{at: at, code: transport.StatusNoStatus}), r.events)
}

const second = time.Second

func ping(at time.Duration) event { return event{at: at, packet: "2"} }
func pong(at time.Duration) event { return event{at: at, packet: "3"} }

// pinging are the roles that ping.
var pinging = map[string]struct {
	server bool
	v      engineio.Version
}{"ServerOfV4": {true, engineio.V4}, "ClientOfV3": {false, engineio.V3}}

func TestThePingerPingsAnIntervalAfterEachPong(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "3", 2*second, func(r *rig) {
				r.pass(80 * second)
				require.Equal(t, []event{ping(25 * second), ping(52 * second), ping(79 * second)}, r.events)
			})
		})
	}
}

func TestThePingerGivesUpAPeerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "", 0, func(r *rig) {
				r.requireLost(45*second, ping(25*second))
			})
		})
	}
}

func TestAnotherPacketBeginsTheTimeoutAnewOnce(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "", 0, func(r *rig) {
				r.send(5*second, "4no ping is waiting")
				r.send(40*second, "4first")
				r.send(50*second, "4second")
				r.requireLost(60*second, ping(25*second))
			})
		})
	}
}

func TestAPongIsInTimeAfterTheTimeoutBeganAnew(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "", 0, func(r *rig) {
				r.send(40*second, "6")
				r.send(59*second, "3")
				// The next ping has one more packet again.
				r.send(100*second, "6")
				r.requireLost(120*second, ping(25*second), ping(84*second))
			})
		})
	}
}

func TestAStrayPongDoesNotDelayThePing(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "3", 0, func(r *rig) {
				r.send(20*second, "3")
				r.pass(26 * second)
				require.Equal(t, []event{ping(25 * second)}, r.events)
			})
		})
	}
}

func TestAServerOfV3AnswersPings(t *testing.T) {
	t.Parallel()
	run(t, true, engineio.V3, "", 0, func(r *rig) {
		r.send(25*second, "2")
		r.send(50*second, "2")
		r.requireLost(95*second, pong(25*second), pong(50*second))
	})
}

func TestAServerOfV3RepeatsTheDataOfAPing(t *testing.T) {
	t.Parallel()
	run(t, true, engineio.V3, "", 0, func(r *rig) {
		r.send(second, "2probe")
		require.Equal(t, []event{{at: second, packet: "3probe"}}, r.events)
	})
}

func TestAServerOfV3WaitsForPingsOnly(t *testing.T) {
	t.Parallel()
	run(t, true, engineio.V3, "", 0, func(r *rig) {
		r.send(40*second, "4message")
		r.requireLost(45 * second)
	})
}

func TestAClientOfV4AnswersPings(t *testing.T) {
	t.Parallel()
	run(t, false, engineio.V4, "", 0, func(r *rig) {
		r.send(25*second, "2")
		r.requireLost(70*second, pong(25*second))
	})
}

func TestAClientOfV4TakesAnyPacketForASign(t *testing.T) {
	t.Parallel()
	for _, packet := range []string{"4message", "6", "3"} {
		t.Run(packet, func(t *testing.T) {
			t.Parallel()
			run(t, false, engineio.V4, "", 0, func(r *rig) {
				r.send(10*second, packet)
				r.send(44*second, packet)
				r.requireLost(89 * second)
			})
		})
	}
}

func TestAClientWithoutAHandshakeGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := transport.Pipe()
		c := engineio.Client(b, nil)
		time.Sleep(time.Hour) // only the first Read begins to wait
		start := time.Now()
		_, _, err := c.Read(nil)
		require.ErrorIs(t, err, engineio.ErrHandshakeTimeout)
		require.Equal(t, engineio.DefaultHandshakeTimeout, time.Since(start))
		_, _, err = a.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusNoStatus}, err)
		require.ErrorIs(t, c.Write(transport.Text, nil), engineio.ErrHandshakeTimeout)
	})
}

func TestAnEndedConnHasNoHeartbeat(t *testing.T) {
	t.Parallel()
	for name, role := range pinging {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, role.server, role.v, "", 0, func(r *rig) {
				require.NoError(t, r.conn.Close(transport.StatusGoingAway, ""))
				require.ErrorIs(t, <-r.ended, transport.ErrClosed)
				r.pass(100 * second)
				require.Equal(t, []event{{code: transport.StatusGoingAway}}, r.events)
			})
		})
	}
}

// TestAPeerThatDoesNotReadPings: the write time-out of the connection beneath
// comes before the heartbeat's.
func TestAPeerThatDoesNotReadPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := rawServer(t, nil)
		start := time.Now()
		_, _, err := c.Read(nil)
		require.ErrorIs(t, err, transport.ErrWriteTimeout)
		require.Equal(t, 25*second+transport.DefaultWriteTimeout, time.Since(start))
		require.NoError(t, c.Close(transport.StatusNormal, ""))
	})
}
