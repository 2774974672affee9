package wsconn

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/coder/websocket"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The sizes of an accepted connection's buffers, which it keeps while it is idle;
// net/http's have 4 KiB each. What does not fit that for writing is held back in a
// buffer of all connections, see [netConn], so that it only has to be large enough
// for control frames.
const (
	readBuffer  = 1024
	writeBuffer = frameHeader + 2 + maxReason
)

// kernelBuffer is about how many bytes the system takes for a peer that does not
// read, before it is noticed. By itself Linux takes several MiB.
const kernelBuffer = 256 << 10

// Accept makes a WebSocket connection of a request. When it fails it has
// answered the request. The connection outlives the handler, and costs less
// once the handler has returned: net/http keeps its own buffers until then.
func Accept(w http.ResponseWriter, r *http.Request, opts *Options) (transport.Conn, error) {
	return accept(w, r, opts.withDefaults())
}

func accept(w http.ResponseWriter, r *http.Request, o *Options) (transport.Conn, error) {
	h := &hijacker{ResponseWriter: w, opts: o}
	if hijackable(w) {
		w = h
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       o.Subprotocols,
		OriginPatterns:     o.OriginPatterns,
		InsecureSkipVerify: o.AllowAnyOrigin,
	})
	if err != nil {
		return nil, fmt.Errorf("wsconn: accept: %w", err)
	}
	return batchConn{newConn(ws, h.conn, o)}, nil
}

// A hijacker makes coder/websocket work on a netConn.
type hijacker struct {
	http.ResponseWriter
	opts *Options
	conn *netConn
}

// Hijack takes the network connection over from the HTTP server.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, err := brw.Reader.Peek(brw.Reader.Buffered())
	if err != nil {
		raw.Close()
		return nil, nil, err
	}
	nc := &netConn{Conn: raw, timeout: h.opts.WriteTimeout, buffer: writeBuffer, early: slices.Clone(early)}
	if c, ok := nc.lowest().(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(kernelBuffer) // one that is broken shows it elsewhere
	}
	h.conn = nc
	return nc, bufio.NewReadWriter(bufio.NewReaderSize(nc, readBuffer), bufio.NewWriterSize(nc, writeBuffer)), nil
}

// WriteHeaderNow exists for gin, whose ResponseWriter sends the header only
// when asked so; coder/websocket asks whatever writer it is given.
func (h *hijacker) WriteHeaderNow() {
	if w, ok := h.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		w.WriteHeaderNow()
	}
}

// hijackable reports whether w or a writer that it wraps is an http.Hijacker.
// Without this check a writer that is none would be answered 101 first.
func hijackable(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}
