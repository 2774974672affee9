package easyrtchttp

import (
	"context"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// DialOptions say how a server is reached. Nil and zero fields mean the defaults.
type DialOptions struct {
	// Client says how the client of [Connect] behaves.
	Client *easyrtc.ClientOptions
	// Reconnect opens a lost connection again, as often as the Backoff of Client says, and
	// logs in again. It replaces the Redial of Client.
	Reconnect bool

	// HTTP is for the connection. By default it is a WebSocket of Engine.IO 4, which
	// open-easyrtc speaks since 2.1. Older servers need Version 3, and are else refused
	// with [easyrtc.ErrVersion] or as peers that break the protocol. With Polling among its
	// Transports the client gets through where WebSockets do not.
	HTTP *enginehttp.Options
}

// readLimit is above what a server takes, because it adds to what it hands on.
const readLimit = 2 * easyrtc.DefaultMessageBytes

// Dial connects to a server, at an address such as https://example.org; without a path it
// is /socket.io/ there. The error is an [*enginehttp.DialError].
func Dial(ctx context.Context, server string, opts *DialOptions) (transport.Conn, error) {
	o := enginehttp.Options{}
	if opts != nil && opts.HTTP != nil {
		o = *opts.HTTP
	}
	if o.ReadLimit == 0 {
		o.ReadLimit = readLimit
	}
	o.ASCII = true
	return enginehttp.Dial(ctx, server, &o)
}

// Connect is [Dial] and [easyrtc.Connect]. ctx bounds only that.
func Connect(ctx context.Context, server string, opts *DialOptions) (*easyrtc.Client, error) {
	var o easyrtc.ClientOptions
	if opts != nil {
		if opts.Client != nil {
			o = *opts.Client
		}
		if opts.Reconnect {
			o.Redial = func(ctx context.Context) (transport.Conn, error) { return Dial(ctx, server, opts) }
		}
	}
	conn, err := Dial(ctx, server, opts)
	if err != nil {
		return nil, err
	}
	return easyrtc.Connect(ctx, conn, &o)
}

// Login is [Connect] and [easyrtc.Client.Login]. A refusal is an [*easyrtc.Error].
func Login(
	ctx context.Context, server string, login *easyrtc.Login, opts *DialOptions,
) (*easyrtc.Client, *easyrtc.TokenData, error) {
	client, err := Connect(ctx, server, opts)
	if err != nil {
		return nil, nil, err
	}
	token, err := client.Login(ctx, login)
	if err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return client, token, nil
}
