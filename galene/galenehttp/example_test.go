package galenehttp_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
)

// A server, and a client that finds it by the address of a group.
func Example() {
	server := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"lab": {
			Group: galene.Group{DisplayName: "Laboratory"},
			Users: map[string]galene.MemoryUser{"ada": {Password: "sesame", Set: "present"}},
		}},
		Address: galenehttp.Address,
	})
	defer server.Close()
	handler := galenehttp.NewHandler(server, nil)
	defer handler.Close()
	web := httptest.NewServer(handler)
	defer web.Close()

	client, joined, err := galenehttp.Join(context.Background(), web.URL+"/group/lab/", "ada", "sesame", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(joined.Status.DisplayName, joined.Permissions)
	// Output:
	// Laboratory [present message]
}

// The address of an invitation holds its token, the text of a GroupURL does not.
func ExampleParseGroupURL() {
	g, err := galenehttp.ParseGroupURL("https://galene.example.org/group/lab/?token=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Name, g.Token)
	fmt.Println(g)
	// Output:
	// lab secret
	// https://galene.example.org/group/lab/
}

// An authorisation server that lets everybody in whose password is his name.
func ExampleAuthHandler() {
	sign := func(username string) string { return "token-of-" + username } // see package galenejwt
	auth := httptest.NewServer(galenehttp.AuthHandler(
		func(_ context.Context, location, username, password string) (string, bool, error) {
			g, err := galenehttp.ParseGroupURL(location)
			if err != nil || g.Name != "lab" || password != username {
				return "", false, nil
			}
			return sign(username), true, nil
		}, nil))
	defer auth.Close()
	for _, password := range []string{"ada", "bob"} {
		token, err := galenehttp.AuthServer(context.Background(), auth.URL, "https://h/group/lab/", "ada", password, nil)
		fmt.Println(token, err)
	}
	// Output:
	// token-of-ada <nil>
	//  galenehttp: authorisation server: server answered 401 Unauthorized: not authorised
}
