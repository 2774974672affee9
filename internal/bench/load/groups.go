package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// isGroup reports whether a protocol has groups.
func isGroup(p *protocol) bool { return p.join != nil }

// joiner is how members come to a target, nil if they come in pairs.
func (p *protocol) joiner(t *target) func(address, string, int) (*member, error) {
	switch {
	case t.at.kind == "centrifuge":
		return joinCentrifuge
	case p.join == nil:
		return p.sit
	}
	return p.join
}

// gather brings n members, 16 at a time, into groups of ten, or in pairs. Whoever came first of
// a pair stands before the other.
func gather(p *protocol, t *target, n int) ([]*member, error) {
	members := make([]*member, n)
	run := unique.Add(1)
	var err error
	if join := p.joiner(t); join != nil {
		err = each(n, 16, func(i int) (err error) {
			members[i], err = join(t.at, fmt.Sprintf("m%d-%d", run, i/10), i)
			return err
		})
	} else {
		err = each(n/2, 16, func(i int) (err error) {
			members[2*i], members[2*i+1], err = p.meet(t.at, int(unique.Add(1)))
			return err
		})
	}
	if err != nil {
		release(members)
		return nil, err
	}
	return members, nil
}

// fill brings n members into a group, 16 at a time.
func fill(p *protocol, t *target, group string, n int) ([]*member, error) {
	join := p.joiner(t)
	members := make([]*member, n)
	err := each(n, 16, func(i int) (err error) {
		members[i], err = join(t.at, group, i)
		return err
	})
	if err != nil {
		release(members)
		return nil, err
	}
	return members, nil
}

// each calls f with the numbers below n, some at a time, until one fails.
func each(n, together int, f func(i int) error) error {
	var working sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, min(n, together))
	for k := range errs {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[k] = f(i); errs[k] != nil {
					next.Store(int64(n))
				}
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
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
		name: fmt.Sprintf("broadcast to %d, window %d", n, window), unit: "deliveries/s", also: besideGalene,
		fits: func(p *protocol) bool {
			// With open-easyrtc a thousand need minutes and gigabytes to join, because all are told of each.
			return isGroup(p) && (n <= 100 || p.name == "galene")
		},
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
			warm := time.Now().Add(o.during / 4)
			limit := time.NewTimer(o.during*5/4 + dialTime)
			defer limit.Stop()
			for {
				select {
				case <-whole:
				case <-limit.C:
					return sample{}, errors.New("a value has not reached everybody")
				}
				now := time.Now()
				if !began.IsZero() {
					counted++
				} else if now.After(warm) {
					began, cpu = now, t.cpu()
				}
				if counted > 0 && now.Sub(began) >= o.during {
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
			var mu sync.Mutex
			var members []*member
			run := unique.Add(1)
			stop := time.Now().Add(o.during)
			cpu, began := t.cpu(), time.Now()
			last := began
			join := p.joiner(t)
			err := each(1<<20, together, func(i int) error {
				if time.Now().After(stop) {
					return nil
				}
				var a, b *member
				var err error
				if join == nil {
					a, b, err = p.meet(t.at, int(unique.Add(1)))
				} else {
					a, err = join(t.at, fmt.Sprintf("r%d-%d", run, i/size), i)
				}
				mu.Lock()
				defer mu.Unlock()
				last = time.Now()
				for _, m := range []*member{a, b} {
					if m != nil {
						members = append(members, m)
					}
				}
				return err
			})
			took := last.Sub(began)
			cpu = t.cpu() - cpu
			defer release(members)
			if err != nil {
				return sample{}, err
			}
			return sample{rate: float64(len(members)) / took.Seconds(), cpu: cpu / time.Duration(max(len(members), 1))}, nil
		},
	}
}

// idleMemory is what a server has in memory for each of many members of rooms of ten that are
// silent.
func idleMemory(n int) scenario {
	return scenario{
		name: fmt.Sprintf("memory, %d idle members", n), also: besideGalene, rounds: 1,
		fits: func(*protocol) bool { return true },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			if need := uint64(n + 500); openFiles() < need {
				return sample{}, fmt.Errorf("%d open files are needed: see ulimit -n", need)
			}
			before := t.memory()
			members, err := gather(p, t, n)
			if err != nil {
				return sample{}, err
			}
			defer release(members)
			time.Sleep(min(2*o.during, 2*time.Second)) // what is left of the joins is collected
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
		name: fmt.Sprintf("SIGTERM with %d members", n), unit: "% told", rounds: 2,
		fits: func(*protocol) bool { return true },
		run: func(p *protocol, t *target, _ *options) (sample, error) {
			members, err := gather(p, t, n)
			if err != nil {
				return sample{}, err
			}
			defer release(members)
			var told atomic.Int64
			var reading sync.WaitGroup
			for _, m := range members {
				reading.Go(func() {
					_ = m.readBefore(time.Now().Add(dialTime))
					for {
						text, err := m.read()
						_, ok := errors.AsType[errClosed](err)
						if _, isPacket := m.link.(*packet); isPacket && errors.Is(err, io.EOF) {
							ok = true // there is no other way to tell a device
						}
						if ok || err == nil && isGoodbye(text) {
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
