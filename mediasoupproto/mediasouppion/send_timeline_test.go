package mediasouppion

import (
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

// sink keeps the headers of what is written.
type sink struct{ headers []rtp.Header }

func (s *sink) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	s.headers = append(s.headers, *h)
	return len(payload), nil
}

func (s *sink) Write([]byte) (int, error) { panic("unused") }

func TestTracksThatReplaceOneAnotherAreOneStream(t *testing.T) {
	t.Parallel()
	l := &timeline{rate: 90000}
	began := time.Unix(1000, 0)
	place := func(w *timelineWriter, sequence uint16, timestamp uint32, after time.Duration) (uint16, uint32, bool) {
		h := &rtp.Header{SequenceNumber: sequence, Timestamp: timestamp}
		ok := l.place(w, h, began.Add(after))
		return h.SequenceNumber, h.Timestamp, ok
	}
	first := l.attach(new(sink))
	for _, step := range []struct {
		sequence  uint16
		timestamp uint32
	}{{65534, math.MaxUint32}, {65535, math.MaxUint32}, {1, 2999}, {0, math.MaxUint32}} {
		sequence, timestamp, ok := place(first, step.sequence, step.timestamp, 0)
		require.True(t, ok)
		require.Equal(t, step.sequence, sequence, "the first track is as it is")
		require.Equal(t, step.timestamp, timestamp)
	}
	second := l.attach(new(sink))
	_, _, ok := place(first, 2, 6000, time.Second)
	require.False(t, ok, "the track of before is silent")
	sequence, timestamp, ok := place(second, 40000, 7, time.Second)
	require.True(t, ok)
	require.EqualValues(t, 2, sequence)
	require.EqualValues(t, 2999+90000, timestamp)
	sequence, timestamp, _ = place(second, 40001, 3007, 2*time.Second)
	require.EqualValues(t, 3, sequence)
	require.EqualValues(t, 2999+93000, timestamp)
	third := l.attach(new(sink))
	sequence, timestamp, _ = place(third, 5, 5, 2*time.Second)
	require.EqualValues(t, 4, sequence)
	require.EqualValues(t, 2999+93001, timestamp, "two packets of two tracks are never of one time")
}

func TestHeaderThatATrackWritesToOthersStaysAsItIs(t *testing.T) {
	t.Parallel()
	l := &timeline{rate: 48000}
	out := new(sink)
	h := &rtp.Header{Version: 2, SequenceNumber: 100, Timestamp: 100}
	_, err := l.attach(out).WriteRTP(h, []byte{1})
	require.NoError(t, err)
	w := l.attach(out)
	other := &rtp.Header{Version: 2, SequenceNumber: 7, Timestamp: 7}
	n, err := w.WriteRTP(other, []byte{1, 2})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.EqualValues(t, 7, other.SequenceNumber)
	require.EqualValues(t, 101, out.headers[1].SequenceNumber)

	next := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 8, Timestamp: 9}, Payload: []byte{1}}
	packet, err := next.Marshal()
	require.NoError(t, err)
	_, err = w.Write(packet)
	require.NoError(t, err)
	require.EqualValues(t, 102, out.headers[2].SequenceNumber)
	_, err = w.Write([]byte{1})
	require.Error(t, err)
}
