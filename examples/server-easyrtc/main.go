// Command server-easyrtc is a server for EasyRTC that pages which load easyrtc.js work on
// unchanged. It takes the files of the site, of easyrtc.js and of socket.io-client from
// folders:
//
//	npm install open-easyrtc socket.io
//	go run ./examples/server-easyrtc -static public \
//		-api node_modules/open-easyrtc/api -socketio node_modules/socket.io/client-dist
//
// Pages and bots without files need none of them:
//
//	go run ./examples/server-easyrtc
//	go run ./examples/bot-easyrtc-echo    # in a second terminal
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	static := flag.String("static", "", "`folder` of the site")
	api := flag.String("api", "", "`folder` of easyrtc.js, served as /easyrtc/")
	socketIO := flag.String("socketio", "", "`folder` of socket.io.js, served as /socket.io/")
	stun := flag.String("stun", "", "`URL` of a STUN server for all clients, such as stun:stun.example.org")
	anyOrigin := flag.Bool("any-origin", false, "let the pages of other hosts connect")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	files := &easyrtchttp.Options{
		Static: folder(*static), API: folder(*api), SocketIO: folder(*socketIO), Sessions: true,
		HTTP: &enginehttp.Options{AllowAnyOrigin: *anyOrigin, AllowCredentials: *anyOrigin},
	}
	if err := run(ctx, *addr, *stun, files); err != nil {
		log.Fatal(err)
	}
}

func folder(name string) fs.FS {
	if name == "" {
		return nil
	}
	return os.DirFS(name)
}

func run(ctx context.Context, addr, stun string, files *easyrtchttp.Options) error {
	var ice []easyrtc.ICEServer
	if stun != "" {
		ice = append(ice, easyrtc.NewICEServer(stun))
	}

	// snippet:server
	srv := easyrtc.NewServer(&easyrtc.ServerOptions{
		ServerConfig: easyrtc.ServerConfig{ICEServers: ice},
		AllowAll:     true, // or Authenticate, which looks at the credential
		AuthorizeRoomJoin: func(ctx context.Context, _ *easyrtc.ServerSession, r *easyrtc.RoomEntry) error {
			slog.Info("join", "room", r.Room, "client", r.Client.EasyrtcID, "username", r.Client.Username)
			return nil
		},
		Message: func(ctx context.Context, s *easyrtc.ServerSession, m *easyrtc.Msg) (*easyrtc.Msg, error) {
			return &easyrtc.Msg{MsgType: m.MsgType, MsgData: m.MsgData}, nil // what is sent to the server comes back
		},
		Logger: slog.Default(),
	})
	defer srv.Close()
	web := &http.Server{Addr: addr, Handler: easyrtchttp.NewHandler(srv, files), ReadHeaderTimeout: 10 * time.Second}
	// end snippet

	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on http://%s", addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
