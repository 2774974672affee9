// Package easyrtchttp brings package easyrtc and net/http together: a client in one call,
// and a handler that stands in for the Node server of open-easyrtc, so that a page which
// loads easyrtc.js works on it unchanged.
//
//	client, token, err := easyrtchttp.Login(ctx, "https://example.org", &easyrtc.Login{
//		Application: "app", Username: "bot", Rooms: []string{"lobby"},
//	}, nil)
//
//	http.Handle("/", easyrtchttp.NewHandler(srv, &easyrtchttp.Options{Static: os.DirFS("public")}))
//
// What connects is package transport/engineio/enginehttp, whose options are those of the
// connections.
package easyrtchttp
