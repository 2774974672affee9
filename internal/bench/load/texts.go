package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// A text is a message on the wire with two ways to read it as far as an application wants it.
// Both return the text that it carries.
type text struct {
	wire        string
	ours, twice func(wire []byte) (carried string, err error)
}

// small and large are the texts of a protocol, nil for one that has none.
func small(p *protocol) *text { return texts[p.name][0] }
func large(p *protocol) *text { return texts[p.name][1] }

var texts = map[string][2]*text{
	"cuttlefish": {
		{forwardOf(`{"type":"ice-candidate","mid":"0","mLineIndex":0,"candidate":"` + candidateLine + `"}`),
			readCuttlefish, twiceCuttlefish},
		{forwardOf(`{"type":"offer","sdp":"` + sdp + `"}`), readCuttlefish, twiceCuttlefish},
	},
	"easyrtc": {
		{easyrtcText("candidate", `{"type":"candidate","label":0,"id":"0","candidate":"`+candidateLine+`"}`),
			readEasyRTC, twiceEasyRTC},
		{easyrtcText("offer", `{"type":"offer","sdp":"`+sdp+`"}`), readEasyRTC, twiceEasyRTC},
	},
	"galene": {
		galeneChat,
		{`{"type":"offer","id":"0c1d2e3f405162738495a6b7c8d9eafb","source":"5f3e0a2c9d5b4c6e8a7f1b2c3d4e5f60",` +
			`"username":"alice","sdp":"` + sdp + `","label":"camera"}`, readGalene, twiceGalene},
	},
	"mediasoup": {
		{`{"notification":true,"method":"mediasoup-notification","data":{"method":"pauseProducer","target":"peer",` +
			`"notification":true,"id":18827171}}`, readMediasoup, twiceMediasoup},
		{`{"request":true,"id":3028692,"method":"mediasoup-request","data":{"method":"createProducer","target":"peer",` +
			`"id":18827171,"kind":"video","transportId":87236391,"rtpParameters":` + rtpParameters + `,"paused":false}}`,
			readMediasoup, twiceMediasoup},
	},
	"mse": {
		{`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":"` + candidateLine + `"}}`,
			readMSE, twiceMSE},
		{`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"` + sdp + `"}}`, readMSE, twiceMSE},
	},
}

var galeneChat = &text{
	`{"type":"chat","id":"Ru9Y7NBct9w","source":"5f3e0a2c9d5b4c6e8a7f1b2c3d4e5f60","username":"alice",` +
		`"value":"It works for me. Does it for you?","time":"2026-11-20T23:53:46Z"}`,
	readGalene, twiceGalene,
}

const candidateLine = `candidate:` +
	`2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN`

// sdp is one of 5.5 kB as JSON has it.
var sdp = `v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n` +
	strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 64)

const rtpParameters = `{"muxId":"1",` +
	`"codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":96,` +
	`"rtcpFeedback":[{"type":"goog-remb"},{"type":"ccm","parameter":"fir"},{"type":"nack"},` +
	`{"type":"nack","parameter":"pli"}],"parameters":{"x-google-start-bitrate":1500}},{"name":"rtx",` +
	`"mimeType":"video/rtx","clockRate":90000,"payloadType":97,"parameters":{"apt":96}}],` +
	`"headerExtensions":[{"uri":"urn:ietf:params:rtp-hdrext:toffset","id":14},` +
	`{"uri":"urn:3gpp:video-orientation","id":13},{"uri":"urn:ietf:params:rtp-hdrext:sdes:mid","id":4}],` +
	`"encodings":[{"ssrc":518394951,"rtx":{"ssrc":2886915491}}],` +
	`"rtcp":{"cname":"lhgGljY2wZ/aUSYO","reducedSize":true,"mux":true}}`

// A description is a candidate as well: what both carry is a text.
type description struct {
	Type       string `json:"type"`
	SDP        string `json:"sdp"`
	Candidate  string `json:"candidate"`
	Mid        string `json:"mid"`
	MLineIndex int    `json:"mLineIndex"`
	Label      int    `json:"label"`
	ID         string `json:"id"`
}

func (d *description) text() string { return d.SDP + d.Candidate } // one of them is empty

func readCuttlefish(wire []byte) (string, error) {
	m, err := cuttlefish.Decode(wire)
	if err != nil {
		return "", err
	}
	forward, ok := m.(*cuttlefish.Forward)
	if !ok {
		return "", unexpected(m)
	}
	payload, err := cuttlefish.DecodePayload(forward.Payload)
	if err != nil {
		return "", err
	}
	switch payload := payload.(type) {
	case *cuttlefish.DeviceCandidate:
		return payload.Candidate, nil
	case *cuttlefish.Offer:
		return payload.SDP, nil
	}
	return "", unexpected(payload)
}

func unexpected(m any) error { return fmt.Errorf("unexpected %T", m) }

func twiceCuttlefish(wire []byte) (string, error) {
	var head struct {
		MessageType string `json:"message_type"`
	}
	if err := json.Unmarshal(wire, &head); err != nil {
		return "", err
	}
	if head.MessageType != "forward" {
		return "", unexpected(head)
	}
	var m struct {
		MessageType string      `json:"message_type"`
		ClientID    int         `json:"client_id"`
		Payload     description `json:"payload"`
	}
	err := json.Unmarshal(wire, &m)
	return m.Payload.text(), err
}

func easyrtcText(msgType, data string) string {
	return `26["easyrtcCmd",{"senderEasyrtcid":"h4ZQKfhn9XzNhIyM","msgData":` + data +
		`,"easyrtcid":"WDN0wHPQG2NurE1h","msgType":"` + msgType + `","serverTime":1795219806728}]`
}

func readEasyRTC(wire []byte) (string, error) {
	m, err := easyrtc.Decode(wire)
	if err != nil {
		return "", err
	}
	switch m := m.(type) {
	case *easyrtc.Candidate:
		c, err := m.ICECandidate()
		if err != nil {
			return "", err
		}
		return c.Candidate, nil
	case *easyrtc.Offer:
		d, err := m.SessionDescription()
		if err != nil {
			return "", err
		}
		return d.SDP, nil
	}
	return "", unexpected(m)
}

// twiceEasyRTC gets the packet of Socket.IO taken apart for nothing.
func twiceEasyRTC(wire []byte) (string, error) {
	wire = bytes.TrimSuffix(wire[bytes.IndexByte(wire, '{'):], []byte("]"))
	var head struct {
		MsgType string `json:"msgType"`
	}
	if err := json.Unmarshal(wire, &head); err != nil {
		return "", err
	}
	if head.MsgType != "candidate" && head.MsgType != "offer" {
		return "", unexpected(head)
	}
	var m struct {
		MsgType         string      `json:"msgType"`
		SenderEasyrtcID string      `json:"senderEasyrtcid"`
		EasyrtcID       string      `json:"easyrtcid"`
		MsgData         description `json:"msgData"`
		ServerTime      int64       `json:"serverTime"`
	}
	err := json.Unmarshal(wire, &m)
	return m.MsgData.text(), err
}

func readGalene(wire []byte) (string, error) {
	m, err := galene.Decode(wire)
	if err != nil {
		return "", err
	}
	switch m := m.(type) {
	case *galene.Chat:
		text, _ := galene.Text(m.Value)
		return text, nil
	case *galene.Offer:
		return m.SDP, nil
	}
	return "", unexpected(m)
}

func twiceGalene(wire []byte) (string, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(wire, &head); err != nil {
		return "", err
	}
	switch head.Type {
	case "chat":
		var m struct {
			Type     string  `json:"type"`
			Kind     string  `json:"kind"`
			ID       string  `json:"id"`
			Source   string  `json:"source"`
			Dest     string  `json:"dest"`
			Username *string `json:"username"`
			Value    string  `json:"value"`
			Time     string  `json:"time"`
		}
		err := json.Unmarshal(wire, &m)
		return m.Value, err
	case "offer":
		var m struct {
			Type     string  `json:"type"`
			ID       string  `json:"id"`
			Source   string  `json:"source"`
			Username *string `json:"username"`
			Replace  string  `json:"replace"`
			Label    string  `json:"label"`
			SDP      string  `json:"sdp"`
		}
		err := json.Unmarshal(wire, &m)
		return m.SDP, err
	}
	return "", unexpected(head)
}

func readMediasoup(wire []byte) (string, error) {
	m, err := mediasoupproto.Decode(wire)
	if err != nil {
		return "", err
	}
	switch m := m.(type) {
	case *mediasoupproto.PauseProducer:
		return strconv.FormatUint(uint64(m.ID), 10), nil
	case *mediasoupproto.CreateProducer:
		return m.RTPParameters.Codecs[0].Name, nil
	}
	return "", unexpected(m)
}

// A protoo is the frame around a message.
type protoo[Message any] struct {
	Request      bool    `json:"request"`
	Notification bool    `json:"notification"`
	ID           uint32  `json:"id"`
	Method       string  `json:"method"`
	Data         Message `json:"data"`
}

type producerParameters struct {
	MuxID  string `json:"muxId"`
	Codecs []struct {
		Name         string `json:"name"`
		MIMEType     string `json:"mimeType"`
		ClockRate    int    `json:"clockRate"`
		PayloadType  int    `json:"payloadType"`
		Channels     int    `json:"channels"`
		RTCPFeedback []struct {
			Type      string `json:"type"`
			Parameter string `json:"parameter"`
		} `json:"rtcpFeedback"`
		Parameters map[string]any `json:"parameters"`
	} `json:"codecs"`
	HeaderExtensions []struct {
		URI string `json:"uri"`
		ID  int    `json:"id"`
	} `json:"headerExtensions"`
	Encodings []struct {
		SSRC uint32 `json:"ssrc"`
		RTX  *struct {
			SSRC uint32 `json:"ssrc"`
		} `json:"rtx"`
	} `json:"encodings"`
	RTCP struct {
		CNAME       string `json:"cname"`
		ReducedSize bool   `json:"reducedSize"`
		Mux         bool   `json:"mux"`
	} `json:"rtcp"`
}

func twiceMediasoup(wire []byte) (string, error) {
	var head protoo[struct {
		Method string `json:"method"`
	}]
	if err := json.Unmarshal(wire, &head); err != nil {
		return "", err
	}
	switch head.Data.Method {
	case "pauseProducer":
		var m protoo[struct {
			Method       string `json:"method"`
			Target       string `json:"target"`
			Notification bool   `json:"notification"`
			ID           uint32 `json:"id"`
		}]
		err := json.Unmarshal(wire, &m)
		return strconv.FormatUint(uint64(m.Data.ID), 10), err
	case "createProducer":
		var m protoo[struct {
			Method        string             `json:"method"`
			Target        string             `json:"target"`
			ID            uint32             `json:"id"`
			Kind          string             `json:"kind"`
			TransportID   uint32             `json:"transportId"`
			RTPParameters producerParameters `json:"rtpParameters"`
			Paused        bool               `json:"paused"`
		}]
		if err := json.Unmarshal(wire, &m); err != nil || len(m.Data.RTPParameters.Codecs) == 0 {
			return "", errors.Join(err, unexpected(m))
		}
		return m.Data.RTPParameters.Codecs[0].Name, nil
	}
	return "", unexpected(head)
}

func readMSE(wire []byte) (string, error) {
	m, err := msejsonrpc.Decode(wire)
	if err != nil {
		return "", err
	}
	switch m := m.(type) {
	case *msejsonrpc.ICECandidate:
		c, err := m.Init()
		return c.Candidate, err
	case *msejsonrpc.SDPOffer:
		d, err := m.Description()
		return d.SDP, err
	}
	return "", unexpected(m)
}

func twiceMSE(wire []byte) (string, error) {
	var head struct {
		Method string `json:"method"`
	}
	if err := json.Unmarshal(wire, &head); err != nil {
		return "", err
	}
	type frame struct {
		ID      *int64 `json:"id"`
		Method  string `json:"method"`
		JSONRPC string `json:"jsonrpc"`
	}
	switch head.Method {
	case "iceCandidate":
		var m struct {
			frame
			Params struct {
				Candidate string `json:"candidate"`
			} `json:"params"`
		}
		err := json.Unmarshal(wire, &m)
		return m.Params.Candidate, err
	case "sdpOffer":
		var m struct {
			frame
			Params struct {
				Offer string `json:"offer"`
			} `json:"params"`
		}
		err := json.Unmarshal(wire, &m)
		return m.Params.Offer, err
	}
	return "", unexpected(head)
}
