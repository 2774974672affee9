package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// mediasoupProtocol has peers of one kind:
//
//	open ROOM PEER          a client of protoo in a room, at the addresses of the demo of mediasoup
//
// Labels are request and notification in both directions, and response and error for the answers
// to requests, whose ids are not shown. What is raw is a message of protoo.
func mediasoupProtocol() (*suite.Protocol, error) {
	return load(&suite.Protocol{
		Name: "mediasoup",
		References: []suite.Reference{
			{Name: suite.Document, Title: "the protocol document"},
			{Name: "mediasoup", Title: "mediasoup 2.6.19 behind protoo-server 4.0.8"},
			{Name: "rtcsignal", Title: "package mediasoupproto of this module"},
		},
		Values: map[string]json.RawMessage{
			"caps":  json.RawMessage(mediasoupCapabilities),
			"dtls":  json.RawMessage(mediasoupDTLS),
			"audio": json.RawMessage(mediasoupAudio),
		},
		Dial: dialMediasoup,
	})
}

// What a browser says of itself, as far as it matters here.
const (
	mediasoupCapabilities = `{"codecs":[` +
		`{"kind":"audio","name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,"preferredPayloadType":100}],` +
		`"headerExtensions":[],"fecMechanisms":[]}`
	mediasoupDTLS = `{"role":"client","fingerprints":[{"algorithm":"sha-256","value":` +
		`"82:5A:68:3D:36:C3:0A:DE:AF:E7:32:43:D2:88:83:57:AC:2D:65:E5:80:C4:B6:FB:AF:1A:A0:21:9F:6D:0C:AD"}]}`
	mediasoupAudio = `{"muxId":"0","codecs":[{"name":"opus","mimeType":"audio/opus","clockRate":48000,"channels":2,` +
		`"payloadType":100}],"headerExtensions":[],"encodings":[{"ssrc":1111}],"rtcp":{"cname":"c","reducedSize":true,"mux":true}}`
)

// A mediasoupPeer numbers its requests.
type mediasoupPeer struct {
	*connPeer
	requests int

	mu    sync.Mutex
	asked map[int]bool // the numbers of requests without an answer
}

func dialMediasoup(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("cannot open %q", args)
	}
	address, err := mediasouphttp.URL(server.URL, args[0], args[1])
	if err != nil {
		return nil, err
	}
	conn, err := dialWebSocket(ctx, address, "protoo")
	if err != nil {
		return nil, err
	}
	if wsconn.Subprotocol(conn) != "protoo" { // browsers end such a connection
		_ = conn.Close(transport.StatusAbnormal, "")
		return nil, errors.New("the server has not agreed on the subprotocol protoo")
	}
	p := &mediasoupPeer{asked: make(map[int]bool)}
	p.connPeer = newConnPeer(conn, p.envelope, p.hear)
	return p, nil
}

// envelope puts a payload into a message of protoo.
func (p *mediasoupPeer) envelope(label, text string) []byte {
	if label == "request" {
		p.requests++
		p.mu.Lock()
		p.asked[p.requests] = true
		p.mu.Unlock()
		return fmt.Appendf(nil, `{"request":true,"id":%d,"method":"mediasoup-request","data":%s}`, p.requests, text)
	}
	return fmt.Appendf(nil, `{"notification":true,"method":"mediasoup-%s","data":%s}`, label, text)
}

// hear takes a message of protoo. An answer to no request is what it is.
func (p *mediasoupPeer) hear(typ transport.MessageType, data []byte) (suite.Event, bool) {
	if typ != transport.Text {
		return hearText(typ, data)
	}
	var m struct {
		ID                                  json.Number
		Request, Response, Notification, OK bool
		Data                                json.RawMessage
		ErrorCode                           json.RawMessage `json:"errorCode"`
		ErrorReason                         json.RawMessage `json:"errorReason"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return suite.Event{Data: data}, true
	}
	if m.Response && !p.answered(m.ID) {
		return suite.Event{Label: "answer to nothing", Data: data}, true
	}
	switch {
	case m.Response && m.OK:
		return suite.Event{Label: "response", Data: m.Data}, true
	case m.Response:
		return suite.Event{Label: "error", Data: fmt.Appendf(nil, `{"code":%s,"reason":%s}`, orNull(m.ErrorCode), orNull(m.ErrorReason))}, true
	case m.Notification:
		return suite.Event{Label: "notification", Data: m.Data}, true
	case m.Request:
		return suite.Event{Label: "request", Data: m.Data}, true
	}
	return suite.Event{Data: data}, true
}

// answered reports whether an id is that of a request that has waited for its answer.
func (p *mediasoupPeer) answered(id json.Number) bool {
	n, err := strconv.Atoi(id.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	ok := err == nil && p.asked[n]
	delete(p.asked, n)
	return ok
}

func orNull(data json.RawMessage) json.RawMessage {
	if data == nil {
		return json.RawMessage("null")
	}
	return data
}
