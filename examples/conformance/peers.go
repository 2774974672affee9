package main

import (
	"context"
	"embed"
	"errors"
	"net/url"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

//go:embed cases
var cases embed.FS

// load reads the cases of a protocol.
func load(p *suite.Protocol) (*suite.Protocol, error) {
	return p, p.Load(cases, "cases/"+p.Name)
}

// A connPeer is a peer on a connection of whole messages.
type connPeer struct {
	conn   transport.Conn
	say    func(label, text string) []byte // what is sent
	hear   func(typ transport.MessageType, data []byte) (suite.Event, bool)
	events chan suite.Event
	done   chan struct{}
}

// newConnPeer reads from conn. say and hear may be nil, for messages that are what they are, and
// texts; hear reports false for what is no event.
func newConnPeer(
	conn transport.Conn, say func(label, text string) []byte,
	hear func(typ transport.MessageType, data []byte) (suite.Event, bool),
) *connPeer {
	if hear == nil {
		hear = hearText
	}
	p := &connPeer{conn: conn, say: say, hear: hear, events: make(chan suite.Event), done: make(chan struct{})}
	go p.read()
	return p
}

// hearText hears messages as they are. Clients in browsers take no binary ones for JSON.
func hearText(typ transport.MessageType, data []byte) (suite.Event, bool) {
	if typ != transport.Text {
		return suite.Event{Label: "binary", Data: data}, true
	}
	return suite.Event{Data: data}, true
}

func (p *connPeer) read() {
	defer close(p.events)
	for {
		typ, data, err := p.conn.Read(nil)
		var event suite.Event
		ok := true
		switch closed, isClosed := errors.AsType[*transport.CloseError](err); {
		case isClosed:
			event = suite.Event{Closed: true, Code: int(closed.Code)}
		case err != nil && p.over():
			event = suite.Event{Closed: true, Code: int(transport.StatusAbnormal)}
		case err != nil: // the server has not closed it: it was closed because of the server
			event = suite.Event{Label: "what cannot be: " + err.Error()}
		default:
			event, ok = p.hear(typ, data)
		}
		if ok {
			select {
			case p.events <- event:
			case <-p.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// over reports whether we have ended the connection.
func (p *connPeer) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *connPeer) Send(label, text string) error {
	if p.say != nil {
		return p.conn.Write(transport.Text, p.say(label, text))
	}
	return p.conn.Write(transport.Text, []byte(text))
}

func (p *connPeer) SendRaw(data []byte, binary bool) error {
	if binary {
		return p.conn.Write(transport.Binary, data)
	}
	return p.conn.Write(transport.Text, data)
}

func (p *connPeer) Events() <-chan suite.Event { return p.events }

func (p *connPeer) Close(code int) error { return p.end(transport.StatusCode(code)) }

func (p *connPeer) Cut() error { return p.end(transport.StatusAbnormal) }

func (p *connPeer) end(code transport.StatusCode) error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return p.conn.Close(code, "")
}

// dialWebSocket opens a WebSocket. A server's refusal is a *suite.Refusal.
func dialWebSocket(ctx context.Context, address string, subprotocols ...string) (transport.Conn, error) {
	conn, err := wsconn.Dial(ctx, address, &wsconn.Options{
		Subprotocols: subprotocols, ReadLimit: readLimit, WriteTimeout: closeTime, PingInterval: -1,
	})
	if e, ok := errors.AsType[*wsconn.DialError](err); ok && e.StatusCode != 0 {
		return nil, &suite.Refusal{Status: e.StatusCode}
	}
	return conn, err
}

// readLimit is more than any server says at once.
const readLimit = 4 << 20

// join returns the address of a path on a server.
func join(server, path string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	return u.JoinPath(strings.Split(path, "/")...).String(), nil
}
