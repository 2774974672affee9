package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// An exchange is a request and its answer.
type exchange struct {
	request capture.Entry
	known   bool // request is in the journal
	begins  bool // the answer says which session the request has begun
	in      *http.Request
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// engineIO and polled tell the sessions of carriers from each other.
func engineIO(sid string) string { return "engine.io " + sid }
func polled(id string) string    { return "polled " + id }

// http hands on a request that is no WebSocket.
func (p *Proxy) http(w http.ResponseWriter, r *http.Request) {
	x := &exchange{in: r, request: capture.Entry{
		Kind: capture.Request, From: capture.Client, Method: r.Method, URL: r.RequestURI, Header: headerOf(r.Header),
	}}
	if r.Body != nil && r.Body != http.NoBody && readable(r.Header.Get("Content-Type"), isEngineIO(r.URL)) {
		data, body, err := take(r.Body, r.ContentLength, &x.request)
		if err != nil {
			// The client has gone, or has sent something that is no HTTP.
			p.note(p.names.host(r.RemoteAddr), fmt.Errorf("the body of %s %s: %w", r.Method, r.RequestURI, err))
			panic(http.ErrAbortHandler)
		}
		x.request.Data, r.Body = data, body
	}
	x.request.Conn, x.begins = p.connOf(r, x.request.Data)
	if isSignaling(r) {
		x.add(p)
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// add takes the request down.
func (x *exchange) add(p *Proxy) {
	if !x.known {
		x.known = true
		p.journal.Add(x.request)
	}
}

// take reads a body up to MaxData, which is what the journal has of it, and returns one that
// begins with what was read.
func take(body io.ReadCloser, length int64, e *capture.Entry) ([]byte, io.ReadCloser, error) {
	data, err := io.ReadAll(io.LimitReader(body, MaxData+1))
	whole := struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(data), body}
	if len(data) > MaxData {
		whole.Reader = io.MultiReader(whole.Reader, body)
		e.Cut = max(int(length), len(data)) // more, if nobody has said how many they are
		data = data[:MaxData]
	}
	return data, whole, err
}

// rewrite makes the request for the target of that of a client.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL = p.address(r.In)
	r.Out.Host = p.target.Host
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header.Values(name); values != nil {
			r.Out.Header[name] = values // ReverseProxy is careful about clients; here the target decides
		}
	}
	for _, name := range []string{"Accept-Encoding", "Connection", "Upgrade"} {
		r.Out.Header.Del(name) // what passes is to be read, and to stay HTTP
	}
	p.disguise(r.Out.Header, r.In)
}

// disguise makes the header of a client's request be for the target.
func (p *Proxy) disguise(h http.Header, r *http.Request) {
	if p.isOurs(r) {
		h.Set("Origin", p.origin())
	}
	if h.Get("User-Agent") == "" {
		h["User-Agent"] = []string{""} // net/http would set its own
	}
}

// isOurs reports whether a request says that it comes from a page of the target: one that was
// loaded through the proxy, or any if that is wanted. A host that has a name does not count,
// because it may be anybody's name for this machine.
func (p *Proxy) isOurs(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || p.rewriteOrigin {
		return origin != ""
	}
	u, err := url.Parse(origin)
	if err != nil || !strings.EqualFold(u.Host, r.Host) || (u.Scheme == "https") != (r.TLS != nil) {
		return false
	}
	name := u.Hostname()
	return strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil
}

// answered takes the answer of the target down, and has it fit the proxy.
func (p *Proxy) answered(resp *http.Response) error {
	x := exchangeOf(resp.Request)
	if resp.StatusCode < http.StatusOK {
		// What comes after 101 would pass unseen; the others are no answers.
		return fmt.Errorf("its status is %d, for which nobody has asked", resp.StatusCode)
	}
	answer := capture.Entry{
		Conn: x.request.Conn, Kind: capture.Response, From: capture.Server,
		Method: x.request.Method, URL: x.request.URL, Status: resp.StatusCode, Header: headerOf(resp.Header),
	}
	typ := resp.Header.Get("Content-Type")
	p.localise(resp.Header, x.in)
	if !x.known && !isData(typ) {
		return nil // a page, or a part of one
	}
	x.add(p)
	// A stream of events would come when it has ended.
	if mediaType(typ) == "text/event-stream" || x.request.Method == http.MethodHead {
		p.journal.Add(answer)
		return nil
	}
	data, body, err := take(resp.Body, resp.ContentLength, &answer)
	answer.Data = data
	if err != nil {
		answer.Cut = max(int(resp.ContentLength), len(data)+1)
	}
	if x.begins {
		p.bind(answer.Conn, data)
	}
	p.journal.Add(answer)
	if err != nil {
		if x.in.Context().Err() == nil {
			p.note(answer.Conn, fmt.Errorf("the answer to %s %s has broken off: %w", answer.Method, answer.URL, err))
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(data), failing{err}), body}
		return nil
	}
	resp.Body = body
	if answer.Cut == 0 && len(data) > 0 && isStatus(x.in.URL.Path) {
		data = p.relocate(data, x.in)
		resp.Body = io.NopCloser(bytes.NewReader(data))
		resp.ContentLength = int64(len(data))
		resp.Header.Set("Content-Length", fmt.Sprint(len(data)))
		return body.Close()
	}
	return nil
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// unanswered answers for a target that has not done so.
func (p *Proxy) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if ended(x.in.Context(), err) {
		if x.known {
			p.note(x.request.Conn, fmt.Errorf("the client has not waited for the answer to %s %s",
				x.request.Method, x.request.URL))
		}
		return
	}
	x.add(p)
	err = fmt.Errorf("the target has not answered: %w", err)
	p.note(x.request.Conn, err)
	text := "inspector: " + err.Error() + "\n"
	p.journal.Add(capture.Entry{
		Conn: x.request.Conn, Kind: capture.Response, Method: x.request.Method, URL: x.request.URL,
		Status: http.StatusBadGateway, Data: []byte(text),
	})
	http.Error(w, strings.TrimSuffix(text, "\n"), http.StatusBadGateway)
}

// connOf returns the connection of a request, and whether its answer says which session that
// is.
func (p *Proxy) connOf(r *http.Request, body []byte) (conn string, begins bool) {
	segments := strings.Split(r.URL.Path, "/")
	last := segments[len(segments)-1]
	switch {
	case r.Method == http.MethodOptions:
	case isEngineIO(r.URL):
		if sid := capture.SessionInURL(r.RequestURI); sid != "" {
			return p.names.session(engineIO(sid)), false
		}
		return p.names.next(), true
	case r.Method == http.MethodPost && (last == "polled_connections" || last == "connect"):
		return p.names.next(), true
	case r.Method == http.MethodPost && (last == "forward" || last == "poll_messages"):
		if id := connectionID(body); id != "" {
			return p.names.session(polled(id)), false
		}
	default:
		for i, segment := range segments[:len(segments)-1] {
			if segment == "polled_connections" && segments[i+1] != "" {
				return p.names.session(polled(segments[i+1])), false
			}
		}
	}
	return p.names.host(r.RemoteAddr), false
}

// bind remembers the session that an answer has begun.
func (p *Proxy) bind(conn string, body []byte) {
	if sid := capture.SessionInBody(body); sid != "" {
		p.names.bind(engineIO(sid), conn)
	}
	if id := connectionID(body); id != "" {
		p.names.bind(polled(id), conn)
	}
}

// connectionID returns the id of a polled connection of Cuttlefish in a body.
func connectionID(body []byte) string {
	var b struct {
		ID string `json:"connection_id"`
	}
	// What is no JSON has none.
	_ = json.Unmarshal(body, &b)
	return b.ID
}

// isEngineIO reports whether an address is that of Engine.IO's long polling.
func isEngineIO(u *url.URL) bool {
	q := u.Query()
	return q.Has("EIO") && q.Get("transport") != "websocket"
}

// isSignaling reports whether a request is signaling by its method or address. Others may be
// by what is answered, see isData.
func isSignaling(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions ||
		isEngineIO(r.URL) || isStatus(r.URL.Path) {
		return true
	}
	segments := strings.Split(r.URL.Path, "/")
	for i, segment := range segments {
		switch {
		case segment == "polled_connections", segment == "infra_config", segment == "galene-api":
			return true
		case segment == "devices":
			// What is below a device's files are pages.
			return len(segments) <= i+2
		case strings.HasPrefix(segment, ".whip"), strings.HasPrefix(segment, ".groups"):
			return true
		}
	}
	return false
}

// isStatus reports whether a path is that of documents in which Galène tells its address.
func isStatus(path string) bool {
	last := path[strings.LastIndexByte(path, '/')+1:]
	return last == ".status" || last == ".status.json" || last == "public-groups.json"
}

func mediaType(contentType string) string {
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil && typ == "" {
		return strings.ToLower(strings.TrimSpace(contentType))
	}
	return typ
}

// isData reports whether a type is that of signaling, and not of a page or a part of one.
func isData(contentType string) bool {
	switch mediaType(contentType) {
	case "application/json", "application/sdp", "application/trickle-ice-sdpfrag":
		return true
	}
	return false
}

// readable reports whether the body of a request is for the journal: everything that is no
// file.
func readable(contentType string, engineIO bool) bool {
	typ := mediaType(contentType)
	return engineIO || typ == "" || strings.HasPrefix(typ, "text/") || isData(contentType) ||
		typ == "application/x-www-form-urlencoded"
}

// hopByHop are the headers that are not handed on with those of a WebSocket: they belong to
// the connection on each side. Connection names more of them.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Accept-Encoding", "Date",
	"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Accept", "Sec-Websocket-Extensions",
	"Sec-Websocket-Protocol",
}

// copyHeader copies what is handed on with the handshake of a WebSocket.
func copyHeader(dst, src http.Header) {
	for name, values := range src {
		dst[name] = append([]string(nil), values...)
	}
	for _, name := range append(tokens(src.Values("Connection")), hopByHop...) {
		dst.Del(name)
	}
}

// localise has the header of an answer fit a client of the proxy.
func (p *Proxy) localise(h http.Header, r *http.Request) {
	for _, name := range []string{"Location", "Content-Location"} {
		if value := h.Get(name); value != "" {
			h.Set(name, p.local(value, r))
		}
	}
	cookies := h.Values("Set-Cookie")
	for i, cookie := range cookies {
		cookies[i] = p.localCookie(cookie, r.TLS != nil)
	}
	const allowed = "Access-Control-Allow-Origin"
	if p.isOurs(r) && h.Get(allowed) == p.origin() {
		h.Set(allowed, r.Header.Get("Origin"))
	}
}

// local returns the address at the proxy that an address of the target stands for.
func (p *Proxy) local(address string, r *http.Request) string {
	u, err := url.Parse(address)
	if err != nil || u.Host != "" && !strings.EqualFold(u.Host, p.target.Host) {
		return address
	}
	if !strings.HasPrefix(u.Path, "/") && u.Host == "" {
		return address // relative to that of the request
	}
	path := u.EscapedPath()
	if below, ok := strings.CutPrefix(path, p.target.EscapedPath()); ok && (below == "" || below[0] == '/') {
		path = below
	}
	before := ""
	if u.Host != "" {
		scheme := "http"
		if u.Scheme == "ws" || u.Scheme == "wss" {
			scheme = "ws"
		}
		if r.TLS != nil {
			scheme += "s"
		}
		before = scheme + "://" + r.Host
	}
	u.Scheme, u.Host, u.Path, u.RawPath = "", "", "", ""
	return before + path + u.String()
}

// localCookie returns a cookie that a client of the proxy keeps as it would the target's: not
// one for another domain, nor one that wants TLS where there is none.
func (p *Proxy) localCookie(cookie string, secure bool) string {
	parts := strings.Split(cookie, ";")
	kept := parts[:1]
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "domain":
			continue
		case "secure":
			if !secure {
				continue
			}
		case "samesite":
			if !secure && strings.EqualFold(strings.TrimSpace(value), "none") {
				continue
			}
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, ";")
}

// maxHost is how long the name of a host may be, with its port: so that a document that is full
// of addresses does not become many times as long.
const maxHost = 255 + len(":65535")

// relocate returns a document of Galène's with the addresses of the target made those of the
// proxy, so that clients come through it.
func (p *Proxy) relocate(data []byte, r *http.Request) []byte {
	if len(r.Host) > maxHost {
		return data
	}
	secure := ""
	if r.TLS != nil {
		secure = "s"
	}
	for _, scheme := range []string{"http", "ws"} {
		for _, s := range []string{"", "s"} {
			from := `"` + scheme + s + "://" + p.target.Host + p.target.EscapedPath() + "/"
			to := `"` + scheme + secure + "://" + r.Host + "/"
			data = bytes.ReplaceAll(data, []byte(from), []byte(to))
		}
	}
	return data
}
