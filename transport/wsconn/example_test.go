package wsconn_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/transport"
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
	srv := httptest.NewServer(wsconn.Handler(echo, &wsconn.Options{ReadLimit: 64 << 10}))
	defer srv.Close()

	conn, err := wsconn.Dial(context.Background(), srv.URL+"/echo", nil)
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
	// serving /echo
	// text hello <nil>
}
