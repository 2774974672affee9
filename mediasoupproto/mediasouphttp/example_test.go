package mediasouphttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func Example() {
	ctx := context.Background()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		AllowAll: true,
	})
	defer srv.Close()
	web := httptest.NewServer(mediasouphttp.NewHandler(srv, nil))
	defer web.Close()

	address, err := mediasouphttp.URL(web.URL, "lobby", "bot")
	if err != nil {
		log.Fatal(err)
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	room, err := client.QueryRoom(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the room can do", room.RTPCapabilities.Codecs[0].MimeType)
	// Output: the room can do audio/opus
}

// Applications whose pages load socket.io.js have Socket.IO in place of protoo.
func Example_socketIO() {
	ctx := context.Background()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Framing: mediasoupproto.SocketIO, Connection: mediasouphttp.Connection, AllowAll: true,
	})
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", enginehttp.Handler(srv.Serve, nil))
	web := httptest.NewServer(mux)
	defer web.Close()

	conn, err := enginehttp.Dial(ctx, web.URL+"/?roomId=lobby&peerName=bot", nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := mediasoupproto.Connect(ctx, conn, &mediasoupproto.ClientOptions{Framing: mediasoupproto.SocketIO})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	room, err := client.QueryRoom(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the room can do", room.RTPCapabilities.Codecs[0].MimeType)
	// Output: the room can do audio/opus
}

// A user is who has a token.
type user struct {
	Tenant    string
	Moderator bool
}

var users = map[string]user{"t1": {"acme", false}, "t2": {"acme", true}}

// userOf returns who has opened the connection of a server's hook.
func userOf(ctx context.Context) user { return users[wsconn.Request(ctx).URL.Query().Get("token")] }

// tenantOf puts each tenant's users into rooms of their own, and refuses all others.
func tenantOf(r *http.Request) (mediasoupproto.Connection, error) {
	u, ok := users[r.URL.Query().Get("token")]
	if !ok {
		return mediasoupproto.Connection{}, &mediasoupproto.Error{Code: http.StatusUnauthorized, Reason: "bad token"}
	}
	c, err := mediasouphttp.FromQuery(r)
	c.Room = u.Tenant + "/" + c.Room
	return c, err
}

// moderate carries out what a moderator wants to be done to another peer of the room.
func moderate(
	ctx context.Context, srv *mediasoupproto.Server, by *mediasoupproto.ServerSession, what, name string,
) error {
	me, _ := by.Peer()
	them := srv.Session(me.Room, name)
	if !userOf(ctx).Moderator || them == nil {
		return mediasoupproto.ErrNotAuthorised
	}
	switch what {
	case "mute":
		peer, _ := them.Peer()
		for _, p := range peer.Producers {
			id := mediasoupproto.MediaID{Peer: them.ID(), ID: p.ID}
			if err := srv.PauseProducer(id, json.RawMessage(`{"muted":true}`)); err != nil {
				return err
			}
		}
		return nil
	case "kick": // may come back
		return them.ClosePeer(json.RawMessage(`{"kicked":true}`))
	case "ban": // its page does not connect again by itself
		them.Close(mediasoupproto.CloseByServer, mediasoupproto.CloseByServerReason)
		return nil
	}
	return &mediasoupproto.Error{Code: http.StatusNotFound, Reason: "no such method"}
}

// enter connects with a token and joins.
func enter(ctx context.Context, server, name, token string) (*mediasoupproto.Client, error) {
	address, err := mediasouphttp.URL(server+"/?token="+token, "lobby", name)
	if err != nil {
		return nil, err
	}
	client, err := mediasouphttp.Connect(ctx, address, nil)
	if err != nil {
		return nil, err
	}
	room, err := client.QueryRoom(ctx)
	if err != nil {
		return client, err
	}
	_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: name, RTPCapabilities: room.RTPCapabilities})
	return client, err
}

// A token in the address says which tenant's rooms a page may enter, and whether it may mute
// others and throw them out.
func ExampleOptions() {
	ctx := context.Background()
	var srv *mediasoupproto.Server
	srv = mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Authenticate: func(ctx context.Context, _ *mediasoupproto.ServerSession, m *mediasoupproto.Join) (err error) {
			m.AppData, err = json.Marshal(userOf(ctx)) // what the others are told
			return err
		},
		Message: func(
			ctx context.Context, s *mediasoupproto.ServerSession, m *mediasoupproto.Application,
		) (json.RawMessage, error) {
			var name string
			if err := json.Unmarshal(m.Data, &name); err != nil {
				return nil, &mediasoupproto.Error{Code: http.StatusBadRequest, Reason: "not a name"}
			}
			return nil, moderate(ctx, srv, s, m.Method, name)
		},
	})
	defer srv.Close()
	web := httptest.NewServer(mediasouphttp.NewHandler(srv, &mediasouphttp.Options{Connection: tenantOf}))
	defer web.Close()

	_, err := enter(ctx, web.URL, "mallory", "t3")
	if refused, ok := errors.AsType[*wsconn.DialError](err); ok {
		fmt.Printf("%d %q\n", refused.StatusCode, refused.Body)
	}
	alice, err := enter(ctx, web.URL, "alice", "t1")
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	boss, err := enter(ctx, web.URL, "boss", "t2")
	if err != nil {
		log.Fatal(err)
	}
	defer boss.Close()
	fmt.Println(boss.Peers()[0].Name, string(boss.Peers()[0].AppData))

	_, err = alice.Ask(ctx, "kick", json.RawMessage(`"boss"`))
	fmt.Println(err)
	_, err = boss.Ask(ctx, "kick", json.RawMessage(`"alice"`))
	fmt.Println(err)
	for m, err := range alice.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if closed, ok := m.(*mediasoupproto.Closed); ok {
			fmt.Println("alice is thrown out:", string(closed.AppData))
			break
		}
	}
	// Output:
	// 401 "bad token\n"
	// alice {"Tenant":"acme","Moderator":false}
	// mediasoupproto: not authorised (403)
	// <nil>
	// alice is thrown out: {"kicked":true}
}
