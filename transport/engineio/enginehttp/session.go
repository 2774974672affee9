package enginehttp

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A session is the server's side of a connection that began by polling.
type session struct {
	h    *handler
	id   string
	line *line

	ctx  context.Context // ends with the line
	stop context.CancelFunc

	// Guarded by line.mu.
	polling  bool                // a poll is pending
	posting  bool                // a request with packets is being read
	probing  bool                // a WebSocket connection is being tried
	released bool                // it has answered, and polls are not to wait
	farewell engineio.PacketType // what a pending poll gets when the session ends
}

func newSession(h *handler, v engineio.Version) *session {
	s := &session{h: h, id: engineio.NewSID(), farewell: engineio.Close}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.line = newLine(v, h.opts, s.stop)
	return s
}

// ended reports whether the client has been told the end, or cannot be.
func (s *session) ended() bool {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.line.told
}

// serveHTTP serves a polling request of an existing session.
func (s *session) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.line.up.Load() != nil:
		s.h.refuse(w, r, badRequest)
	case r.Method == http.MethodGet:
		s.poll(w, r)
	case r.Method == http.MethodPost:
		s.post(w, r)
	default:
		s.h.refuse(w, r, badRequest)
	}
}

// poll answers with what is to be sent, once there is something.
func (s *session) poll(w http.ResponseWriter, r *http.Request) {
	l := s.line
	rc := http.NewResponseController(w)
	// In HTTP/2 the server's WriteTimeout would end the poll. A writer that has
	// no deadlines needs no change.
	_ = rc.SetWriteDeadline(time.Time{})

	l.mu.Lock()
	if s.polling {
		l.endLocked(lost())
		l.mu.Unlock()
		respond(w, http.StatusBadRequest, "", nil)
		return
	}
	if l.told {
		l.mu.Unlock()
		s.h.refuse(w, r, unknownSession)
		return
	}
	s.polling = true
	packets := s.next()
	for packets == nil {
		changed := l.wait()
		l.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			// Nobody else polls for this client: it has gone.
			l.end(lost())
		}
		l.mu.Lock()
		packets = s.next()
	}
	s.polling = false
	l.change()
	l.mu.Unlock()

	_ = rc.SetWriteDeadline(time.Now().Add(l.timeout))
	respond(w, http.StatusOK, "text/plain; charset=UTF-8", engineio.AppendPayload(nil, l.version, packets...))
	if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		l.end(lost())
	}
	_ = rc.SetWriteDeadline(time.Time{})
}

// next returns what the pending poll is answered with, nil while there is
// nothing. It is called with line.mu held.
func (s *session) next() []engineio.Packet {
	l := s.line
	if packets := l.take(0); len(packets) > 0 {
		if closes(packets) {
			l.tell()
		}
		return packets
	}
	switch {
	case l.told:
		return []engineio.Packet{{Type: s.farewell}}
	case l.up.Load() != nil, s.released:
		return []engineio.Packet{{Type: engineio.Noop}}
	}
	return nil
}

// post takes packets in.
func (s *session) post(w http.ResponseWriter, r *http.Request) {
	l := s.line
	l.mu.Lock()
	if s.posting {
		// What came first could not be told.
		l.endLocked(lost())
		l.mu.Unlock()
		respond(w, http.StatusBadRequest, "", nil)
		return
	}
	s.posting = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.posting = false
	}()

	body, err := s.body(w, r)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			respond(w, http.StatusRequestEntityTooLarge, "", nil)
			return
		}
		l.end(lost())
		respond(w, http.StatusBadRequest, "", nil)
		return
	}
	packets, err := parseBody(l.version, r.Header.Get("Content-Type"), body)
	if err != nil {
		s.h.opts.Logger.Info("enginehttp: bad packets", "remote", r.RemoteAddr, "error", err)
		l.end(err)
		respond(w, http.StatusBadRequest, "", nil)
		return
	}
	if err := s.receive(r, packets); err != nil {
		respond(w, http.StatusBadRequest, "", nil)
		return
	}
	respond(w, http.StatusOK, "text/html", []byte("ok"))
}

// body reads the body of a request, which must have come before the session ends. Who is
// slow with one cannot send heartbeats meanwhile.
func (s *session) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc, done := http.NewResponseController(w), make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		defer close(done)
		_ = rc.SetReadDeadline(time.Now())
	})
	defer func() {
		if !stop() {
			<-done // w is not to be used afterwards
		}
	}()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.h.opts.ReadLimit)))
}

// receive hands packets to the session up to a Close packet, which ends it.
func (s *session) receive(r *http.Request, packets []engineio.Packet) error {
	l := s.line
	closing := false
	for i, p := range packets {
		if p.Type == engineio.Close {
			packets, closing = packets[:i], true
			break
		}
	}
	limit := time.NewTimer(l.timeout)
	defer limit.Stop()
	if err := l.receive(packets, r.Context().Done(), limit.C); err != nil {
		return err
	}
	if closing {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.farewell = engineio.Noop
		l.endLocked(lost())
	}
	return nil
}

// parseBody reads the packets of a client's body.
func parseBody(v engineio.Version, contentType string, body []byte) ([]engineio.Packet, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err == nil && mediaType == "application/octet-stream" {
		if v != engineio.V3 {
			return nil, engineio.ErrProtocol
		}
		return engineio.ParseBinaryPayload(body)
	}
	packets, err := engineio.ParsePayload(v, body)
	if v == engineio.V3 {
		for i, p := range packets {
			if !p.Binary {
				packets[i].Data = engineio.UndoDoubleUTF8(p.Data)
			}
		}
	}
	return packets, err
}

// probe tries a WebSocket connection, to which the session changes once the
// client says so.
func (s *session) probe(w http.ResponseWriter, r *http.Request) {
	l := s.line
	l.mu.Lock()
	busy := s.probing || l.cause != nil || l.up.Load() != nil
	if !busy {
		s.probing = true
	}
	l.mu.Unlock()
	if busy {
		s.h.refuse(w, r, badRequest)
		return
	}
	ws, err := wsconn.Accept(w, r, s.h.opts.websocket())
	if err != nil {
		s.h.opts.Logger.Info("enginehttp: upgrade refused", "remote", r.RemoteAddr, "error", err)
		s.unprobe()
		return
	}
	go s.upgrade(ws)
}

// unprobe ends the try.
func (s *session) unprobe() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.probing, s.released = false, false
}

func (s *session) upgrade(ws transport.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, s.h.opts.UpgradeTimeout)
	defer cancel()
	// The client learns no reason, as from the Node server.
	unwatch := context.AfterFunc(ctx, func() { ws.Close(transport.StatusAbnormal, "") })
	err := s.handshake(ws)
	if err == nil && unwatch() && s.line.upgrade(ws) {
		s.unprobe()
		return
	}
	s.unprobe()
	_ = ws.Close(transport.StatusNoStatus, "")
}

var errProbe = errors.New("enginehttp: no upgrade")

// handshake speaks as the server what precedes the change.
func (s *session) handshake(ws transport.Conn) error {
	if err := expect(ws, "2probe"); err != nil {
		return err
	}
	if err := ws.Write(transport.Text, []byte("3probe")); err != nil {
		return err
	}
	// The client sends the end of the upgrade when its poll was answered.
	s.line.mu.Lock()
	s.released = true
	s.line.change()
	s.line.mu.Unlock()
	return expect(ws, "5")
}

// expect reads a packet that must be the one given.
func expect(ws transport.Conn, packet string) error {
	typ, frame, err := ws.Read(nil)
	if err != nil {
		return err
	}
	if typ != transport.Text || string(frame) != packet {
		return errProbe
	}
	return nil
}
