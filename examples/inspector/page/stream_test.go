package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestArrowsOfAFileComeOnceAndEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	s := r.stream("1")
	require.Equal(t, upTo(1, 6), s.numbers(6))
	require.Equal(t, "end", s.next().name)
	require.False(t, s.lines.Scan(), "nothing comes behind the end")
}

func TestArrowsComeAsTheyHappen(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	journal.Add(chat("before"))
	s := r.stream("live")
	require.Equal(t, []int{1}, s.numbers(1))
	journal.Add(chat("after"))
	require.Equal(t, []int{2}, s.numbers(1))
}

func TestAStreamGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	for range 5 {
		journal.Add(chat("x"))
	}
	e := r.stream("live").next()
	require.Equal(t, upTo(1, 5), e.arrows(t))
	journal.Add(chat("missed"))
	require.Equal(t, []int{6}, r.stream("live", "Last-Event-ID", e.id).numbers(1))
	require.Equal(t, upTo(1, 6), r.stream("live", "Last-Event-ID", "nonsense").numbers(6))
}

func TestAPositionBeyondTheEndIsTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	life, _, ok := strings.Cut(r.stream("1").next().id, "-")
	require.True(t, ok)
	for _, number := range []string{"7", "9223372036854775807"} {
		require.Equal(t, "end", r.stream("1", "Last-Event-ID", life+"-"+number).next().name)
	}
	require.Equal(t, upTo(1, 6), r.stream("1", "Last-Event-ID", life+"--5").numbers(6))
}

func TestAnotherRunBeginsAnew(t *testing.T) {
	t.Parallel()
	first := newRig(t, &Options{Open: []*capture.File{conversation()}})
	second := newRig(t, &Options{Open: []*capture.File{conversation()}})
	s := second.stream("1", "Last-Event-ID", first.stream("1").next().id)
	require.Equal(t, "cleared", s.next().name)
	require.Equal(t, upTo(1, 6), s.numbers(6))
}

func TestAStreamTellsThatItWasCleared(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	journal.Add(chat("x"))
	s := r.stream("live")
	e := s.next()
	require.Equal(t, []int{1}, e.arrows(t))
	resp, _ := r.ask("DELETE", "/api/recordings/live", "")
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Equal(t, "cleared", s.next().name)
	journal.Add(chat("y"))
	require.Equal(t, []int{2}, s.numbers(1))

	late := r.stream("live", "Last-Event-ID", e.id)
	require.Equal(t, "cleared", late.next().name)
	require.Equal(t, []int{2}, late.numbers(1))
}

func TestWhatTheJournalHasLetGoIsDropped(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(&capture.JournalOptions{MaxEntries: 3})
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	unreadable := chat("x")
	unreadable.Data = []byte("{")
	journal.Add(unreadable)
	journal.Add(chat("x"))
	s := r.stream("live")
	require.Equal(t, []int{1, 2}, s.numbers(2))
	require.Equal(t, 1, get[[]summary](r, "/api/recordings")[0].Problems)
	for n := 3; n <= 5; n++ {
		journal.Add(chat("y"))
		dropped := ""
		for got := false; !got; {
			switch e := s.next(); e.name {
			case "dropped":
				dropped = e.data
			case "arrows":
				require.Equal(t, []int{n}, e.arrows(t))
				got = true
			}
		}
		if n > 3 {
			require.JSONEq(t, `{"oldest":`+string(rune('0'+n-2))+`}`, dropped)
		}
	}
	now := get[[]summary](r, "/api/recordings")[0]
	require.Equal(t, 3, now.Entries)
	require.Equal(t, 3, now.Arrows)
	require.Zero(t, now.Problems)
	resp, _ := r.ask("GET", "/api/recordings/live/arrows/2", "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, upTo(3, 5), r.stream("live").numbers(3))
}

func TestWhatWentUnseenLeavesNoGapInTheNumbers(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(&capture.JournalOptions{MaxEntries: 3})
	rec := newShelf(&Options{Live: journal, Protocol: "galene"}).recordings[0]
	journal.Add(conversation().Entries[0])
	require.Equal(t, 1, rec.summary().Arrows)
	for range 10 {
		journal.Add(chat("unseen"))
	}
	p := rec.after(position{life: rec.life, number: 1}, 10)
	require.Len(t, p.arrows, 3)
	require.Equal(t, 2, p.arrows[0].Number)
	require.Equal(t, 9, p.arrows[0].Seq)
	require.Zero(t, rec.summary().Problems, "nobody knows what was said before")
}

// A slowWriter is a browser that reads when it is told to.
type slowWriter struct {
	header http.Header
	reads  chan struct{}
	mu     sync.Mutex
	n      int
	bytes  int
}

func (w *slowWriter) Header() http.Header { return w.header }
func (w *slowWriter) WriteHeader(int)     {}
func (w *slowWriter) Flush()              {}

// writes returns how often was written, and how much.
func (w *slowWriter) writes() (n, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n, w.bytes
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.reads
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	w.bytes += len(p)
	return len(p), nil
}

func TestABrowserThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journal := capture.NewJournal(&capture.JournalOptions{MaxEntries: 100})
		handler := New(&Options{Live: journal, Protocol: "galene"})
		w := &slowWriter{header: http.Header{}, reads: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/recordings/live/arrows", nil)
		var running sync.WaitGroup
		running.Go(func() { handler.ServeHTTP(w, r) })
		synctest.Wait() // it is stuck with its first event
		for range 10_000 {
			journal.Add(chat("x")) // would hang here otherwise
		}
		quick := httptest.NewRecorder()
		handler.ServeHTTP(quick, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/recordings", nil))
		require.Contains(t, quick.Body.String(), `"entries":100`, "others are answered")

		close(w.reads)
		synctest.Wait()
		time.Sleep(time.Second) // of the bubble
		cancel()
		running.Wait()
		_, bytes := w.writes()
		require.Less(t, bytes, 100*1000, "it gets what is still there, not all that there was")
	})
}

func TestEventsKeepTheirPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journal := capture.NewJournal(nil)
		handler := New(&Options{Live: journal, Protocol: "galene"})
		w := &slowWriter{header: http.Header{}, reads: make(chan struct{})}
		close(w.reads)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/api/recordings/live/arrows", nil))
		})
		for range 1000 {
			journal.Add(chat("x"))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		flushes, _ := w.writes()
		require.LessOrEqual(t, flushes, 1+int(time.Second/pace), "at most one for each pace, and a first one")
		require.Greater(t, flushes, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		later, _ := w.writes()
		require.GreaterOrEqual(t, later-flushes, int(time.Minute/alive)-1, "a quiet stream shows that it is alive")
		cancel()
		running.Wait()
	})
}
