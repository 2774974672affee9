package galenehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// Options say how a [Handler] behaves. Nil and zero fields mean the defaults. They are only
// read.
type Options struct {
	// WebSocket holds the limits, the time-outs and the origin policy of the WebSocket. Its
	// ReadLimit is 1 MiB unless set here. Its Gate also counts the sessions of WHIP.
	WebSocket *wsconn.Options
	// BaseURL is where clients find the handler, such as "https://galene.example.org" or,
	// below a path, "https://example.org/galene". A proxy must strip the path. Empty is
	// what each request says.
	BaseURL string
	// Static holds the files of the web client: galene.html is the page of every group,
	// the others are found at the root. Nil has none.
	Static fs.FS
	// WHIP lets programs publish a stream over HTTP, see RFC 9725.
	WHIP bool
	// BodyTimeout is how long the body of a request may take to come; default 30 s, negative
	// as long as the http.Server lets it.
	BodyTimeout time.Duration

	Logger *slog.Logger // nil discards
}

// A Handler is what goes over HTTP at a [galene.Server], besides the WebSocket itself. It
// must be at the root of its server, or behind http.StripPrefix with a BaseURL.
type Handler struct {
	srv  *galene.Server
	opts Options
	base *url.URL // nil without BaseURL
	log  *slog.Logger
	ws   http.Handler
	gate *wsconn.Gate

	mu       sync.Mutex
	sessions map[string]*whipSession
	closed   bool
	serving  sync.WaitGroup
}

// NewHandler returns the HTTP side of srv. It panics if BaseURL is not the address of a
// server.
func NewHandler(srv *galene.Server, opts *Options) *Handler {
	h := &Handler{srv: srv, sessions: make(map[string]*whipSession)}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.BaseURL != "" {
		base, err := url.Parse(strings.TrimSuffix(h.opts.BaseURL, "/"))
		if err == nil {
			err = checkScheme(base)
		}
		if err != nil {
			panic(fmt.Sprintf("galenehttp: BaseURL: %v", err))
		}
		h.base = base
	}
	if h.log = h.opts.Logger; h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	var ws wsconn.Options
	if h.opts.WebSocket != nil {
		ws = *h.opts.WebSocket
	}
	ws.ReadLimit = cmp.Or(ws.ReadLimit, galene.DefaultMessageBytes)
	if ws.Logger == nil {
		ws.Logger = h.log
	}
	h.ws, h.gate = wsconn.Handler(srv.Serve, &ws), ws.Gate
	return h
}

// Address returns where a client is that a [Handler] serves. It is for Address of
// [galene.ServerOptions]. Behind a proxy that is the proxy's.
func Address(ctx context.Context) net.Addr {
	r := wsconn.Request(ctx)
	if r == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ip := net.ParseIP(host)
	if err != nil || ip == nil {
		return nil
	}
	return &net.TCPAddr{IP: ip, Port: int(n)}
}

// Close ends the WHIP sessions and waits for them; there are no new ones from then on. The
// WebSocket connections are the server's to close.
func (h *Handler) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		s.cancel()
	}
	h.mu.Unlock()
	h.serving.Wait()
	return nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = httpbody.Timed(w, r, h.opts.BodyTimeout)
	switch p := r.URL.Path; {
	case p == "/ws":
		h.ws.ServeHTTP(w, r)
	case p == "/public-groups.json":
		if allowed(w, r) {
			h.publicGroups(w, r)
		}
	case strings.HasPrefix(p, groupPrefix):
		h.group(w, r)
	default:
		if allowed(w, r) {
			h.static(w, r)
		}
	}
}

// allowed reports whether a request only reads, and answers it otherwise.
func allowed(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	notAllowed(w, "GET, HEAD")
	return false
}

func notAllowed(w http.ResponseWriter, methods string) {
	w.Header().Set("Allow", methods)
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
}

// group serves what is below /group/. What a group has begins with a dot, which names of
// groups do not.
func (h *Handler) group(w http.ResponseWriter, r *http.Request) {
	dir, kind, rest := splitPath(r.URL.Path)
	name := groupName(dir)
	switch {
	case !galene.ValidName(name):
		h.notFound(w, r)
	case kind == ".whip" && h.opts.WHIP:
		h.whip(w, r, name, rest)
	case rest != "":
		h.notFound(w, r)
	case !allowed(w, r):
	case kind == ".status":
		h.status(w, r, name)
	case kind == ".status.json":
		h.redirect(w, r, groupPrefix+name+"/.status")
	case kind == "":
		h.page(w, r, name)
	default:
		h.notFound(w, r)
	}
}

// splitPath splits a path at its first element that begins with a dot.
func splitPath(p string) (dir, dotted, rest string) {
	dir, after, ok := strings.Cut(p, "/.")
	if !ok {
		return dir, "", ""
	}
	if i := strings.IndexByte(after, '/'); i >= 0 {
		after, rest = after[:i], after[i:]
	}
	return dir, "." + after, rest
}

// redirect answers with another path of this server. A token in the query is kept.
func (h *Handler) redirect(w http.ResponseWriter, r *http.Request, to string) {
	u := &url.URL{Path: h.prefix() + to, RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, u.String(), http.StatusPermanentRedirect)
}

func (h *Handler) prefix() string {
	if h.base == nil {
		return ""
	}
	return h.base.Path
}

// baseURL returns what the address of a request begins with, as its client knows it.
func (h *Handler) baseURL(r *http.Request) string {
	if h.base != nil {
		return h.base.String()
	}
	u := &url.URL{Scheme: "https", Host: r.Host}
	if r.TLS == nil {
		u.Scheme = "http"
	}
	return u.String()
}

// located adds the addresses to a status.
func (h *Handler) located(r *http.Request, s *galene.Status) *galene.Status {
	if s.Redirect != "" {
		return s
	}
	located, base := *s, h.baseURL(r)
	located.Location, located.Endpoint = (&GroupURL{Base: base, Name: s.Name}).String(), endpoint(base)
	return &located
}

func (h *Handler) status(w http.ResponseWriter, r *http.Request, name string) {
	status, err := h.srv.Status(r.Context(), name)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	body, err := appendStatus(nil, h.located(r, status))
	h.json(w, r, body, err)
}

func appendStatus(dst []byte, s *galene.Status) ([]byte, error) { return jsonx.Append(dst, "", "", s) }

func (h *Handler) publicGroups(w http.ResponseWriter, r *http.Request) {
	groups, err := h.srv.PublicGroups(r.Context())
	body := []byte("[")
	for i, status := range groups {
		if err != nil {
			break
		}
		if i > 0 {
			body = append(body, ',')
		}
		body, err = appendStatus(body, h.located(r, status))
	}
	h.json(w, r, append(body, ']'), err)
}

// json answers with a JSON text, of which a HEAD sees the header only.
func (h *Handler) json(w http.ResponseWriter, r *http.Request, body []byte, err error) {
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
	}
}

// fail answers that there is no such group, or that something is wrong here.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, galene.ErrNoGroup) {
		h.notFound(w, r)
		return
	}
	h.log.ErrorContext(r.Context(), "galenehttp: a request failed", "path", r.URL.Path, "error", err)
	http.Error(w, "Internal server error", http.StatusInternalServerError)
}

// page serves the client for a group.
func (h *Handler) page(w http.ResponseWriter, r *http.Request, name string) {
	status, err := h.srv.Status(r.Context(), name)
	switch {
	case err != nil:
		h.fail(w, r, err)
	case r.URL.Path != groupPrefix+name+"/":
		h.redirect(w, r, groupPrefix+name+"/")
	case status.Redirect != "":
		http.Redirect(w, r, status.Redirect, http.StatusPermanentRedirect)
	default:
		secure(w, status.AuthServer)
		h.file(w, r, "galene.html")
	}
}

// static serves the files of the client.
func (h *Handler) static(w http.ResponseWriter, r *http.Request) {
	secure(w, "")
	name := strings.TrimPrefix(r.URL.Path, "/")
	isDir := name == "" || strings.HasSuffix(name, "/")
	name = cmp.Or(strings.TrimSuffix(name, "/"), ".")
	hidden := strings.HasPrefix(name, ".") && name != "." || strings.Contains(name, "/.")
	if h.opts.Static == nil || hidden || !fs.ValidPath(name) {
		h.notFound(w, r)
		return
	}
	info, err := fs.Stat(h.opts.Static, name)
	switch {
	case err != nil:
		h.missing(w, r, err)
	case info.IsDir() && !isDir:
		h.redirect(w, r, "/"+name+"/")
	case info.IsDir():
		index := path.Join(name, "index.html")
		if _, err := fs.Stat(h.opts.Static, index); errors.Is(err, fs.ErrNotExist) {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		h.file(w, r, index)
	case isDir:
		h.notFound(w, r)
	default:
		h.file(w, r, name)
	}
}

// How long browsers may keep files, in seconds.
const (
	cached      = "max-age=1800"
	cachedLong  = "max-age=86400"
	revalidated = "no-cache"
)

// file serves a file of the client.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, name string) {
	if h.opts.Static == nil {
		h.notFound(w, r)
		return
	}
	f, err := http.FS(h.opts.Static).Open(name)
	if err != nil {
		h.missing(w, r, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		h.missing(w, r, err)
		return
	}
	control := cached
	switch t := info.ModTime(); {
	case t.IsZero(): // of an embedded file, which nothing tells from a later one
		control = revalidated
	case strings.HasPrefix(name, "third-party/"):
		control = cachedLong
		fallthrough
	default:
		w.Header().Set("Etag", fmt.Sprintf(`"%d-%d"`, info.Size(), t.UnixNano()))
	}
	w.Header().Set("Cache-Control", control)
	http.ServeContent(w, r, info.Name(), info.ModTime(), f)
}

// missing answers for a file that cannot be read.
func (h *Handler) missing(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		h.notFound(w, r)
		return
	}
	h.fail(w, r, err)
}

// notFound answers with the page that the client has for that.
func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	body := []byte("<p>Not found</p>\n")
	if h.opts.Static != nil {
		if page, err := fs.ReadFile(h.opts.Static, "404.html"); err == nil {
			body = page
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(body)
}

// secure sets the headers of the client's files, which need no more than they allow, with
// the authorisation server of a group.
func secure(w http.ResponseWriter, authServer string) {
	connect := "connect-src "
	if u, err := url.Parse(authServer); err == nil && checkScheme(u) == nil {
		source := u.Scheme + "://" + u.Host + u.EscapedPath()
		if !strings.ContainsAny(source, ";, '\"\\\t\r\n") { // what would begin another directive
			connect += source + " "
		}
	}
	w.Header().Set("Content-Security-Policy", connect+"ws: wss: 'self'; img-src 'self'; media-src blob: 'self'; "+
		"script-src 'unsafe-eval' 'self'; default-src 'self'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
