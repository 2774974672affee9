package mediasoupproto

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// fuzzFramings are the framings by the number that the fuzzer has for them.
var fuzzFramings = []Framing{Protoo, Protoo2, TypeBody, SocketIO}

// FuzzDecode checks for each framing that whatever decodes encodes, that what was encoded
// decodes to the same and encodes to the same bytes, and that what Validate accepts it accepts
// again on the other side.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		m, err := v.decode()
		for i, framing := range fuzzFramings {
			if err != nil {
				f.Add(uint8(i), []byte(v.Wire))
			} else if b, err := EncodeFramed(framing, m); err == nil {
				f.Add(uint8(i), b)
			}
		}
	}
	f.Add(uint8(0), request(`{"method":"join","target":[],"notification":0,"appData":"\ud800",`+
		`"peerName":"\ud83d\ude00\"\u0007"}`))
	f.Add(uint8(2), []byte(`{"type":"mediasoup-response","id":1e0,"code":-1,"error":{"message":""}}`))
	f.Add(uint8(3), []byte(`37[{"message":"a"},{}]`))
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		framing := fuzzFramings[int(n)%len(fuzzFramings)]
		before := bytes.Clone(data)
		m, err := DecodeFramed(framing, transport.Text, data)
		require.Equal(t, before, data)
		if err != nil {
			require.Nil(t, m)
			require.IsType(t, new(DecodeError), err)
			require.NotNil(t, answerTo(err.(*DecodeError)))
			return
		}
		valid := m.Validate()
		if valid != nil {
			require.IsType(t, new(ValidationError), valid)
		} else {
			require.NoError(t, Compat.Validate(m))
		}
		require.Positive(t, size(m))
		b, err := EncodeFramed(framing, m)
		require.NoError(t, err)
		again, err := DecodeFramed(framing, transport.Text, b)
		require.NoError(t, err, "%s", b)
		require.Equal(t, reflect.TypeOf(m), reflect.TypeOf(again))
		require.Equal(t, m.head().form, again.head().form)
		if r, ok := m.(*Response); ok {
			readAll(r)
			require.Equal(t, r.Error == nil, again.(*Response).Error == nil)
		}
		if framing != Protoo2 || m.head().RequestID != "" { // otherwise it has a number now
			require.Equal(t, m.head(), again.head())
		}
		if valid == nil {
			require.NoError(t, again.Validate(), "%s", b)
		}
		b, err = EncodeFramed(framing, again)
		require.NoError(t, err)
		third, err := DecodeFramed(framing, transport.Text, b)
		require.NoError(t, err)
		require.Equal(t, again, third)
		same, err := EncodeFramed(framing, third)
		require.NoError(t, err)
		require.Equal(t, string(b), string(same))
	})
}

// readAll reads a result as that of any request.
func readAll(r *Response) {
	_, _ = r.QueryRoom()
	_, _ = r.Join()
	_, _ = r.CreateTransport()
	_, _ = r.RestartTransport()
	_, _ = r.EnableConsumer()
}
