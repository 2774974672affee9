package mediasouppion

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
)

// Firefox has an SSRC of its own for the reports on each stream that it receives.
func TestEveryConsumerMayBeReportedOnByAnotherName(t *testing.T) {
	t.Parallel()
	const consumers = 3 * maxLearned
	c := newCore(t)
	alice, bob := c.join(aliceID, profileGCM), c.join(bobID, profileGCM)
	m := videoConsumer(bob.transport.id, c.produce(aliceID, 11, videoProducer(alice.transport.id)))
	for i := range uint32(consumers) {
		n := *m
		parameters := *m.RTPParameters
		parameters.Encodings = append(parameters.Encodings[:0:0], parameters.Encodings[0])
		parameters.Encodings[0].SSRC, parameters.Encodings[0].RTX = 1000+i, nil
		n.RTPParameters = &parameters
		id := c.consume(bobID, 100+i, &n)
		bob.sendRTCP(&rtcp.PictureLossIndication{SenderSSRC: 5000 + i, MediaSSRC: 1000 + i})
		require.EqualValues(t, 1, c.room.consumers[id].plis, i)
	}
	for i := range uint32(10 * consumers) { // but not without end
		bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 10_000 + i})
	}
	require.Len(t, bob.transport.rtcpFrom, maxLearned+consumers)
}

// Each time a camera is switched on, it is another stream.
func TestTheClockOfEveryNewProducerIsKnown(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice := c.join(aliceID, profileGCM)
	for i := range uint32(3 * maxLearned) {
		m := videoProducer(alice.transport.id)
		m.RTPParameters.Encodings[0].SSRC, m.RTPParameters.Encodings[0].RTX = 1000+i, nil
		id := c.produce(aliceID, 11+i, m)
		alice.sendRTCP(&rtcp.SenderReport{SSRC: 1000 + i, NTPTime: 77})
		require.EqualValues(t, 77, c.room.producers[id].streams[0].reportNTP, i)
		c.room.CloseProducer(id)
	}
	require.Empty(t, alice.transport.rtcpFrom)
}
