package engineio_test

import (
	"fmt"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func Example() {
	a, b := transport.Pipe() // two ends of a WebSocket, say
	go func() {
		server, err := engineio.Server(a, nil)
		if err != nil {
			return
		}
		typ, msg, err := server.Read(nil)
		if err != nil {
			return
		}
		if err := server.Write(typ, append([]byte("re: "), msg...)); err != nil {
			return
		}
		server.Close(transport.StatusGoingAway, "")
	}()

	client := engineio.Client(b, nil)
	var buf []byte
	read := func() error {
		typ, msg, err := client.Read(buf)
		if err == nil {
			fmt.Println(typ, string(msg))
			buf = msg
		}
		return err
	}
	// The first Read reads the handshake as well, so Write has a goroutine.
	go client.Write(transport.Text, []byte("hello"))
	fmt.Println(read())
	fmt.Println(read())
	// Output:
	// text re: hello
	// <nil>
	// transport: peer closed the connection with 1001
}

func ExampleParsePayload() {
	packets, err := engineio.ParsePayload(engineio.V4, []byte("4hello\x1ebAQL/\x1e2"))
	for _, p := range packets {
		fmt.Printf("%v %q\n", p.Type, p.Data)
	}
	fmt.Println(err)
	// Output:
	// message "hello"
	// message "\x01\x02\xff"
	// ping ""
	// <nil>
}
