package mediasouppion

import (
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A timeline makes the packets of tracks that replace one another one stream: each begins
// with a sequence number and a timestamp of its own, and a receiver loses the stream for good
// when the sequence numbers jump back.
type timeline struct {
	mu        sync.Mutex
	rate      uint32 // of the clock, in Hz
	writer    *timelineWriter
	began     bool
	sequence  uint16 // the highest so far
	timestamp uint32 // of that packet
	written   time.Time
}

// attach returns the writer of the next track. What those before write is dropped from now
// on.
func (l *timeline) attach(to webrtc.TrackLocalWriter) *timelineWriter {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writer = &timelineWriter{line: l, to: to}
	return l.writer
}

func (l *timeline) setRate(rate uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = rate
}

// place moves a packet to its place, and reports whether it has one.
func (l *timeline) place(w *timelineWriter, h *rtp.Header, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writer != w {
		return false
	}
	if !w.began && l.began {
		w.sequence = l.sequence + 1 - h.SequenceNumber
		elapsed := uint32(now.Sub(l.written).Seconds() * float64(l.rate))
		w.timestamp = l.timestamp + max(elapsed, 1) - h.Timestamp
	}
	w.began = true
	h.SequenceNumber += w.sequence
	h.Timestamp += w.timestamp
	if !l.began || int16(h.SequenceNumber-l.sequence) > 0 {
		l.began = true
		l.sequence, l.timestamp, l.written = h.SequenceNumber, h.Timestamp, now
	}
	return true
}

// A timelineWriter is where one track writes to.
type timelineWriter struct {
	line *timeline
	to   webrtc.TrackLocalWriter

	// Guarded by the lock of line.
	began     bool
	sequence  uint16 // what is added
	timestamp uint32
}

// WriteRTP implements [webrtc.TrackLocalWriter].
func (w *timelineWriter) WriteRTP(header *rtp.Header, payload []byte) (int, error) {
	h := *header // a track may write it to others as well
	if !w.line.place(w, &h, time.Now()) {
		return 0, nil
	}
	return w.to.WriteRTP(&h, payload)
}

// Write implements [webrtc.TrackLocalWriter].
func (w *timelineWriter) Write(b []byte) (int, error) {
	var packet rtp.Packet
	if err := packet.Unmarshal(b); err != nil {
		return 0, err
	}
	return w.WriteRTP(&packet.Header, packet.Payload)
}

// A boundContext is what a track is bound to.
type boundContext struct {
	webrtc.TrackLocalContext
	writer *timelineWriter
}

// WriteStream implements [webrtc.TrackLocalContext].
func (c boundContext) WriteStream() webrtc.TrackLocalWriter { return c.writer }
