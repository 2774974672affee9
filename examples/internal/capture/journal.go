package capture

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// The defaults of [JournalOptions].
const (
	DefaultMaxEntries = 100_000
	DefaultMaxBytes   = 256 << 20
)

// entryBytes is about what an entry takes besides what it refers to.
const entryBytes = 256

// headerBytes is about what a header takes besides its name and value.
const headerBytes = 64

// JournalOptions bound a journal. Zero fields mean the defaults.
type JournalOptions struct {
	MaxEntries int // that are kept; default [DefaultMaxEntries]
	MaxBytes   int // that they take, about; default [DefaultMaxBytes]
}

// A Journal takes down what happens. It keeps the newest entries; the oldest go when there
// are too many, except for the newest one, whatever its size. Its methods may be called
// concurrently. It has no goroutine, and nobody who reads holds up those who write.
type Journal struct {
	maxEntries, maxBytes int

	mu sync.Mutex
	// entries are those that are kept. What is in the array is not written again, because
	// readers have slices of it: more are appended, and the oldest are left out by moving on.
	entries []Entry
	bytes   int
	gone    int           // bytes of what has been left out since the array was last a new one
	last    int           // Seq of the newest entry that there ever was
	more    chan struct{} // closed by the next entry; nil if nobody waits
}

// NewJournal returns an empty journal. Nil options mean the defaults.
func NewJournal(opts *JournalOptions) *Journal {
	j := &Journal{maxEntries: DefaultMaxEntries, maxBytes: DefaultMaxBytes}
	if opts != nil && opts.MaxEntries > 0 {
		j.maxEntries = opts.MaxEntries
	}
	if opts != nil && opts.MaxBytes > 0 {
		j.maxBytes = opts.MaxBytes
	}
	return j
}

// Add takes an entry down, with the next Seq, and with the time now if it has none, and
// returns it. It copies Data, which the caller may use again; Header becomes the journal's.
func (j *Journal) Add(e Entry) Entry {
	if e.Data = bytes.Clone(e.Data); len(e.Data) == 0 {
		e.Data = nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now().UTC().Round(0)
	}
	j.last++
	e.Seq = j.last
	j.entries = append(j.entries, e)
	j.bytes += size(e)
	for len(j.entries) > 1 && (len(j.entries) > j.maxEntries || j.bytes > j.maxBytes) {
		n := size(j.entries[0])
		j.bytes -= n
		j.gone += n
		j.entries = j.entries[1:]
	}
	// The array holds what has been left out of it, until append takes a new one, which may be
	// long after: not too much of that, nor of what is not used yet.
	spare := cap(j.entries) - len(j.entries)
	if j.gone > j.maxBytes/4 || spare > 1024 && spare > 2*len(j.entries) {
		j.entries = slices.Clone(j.entries)
		j.gone = 0
	}
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
	return e
}

// size returns about how many bytes an entry takes.
func size(e Entry) int {
	n := entryBytes + len(e.Data) + len(e.URL) + len(e.Reason) + len(e.Conn) + len(e.Method)
	for name, value := range e.Header {
		n += headerBytes + len(name) + len(value)
	}
	return n
}

// After returns the entries after a Seq, 0 for all, that are still there: if the first one's
// Seq is not the next, those before it have gone. The channel is closed by the next entry. The
// slice must not be changed; nothing of it changes later.
func (j *Journal) After(seq int) (entries []Entry, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more == nil {
		j.more = make(chan struct{})
	}
	first := j.last - len(j.entries) + 1
	from := min(max(seq+1-first, 0), len(j.entries))
	return slices.Clip(j.entries[from:]), j.more
}

// Last returns the Seq of the newest entry, 0 if there was none.
func (j *Journal) Last() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Follow returns the entries after a Seq, 0 for all, as they come, until ctx ends. A reader
// that is so slow that entries have gone before it got to them finds a gap in their Seq.
func (j *Journal) Follow(ctx context.Context, seq int) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for {
			entries, more := j.After(seq)
			for _, e := range entries {
				if ctx.Err() != nil || !yield(e) {
					return
				}
				seq = e.Seq
			}
			if len(entries) > 0 {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}
}
