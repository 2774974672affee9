package mediasouppion

import "time"

// A rebase makes one stream without gaps of what is forwarded to a consumer: pieces of one
// stream or of several, each of which begins right after the one before.
type rebase struct {
	running bool   // within a piece
	begun   bool   // has ever sent
	first   int64  // of the piece, in the source's count
	shift   int64  // from the source's count to the consumer's
	stretch uint32 // likewise of the timestamps
	last    int64  // the highest number sent
	stamp   uint32 // of the newest picture or sound sent
	at      time.Time
}

// begin starts a piece with a packet. The first of all is numbered start.
func (r *rebase) begin(seq int64, stamp uint32, start uint16, now time.Time, clock uint32) {
	next := int64(start)
	if r.begun {
		next = r.last + 1
		// As much time as has passed, and at least one tick: otherwise it were the same picture.
		elapsed := int64(now.Sub(r.at)) / 1000 * int64(clock) / 1_000_000
		r.stretch = r.stamp + uint32(max(elapsed, 1)) - stamp
	} else {
		r.last = next - 1
		r.stretch = randomUint32()
	}
	r.running, r.begun = true, true
	r.first, r.shift = seq, next-seq
}

// stop ends the piece.
func (r *rebase) stop() { r.running = false }

// next returns what a packet of the piece is called, unless it is from before it.
func (r *rebase) next(seq int64, stamp uint32, now time.Time) (uint16, uint32, bool) {
	if !r.running || seq < r.first {
		return 0, 0, false
	}
	out := seq + r.shift
	stamp += r.stretch
	if out > r.last {
		r.last = out
		r.stamp, r.at = stamp, now
	}
	return uint16(out), stamp, true
}

// source returns which packet of the piece has been sent with a number.
func (r *rebase) source(seq uint16) (int64, bool) {
	if !r.running {
		return 0, false
	}
	out := r.last - int64(uint16(r.last)-seq)
	source := out - r.shift
	return source, source >= r.first
}
