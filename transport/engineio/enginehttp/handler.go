package enginehttp

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Handler returns an http.Handler that speaks Engine.IO of both versions,
// whatever its path, and calls serve with each connection, a [*Conn], in a
// goroutine of its own.
//
// The context of serve carries the values of the context of the connection's
// first request and that request, see wsconn.Request. It ends when serve
// returns. The connection is closed when serve returns: with 1000 after nil,
// with 1011 after an error or a panic. Both are logged, unless the error only
// says that the connection had ended.
//
// Requests that are no Engine.IO are answered as the Socket.IO 4 server does:
// with 400 and a JSON object of a code and a message, or the message alone when
// they ask for a WebSocket.
//
// http.Server's Shutdown waits for pending polls; neither it nor Close knows the
// WebSocket connections: whoever serves the connections ends them. The server's
// WriteTimeout does not apply to pending polls.
func Handler(serve func(context.Context, transport.Conn) error, opts *Options) http.Handler {
	o := opts.withDefaults()
	return &handler{serve: serve, opts: o, origins: origins{o}, sessions: make(map[string]*session)}
}

type handler struct {
	serve   func(context.Context, transport.Conn) error
	opts    *Options
	origins origins
	conns   atomic.Int64 // of both transports, or being accepted

	mu       sync.Mutex
	sessions map[string]*session // that began by polling, by id
}

// A refusal is why a request is none of Engine.IO, as the Node server words it.
type refusal struct {
	code    int
	message string
}

var (
	unknownTransport = &refusal{0, "Transport unknown"}
	unknownSession   = &refusal{1, "Session ID unknown"}
	badMethod        = &refusal{2, "Bad handshake method"}
	badRequest       = &refusal{3, "Bad request"}
	badVersion       = &refusal{5, "Unsupported protocol version"}
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = httpbody.Timed(w, r, h.opts.BodyTimeout)
	if upgrading(r) {
		h.websocket(w, r)
		return
	}
	if h.origins.answer(w, r) {
		return
	}
	s, v, why := h.check(r)
	switch {
	case why != nil:
		h.refuse(w, r, why)
	case s != nil:
		s.serveHTTP(w, r)
	default:
		h.open(w, r, v)
	}
}

// upgrading reports whether r asks for a WebSocket.
func upgrading(r *http.Request) bool {
	return r.Method == http.MethodGet &&
		listed(r.Header, "Connection", "upgrade") && listed(r.Header, "Upgrade", "websocket")
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

// check returns the session that r is for, nil for a new one, and the version.
func (h *handler) check(r *http.Request) (s *session, v engineio.Version, why *refusal) {
	query := r.URL.Query()
	name := query.Get("transport")
	if name != Polling && name != WebSocket {
		return nil, 0, unknownTransport
	}
	if query.Has("sid") {
		if s = h.session(query.Get("sid")); s == nil {
			return nil, 0, unknownSession
		}
	}
	v, known := h.version(query.Get("EIO"))
	switch {
	case s == nil && r.Method != http.MethodGet:
		return nil, 0, badMethod
	case (name == WebSocket) != upgrading(r):
		return nil, 0, badRequest
	case s != nil && (!known || v != s.line.version):
		return nil, 0, badRequest
	case !known:
		return nil, 0, badVersion
	}
	return s, v, nil
}

func (h *handler) version(eio string) (engineio.Version, bool) {
	switch eio {
	case "4":
		return engineio.V4, true
	case "3":
		return engineio.V3, !h.opts.RefuseV3
	}
	return 0, false
}

// session returns the session with an id unless it has ended.
func (h *handler) session(id string) *session {
	h.mu.Lock()
	s := h.sessions[id]
	h.mu.Unlock()
	if s == nil || s.ended() {
		return nil
	}
	return s
}

func (h *handler) remove(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.id)
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	h.opts.Logger.Info("enginehttp: request refused", "remote", r.RemoteAddr, "reason", why.message)
	if upgrading(r) {
		respond(w, http.StatusBadRequest, "text/html", []byte(why.message))
		return
	}
	body := fmt.Appendf(nil, `{"code":%d,"message":%q}`, why.code, why.message)
	respond(w, http.StatusBadRequest, "application/json", body)
}

// respond answers a request; without a body it names no type.
func respond(w http.ResponseWriter, status int, contentType string, body []byte) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header["Content-Type"] = nil // or net/http would guess
	if len(body) > 0 {
		header.Set("Content-Type", contentType)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// When the client is gone its session ends by other signs.
	_, _ = w.Write(body)
}

// admit counts a connection until leave is called, or refuses it when there are too many.
func (h *handler) admit(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	out, ok := h.opts.Gate.Enter(w, r)
	if !ok {
		h.opts.Logger.Info("enginehttp: too many connections of one address", "remote", r.RemoteAddr)
		return nil, false
	}
	leave = func() { h.conns.Add(-1); out() }
	if n := h.conns.Add(1); h.opts.MaxConns > 0 && n > int64(h.opts.MaxConns) {
		leave()
		h.opts.Logger.Warn("enginehttp: too many connections", "remote", r.RemoteAddr, "limit", h.opts.MaxConns)
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return nil, false
	}
	return leave, true
}

// websocket serves a request for a WebSocket: a connection of its own, or what a
// polling session changes to.
func (h *handler) websocket(w http.ResponseWriter, r *http.Request) {
	s, v, why := h.check(r)
	if why != nil {
		h.refuse(w, r, why)
		return
	}
	if s != nil {
		s.probe(w, r)
		return
	}
	leave, ok := h.admit(w, r)
	if !ok {
		return
	}
	ws, err := wsconn.Accept(w, r, h.opts.websocket())
	if err != nil {
		leave()
		h.opts.Logger.Info("enginehttp: handshake refused", "remote", r.RemoteAddr, "error", err)
		return
	}
	ctx := wsconn.WithRequest(r)
	go func() {
		defer leave()
		conn, err := engineio.Server(ws, h.opts.engine(v))
		if err != nil {
			h.opts.Logger.Info("enginehttp: handshake failed", "error", err)
			return
		}
		transport.Serve(ctx, &Conn{Conn: conn}, h.opts.Logger, h.serve)
	}()
}

// open begins a polling session; the request is its first poll.
func (h *handler) open(w http.ResponseWriter, r *http.Request, v engineio.Version) {
	leave, ok := h.admit(w, r)
	if !ok {
		return
	}
	s := newSession(h, v)
	o := h.opts.engine(v)
	o.SID, o.Upgrades = s.id, []string{WebSocket}
	conn, err := engineio.Server(s.line, o)
	if err != nil { // never: the line is empty
		leave()
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	h.sessions[s.id] = s
	h.mu.Unlock()
	ctx := wsconn.WithRequest(r)
	// What serve writes may come with the first answer, but need not.
	go func() {
		defer leave()
		defer h.remove(s)
		transport.Serve(ctx, &Conn{Conn: conn, line: s.line}, h.opts.Logger, h.serve)
	}()
	s.poll(w, r)
}
