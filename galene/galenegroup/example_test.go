package galenegroup_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenegroup"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A server has the groups of a folder.
func Example() {
	groups, err := galenegroup.Open("testdata/groups", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := galene.NewServer(&galene.ServerOptions{Groups: groups})
	defer server.Close()

	near, far := transport.Pipe()
	go server.Serve(context.Background(), far)
	client, err := galene.Connect(context.Background(), near, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	username := "ada"
	joined, err := client.Join(context.Background(), &galene.Join{Group: "lab", Username: &username, Password: "apw"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(joined.Status.DisplayName, joined.Permissions)
	// Output:
	// Laboratory [record op present message caption token]
}

// A program makes a group, with a password that its file does not tell.
func ExampleDescription() {
	password, err := galenegroup.NewPassword(galenegroup.PasswordPBKDF2, "sesame")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := &galenegroup.Description{
		DisplayName: "Lectures",
		Users: map[string]galenegroup.User{
			"ada": {Password: password, Permissions: galenegroup.Permissions{Set: "op"}},
		},
	}
	text, err := d.MarshalJSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "groups")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "lectures.json"), text, 0o600); err != nil {
		fmt.Println(err)
		return
	}
	groups, err := galenegroup.Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := groups.Group(context.Background(), "lectures")
	fmt.Println(g.DisplayName, g.Users, err)
	// Output:
	// Lectures [ada] <nil>
}
