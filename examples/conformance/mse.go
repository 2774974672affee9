package main

import (
	"context"
	"fmt"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
)

// mseProtocol has peers of one kind, "open": clients of the address. No server of others is left.
func mseProtocol() (*suite.Protocol, error) {
	return load(&suite.Protocol{
		Name: "mse",
		References: []suite.Reference{
			{Name: suite.Document, Title: "the protocol document"},
			{Name: "rtcsignal", Title: "package msejsonrpc of this module"},
		},
		Dial: func(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
			if len(args) > 0 {
				return nil, fmt.Errorf("cannot open %q", args)
			}
			conn, err := dialWebSocket(ctx, server.URL)
			if err != nil {
				return nil, err
			}
			return newConnPeer(conn, nil, nil), nil
		},
	})
}
