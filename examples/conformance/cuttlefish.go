package main

import (
	"context"
	"fmt"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
)

// cuttlefishProtocol has peers of these kinds:
//
//	open device             a device on /register_device
//	open client             a client on /connect_client
//	open client ID          a client of today's operator, on /devices/ID/connect
//	open socket             a device of today's operator, on its unix socket, -param socket=PATH
func cuttlefishProtocol() (*suite.Protocol, error) {
	return load(&suite.Protocol{
		Name: "cuttlefish",
		References: []suite.Reference{
			{Name: suite.Document, Title: "the protocol document"},
			{Name: "cpp", Title: "the server in C++ that came with the document"},
			{Name: "operator", Title: "the operator of android-cuttlefish at 9b10c27385"},
			{Name: "go2021", Title: "the first server in Go, of November 2021"},
			{Name: "rtcsignal", Title: "package cuttlefish of this module"},
		},
		Dial: dialCuttlefish,
	})
}

func dialCuttlefish(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
	path := ""
	switch {
	case len(args) == 1 && args[0] == "socket":
		conn, err := unixpacket.Dial(ctx, server.Params["socket"], nil)
		if err != nil {
			return nil, err
		}
		return newConnPeer(conn, nil, nil), nil
	case len(args) == 1 && args[0] == "device":
		path = "register_device"
	case len(args) == 1 && args[0] == "client":
		path = "connect_client"
	case len(args) == 2 && args[0] == "client":
		path = "devices/" + args[1] + "/connect"
	default:
		return nil, fmt.Errorf("cannot open %q", args)
	}
	address, err := join(server.URL, path)
	if err != nil {
		return nil, err
	}
	conn, err := dialWebSocket(ctx, address)
	if err != nil {
		return nil, err
	}
	return newConnPeer(conn, nil, nil), nil
}
