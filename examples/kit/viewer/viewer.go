// Package viewer is a small web page for Cuttlefish devices: it lists the devices of a
// server, plays their displays, and sends touch, keys and buttons to them. It runs on
// what package cuttlefishhttp serves.
package viewer

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed page
var embedded embed.FS

// Files serves the page of one device, for cuttlefishhttp.Options.Files.
func Files(string) http.Handler {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // embedded above
	}
	return http.FileServerFS(page)
}

// Index serves the list of devices at "/", for cuttlefishhttp.Options.Fallback.
func Index() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, embedded, "page/devices.html")
	})
	return mux
}
