package cuttlefish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// registering starts ConnectDevice over a pipe and returns the server's end, after it has
// heard the register, and the result.
func registering(t *testing.T, ctx context.Context, opts *DeviceOptions) (*script.Line, <-chan connected[*Device]) {
	near, far := transport.Pipe()
	o := DeviceOptions{}
	if opts != nil {
		o = *opts
	}
	o.DeviceInfo = []byte(`{"n":1}`)
	result := make(chan connected[*Device], 1)
	go func() {
		d, err := ConnectDevice(ctx, near, "cvd-1", &o)
		result <- connected[*Device]{d, err}
	}()
	return (&script.Line{Conn: far, TB: t, JSON: true}).Hear(sayRegister), result
}

// registered returns a device that is registered and has read its handshake, and the server's
// end.
func registered(t *testing.T, opts *DeviceOptions) (*Device, *script.Line) {
	r, result := registering(t, t.Context(), opts)
	r.Say(hearConfig)
	d := <-result
	require.NoError(t, d.err)
	hearMessages(t, d.peer, hearConfig)
	return d.peer, r
}

func TestDeviceRegisters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := transport.Pipe()
		result := make(chan connected[*Device], 1)
		go func() {
			d, err := ConnectDevice(t.Context(), near, "cvd-1", &DeviceOptions{DevicePort: new(8443)})
			result <- connected[*Device]{d, err}
		}()
		r := &script.Line{Conn: far, TB: t, JSON: true}
		r.Hear(`{"message_type":"register","device_id":"cvd-1","device_port":8443}`)
		synctest.Wait()
		require.Empty(t, result)
		r.Say(`{"message_type":"config","ice_servers":[{"urls":["stun:a"]}]}`)
		got := <-result
		require.NoError(t, got.err)
		d := got.peer
		time.Sleep(time.Hour)
		require.Equal(t, DeviceRegistered, d.State())
		require.Equal(t, []ICEServer{{URLs: []string{"stun:a"}}}, d.Config().ICEServers)
		hearMessages(t, d, `{"message_type":"config","ice_servers":[{"urls":["stun:a"]}]}`)

		r.Say(`{"message_type":"client_msg","client_id":1,"payload":{"type":"request-offer"}}`)
		hearMessages(t, d, `{"message_type":"client_msg","client_id":1,"payload":{"type":"request-offer"}}`)
		require.NoError(t, d.SendPayload(1, &Offer{SDP: "v=0"}))
		r.Hear(`{"message_type":"forward","client_id":1,"payload":{"type":"offer","sdp":"v=0"}}`)
		require.NoError(t, d.Forward(2, []byte(`null`)))
		r.Hear(`{"message_type":"forward","client_id":2,"payload":null}`)
		// An error about a client is not one about the device.
		r.Say(`{"error":"Client disconnected:  2\n"}`, `{"error":"another"}`)
		hearMessages(t, d, `{"message_type":"client_disconnected","client_id":2}`, `{"error":"another"}`)
		require.EqualValues(t, 4, d.Stats().MessagesRead)

		require.NoError(t, d.Close())
		require.NoError(t, d.Close())
		r.Closed(transport.StatusNormal)
		require.NoError(t, d.Err())
		require.Equal(t, DeviceIdle, d.State())
		_, err := d.Next(t.Context())
		require.Equal(t, io.EOF, err)
		for range d.Messages(t.Context()) {
			t.Fatal("a message after the end")
		}
	})
}

func TestDeviceSaysWhatMayNotBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, dialect := range []Dialect{DialectDocument, DialectOperator} {
			d, r := registered(t, &DeviceOptions{Dialect: dialect})
			for _, m := range []Message{&Forward{Payload: []byte(`1`)}, &Forward{ClientID: new(0), Payload: []byte(`1`)}, &Forward{ClientID: new(1)}} {
				_, ok := errors.AsType[*ValidationError](d.Send(m))
				require.True(t, ok, "%#v", m)
			}
			_, ok := errors.AsType[*StateError](d.Send(&Register{DeviceID: "x"}))
			require.True(t, ok)
			_, ok = errors.AsType[*ValidationError](d.SendPayload(1, &Offer{}))
			require.True(t, ok)
			_, ok = errors.AsType[*ValidationError](d.Forward(1, []byte(`null`)))
			require.Equal(t, dialect == DialectOperator, ok)
			_, ok = errors.AsType[*StateError](d.Send(&Unknown{Type: "novelty"}))
			require.Equal(t, dialect == DialectOperator, ok)
			if dialect == DialectDocument {
				r.Hear(`{"message_type":"forward","client_id":1,"payload":null}`, `{"message_type":"novelty"}`)
			}
			require.NoError(t, d.Close())
		}
	})
}

func TestConnectDeviceSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func(r *script.Line, cancel func())
		want func(err error) bool
		code transport.StatusCode // that the server gets; 0 when it closed
	}{
		"a refusal": {func(r *script.Line, _ func()) { r.Say(`{"error":"Device id already taken:  cvd-1\n"}`) }, func(err error) bool {
			e, ok := errors.AsType[*Error](err)
			return ok && e.Text == "Device id already taken:  cvd-1\n"
		}, 1000},
		"silence": {func(*script.Line, func()) {}, func(err error) bool { return errors.Is(err, ErrHandshakeTimeout) }, 1008},
		"a wrong message": {func(r *script.Line, _ func()) {
			r.Say(`{"message_type":"client_msg","client_id":1,"payload":1}`)
		}, func(err error) bool {
			_, ok := errors.AsType[*StateError](err)
			return ok
		}, 1002},
		"garbage": {func(r *script.Line, _ func()) { r.Say(`{`) }, func(err error) bool {
			_, ok := errors.AsType[*DecodeError](err)
			return ok
		}, 1007},
		"a binary message": {func(r *script.Line, _ func()) { _ = r.Write(transport.Binary, []byte{0}) }, func(err error) bool {
			_, ok := errors.AsType[*DecodeError](err)
			return ok
		}, 1007},
		"a close without a word": {func(r *script.Line, _ func()) { _ = r.Close(1000, "") }, func(err error) bool {
			e, ok := errors.AsType[*transport.CloseError](err)
			return ok && e.Code == 1000
		}, 0},
		"the caller": {func(_ *script.Line, cancel func()) { cancel() },
			func(err error) bool { return errors.Is(err, context.Canceled) }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				d := script.NewDialer(t, true)
				r, result := registering(t, ctx, &DeviceOptions{Redial: d.Dial})
				tt.do(r, cancel)
				got := <-result
				require.Nil(t, got.peer)
				require.True(t, tt.want(got.err), "%v", got.err)
				require.ErrorContains(t, got.err, `cuttlefish: register device "cvd-1": `)
				if name == "silence" {
					require.Equal(t, DefaultHandshakeTimeout, time.Since(begin))
				}
				if tt.code != 0 {
					r.Closed(tt.code)
				}
				require.Empty(t, d.Lines, "the first connection is not replaced")
			})
		})
	}
}

func TestApplicationThatDoesNotReadEndsTheDevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, r := registered(t, &DeviceOptions{Inbox: 2})
		for range 3 {
			r.Say(`{"message_type":"client_msg","client_id":1,"payload":1}`)
		}
		r.Closed(transport.StatusPolicyViolation)
		<-d.Done()
		require.Equal(t, ErrSlowConsumer, d.Err())
	})
}

func TestServerThatDoesNotReadEndsTheDevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, r := registered(t, &DeviceOptions{QueueBytes: 300})
		var err error
		n := 0
		for ; err == nil; n++ {
			err = d.Forward(1, []byte(`"a payload of thirty-five bytes...."`))
		}
		require.Equal(t, 4, n)
		require.ErrorIs(t, err, ErrSlowPeer)
		r.Closed(transport.StatusTryAgainLater)
		<-d.Done()
	})
}

func TestDeviceRegistersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := script.NewDialer(t, true)
		d, r := registered(t, &DeviceOptions{Redial: dial.Dial})
		require.NoError(t, r.Close(1006, ""))
		r = (<-dial.Lines).Hear(sayRegister)
		_, ok := errors.AsType[*StateError](d.Forward(1, []byte(`1`)))
		require.True(t, ok, "client ids of before are void")
		r.Say(hearConfig)
		hearMessages(t, d, "reconnected", hearConfig)
		require.NoError(t, d.Forward(1, []byte(`1`)))
		r.Hear(`{"message_type":"forward","client_id":1,"payload":1}`)
		require.NoError(t, d.Close())
	})
}

func TestRefusedDeviceTriesAgainUntilItsAttemptsAreOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := script.NewDialer(t, true)
		d, r := registered(t, &DeviceOptions{
			Redial: dial.Dial, Backoff: Backoff{Min: time.Second, Max: time.Second, Attempts: 3},
		})
		require.NoError(t, r.Close(1006, ""))
		// The server has not noticed yet that the old connection is dead.
		refusal := `{"error":"Device id already taken:  cvd-1\n"}`
		for range 2 {
			(<-dial.Lines).Hear(sayRegister).Say(refusal).Closed(transport.StatusNormal)
		}
		r = (<-dial.Lines).Hear(sayRegister).Say(hearConfig)
		hearMessages(t, d, "reconnected", hearConfig)

		require.NoError(t, r.Close(1006, ""))
		for range 3 {
			(<-dial.Lines).Hear(sayRegister).Say(refusal).Closed(transport.StatusNormal)
		}
		<-d.Done()
		e, ok := errors.AsType[*Error](d.Err())
		require.True(t, ok)
		require.Equal(t, "Device id already taken:  cvd-1\n", e.Text)
	})
}

func TestDeviceAndClientsTalkThroughTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{ServerConfig: ServerConfig{WaitForDevice: true}})
		pipe := func(serve func(context.Context, transport.Conn) error) transport.Conn {
			near, far := transport.Pipe()
			go func() { _ = serve(context.Background(), far) }()
			return near
		}
		clients := make(chan connected[*Client], 3)
		for range 3 { // they come first
			go func() {
				c, err := ConnectClient(t.Context(), pipe(s.ServeClient), "cvd-1", nil)
				clients <- connected[*Client]{c, err}
			}()
		}
		synctest.Wait()
		d, err := ConnectDevice(t.Context(), pipe(s.ServeOperatorDevice), "cvd-1", &DeviceOptions{
			Dialect: DialectOperator, DeviceInfo: []byte(`{"n":1}`),
		})
		require.NoError(t, err)
		go func() { // it echoes
			for m := range d.Messages(context.Background()) {
				if m, ok := m.(*ClientMsg); ok {
					_ = d.Forward(m.ClientID, m.Payload)
				}
			}
		}()
		for n := range 3 {
			c := <-clients
			require.NoError(t, c.err)
			hearMessages(t, c.peer, hearConfig, hearInfo)
			for i := range 100 {
				payload := fmt.Sprintf(`{"client":%d,"n":%d}`, n, i)
				require.NoError(t, c.peer.Forward([]byte(payload)))
				hearMessages(t, c.peer, `{"message_type":"device_msg","payload":`+payload+`}`)
			}
			require.NoError(t, c.peer.Close())
		}
		require.NoError(t, d.Close())
		require.NoError(t, s.Close())
		require.Zero(t, s.machine.Len())
	})
}
