package mediasouppion

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

// The SSRCs of a stream and of what repeats it.
const (
	firstSSRC  = 7
	repeatSSRC = 8
)

// A requesterRig is a requester of which a test reads.
type requesterRig struct {
	t     *testing.T
	asks  interceptor.Interceptor
	asked []*rtcp.TransportLayerNack
	next  []byte // what is read; nil is the end
}

func newRequesterRig(t *testing.T) *requesterRig {
	r := &requesterRig{t: t}
	var err error
	r.asks, err = requesterFactory{func(rtx uint32) uint32 {
		require.EqualValues(t, repeatSSRC, rtx)
		return firstSSRC
	}}.NewInterceptor("")
	require.NoError(t, err)
	r.asks.BindRTCPWriter(interceptor.RTCPWriterFunc(func(all []rtcp.Packet, _ interceptor.Attributes) (int, error) {
		for _, p := range all {
			r.asked = append(r.asked, p.(*rtcp.TransportLayerNack))
		}
		return 0, nil
	}))
	return r
}

// stream returns what reads a packet of a stream.
func (r *requesterRig) stream(info *interceptor.StreamInfo) func(p *rtp.Packet) error {
	reader := r.asks.BindRemoteStream(info, interceptor.RTPReaderFunc(
		func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
			if r.next == nil {
				return 0, a, io.EOF
			}
			return copy(b, r.next), a, nil
		}))
	return func(p *rtp.Packet) error {
		if r.next = nil; p != nil {
			p.Version, p.SSRC = 2, info.SSRC
			b, err := p.Marshal()
			require.NoError(r.t, err)
			r.next = b
		}
		b := make([]byte, 1500)
		n, _, err := reader.Read(b, nil)
		require.Equal(r.t, r.next, append([]byte(nil), b[:n]...))
		return err
	}
}

func (r *requesterRig) first() func(p *rtp.Packet) error {
	return r.stream(&interceptor.StreamInfo{
		SSRC: firstSSRC, MimeType: "video/VP8",
		RTCPFeedback: []interceptor.RTCPFeedback{{Type: "nack", Parameter: "pli"}, {Type: "nack"}},
	})
}

// missing returns what has been asked for since the last call, after some time.
func (r *requesterRig) missing(after time.Duration) (all []uint16) {
	time.Sleep(after)
	synctest.Wait()
	for _, p := range r.asked {
		require.EqualValues(r.t, firstSSRC, p.MediaSSRC)
		for i := range p.Nacks {
			all = append(all, p.Nacks[i].PacketList()...)
		}
	}
	r.asked = nil
	return all
}

func numbered(seq uint16, payload ...byte) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{SequenceNumber: seq}, Payload: payload}
}

func TestLostPacketsAreAskedForUntilTheyAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRequesterRig(t)
		first := r.first()
		again := r.stream(&interceptor.StreamInfo{SSRC: repeatSSRC, MimeType: "video/rtx"})
		for _, seq := range []uint16{65533, 65534, 3} {
			require.NoError(t, first(numbered(seq, 1, 2, 3)))
		}
		require.Equal(t, []uint16{65535, 0, 1, 2}, r.missing(tickInterval))
		require.Empty(t, r.missing(retryAfter-tickInterval), "there is no answer so soon")

		require.NoError(t, again(numbered(100, 0xff, 0xff, 9)))
		require.NoError(t, first(numbered(1, 9))) // late, or repeated in its own stream
		for _, other := range [][]byte{{0x80, 0}, {0}, nil, {0, 3, 1}} {
			require.NoError(t, again(numbered(101, other...))) // of what is not missing
		}
		padding := numbered(102)
		padding.Padding, padding.PaddingSize = true, 9
		require.NoError(t, again(padding))
		require.Equal(t, []uint16{0, 2}, r.missing(tickInterval))

		require.NoError(t, again(numbered(103, 0, 0, 9)))
		require.Len(t, r.missing(time.Minute), maxRetries-2, "it asks for packet 2 for some time only")
		require.ErrorIs(t, again(nil), io.EOF)

		require.NoError(t, first(numbered(5, 1)))
		r.asks.UnbindRemoteStream(&interceptor.StreamInfo{SSRC: firstSSRC})
		require.Empty(t, r.missing(time.Minute), "of a stream that is over")
		require.NoError(t, first(numbered(8, 1)))
		require.NoError(t, again(numbered(104, 0, 4, 9)))
		require.NoError(t, r.asks.Close())
		require.NoError(t, r.asks.Close())
	})
}

func TestNobodyAsksForPacketsOfStreamsWithoutNACK(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRequesterRig(t)
		sound := r.stream(&interceptor.StreamInfo{
			SSRC: firstSSRC, MimeType: "audio/opus", RTCPFeedback: []interceptor.RTCPFeedback{{Type: "nack", Parameter: "pli"}},
		})
		for _, seq := range []uint16{1, 5} {
			require.NoError(t, sound(numbered(seq, 1)))
		}
		require.Empty(t, r.missing(time.Minute))
		require.NoError(t, r.asks.Close())
	})
}

func TestWhatIsNoPacketIsNoneForTheRequester(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRequesterRig(t)
		reader := r.asks.BindRemoteStream(&interceptor.StreamInfo{
			SSRC: firstSSRC, RTCPFeedback: []interceptor.RTCPFeedback{{Type: "nack"}},
		}, interceptor.RTPReaderFunc(func(b []byte, _ interceptor.Attributes) (int, interceptor.Attributes, error) {
			return copy(b, "short"), nil, nil
		}))
		_, _, err := reader.Read(make([]byte, 1500), nil)
		require.Error(t, err)
		require.Empty(t, r.missing(time.Minute))
		require.NoError(t, r.asks.Close())
	})
}
