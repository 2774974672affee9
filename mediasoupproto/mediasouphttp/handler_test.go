package mediasouphttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestServerSpeaksProtooOverItsWebSockets(t *testing.T) {
	t.Parallel()
	web, srv := newServer(t, nil, nil)
	r := dialRaw(t, address(t, web, "lobby", "alice"), "other", mediasoupproto.Subprotocol)
	require.Equal(t, mediasoupproto.Subprotocol, wsconn.Subprotocol(r.conn))
	r.writes(`{"request":true,"id":1000001,"method":"mediasoup-request","data":{"method":"leave","target":"peer"}}`)
	r.reads(`{"response":true,"id":1000001,"errorCode":400,"errorReason":"no mediasoup Peer"}`)
	r.writes(`nothing`)
	r.writes(`[]`)
	r.writes(`{"request":true,"id":1000002,"method":"mediasoup-request","data":{"method":"join","target":"room",` +
		`"peerName":"alice","spy":false,"rtpCapabilities":{"codecs":[],"headerExtensions":[]}}}`)
	r.reads(`{"response":true,"id":1000002,"ok":true,"data":{"peers":[]}}`)
	require.NotNil(t, srv.Session("lobby", "alice"))
	require.Nil(t, srv.Session("", "alice"))

	bob := connect(t, address(t, web, "lobby", "bob"), nil)
	join(t, bob, "bob")
	r.reads(`{"notification":true,"method":"mediasoup-notification","data":` +
		`{"method":"newPeer","target":"peer","notification":true,"consumers":[],"name":"bob"}}`)
	r.writes(`{"notification":true,"method":"mediasoup-notification","data":` +
		`{"method":"leave","target":"peer","notification":true}}`)
	require.Equal(t, "alice", next[*mediasoupproto.PeerClosed](t, bob).Name)
}

func TestRequestWithoutTheSubprotocolIsForbidden(t *testing.T) {
	t.Parallel()
	web, _ := newServer(t, nil, nil)
	for _, subprotocols := range [][]string{nil, {"other"}, {"protoo2", "xprotoo"}} {
		_, err := wsconn.Dial(bounded(t), address(t, web, "lobby", "alice"), &wsconn.Options{Subprotocols: subprotocols})
		var refused *wsconn.DialError
		require.ErrorAs(t, err, &refused, "%q", subprotocols)
		require.Equal(t, http.StatusForbidden, refused.StatusCode)
		require.Equal(t, "Invalid/missing Sec-WebSocket-Protocol", strings.TrimSpace(refused.Body))
	}
}

func TestRefusalHasItsReasonInTheHeaderOfTheDemo(t *testing.T) {
	t.Parallel()
	web, _ := newServer(t, nil, nil)
	answer, _ := request(t, web+"/?peerName=alice", http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {"x, protoo"},
	})
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.Equal(t, "Connection request without roomId and/or peerName", answer.Header.Get("X-WebSocket-Reject-Reason"))
}

func TestRequestForNoWebSocketIsToldToUpgrade(t *testing.T) {
	t.Parallel()
	web, _ := newServer(t, nil, nil)
	answer, _ := request(t, address(t, web, "lobby", "alice"), nil)
	require.Equal(t, http.StatusUpgradeRequired, answer.StatusCode)
}

func request(t *testing.T, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(bounded(t), http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header = header
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(body)
}

func TestRequestWithoutRoomOrNameIsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", mediasoupproto.MaxPeerName+1)
	web, srv := newServer(t, nil, nil)
	for _, query := range []string{
		"", "roomId=lobby", "peerName=alice", "roomId=&peerName=alice", "roomId=lobby&peerName=",
		"roomId=lobby&peerName=alice&peerName=bob", "roomId=a&roomId=b&peerName=alice", "roomid=lobby&peername=alice",
		"roomId=lobby&peerName=%FF", "roomId=%C3%28&peerName=alice", "roomId=lobby&peerName=%zz",
		"roomId=lobby;peerName=alice",
		"roomId=" + long + "&peerName=alice", "roomId=lobby&peerName=" + long,
	} {
		_, err := mediasouphttp.Dial(bounded(t), web+"/?"+query, nil)
		var refused *wsconn.DialError
		require.ErrorAs(t, err, &refused, "%.100s", query)
		require.Equal(t, http.StatusBadRequest, refused.StatusCode, "%.100s", query)
		require.Equal(t, mediasouphttp.ErrQuery.Reason, strings.TrimSpace(refused.Body))
	}
	require.Zero(t, srv.Stats())
	long = long[1:]
	client := connect(t, address(t, web, long, long), nil)
	join(t, client, long)
	require.NotNil(t, srv.Session(long, long))
}

func TestConnectionIsThatOfTheRequestWhoeverCarriesIt(t *testing.T) {
	t.Parallel()
	of := func(target string) (mediasoupproto.Connection, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		require.NoError(t, err)
		return mediasouphttp.Connection(wsconn.WithRequest(r))
	}
	c, err := of("http://example.org/any/path?roomId=a%2Fb&forceH264=true&peerName=%C3%A7a")
	require.NoError(t, err)
	require.Equal(t, mediasoupproto.Connection{Room: "a/b", PeerName: "ça"}, c)
	_, err = of("http://example.org/?roomId=lobby")
	require.ErrorIs(t, err, mediasouphttp.ErrQuery)
	_, err = mediasouphttp.Connection(t.Context())
	require.Error(t, err, "there is no request")
	require.NotErrorIs(t, err, mediasouphttp.ErrQuery)
}

func TestConnectionWithoutAQueryIsClosedByTheServerAlone(t *testing.T) {
	t.Parallel()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		AllowAll: true, Connection: mediasouphttp.Connection, Framing: mediasoupproto.TypeBody,
	})
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	web := serve(t, wsconn.Handler(srv.Serve, nil))
	require.EqualValues(t, 1008, dialRaw(t, web+"/?roomId=lobby").closed().Code)

	client := connect(t, address(t, web, "lobby", "alice"), &mediasouphttp.DialOptions{
		Client: &mediasoupproto.ClientOptions{Framing: mediasoupproto.TypeBody},
	})
	join(t, client, "alice")
	require.NotNil(t, srv.Session("lobby", "alice"))
}

func TestApplicationSaysWhatARequestConnectsTo(t *testing.T) {
	t.Parallel()
	web, srv := newServer(t, nil, &mediasouphttp.Options{
		Connection: func(r *http.Request) (c mediasoupproto.Connection, err error) {
			switch user := r.Header.Get("X-User"); user {
			case "":
				return c, &mediasoupproto.Error{Code: http.StatusUnauthorized, Reason: "who are you?"}
			case "mallory":
				return c, errors.New("secret reason")
			case "nobody":
				return c, &mediasoupproto.Error{Code: 7, Reason: "no status"}
			default:
				return mediasoupproto.Connection{Room: r.URL.Path, PeerName: user}, nil
			}
		},
	})
	as := func(user string) *mediasouphttp.DialOptions {
		return &mediasouphttp.DialOptions{WebSocket: &wsconn.Options{Header: http.Header{"X-User": {user}}}}
	}
	for user, want := range map[string]wsconn.DialError{
		"":        {StatusCode: http.StatusUnauthorized, Body: "who are you?\n"},
		"mallory": {StatusCode: http.StatusForbidden, Body: "Forbidden\n"},
		"nobody":  {StatusCode: http.StatusForbidden, Body: "Forbidden\n"},
	} {
		_, err := mediasouphttp.Dial(bounded(t), web, as(user))
		var refused *wsconn.DialError
		require.ErrorAs(t, err, &refused, user)
		require.Equal(t, want.StatusCode, refused.StatusCode, user)
		require.Equal(t, want.Body, refused.Body, user)
	}
	ann := connect(t, web+"/room", as("ann"))
	join(t, ann, "ann")
	require.NotNil(t, srv.Session("/room", "ann"))
}

func TestPagesOfOtherHostsNeedAPattern(t *testing.T) {
	t.Parallel()
	page := &mediasouphttp.DialOptions{WebSocket: &wsconn.Options{
		Header: http.Header{"Origin": {"https://page.example.org"}},
	}}
	closed, _ := newServer(t, nil, nil)
	_, err := mediasouphttp.Dial(bounded(t), address(t, closed, "lobby", "alice"), page)
	var refused *wsconn.DialError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusForbidden, refused.StatusCode)

	open, _ := newServer(t, nil, &mediasouphttp.Options{
		WebSocket: &wsconn.Options{OriginPatterns: []string{"*.example.org"}},
	})
	join(t, connect(t, address(t, open, "lobby", "alice"), page), "alice")
}

func TestNewerConnectionOfANameClosesTheOlderOneForGood(t *testing.T) {
	t.Parallel()
	web, _ := newServer(t, nil, nil)
	older := dialRaw(t, address(t, web, "lobby", "alice"), mediasoupproto.Subprotocol)
	elsewhere := connect(t, address(t, web, "other", "alice"), nil)
	join(t, elsewhere, "alice")
	newer := connect(t, address(t, web, "lobby", "alice"), nil)
	join(t, newer, "alice")
	c := older.closed()
	require.Equal(t, mediasoupproto.CloseByServer, c.Code)
	require.Equal(t, "closed by protoo-server", c.Reason)
	join(t, connect(t, address(t, web, "other", "bob"), nil), "bob")
	require.Equal(t, "bob", next[*mediasoupproto.NewPeer](t, elsewhere).Name, "another room has its own names")
}

func TestJoinByAnotherNameThanTheAddressHasIsRefused(t *testing.T) {
	t.Parallel()
	web, _ := newServer(t, nil, nil)
	client := connect(t, address(t, web, "lobby", "alice"), nil)
	_, err := client.QueryRoom(bounded(t))
	require.NoError(t, err)
	_, err = client.Join(bounded(t), &mediasoupproto.Join{PeerName: "bob", RTPCapabilities: capabilities()})
	require.ErrorIs(t, err, mediasoupproto.ErrOtherName)
	var refused *mediasoupproto.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusForbidden, refused.Code)
}

func TestSocketIOIsCarriedByEngineIO(t *testing.T) {
	t.Parallel()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Framing: mediasoupproto.SocketIO, Connection: mediasouphttp.Connection, AllowAll: true,
		Authenticate: func(ctx context.Context, s *mediasoupproto.ServerSession, m *mediasoupproto.Join) error {
			if wsconn.Request(ctx).URL.Query().Get("token") != "secret" {
				return mediasoupproto.ErrNotAuthorised
			}
			return nil
		},
	})
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	web := serve(t, enginehttp.Handler(srv.Serve, nil))
	for _, transports := range [][]string{
		{enginehttp.WebSocket}, {enginehttp.Polling}, {enginehttp.Polling, enginehttp.WebSocket},
	} {
		for _, version := range []engineio.Version{engineio.V3, engineio.V4} {
			room := url.QueryEscape(strings.Join(transports, "+") + version.String())
			meet := func(name, query string) (*mediasoupproto.Client, error) {
				conn, err := enginehttp.Dial(bounded(t), web+"/?roomId="+room+"&peerName="+name+query, &enginehttp.Options{
					Version: version, Transports: transports,
				})
				require.NoError(t, err, room)
				client, err := mediasoupproto.Connect(bounded(t), conn, &mediasoupproto.ClientOptions{
					Framing: mediasoupproto.SocketIO,
				})
				require.NoError(t, err, room)
				t.Cleanup(func() { _ = client.Close() })
				_, err = client.QueryRoom(bounded(t))
				require.NoError(t, err, room)
				_, err = client.Join(bounded(t), &mediasoupproto.Join{PeerName: name, RTPCapabilities: capabilities()})
				return client, err
			}
			alice, err := meet("alice", "&token=secret")
			require.NoError(t, err, room)
			_, err = meet("mallory", "")
			require.ErrorIs(t, err, mediasoupproto.ErrNotAuthorised)
			_, err = meet("bob", "&token=secret")
			require.NoError(t, err, room)
			require.Equal(t, "bob", next[*mediasoupproto.NewPeer](t, alice).Name)
		}
	}
}
