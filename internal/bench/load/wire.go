package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A wire is the client's end of a WebSocket, as cheap as one can be: frames are made in advance,
// with the masking key 0, and what is read stays in one buffer. One goroutine may read while
// another one writes.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

// A link is one end of a connection of whole messages.
type link interface {
	// frame makes what write writes of a message.
	frame(text string) []byte
	write(frames []byte) error
	read() ([]byte, error)
	// readBefore bounds the reads from now on; the zero time does not.
	readBefore(time.Time) error
	close()
}

// errClosed is the end of a wire by a close frame.
type errClosed struct{ code int }

func (e errClosed) Error() string { return fmt.Sprintf("closed with %d", e.code) }

// dialTime bounds the handshake.
const dialTime = 10 * time.Second

// dial opens a wire to an address such as ws://127.0.0.1:80/path.
func dial(address string, subprotocol string) (*wire, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", u.Host, dialTime)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(dialTime)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	request := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w := &wire{conn: conn, r: bufio.NewReaderSize(conn, 16<<10)}
	resp, err := http.ReadResponse(w.r, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

func (w *wire) frame(text string) []byte { return rawFrame(opText, []byte(text)) }

func (w *wire) readBefore(t time.Time) error { return w.conn.SetReadDeadline(t) }

func rawFrame(op byte, payload []byte) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...) // the masking key, which changes nothing
}

// write writes frames.
func (w *wire) write(frames []byte) error {
	_, err := w.conn.Write(frames)
	return err
}

// read returns the next message, which is valid until the next read. Pings are answered.
func (w *wire) read() ([]byte, error) {
	w.buf = w.buf[:0]
	for {
		op, final, err := w.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case opPing:
			// The payloads of the servers' pings are empty or short, and messages are whole.
			err := w.write(rawFrame(opPong, w.buf))
			if w.buf = w.buf[:0]; err != nil {
				return nil, err
			}
		case opPong:
			w.buf = w.buf[:0]
		case opClose:
			e := errClosed{1005}
			if len(w.buf) >= 2 {
				e.code = int(binary.BigEndian.Uint16(w.buf))
			}
			return nil, e
		default:
			if final {
				return w.buf, nil
			}
		}
	}
}

// readFrame appends the payload of a frame to the buffer.
func (w *wire) readFrame() (op byte, final bool, err error) {
	head, err := w.r.Peek(2)
	if err != nil {
		return 0, false, err
	}
	op, final = head[0]&0xf, head[0]&0x80 != 0
	size := uint64(head[1] & 0x7f)
	skip := 2
	switch size {
	case 126:
		if head, err = w.r.Peek(4); err != nil {
			return 0, false, err
		}
		size, skip = uint64(binary.BigEndian.Uint16(head[2:])), 4
	case 127:
		if head, err = w.r.Peek(10); err != nil {
			return 0, false, err
		}
		size, skip = binary.BigEndian.Uint64(head[2:]), 10
	}
	if size > 64<<20 {
		return 0, false, fmt.Errorf("a frame of %d bytes", size)
	}
	if _, err := w.r.Discard(skip); err != nil {
		return 0, false, err
	}
	n := len(w.buf)
	if need := n + int(size); need > cap(w.buf) {
		w.buf = append(make([]byte, 0, need), w.buf...)
	}
	w.buf = w.buf[:n+int(size)]
	_, err = io.ReadFull(w.r, w.buf[n:])
	return op, final, err
}

func (w *wire) close() { _ = w.conn.Close() }

// A packet is the client's end of a unix socket of whole messages.
type packet struct {
	conn *net.UnixConn
	buf  []byte
}

func dialPacket(path string) (*packet, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	return &packet{conn, make([]byte, 1<<20)}, err
}

func (p *packet) frame(text string) []byte { return []byte(text) }

func (p *packet) write(frames []byte) error {
	_, err := p.conn.Write(frames)
	return err
}

func (p *packet) read() ([]byte, error) {
	n, err := p.conn.Read(p.buf)
	return p.buf[:n], err
}

func (p *packet) readBefore(t time.Time) error { return p.conn.SetReadDeadline(t) }

func (p *packet) close() { _ = p.conn.Close() }

// expect reads until a message contains a text, and returns a copy of it.
func expect(l link, text string) ([]byte, error) {
	if err := l.readBefore(time.Now().Add(dialTime)); err != nil {
		return nil, err
	}
	for {
		m, err := l.read()
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", text, err)
		}
		if bytes.Contains(m, []byte(text)) {
			return bytes.Clone(m), l.readBefore(time.Time{})
		}
	}
}

// say writes messages.
func say(l link, texts ...string) error {
	for _, text := range texts {
		if err := l.write(l.frame(text)); err != nil {
			return err
		}
	}
	return nil
}
