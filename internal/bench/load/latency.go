package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A pacer tells values at a rate, and remembers when: what a receiver hears is in the same order.
type pacer struct {
	m      *member
	frames []byte
	sent   []atomic.Int64 // in nanoseconds since began
	began  time.Time
	n      atomic.Int64
}

func newPacer(m *member, value string, most int) *pacer {
	return &pacer{m: m, frames: m.tell(value), sent: make([]atomic.Int64, most), began: time.Now()}
}

// run tells at a rate until end. What could not be told in time is told at once, and counts from
// when it should have been.
func (p *pacer) run(rate float64, end time.Time) error {
	gap := time.Duration(float64(time.Second) / rate)
	for due := time.Now(); due.Before(end) && int(p.n.Load()) < len(p.sent); due = due.Add(gap) {
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		p.sent[p.n.Load()].Store(int64(due.Sub(p.began)))
		p.n.Add(1)
		if err := p.m.write(p.frames); err != nil {
			return err
		}
	}
	return nil
}

// hear reads what a pacer tells and returns when it has all of the pacer's, or at the deadline.
func (p *pacer) hear(m *member, h *histogram, over <-chan struct{}) (heard int, err error) {
	for {
		select {
		case <-over:
			if heard >= int(p.n.Load()) {
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
		if yes && heard < len(p.sent) {
			h.add(time.Since(p.began) - time.Duration(p.sent[heard].Load()))
			heard++
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
		meet := p.meet
		a, b, err := meet(t.at, int(unique.Add(1)))
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
	end := time.Now().Add(l.during)
	each := l.rate / float64(l.pairs)
	for i := 0; i < len(l.ends); i += 2 {
		a, b := l.ends[i], l.ends[i+1]
		p := newPacer(a, l.value, int(each*l.during.Seconds())+16)
		over := make(chan struct{})
		working.Go(func() {
			defer close(over)
			if err := p.run(each, end); err != nil {
				mu.Lock()
				defer mu.Unlock()
				l.failure = errors.Join(l.failure, err)
			}
			_ = b.readBefore(time.Now().Add(2 * time.Second))
		})
		working.Go(func() { // acknowledgements
			for {
				text, err := a.read()
				if err != nil {
					return
				}
				if _, reply := a.told(text); reply != nil && a.write(reply) != nil {
					return
				}
			}
		})
		working.Go(func() {
			h := new(histogram)
			heard, _ := p.hear(b, h, over) // an end shows as a loss
			<-over
			mu.Lock()
			defer mu.Unlock()
			l.histo.merge(h)
			l.lost += int(p.n.Load()) - heard
			a.close()
		})
	}
	working.Wait()
}

// knee raises the rate of 64 pairs until the p99 is beyond 10 ms.
func knee() scenario {
	return scenario{
		name: "knee, candidates, 64 pairs, p99 of 10 ms", unit: "forwards/s",
		fits: func(p *protocol) bool { return p.meet != nil },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			var best sample
			for _, rate := range []float64{4e3, 8e3, 12e3, 16e3, 20e3, 24e3, 28e3, 32e3, 36e3, 40e3, 44e3, 48e3, 56e3, 64e3, 80e3} {
				l := &openLoop{pairs: 64, value: candidate, rate: rate, during: o.during}
				if err := l.open(p, t); err != nil {
					release(l.ends)
					return best, err
				}
				l.run()
				release(l.ends)
				p99 := l.histo.quantile(0.99)
				if l.failure != nil || l.lost > 0 || p99 > 10*time.Millisecond {
					break
				}
				best = sample{rate: rate, p50: l.histo.quantile(0.5), p99: p99}
			}
			if best.rate == 0 {
				return best, errors.New("p99 is beyond 10 ms at 4,000 forwards/s")
			}
			return best, nil
		},
	}
}

// flood is four quiet pairs beside one client that sends as fast as it can. The rate is how many
// times their p99 was what it is without it; the limits of our servers are on.
func flood() scenario {
	return scenario{
		name: "four quiet pairs beside a flood", unit: "times the quiet p99", limited: true,
		fits: func(p *protocol) bool { return p.meet != nil },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			quiet := &openLoop{pairs: 4, value: candidate, rate: 160, during: o.during}
			if err := quiet.open(p, t); err != nil {
				return sample{}, err
			}
			quiet.run()
			release(quiet.ends)
			loud := &openLoop{pairs: 4, value: candidate, rate: 160, during: o.during}
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
				flooding.Go(func() {
					for {
						text, err := m.read()
						if err != nil {
							return
						}
						if _, reply := m.told(text); reply != nil && m.write(reply) != nil {
							return
						}
					}
				})
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
			return sample{rate: float64(p99) / float64(max(quiet.histo.quantile(0.99), 1)), p50: loud.histo.quantile(0.5), p99: p99}, nil
		},
	}
}

var errLost = errors.New("lost")

// stall is a group of 20 that is told 1,000 offers a second, of whom one reads nothing. The rate
// is the seconds until the others hear that it has gone, 0 for never.
func stall() scenario {
	return scenario{
		name: "one of 20 stalls at 1,000 offers/s", unit: "s until it is dropped", fits: isGroup,
		run: func(p *protocol, t *target, o *options) (sample, error) {
			const n = 20
			members, err := fill(p, t, fmt.Sprintf("s%d", unique.Add(1)), n)
			if err != nil {
				return sample{}, err
			}
			defer release(members)
			stalled := members[n-1]
			during := max(o.during, 3*time.Second)
			pace := newPacer(members[0], offer, int(1000*during.Seconds())+16)
			over := make(chan struct{})
			var working sync.WaitGroup
			var mu sync.Mutex
			var all histogram
			lost := 0
			dropped := atomic.Int64{}
			end := time.Now().Add(during)
			working.Go(func() {
				defer close(over)
				_ = pace.run(1000, end) // an end shows as a loss
				for _, m := range members {
					_ = m.readBefore(time.Now().Add(2 * time.Second))
				}
			})
			for i, m := range members[:n-1] {
				if i == 0 && !m.echoed {
					working.Go(func() {
						for {
							text, err := m.read()
							if err != nil {
								return
							}
							if _, reply := m.told(text); reply != nil && m.write(reply) != nil {
								return
							}
						}
					})
					continue
				}
				told := m.told
				m.told = func(text []byte) (bool, []byte) {
					yes, reply := told(text)
					if !yes && (bytes.Contains(text, []byte(`"delete"`)) || bytes.Contains(text, []byte(`"removeClient"`))) {
						dropped.CompareAndSwap(0, int64(time.Since(pace.began)))
					}
					return yes, reply
				}
				working.Go(func() {
					h := new(histogram)
					heard, _ := pace.hear(m, h, over)
					<-over
					mu.Lock()
					defer mu.Unlock()
					all.merge(h)
					lost += int(pace.n.Load()) - heard
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
