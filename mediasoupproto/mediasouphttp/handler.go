package mediasouphttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Options say how a handler serves connections. A nil *Options, and nil fields, mean the
// defaults.
type Options struct {
	// WebSocket is for the connections. Its ReadLimit must be as high as the MessageBytes of
	// the server; both are 1 MiB by default. Its Subprotocols are set by the handler.
	WebSocket *wsconn.Options
	// Connection says what a request connects to, before it is answered, such as by a token;
	// nil is [FromQuery]. The server must have the function [Connection] among its options, or
	// all this goes unheard. An [*mediasoupproto.Error] whose code is an HTTP status is the
	// answer to a request that is refused; any other error is answered with 403. Both are
	// logged by the Logger of WebSocket.
	Connection func(r *http.Request) (mediasoupproto.Connection, error)
}

// ErrQuery is what [FromQuery] says of a request without a room or a name.
var ErrQuery = &mediasoupproto.Error{
	Code: http.StatusBadRequest, Reason: "Connection request without " + roomParameter + " and/or " + nameParameter,
}

var (
	errSubprotocol = &mediasoupproto.Error{
		Code: http.StatusForbidden, Reason: "Invalid/missing Sec-WebSocket-Protocol",
	}
	errForbidden = &mediasoupproto.Error{Code: http.StatusForbidden, Reason: "Forbidden"}
	errNoRequest = errors.New("mediasouphttp: the connection was opened by no HTTP request")
)

// A connectionKey is that of a [mediasoupproto.Connection] in the context of a request.
type connectionKey struct{}

// NewHandler returns the handler for the connections of a server, whatever their path. The
// Connection of the server's options must be [Connection]: without it everybody is in one room,
// by any name. The server's other hooks find the request of a connection with wsconn.Request.
func NewHandler(srv *mediasoupproto.Server, opts *Options) *Handler {
	h := &Handler{connection: FromQuery, log: slog.New(slog.DiscardHandler)}
	var o wsconn.Options
	if opts != nil {
		if opts.WebSocket != nil {
			o = *opts.WebSocket
		}
		if opts.Connection != nil {
			h.connection = opts.Connection
		}
	}
	if o.Logger != nil {
		h.log = o.Logger
	}
	o.Subprotocols = []string{mediasoupproto.Subprotocol}
	h.sockets = wsconn.Handler(srv.Serve, &o)
	return h
}

// A Handler takes connections of clients of protoo. Its methods may be called concurrently.
type Handler struct {
	connection func(r *http.Request) (mediasoupproto.Connection, error)
	sockets    http.Handler
	log        *slog.Logger
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !listed(r.Header, "Upgrade", "websocket") {
		h.sockets.ServeHTTP(w, r) // which says what is missing
		return
	}
	if !listed(r.Header, "Sec-WebSocket-Protocol", mediasoupproto.Subprotocol) {
		h.refuse(w, r, errSubprotocol)
		return
	}
	c, err := h.connection(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.sockets.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionKey{}, c)))
}

// refuse answers a request that makes no connection.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h.log.InfoContext(r.Context(), "mediasouphttp: handshake refused", "remote", r.RemoteAddr, "error", err)
	answer := errForbidden
	if e, ok := errors.AsType[*mediasoupproto.Error](err); ok && http.StatusText(e.Code) != "" && e.Code >= 400 {
		answer = e
	}
	w.Header().Set("X-Websocket-Reject-Reason", answer.Reason)
	http.Error(w, answer.Reason, answer.Code)
}

// listed reports whether a header that is a list has the token.
func listed(h http.Header, name, token string) bool {
	for _, value := range h.Values(name) {
		for t := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// FromQuery returns the room and the name that the query of a request has. Both have
// [mediasoupproto.MaxPeerName] bytes at most, and come once. The error is [ErrQuery].
func FromQuery(r *http.Request) (mediasoupproto.Connection, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return mediasoupproto.Connection{}, ErrQuery
	}
	texts := make([]string, 2)
	for i, parameter := range []string{roomParameter, nameParameter} {
		values := query[parameter]
		if len(values) != 1 {
			return mediasoupproto.Connection{}, ErrQuery
		}
		text := values[0]
		if text == "" || len(text) > mediasoupproto.MaxPeerName || !utf8.ValidString(text) {
			return mediasoupproto.Connection{}, ErrQuery
		}
		texts[i] = text
	}
	return mediasoupproto.Connection{Room: texts[0], PeerName: texts[1]}, nil
}

// Connection is for the options of a server, whose connections come through a [Handler], or
// through wsconn.Handler or enginehttp.Handler. It returns what the request of a connection
// says: what the options of the handler have made of it, or [FromQuery].
func Connection(ctx context.Context) (mediasoupproto.Connection, error) {
	if c, ok := ctx.Value(connectionKey{}).(mediasoupproto.Connection); ok {
		return c, nil
	}
	if r := wsconn.Request(ctx); r != nil {
		return FromQuery(r)
	}
	return mediasoupproto.Connection{}, errNoRequest
}
