package msejsonrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
)

func ExampleDecode() {
	m, err := msejsonrpc.Decode([]byte(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0"}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *msejsonrpc.SDPOffer:
		d, err := m.Description()
		fmt.Println(d.Type, d.SDP, err)
	case *msejsonrpc.Unknown:
		fmt.Println("a method of tomorrow:", m.Type)
	}
	// Output: answer v=0 <nil>
}

func ExampleDecode_refused() {
	// encoding/json would take the second name for the first.
	_, err := msejsonrpc.Decode([]byte(`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":17,"Token":"t","version":"1.0"}}`))
	if e, ok := errors.AsType[*msejsonrpc.DecodeError](err); ok {
		fmt.Println(err)
		answer, err := msejsonrpc.Encode(msejsonrpc.NewErrorResponse(e.ID, &msejsonrpc.Error{Code: e.Code, Message: "Invalid params"}))
		fmt.Println(string(answer), err)
	}
	// Output:
	// msejsonrpc: decode auth: params.token: wrong JSON type
	// {"id":2,"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params"}} <nil>
}

func ExampleEncode() {
	for _, m := range []msejsonrpc.Message{
		&msejsonrpc.Start{ID: msejsonrpc.NumberID(3)},
		&msejsonrpc.Disconnect{},
		&msejsonrpc.Response{ID: msejsonrpc.StringID("a"), Result: json.RawMessage(`"started"`)},
	} {
		b, err := msejsonrpc.Encode(m)
		fmt.Println(string(b), err)
	}
	// Output:
	// {"id":3,"method":"start","jsonrpc":"2.0"} <nil>
	// {"id":null,"method":"disconnect","jsonrpc":"2.0"} <nil>
	// {"id":"a","jsonrpc":"2.0","result":"started"} <nil>
}

// A client with a loop of its own, as in the protocol document.
func ExampleRequestFactory() {
	var f msejsonrpc.RequestFactory
	for _, m := range []msejsonrpc.Message{f.Ping(), f.Auth("a JWT"), f.Start()} {
		b, err := msejsonrpc.Encode(m)
		fmt.Println(string(b), err)
	}
	m, err := msejsonrpc.Decode([]byte(`{"id":1,"jsonrpc":"2.0","result":"pong"}`))
	if r, ok := m.(*msejsonrpc.Response); ok {
		fmt.Println(r.ID, "pong:", r.Pong(), "started:", r.Started(), err)
	}
	// Output:
	// {"id":1,"method":"ping","jsonrpc":"2.0"} <nil>
	// {"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"a JWT","version":"1.0"}} <nil>
	// {"id":3,"method":"start","jsonrpc":"2.0"} <nil>
	// 1 pong: true started: false <nil>
}

func ExampleResponse_Identity() {
	m, err := msejsonrpc.Decode([]byte(`{"id":4,"jsonrpc":"2.0","result":{"role":"admin","userId":"u7","roomId":"r1","domain":"example.org","validTo":1700000000}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	i, err := m.(*msejsonrpc.Response).Identity()
	if err != nil {
		fmt.Println(err)
		return
	}
	end, ok := i.ValidTo.Time()
	fmt.Println(i)
	fmt.Println(end, ok)
	// Output:
	// admin u7 of room r1 in domain example.org
	// 2023-11-14 22:13:20 +0000 UTC true
}

func ExampleNewICECandidate() {
	c := msejsonrpc.ICECandidateInit{Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host", SDPMid: new("0"), UsernameFragment: new("abcd")}
	fmt.Println(string(msejsonrpc.NewICECandidate(c, msejsonrpc.FormString).Candidate))
	fmt.Println(string(msejsonrpc.NewICECandidate(c, msejsonrpc.FormObject).Candidate))
	// Output:
	// "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd"
	// {"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":null,"usernameFragment":"abcd"}
}

func ExampleParseID() {
	for _, token := range []string{`1.0`, `"a"`, `12345678901234567890`, `true`} {
		id, ok := msejsonrpc.ParseID([]byte(token))
		fmt.Println(id, ok)
	}
	// Output:
	// 1.0 true
	// "a" true
	// 12345678901234567890 true
	// null false
}

// echo answers every offer of a client.
func echo(ctx context.Context, s *msejsonrpc.ServerSession) error {
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if offer, ok := m.(*msejsonrpc.SDPOffer); ok {
			d, err := offer.Description()
			if err != nil {
				return err
			}
			if err := s.SendOffer(msejsonrpc.SessionDescription{Type: "answer", SDP: "answer to " + d.SDP}); err != nil {
				return err
			}
		}
	}
	return nil
}

// A client and a server over a connection in memory. Over a network the connection comes
// from package wsconn.
func ExampleConnect() {
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		Authenticate: func(_ context.Context, _ *msejsonrpc.ServerSession, auth *msejsonrpc.Auth) (*msejsonrpc.Identity, error) {
			if auth.Token != "good" {
				return nil, msejsonrpc.ErrAuthorizationFailed
			}
			return &msejsonrpc.Identity{UserID: "u7", Role: msejsonrpc.RoleUser}, nil
		},
		Handle: echo,
		Form:   msejsonrpc.FormObject, // which tells an answer from an offer
	})
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), far) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := msejsonrpc.Connect(ctx, near, &msejsonrpc.ClientOptions{Token: "good", Form: msejsonrpc.FormObject})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.State(), client.Ping(ctx))
	if err := client.SendOffer(msejsonrpc.SessionDescription{Type: "offer", SDP: "v=0"}); err != nil {
		fmt.Println(err)
	}
	if m, err := client.Next(ctx); err == nil {
		fmt.Println(m.(*msejsonrpc.SDPOffer).Description())
	}
	fmt.Println(client.Disconnect(), <-served, server.Close())
	// Output:
	// active <nil>
	// {answer answer to v=0} <nil>
	// <nil> <nil> <nil>
}

func ExampleErrNotAuthorized() {
	server := msejsonrpc.NewServer(nil) // which refuses every token
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), far) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := msejsonrpc.Connect(ctx, near, &msejsonrpc.ClientOptions{Token: "expired"})
	fmt.Println(err)
	fmt.Println("another token might help:", errors.Is(err, msejsonrpc.ErrNotAuthorized))
	fmt.Println("the server's words:", errors.Is(err, msejsonrpc.ErrAuthorizationFailed))
	fmt.Println(<-served, server.Close())
	// Output:
	// msejsonrpc: connect: msejsonrpc: Authorization Failed (-4001)
	// another token might help: true
	// the server's words: true
	// <nil> <nil>
}

// The session of a client, from start to end, is a function of the server's.
func ExampleServerOptions_handle() {
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true, // for development
		Handle: func(ctx context.Context, s *msejsonrpc.ServerSession) error {
			defer fmt.Println("the client has gone")
			for m, err := range s.Messages(ctx) {
				if err != nil {
					return err
				}
				if c, ok := m.(*msejsonrpc.ICECandidate); ok {
					init, err := c.Init()
					fmt.Printf("session %d: %s of section %d, %v\n", s.ID(), init.Candidate, *init.SDPMLineIndex, err)
				}
				if err := s.SendCandidate(msejsonrpc.ICECandidateInit{}); err != nil {
					return err
				}
			}
			return nil
		},
	})
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), far) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := msejsonrpc.Connect(ctx, near, &msejsonrpc.ClientOptions{Token: "any"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.SendCandidate(msejsonrpc.ICECandidateInit{Candidate: "candidate:1"}); err != nil {
		fmt.Println(err)
	}
	if m, err := client.Next(ctx); err == nil {
		fmt.Printf("%s is the end of the candidates\n", m.(*msejsonrpc.ICECandidate).Candidate)
	}
	fmt.Println(client.Disconnect(), <-served, server.Close())
	// Output:
	// session 1: candidate:1 of section 0, <nil>
	// "" is the end of the candidates
	// the client has gone
	// <nil> <nil> <nil>
}

// The token of a client does not get into the log.
func ExampleRedact() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "body" && strings.Contains(a.Value.String(), "auth") {
				return a
			}
			return slog.Attr{}
		},
	}))
	near, far := transport.Pipe()
	go func() {
		_, _, err := far.Read(nil)
		if err != nil {
			fmt.Println(err)
		}
	}()
	b, err := msejsonrpc.Encode(&msejsonrpc.Auth{ID: msejsonrpc.NumberID(1), Token: "eyJhbGciOi...", Version: msejsonrpc.Version})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = transport.Logged(near, logger, msejsonrpc.Redact).Write(transport.Text, b)
	fmt.Println(err)
	// Output:
	// body="{\"id\":1,\"method\":\"auth\",\"jsonrpc\":\"2.0\",\"params\":{\"token\":\"[hidden]\",\"version\":\"1.0\"}}"
	// <nil>
}
