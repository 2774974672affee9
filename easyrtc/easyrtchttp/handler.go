package easyrtchttp

import (
	"cmp"
	"crypto/rand"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// SessionCookie is the cookie in which browsers keep the id of their session.
const SessionCookie = "easyrtcsid"

// sessionAge is how long a browser keeps the cookie, in seconds: 30 days, as in
// open-easyrtc.
const sessionAge = 30 * 24 * 60 * 60

// Options say how a [Handler] behaves. Nil and zero fields mean the defaults: it serves
// nothing but connections. They are only read.
type Options struct {
	// HTTP is for the connections. Its ReadLimit is that of the server's messages by
	// default. By default only pages of the handler's own host may connect; servers of
	// Socket.IO let the WebSocket of any page in.
	HTTP *enginehttp.Options

	// SocketIO has the files of socket.io-client, which pages load from /socket.io/, such
	// as socket.io.js: the folder client-dist of npm's package socket.io. Their version
	// may be any from 1 to 4.
	SocketIO fs.FS
	// API has the files that pages load from /easyrtc/, such as easyrtc.js: the folder api
	// of npm's package open-easyrtc or easyrtc.
	API fs.FS
	// Static has the files of the site itself.
	Static fs.FS
	// Sessions gives browsers that load something from /easyrtc/ a cookie with the id of a
	// session, which easyrtc.js sends when it logs in.
	Sessions bool

	Logger *slog.Logger // nil is that of HTTP, or discards
}

// A Handler is the HTTP side of a server. Its methods may be called concurrently.
type Handler struct {
	connect  http.Handler
	socketIO http.Handler
	api      http.Handler
	static   http.Handler
	opts     Options
}

// NewHandler returns a handler for the root of a host, where browsers look for it:
// connections on /socket.io/, and files. Hooks of the server find the request of a
// connection with wsconn.Request.
func NewHandler(srv *easyrtc.Server, opts *Options) *Handler {
	h := &Handler{}
	if opts != nil {
		h.opts = *opts
	}
	o := enginehttp.Options{}
	if h.opts.HTTP != nil {
		o = *h.opts.HTTP
	}
	o.Logger = cmp.Or(o.Logger, h.opts.Logger)
	o.ASCII = true // peers of Socket.IO 1 read nothing else
	h.connect = enginehttp.Handler(srv.Serve, &o)
	h.socketIO, h.api, h.static = files(h.opts.SocketIO), files(h.opts.API), files(h.opts.Static)
	return h
}

func files(fsys fs.FS) http.Handler {
	if fsys == nil {
		return http.NotFoundHandler()
	}
	return http.FileServerFS(fsys)
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/socket.io/" {
		r = httpbody.Timed(w, r, 0) // there is no use for one
	}
	switch p := r.URL.Path; {
	case p == "/socket.io/":
		h.connect.ServeHTTP(w, r)
	case strings.HasPrefix(p, "/socket.io/"):
		http.StripPrefix("/socket.io", h.socketIO).ServeHTTP(w, r)
	case strings.HasPrefix(p, "/easyrtc/"):
		if h.opts.Sessions && r.Method == http.MethodGet {
			h.session(w, r)
		}
		http.StripPrefix("/easyrtc", h.api).ServeHTTP(w, r)
	default:
		h.static.ServeHTTP(w, r)
	}
}

// session gives a browser an id, or the one that it has for longer. Scripts read it.
func (h *Handler) session(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	if old, err := r.Cookie(SessionCookie); err == nil && isSessionID(old.Value) {
		id = old.Value
	}
	http.SetCookie(w, &http.Cookie{
		Name: SessionCookie, Value: id, Path: "/", MaxAge: sessionAge, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil,
	})
}

// isSessionID reports whether an id that a browser says may be one.
func isSessionID(id string) bool {
	login := &easyrtc.Login{SessionID: id}
	return id != "" && login.Message().Validate() == nil
}
