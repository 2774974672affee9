package mediasoupproto

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// socketIO is the framing of Socket.IO, protocols 5 and 4.
type socketIO struct{}

func (socketIO) Open(conn transport.Conn, client bool) transport.Conn {
	return &socketIOConn{Conn: conn, client: client, version: socketio.Version(conn)}
}

func (socketIO) Parse(typ transport.MessageType, data []byte) (f Frame, err error) {
	if typ == transport.Binary {
		return f, errBinary
	}
	p, err := socketio.Parse(data)
	if err != nil {
		return f, err
	}
	switch {
	case p.Type != socketio.Event && p.Type != socketio.Ack:
		return f, errNoKind
	case p.Namespace != "" && p.Namespace != socketio.Default:
		return f, socketio.ErrNamespace
	}
	args, err := socketio.Arguments(p)
	if err != nil {
		return f, err
	}
	if len(args) > 1 {
		if err := jsonx.CheckAt(args[1], payloadLevel-1); err != nil { // as deep as in other framings
			return f, err
		}
	}
	f.ID = ID(p.ID.String())
	if p.Type == socketio.Ack {
		f.Kind = FrameResponse
		if f.ID == "" {
			return f, errNoKind
		}
		if len(args) > 0 && truthy(args[0]) {
			f.Error = &Error{Code: CodeFailed, Reason: reasonOf(args[0])}
			return f, nil
		}
		if len(args) > 1 && truthy(args[1]) {
			f.Data = args[1]
		}
		return f, nil
	}
	name, ok := jsonx.Text(args[0])
	if !ok {
		return f, &jsonx.Error{Field: "method", Err: jsonx.ErrType}
	}
	f.Method = string(name)
	if len(args) > 1 && truthy(args[1]) {
		f.Data = args[1]
	}
	switch {
	case f.Method == MethodNotification:
		f.Kind = FrameNotification
	case f.Method != MethodRequest && f.ID == "":
		f.Kind = FrameNotification
	case f.ID == "":
		return f, &jsonx.Error{Field: "id", Err: jsonx.ErrMissing}
	default:
		f.Kind = FrameRequest
	}
	return f, nil
}

// reasonOf returns the text of an error, which may be an object with a message.
func reasonOf(value json.RawMessage) string {
	if text, ok := jsonx.Text(value); ok {
		return string(text)
	}
	if jsonx.IsObject(value) {
		if message, ok := jsonx.Peek(value, "message"); ok {
			if text, ok := jsonx.Text(message); ok {
				return string(text)
			}
		}
	}
	return string(value)
}

func (socketIO) AppendHead(dst []byte, f *Frame) ([]byte, error) {
	p := socketio.Packet{Type: socketio.Event}
	if f.Kind == FrameResponse {
		p.Type = socketio.Ack
	}
	if f.ID != "" {
		n, err := strconv.ParseUint(string(f.ID), 10, 63)
		if err != nil {
			return dst, &jsonx.Error{Field: "id", Err: jsonx.ErrRange}
		}
		p.ID = socketio.NewID(n)
	}
	dst = socketio.Append(dst, p)
	if f.Kind == FrameResponse {
		if f.Error == nil {
			return append(dst, `[null,`...), nil
		}
		return jsonx.AppendString(append(dst, '['), f.Error.text())
	}
	if socketio.Reserved(f.Method) {
		return dst, &jsonx.Error{Field: "method", Err: errReserved}
	}
	dst, err := jsonx.AppendString(append(dst, '['), f.Method)
	if err != nil {
		return dst, &jsonx.Error{Field: "method", Err: err}
	}
	return append(dst, ','), nil
}

func (socketIO) AppendTail(dst []byte, _ *Frame) []byte { return append(dst, ']') }

// A socketIOConn opens the namespace and hands on what comes in it.
type socketIOConn struct {
	transport.Conn
	client  bool
	version int // of Engine.IO
	open    atomic.Bool
	begin   sync.Once

	mu      sync.Mutex // Read answers what opens the connection, beside the writer
	waiting [][]byte   // written before the server has opened the namespace
}

// Unwrap returns the connection that carries the packets.
func (c *socketIOConn) Unwrap() transport.Conn { return c.Conn }

// Read implements [transport.Conn].
func (c *socketIOConn) Read(buf []byte) (transport.MessageType, []byte, error) {
	return c.ReadLazy(func() []byte { return buf })
}

// ReadLazy implements [transport.LazyReader].
func (c *socketIOConn) ReadLazy(buffer func() []byte) (transport.MessageType, []byte, error) {
	var err error
	c.begin.Do(func() { err = c.start() })
	if err != nil {
		return 0, nil, err
	}
	for {
		typ, msg, err := transport.ReadLazy(c.Conn, buffer)
		if err != nil || typ != transport.Text || len(msg) == 0 {
			return typ, msg, err
		}
		switch socketio.Type(msg[0]) {
		case socketio.Connect:
			if err := c.connected(msg); err != nil {
				return 0, nil, err
			}
		case socketio.Disconnect, socketio.ConnectError:
			return 0, nil, &transport.CloseError{Code: transport.StatusNormal, Reason: "disconnected"}
		default:
			if !c.open.Load() {
				return 0, nil, &transport.CloseError{Code: transport.StatusProtocolError, Reason: "not connected"}
			}
			return typ, msg, nil
		}
	}
}

// start is what the side that begins says. Under Engine.IO 3 that is the server.
func (c *socketIOConn) start() error {
	if c.client == (c.version == 3) {
		return nil
	}
	if c.version == 3 {
		return c.opened([]byte{byte(socketio.Connect)})
	}
	go c.write([]byte{byte(socketio.Connect)}) // the server may be writing, and reads afterwards
	return nil
}

// connected takes a connect packet: the other side's, or the answer to one's own.
func (c *socketIOConn) connected(msg []byte) error {
	p, err := socketio.Parse(msg)
	if err == nil {
		err = socketio.CheckPayload(p)
	}
	if err != nil || p.Namespace != "" && p.Namespace != socketio.Default || c.open.Load() {
		return &transport.CloseError{Code: transport.StatusProtocolError, Reason: "wrong connect packet"}
	}
	if c.client {
		return c.opened(nil)
	}
	return c.opened([]byte(`0{"sid":"` + socketIOSession() + `"}`))
}

// opened says so, and then what has been waiting for it.
func (c *socketIOConn) opened(hello []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open.Store(true)
	waiting := c.waiting
	c.waiting = nil
	if hello != nil {
		waiting = append([][]byte{hello}, waiting...)
	}
	for _, msg := range waiting {
		if err := c.Conn.Write(transport.Text, msg); err != nil {
			return err
		}
	}
	return nil
}

func (c *socketIOConn) write(msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.Write(transport.Text, msg)
}

// maxWaiting bounds what is written before the namespace is open.
const maxWaiting = 64

// Write implements [transport.Conn]. What is written early goes out later.
func (c *socketIOConn) Write(typ transport.MessageType, msg []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Load() {
		return c.Conn.Write(typ, msg)
	}
	if len(c.waiting) >= maxWaiting {
		return errNotOpen
	}
	c.waiting = append(c.waiting, append([]byte(nil), msg...))
	return nil
}
