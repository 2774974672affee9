package mediasouphttp

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Options say how a [Handler] behaves. Nil and zero fields mean the defaults. They are only
// read.
type Options struct {
	// WebSocket is for the connections. Its ReadLimit must be as high as the MessageBytes of
	// the server; both are 1 MiB by default. Its Subprotocols are set by the handler.
	WebSocket *wsconn.Options
	// Connection says what a request connects to, before it is answered, such as by a token;
	// nil is [FromQuery]. An [*mediasoupproto.Error] whose code is an HTTP status is the
	// answer to a request that is refused; any other error is answered with 403.
	Connection func(r *http.Request) (mediasoupproto.Connection, error)
	// Static are files for requests that are no WebSockets, such as pages with
	// mediasoup-client. Nil has none.
	Static fs.FS

	Logger *slog.Logger // nil is that of WebSocket, or discards
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

// A Handler takes connections of clients of protoo. Its methods may be called concurrently.
type Handler struct {
	connection func(r *http.Request) (mediasoupproto.Connection, error)
	sockets    http.Handler
	files      http.Handler
	log        *slog.Logger
}

// NewHandler returns the handler for the connections of a server, whatever their path, and
// tells the server in which room each is, and by which name. The server's hooks find the
// request of a connection with wsconn.Request.
func NewHandler(srv *mediasoupproto.Server, opts *Options) *Handler {
	if opts == nil {
		opts = &Options{}
	}
	var o wsconn.Options
	if opts.WebSocket != nil {
		o = *opts.WebSocket
	}
	o.Logger = cmp.Or(o.Logger, opts.Logger)
	o.Subprotocols = []string{mediasoupproto.Subprotocol}
	h := &Handler{connection: opts.Connection, log: cmp.Or(opts.Logger, o.Logger), sockets: wsconn.Handler(srv.Serve, &o)}
	if h.connection == nil {
		h.connection = FromQuery
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.files = h.sockets // which say what is missing
	if opts.Static != nil {
		h.files = http.FileServerFS(opts.Static)
	}
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = httpbody.Timed(w, r, 0) // there is no use for one
	if !listed(r.Header, "Upgrade", "websocket") {
		h.files.ServeHTTP(w, r)
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
	h.sockets.ServeHTTP(w, r.WithContext(mediasoupproto.WithConnection(r.Context(), c)))
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

// Connection is for the options of a server whose connections come through wsconn.Handler or
// enginehttp.Handler: it returns what [FromQuery] makes of the request of a connection. A
// [Handler] needs it not.
func Connection(ctx context.Context) (mediasoupproto.Connection, error) {
	if r := wsconn.Request(ctx); r != nil {
		return FromQuery(r)
	}
	return mediasoupproto.Connection{}, errNoRequest
}
