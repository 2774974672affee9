package galenejwt_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
)

// An authorisation server signs with the private key, the server of the group verifies
// with the public one.
func Example() {
	private, err := galenejwt.NewKey(galenejwt.ES256, "2026-01")
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := galenejwt.New(&galenejwt.Options{
		Keys: []galenejwt.Key{private.Public()}, Host: "galene.example.org",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := private.Sign(&galenejwt.Claims{
		Subject:     "ada",
		Audience:    []string{"https://galene.example.org/group/lab/"},
		Permissions: galene.Permissions{galene.PermissionPresent, galene.PermissionMessage},
		ExpiresAt:   time.Now().Add(time.Minute),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, group := range []string{"lab", "office"} {
		claims, err := verifier.Verify(token, group)
		if err != nil {
			fmt.Println(group, errors.Is(err, galene.ErrNotAuthorised), err)
			continue
		}
		fmt.Println(group, claims.Subject, claims.Permissions)
	}
	// Output:
	// lab ada [present message]
	// office true galenejwt: token refused: for another group
}

// The key of a group's file is a JSON Web Key, without the private half.
func ExampleKey_JWK() {
	key, err := galenejwt.ParseKey([]byte(`{
		"kty": "oct", "alg": "HS256", "kid": "2026-01", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	jwk, err := key.Public().JWK()
	fmt.Printf("%s %v\n", jwk, err)
	// Output:
	// {"kty":"oct","alg":"HS256","kid":"2026-01","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} <nil>
}
