package cuttlefishhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// The defaults of [Options].
const (
	DefaultOperatorReadLimit = 64 << 10
	DefaultPolledConns       = 1_000
	DefaultPolledIdle        = 2 * time.Minute
	DefaultPolledMessages    = 1_000
	DefaultPolledBytes       = 1 << 20
	DefaultBodyLimit         = cuttlefish.DefaultOperatorDeviceMessage
	DefaultBodyTimeout       = httpbody.DefaultTimeout
)

// Subprotocol is what devices of 2020 to 2025 ask for; it is agreed to on the
// document's endpoints.
const Subprotocol = "webrtc-operator"

// Options say how a [Handler] behaves. Nil and zero fields mean the defaults. They
// are only read.
type Options struct {
	// WebSocket holds the limits, time-outs and the origin policy of the WebSocket
	// endpoints. The policy is that of wsconn, except on /register_device, where
	// every Origin passes: devices send one that lacks the port. It holds for the
	// POST requests of browsers as well. The ReadLimit of /devices/{id}/connect is
	// 64 KiB unless set here. Its MaxConns is for each endpoint; its Gate is for all of
	// them and for the polled connections. Subprotocols are the handler's own.
	WebSocket *wsconn.Options

	// Config returns the answer to GET /infra_config, for TURN credentials that are
	// made for one client; it must not return nil without an error. An error that is
	// a *cuttlefish.Error is answered with 403 and its text, any other one is logged
	// and answered with 500. Nil answers with the ICEServers of the server's options.
	Config func(r *http.Request) (*cuttlefish.Config, error)

	// Files returns what serves the page of a device, or nil when nothing does. It
	// sees the path below /devices/{id}/files; http.FileServerFS fits. The page's
	// js/server_connector.js comes from this package whatever Files returns.
	Files func(deviceID string) http.Handler
	// ProxyFiles sends requests for files that Files does not serve to the
	// device_port of the device on 127.0.0.1, as today's operator does. Whoever may
	// register a device can then reach every HTTP server of this machine through it.
	ProxyFiles bool

	// Fallback answers requests for paths that the handler does not know; nil
	// answers 404.
	Fallback http.Handler

	PolledConns    int           // at once; default 1,000, negative without a limit
	PolledIdle     time.Duration // without a request until a polled connection ends; default 2 min
	PolledMessages int           // that a polled client has not acknowledged; default 1,000, more end it
	PolledBytes    int           // of these; default 1 MiB
	BodyLimit      int64         // of a POST in bytes; default 128 KiB
	// BodyTimeout is how long the body of a request may take to come, except for those of
	// Fallback; default 30 s, negative as long as the http.Server lets it.
	BodyTimeout time.Duration

	Logger *slog.Logger // nil discards
}

func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.WebSocket == nil {
		r.WebSocket = new(wsconn.Options)
	}
	if r.PolledConns == 0 {
		r.PolledConns = DefaultPolledConns
	}
	if r.PolledIdle <= 0 {
		r.PolledIdle = DefaultPolledIdle
	}
	if r.PolledMessages <= 0 {
		r.PolledMessages = DefaultPolledMessages
	}
	if r.PolledBytes <= 0 {
		r.PolledBytes = DefaultPolledBytes
	}
	if r.BodyLimit <= 0 {
		r.BodyLimit = DefaultBodyLimit
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return r
}

// A Handler is the HTTP side of a server: the endpoints of the protocol document and
// of today's operator, on one registry. Its methods may be called concurrently.
//
// Every endpoint puts its request into the context of the server's hooks, see
// [wsconn.Request]; a polled client's is the POST that opened its connection.
type Handler struct {
	srv    *cuttlefish.Server
	opts   Options
	mux    *http.ServeMux
	origin *http.CrossOriginProtection

	mu      sync.Mutex
	polled  map[string]*mailbox
	closed  bool
	serving sync.WaitGroup // of the polled connections
}

// NewHandler returns the HTTP side of srv.
func NewHandler(srv *cuttlefish.Server, opts *Options) *Handler {
	h := &Handler{
		srv: srv, opts: opts.withDefaults(), mux: http.NewServeMux(),
		origin: http.NewCrossOriginProtection(), polled: make(map[string]*mailbox),
	}

	device := *h.opts.WebSocket
	device.Subprotocols = []string{Subprotocol}
	client := device
	device.AllowAnyOrigin = true
	operator := client
	operator.Subprotocols = nil
	if operator.ReadLimit == 0 {
		operator.ReadLimit = DefaultOperatorReadLimit
	}
	connect := wsconn.Handler(func(ctx context.Context, conn transport.Conn) error {
		return srv.ServeOperatorClient(ctx, conn, wsconn.Request(ctx).PathValue("id"))
	}, &operator)

	h.mux.Handle("GET /register_device", wsconn.Handler(srv.ServeDevice, &device))
	h.mux.Handle("GET /connect_client", wsconn.Handler(srv.ServeClient, &client))

	h.mux.Handle("GET /devices/{id}/connect", h.known(connect.ServeHTTP))
	h.mux.HandleFunc("GET /infra_config", h.infraConfig)
	h.mux.HandleFunc("GET /devices", h.listDevices)
	h.mux.HandleFunc("GET /devices/{id}", h.describeDevice)
	h.mux.HandleFunc("GET /devices/{id}/files/{path...}", h.files)

	h.mux.Handle("POST /polled_connections", h.sameOrigin(h.openPolled))
	h.mux.Handle("DELETE /polled_connections/{connection}", h.sameOrigin(h.closePolled))
	h.mux.Handle("POST /polled_connections/{connection}/:forward", h.sameOrigin(h.forward))
	h.mux.HandleFunc("GET /polled_connections/{connection}/messages", h.messages)

	// Without a pattern of their own the other methods would be answered with 405 and
	// the path without its last slash with a redirection. The operator knows neither.
	h.mux.HandleFunc(filesPath, h.fallback)
	h.mux.HandleFunc(anyPath, h.fallback)
	return h
}

// The patterns of what Fallback answers.
const anyPath, filesPath = "/", "/devices/{id}/files"

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.fallsBack(r) {
		r = httpbody.Timed(w, r, h.opts.BodyTimeout)
	}
	h.mux.ServeHTTP(w, r)
}

// fallsBack reports whether a request with a body is for Fallback.
func (h *Handler) fallsBack(r *http.Request) bool {
	if h.opts.Fallback == nil || r.Body == nil || r.Body == http.NoBody {
		return false
	}
	_, pattern := h.mux.Handler(r)
	return pattern == anyPath || pattern == filesPath
}

// Close ends the polled connections and waits for them; requests for new ones are
// answered with 503 from then on. The WebSocket connections are the server's to
// close.
func (h *Handler) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, box := range h.polled {
		box.end(&transport.CloseError{Code: transport.StatusGoingAway, Reason: "handler closed"})
	}
	h.mu.Unlock()
	h.serving.Wait()
	return nil
}

func (h *Handler) fallback(w http.ResponseWriter, r *http.Request) {
	if h.opts.Fallback == nil {
		http.NotFound(w, r)
		return
	}
	h.opts.Fallback.ServeHTTP(w, r)
}

// serves reports whether a client of that device would be let in or kept waiting.
func (h *Handler) serves(deviceID string) bool {
	if h.srv.Options().WaitForDevice {
		return deviceID != ""
	}
	_, ok := h.srv.Device(deviceID)
	return ok
}

// textNoDevice is how today's operator refuses a client whose device is not there.
const textNoDevice = "Device not found"

// known refuses clients of unknown devices before the upgrade, as the operator does:
// a browser falls back to polling then and shows the reason.
func (h *Handler) known(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.serves(r.PathValue("id")) {
			http.Error(w, textNoDevice, http.StatusNotFound)
			return
		}
		next(w, r)
	})
}

// sameOrigin keeps foreign pages from using their visitor's access.
func (h *Handler) sameOrigin(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.origin.Check(r); err != nil && !h.allowsOrigin(r.Header.Get("Origin")) {
			http.Error(w, "Cross-origin request", http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// allowsOrigin applies the origin policy of the WebSocket endpoints.
func (h *Handler) allowsOrigin(origin string) bool {
	if h.opts.WebSocket.AllowAnyOrigin {
		return true
	}
	origin = strings.ToLower(origin)
	_, host, _ := strings.Cut(origin, "://")
	for _, pattern := range h.opts.WebSocket.OriginPatterns {
		pattern = strings.ToLower(pattern)
		subject := host
		if strings.Contains(pattern, "://") {
			subject = origin
		}
		if ok, err := path.Match(pattern, subject); ok && err == nil {
			return true
		}
	}
	return false
}

// body reads the body of a POST, or answers the request and returns false.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	var b bytes.Buffer
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, h.opts.BodyLimit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, "Request body too large", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	if httpbody.IsTimeout(err) {
		http.Error(w, "Request body too slow", http.StatusRequestTimeout)
		return nil, false
	}
	if err != nil {
		http.Error(w, "Request body incomplete", http.StatusBadRequest)
		return nil, false
	}
	return b.Bytes(), true
}

// replyJSON answers with a JSON text. None of the answers may be kept by a cache: they
// hold credentials and names of connections, or are true at the moment only.
func replyJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
}
