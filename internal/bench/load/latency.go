package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A stream is what one member tells, and when: what a receiver hears is in the same order.
type stream struct {
	m      *member
	frames []byte
	sent   []atomic.Int64 // in nanoseconds since began
	began  time.Time
	n      atomic.Int64
	heard  atomic.Int64 // by all who hear it
}

func newStream(m *member, value string, most int) *stream {
	return &stream{m: m, frames: m.tell(value), sent: make([]atomic.Int64, most), began: time.Now()}
}

// tell tells what was due at a time.
func (s *stream) tell(due time.Time) error {
	n := s.n.Load()
	s.sent[n].Store(int64(due.Sub(s.began)))
	s.n.Add(1)
	return s.m.write(s.frames)
}

const (
	// burst is how long a pacer sleeps. One goroutine tells for all: one for each pair would be
	// as many timers, and wait for one another.
	burst = time.Millisecond
	// grace is for what is under way at the end.
	grace = 500 * time.Millisecond
)

var errLate = errors.New("the server takes less than it is told")

// pace tells at a rate of all streams together, by turns, what is due every millisecond. What
// could not be told in time is told at once, and counts from when it was due.
func pace(streams []*stream, rate float64, during time.Duration) error {
	began := time.Now()
	total := int(rate * during.Seconds())
	for at, told := burst, 0; told < total; at += burst {
		due := began.Add(at)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		} else if wait < -during-grace {
			return errLate
		}
		for until := min(total, int(rate*at.Seconds())); told < until; told++ {
			if err := streams[told%len(streams)].tell(due); err != nil {
				return err
			}
		}
	}
	return nil
}

// most is how many values one of some streams tells in the course of pace.
func most(streams int, rate float64, during time.Duration) int {
	return int(rate*during.Seconds())/streams + 1
}

// hear reads what a stream tells and returns when it has all, or at the deadline.
func (s *stream) hear(m *member, h *histogram, over <-chan struct{}) (heard int, err error) {
	for {
		select {
		case <-over:
			if heard >= int(s.n.Load()) {
				return heard, nil
			}
		default:
		}
		text, err := m.read()
		if err != nil {
			return heard, err
		}
		yes, reply := m.told(text)
		if reply != nil {
			if err := m.write(reply); err != nil {
				return heard, err
			}
		}
		if yes && heard < len(s.sent) {
			h.add(time.Since(s.began) - time.Duration(s.sent[heard].Load()))
			heard++
			s.heard.Add(1)
		}
	}
}

// answer reads, and answers what wants to be, until the end of a connection.
func answer(m *member) {
	for {
		text, err := m.read()
		if err != nil {
			return
		}
		if _, reply := m.told(text); reply != nil && m.write(reply) != nil {
			return
		}
	}
}

// An openLoop is pairs of which one side tells the other at a rate.
type openLoop struct {
	pairs   int
	value   string
	rate    float64 // of all pairs
	during  time.Duration
	histo   histogram
	lost    int
	ends    []*member
	failure error
}

func (l *openLoop) open(p *protocol, t *target) error {
	for range l.pairs {
		a, b, err := p.meet(t.at, int(unique.Add(1)))
		if err != nil {
			return err
		}
		l.ends = append(l.ends, a, b)
	}
	return nil
}

func (l *openLoop) run() {
	var working sync.WaitGroup
	var mu sync.Mutex
	var streams []*stream
	over := make(chan struct{})
	for i := 0; i < len(l.ends); i += 2 {
		a, b := l.ends[i], l.ends[i+1]
		s := newStream(a, l.value, most(l.pairs, l.rate, l.during))
		streams = append(streams, s)
		working.Go(func() { answer(a) }) // acknowledgements
		working.Go(func() {
			h := new(histogram)
			heard, _ := s.hear(b, h, over) // an end shows as a loss
			<-over
			mu.Lock()
			defer mu.Unlock()
			l.histo.merge(h)
			l.lost += int(s.n.Load()) - heard
			a.close()
		})
	}
	// A server that takes nothing more would hold the pacer up for good.
	guard := time.AfterFunc(2*l.during+4*grace, func() { release(l.ends) })
	defer guard.Stop()
	err := pace(streams, l.rate, l.during)
	mu.Lock()
	l.failure = err
	mu.Unlock()
	isUnderWay := func(s *stream) bool { return s.heard.Load() < s.n.Load() }
	for end := time.Now().Add(grace); time.Now().Before(end) && slices.ContainsFunc(streams, isUnderWay); {
		time.Sleep(burst)
	}
	for i := 1; i < len(l.ends); i += 2 {
		_ = l.ends[i].readBefore(time.Now())
	}
	close(over)
	working.Wait()
}

// kneeP99 is what the p99 is at the knee.
const kneeP99 = 10 * time.Millisecond

// kneeRates are 4,000 to 100,000 a second, each a tenth more than the one before.
var kneeRates = func() (rates []float64) {
	for rate := 4000.0; rate <= 100_000; rate *= 1.1 {
		rates = append(rates, math.Round(rate/100)*100)
	}
	return rates
}()

// knee looks for the highest rate of 64 pairs with a p99 of 10 ms.
func knee(pairs int) scenario {
	return scenario{
		name: fmt.Sprintf("knee, candidates, %d pairs, p99 of 10 ms", pairs), unit: "forwards/s",
		fits: func(p *protocol) bool { return p.meet != nil }, rounds: 3,
		run: func(p *protocol, t *target, o *options) (sample, error) {
			return findKnee(kneeRates, func(rate float64) (s sample, ok bool, err error) {
				l := &openLoop{pairs: pairs, value: candidate, rate: rate, during: o.during / 2}
				defer func() { release(l.ends) }()
				if err := l.open(p, t); err != nil {
					return s, false, err
				}
				l.run()
				s = sample{rate: rate, p50: l.histo.quantile(0.5), p99: l.histo.quantile(0.99)}
				if l.failure != nil || l.lost > 0 || s.p99 > kneeP99 {
					release(l.ends)
					settle(t)
					return s, false, nil
				}
				return s, true, nil
			})
		},
	}
}

// settle waits until a server has done with what was too much for it.
func settle(t *target) {
	const look = 100 * time.Millisecond
	for end := time.Now().Add(dialTime); time.Now().Before(end); {
		before := t.cpu()
		time.Sleep(look)
		if t.cpu()-before < look/4 {
			return
		}
	}
}

// findKnee returns the sample of the highest of rates that succeeds, which it takes to be in
// ascending order, and to succeed below the knee only. Others use the machine as well: a rate has
// failed when two tries of it have, and the second one comes when nothing else is left to try.
func findKnee(rates []float64, try func(rate float64) (s sample, ok bool, err error)) (best sample, err error) {
	failures := make([]int, len(rates))
	low, high := 0, len(rates) // all below low succeed, and high fails
	for low < len(rates) && failures[low] < 2 {
		at := (low + high) / 2
		s, ok, err := try(rates[at])
		if err != nil {
			return sample{}, err
		}
		if !ok {
			failures[at]++
			high = at
			continue
		}
		best, low = s, at+1
		if low > high { // the second try of high
			for high = low; high < len(rates) && failures[high] == 0; {
				high++
			}
		}
	}
	if best.rate == 0 {
		return best, fmt.Errorf("p99 is beyond %v at %.0f a second", kneeP99, rates[0])
	}
	return best, nil
}

// flood is four quiet pairs beside one client that sends as fast as it can. The rate is how many
// times their p99 was what it is without it; the limits of our servers are on.
func flood() scenario {
	return scenario{
		name: "four quiet pairs beside a flood", unit: "times the quiet p99", limited: true, rounds: 3,
		fits: func(p *protocol) bool { return p.meet != nil },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			during := 2 * o.during
			quiet := &openLoop{pairs: 4, value: candidate, rate: 160, during: during}
			if err := quiet.open(p, t); err != nil {
				return sample{}, err
			}
			quiet.run()
			release(quiet.ends)
			loud := &openLoop{pairs: 4, value: candidate, rate: 160, during: during}
			if err := loud.open(p, t); err != nil {
				return sample{}, err
			}
			defer release(loud.ends)
			a, b, err := p.meet(t.at, int(unique.Add(1)))
			if err != nil {
				return sample{}, err
			}
			var flooding sync.WaitGroup
			for _, m := range []*member{a, b} {
				flooding.Go(func() { answer(m) })
			}
			flooding.Go(func() {
				frames := bytes.Repeat(a.tell(candidate), 32)
				if _, ok := a.link.(*packet); ok {
					frames = a.tell(candidate)
				}
				for a.write(frames) == nil {
				}
			})
			loud.run()
			a.close()
			b.close()
			flooding.Wait()
			p99 := loud.histo.quantile(0.99)
			if loud.failure != nil || loud.lost > 0 {
				return sample{}, fmt.Errorf("the quiet ones have lost %d: %w", loud.lost, errors.Join(loud.failure, errLost))
			}
			return sample{
				rate: float64(p99) / float64(max(quiet.histo.quantile(0.99), 1)), p50: loud.histo.quantile(0.5), p99: p99,
			}, nil
		},
	}
}

var errLost = errors.New("lost")

// stall is a group of 20 that is told 1,000 offers a second, of whom one reads nothing. The rate
// is the seconds until the others hear that it has gone, 0 for never.
func stall() scenario {
	return scenario{
		name: "one of 20 stalls at 1,000 offers/s", unit: "s until it is dropped", fits: isGroup, rounds: 3,
		run: func(p *protocol, t *target, o *options) (sample, error) {
			const n = 20
			members, err := fill(p, t, fmt.Sprintf("s%d", unique.Add(1)), n)
			if err != nil {
				return sample{}, err
			}
			defer release(members)
			stalled := members[n-1]
			during := max(o.during, 3*time.Second)
			const rate = 1000
			told := newStream(members[0], offer, most(1, rate, during))
			over := make(chan struct{})
			var working sync.WaitGroup
			var mu sync.Mutex
			var all histogram
			lost := 0
			dropped := atomic.Int64{}
			// A server that waits for the one who stalls would hold the pacer up for good.
			guard := time.AfterFunc(2*during+4*grace, func() { release(members) })
			defer guard.Stop()
			working.Go(func() {
				defer close(over)
				_ = pace([]*stream{told}, rate, during) // an end shows as a loss
				for _, m := range members {
					_ = m.readBefore(time.Now().Add(grace))
				}
			})
			for i, m := range members[:n-1] {
				if i == 0 && !m.echoed {
					working.Go(func() { answer(m) })
					continue
				}
				isTold := m.told
				m.told = func(text []byte) (bool, []byte) {
					yes, reply := isTold(text)
					if !yes && (bytes.Contains(text, []byte(`"delete"`)) || bytes.Contains(text, []byte(`"removeClient"`))) {
						dropped.CompareAndSwap(0, int64(time.Since(told.began)))
					}
					return yes, reply
				}
				working.Go(func() {
					h := new(histogram)
					heard, _ := told.hear(m, h, over)
					<-over
					mu.Lock()
					defer mu.Unlock()
					all.merge(h)
					lost += int(told.n.Load()) - heard
				})
			}
			working.Wait()
			stalled.close()
			if lost > 0 {
				return sample{}, fmt.Errorf("%d were lost of others: %w", lost, errLost)
			}
			return sample{
				rate: time.Duration(dropped.Load()).Seconds(), p50: all.quantile(0.5), p99: all.quantile(0.99),
				memory: float64(t.memory()),
			}, nil
		},
	}
}
