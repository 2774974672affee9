package capture

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

func seqs(entries []Entry) []int {
	var all []int
	for _, e := range entries {
		all = append(all, e.Seq)
	}
	return all
}

func TestEntriesAreNumberedTimedAndCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := NewJournal(nil)
		data := []byte("hello")
		first := j.Add(Entry{Kind: Message, Data: data})
		copy(data, "HELLO")
		given := time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)
		second := j.Add(Entry{Kind: Message, Time: given, Data: []byte{}})
		entries, _ := j.After(0)
		require.Equal(t, []Entry{first, second}, entries)
		require.Equal(t, Entry{Seq: 1, Time: time.Now().UTC().Round(0), Kind: Message, Data: []byte("hello")}, first)
		require.Equal(t, Entry{Seq: 2, Time: given, Kind: Message}, second)
		require.Equal(t, 2, j.Last())
	})
}

func TestTheOldestEntriesGo(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*JournalOptions{
		"by number": {MaxEntries: 10},
		"by size":   {MaxBytes: 10 * (entryBytes + headerBytes + 100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := NewJournal(opts)
			for range 5000 {
				j.Add(Entry{Data: make([]byte, 50), URL: string(make([]byte, 10)), Reason: string(make([]byte, 10)),
					Header: map[string]string{"a": string(make([]byte, 29))}})
			}
			entries, _ := j.After(0)
			require.Equal(t, []int{4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999, 5000}, seqs(entries))
			require.Equal(t, 5000, j.Last())
			entries, _ = j.After(4998)
			require.Equal(t, []int{4999, 5000}, seqs(entries))
			entries, _ = j.After(5000)
			require.Empty(t, entries)
			entries, _ = j.After(6000)
			require.Empty(t, entries)
		})
	}
}

func TestTheNewestEntryStaysWhateverItsSize(t *testing.T) {
	t.Parallel()
	j := NewJournal(&JournalOptions{MaxBytes: 100})
	j.Add(Entry{Data: make([]byte, 1000)})
	j.Add(Entry{Data: make([]byte, 1000)})
	entries, _ := j.After(0)
	require.Equal(t, []int{2}, seqs(entries))
}

func TestWhatWasReadDoesNotChange(t *testing.T) {
	t.Parallel()
	j := NewJournal(&JournalOptions{MaxEntries: 3})
	add := func(n int) { j.Add(Entry{Data: fmt.Append(nil, n)}) }
	for i := range 3 {
		add(i)
	}
	entries, _ := j.After(0)
	for i := range 100 {
		add(1000 + i)
	}
	require.Equal(t, []int{1, 2, 3}, seqs(entries))
	require.Equal(t, "2", string(entries[2].Data))
	entries = append(entries, Entry{Seq: -1}) // must not be seen by others
	now, _ := j.After(0)
	require.Equal(t, []int{101, 102, 103}, seqs(now))
	require.Len(t, entries, 4)
}

func TestMoreIsClosedByTheNextEntryOnly(t *testing.T) {
	t.Parallel()
	j := NewJournal(nil)
	_, more := j.After(0)
	_, same := j.After(0)
	select {
	case <-more:
		require.Fail(t, "there is nothing")
	default:
	}
	j.Add(Entry{})
	<-more
	<-same
	_, more = j.After(0)
	select {
	case <-more:
		require.Fail(t, "there is nothing more")
	default:
	}
}

func TestFollowersSeeEverythingInOrder(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 200
	j := NewJournal(nil)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				j.Add(Entry{Conn: fmt.Sprint(w), Code: i})
			}
		})
	}
	for range 3 {
		all.Go(func() {
			seq, next := 0, make(map[string]int)
			for e := range j.Follow(t.Context(), 0) {
				seq++
				if e.Seq != seq || e.Code != next[e.Conn] {
					t.Errorf("entry %d of %s is the %d. of the journal, not the %d.", e.Code, e.Conn, e.Seq, seq)
					return
				}
				if next[e.Conn]++; seq == writers*each {
					return
				}
			}
		})
	}
	all.Wait()
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := NewJournal(nil)
		j.Add(Entry{})
		j.Add(Entry{})
		ctx, cancel := context.WithCancel(t.Context())
		var got []int
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for e := range j.Follow(ctx, 1) {
				got = append(got, e.Seq)
			}
		}()
		synctest.Wait()
		j.Add(Entry{})
		synctest.Wait()
		cancel()
		<-ended
		require.Equal(t, []int{2, 3}, got)
		for range j.Follow(ctx, 0) {
			require.Fail(t, "its context has ended")
		}
	})
}

func TestASlowFollowerFindsAGapAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	j := NewJournal(&JournalOptions{MaxEntries: 5})
	j.Add(Entry{})
	var got []int
	for e := range j.Follow(t.Context(), 0) {
		if got = append(got, e.Seq); len(got) == 1 {
			for range 20 {
				j.Add(Entry{})
			}
		}
		if e.Seq == 21 {
			break
		}
	}
	require.Equal(t, []int{1, 17, 18, 19, 20, 21}, got)
}

func BenchmarkAdd(b *testing.B) {
	j := NewJournal(&JournalOptions{MaxEntries: 10_000})
	data := bytes.Repeat([]byte("x"), 500)
	b.ReportAllocs()
	for b.Loop() {
		j.Add(Entry{Conn: "1", Kind: Message, From: Client, Data: data})
	}
}

// What has been left out is not held by what is kept, whatever came before.
func TestLargeEntriesAreLetGo(t *testing.T) {
	t.Parallel()
	j := NewJournal(&JournalOptions{MaxBytes: 1 << 20})
	for len(j.entries) < 300 || cap(j.entries)-len(j.entries) < 100 { // a large array
		j.Add(Entry{Kind: Note})
	}
	var all []weak.Pointer[byte]
	large := make([]byte, 256<<10)
	for range 60 {
		all = append(all, weak.Make(&j.Add(Entry{Kind: Message, Data: large}).Data[0]))
	}
	runtime.GC()
	held := 0
	for _, p := range all {
		if p.Value() != nil {
			held++
		}
	}
	require.LessOrEqual(t, held, 6)
	require.GreaterOrEqual(t, held, 3)
	runtime.KeepAlive(j)
}

func TestTheSizeOfAnEntryIsThatOfAllOfIt(t *testing.T) {
	t.Parallel()
	j := NewJournal(&JournalOptions{MaxBytes: 1 << 20})
	header := make(map[string]string)
	for i := range 10_000 {
		header[strconv.Itoa(i)] = ""
	}
	for _, e := range []Entry{
		{Method: strings.Repeat("M", 300<<10)}, {Conn: strings.Repeat("c", 300<<10)}, {Header: header},
	} {
		for range 5 {
			j.Add(e)
		}
		entries, _ := j.After(0)
		require.Less(t, len(entries), 4)
	}
}
