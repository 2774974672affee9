package mediasouphttp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func Example() {
	ctx := context.Background()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Connection: mediasouphttp.Connection, AllowAll: true,
	})
	defer srv.Close()
	web := httptest.NewServer(mediasouphttp.NewHandler(srv, nil))
	defer web.Close()

	address, err := mediasouphttp.URL(web.URL, "lobby", "bot")
	if err != nil {
		log.Fatal(err)
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	room, err := client.QueryRoom(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the room can do", room.RTPCapabilities.Codecs[0].MimeType)
	// Output: the room can do audio/opus
}

// Applications whose pages load socket.io.js have Socket.IO in place of protoo.
func Example_socketIO() {
	ctx := context.Background()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Framing: mediasoupproto.SocketIO, Connection: mediasouphttp.Connection, AllowAll: true,
	})
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", enginehttp.Handler(srv.Serve, nil))
	web := httptest.NewServer(mux)
	defer web.Close()

	conn, err := enginehttp.Dial(ctx, web.URL+"/?roomId=lobby&peerName=bot", nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := mediasoupproto.Connect(ctx, conn, &mediasoupproto.ClientOptions{Framing: mediasoupproto.SocketIO})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	room, err := client.QueryRoom(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the room can do", room.RTPCapabilities.Codecs[0].MimeType)
	// Output: the room can do audio/opus
}
