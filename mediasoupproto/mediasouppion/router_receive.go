package mediasouppion

import "time"

// What is remembered of the sequence numbers of a stream.
const (
	windowSize = 1024 // sequence numbers, a power of two
	maxGap     = 3000 // a greater step is another stream
	maxMissing = 256  // packets that are asked for again
	maxRetries = 10
	retryAfter = 100 * time.Millisecond
)

// An arrival is what a packet is to its stream.
type arrival int

const (
	arrivalNew       arrival = iota // after all before it
	arrivalLate                     // fills a gap
	arrivalDuplicate                // has been there, or comes too late to tell
	arrivalRestart                  // begins another count
)

// A receiver counts the packets of a stream as RFC 3550 does, and finds those that are missing.
type receiver struct {
	started bool
	first   int64 // extended sequence number with which the count began
	last    int64 // the highest
	window  [windowSize / 64]uint64
	wild    int // what would follow a packet far away; -1 is none

	packets   int64 // without duplicates and those of rtx
	jitter    float64
	transit   uint32
	reported  struct{ expected, packets int64 }
	missing   []missing // ascending
	discarded int64
	repaired  int64
}

type missing struct {
	seq   int64
	at    time.Time // of the last request
	tries int
}

func (r *receiver) bit(seq int64) (word *uint64, mask uint64) {
	n := uint64(seq) % windowSize
	return &r.window[n/64], 1 << (n % 64)
}

func (r *receiver) restart(seq uint16) int64 {
	// The count goes on above all that was, so that no number comes twice.
	base := int64(seq)
	if r.started {
		base |= (r.last>>16 + 1) << 16
	}
	r.started, r.first, r.last, r.wild = true, base, base, -1
	r.packets, r.reported.expected, r.reported.packets = 0, 0, 0
	r.window = [windowSize / 64]uint64{}
	r.missing = r.missing[:0]
	word, mask := r.bit(base)
	*word |= mask
	return base
}

// add takes a packet's sequence number and returns it extended. With wanted, the packets
// that are missing before it are remembered.
func (r *receiver) add(seq uint16, wanted bool) (int64, arrival) {
	if !r.started {
		return r.restart(seq), arrivalRestart
	}
	step := int64(int16(seq - uint16(r.last)))
	switch {
	case r.far(seq):
		// One packet far away is an error, two in a row are another stream.
		if int(seq) == r.wild {
			return r.restart(seq), arrivalRestart
		}
		r.wild = int(seq + 1)
		r.discarded++
		return 0, arrivalDuplicate
	case step <= -windowSize:
		r.discarded++
		return 0, arrivalDuplicate
	case step > 0:
		r.wild = -1
		if wanted {
			r.makeRoom(int(min(step-1, maxMissing)))
		}
		for n := r.last + 1; n < r.last+step; n++ {
			word, mask := r.bit(n)
			*word &^= mask
			if wanted && r.last+step-n <= maxMissing {
				r.missing = append(r.missing, missing{seq: n})
			}
		}
		r.last += step
		word, mask := r.bit(r.last)
		*word |= mask
		return r.last, arrivalNew
	}
	r.wild = -1
	ext := r.last + step
	word, mask := r.bit(ext)
	if ext < r.first || *word&mask != 0 {
		r.discarded++
		return ext, arrivalDuplicate
	}
	*word |= mask
	for i := range r.missing {
		if r.missing[i].seq == ext {
			r.missing = append(r.missing[:i], r.missing[i+1:]...)
			break
		}
	}
	return ext, arrivalLate
}

// makeRoom forgets the oldest of what is missing, so that n more may be.
func (r *receiver) makeRoom(n int) {
	if over := len(r.missing) + n - maxMissing; over > 0 {
		r.missing = append(r.missing[:0], r.missing[over:]...)
	}
}

// far reports whether a sequence number cannot be of this count. A repeated packet of one says
// nothing: it is too old.
func (r *receiver) far(seq uint16) bool {
	step := int64(int16(seq - uint16(r.last)))
	return !r.started || step > maxGap || step < -maxGap
}

// requests appends the missing packets that are to be asked for now. It reports whether some
// have been given up.
func (r *receiver) requests(seqs []uint16, now time.Time) (_ []uint16, gaveUp bool) {
	kept := r.missing[:0]
	for _, m := range r.missing {
		if m.tries >= maxRetries || r.last-m.seq >= windowSize {
			gaveUp = true
			continue
		}
		if m.tries == 0 || now.Sub(m.at) >= retryAfter {
			m.tries++
			m.at = now
			seqs = append(seqs, uint16(m.seq))
		}
		kept = append(kept, m)
	}
	r.missing = kept
	return seqs, gaveUp
}

// measure takes the time of a packet, for the jitter.
func (r *receiver) measure(timestamp uint32, elapsed time.Duration, clock uint32) {
	arrival := uint32(int64(elapsed) / 1000 * int64(clock) / 1_000_000)
	transit := arrival - timestamp
	if r.packets > 1 {
		d := float64(int32(transit - r.transit))
		if d < 0 {
			d = -d
		}
		// A step of many seconds is another clock, not jitter.
		if d < 10*float64(clock) {
			r.jitter += (d - r.jitter) / 16
		}
	}
	r.transit = transit
}

// lost returns how many packets have not come.
func (r *receiver) lost() int64 {
	if !r.started {
		return 0
	}
	return r.last - r.first + 1 - r.packets
}

// report returns the part of 256 that was lost since the last report.
func (r *receiver) report() (fraction uint8) {
	expected := r.last - r.first + 1
	all := expected - r.reported.expected
	lost := all - (r.packets - r.reported.packets)
	r.reported.expected, r.reported.packets = expected, r.packets
	if all <= 0 || lost <= 0 {
		return 0
	}
	return uint8(min(lost*256/all, 255))
}
