package galene_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport"
)

// newServer returns a server with one group, in which alice is an operator.
func newServer() *galene.Server {
	return galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"demo": {
			Group: galene.Group{DisplayName: "A demonstration"},
			Users: map[string]galene.MemoryUser{
				"alice": {Password: "secret", Set: "op"},
				"bob":   {Password: "guess", Set: "present"},
			},
		}},
	})
}

// connect connects a client to a server over memory. Over a network the connection comes
// from package wsconn.
func connect(ctx context.Context, server *galene.Server, opts *galene.ClientOptions) (*galene.Client, error) {
	near, far := transport.Pipe()
	go func() { _ = server.Serve(context.Background(), far) }()
	return galene.Connect(ctx, near, opts)
}

// join connects a client that joins the group.
func join(ctx context.Context, server *galene.Server, username, password string) (*galene.Client, error) {
	client, err := connect(ctx, server, nil)
	if err != nil {
		return nil, err
	}
	_, err = client.Join(ctx, &galene.Join{Group: "demo", Username: &username, Password: password})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// A client joins a group and says something, which comes back as it does to everybody.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := newServer()
	client, err := connect(ctx, server, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	joined, err := client.Join(ctx, &galene.Join{Group: "demo", Username: new("bob"), Password: "guess"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(joined.Status.DisplayName, client.Permissions())
	if err := client.Chat("hello"); err != nil {
		fmt.Println(err)
	}
	for m, err := range client.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch m := m.(type) {
		case *galene.User:
			fmt.Println(m.Kind, *m.Username, "was there:", m.Initial)
		case *galene.Chat:
			text, _ := galene.Text(m.Value)
			fmt.Println(*m.Username, "says", text)
			_ = client.Close() // which ends the loop
		}
	}
	fmt.Println(client.Err(), server.Close())
	// Output:
	// A demonstration [present message]
	// add bob was there: true
	// bob says hello
	// <nil> <nil>
}

// A refusal is an error with the server's text. The client may try again.
func ExampleClient_Join() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := newServer()
	client, err := connect(ctx, server, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Join(ctx, &galene.Join{Group: "demo", Username: new("bob"), Password: "wrong"})
	fmt.Println(err, errors.Is(err, galene.ErrNotAuthorised))
	_, err = client.Join(ctx, &galene.Join{Group: "another", Username: new("bob"), Password: "guess"})
	fmt.Println(err, errors.Is(err, galene.ErrNoGroup))
	_, err = client.Join(ctx, &galene.Join{Group: "demo", Username: new("bob"), Password: "guess"})
	fmt.Println(client.Group(), client.Username(), err)

	// What the server would refuse is not even sent.
	err = client.Lock("come back at five")
	if e, ok := errors.AsType[*galene.PermissionError](err); ok {
		fmt.Println(err, "-", e.Required)
	}
	fmt.Println(client.Close(), server.Close())
	// Output:
	// galene: not authorised true
	// galene: group does not exist true
	// demo bob <nil>
	// galene: groupaction needs the permission "op" - op
	// <nil> <nil>
}

// An operator takes a permission away from a member and throws him out.
func ExampleClient_Kick() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := newServer()
	alice, err := join(ctx, server, "alice", "secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	bob, err := join(ctx, server, "bob", "guess")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = errors.Join(alice.UserAction(galene.UserUnpresent, bob.ID()), alice.Kick(bob.ID(), "that is enough"))
	if err != nil {
		fmt.Println(err)
	}
	for m, err := range bob.Messages(ctx) {
		if j, ok := m.(*galene.Joined); ok && j.Kind == galene.JoinedChange {
			fmt.Println("bob may", j.Permissions)
		}
		if e, ok := errors.AsType[*galene.KickedError](err); ok {
			fmt.Println(err, "-", e.By == alice.ID())
		}
	}
	fmt.Println(bob.Close(), alice.Close(), server.Close())
	// Output:
	// bob may [message]
	// galene: kicked out by alice: that is enough - true
	// <nil> <nil> <nil>
}

// An operator makes an invitation; whoever has it may choose his name.
func ExampleClient_JoinWithToken() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := newServer()
	alice, err := join(ctx, server, "alice", "secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := alice.MakeToken(ctx, &galene.TokenRequest{
		Permissions: galene.Permissions{galene.PermissionMessage},
		Expires:     galene.TokenTime{In: time.Hour},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	guest, err := connect(ctx, server, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = guest.JoinWithToken(ctx, token.Group, token.Token, func(context.Context) (string, error) {
		fmt.Println("who are you?")
		return "carol", nil
	})
	fmt.Println(guest.Username(), guest.Permissions(), err)

	// It is taken back by letting it expire.
	_, err = alice.EditToken(ctx, &galene.TokenRequest{Token: token.Token, Expires: galene.TokenTime{In: -time.Second}})
	if err != nil {
		fmt.Println(err)
	}
	late, err := connect(ctx, server, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = late.Join(ctx, &galene.Join{Group: token.Group, Token: token.Token, Username: new("dave")})
	fmt.Println(err)
	fmt.Println(late.Close(), guest.Close(), alice.Close(), server.Close())
	// Output:
	// who are you?
	// carol [message] <nil>
	// galene: not authorised
	// <nil> <nil> <nil> <nil>
}
