package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// watched runs the tool with -listen while client plays with what is at the address.
func watched(t *testing.T, protocol string, client func(ctx context.Context, address string)) (failed bool, out string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var text strings.Builder
	type result struct {
		failed bool
		err    error
	}
	results := make(chan result, 1)
	go func() {
		failed, err := run(ctx, []string{"-protocol", protocol, "-listen", "127.0.0.1:0"}, w)
		w.Close()
		results <- result{failed, err}
	}()
	lines := bufio.NewScanner(r)
	require.True(t, lines.Scan())
	_, address, ok := strings.Cut(lines.Text(), " or ws://")
	require.True(t, ok, lines.Text())
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
		}
	}()
	client(ctx, address)
	cancel()
	got := <-results
	<-read
	require.NoError(t, got.err)
	return got.failed, text.String()
}

// goodClients do a little of what clients do.
var goodClients = map[string]func(t *testing.T, ctx context.Context, address string){
	"cuttlefish": func(t *testing.T, ctx context.Context, address string) {
		d, err := cuttlefishhttp.ConnectDevice(ctx, "http://"+address, "cvd-1", nil)
		require.NoError(t, err)
		c, err := cuttlefishhttp.ConnectClient(ctx, "http://"+address, "cvd-1", nil)
		require.NoError(t, err)
		require.NoError(t, c.SendPayload(&cuttlefish.RequestOffer{}))
		for m, err := range d.Messages(ctx) {
			require.NoError(t, err)
			if _, ok := m.(*cuttlefish.ClientMsg); ok {
				break
			}
		}
		require.NoError(t, c.Close())
		require.NoError(t, d.Close())
	},
	"easyrtc": func(t *testing.T, ctx context.Context, address string) {
		c, _, err := easyrtchttp.Login(ctx, "http://"+address, &easyrtc.Login{}, nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	},
	"galene": func(t *testing.T, ctx context.Context, address string) {
		c, _, err := galenehttp.Join(ctx, "http://"+address+"/group/test/", "alice", "x", nil)
		require.NoError(t, err)
		require.NoError(t, c.Send(&galene.Chat{Value: []byte(`"hello"`)}))
		require.NoError(t, c.Close())
	},
	"mediasoup": func(t *testing.T, ctx context.Context, address string) {
		url, err := mediasouphttp.URL("ws://"+address, "lobby", "alice")
		require.NoError(t, err)
		c, err := mediasouphttp.Connect(ctx, url, nil)
		require.NoError(t, err)
		_, err = c.QueryRoom(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	},
	"mse": func(t *testing.T, ctx context.Context, address string) {
		conn, err := wsconn.Dial(ctx, "ws://"+address, nil)
		require.NoError(t, err)
		c, err := msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: "T"})
		require.NoError(t, err)
		require.NoError(t, c.Ping(ctx))
		require.NoError(t, c.Close())
	},
}

func TestOurClientsPass(t *testing.T) {
	t.Parallel()
	require.Len(t, goodClients, len(protocols))
	for name, client := range goodClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, out := watched(t, name, func(ctx context.Context, address string) { client(t, ctx, address) })
			require.False(t, failed, out)
			require.Contains(t, out, " passed, 0 known differences, 0 failed")
			require.NotContains(t, out, " 0 passed")
		})
	}
}

func TestAClientThatBreaksTheRulesFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ path, message string }{
		"cuttlefish": {"/connect_client", `{"message_type":"forward","payload":1}`},
		"easyrtc":    {"/socket.io/?EIO=4&transport=websocket", `40`},
		"galene":     {"/ws", `{"type":"join","kind":"join"}`},
		"mediasoup":  {"/?roomId=a&peerName=b", `{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"join","target":"room"}}`},
		"mse":        {"/", `{"jsonrpc":"2.0","id":1,"method":"start"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, out := watched(t, name, func(ctx context.Context, address string) {
				conn, err := wsconn.Dial(ctx, "ws://"+address+test.path, &wsconn.Options{Subprotocols: []string{"protoo"}})
				require.NoError(t, err)
				require.NoError(t, conn.Write(transport.Text, []byte(test.message)))
				if name == "easyrtc" {
					require.NoError(t, conn.Write(transport.Text, []byte(`420["easyrtcAuth",{"msgType":"authenticate"}]`)))
				}
				for {
					_, data, err := conn.Read(nil)
					if err != nil || name != "easyrtc" || strings.HasPrefix(string(data), "43") {
						break // the server has had it
					}
				}
				_ = conn.Close(transport.StatusNormal, "")
			})
			require.True(t, failed, out)
			require.Contains(t, out, "failed  clients: connection 1")
		})
	}
}
