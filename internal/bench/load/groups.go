package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// isGroup reports whether a protocol has groups.
func isGroup(p *protocol) bool { return p.join != nil }

// joiner is how members come to a target.
func (p *protocol) joiner(t *target) func(address, string, int) (*member, error) {
	if t.at.bare {
		return joinBare
	}
	return p.join
}

// fill brings n members into a group, 16 at a time.
func fill(p *protocol, t *target, group string, n int) ([]*member, error) {
	join := p.joiner(t)
	members := make([]*member, n)
	errs := make([]error, n)
	each(n, 16, func(i int) { members[i], errs[i] = join(t.at, group, i) })
	if err := errors.Join(errs...); err != nil {
		release(members)
		return nil, err
	}
	return members, nil
}

// each calls f with the numbers below n, some at a time.
func each(n, together int, f func(i int)) {
	var working sync.WaitGroup
	var next atomic.Int64
	for range min(n, together) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	working.Wait()
}

func release(members []*member) {
	for _, m := range members {
		if m != nil {
			m.close()
		}
	}
}

// broadcast is one member that tells everybody, with some values under way: the next one goes
// when all have the oldest.
func broadcast(n, window int) scenario {
	return scenario{
		name: fmt.Sprintf("broadcast to %d, window %d", n, window), unit: "deliveries/s", fits: isGroup,
		run: func(p *protocol, t *target, o *options) (sample, error) {
			members, err := fill(p, t, fmt.Sprintf("g%d", unique.Add(1)), n)
			if err != nil {
				return sample{}, err
			}
			defer release(members)
			hearers := n
			if !members[0].echoed {
				hearers--
			}
			const ring = 64 // more than any window
			var missing [ring]atomic.Int64
			for i := range window {
				missing[i].Store(int64(hearers))
			}
			whole := make(chan struct{}, ring)
			var reading sync.WaitGroup
			for i, m := range members {
				reading.Go(func() {
					heard := 0
					for {
						text, err := m.read()
						if err != nil {
							return
						}
						yes, reply := m.told(text)
						if reply != nil && m.write(reply) != nil {
							return
						}
						if !yes || i == 0 && !m.echoed {
							continue
						}
						if slot := &missing[heard%ring]; slot.Add(-1) == 0 {
							whole <- struct{}{}
						}
						heard++
					}
				})
			}
			defer reading.Wait()
			defer release(members)
			frames := members[0].tell(candidate)
			for range window {
				if err := members[0].write(frames); err != nil {
					return sample{}, err
				}
			}
			next, counted := window, 0
			var cpu time.Duration
			var began time.Time
			warm, end := time.Now().Add(o.during/4), time.Now().Add(o.during*5/4)
			limit := time.NewTimer(o.during*5/4 + dialTime)
			defer limit.Stop()
			for {
				select {
				case <-whole:
				case <-limit.C:
					return sample{}, errors.New("a value has not reached everybody")
				}
				now := time.Now()
				if began.IsZero() && now.After(warm) {
					began, cpu, counted = now, t.cpu(), 0
				}
				if counted++; now.After(end) {
					break
				}
				missing[next%ring].Store(int64(hearers))
				next++
				if err := members[0].write(frames); err != nil {
					return sample{}, err
				}
			}
			deliveries := counted * hearers
			return sample{
				rate: float64(deliveries) / time.Since(began).Seconds(), cpu: (t.cpu() - cpu) / time.Duration(max(deliveries, 1)),
			}, nil
		},
	}
}

// joins is members that come, 16 at a time, to rooms of a size.
func joins(size int) scenario {
	return scenario{
		name: fmt.Sprintf("joins, rooms of %d", size), unit: "joins/s",
		fits: func(p *protocol) bool { return p.join != nil || p.meet != nil && size == 2 },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			const together = 16
			var (
				mu      sync.Mutex
				members []*member
				failure error
			)
			run := unique.Add(1)
			stop := time.Now().Add(o.during)
			cpu, began := t.cpu(), time.Now()
			join := p.joiner(t)
			each(1<<20, together, func(i int) {
				if time.Now().After(stop) {
					return
				}
				var a, b *member
				var err error
				if p.join == nil {
					a, b, err = p.meet(t.at, int(unique.Add(1)))
				} else {
					a, err = join(t.at, fmt.Sprintf("r%d-%d", run, i/size), i)
				}
				mu.Lock()
				defer mu.Unlock()
				failure = errors.Join(failure, err)
				for _, m := range []*member{a, b} {
					if m != nil {
						members = append(members, m)
					}
				}
			})
			took := time.Since(began)
			cpu = t.cpu() - cpu
			defer release(members)
			if failure != nil {
				return sample{}, failure
			}
			return sample{rate: float64(len(members)) / took.Seconds(), cpu: cpu / time.Duration(max(len(members), 1))}, nil
		},
	}
}

// idleMemory is what a server has in memory for each of many members of rooms of ten that are
// silent.
func idleMemory(n int) scenario {
	return scenario{
		name: fmt.Sprintf("memory, %d idle members", n), unit: "",
		fits: func(p *protocol) bool { return p.join != nil || p.meet != nil },
		run: func(p *protocol, t *target, _ *options) (sample, error) {
			if need := uint64(n + 500); openFiles() < need {
				return sample{}, fmt.Errorf("%d open files are needed: see ulimit -n", need)
			}
			before := t.memory()
			members := make([]*member, n)
			errs := make([]error, n)
			join := p.joiner(t)
			run := unique.Add(1)
			if p.join == nil {
				each(n/2, 16, func(i int) { members[2*i], members[2*i+1], errs[i] = p.meet(t.at, int(unique.Add(1))) })
			} else {
				each(n, 16, func(i int) { members[i], errs[i] = join(t.at, fmt.Sprintf("m%d-%d", run, i/10), i) })
			}
			defer release(members)
			if err := errors.Join(errs...); err != nil {
				return sample{}, err
			}
			time.Sleep(2 * time.Second) // what is left of the joins is collected
			return sample{memory: float64(t.memory()-before) / float64(n)}, nil
		},
	}
}

// openFiles is how many this process may have open, which is what its servers may.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// drains is members of a server that is told to end by a signal: how many are told, and how long
// it takes.
func drains(n int) scenario {
	return scenario{
		name: fmt.Sprintf("SIGTERM with %d members", n), unit: "% told", fits: isGroup,
		run: func(p *protocol, t *target, _ *options) (sample, error) {
			join := p.joiner(t)
			members := make([]*member, n)
			errs := make([]error, n)
			run := unique.Add(1)
			each(n, 16, func(i int) { members[i], errs[i] = join(t.at, fmt.Sprintf("d%d-%d", run, i/10), i) })
			defer release(members)
			if err := errors.Join(errs...); err != nil {
				return sample{}, err
			}
			var told atomic.Int64
			var reading sync.WaitGroup
			for _, m := range members {
				reading.Go(func() {
					_ = m.readBefore(time.Now().Add(dialTime))
					for {
						text, err := m.read()
						if _, ok := errors.AsType[errClosed](err); ok || err == nil && isGoodbye(text) {
							told.Add(1)
							return
						}
						if err != nil {
							return
						}
						if _, reply := m.told(text); reply != nil && m.write(reply) != nil {
							return
						}
					}
				})
			}
			began := time.Now()
			if err := t.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return sample{}, err
			}
			reading.Wait()
			took := time.Since(began)
			return sample{rate: 100 * float64(told.Load()) / float64(n), p99: took}, nil
		},
	}
}

// isGoodbye reports whether a message says that the server ends the connection.
func isGoodbye(text []byte) bool {
	return bytes.Equal(text, []byte("1")) || bytes.Equal(text, []byte("41")) || bytes.Contains(text, []byte(`"kicked"`))
}
