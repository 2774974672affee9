// Package mseviewer is a small web page for media servers that speak MSE JSON-RPC: it
// authenticates with a token, sends the camera if asked to, and shows what the server
// sends.
package mseviewer

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed page
var embedded embed.FS

// Handler serves the page. It connects to /mse of the server that it comes from.
func Handler() http.Handler {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // embedded above
	}
	return http.FileServerFS(page)
}
