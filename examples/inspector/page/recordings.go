package page

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
)

// A recording is entries and what they mean. The entries of a journal are explained when
// somebody looks: nothing here runs by itself, and nothing holds the journal up.
type recording struct {
	id, name string
	protocol explain.Protocol
	secrets  bool
	live     *capture.Journal // nil for a file
	listen   string           // of the clients of live
	file     *capture.File    // nil for a journal
	size     int              // of the file, in bytes
	limit    int              // of weight

	mu        sync.Mutex
	explained *explain.Recording
	entries   int             // that are explained and not cleared
	seen      int             // Seq of the last entry that is explained
	arrows    []explain.Arrow // in the order of their numbers, which have no gaps
	weight    int             // of arrows
	gone      int             // what those weigh that arrows has left behind in its array
	next      int             // the number of the next arrow
	problems  int             // of arrows that have any
	life      int             // another one each time that it is cleared, and in each run
	emptied   int             // Seq of the last entry that was there when it was cleared
	changed   chan struct{}   // closed when it is cleared
}

// A summary is a recording in the list of all.
type summary struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Live     bool   `json:"live"`
	Entries  int    `json:"entries"`
	Arrows   int    `json:"arrows"`
	Problems int    `json:"problems"`         // arrows that have any
	Listen   string `json:"listen,omitempty"` // where the clients of a live recording go
}

// A position is how far a reader of a recording has come.
type position struct {
	life   int
	number int // of the last arrow that it has
}

// A part is what comes after a position.
type part struct {
	at      position
	cleared bool            // nothing of what the reader has is there any more
	oldest  int             // the number of the oldest arrow that is there; more if there is none
	arrows  []explain.Arrow // not to be changed
	more    bool            // there are more already
	changed <-chan struct{} // closed by what is no arrow
	entries <-chan struct{} // closed by more entries; nil for a file
}

func newRecording(id, name string, p explain.Protocol, secrets bool) *recording {
	r := &recording{
		id: id, name: name, protocol: p, secrets: secrets, next: 1, limit: maxWeight, changed: make(chan struct{}),
	}
	r.life = rand.IntN(1 << 30)
	r.begin()
	return r
}

// begin forgets where the connections stand.
func (r *recording) begin() {
	r.explained = explain.NewRecording(r.protocol)
	r.explained.Secrets = r.secrets
}

// catchUp explains what has come in, and returns what the next entry closes. What the journal
// has let go is let go here.
func (r *recording) catchUp() <-chan struct{} {
	if r.live == nil {
		return nil
	}
	entries, more := r.live.After(r.seen)
	if len(entries) > 0 && r.seen > 0 && entries[0].Seq > r.seen+1 {
		r.begin() // too much has gone unseen
	}
	r.take(entries)
	if kept, _ := r.live.After(0); len(kept) > 0 {
		r.forget(kept[0].Seq - 1)
		r.entries = r.seen - max(r.emptied, kept[0].Seq-1)
	}
	return more
}

// all returns the entries that are shown.
func (r *recording) all() []capture.Entry {
	if r.live == nil {
		return r.file.Entries
	}
	r.mu.Lock()
	emptied := r.emptied
	r.mu.Unlock()
	entries, _ := r.live.After(emptied)
	return entries
}

// summary returns what the list says.
func (r *recording) summary() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catchUp()
	return summary{
		ID: r.id, Name: r.name, Protocol: r.protocol.Name, Live: r.live != nil,
		Entries: r.entries, Arrows: len(r.arrows), Problems: r.problems,
		Listen: r.listen,
	}
}

// after returns at most limit arrows after a position.
func (r *recording) after(at position, limit int) part {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := r.catchUp()
	p := part{
		cleared: at.life != r.life, oldest: r.next - len(r.arrows),
		changed: r.changed, entries: more,
	}
	if p.cleared {
		at = position{life: r.life}
	}
	from := max(min(at.number, r.next-1)+1, p.oldest) - p.oldest
	to := min(from+limit, len(r.arrows))
	p.arrows, p.more = slices.Clip(r.arrows[from:to]), to < len(r.arrows)
	p.at = at
	if n := len(p.arrows); n > 0 {
		p.at.number = p.arrows[n-1].Number
	}
	return p
}

// arrow returns an arrow by its number.
func (r *recording) arrow(number int) (explain.Arrow, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catchUp()
	i := number - (r.next - len(r.arrows))
	if i < 0 || i >= len(r.arrows) {
		return explain.Arrow{}, false
	}
	return r.arrows[i], true
}

// maxWeight is how many bytes the arrows of a recording take, about. A body of Engine.IO has
// thousands of packets if it likes, so that this is not bounded by what the entries take.
const maxWeight = 512 << 20

// weigh returns about how many bytes an arrow takes.
func weigh(a *explain.Arrow) int {
	n := 420 + len(a.Name) + len(a.About) + len(a.Who)
	for _, p := range a.Problems {
		n += 32 + len(p.Text)
	}
	if d := a.Detail; d != nil {
		n += 150 + len(d.Decoded) + len(d.Raw)
		for _, f := range d.Folds {
			n += 32 + len(f.Title) + len(f.Text)
		}
	}
	return n
}

// take explains entries. The state of their connections outlives what is cleared. Of a live
// recording the oldest arrows go when there are too many; it returns false if there are too
// many for a file.
func (r *recording) take(entries []capture.Entry) bool {
	for _, e := range entries {
		r.seen = e.Seq
		for _, a := range r.explained.Explain(e) {
			a.Number = r.next // as explained has it, unless entries were left out
			r.next++
			if len(a.Problems) > 0 {
				r.problems++
			}
			r.arrows = append(r.arrows, a)
			r.weight += weigh(&a)
		}
		if r.weight <= r.limit {
			continue
		}
		if r.live == nil {
			return false
		}
		n, weight := 0, r.weight
		for n < len(r.arrows)-1 && weight > r.limit {
			weight -= weigh(&r.arrows[n])
			n++
		}
		r.drop(n)
	}
	return true
}

// forget removes the arrows of entries up to a Seq.
func (r *recording) forget(seq int) {
	n := 0
	for n < len(r.arrows) && r.arrows[n].Seq <= seq {
		n++
	}
	r.drop(n)
}

// drop removes the oldest arrows. Readers may have them.
func (r *recording) drop(n int) {
	for i := range r.arrows[:n] {
		a := &r.arrows[i]
		if len(a.Problems) > 0 {
			r.problems--
		}
		r.weight -= weigh(a)
		r.gone += weigh(a)
	}
	r.arrows = r.arrows[n:]
	if r.gone > r.limit/4 { // which append would leave behind only when the array is full
		r.arrows, r.gone = slices.Clone(r.arrows), 0
	}
}

// start returns the position of a new reader, and the number of the oldest arrow.
func (r *recording) start() (position, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return position{life: r.life}, r.next - len(r.arrows)
}

// clear empties the live recording. The states of its connections stay what they are.
func (r *recording) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catchUp()
	r.emptied, r.entries, r.problems, r.arrows = r.seen, 0, 0, nil
	r.weight, r.gone = 0, 0
	r.life++
	close(r.changed)
	r.changed = make(chan struct{})
}
