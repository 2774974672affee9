package cuttlefish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
	"github.com/stretchr/testify/require"
)

// patience is how late a message may be while somebody else does not read.
const patience = 50 * time.Millisecond

// attempts is how often a test that looks at the clock may be disturbed by the rest of
// the machine, beyond what a control sees of it. A server that lets one peer wait for
// another is late by seconds each time.
const attempts = 5

// A control is a device and a client on a server of their own. How late their messages
// are is the machine's fault.
type control struct {
	device *cuttlefish.Device
	client *cuttlefish.Client
	worst  time.Duration
}

func newControl(t *testing.T) *control {
	w := newWeb(t)
	return &control{device: w.device(t, "cvd-1"), client: w.client(t, "cvd-1")}
}

func (c *control) send(t *testing.T) {
	require.NoError(t, c.device.Forward(1, stamped()))
	c.worst = max(c.worst, age(t, nextDeviceMsg(t, c.client)))
}

// A web is a server on a real socket.
type web struct {
	*httptest.Server
	srv *cuttlefish.Server
}

func newWeb(t *testing.T) web {
	srv := unlimitedServer()
	mux := http.NewServeMux()
	mux.Handle("/register_device", wsconn.Handler(srv.ServeDevice, nil))
	mux.Handle("/connect_client", wsconn.Handler(srv.ServeClient, nil))
	w := web{httptest.NewServer(mux), srv}
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		w.Close()
	})
	return w
}

func (w web) device(t *testing.T, id string) *cuttlefish.Device {
	conn, err := wsconn.Dial(t.Context(), w.URL+"/register_device", nil)
	require.NoError(t, err)
	d, err := cuttlefish.ConnectDevice(t.Context(), conn, id, nil)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func (w web) client(t *testing.T, id string) *cuttlefish.Client {
	conn, err := wsconn.Dial(t.Context(), w.URL+"/connect_client", nil)
	require.NoError(t, err)
	c, err := cuttlefish.ConnectClient(t.Context(), conn, id, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// mute opens a connection that says hello and never reads again.
func (w web) mute(t *testing.T, path, hello string) {
	c, _, err := websocket.Dial(t.Context(), w.URL+path, nil)
	require.NoError(t, err)
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(hello)))
	_, _, err = c.Read(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { c.CloseNow() })
}

// stamped is a payload of about 4 kB that says when it was sent.
func stamped() json.RawMessage {
	return fmt.Appendf(nil, `{"sent":%d,"fill":%q}`, time.Now().UnixNano(), strings.Repeat("x", 4000))
}

func age(t *testing.T, payload json.RawMessage) time.Duration {
	var p struct{ Sent int64 }
	require.NoError(t, json.Unmarshal(payload, &p))
	return time.Since(time.Unix(0, p.Sent))
}

// requireOnTime fails when messages are late in each of the attempts.
func requireOnTime(t *testing.T, latency func(*testing.T) time.Duration) {
	var worst time.Duration
	for range attempts {
		if worst = latency(t); worst <= patience {
			return
		}
	}
	t.Fatalf("a message was %v late", worst)
}

func TestClientThatDoesNotReadIsDroppedAndDelaysNobody(t *testing.T) {
	t.Parallel()
	requireOnTime(t, latencyBesideMuteClient)
}

// latencyBesideMuteClient sends to three clients of one device, one of which does not
// read, until the server has dropped it, and returns how late the others' messages were
// at worst, beyond those of a control.
func latencyBesideMuteClient(t *testing.T) (worst time.Duration) {
	w := newWeb(t)
	device := w.device(t, "cvd-1")
	w.mute(t, "/connect_client", `{"message_type":"connect","device_id":"cvd-1"}`)
	clients := []*cuttlefish.Client{w.client(t, "cvd-1"), w.client(t, "cvd-1")}
	machine := newControl(t)

	dropped := make(chan int, 1)
	go func() {
		for m := range device.Messages(context.Background()) {
			if m, ok := m.(*cuttlefish.ClientDisconnected); ok {
				dropped <- m.ClientID
				return
			}
		}
	}()
	for {
		for id := range 3 {
			require.NoError(t, device.Forward(id+1, stamped()))
		}
		for _, c := range clients {
			worst = max(worst, age(t, nextDeviceMsg(t, c)))
		}
		machine.send(t)
		select {
		case id := <-dropped:
			require.Equal(t, 1, id, "the wrong client was dropped")
			for i, c := range clients {
				require.NoError(t, device.Forward(i+2, stamped()))
				nextDeviceMsg(t, c)
			}
			return worst - machine.worst
		default:
		}
	}
}

func nextDeviceMsg(t *testing.T, c *cuttlefish.Client) json.RawMessage {
	for m, err := range c.Messages(t.Context()) {
		require.NoError(t, err)
		if m, ok := m.(*cuttlefish.DeviceMsg); ok {
			return m.Payload
		}
	}
	t.Fatal("the client ended")
	return nil
}

func TestDeviceThatDoesNotReadCostsOnlyItsOwnClientsMessages(t *testing.T) {
	t.Parallel()
	requireOnTime(t, latencyBesideMuteDevice)
}

// latencyBesideMuteDevice sends to a device that does not read until the server has
// dropped it, and returns how late the messages of another pair were at worst, beyond
// those of a control.
func latencyBesideMuteDevice(t *testing.T) (worst time.Duration) {
	w := newWeb(t)
	w.mute(t, "/register_device", `{"message_type":"register","device_id":"mute"}`)
	unheard := w.client(t, "mute")
	device := w.device(t, "cvd-1")
	client := w.client(t, "cvd-1")
	machine := newControl(t)
	for {
		_ = unheard.Forward(stamped()) // fails once the server has ended it
		require.NoError(t, device.Forward(1, stamped()))
		worst = max(worst, age(t, nextDeviceMsg(t, client)))
		machine.send(t)
		select {
		case <-unheard.Done():
			var refusal *cuttlefish.Error
			require.ErrorAs(t, unheard.Err(), &refusal)
			require.Equal(t, "Device disconnected", refusal.Text)
			_, there := w.srv.Device("mute")
			require.False(t, there, "the device is still registered")
			return worst - machine.worst
		default:
		}
	}
}
