package mediasouphttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// The parameters of an address.
const (
	roomParameter = "roomId"
	nameParameter = "peerName"
)

// URL returns the address of a room on a server, for a peer of that name: server with roomId
// and peerName added to its query. Its scheme is ws, wss, http or https.
func URL(server, room, peerName string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err // without the address, which may hold a secret
		}
		return "", fmt.Errorf("mediasouphttp: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return "", fmt.Errorf("mediasouphttp: no such scheme: %q", u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("mediasouphttp: the address has a wrong query")
	}
	if u.Host == "" || room == "" || peerName == "" {
		return "", errors.New("mediasouphttp: an address needs a host, a room and a peer")
	}
	query.Set(roomParameter, room)
	query.Set(nameParameter, peerName)
	if u.Path == "" {
		u.Path = "/"
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// DialOptions say how a server is reached. Nil and zero fields mean the defaults.
type DialOptions struct {
	// Client says how the client of [Connect] behaves. [Dial] goes by its Framing and its
	// MessageBytes.
	Client *mediasoupproto.ClientOptions
	// Reconnect opens a lost connection again, as often as the Backoff of Client says, and
	// joins the room again. The server ends that with [mediasoupproto.CloseByServer]. It
	// replaces the Redial of Client. It is to the same address: where that holds a token
	// that expires, Client has a Redial of the application's instead, which gives [Dial] a
	// new one.
	Reconnect bool

	// WebSocket is for the connection. Its ReadLimit is the MessageBytes of Client by
	// default, and its Subprotocols are that of the framing, if they are nil.
	WebSocket *wsconn.Options
}

// ErrSubprotocol: the server has taken the connection, but not its subprotocol.
var ErrSubprotocol = errors.New("mediasouphttp: the server does not speak the subprotocol " + mediasoupproto.Subprotocol)

var errSocketIO = errors.New("mediasouphttp: Socket.IO is carried by package transport/engineio/enginehttp")

// Dial connects to a server, at an address such as [URL] returns. The error is a
// [*wsconn.DialError], which has the server's refusal, or [ErrSubprotocol]. It is not for
// [mediasoupproto.SocketIO].
func Dial(ctx context.Context, url string, opts *DialOptions) (transport.Conn, error) {
	var o wsconn.Options
	var client mediasoupproto.ClientOptions
	if opts != nil && opts.WebSocket != nil {
		o = *opts.WebSocket
	}
	if opts != nil && opts.Client != nil {
		client = *opts.Client
	}
	if client.Framing == mediasoupproto.SocketIO {
		return nil, errSocketIO
	}
	o.ReadLimit = cmp.Or(o.ReadLimit, int64(client.MessageBytes), mediasoupproto.DefaultClientMessageBytes)
	own := o.Subprotocols == nil && isProtoo(client.Framing)
	if own {
		o.Subprotocols = []string{mediasoupproto.Subprotocol}
	}
	conn, err := wsconn.Dial(ctx, url, &o)
	if err != nil {
		return nil, err
	}
	if own && wsconn.Subprotocol(conn) != mediasoupproto.Subprotocol {
		_ = conn.Close(transport.StatusProtocolError, "no subprotocol")
		return nil, ErrSubprotocol
	}
	return conn, nil
}

// isProtoo reports whether a framing has the subprotocol of protoo.
func isProtoo(f mediasoupproto.Framing) bool {
	return f == nil || f == mediasoupproto.Protoo || f == mediasoupproto.Protoo2
}

// Connect is [Dial] and [mediasoupproto.Connect]. ctx bounds only that. The client must join
// by the name that the address has; mediasouppion.Join does so for a bot.
func Connect(ctx context.Context, url string, opts *DialOptions) (*mediasoupproto.Client, error) {
	var o mediasoupproto.ClientOptions
	if opts != nil && opts.Client != nil {
		o = *opts.Client
	}
	if opts != nil && opts.Reconnect {
		o.Redial = func(ctx context.Context) (transport.Conn, error) { return Dial(ctx, url, opts) }
	}
	conn, err := Dial(ctx, url, opts)
	if err != nil {
		return nil, err
	}
	return mediasoupproto.Connect(ctx, conn, &o)
}
