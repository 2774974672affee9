// Command codec-cuttlefish reads Cuttlefish signaling messages, one JSON object a
// line, and says what they are and whether they are valid: those of a file, those of
// standard input for "-", or a few of its own:
//
//	go run ./examples/codec-cuttlefish
//	go run ./examples/codec-cuttlefish messages.jsonl
//
// It exits with status 1 when a message was not valid.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/examples/kit/lines"
)

// samples are what a device, a server and a client say to each other.
const samples = `{"message_type":"register","device_id":"cvd-1","device_info":{"displays":[{"stream_id":"display_0","x_res":720,"y_res":1280,"dpi":320,"is_touch":true}]}}
{"message_type":"config","ice_servers":[{"urls":["stun:127.0.0.1:3478"]}]}
{"message_type":"client_msg","client_id":1,"payload":{"type":"request-offer"}}
{"message_type":"forward","client_id":1,"payload":{"type":"ice-candidate","mid":"0","mLineIndex":0,"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host"}}
{"error":"Forward failed: Unknown client 7"}
{"message_type":"acme_hello","greeting":"unknown types survive"}
`

func main() { lines.Main(samples, explain) }

// explain decodes a message, validates it, and prints what it is.
func explain(data []byte) error {
	// snippet:codec
	m, err := cuttlefish.Decode(data)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *cuttlefish.Forward:
		if id, ok := m.Client(); ok { // a device's forward names its client
			fmt.Println("to client", id, string(m.Payload))
		}
	case *cuttlefish.Unknown:
		fmt.Println("not ours:", m.Type)
	}
	// end snippet
	if err := m.Validate(); err != nil {
		return err
	}
	describe(m)
	return nil
}

func describe(m cuttlefish.Message) {
	switch m := m.(type) {
	case *cuttlefish.Register:
		fmt.Printf("device %s registers with %d bytes of device_info\n", m.DeviceID, len(m.DeviceInfo))
	case *cuttlefish.Config:
		fmt.Printf("config with %d ICE server(s)\n", len(m.ICEServers))
	case *cuttlefish.ClientMsg:
		fmt.Printf("from client %d: %s\n", m.ClientID, payload(m.Payload))
	case *cuttlefish.DeviceMsg:
		fmt.Printf("from the device: %s\n", payload(m.Payload))
	case *cuttlefish.Error:
		fmt.Printf("refused: %s\n", strings.TrimSpace(m.Text))
	}
}

// payload names what is inside.
func payload(data json.RawMessage) string {
	p, err := cuttlefish.DecodePayload(data)
	if err != nil {
		return "some JSON"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", p), "*cuttlefish.")
}
