// Command bot-galene-file joins a group of a Galène server and sends a file to one of its
// users, or without one takes the files that users send to it.
//
//	go run ./examples/bot-galene-file -into downloads
//	go run ./examples/bot-galene-file -to alice picture.png
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"mime"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func main() {
	group := flag.String("group", "http://127.0.0.1:8443/group/test/", "`URL` of the group, with ?token= if there is one")
	user := flag.String("user", "files", "user `name`")
	password := flag.String("password", "", "`password`, unless the URL has a token")
	to := flag.String("to", "", "`name` of the user who gets the file")
	into := flag.String("into", ".", "`folder` for the files that come")
	limit := flag.Int64("limit", 100<<20, "`bytes` of the largest file that is taken")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *group, *user, *password, *to, flag.Arg(0), *into, *limit); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, group, user, password, to, file, into string, limit int64) error {
	client, _, err := galenehttp.Join(ctx, group, user, password, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	peer := galenepion.NewPeer(client, &galenepion.Options{
		OnFile: func(f *galenepion.IncomingFile) {
			if f.Size > limit {
				f.Reject("too big")
				return
			}
			go func() {
				if err := take(ctx, f, into); err != nil {
					log.Printf("%s of %s: %v", f.Name, f.Username, err)
				}
			}()
		},
	})
	defer peer.Close()
	if file == "" {
		return peer.Run(ctx)
	}
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	if err := send(ctx, client, peer, to, file); err != nil {
		return err
	}
	return nil
}

// send sends a file to the first user of a name.
func send(ctx context.Context, client *galene.Client, peer *galenepion.Peer, to, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	u, err := client.AwaitUser(soon, func(u *galene.User) bool { return u.Username != nil && *u.Username == to })
	if err != nil {
		return fmt.Errorf("nobody is called %q: %w", to, err)
	}
	fmt.Println("waiting for", to, "to accept", info.Name())
	return peer.SendFile(ctx, u.ID, &galenepion.File{
		Name: info.Name(), MimeType: mime.TypeByExtension(filepath.Ext(name)),
		Size: info.Size(), Content: file,
	})
}

// take receives a file. One that exists is not overwritten.
func take(ctx context.Context, f *galenepion.IncomingFile, into string) error {
	if !filepath.IsLocal(f.Name) {
		f.Reject("not a name for a file")
		return errors.New("not a name for a file")
	}
	name := filepath.Join(into, f.Name)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		f.Reject("cannot be stored")
		return err
	}
	err = f.Accept(ctx, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	fmt.Printf("%s from %s: %d bytes\n", name, f.Username, f.Size)
	return nil
}
