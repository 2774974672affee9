package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// sockets are the options of both sides. Nothing of them may end a connection that would
// live without the proxy: a client may stand in a debugger for as long as its server lets it,
// so that it is pinged by its server or by nobody, and TCP finds out who has vanished.
var sockets = wsconn.Options{
	ReadLimit:        MaxData,
	WriteTimeout:     24 * time.Hour,
	PingInterval:     -1,
	HandshakeTimeout: 15 * time.Second,
	AllowAnyOrigin:   true, // the target decides
}

// A session is a WebSocket on both sides of the proxy.
type session struct {
	p              *Proxy
	conn           string
	client, target *socket
	end            sync.Once
}

// A socket is one side of a session.
type socket struct {
	transport.Conn
	raw *rawConn
}

// A rawConn is the network connection beneath a socket.
type rawConn struct {
	net.Conn
	ended atomic.Bool // reading it has failed
}

func (c *rawConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		return n, nil // an error comes again
	}
	if err != nil {
		c.ended.Store(true)
	}
	return n, err
}

// cut ends the connection without a word. That of TLS would wait for one who does not read.
func (c *rawConn) cut() {
	raw := c.Conn
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	raw.Close()
}

// Read returns the next message. The end of the network connection inside of one is none.
func (s *socket) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := s.Conn.Read(buf)
	if err == nil && s.raw.ended.Load() {
		return 0, nil, &transport.CloseError{Code: transport.StatusAbnormal}
	}
	return typ, msg, err
}

// Close ends the connection as a peer has ended its own.
func (s *socket) Close(code transport.StatusCode, reason string) error {
	if code == transport.StatusAbnormal {
		s.raw.cut()
	}
	limit := time.AfterFunc(closeTimeout, s.raw.cut)
	defer limit.Stop()
	return s.Conn.Close(code, reason)
}

// webSocket opens a WebSocket to the target, and if that lets it, one to the client.
func (p *Proxy) webSocket(w http.ResponseWriter, r *http.Request) {
	var conn string
	if sid := capture.SessionInURL(r.RequestURI); sid != "" {
		conn = p.names.session(engineIO(sid))
	} else {
		conn = p.names.next()
	}
	open := capture.Entry{
		Conn: conn, Kind: capture.Open, From: capture.Client,
		Method: r.Method, URL: r.RequestURI, Header: headerOf(r.Header),
	}
	target, answer, err := p.dial(r)
	if err != nil {
		p.refuse(w, r, open, answer, err)
		return
	}
	var agreed []string
	if protocol := wsconn.Subprotocol(target.Conn); protocol != "" {
		agreed = []string{protocol}
		open.Header[capture.AgreedSubprotocol] = protocol
	}
	p.journal.Add(open)

	copyHeader(w.Header(), answer.header)
	p.localise(w.Header(), r)
	h := &hijacker{ResponseWriter: w}
	opts := sockets
	opts.Subprotocols = agreed
	accepted, err := wsconn.Accept(h, r, &opts)
	if err != nil {
		p.note(conn, err)
		_ = target.Close(transport.StatusAbnormal, "")
		return
	}
	s := &session{p: p, conn: conn, client: &socket{accepted, h.raw}, target: target}
	if !p.begin(s) {
		s.goAway()
	}
}

// begin lets a session run, unless the proxy has been closed.
func (p *Proxy) begin(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.sessions[s] = struct{}{}
	p.wg.Go(s.run)
	return true
}

// A hijacker keeps the network connection that is taken from the HTTP server.
type hijacker struct {
	http.ResponseWriter
	raw *rawConn
}

// Hijack takes the network connection over.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.raw = &rawConn{Conn: raw}
	return h.raw, brw, nil
}

// dial opens a WebSocket to the target as the client has asked for one. If there is an answer
// of the target, it is in the dialer.
func (p *Proxy) dial(r *http.Request) (*socket, *dialer, error) {
	d := &dialer{tls: p.tls}
	opts := sockets
	opts.Header = make(http.Header)
	copyHeader(opts.Header, r.Header)
	p.disguise(opts.Header, r)
	opts.Subprotocols = tokens(r.Header.Values("Sec-WebSocket-Protocol"))
	opts.HTTPClient = &http.Client{
		Transport:     d,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	conn, err := wsconn.Dial(r.Context(), p.address(r).String(), &opts)
	if err != nil {
		return nil, d, err
	}
	return &socket{conn, d.raw}, d, nil
}

// A dialer makes one handshake. It keeps the network connection and the answer, of which
// wsconn tells no header, and of its body 1 KiB only.
type dialer struct {
	tls    *tls.Config
	raw    *rawConn
	status int // 0 without an answer
	header http.Header
	body   []byte // of an answer that opens no WebSocket
}

// refused reports whether the target has answered, and with something else than a WebSocket.
func (d *dialer) refused() bool { return d.status >= http.StatusOK }

func (d *dialer) RoundTrip(r *http.Request) (*http.Response, error) {
	var network net.Dialer
	t := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true, // it is used once
		TLSClientConfig:   d.tls.Clone(),
		DialContext: func(ctx context.Context, netw, addr string) (net.Conn, error) {
			raw, err := network.DialContext(ctx, netw, addr)
			if err != nil {
				return nil, err
			}
			d.raw = &rawConn{Conn: raw}
			return d.raw, nil
		},
		// A close of TLS ends a connection as that of TCP does, and has to be seen as well.
		DialTLSContext: func(ctx context.Context, netw, addr string) (net.Conn, error) {
			raw, err := (&tls.Dialer{NetDialer: &network, Config: d.tls}).DialContext(ctx, netw, addr)
			if err != nil {
				return nil, err
			}
			d.raw = &rawConn{Conn: raw}
			return d.raw, nil
		},
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	d.status, d.header = resp.StatusCode, resp.Header
	if !d.refused() {
		return resp, nil
	}
	defer resp.Body.Close()
	// What came before an error is what there is to hand on.
	d.body, _ = io.ReadAll(io.LimitReader(resp.Body, MaxData))
	resp.Body = io.NopCloser(bytes.NewReader(d.body))
	return resp, nil
}

// refuse hands on that the target has opened no WebSocket.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, open capture.Entry, answer *dialer, err error) {
	if ended(r.Context(), err) {
		p.note(open.Conn, errors.New("the client has gone before the target opened its WebSocket"))
		return
	}
	if !answer.refused() {
		open.Status = http.StatusBadGateway
		p.journal.Add(open)
		p.note(open.Conn, fmt.Errorf("there is no connection to the target: %w", err))
		http.Error(w, "inspector: there is no connection to the target: "+err.Error(), open.Status)
		return
	}
	open.Status, open.Data = answer.status, answer.body
	for name, value := range headerOf(answer.header) {
		if _, ok := open.Header[name]; !ok {
			open.Header[name] = value
		}
	}
	p.journal.Add(open)
	copyHeader(w.Header(), answer.header)
	p.localise(w.Header(), r)
	w.WriteHeader(answer.status)
	// Nobody is left to be told that this has failed.
	_, _ = w.Write(answer.body)
}

// run copies messages in both directions until a side ends.
func (s *session) run() {
	defer func() {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		delete(s.p.sessions, s)
	}()
	var copying sync.WaitGroup
	copying.Go(func() { s.copy(capture.Client, s.client, s.target) })
	s.copy(capture.Server, s.target, s.client)
	copying.Wait()
}

// copy hands messages of one side on to the other. One that is not read holds up the side
// that it comes from, as without a proxy.
func (s *session) copy(from capture.Side, src, dst *socket) {
	var buf []byte
	for {
		typ, msg, err := src.Read(buf)
		if err != nil {
			s.ended(from, src, dst, err)
			return
		}
		s.p.journal.Add(capture.Entry{
			Conn: s.conn, Kind: capture.Message, From: from, Data: msg, Binary: typ == transport.Binary,
		})
		if err := dst.Write(typ, msg); err != nil {
			// Whoever reads dst learns why it has ended, but not if only writing fails.
			time.AfterFunc(closeTimeout, dst.raw.cut)
			return
		}
		if buf = msg; cap(buf) > 1<<20 {
			buf = nil // few messages are that long
		}
	}
}

// ended ends the session after its first error of reading.
func (s *session) ended(from capture.Side, src, dst *socket, err error) {
	s.end.Do(func() {
		code, reason := transport.StatusAbnormal, ""
		entry := capture.Entry{Conn: s.conn, Kind: capture.Close, From: from}
		if ce, ok := errors.AsType[*transport.CloseError](err); ok {
			code, reason = ce.Code, ce.Reason
		} else {
			s.p.note(s.conn, fmt.Errorf("the %s's connection is cut: %w", from, err))
			entry.From = ""
		}
		entry.Code, entry.Reason = int(code), reason
		s.p.journal.Add(entry)
		var closing sync.WaitGroup
		closing.Go(func() { _ = dst.Close(code, reason) })
		// If it has sent a close frame, that was answered; if it broke the rules, it was told.
		closing.Go(func() { _ = src.Close(transport.StatusNormal, "") })
		closing.Wait()
	})
}

// goAway ends the session for the end of the proxy.
func (s *session) goAway() {
	s.end.Do(func() {
		s.p.journal.Add(capture.Entry{
			Conn: s.conn, Kind: capture.Close, Code: int(transport.StatusGoingAway), Reason: errClosed.Error(),
		})
		var closing sync.WaitGroup
		for _, side := range []*socket{s.client, s.target} {
			closing.Go(func() { _ = side.Close(transport.StatusGoingAway, errClosed.Error()) })
		}
		closing.Wait()
	})
}
