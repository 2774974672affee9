// Command codec-mediasoup reads messages of mediasoup 2 in the framing of protoo, one JSON
// object a line, and says what they are, whether they are valid, and what a peer that joins
// can send to a room and receive from it: those of a file, those of standard input for "-",
// or a few of its own:
//
//	go run ./examples/codec-mediasoup
//	go run ./examples/codec-mediasoup messages.jsonl
//
// It exits with status 1 when a message was not valid.
package main

import (
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/examples/kit/lines"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// samples are what a client and a server say to each other. This client has opus and VP8.
const samples = `{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"queryRoom","target":"room"}}
{"request":true,"id":2,"method":"mediasoup-request","data":{"method":"join","target":"room","peerName":"alice","rtpCapabilities":{"codecs":[{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,"preferredPayloadType":100,"rtcpFeedback":[],"parameters":{}},{"kind":"video","name":"VP8","mimeType":"video/VP8","clockRate":90000,"preferredPayloadType":101,"rtcpFeedback":[],"parameters":{}}],"headerExtensions":[]},"spy":false,"appData":{"displayName":"Alice"}}}
{"response":true,"id":2,"ok":true,"data":{"peers":[]}}
{"notification":true,"method":"mediasoup-notification","data":{"method":"newPeer","target":"peer","notification":true,"name":"bob","consumers":[]}}
{"request":true,"id":3,"method":"mediasoup-request","data":{"method":"createTransport","target":"peer","id":11111111,"direction":"send","options":{},"dtlsParameters":{"role":"server","fingerprints":[{"algorithm":"sha-256","value":"AA:BB"}]}}}
{"response":true,"id":3,"errorCode":500,"errorReason":"Error: Transport not found"}
{"notification":true,"method":"mediasoup-notification","data":{"method":"pauseProducer","target":"peer","notification":true,"id":22222222}}
{"notification":true,"method":"active-speaker","data":{"peerName":"bob"}}
`

func main() { lines.Main(samples, explain) }

// explain decodes a message, validates it, and prints what it is. It is the same again when it
// is encoded, but for the order of its members.
func explain(data []byte) error {
	// snippet:codec
	m, err := mediasoupproto.Decode(data)
	if err != nil {
		return err
	}
	if err := mediasoupproto.Compat.Validate(m); err != nil { // as a server demands it
		if bad, ok := errors.AsType[*mediasoupproto.ValidationError](err); ok && bad.Answer != nil {
			return fmt.Errorf("%w (a server answers %q)", bad, bad.Answer.Reason)
		}
		return err
	}
	// end snippet
	if _, err := mediasoupproto.Encode(m); err != nil {
		return err
	}
	describe(m)
	if err := m.Validate(); err != nil { // as it should be
		fmt.Println("  not quite:", err)
	}
	return nil
}

func describe(m mediasoupproto.Message) {
	switch m := m.(type) {
	case *mediasoupproto.QueryRoom:
		fmt.Println("request", m.RequestID, "for what the room can do")
	case *mediasoupproto.Join:
		fmt.Printf("request %s of %s to join %s\n", m.RequestID, m.PeerName, m.AppData)
		compare(m.RTPCapabilities)
	case *mediasoupproto.CreateTransport:
		fmt.Println("request", m.RequestID, "for the transport", m.ID, "to", m.Direction)
	case *mediasoupproto.Response:
		if m.Error != nil {
			fmt.Println("answer to", m.RequestID, "-", m.Error)
			return
		}
		fmt.Printf("answer to %s: %s\n", m.RequestID, m.Result)
	case *mediasoupproto.NewPeer:
		fmt.Println(m.Name, "has joined")
	case *mediasoupproto.PauseProducer:
		fmt.Println("producer", m.ID, "pauses")
	case *mediasoupproto.Application:
		fmt.Println("of the application:", m.Method, string(m.Data))
	case *mediasoupproto.Unknown:
		fmt.Println("not ours:", m.Type)
	}
}

// compare prints what a peer has in common with a room of the default codecs.
func compare(caps *mediasoupproto.RTPCapabilities) {
	common := mediasoupproto.ExtendRTPCapabilities(caps, mediasoupproto.DefaultCapabilities())
	for _, c := range common.Codecs {
		fmt.Printf("  %s: %d here, %d in the room\n", c.MimeType, c.SendPayloadType, c.RecvPayloadType)
	}
	for _, kind := range []mediasoupproto.Kind{mediasoupproto.Audio, mediasoupproto.Video} {
		if p := common.SendingRTPParameters(kind); p != nil {
			fmt.Println("  sends", p.Codecs[0].MimeType)
		}
	}
}
