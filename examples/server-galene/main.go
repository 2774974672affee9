// Command server-galene is a videoconferencing server that speaks the protocol of Galène:
// its members see and hear each other, chat and send each other files. Galène's own web
// client runs on it; take the folder static of a copy of github.com/jech/galene:
//
//	git clone https://github.com/jech/galene
//	go run ./examples/server-galene -static galene/static
//
// and open http://127.0.0.1:8443/group/test/ in a few windows of a browser. Without it, the
// page there shows what others send, such as examples/bot-galene-publisher, and takes no
// camera. Groups are read from Galène's group files if there are any; otherwise there is
// one, test, into which everybody may, and in which moderator, with that password, is an
// operator.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/kit/watch"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenegroup"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	static := flag.String("static", "", "`folder` with Galène's web client")
	groups := flag.String("groups", "", "`folder` with Galène's group files")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *static, *groups); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, static, groups string) error {
	store, err := open(groups)
	if err != nil {
		return err
	}
	files := watch.Files() // a page that shows what others send
	if static != "" {
		files = os.DirFS(static)
	}

	// snippet:server
	router := galenepion.NewRouter(&galenepion.RouterOptions{Logger: slog.Default()})
	defer router.Close()
	srv := galene.NewServer(&galene.ServerOptions{
		Groups:  store,
		Router:  router,
		Address: galenehttp.Address,
		Logger:  slog.Default(),
	})
	defer srv.Close()
	handler := galenehttp.NewHandler(srv, &galenehttp.Options{Static: files, WHIP: true, Logger: slog.Default()})
	defer handler.Close()
	web := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	// end snippet

	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on http://%s/group/test/", addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// open returns the groups of a folder, or for "" a group for everybody.
func open(folder string) (galene.GroupStore, error) {
	if folder != "" {
		return galenegroup.Open(folder, nil)
	}
	return galene.Groups{"test": {
		Group:    galene.Group{DisplayName: "Test", Public: true, AutoSubgroups: true},
		Users:    map[string]galene.MemoryUser{"moderator": {Password: "moderator", Set: "op"}},
		Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "present"},
	}}, nil
}
