package enginehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

const (
	// maxBatch is how many times ReadLimit the body of an answer may have: a
	// server sends all that waits in one, however much it is.
	maxBatch = 16
	// maxReason is how much of an answer that is no payload is read.
	maxReason = 1 << 10
)

// A poller is the client's side of a connection that began by polling.
type poller struct {
	opts   *Options
	client *http.Client
	own    *http.Transport // not nil when the client is the poller's
	url    *url.URL        // of the session
	line   *line

	ctx     context.Context // ends with the line
	stop    context.CancelFunc
	running atomic.Int32  // goroutines
	polled  chan struct{} // closed when polling has stopped
	posted  chan struct{} // closed when posting has stopped
	pausing bool          // both are to stop for the upgrade; guarded by line.mu
}

func dialPolling(ctx context.Context, u *url.URL, o *Options, upgrade bool) (transport.Conn, error) {
	p := &poller{
		opts: o, client: o.HTTPClient, url: with(u, "transport", Polling),
		polled: make(chan struct{}), posted: make(chan struct{}),
	}
	if p.client == nil {
		p.own = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLSConfig, ForceAttemptHTTP2: true}
		p.client = &http.Client{Transport: p.own}
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.line = newLine(o.Version, o, p.stop)
	h, err := p.handshake(ctx)
	if err != nil {
		p.stop()
		p.idle()
		return nil, err
	}
	p.url = with(p.url, "sid", h.SID)
	p.line.limit = h.MaxPayload
	conn := &Conn{Conn: engineio.Client(p.line, o.engine(o.Version)), line: p.line}
	p.running.Store(2)
	if upgrade && slices.Contains(h.Upgrades, WebSocket) {
		p.running.Store(3)
		go p.run(p.upgrade)
	}
	go p.run(p.polls)
	go p.run(p.posts)
	return conn, nil
}

// run calls f; after the last of its calls nothing of the polling is left.
func (p *poller) run(f func()) {
	f()
	if p.running.Add(-1) == 0 {
		p.idle()
	}
}

func (p *poller) idle() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

// handshake makes the first poll. The packets that it brings are for Read, the
// handshake too.
func (p *poller) handshake(ctx context.Context) (h engineio.Handshake, err error) {
	packets, err := p.get(ctx)
	if err != nil {
		if de, ok := errors.AsType[*DialError](err); ok {
			return h, de
		}
		return h, &DialError{Code: -1, Err: err}
	}
	if packets[0].Type != engineio.Open {
		return h, &DialError{StatusCode: http.StatusOK, Code: -1, Err: fmt.Errorf("%w: no handshake", engineio.ErrProtocol)}
	}
	if err := json.Unmarshal(packets[0].Data, &h); err != nil {
		return h, &DialError{StatusCode: http.StatusOK, Code: -1, Err: err}
	}
	for _, packet := range packets {
		p.line.in.push(packet)
	}
	return h, nil
}

// polls fetches packets until the line ends or pauses.
func (p *poller) polls() {
	defer close(p.polled)
	for !p.paused() {
		packets, err := p.get(p.ctx)
		if err != nil {
			p.line.end(failed("polling", err))
			return
		}
		closing := false
		for i, packet := range packets {
			if packet.Type == engineio.Close {
				packets, closing = packets[:i], true
				break
			}
		}
		if p.line.receive(packets, p.ctx.Done(), nil) != nil {
			return
		}
		if closing {
			p.line.end(lost())
			return
		}
	}
}

func (p *poller) paused() bool {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	return p.pausing
}

// posts sends packets until the line ends or pauses.
func (p *poller) posts() {
	defer close(p.posted)
	for {
		packets := p.next()
		if packets == nil {
			return
		}
		if err := p.post(packets); err != nil {
			p.line.end(err)
			return
		}
		if closes(packets) {
			p.line.mu.Lock()
			p.line.tell()
			p.line.mu.Unlock()
		}
	}
}

// next waits for packets to send and returns nil when posting is to stop.
func (p *poller) next() []engineio.Packet {
	l := p.line
	for {
		l.mu.Lock()
		if l.told || p.pausing {
			l.mu.Unlock()
			return nil
		}
		packets := l.take(l.limit)
		changed := l.wait()
		l.mu.Unlock()
		if len(packets) > 0 {
			return packets
		}
		<-changed
	}
}

// get makes one poll.
func (p *poller) get(ctx context.Context) ([]engineio.Packet, error) {
	resp, err := p.do(ctx, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	limit := int64(p.opts.ReadLimit) * maxBatch
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, transport.ErrMessageTooBig
	}
	packets, err := parseAnswer(p.line.version, resp.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, err
	}
	for _, packet := range packets {
		if 1+len(packet.Data) > p.opts.ReadLimit {
			return nil, transport.ErrMessageTooBig
		}
	}
	return packets, nil
}

// parseAnswer reads the packets of a server's answer.
func parseAnswer(v engineio.Version, contentType string, body []byte) ([]engineio.Packet, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err == nil && mediaType == "application/octet-stream" && v == engineio.V3 {
		return engineio.ParseBinaryPayload(body)
	}
	return engineio.ParsePayload(v, body)
}

// post sends packets in one request, which has the write time-out.
func (p *poller) post(packets []engineio.Packet) error {
	// The cause is noted before the request ends, which the server may answer
	// by ending the session.
	limit := time.AfterFunc(p.line.timeout, func() { p.line.end(transport.ErrWriteTimeout) })
	defer limit.Stop()
	resp, err := p.do(p.ctx, http.MethodPost, engineio.AppendPayload(nil, p.line.version, packets...))
	if err != nil {
		return failed("posting", err)
	}
	defer resp.Body.Close()
	// The rest of the answer is read so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReason))
	return nil
}

// do makes a request, whose answer must be 200.
func (p *poller) do(ctx context.Context, method string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, p.opts.Header)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason))
		return nil, answered(resp.StatusCode, string(reason), errors.New("the request was refused"))
	}
	return resp, nil
}

// upgrade changes to WebSocket. When the server does not answer there, polling
// goes on.
func (p *poller) upgrade() {
	ws, err := p.probe()
	if err != nil {
		p.opts.Logger.Info("enginehttp: no upgrade", "error", withoutURL(err))
		return
	}
	p.line.mu.Lock()
	p.pausing = true
	p.line.change()
	p.line.mu.Unlock()
	// The server answers the pending poll. From here on there is no way back.
	<-p.posted
	<-p.polled
	if err := p.finish(ws); err != nil {
		p.line.end(err)
		_ = ws.Close(transport.StatusAbnormal, "")
	}
}

// probe opens a WebSocket connection and tries it.
func (p *poller) probe() (transport.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.UpgradeTimeout)
	defer cancel()
	ws, err := wsconn.Dial(ctx, with(p.url, "transport", WebSocket).String(), p.opts.websocket())
	if err != nil {
		return nil, err
	}
	unwatch := context.AfterFunc(ctx, func() { ws.Close(transport.StatusAbnormal, "") })
	err = ws.Write(transport.Text, []byte("2probe"))
	if err == nil {
		err = expect(ws, "3probe")
	}
	if err == nil && unwatch() {
		return ws, nil
	}
	_ = ws.Close(transport.StatusNoStatus, "")
	return nil, errors.Join(errProbe, err)
}

// finish tells the server that polling has stopped.
func (p *poller) finish(ws transport.Conn) error {
	if p.ctx.Err() != nil {
		return lost()
	}
	if err := ws.Write(transport.Text, []byte("5")); err != nil {
		return failed("upgrade", err)
	}
	if !p.line.upgrade(ws) {
		return lost()
	}
	return nil
}

// withoutURL returns err without the address, which has the session's id.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// failed returns why a session without a word of its server's has ended.
func failed(what string, err error) error {
	if de, ok := errors.AsType[*DialError](err); ok {
		return fmt.Errorf("enginehttp: %s: %w: %s", what, lost(), de.text())
	}
	if errors.Is(err, transport.ErrMessageTooBig) || errors.Is(err, engineio.ErrProtocol) {
		return fmt.Errorf("enginehttp: %s: %w", what, err)
	}
	// The cause is only named: a request that ends with io.EOF is no orderly end.
	return fmt.Errorf("enginehttp: %s: %w: %v", what, lost(), err)
}
