package mediasoupproto

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

func TestStatisticsThatAreNotAsTheyShouldAreNamed(t *testing.T) {
	t.Parallel()
	stats := []json.RawMessage{raw(`{"type":"inbound-rtp","id":"a"}`), raw(`{"bitrate":"fast"}`)}
	_, err := (&ProducerStats{Stats: stats}).Streams()
	require.EqualError(t, err, "mediasoupproto: decode producerStats: stats[1].bitrate: wrong JSON type")
	require.IsType(t, new(DecodeError), err)
	_, err = (&ConsumerStats{Stats: stats}).Streams()
	require.EqualError(t, err, "mediasoupproto: decode consumerStats: stats[1].bitrate: wrong JSON type")
	_, err = (&TransportStats{Stats: []json.RawMessage{raw(`{"iceSelectedTuple":{"localPort":65536}}`)}}).Transport()
	require.EqualError(t, err,
		"mediasoupproto: decode transportStats: stats[0].iceSelectedTuple.localPort: number out of range")
	_, err = (&TransportStats{Stats: []json.RawMessage{raw(`[]`)}}).Transport()
	require.EqualError(t, err, "mediasoupproto: decode transportStats: stats[0]: not a JSON object")
	_, err = (&TransportStats{Stats: []json.RawMessage{raw(`{"a":1,"a":1}`)}}).Transport()
	require.ErrorIs(t, err, jsonx.ErrDuplicate)
	all, err := new(TransportStats).Transport()
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestStatisticsKeepWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	const text = `{"type":"outbound-rtp","id":"a","timestamp":1,"ssrc":2,"kind":"video","mimeType":"video/VP8",` +
		`"packetCount":3,"byteCount":4,"bitrate":5,"packetsLost":-6,"fractionLost":7,"packetsDiscarded":8,` +
		`"packetsRepaired":9,"firCount":10,"pliCount":11,` +
		`"nackCount":12,"sliCount":13,"roundTripTime":0.5,"inboundRtpId":"b","acme":[1.0]}`
	all, err := (&ConsumerStats{Stats: []json.RawMessage{raw(text)}}).Streams()
	require.NoError(t, err)
	require.Equal(t, Fields{"acme": raw("[1.0]")}, all[0].Extra)
	require.InDelta(t, 0.5, *all[0].RoundTripTime, 0)
	require.Nil(t, all[0].Jitter)
	b, err := all[0].JSON()
	require.NoError(t, err)
	require.Equal(t, text, string(b))
	_, err = (&TransportState{Extra: Fields{"a": raw("{")}}).JSON()
	require.Error(t, err)
}
