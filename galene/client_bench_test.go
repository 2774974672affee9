package galene

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// clientBenchTexts are what a client in a group mostly hears.
var clientBenchTexts = []struct{ name, text string }{
	{"chat", `{"type":"chat","id":"Zm9vYmFyYmF6","source":"b","username":"bob","time":"2000-01-01T00:00:00Z","value":"` +
		strings.Repeat("what is said ", 10) + `"}`},
	{"user",
		`{"type":"user","kind":"change","id":"b","username":"bob","permissions":["present","message"],"data":{"raisehand":true}}`},
	{"ice",
		`{"type":"ice","id":"d","candidate":{"candidate":"candidate:2070692838 1 udp 2130706431 192.0.2.2 47786 typ host ufrag jZLdsuxOcoEnMncg",` +
			`"sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}`},
	{"offer", `{"type":"offer","id":"d","label":"camera","source":"b","username":"bob","sdp":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n`, 110) + `"}`},
}

// benchClientMachine is in a group and receives the stream d.
func benchClientMachine(tb testing.TB) *ClientMachine {
	m := NewClientMachine(ClientConfig{})
	m.Start(clientDawn)
	for _, wire := range []string{peerHandshake, "", peerJoined, clientOffered[2:]} {
		if wire == "" {
			_, err := m.Send(clientDawn, &Join{Kind: JoinJoin, Group: "g", Username: new("u")})
			require.NoError(tb, err)
			continue
		}
		msg, err := Decode([]byte(wire))
		require.NoError(tb, err)
		m.Receive(clientDawn, msg)
	}
	require.Equal(tb, ClientJoined, m.State())
	return m
}

// BenchmarkClientMachine is what a client does with each message: decoding and the machine.
func BenchmarkClientMachine(b *testing.B) {
	for _, tt := range clientBenchTexts {
		b.Run(tt.name, func(b *testing.B) {
			m := benchClientMachine(b)
			text := []byte(tt.text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				msg, err := Decode(text)
				if err != nil {
					b.Fatal(err)
				}
				if fx := m.Receive(clientDawn, msg); len(fx.Deliver) != 1 {
					b.Fatal("not delivered")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// benchClient is a client in a group, over a pipe, and the server's end.
func benchClient(tb testing.TB) (*Client, transport.Conn) {
	near, far := transport.Pipe()
	say := func(text string) { require.NoError(tb, far.Write(transport.Text, []byte(text))) }
	hear := func() { _, _, err := far.Read(nil); require.NoError(tb, err) }
	type result struct {
		client *Client
		err    error
	}
	connected := make(chan result, 1)
	go func() {
		c, err := Connect(context.Background(), near, nil)
		connected <- result{c, err}
	}()
	hear()
	say(peerHandshake)
	r := <-connected
	require.NoError(tb, r.err)
	require.NoError(tb, r.client.Send(&Join{Kind: JoinJoin, Group: "g", Username: new("u")}))
	hear()
	say(peerJoined)
	say(clientOffered[2:])
	for range 2 {
		_, err := r.client.Next(context.Background())
		require.NoError(tb, err)
	}
	tb.Cleanup(func() { require.NoError(tb, r.client.Close()) })
	return r.client, far
}

// BenchmarkClientReceive is the whole way from the carrier, a pipe, to the application.
func BenchmarkClientReceive(b *testing.B) {
	for _, tt := range clientBenchTexts {
		b.Run(tt.name, func(b *testing.B) {
			c, far := benchClient(b)
			text := []byte(tt.text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if err := far.Write(transport.Text, text); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Next(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkClientSend is the whole way of a chat from the application to the carrier.
func BenchmarkClientSend(b *testing.B) {
	c, far := benchClient(b)
	value := NewText(strings.Repeat("what is said ", 10))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(&Chat{Value: value}); err != nil {
			b.Fatal(err)
		}
		_, data, err := far.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		buf = data[:0]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// TestClientBenchmarksReceiveWhatIsReal keeps the benchmarks honest.
func TestClientBenchmarksReceiveWhatIsReal(t *testing.T) {
	t.Parallel()
	for _, tt := range clientBenchTexts {
		require.NoError(t, Check([]byte(tt.text)), tt.name)
		msg, err := Decode([]byte(tt.text))
		require.NoError(t, err)
		require.NoError(t, msg.Validate())
		require.True(t, json.Valid([]byte(tt.text)))
		require.Len(t, benchClientMachine(t).Receive(clientDawn, msg).Deliver, 1, tt.name)
	}
	require.InDelta(t, 5500, len(clientBenchTexts[3].text), 500)
}
