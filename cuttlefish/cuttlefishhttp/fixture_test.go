package cuttlefishhttp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/transport"
)

// stun is what today's operator tells everybody.
var stun = []cuttlefish.ICEServer{{URLs: []string{"stun:stun.l.google.com:19302"}}}

// A fixture is a server with its HTTP side in memory.
type fixture struct {
	*testing.T
	srv     *cuttlefish.Server
	handler *cuttlefishhttp.Handler
}

func newFixture(t *testing.T, srvOpts *cuttlefish.ServerOptions, opts *cuttlefishhttp.Options) *fixture {
	f := &fixture{T: t}
	f.srv = cuttlefish.NewServer(srvOpts)
	f.handler = cuttlefishhttp.NewHandler(f.srv, opts)
	t.Cleanup(func() {
		require.NoError(t, f.handler.Close())
		require.NoError(t, f.srv.Close())
	})
	return f
}

// listen returns the address of the fixture on a real socket.
func (f *fixture) listen() string {
	s := httptest.NewServer(f.handler)
	f.Cleanup(s.Close)
	return s.URL
}

// device registers a device over a pipe.
func (f *fixture) device(id string, opts *cuttlefish.DeviceOptions) *cuttlefish.Device {
	f.Helper()
	o := cuttlefish.DeviceOptions{}
	if opts != nil {
		o = *opts
	}
	o.Dialect = cuttlefish.DialectOperator
	conn, end := transport.Pipe()
	go f.srv.ServeOperatorDevice(f.Context(), end)
	d, err := cuttlefish.ConnectDevice(f.Context(), conn, id, &o)
	require.NoError(f, err)
	f.Cleanup(func() { d.Close() })
	return d
}

// echo answers each payload with itself, until the device ends.
func echo(d *cuttlefish.Device) {
	for m, err := range d.Messages(context.Background()) {
		if err != nil {
			return
		}
		if m, ok := m.(*cuttlefish.ClientMsg); ok {
			_ = d.Forward(m.ClientID, m.Payload)
		}
	}
}

// do makes a request in memory.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	f.Helper()
	r := httptest.NewRequestWithContext(f.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// open opens a polled connection and returns its path.
func (f *fixture) open(deviceID string) string {
	f.Helper()
	body, err := json.Marshal(map[string]string{"device_id": deviceID})
	require.NoError(f, err)
	w := f.do("POST", "/polled_connections", string(body))
	require.Equal(f, http.StatusOK, w.Code, w.Body)
	var reply struct {
		ID string `json:"connection_id"`
	}
	require.NoError(f, json.Unmarshal(w.Body.Bytes(), &reply))
	require.Regexp(f, `^[a-zA-Z0-9]{64}$`, reply.ID)
	return "/polled_connections/" + reply.ID
}

// next returns the next message of that type.
func next[M cuttlefish.Message](t testing.TB, from interface {
	Next(ctx context.Context) (cuttlefish.Message, error)
}) M {
	t.Helper()
	for {
		m, err := from.Next(t.Context())
		require.NoError(t, err)
		if m, ok := m.(M); ok {
			return m
		}
	}
}
