package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// easyrtcProtocol has peers of these kinds, over WebSocket unless -param polling=yes is given, and
// of Engine.IO 4 unless -param eio=3 is:
//
//	open                    a client in the default namespace of Socket.IO
//	open raw                one that has not asked for it yet
//
// Labels are the names of events, which want an acknowledgement unless ! stands behind the name.
// An acknowledgement has the label ack; disconnected and connected are Socket.IO's. What is raw is
// a packet of Socket.IO.
func easyrtcProtocol() (*suite.Protocol, error) {
	return load(&suite.Protocol{
		Name: "easyrtc",
		References: []suite.Reference{
			{Name: suite.Document, Title: "the protocol document"},
			{Name: "open-easyrtc", Title: "open-easyrtc 2.1.8 on Socket.IO 4.8.4"},
			{Name: "rtcsignal", Title: "package easyrtc of this module"},
		},
		Dial: dialEasyRTC,
	})
}

// An easyrtcPeer numbers its events.
type easyrtcPeer struct {
	*connPeer
	events uint64

	mu    sync.Mutex
	asked map[uint64]bool // the numbers of events without an acknowledgement
}

func dialEasyRTC(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
	raw := len(args) == 1 && args[0] == "raw"
	if len(args) > 0 && !raw {
		return nil, fmt.Errorf("cannot open %q", args)
	}
	opts := &enginehttp.Options{ReadLimit: readLimit, WriteTimeout: closeTime}
	if server.Params["eio"] == "3" {
		opts.Version = engineio.V3
	}
	if server.Params["polling"] == "yes" {
		opts.Transports = []string{enginehttp.Polling}
	}
	conn, err := enginehttp.Dial(ctx, server.URL, opts)
	if e, ok := errors.AsType[*enginehttp.DialError](err); ok && e.StatusCode != 0 {
		return nil, &suite.Refusal{Status: e.StatusCode}
	}
	if err != nil {
		return nil, err
	}
	p := &easyrtcPeer{asked: make(map[uint64]bool)}
	if !raw {
		if err := connectSocketIO(ctx, conn, opts.Version); err != nil {
			_ = conn.Close(transport.StatusAbnormal, "")
			return nil, err
		}
	}
	var packets socketio.Assembler
	p.connPeer = newConnPeer(conn, p.packet, func(typ transport.MessageType, data []byte) (suite.Event, bool) {
		text, _, ok, err := packets.Feed(typ, data)
		if err != nil {
			return suite.Event{Data: data}, true
		}
		return p.hear(text), ok
	})
	return p, nil
}

// connectSocketIO asks for the default namespace. Socket.IO 2 is in there at once.
func connectSocketIO(ctx context.Context, conn transport.Conn, version engineio.Version) error {
	if version != engineio.V3 {
		if err := conn.Write(transport.Text, []byte("0")); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close(transport.StatusAbnormal, "") })()
	_, data, err := conn.Read(nil)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(data), "0") {
		return fmt.Errorf("in place of the namespace: %q", data)
	}
	return nil
}

// packet makes an event of Socket.IO.
func (p *easyrtcPeer) packet(label, text string) []byte {
	packet := socketio.Packet{Type: socketio.Event}
	name, silent := strings.CutSuffix(label, "!")
	if !silent {
		packet.ID = socketio.NewID(p.events)
		p.mu.Lock()
		p.asked[p.events] = true
		p.mu.Unlock()
		p.events++
	}
	packet.Data = []byte(`["` + name + `"]`)
	if text != "" {
		packet.Data = []byte(`["` + name + `",` + text + `]`)
	}
	return socketio.Append(nil, packet)
}

// hear takes a packet. What belongs to another namespace, or acknowledges no event, is what it is.
func (p *easyrtcPeer) hear(text []byte) suite.Event {
	packet, err := socketio.Parse(text)
	if err != nil || packet.Namespace != "" && packet.Namespace != socketio.Default {
		return suite.Event{Data: text}
	}
	arguments, err := socketio.Arguments(packet)
	switch packet.Type {
	case socketio.Disconnect:
		return suite.Event{Label: "disconnected"}
	case socketio.Connect:
		return suite.Event{Label: "connected", Data: packet.Data}
	case socketio.Ack:
		if err == nil && len(arguments) == 1 && p.answered(packet.ID) {
			return suite.Event{Label: "ack", Data: arguments[0]}
		}
	case socketio.Event:
		if err == nil && len(arguments) == 2 {
			var name string
			if json.Unmarshal(arguments[0], &name) == nil {
				return suite.Event{Label: name, Data: arguments[1]}
			}
		}
	}
	return suite.Event{Data: text}
}

// answered reports whether an id is that of an event that has waited for its acknowledgement.
func (p *easyrtcPeer) answered(id socketio.ID) bool {
	n, ok := id.Number()
	p.mu.Lock()
	defer p.mu.Unlock()
	ok = ok && p.asked[n]
	delete(p.asked, n)
	return ok
}
