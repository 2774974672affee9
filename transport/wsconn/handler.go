package wsconn

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Handler returns an http.Handler that accepts a WebSocket connection of each
// request and calls serve with it, in a goroutine of its own: the HTTP handler
// returns at once, which frees net/http's buffers.
//
// The context of serve carries the values of the request's context and the
// request itself, see [Request]. It ends when serve returns, not with the
// request. The connection is closed when serve returns: with 1000 after nil,
// with 1011 after an error or a panic. Both are logged, unless the error only
// says that the connection had ended.
//
// A request that has a body, which none should, has HandshakeTimeout for it.
//
// http.Server's Shutdown and Close do not know these connections: whoever
// serves them ends them.
func Handler(serve func(context.Context, transport.Conn) error, opts *Options) http.Handler {
	return &handler{serve: serve, opts: opts.withDefaults()}
}

type handler struct {
	serve func(context.Context, transport.Conn) error
	opts  *Options
	conns atomic.Int64 // accepted or being accepted
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = httpbody.Timed(w, r, h.opts.HandshakeTimeout)
	out, ok := h.opts.Gate.Enter(w, r)
	if !ok {
		h.opts.Logger.Info("wsconn: too many connections of one address", "remote", r.RemoteAddr)
		return
	}
	leave := func() { h.conns.Add(-1); out() }
	if n := h.conns.Add(1); h.opts.MaxConns > 0 && n > int64(h.opts.MaxConns) {
		leave()
		h.opts.Logger.Warn("wsconn: too many connections", "remote", r.RemoteAddr, "limit", h.opts.MaxConns)
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	conn, err := accept(w, r, h.opts)
	if err != nil {
		leave()
		h.opts.Logger.Info("wsconn: handshake refused", "remote", r.RemoteAddr, "error", err)
		return
	}
	ctx := WithRequest(r)
	go func() {
		defer leave()
		transport.Serve(ctx, conn, h.opts.Logger, h.serve)
	}()
}

type requestKey struct{}

// WithRequest returns a context with the values of r's that outlives r, and
// carries r for [Request]. It is for carriers other than WebSocket whose
// connections are opened by a request, so that the same hooks serve them.
func WithRequest(r *http.Request) context.Context {
	ctx := context.WithoutCancel(r.Context())
	r = r.WithContext(ctx)
	r.Body = http.NoBody
	return context.WithValue(ctx, requestKey{}, r)
}

// Request returns the handshake's request in a context that a [Handler] gave to
// its function, or that [WithRequest] made, for its address, headers, cookies or
// TLS state; nil in any other context. It must not be changed.
func Request(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}
