package msejsonrpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestAServerThatDoesNotStopEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	note := func(method, params string) string {
		return `{"jsonrpc":"2.0","method":"` + method + `","params":` + params + `}`
	}
	answer := func(id int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"%s"}`, id, long) }
	for name, e := range map[string]script.Endless{
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return note("tomorrow", `{"text":"`+long+`"}`)
		}},
		"small messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return note("tomorrow", `{"text":"x"}`)
		}},

		"messages":                  {Say: func(int) string { return note("tomorrow", `{"text":"`+long+`"}`) }},
		"answers to nothing":        {Say: func(i int) string { return answer(1000 + i) }},
		"unread answers to nothing": {Unread: true, Say: func(i int) string { return answer(1000 + i) }},
		"requests": {Say: func(i int) string {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tomorrow","params":{"text":"%s"}}`, i, long)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := activeClient(t, ClientOptions{
					StateBytes: 64 << 10, Inbox: -1, Heartbeat: -1,
					Redial: func(context.Context) (transport.Conn, error) { panic("not again") },
				})
				script.RequireEndless(t, e, p, c)
			})
		})
	}
}
