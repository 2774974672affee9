package wsconn

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/rtcsignal/rtcsignal/transport"
)

// clientBuffer is the size of coder/websocket's write buffer in a client.
const clientBuffer = 4096

// A DialError is what [Dial] returns when there is no connection.
type DialError struct {
	// StatusCode is the HTTP status of the server's answer, 0 without one.
	StatusCode int
	// Body is the beginning of the answer's body, at most 1 KiB.
	Body string
	// Err is why the answer or its absence makes no connection.
	Err error
}

// Error returns the status, where there is one, and the cause.
func (e *DialError) Error() string {
	if e.StatusCode == 0 {
		return fmt.Sprintf("wsconn: dial: %v", e.Err)
	}
	text := strings.TrimSpace(fmt.Sprint(e.StatusCode, " ", http.StatusText(e.StatusCode)))
	return fmt.Sprintf("wsconn: dial: server answered %s: %v", text, e.Err)
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Dial connects to a WebSocket server at a ws, wss, http or https address. It
// follows redirections. The error is a [*DialError]. ctx and HandshakeTimeout
// bound the handshake only; the connection outlives them.
func Dial(ctx context.Context, url string, opts *Options) (transport.Conn, error) {
	o := opts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
	defer cancel()

	var own atomic.Pointer[netConn]
	client := o.HTTPClient
	if client == nil {
		client = ownClient(o, &own)
	}
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:   client,
		HTTPHeader:   o.Header,
		Host:         o.Host,
		Subprotocols: o.Subprotocols,
	})
	if err != nil {
		return nil, dialError(resp, err)
	}
	if nc := own.Load(); nc != nil {
		return batchConn{newConn(ws, nc, o)}, nil
	}
	return newConn(ws, nil, o), nil
}

// ownClient returns a client for one handshake that leaves in own the network
// connection of the last request: the earlier ones were redirected.
func ownClient(o *Options, own *atomic.Pointer[netConn]) *http.Client {
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			nc := &netConn{Conn: raw, timeout: o.WriteTimeout, buffer: clientBuffer}
			own.Store(nc)
			return nc, nil
		},
		TLSClientConfig:   o.TLSConfig,
		DisableKeepAlives: true, // the client is used once
	}}
}

func dialError(resp *http.Response, err error) *DialError {
	e := &DialError{Err: err}
	if resp == nil {
		return e
	}
	e.StatusCode = resp.StatusCode
	if resp.Body != nil {
		// coder/websocket has read and cut it already.
		body, _ := io.ReadAll(resp.Body)
		e.Body = string(body)
	}
	return e
}
