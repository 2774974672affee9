// Command bot-easyrtc-watcher joins rooms of an EasyRTC server and prints who comes, who
// changes, who goes, and what is said there:
//
//	go run ./examples/bot-easyrtc-watcher -server http://127.0.0.1:8080 -rooms default,lobby
//
// Servers of easyrtc and of open-easyrtc before 2.1 need -eio 3.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func main() {
	log.SetFlags(0)
	server := flag.String("server", "http://127.0.0.1:8080", "`address` of the server")
	application := flag.String("application", "default", "`name` of the application")
	rooms := flag.String("rooms", "default", "`names` of rooms, separated by commas")
	version := flag.Int("eio", 4, "`version` of Engine.IO, 3 or 4")
	transports := flag.String("transports", "websocket", "`names`, in order: websocket, polling")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := watch(ctx, *server, &easyrtc.Login{
		Application: *application, Username: "watcher", Rooms: strings.Split(*rooms, ","),
	}, &enginehttp.Options{Version: engineio.Version(*version), Transports: strings.Split(*transports, ",")})
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func watch(ctx context.Context, server string, login *easyrtc.Login, connection *enginehttp.Options) error {
	// snippet:watch
	client, token, err := easyrtchttp.Login(ctx, server, login, &easyrtchttp.DialOptions{
		HTTP: connection, Reconnect: true,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Println("I am", token.EasyrtcID)
	for name := range token.RoomData {
		printRoom(client, name)
	}
	for m, err := range client.Messages(ctx) {
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *easyrtc.RoomData:
			if err := m.Validate(); err != nil { // MsgData may be missing
				log.Print(err)
				continue
			}
			for name := range m.MsgData.RoomData {
				printRoom(client, name)
			}
		case *easyrtc.Msg:
			fmt.Println(m.SenderEasyrtcID, "says", m.MsgType, string(m.MsgData))
		case *easyrtc.Reconnected:
			fmt.Println("connected again, as", m.Token.MsgData.EasyrtcID)
		}
	}
	return nil
	// end snippet
}

// printRoom prints who is in a room, in the order of joining.
func printRoom(client *easyrtc.Client, name string) {
	var occupants []*easyrtc.Occupant
	for _, o := range client.Occupants(name) {
		occupants = append(occupants, o)
	}
	slices.SortFunc(occupants, func(a, b *easyrtc.Occupant) int { return cmp.Compare(a.RoomJoinTime, b.RoomJoinTime) })
	fmt.Printf("%s:\n", name)
	for _, o := range occupants {
		username := ""
		if o.Username != nil {
			username = *o.Username
		}
		fmt.Printf("  %s %q", o.EasyrtcID, username)
		if o.Presence != nil {
			fmt.Print(" ", o.Presence.Show)
		}
		if o.APIField != nil {
			fmt.Print(" ", string(o.APIField))
		}
		fmt.Println()
	}
}
