// Package watch has pages on which a browser watches what a bot sends, and talks to it: one
// for each protocol whose servers have no page of their own. They need no library: each
// speaks its protocol in a file of plain JavaScript, which may be read as an introduction.
package watch

import (
	"embed"
	"io/fs"
)

//go:embed page
var embedded embed.FS

// Files returns the pages. A server has them at its root:
//
//   - galene.html is the page of every group, as galenehttp.Options.Static has it
//   - easyrtc.html?room=NAME&user=NAME calls a user of a room
//   - mediasoup.html?room=NAME shows what the peers of a room send
func Files() fs.FS {
	pages, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // embedded above
	}
	return pages
}
