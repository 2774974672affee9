// Package page is the web page of the inspector, a sequence diagram of recordings, and the
// HTTP API that the page lives on:
//
//	GET    /api/protocols                        the names of all protocols
//	GET    /api/recordings                       what there is
//	POST   /api/recordings?name=&protocol=       adds the file in the body
//	DELETE /api/recordings/{id}                  removes a file, empties the live recording
//	GET    /api/recordings/{id}/arrows           the arrows as server-sent events
//	GET    /api/recordings/{id}/arrows/{number}  one arrow with its details
//	GET    /api/recordings/{id}/export           a file of all entries
//
// The page needs nothing from elsewhere. It is for the people of one machine: a request whose
// Host is another name than that of loopback, or another address than the one at which it
// arrived, is refused, and so is a change that a page of another site asks for.
package page

import (
	"embed"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

//go:embed static
var embedded embed.FS

// policy is the page's Content-Security-Policy. Trusted Types without a policy make
// innerHTML and its relatives throw: what came from the wire is only ever text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Options says what a page shows.
type Options struct {
	// Live is where entries come in while the page is shown; nil if there are files only.
	// Its recording has the id "live".
	Live *capture.Journal
	// Protocol is the name of the protocol of Live, as in explain.Protocols. New panics if
	// there is Live and no such protocol. Files of no protocol have this one, if it is not "".
	Protocol string
	// Listen is the address to which the clients of Live go, for the page to name; "" is not known.
	Listen string
	// Open are recordings that are there from the start. One whose protocol cannot be told
	// is left out, with a line in the log.
	Open []*capture.File
	// Secrets has passwords and tokens shown and exported. They are masked otherwise.
	Secrets bool
	// Logger takes what goes wrong. The default is to discard it.
	Logger *slog.Logger
}

// New returns the handler of a page. It starts no goroutines; the event streams of a live
// recording end when their requests do.
func New(opts *Options) http.Handler {
	if opts == nil {
		opts = &Options{}
	}
	s := newShelf(opts)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/protocols", s.listProtocols)
	mux.HandleFunc("GET /api/recordings", s.list)
	mux.HandleFunc("POST /api/recordings", s.add)
	mux.HandleFunc("DELETE /api/recordings/{id}", s.remove)
	mux.HandleFunc("GET /api/recordings/{id}/arrows", s.stream)
	mux.HandleFunc("GET /api/recordings/{id}/arrows/{number}", s.detail)
	mux.HandleFunc("GET /api/recordings/{id}/export", s.export)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no %s %s", r.Method, r.URL.Path)
	})
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // embedded above
	}
	mux.Handle("/", http.FileServerFS(static))
	return guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses requests for other hosts, which a name that now points here has brought, and
// keeps other sites from making use of the answers.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !ours(r.Host, local) {
			fail(w, http.StatusForbidden, "the inspector does not answer for this host: use localhost or its address")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host header names this machine: loopback by name or by address, or
// the address at which the request has arrived. The port does not matter, a tunnel changes it.
func ours(host string, local net.Addr) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	addr = addr.WithZone("").Unmap()
	if addr.IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().WithZone("").Unmap() == addr
}
