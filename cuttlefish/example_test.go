package cuttlefish_test

import (
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

func ExampleDecode() {
	m, err := cuttlefish.Decode([]byte(`{"message_type":"client_msg","client_id":1,"payload":{"type":"request-offer"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *cuttlefish.ClientMsg:
		fmt.Printf("client %d says %s\n", m.ClientID, m.Payload)
	case *cuttlefish.Unknown:
		fmt.Println("a type of tomorrow:", m.Type)
	}
	// Output: client 1 says {"type":"request-offer"}
}

func ExampleDecode_refused() {
	// encoding/json would take the second name for the first.
	_, err := cuttlefish.Decode([]byte(`{"message_type":"forward","client_id":"1","Client_ID":2,"payload":{}}`))
	if e, ok := errors.AsType[*cuttlefish.DecodeError](err); ok {
		fmt.Println(e.Type, e.Field)
		fmt.Println(err)
	}
	// Output:
	// forward client_id
	// cuttlefish: decode forward: client_id: wrong JSON type
}

func ExampleEncode() {
	b, err := cuttlefish.Encode(&cuttlefish.Config{ICEServers: []cuttlefish.ICEServer{
		{URLs: []string{"stun:stun.example.org"}},
	}})
	fmt.Println(string(b), err)
	// Output: {"message_type":"config","ice_servers":[{"urls":["stun:stun.example.org"]}]} <nil>
}

func ExampleDecodePayload() {
	p, err := cuttlefish.DecodePayload([]byte(`{"type":"ice-candidate","candidate":{"candidate":"candidate:1","sdpMid":"0"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%T\n", p)
	fmt.Println(p.Validate()) // what the real device would refuse
	// Output:
	// *cuttlefish.ClientCandidate
	// cuttlefish: invalid ice-candidate: candidate.sdpMLineIndex: missing
}

func ExampleDecodeDeviceInfo() {
	info, err := cuttlefish.DecodeDeviceInfo([]byte(`{
		"displays": [{"stream_id":"display_0","x_res":720,"y_res":1280,"dpi":320,"is_touch":true}],
		"hardware": {"CPUs":"4"}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range info.Displays {
		number, _ := cuttlefish.DisplayNumber(d.StreamID)
		fmt.Printf("display %d: %d x %d at %d dpi\n", number, d.XRes, d.YRes, d.DPI)
	}
	fmt.Printf("CPUs: %s\n", info.Hardware["CPUs"])
	// Output:
	// display 0: 720 x 1280 at 320 dpi
	// CPUs: "4"
}

func ExampleEncodeControlCommand() {
	for _, state := range []cuttlefish.ButtonState{cuttlefish.ButtonDown, cuttlefish.ButtonUp} {
		b, err := cuttlefish.EncodeControlCommand(&cuttlefish.ButtonCommand{Button: cuttlefish.ButtonPower, State: state})
		fmt.Println(string(b), err)
	}
	// Output:
	// {"command":"power","button_state":"down"} <nil>
	// {"command":"power","button_state":"up"} <nil>
}

func ExampleEncodeInput() {
	b, err := cuttlefish.EncodeInput(&cuttlefish.MultiTouch{
		ID: []int{0}, X: []int{120}, Y: []int{340}, Down: true, DeviceLabel: cuttlefish.DisplayStreamID(0),
	})
	fmt.Println(string(b), err)
	// Output: {"type":"multi-touch","id":[0],"x":[120],"y":[340],"down":1,"device_label":"display_0"} <nil>
}
