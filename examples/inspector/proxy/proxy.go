// Package proxy stands between clients and a server of any of the protocols, hands on what
// they send each other, and takes it down in a journal before it does so.
//
// Every WebSocket is a connection of the journal, and so is every Engine.IO session and every
// polled connection of Cuttlefish, with all its requests and the WebSocket that it changes
// to. They have numbers for names. Other requests of an address are those of one connection,
// "http", if they are signaling; pages, scripts and images pass without a word.
//
// What a client notices of the proxy:
//
//   - Pings of WebSocket are answered by the proxy, and compression is not agreed on.
//   - A connection that is cut is cut on the other side as well; close codes and reasons are
//     handed on as they are, but the answer to a close frame is the proxy's own.
//   - What a server says of its own address is changed to the proxy's where clients would
//     leave the proxy otherwise: in the header Location, in cookies, and in Galène's status of
//     a group. The journal has what the server said. A JSON Web Token for the server's
//     address is not one for the proxy's.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// MaxData is the size in bytes of the largest WebSocket message that passes, and of what is
// taken down of a body of HTTP.
const MaxData = 16 << 20

// closeTimeout is how long a side may take to answer a close frame before it is cut.
const closeTimeout = 5 * time.Second

// Options say what a proxy stands before.
type Options struct {
	// Target is the address of the server: ws, wss, http or https, with a path if all of its
	// paths are below one.
	Target string
	// Journal takes what passes; it must not be nil.
	Journal *capture.Journal
	// Insecure takes any certificate of the target.
	Insecure bool
	// RewriteOrigin tells the target that requests of any web page come from a page of its own,
	// for servers that check that. Then every page that the user of a browser visits passes
	// for one, if it finds the proxy. Pages that were loaded through the proxy do in any case.
	RewriteOrigin bool
}

// A Proxy is a handler for every path of a server.
type Proxy struct {
	target        *url.URL // http or https, its path without a slash at the end
	journal       *capture.Journal
	rewriteOrigin bool
	tls           *tls.Config
	names         names
	transport     *http.Transport
	reverse       *httputil.ReverseProxy

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
	wg       sync.WaitGroup
}

// New returns a proxy, unless its target is no address of a server.
func New(opts *Options) (*Proxy, error) {
	target, err := parseTarget(opts.Target)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target: target, journal: opts.Journal, rewriteOrigin: opts.RewriteOrigin,
		tls:      &tls.Config{InsecureSkipVerify: opts.Insecure},
		sessions: make(map[*session]struct{}),
	}
	p.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     p.tls.Clone(),
		MaxIdleConnsPerHost: 100,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // what passes is to be read
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p.transport,
		FlushInterval:  -1,
		ModifyResponse: p.answered,
		ErrorHandler:   p.unanswered,
		ErrorLog:       log.New(discard{}, "", 0), // the journal has it
	}
	return p, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// parseTarget returns the address of a server with the scheme of HTTP.
func parseTarget(address string) (*url.URL, error) {
	scheme := ""
	u, err := url.Parse(address) // which takes a host for a scheme, or for the beginning of a path
	if err == nil {
		scheme = u.Scheme
	}
	switch scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("the target %q is no address such as ws://127.0.0.1:8443", address)
	}
	if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the target %q must have a host, and nothing else but a port and a path", address)
	}
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/")
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// Close ends all connections, those of WebSocket with 1001, and waits for them. Requests are
// answered with 503 from then on.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for s := range p.sessions {
		p.wg.Go(s.goAway)
	}
	p.mu.Unlock()
	p.wg.Wait()
	p.transport.CloseIdleConnections()
	return nil
}

// ServeHTTP hands a request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	switch {
	case closed:
		http.Error(w, errClosed.Error(), http.StatusServiceUnavailable)
	case r.Method == http.MethodConnect || r.URL.Host != "":
		http.Error(w, "the inspector is asked like the server that it stands before, not like a proxy of HTTP",
			http.StatusBadRequest)
	case isWebSocket(r):
		p.webSocket(w, r)
	default:
		p.http(w, r)
	}
}

var errClosed = errors.New("the inspector has ended")

// isWebSocket reports whether a request asks for a WebSocket.
func isWebSocket(r *http.Request) bool {
	return hasToken(r.Header.Values("Connection"), "upgrade") && hasToken(r.Header.Values("Upgrade"), "websocket")
}

// hasToken reports whether a header has a token, whose case does not matter.
func hasToken(values []string, token string) bool {
	for _, name := range tokens(values) {
		if strings.EqualFold(name, token) {
			return true
		}
	}
	return false
}

// tokens returns the parts of a header with commas between.
func tokens(values []string) []string {
	var all []string
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// address returns where a request goes: the target with its path and query.
func (p *Proxy) address(r *http.Request) *url.URL {
	u := *p.target
	u.Path += r.URL.Path
	u.RawPath += r.URL.EscapedPath()
	u.RawQuery, u.ForceQuery = r.URL.RawQuery, r.URL.ForceQuery
	return &u
}

// origin returns that of the target's own pages.
func (p *Proxy) origin() string { return p.target.Scheme + "://" + p.target.Host }

// headerOf returns a header as the journal has it.
func headerOf(h http.Header) map[string]string {
	m := make(map[string]string, len(h))
	for name, values := range h {
		m[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	return m
}

// note takes down what has gone wrong.
func (p *Proxy) note(conn string, err error) {
	p.journal.Add(capture.Entry{Conn: conn, Kind: capture.Note, Reason: err.Error()})
}

// ended reports whether an error is that of a request whose client has gone.
func ended(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) && ctx.Err() != nil
}
