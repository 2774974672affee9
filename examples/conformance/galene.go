package main

import (
	"context"
	"fmt"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport"
)

// galeneProtocol has peers of one kind, "open": clients of the address. Heartbeats of the
// server are answered and no events, but for those that a case has asked for.
func galeneProtocol() (*suite.Protocol, error) {
	return load(&suite.Protocol{
		Name: "galene",
		References: []suite.Reference{
			{Name: suite.Document, Title: "the protocol document, version 2"},
			{Name: "galene", Title: "Galène at 9e03b36"},
			{Name: "rtcsignal", Title: "package galene of this module"},
		},
		Dial: dialGalene,
	})
}

func dialGalene(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("cannot open %q", args)
	}
	conn, err := dialWebSocket(ctx, server.URL)
	if err != nil {
		return nil, err
	}
	return newConnPeer(conn, nil, func(typ transport.MessageType, data []byte) (suite.Event, bool) {
		if m, err := galene.Decode(data); err == nil {
			if _, ok := m.(*galene.Ping); ok && typ == transport.Text {
				_ = conn.Write(transport.Text, []byte(`{"type":"pong"}`)) // else it ends soon, which is an event
				return suite.Event{}, false
			}
		}
		return hearText(typ, data)
	}), nil
}
