package enginehttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func Example() {
	echo := func(ctx context.Context, conn transport.Conn) error {
		fmt.Println("serving", wsconn.Request(ctx).URL.Path)
		var buf []byte
		for {
			typ, msg, err := conn.Read(buf)
			if err != nil {
				return err
			}
			if err := conn.Write(typ, msg); err != nil {
				return err
			}
			buf = msg
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", enginehttp.Handler(echo, &enginehttp.Options{AllowAnyOrigin: true}))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	// Transports are those of a browser; without them Dial uses a WebSocket.
	conn, err := enginehttp.Dial(context.Background(), srv.URL, &enginehttp.Options{
		Transports: []string{enginehttp.Polling, enginehttp.WebSocket},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(transport.StatusNormal, "")
	if err := conn.Write(transport.Text, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	typ, msg, err := conn.Read(nil)
	fmt.Println(typ, string(msg), err)
	// Output:
	// serving /socket.io/
	// text hello <nil>
}
