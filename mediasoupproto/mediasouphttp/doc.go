// Package mediasouphttp brings package mediasoupproto and net/http together, as the demo of
// mediasoup 2 has it: WebSockets with the subprotocol protoo, whose address names the room and
// the peer.
//
//	wss://example.org:3443/?peerName=bot&roomId=lobby
//
// A client:
//
//	address, err := mediasouphttp.URL("wss://example.org:3443", "lobby", "bot")
//	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
//
// A server:
//
//	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true})
//	http.Handle("/", mediasouphttp.NewHandler(srv, nil))
//
// # Handshake
//
// As the demo does, a [Handler] refuses requests without the subprotocol with 403 and those
// without a room or a name with 400; the reason is the body, and the header
// X-WebSocket-Reject-Reason. Clients of protoo take a refusal for a failed attempt, and try
// ten times. A connection that is closed after the handshake they open again at once, for
// ever, unless it is closed with [mediasoupproto.CloseByServer].
//
// Unlike the demo a handler refuses pages of other hosts, unless its options name them, and
// parameters that come twice. It pings every 20 s by default, the demo every 60 s.
//
// # Tokens and tenants
//
// Pages that say more in their address than the room and the name, such as a token, are looked
// at by the Connection of [Options], before they are connected:
//
//	sockets := mediasouphttp.NewHandler(srv, &mediasouphttp.Options{
//		Connection: func(r *http.Request) (mediasoupproto.Connection, error) {
//			tenant, ok := tenants[r.URL.Query().Get("token")]
//			if !ok {
//				return mediasoupproto.Connection{}, &mediasoupproto.Error{Code: 401, Reason: "bad token"}
//			}
//			c, err := mediasouphttp.FromQuery(r)
//			c.Room = tenant + "/" + c.Room
//			return c, err
//		},
//	})
//
// The server's hooks find the address with [wsconn.Request]; the example of [Options] has a
// moderator.
//
// # Other framings
//
// Socket.IO has a carrier of its own, package transport/engineio/enginehttp, for which
// [Connection] finds the room and the name:
//
//	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
//		Framing: mediasoupproto.SocketIO, Connection: mediasouphttp.Connection, AllowAll: true,
//	})
//	http.Handle("/socket.io/", enginehttp.Handler(srv.Serve, nil))
//
//	conn, err := enginehttp.Dial(ctx, "https://example.org/?peerName=bot&roomId=lobby", nil)
//	client, err := mediasoupproto.Connect(ctx, conn, &mediasoupproto.ClientOptions{
//		Framing: mediasoupproto.SocketIO,
//	})
//
// A framing without a subprotocol, such as [mediasoupproto.TypeBody], is served by
// wsconn.Handler with the Serve of the server; [Dial] asks for the subprotocol of protoo only
// where the framing is protoo's.
package mediasouphttp
