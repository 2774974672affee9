package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/stretchr/testify/require"
	"golang.org/x/exp/jsonrpc2"

	"github.com/rtcsignal/rtcsignal/internal/bench/ping"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// An mseText is a message on the wire with what the other libraries need to handle it.
type mseText struct {
	name, wire string
	params     func() any // a fresh pointer to what they read params into; nil without params
}

type (
	authParams struct {
		Token   string `json:"token"`
		Version string `json:"version"`
	}
	candidateParams struct {
		Candidate string `json:"candidate"`
	}
	offerParams struct {
		Offer string `json:"offer"`
	}
)

var mseTexts = []mseText{
	{"ping", `{"id":7,"method":"ping","jsonrpc":"2.0"}`, nil},
	{
		"auth", `{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"` +
			strings.Repeat("eyJhbGciOiJFUzI1NiIs", 35) + `","version":"1.0"}}`,
		func() any { return new(authParams) },
	},
	{"pong", `{"id":7,"jsonrpc":"2.0","result":"pong"}`, nil},
	{
		"iceCandidate", `{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":` +
			`"candidate:2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN"}}`,
		func() any { return new(candidateParams) },
	},
	{
		"sdpOffer", `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"` +
			strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) + `"}}`,
		func() any { return new(offerParams) },
	},
}

// mseDecoders read a message and what it carries as the application wants it: typed
// params with their strings unescaped, the text of a result.
var mseDecoders = []struct {
	lib    string
	decode func(t mseText, wire []byte) (carried any, err error)
}{
	{"rtcsignal", decodeRTCSignal},
	{"jrpc2", decodeJRPC2},
	{"xexp", decodeXExp},
}

func decodeRTCSignal(_ mseText, wire []byte) (any, error) {
	m, err := msejsonrpc.Decode(wire)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *msejsonrpc.ICECandidate:
		return m.Init()
	case *msejsonrpc.SDPOffer:
		return m.Description()
	case *msejsonrpc.Response:
		return m.Pong(), nil
	}
	return m, nil
}

// decodeJRPC2 reads responses with ParseRequests as well, which is what the client does
// with them inside, and gives the result up.
func decodeJRPC2(t mseText, wire []byte) (any, error) {
	parsed, err := jrpc2.ParseRequests(wire)
	if err != nil {
		return nil, err
	}
	if t.params == nil {
		return parsed[0], nil
	}
	params := t.params()
	return params, parsed[0].ToRequest().UnmarshalParams(params)
}

func decodeXExp(t mseText, wire []byte) (any, error) {
	m, err := jsonrpc2.DecodeMessage(wire)
	if err != nil {
		return nil, err
	}
	if r, ok := m.(*jsonrpc2.Response); ok {
		var result string
		return result, json.Unmarshal(r.Result, &result)
	}
	if t.params == nil {
		return m, nil
	}
	params := t.params()
	return params, json.Unmarshal(m.(*jsonrpc2.Request).Params, params)
}

func BenchmarkMSEDecode(b *testing.B) {
	for _, tt := range mseTexts {
		wire := []byte(tt.wire)
		for _, d := range mseDecoders {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, d.lib), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(wire)))
				for b.Loop() {
					if _, err := d.decode(tt, wire); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// mseEncoders make a function that builds and writes a message from what an application
// has.
var mseEncoders = []struct {
	lib     string
	prepare func(tb testing.TB, t mseText) (encode func() ([]byte, error))
}{
	{"rtcsignal", encodeRTCSignal},
	{"jrpc2", encodeJRPC2},
	{"xexp", encodeXExp},
}

func encodeRTCSignal(tb testing.TB, t mseText) func() ([]byte, error) {
	m, err := msejsonrpc.Decode([]byte(t.wire))
	require.NoError(tb, err)
	switch m := m.(type) {
	case *msejsonrpc.Ping:
		return func() ([]byte, error) { return msejsonrpc.Encode(&msejsonrpc.Ping{ID: m.ID}) }
	case *msejsonrpc.Auth:
		return func() ([]byte, error) {
			return msejsonrpc.Encode(&msejsonrpc.Auth{ID: m.ID, Token: m.Token, Version: m.Version})
		}
	case *msejsonrpc.ICECandidate:
		candidate, err := m.Init()
		require.NoError(tb, err)
		return func() ([]byte, error) {
			return msejsonrpc.Encode(msejsonrpc.NewICECandidate(candidate, msejsonrpc.FormString))
		}
	case *msejsonrpc.SDPOffer:
		offer, err := m.Description()
		require.NoError(tb, err)
		return func() ([]byte, error) { return msejsonrpc.Encode(msejsonrpc.NewSDPOffer(offer, msejsonrpc.FormString)) }
	}
	ping := &msejsonrpc.Ping{ID: msejsonrpc.NumberID(7)}
	return func() ([]byte, error) { return msejsonrpc.Encode(ping.Pong()) }
}

// lastRecord is a channel that keeps what is sent, and receives nothing until it is closed.
type lastRecord struct {
	record []byte
	closed chan struct{}
}

func (c *lastRecord) Send(record []byte) error {
	c.record = record
	return nil
}

func (c *lastRecord) Recv() ([]byte, error) {
	<-c.closed
	return nil, channel.ErrClosed
}

func (c *lastRecord) Close() error {
	close(c.closed)
	return nil
}

func encodeJRPC2(tb testing.TB, t mseText) func() ([]byte, error) {
	if t.name == "pong" {
		return encodePongJRPC2(tb)
	}
	ch := &lastRecord{closed: make(chan struct{})}
	client := jrpc2.NewClient(ch, nil)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	params := t.paramsOf(tb)
	return func() ([]byte, error) {
		err := client.Notify(context.Background(), t.name, params)
		return ch.record, err
	}
}

// encodePongJRPC2 writes a response that a server has made, because nobody else can make
// one.
func encodePongJRPC2(tb testing.TB) func() ([]byte, error) {
	near, far := channel.Direct()
	srv := ping.ServeJRPC2(far)
	client := jrpc2.NewClient(near, nil)
	r, err := client.Call(context.Background(), "ping", nil)
	require.NoError(tb, err)
	require.NoError(tb, client.Close())
	require.NoError(tb, srv.Wait())
	return func() ([]byte, error) {
		if _, err := json.Marshal("pong"); err != nil { // as the server does with the result
			return nil, err
		}
		return r.MarshalJSON()
	}
}

// paramsOf returns the params of the message.
func (t mseText) paramsOf(tb testing.TB) any {
	if t.params == nil {
		return nil
	}
	params := t.params()
	var m struct{ Params json.RawMessage }
	require.NoError(tb, json.Unmarshal([]byte(t.wire), &m))
	require.NoError(tb, json.Unmarshal(m.Params, params))
	return params
}

func encodeXExp(tb testing.TB, t mseText) func() ([]byte, error) {
	params := t.paramsOf(tb)
	var id jsonrpc2.ID
	if !strings.Contains(t.wire, `"id":null`) {
		id = jsonrpc2.Int64ID(7)
	}
	return func() ([]byte, error) {
		var m jsonrpc2.Message
		var err error
		if t.name == "pong" {
			m, err = jsonrpc2.NewResponse(id, "pong", nil)
		} else {
			m, err = jsonrpc2.NewCall(id, t.name, params)
		}
		if err != nil {
			return nil, err
		}
		return jsonrpc2.EncodeMessage(m)
	}
}

func BenchmarkMSEEncode(b *testing.B) {
	for _, tt := range mseTexts {
		for _, e := range mseEncoders {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, e.lib), func(b *testing.B) {
				encode := e.prepare(b, tt)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestMSETextIsReadByEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range mseTexts {
		for _, d := range mseDecoders {
			carried, err := d.decode(tt, []byte(tt.wire))
			require.NoError(t, err, "%s by %s", tt.name, d.lib)
			if d.lib != "rtcsignal" && tt.params != nil {
				require.Equal(t, tt.paramsOf(t), carried, "%s by %s", tt.name, d.lib)
			}
		}
	}
}

// Ids apart, which jrpc2 and xexp leave out of notifications, and jrpc2 cannot be told.
func TestMSETextIsWrittenByEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range mseTexts {
		var want map[string]any
		require.NoError(t, json.Unmarshal([]byte(tt.wire), &want))
		delete(want, "id")
		for _, e := range mseEncoders {
			b, err := e.prepare(t, tt)()
			require.NoError(t, err, "%s by %s", tt.name, e.lib)
			var got map[string]any
			require.NoError(t, json.Unmarshal(b, &got), "%s by %s", tt.name, e.lib)
			delete(got, "id")
			require.Equal(t, want, got, "%s by %s", tt.name, e.lib)
		}
	}
}
