package easyrtchttp_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
)

func Example() {
	srv := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
	defer srv.Close()
	web := httptest.NewServer(easyrtchttp.NewHandler(srv, nil))
	defer web.Close()

	client, token, err := easyrtchttp.Login(context.Background(), web.URL, &easyrtc.Login{
		Application: "app", Username: "bot", Rooms: []string{"lobby"},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, o := range token.RoomData["lobby"].ClientList {
		fmt.Println(*o.Username, "is in the lobby:", o.EasyrtcID == client.EasyrtcID())
	}
	// Output: bot is in the lobby: true
}
