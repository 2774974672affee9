// Command codec-galene reads messages of Galène, one JSON object a line, and says what
// they are, whether they are valid, and whether today's server would take them: those of a
// file, those of standard input for "-", or a few of its own:
//
//	go run ./examples/codec-galene
//	go run ./examples/codec-galene messages.jsonl
//
// It exits with status 1 when a message was not valid.
package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rtcsignal/rtcsignal/examples/kit/lines"
	"github.com/rtcsignal/rtcsignal/galene"
)

// samples are what clients and servers say to each other, the last two in version 1 of the
// protocol.
const samples = `{"type":"handshake","version":["2"],"id":"a1b2"}
{"type":"join","kind":"join","group":"test","username":"alice","password":"secret"}
{"type":"joined","kind":"join","group":"test","username":"alice","permissions":["op","present","message"]}
{"type":"user","kind":"add","id":"a1b2","username":"alice","permissions":["op","present","message"]}
{"type":"chat","source":"a1b2","username":"alice","value":"hello","time":"2026-11-20T23:35:00Z","privileged":true}
{"type":"ice","id":"stream","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host ufrag abcd","sdpMid":"0"}}
{"type":"frobnicate","value":"unknown types survive"}
{"type":"chat","username":"bob","value":"hello","time":1650000000000}
{"type":"request","request":{"audio":true,"video":700000}}
`

func main() { lines.Main(samples, explain) }

// explain decodes a message, validates it, and prints what it is.
func explain(data []byte) error {
	// snippet:codec
	m, err := galene.Decode(data)
	if err != nil {
		return err // no message
	}
	if err := m.Validate(); err != nil {
		return err // one that breaks the rules
	}
	switch m := m.(type) {
	case *galene.Chat:
		text, _ := galene.Text(m.Value)
		fmt.Printf("chat %q at %s\n", text, m.Time)
	case *galene.Offer:
		fmt.Printf("offer of stream %s, %d bytes\n", m.ID, len(m.SDP))
	case *galene.Unknown:
		fmt.Println("not ours:", m.Type)
	default:
		describe(m)
	}
	// end snippet

	if err := galene.Check(data); err != nil {
		fmt.Println("  today's server would close the connection:", err)
	}
	return nil
}

// describe prints what a few other messages are.
func describe(m galene.Message) {
	switch m := m.(type) {
	case *galene.Handshake:
		fmt.Println("handshake of", m.ID, "for version", m.Version)
	case *galene.Join:
		fmt.Println(m.Kind, "group", m.Group)
	case *galene.Joined:
		fmt.Println("joined", m.Kind, m.Group, m.Permissions, m.Value)
	case *galene.User:
		fmt.Println("user", m.Kind, m.ID, m.Permissions)
	case *galene.Request:
		for _, label := range slices.Sorted(maps.Keys(m.Request)) {
			fmt.Printf("request %v of streams labelled %q\n", m.Request[label], label)
		}
		for _, track := range slices.Sorted(maps.Keys(m.Tracks)) {
			fmt.Printf("request %s for tracks labelled %q\n", m.Tracks[track], track)
		}
	case *galene.ICE:
		c, _ := m.Init() // it is valid
		fmt.Println("candidate of stream", m.ID, c.Candidate)
	}
}
