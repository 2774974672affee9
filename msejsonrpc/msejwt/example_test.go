package msejwt_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msejwt"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A token service signs with the private key, the server verifies with the public one.
func Example() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	service := msejwt.Key{ID: "2026-01", Algorithm: msejwt.EdDSA, Key: private}
	verifier, err := msejwt.New(&msejwt.Options{
		Keys:     []msejwt.Key{{ID: "2026-01", Algorithm: msejwt.EdDSA, Key: public}},
		Audience: "media",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{Authenticate: verifier.Authenticate})
	defer server.Close()

	for _, audience := range []string{"media", "mail"} {
		token, err := service.Sign(&msejwt.Claims{
			Domain: "example.org", RoomID: "lobby", UserID: "ada", Role: msejsonrpc.RoleUser,
			Audience: []string{audience}, ExpiresAt: time.Now().Add(time.Hour),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		near, far := transport.Pipe()
		go server.Serve(context.Background(), far)
		client, err := msejsonrpc.Connect(context.Background(), near, &msejsonrpc.ClientOptions{Token: token})
		if err != nil {
			fmt.Println(errors.Is(err, msejsonrpc.ErrNotAuthorized), err)
			continue
		}
		for s := range server.Sessions() {
			fmt.Println(s.Identity())
		}
		client.Disconnect()
	}
	// Output:
	// user ada of room lobby in domain example.org
	// true msejsonrpc: connect: msejsonrpc: Authorization Failed (-4001)
}

// The keys of an issuer that rotates them come from somewhere else, such as its JWK set.
func ExampleOptions_lookup() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	published := map[string]ed25519.PublicKey{"2026-02": public} // fetched now and then
	verifier, err := msejwt.New(&msejwt.Options{
		Lookup: func(_ context.Context, id string) (msejwt.Key, error) {
			key, ok := published[id]
			if !ok {
				return msejwt.Key{}, msejwt.ErrUnknownKey
			}
			return msejwt.Key{ID: id, Algorithm: msejwt.EdDSA, Key: key}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"2026-02", "2026-01"} {
		key := msejwt.Key{ID: id, Algorithm: msejwt.EdDSA, Key: private}
		token, err := key.Sign(&msejwt.Claims{
			UserID: "ada", Role: msejsonrpc.RoleUser, ExpiresAt: time.Now().Add(time.Hour),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		claims, err := verifier.Verify(context.Background(), token)
		if errors.Is(err, msejwt.ErrUnknownKey) {
			fmt.Println("no key", id)
			continue
		}
		fmt.Println(claims.UserID, err)
	}
	// Output:
	// ada <nil>
	// no key 2026-01
}
