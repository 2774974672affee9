// Command codec-easyrtc reads packets of EasyRTC, one a line as they stand in an Engine.IO
// message (without the 4 that a WebSocket message begins with), and says what they are and
// whether they are valid: those of a file, those of standard input for "-", or a few of its
// own:
//
//	go run ./examples/codec-easyrtc
//	go run ./examples/codec-easyrtc packets.txt
//
// It exits with status 1 when a packet was not valid.
package main

import (
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/examples/kit/lines"
)

// samples are what a client and a server say to each other.
const samples = `0
0{"sid":"DVysjo1v3TUibKlZAAAA"}
20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"alice"}}]
30[{"msgType":"error","serverTime":1795217364552,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]
21["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"LkNTMJ87kL9kEmai","msgData":{"type":"offer","sdp":"v=0"}}]
31[{"msgType":"ack"}]
22["easyrtcMsg",{"msgType":"hello","targetRoom":"default","msgData":["any",{"json":true}]}]
23["somebodyElses",{"events":"survive"}]
`

func main() { lines.Main(samples, explain) }

// explain decodes a packet, validates it, and prints what it is.
func explain(data []byte) error {
	m, err := easyrtc.Decode(data)
	if bad, ok := errors.AsType[*easyrtc.DecodeError](err); ok && bad.Code != "" {
		return fmt.Errorf("%w (a server answers %s)", bad, bad.Code)
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

func describe(m easyrtc.Message) {
	switch m := m.(type) {
	case *easyrtc.ConnectPacket:
		fmt.Println("connect", string(m.Payload))
	case *easyrtc.Authenticate:
		if m.MsgData.Username != nil {
			fmt.Println("login", m.ID, "of", *m.MsgData.Username)
		}
	case *easyrtc.ErrorMessage:
		fmt.Println("answer to", m.ID, "-", m.MsgData)
	case *easyrtc.Offer:
		if d, err := m.SessionDescription(); err == nil {
			fmt.Printf("offer %v to %s, %d bytes of SDP\n", m.ID, m.TargetEasyrtcID, len(d.SDP))
		}
	case *easyrtc.Ack:
		fmt.Println("answer to", m.ID, "- ok")
	case *easyrtc.Msg:
		fmt.Println("message", m.ID, m.MsgType, "to the room", m.TargetRoom, string(m.MsgData))
	case *easyrtc.Unknown:
		fmt.Println("not ours:", m.Event, m.Type)
	}
}
