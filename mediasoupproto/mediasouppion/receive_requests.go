package mediasouppion

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// A requester asks for lost packets of what a peer connection receives. Pion's own does not see
// what comes again in a stream of its own, and asks for that for as long as it remembers it:
// servers then send many times what was lost.
type requester struct {
	interceptor.NoOp
	primary func(rtx uint32) uint32
	ssrc    uint32 // of the requests
	stop    chan struct{}
	stopped sync.Once
	work    sync.WaitGroup

	mu        sync.Mutex
	receivers map[uint32]*receiver // by SSRC
}

// A requesterFactory makes requesters. primary returns the SSRC of the stream whose packets come
// again in another one, or 0.
type requesterFactory struct{ primary func(rtx uint32) uint32 }

// NewInterceptor implements [interceptor.Factory].
func (f requesterFactory) NewInterceptor(string) (interceptor.Interceptor, error) {
	return &requester{
		primary: f.primary, ssrc: rand.Uint32(), stop: make(chan struct{}), receivers: make(map[uint32]*receiver),
	}, nil
}

// BindRTCPWriter implements [interceptor.Interceptor].
func (q *requester) BindRTCPWriter(to interceptor.RTCPWriter) interceptor.RTCPWriter {
	q.work.Go(func() { q.run(to) })
	return to
}

// BindRemoteStream implements [interceptor.Interceptor].
func (q *requester) BindRemoteStream(info *interceptor.StreamInfo, from interceptor.RTPReader) interceptor.RTPReader {
	ssrc := info.SSRC
	if strings.HasSuffix(strings.ToLower(info.MimeType), "/rtx") {
		of := q.primary(ssrc)
		return watched(from, func(b []byte, _ *rtp.Header) { q.repeated(of, b) })
	}
	if !slices.ContainsFunc(info.RTCPFeedback, func(f interceptor.RTCPFeedback) bool {
		return f.Type == "nack" && f.Parameter == ""
	}) {
		return from
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.receivers[ssrc] = new(receiver)
	return watched(from, func(_ []byte, h *rtp.Header) { q.arrived(ssrc, h.SequenceNumber) })
}

// UnbindRemoteStream implements [interceptor.Interceptor].
func (q *requester) UnbindRemoteStream(info *interceptor.StreamInfo) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.receivers, info.SSRC)
}

// Close implements [interceptor.Interceptor].
func (q *requester) Close() error {
	q.stopped.Do(func() { close(q.stop) })
	q.work.Wait()
	return nil
}

// watched has see look at the packets that are read.
func watched(from interceptor.RTPReader, see func(b []byte, h *rtp.Header)) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := from.Read(b, a)
		if err != nil {
			return n, a, err
		}
		if a == nil {
			a = make(interceptor.Attributes)
		}
		h, err := a.GetRTPHeader(b[:n])
		if err != nil {
			return n, a, err
		}
		see(b[:n], h)
		return n, a, nil
	})
}

func (q *requester) arrived(ssrc uint32, seq uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.receivers[ssrc]; r != nil {
		r.add(seq, true)
	}
}

// repeated takes a packet that repeats one of another stream, as RFC 4588 says.
func (q *requester) repeated(of uint32, b []byte) {
	var packet rtp.Packet // without its padding, which may be all
	if packet.Unmarshal(b) != nil || len(packet.Payload) < 2 {
		return
	}
	seq := binary.BigEndian.Uint16(packet.Payload)
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.receivers[of]; r != nil && slices.ContainsFunc(r.missing, func(m missing) bool {
		return uint16(m.seq) == seq
	}) {
		r.add(seq, true)
	}
}

// run asks until the end.
func (q *requester) run(to interceptor.RTCPWriter) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-q.stop:
			return
		case <-ticker.C:
		}
		if packets := q.requests(time.Now()); len(packets) > 0 {
			_, _ = to.Write(packets, interceptor.Attributes{}) // there is a next time
		}
	}
}

// requests returns what is to be asked for now.
func (q *requester) requests(now time.Time) (packets []rtcp.Packet) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ssrc, r := range q.receivers {
		var space [maxMissing]uint16
		if seqs, _ := r.requests(space[:0], now); len(seqs) > 0 {
			packets = append(packets, &rtcp.TransportLayerNack{
				SenderSSRC: q.ssrc, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
			})
		}
	}
	return packets
}
