package enginehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A DialError is what [Dial] returns when there is no connection.
type DialError struct {
	// StatusCode is the HTTP status of the server's answer, 0 without one.
	StatusCode int
	// Code is the number that a server gives to its reason, -1 without one.
	Code int
	// Message is the server's reason in words, or the beginning of an answer
	// that is no JSON.
	Message string
	// Err is why the answer or its absence makes no connection.
	Err error
}

// Error returns the status and the reason, where there are, and the cause.
func (e *DialError) Error() string { return "enginehttp: dial: " + e.text() }

func (e *DialError) text() string {
	if e.StatusCode == 0 {
		return e.Err.Error()
	}
	text := strings.TrimSpace(fmt.Sprint(e.StatusCode, " ", http.StatusText(e.StatusCode)))
	if e.Message != "" {
		text += fmt.Sprintf(" (%s)", e.Message)
	}
	return fmt.Sprintf("server answered %s: %v", text, e.Err)
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// answered returns the error for a server's answer.
func answered(status int, body string, err error) *DialError {
	e := &DialError{StatusCode: status, Code: -1, Message: strings.TrimSpace(body), Err: err}
	var why struct {
		Code    *int
		Message string
	}
	if json.Unmarshal([]byte(body), &why) == nil && why.Code != nil {
		e.Code, e.Message = *why.Code, why.Message
	}
	return e
}

// Dial connects to an Engine.IO server at an http, https, ws or wss address. A
// path is taken as it is; without one, or with "/", it is "/socket.io/". The
// query is kept, and EIO, transport and sid are added. The error is a
// [*DialError]. ctx and HandshakeTimeout bound the call only; the connection,
// a [*Conn], outlives them.
//
// With WebSocket the Engine.IO handshake is read by the first Read, so that
// SID is empty until then.
func Dial(ctx context.Context, address string, opts *Options) (transport.Conn, error) {
	o := opts.withDefaults()
	if err := o.check(); err != nil {
		return nil, &DialError{Code: -1, Err: err}
	}
	u, err := resolve(address, o.Version)
	if err != nil {
		return nil, &DialError{Code: -1, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
	defer cancel()
	for i, name := range o.Transports {
		var conn transport.Conn
		if name == WebSocket {
			conn, err = dialWebSocket(ctx, u, o)
		} else {
			conn, err = dialPolling(ctx, u, o, i+1 < len(o.Transports))
		}
		// The WebSocket after polling is what polling changes to.
		if err == nil || name == Polling {
			return conn, err
		}
	}
	return nil, err
}

// resolve returns the http or https address of a server's Engine.IO.
func resolve(address string, v engineio.Version) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("no such scheme: %q", u.Scheme)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path, u.RawPath = "/socket.io/", ""
	}
	u.Fragment = ""
	return with(u, "EIO", v.String()), nil
}

// with returns u with a parameter added to its query.
func with(u *url.URL, name, value string) *url.URL {
	r := *u
	query := r.Query()
	query.Set(name, value)
	r.RawQuery = query.Encode()
	return &r
}

func dialWebSocket(ctx context.Context, u *url.URL, o *Options) (transport.Conn, error) {
	ws, err := wsconn.Dial(ctx, with(u, "transport", WebSocket).String(), o.websocket())
	if err != nil {
		return nil, webSocketError(err)
	}
	return &Conn{Conn: engineio.Client(ws, o.engine(o.Version))}, nil
}

func webSocketError(err error) *DialError {
	if de, ok := errors.AsType[*wsconn.DialError](err); ok {
		return answered(de.StatusCode, de.Body, de.Err)
	}
	return &DialError{Code: -1, Err: err}
}
