package mediasouphttp_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestURLHasTheRoomAndTheName(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]string{
		"wss://example.org:3443":                     "wss://example.org:3443/?peerName=a%26b&roomId=the+lobby",
		"https://example.org/path/":                  "https://example.org/path/?peerName=a%26b&roomId=the+lobby",
		"ws://127.0.0.1/?forceH264=true&roomId=else": "ws://127.0.0.1/?forceH264=true&peerName=a%26b&roomId=the+lobby",
		"http://[::1]:80?a=1&a=2":                    "http://[::1]:80/?a=1&a=2&peerName=a%26b&roomId=the+lobby",
	} {
		got, err := mediasouphttp.URL(server, "the lobby", "a&b")
		require.NoError(t, err)
		require.Equal(t, want, got)
		u, err := url.Parse(got)
		require.NoError(t, err)
		c, err := mediasouphttp.FromQuery(&http.Request{URL: u})
		require.NoError(t, err)
		require.Equal(t, mediasoupproto.Connection{Room: "the lobby", PeerName: "a&b"}, c)
	}
}

func TestURLOfNoServerIsAnError(t *testing.T) {
	t.Parallel()
	for _, server := range []string{
		"", "example.org", "ftp://example.org", "wss://", "wss:///path", "wss://example.org/?%zz", "wss://example.org:secret",
	} {
		_, err := mediasouphttp.URL(server, "lobby", "alice")
		require.Error(t, err, server)
		require.True(t, strings.HasPrefix(err.Error(), "mediasouphttp: "), err)
	}
	_, err := mediasouphttp.URL("wss://example.org/?token=secret\x7f", "lobby", "alice")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	for _, names := range [][2]string{{"", "alice"}, {"lobby", ""}} {
		_, err := mediasouphttp.URL("wss://example.org", names[0], names[1])
		require.Error(t, err)
	}
}

func TestClientAsksForTheSubprotocolOfItsFraming(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	web := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Sec-WebSocket-Protocol")
		http.Error(w, "", http.StatusTeapot)
	}))
	for _, c := range []struct {
		framing mediasoupproto.Framing
		given   []string
		want    string
	}{
		{nil, nil, "protoo"},
		{mediasoupproto.Protoo, nil, "protoo"},
		{mediasoupproto.Protoo2, nil, "protoo"},
		{mediasoupproto.TypeBody, nil, ""},
		{mediasoupproto.TypeBody, []string{"mine"}, "mine"},
		{nil, []string{"mine"}, "mine"},
		{nil, []string{}, ""},
	} {
		_, err := mediasouphttp.Connect(bounded(t), web, &mediasouphttp.DialOptions{
			Client: &mediasoupproto.ClientOptions{Framing: c.framing}, WebSocket: &wsconn.Options{Subprotocols: c.given},
		})
		var refused *wsconn.DialError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusTeapot, refused.StatusCode)
		require.Equal(t, c.want, <-asked)
	}
	_, err := mediasouphttp.Dial(bounded(t), web, nil)
	require.Error(t, err)
	require.Equal(t, "protoo", <-asked)
}

func TestServerWithoutTheSubprotocolIsNone(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	web := serve(t, wsconn.Handler(func(_ context.Context, conn transport.Conn) error {
		_, _, err := conn.Read(nil)
		ended <- err
		return nil
	}, nil))
	_, err := mediasouphttp.Connect(bounded(t), web, nil)
	require.ErrorIs(t, err, mediasouphttp.ErrSubprotocol)
	var c *transport.CloseError
	require.ErrorAs(t, <-ended, &c)
	require.Equal(t, transport.StatusProtocolError, c.Code)

	conn, err := mediasouphttp.Dial(bounded(t), web, &mediasouphttp.DialOptions{
		WebSocket: &wsconn.Options{Subprotocols: []string{}},
	})
	require.NoError(t, err, "the application does not ask for it")
	require.NoError(t, conn.Close(transport.StatusNormal, ""))
	<-ended
}

func TestClientReadsMessagesOfTheSizeThatItTakes(t *testing.T) {
	t.Parallel()
	big := []byte(`"` + strings.Repeat("x", mediasoupproto.DefaultMessageBytes) + `"`)
	web, srv := newServer(t, nil, nil)
	small := connect(t, address(t, web, "lobby", "small"), &mediasouphttp.DialOptions{
		Client: &mediasoupproto.ClientOptions{MessageBytes: mediasoupproto.DefaultMessageBytes},
	})
	join(t, small, "small")
	large := connect(t, address(t, web, "lobby", "large"), nil)
	join(t, large, "large")
	unlimited := connect(t, address(t, web, "lobby", "unlimited"), &mediasouphttp.DialOptions{
		Client: &mediasoupproto.ClientOptions{MessageBytes: -1},
	})
	join(t, unlimited, "unlimited")
	for _, name := range []string{"small", "large", "unlimited"} {
		require.NoError(t, srv.Session("lobby", name).Send(&mediasoupproto.Application{Method: "big", Data: big}))
	}
	for _, client := range []*mediasoupproto.Client{large, unlimited} {
		require.Len(t, next[*mediasoupproto.Application](t, client).Data, len(big))
	}
	var err error
	for err == nil {
		_, err = small.Next(bounded(t))
	}
	require.ErrorIs(t, err, transport.ErrMessageTooBig)
}

func TestLostConnectionIsOpenedAgainAndTheRoomJoined(t *testing.T) {
	t.Parallel()
	web, srv := newServer(t, nil, nil)
	join(t, connect(t, address(t, web, "lobby", "bob"), nil), "bob")
	client := connect(t, address(t, web, "lobby", "alice"), &mediasouphttp.DialOptions{
		Reconnect: true,
		Client: &mediasoupproto.ClientOptions{
			Backoff: mediasoupproto.Backoff{Min: time.Millisecond, Max: time.Millisecond},
		},
	})
	join(t, client, "alice")
	before := srv.Session("lobby", "alice")
	before.Close(1011, "")
	again := next[*mediasoupproto.Reconnected](t, client)
	require.Len(t, again.Joined.Peers, 1)
	require.Equal(t, "bob", again.Joined.Peers[0].Name)
	require.NotNil(t, again.Room.RTPCapabilities)
	require.NotEqual(t, before.ID(), srv.Session("lobby", "alice").ID())

	srv.Session("lobby", "alice").Close(mediasoupproto.CloseByServer, mediasoupproto.CloseByServerReason)
	var err error
	for err == nil {
		_, err = client.Next(bounded(t))
	}
	var c *transport.CloseError
	require.ErrorAs(t, err, &c, "the server has closed it for good")
	require.Equal(t, mediasoupproto.CloseByServer, c.Code)
}

func TestLostConnectionEndsAClientThatDoesNotReconnect(t *testing.T) {
	t.Parallel()
	var handshakes atomic.Int64
	web, srv := newServer(t, nil, &mediasouphttp.Options{
		Connection: func(r *http.Request) (mediasoupproto.Connection, error) {
			handshakes.Add(1)
			return mediasouphttp.FromQuery(r)
		},
	})
	client := connect(t, address(t, web, "lobby", "alice"), nil)
	join(t, client, "alice")
	srv.Session("lobby", "alice").Close(1011, "")
	var err error
	for err == nil {
		_, err = client.Next(bounded(t))
	}
	var c *transport.CloseError
	require.ErrorAs(t, err, &c)
	require.EqualValues(t, 1011, c.Code)
	require.EqualValues(t, 1, handshakes.Load())
}

func TestSocketIOIsNotDialledAsABareWebSocket(t *testing.T) {
	t.Parallel()
	web := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the server is asked")
		w.WriteHeader(http.StatusTeapot)
	}))
	_, err := mediasouphttp.Connect(bounded(t), web, &mediasouphttp.DialOptions{
		Client: &mediasoupproto.ClientOptions{Framing: mediasoupproto.SocketIO},
	})
	require.ErrorContains(t, err, "enginehttp")
}

func TestConnectToNobodyIsAnError(t *testing.T) {
	t.Parallel()
	_, err := mediasouphttp.Connect(bounded(t), "ws://127.0.0.1:1/?roomId=lobby&peerName=alice", nil)
	var failed *wsconn.DialError
	require.ErrorAs(t, err, &failed)
	require.Zero(t, failed.StatusCode)
}
