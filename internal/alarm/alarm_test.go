package alarm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is a number of seconds after the start.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// requireNext demands the next deadline, and that nothing comes before it.
func requireNext(t *testing.T, c *Clock[string], want time.Time) {
	t.Helper()
	got, ok := c.Next()
	require.True(t, ok)
	require.Equal(t, want, got)
	_, ok = c.Pop(want.Add(-1))
	require.False(t, ok, "before its time")
}

// popAll pops what is due.
func popAll(c *Clock[string], now time.Time) (things []string) {
	for {
		thing, ok := c.Pop(now)
		if !ok {
			return things
		}
		things = append(things, thing)
	}
}

func requireEmpty(t *testing.T, c *Clock[string]) {
	t.Helper()
	require.Zero(t, c.Len())
	_, ok := c.Next()
	require.False(t, ok)
	_, ok = c.Pop(at(1 << 30))
	require.False(t, ok)
	require.Nil(t, c.heap, "a clock of nobody keeps memory")
}

func TestZeroClockHasNoDeadline(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	requireEmpty(t, &c)
	c.Clear("a")
	requireEmpty(t, &c)
}

func TestEarliestDeadlineComesFirst(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	const n = 100
	for i, seconds := range rand.Perm(n) {
		require.Equal(t, i, c.Len())
		c.Set(fmt.Sprint(seconds), at(seconds))
	}
	for seconds := range n {
		requireNext(t, &c, at(seconds))
		require.Equal(t, []string{fmt.Sprint(seconds)}, popAll(&c, at(seconds)), "one at its time exactly")
	}
	requireEmpty(t, &c)
}

func TestLateClockPopsEverythingThatIsDueInOrder(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	for thing, seconds := range map[string]int{"a": 1, "b": 2, "c": 3, "d": 4} {
		c.Set(thing, at(seconds))
	}
	require.Equal(t, []string{"a", "b", "c"}, popAll(&c, at(3)))
	require.Equal(t, 1, c.Len())
	requireNext(t, &c, at(4))
}

func TestDeadlineMovedEarlierComesEarlier(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	c.Set("a", at(10))
	c.Set("b", at(7))
	c.Set("a", at(5))
	require.Equal(t, 2, c.Len())
	requireNext(t, &c, at(5))
	require.Equal(t, []string{"a", "b"}, popAll(&c, at(100)))
	requireEmpty(t, &c)
}

func TestDeadlinePutOffComesLater(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	c.Set("a", at(5))
	c.Set("b", at(7))
	c.Set("a", at(10))
	require.Equal(t, 2, c.Len())
	requireNext(t, &c, at(7))
	require.Equal(t, []string{"b"}, popAll(&c, at(9)))
	requireNext(t, &c, at(10))
	require.Equal(t, []string{"a"}, popAll(&c, at(10)))
	requireEmpty(t, &c)
}

func TestLastDeadlineOfAThingCounts(t *testing.T) {
	t.Parallel()
	const most = 4
	for n := range most * most * most * most { // each four deadlines in a row, with and without a look between them
		for _, look := range []bool{false, true} {
			var c Clock[string]
			last := 0
			for rest, i := n, 0; i < 4; rest, i = rest/most, i+1 {
				last = rest % most
				c.Set("a", at(last))
				if look {
					requireNext(t, &c, at(last))
				}
			}
			requireNext(t, &c, at(last))
			require.Equal(t, []string{"a"}, popAll(&c, at(most)))
			requireEmpty(t, &c)
		}
	}
}

func TestClearedDeadlineNeverComes(t *testing.T) {
	t.Parallel()
	var c Clock[string]
	c.Set("a", at(1))
	c.Set("b", at(2))
	for range 2 {
		c.Clear("a")
		require.Equal(t, 1, c.Len())
		requireNext(t, &c, at(2))
	}
	require.Equal(t, []string{"b"}, popAll(&c, at(100)))
	requireEmpty(t, &c)

	c.Set("a", at(3))
	c.Clear("a")
	requireEmpty(t, &c)
}

func TestThingThatIsSetAgainComesOnce(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(c *Clock[string]){
		"at once":           func(*Clock[string]) {},
		"after its end":     func(c *Clock[string]) { c.Clear("a") },
		"after an earlier":  func(c *Clock[string]) { c.Set("a", at(1)) },
		"after a later":     func(c *Clock[string]) { c.Set("a", at(9)); c.Next() },
		"after its time":    func(c *Clock[string]) { c.Pop(at(5)) },
		"after all of that": func(c *Clock[string]) { c.Set("a", at(1)); c.Pop(at(1)); c.Set("a", at(9)); c.Clear("a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c Clock[string]
			c.Set("other", at(100))
			for range 3 {
				c.Set("a", at(5))
				again(&c)
			}
			c.Set("a", at(5))
			require.Equal(t, 2, c.Len())
			require.Equal(t, []string{"a", "other"}, popAll(&c, at(100)))
			requireEmpty(t, &c)
		})
	}
}

func TestSameCallsGiveTheSameOrder(t *testing.T) {
	t.Parallel()
	play := func() (order []string) {
		var c Clock[string]
		r := rand.New(rand.NewPCG(1, 2))
		for now := range 500 {
			for range 10 { // many at the same time
				thing := fmt.Sprint(r.IntN(50))
				if r.IntN(5) == 0 {
					c.Clear(thing)
				} else {
					c.Set(thing, at(now+r.IntN(4)))
				}
			}
			order = append(order, popAll(&c, at(now))...)
		}
		return order
	}
	first := play()
	require.Greater(t, len(first), 500)
	for range 5 {
		require.Equal(t, first, play())
	}
}

func TestClockDoesNotGrowWithTheNumberOfCalls(t *testing.T) {
	t.Parallel()
	const rounds, things = 1_000_000, 3
	for name, round := range map[string]func(c *Clock[int], thing, n int){
		"set and cleared": func(c *Clock[int], thing, n int) { c.Set(thing, at(n)); c.Clear(thing) },
		"the same again": func(c *Clock[int], thing, _ int) {
			c.Set(thing, at(9))
			c.Clear(thing)
			c.Set(thing, at(9))
		},
		"put off":              func(c *Clock[int], thing, n int) { c.Set(thing, at(n)) },
		"put off, with a look": func(c *Clock[int], thing, n int) { c.Set(thing, at(n)); c.Next() },
		"moved earlier":        func(c *Clock[int], thing, n int) { c.Set(thing, at(-n)) },
		"earlier and back":     func(c *Clock[int], thing, _ int) { c.Set(thing, at(8)); c.Set(thing, at(9)) },
		"earlier and back, with a look": func(c *Clock[int], thing, _ int) {
			c.Set(thing, at(8))
			c.Set(thing, at(9))
			c.Next()
		},
		"set and popped": func(c *Clock[int], thing, n int) { c.Set(thing, at(n)); c.Pop(at(n)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c Clock[int]
			c.Set(-1, at(1<<30)) // is always there, so that the clock is never empty
			for n := range rounds {
				round(&c, n%things, n)
				if len(c.heap) > bound(1+things) {
					t.Fatalf("%d entries for %d things after %d rounds", len(c.heap), c.Len(), n+1)
				}
			}
			require.LessOrEqual(t, c.Len(), 1+things)
		})
	}
}

// bound is how many entries a clock may have that never had deadlines of more things.
func bound(things int) int { return 2*things + 17 }

// FuzzClock plays any sequence of calls on a clock and on a plain map.
func FuzzClock(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0, 10, 0, 11, 5, 0}, 50)) // earlier, and back to the same time
	for n := range uint64(50) {
		seed := make([]byte, 20+n*10)
		r := rand.New(rand.NewPCG(n, 0))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const things = 4
		var c Clock[int]
		model := make(map[int]time.Time)
		now := 0
		for i := 0; i+1 < min(len(data), 2000); i += 2 {
			thing, seconds := int(data[i]>>3)%things, int(data[i+1]%16)
			switch data[i] % 8 {
			case 0, 1, 2, 3: // the past, too
				c.Set(thing, at(now+seconds-2))
				model[thing] = at(now + seconds - 2)
			case 4:
				c.Clear(thing)
				delete(model, thing)
			case 5:
				requireSame(t, &c, model)
			case 6:
				now += seconds % 4
			case 7:
				requirePop(t, &c, model, at(now))
			}
			require.Equal(t, len(model), c.Len())
			require.LessOrEqual(t, len(c.heap), bound(things))
		}
		for len(model) > 0 {
			requirePop(t, &c, model, at(now+16))
		}
		requirePop(t, &c, model, at(now+16))
		require.Nil(t, c.heap)
	})
}

// requireSame demands the model's next deadline.
func requireSame(t *testing.T, c *Clock[int], model map[int]time.Time) {
	var want time.Time
	for _, due := range model {
		if want.IsZero() || due.Before(want) {
			want = due
		}
	}
	got, ok := c.Next()
	require.Equal(t, len(model) > 0, ok)
	require.Equal(t, want, got)
}

// requirePop pops from both: of several that are due at the same time, the clock may
// choose.
func requirePop(t *testing.T, c *Clock[int], model map[int]time.Time, now time.Time) {
	var first time.Time
	for _, due := range model {
		if !due.After(now) && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	thing, ok := c.Pop(now)
	require.Equal(t, !first.IsZero(), ok)
	if !ok {
		require.Zero(t, thing)
		return
	}
	require.Contains(t, model, thing)
	require.Equal(t, first, model[thing])
	delete(model, thing)
}

// BenchmarkClock measures a call among the deadlines of as many things as a server has
// connections.
func BenchmarkClock(b *testing.B) {
	const things = 20_000
	full := func() (c Clock[uint64]) {
		for thing := range uint64(things) {
			c.Set(thing, at(int(thing)))
		}
		return c
	}
	b.Run("put off", func(b *testing.B) {
		c := full()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			c.Set(uint64(n%things), at(things+n))
		}
	})
	b.Run("put off and next", func(b *testing.B) {
		c := full()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			c.Set(uint64(n%things), at(things+n))
			c.Next()
		}
	})
	b.Run("set and clear", func(b *testing.B) {
		c := full()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			c.Set(things, at(n))
			c.Clear(things)
		}
	})
	b.Run("pop and set", func(b *testing.B) {
		c := full()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			thing, ok := c.Pop(at(n))
			if !ok {
				b.Fatal("nobody is due")
			}
			c.Set(thing, at(things+n))
		}
	})
}
