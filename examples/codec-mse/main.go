// Command codec-mse reads messages of MSE JSON-RPC, one JSON object a line, and says what
// they are and whether they are valid: those of a file, those of standard input for "-",
// or a few of its own:
//
//	go run ./examples/codec-mse
//	go run ./examples/codec-mse messages.jsonl
//
// It exits with status 1 when a message was not valid.
package main

import (
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/examples/kit/lines"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// samples are what a client and a media server say to each other.
const samples = `{"id":1,"method":"ping","jsonrpc":"2.0"}
{"id":1,"result":"pong","jsonrpc":"2.0"}
{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"appropriate jwt token","version":"1.0"}}
{"id":3,"jsonrpc":"2.0","error":{"code":-6001,"message":"Invalid Call Order","data":{"required":"auth"}}}
{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host"}}
{"id":"a","method":"acme/hello","jsonrpc":"2.0","params":["unknown methods survive"]}
`

func main() { lines.Main(samples, explain) }

// explain decodes a message, validates it, and prints what it is.
func explain(data []byte) error {
	m, err := msejsonrpc.Decode(data)
	if bad, ok := errors.AsType[*msejsonrpc.DecodeError](err); ok {
		return fmt.Errorf("%w (a server answers %d)", bad, bad.Code)
	}
	if err != nil {
		return err
	}
	if err := m.Validate(); err != nil {
		return err
	}
	describe(m)
	return nil
}

func describe(m msejsonrpc.Message) {
	switch m := m.(type) {
	case *msejsonrpc.Ping:
		fmt.Println("request", m.ID, "ping")
	case *msejsonrpc.Auth:
		fmt.Println("request", m.ID, "auth for version", m.Version)
	case *msejsonrpc.Start:
		fmt.Println("request", m.ID, "start")
	case *msejsonrpc.Response:
		if m.Error != nil {
			fmt.Println("error for", m.ID, "-", m.Error)
			return
		}
		fmt.Println("result for", m.ID, string(m.Result))
	case *msejsonrpc.ICECandidate:
		c, _ := m.Init() // it is valid
		fmt.Println("candidate", c.Candidate)
	case *msejsonrpc.SDPOffer:
		d, _ := m.Description()
		fmt.Printf("description of %d bytes\n", len(d.SDP))
	case *msejsonrpc.Unknown:
		fmt.Println("not ours:", m.Type, string(m.Extra["params"]))
	}
}
