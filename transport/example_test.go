package transport_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/rtcsignal/rtcsignal/transport"
)

// Two ends in one process, one of which says hello and goes.
func ExamplePipe() {
	a, b := transport.Pipe()
	go func() {
		if err := a.Write(transport.Text, []byte("hello")); err != nil {
			fmt.Println(err)
		}
		_ = a.Close(transport.StatusNormal, "that was all")
	}()
	typ, msg, err := b.Read(nil)
	fmt.Println(typ == transport.Text, string(msg), err)
	_, _, err = b.Read(msg) // the buffer is used again
	if e, ok := errors.AsType[*transport.CloseError](err); ok {
		fmt.Println(e.Code, e.Reason)
	}
	// Output:
	// true hello <nil>
	// 1000 that was all
}

// A connection that logs what it carries. Each protocol package has a Redact for it.
func ExampleLogged() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	a, b := transport.Pipe()
	a = transport.Logged(a, logger, func(msg []byte) []byte { return msg })
	go func() { _, _, _ = b.Read(nil) }()
	if err := a.Write(transport.Text, []byte(`{"type":"ping"}`)); err != nil {
		fmt.Println(err)
	}
	_ = a.Close(transport.StatusNormal, "bye")
	// Output:
	// level=DEBUG msg="transport: message" direction=out type=text length=15 body="{\"type\":\"ping\"}"
	// level=DEBUG msg="transport: closing" code=1000 reason=bye
}
