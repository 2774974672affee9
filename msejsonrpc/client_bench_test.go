package msejsonrpc_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// BenchmarkCall measures a ping and its answer on one connection with an active session,
// client and server in this process.
func BenchmarkCall(b *testing.B) {
	for _, carrier := range []struct {
		name    string
		connect func(testing.TB) *msejsonrpc.Client
	}{{"pipe", overPipe}, {"websocket", overWebSocket}} {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", carrier.name, callers), func(b *testing.B) {
				client := carrier.connect(b)
				b.ReportAllocs()
				if callers == 1 {
					for b.Loop() {
						if err := client.Ping(context.Background()); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				pingTogether(b, client, callers)
			})
		}
	}
}

// pingTogether shares b.N pings among callers, which b.Loop cannot.
func pingTogether(b *testing.B, client *msejsonrpc.Client, callers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	b.ResetTimer()
	for range callers {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if err := client.Ping(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
}

// unlimitedServer takes any number of messages a second from anybody.
func unlimitedServer(tb testing.TB) *msejsonrpc.Server {
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true,
		Limits:   msejsonrpc.Limits{Messages: -1, Bytes: -1},
	})
	tb.Cleanup(func() { require.NoError(tb, srv.Close()) })
	return srv
}

func overPipe(tb testing.TB) *msejsonrpc.Client {
	srv := unlimitedServer(tb)
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), far) }()
	tb.Cleanup(func() { require.NoError(tb, <-served) })
	return active(tb, near)
}

func overWebSocket(tb testing.TB) *msejsonrpc.Client {
	srv := unlimitedServer(tb)
	web := httptest.NewServer(wsconn.Handler(srv.Serve, nil))
	tb.Cleanup(web.Close)
	conn, err := wsconn.Dial(context.Background(), web.URL, nil)
	require.NoError(tb, err)
	return active(tb, conn)
}

// active returns a client whose session has started.
func active(tb testing.TB, conn transport.Conn) *msejsonrpc.Client {
	client, err := msejsonrpc.Connect(context.Background(), conn, &msejsonrpc.ClientOptions{Token: "token"})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return client
}
