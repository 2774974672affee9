package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A sample is what one server did in one run.
type sample struct {
	rate   float64       // per second, of what the scenario counts
	cpu    time.Duration // of the server, for each
	p50    time.Duration
	p99    time.Duration
	memory float64 // in bytes, of what the scenario counts or of the whole server
}

// A scenario measures a server of a protocol.
type scenario struct {
	name string
	unit string // of rate: "forwards/s"
	// fits reports whether a protocol has it.
	fits func(p *protocol) bool
	run  func(p *protocol, t *target, o *options) (sample, error)
	// also names further servers of a protocol, if there are some.
	also func(p *protocol) []string
	// inside are libraries that are measured in this process, in place of servers.
	inside func(p *protocol) []library
	// limited says that servers of ours keep their default limits.
	limited bool
	// rounds bounds the rounds, if it is not 0, of what takes long or is the same each time.
	rounds int
}

// relay is pairs of which each has window values under way: whoever is told one tells one.
func relay(name, value string, pairs, window int) scenario {
	return scenario{
		name: fmt.Sprintf("%s, %d pairs, window %d", name, pairs, window), unit: "forwards/s",
		fits: func(p *protocol) bool { return p.meet != nil },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			var ends []*member
			defer func() {
				for _, m := range ends {
					m.close()
				}
			}()
			for i := range pairs {
				a, b, err := p.meet(t.at, int(unique.Add(1)))
				if err != nil {
					return sample{}, fmt.Errorf("pair %d: %w", i, err)
				}
				ends = append(ends, a, b)
			}
			return pingPong(t, ends, value, window, o.during)
		},
	}
}

// unique numbers what must not have been there before.
var unique atomic.Int64

// pingPong measures pairs, which stand behind one another in ends.
func pingPong(t *target, ends []*member, value string, window int, during time.Duration) (sample, error) {
	var (
		running  sync.WaitGroup
		forwards atomic.Int64
		stopping atomic.Bool
		failures = make(chan error, len(ends))
	)
	latencies := make([]*histogram, len(ends)/2)
	warm := during / 4
	var counting atomic.Bool
	for i, m := range ends {
		frames := m.tell(value)
		first := i%2 == 0
		var h *histogram
		if first {
			h = new(histogram)
			latencies[i/2] = h
			for range window {
				if err := m.write(frames); err != nil {
					return sample{}, err
				}
			}
		}
		running.Go(func() {
			sent := time.Now()
			for {
				text, err := m.read()
				if err != nil {
					if !stopping.Load() && !errors.Is(err, errNobody) {
						failures <- err
					}
					return
				}
				yes, reply := m.told(text)
				if reply != nil {
					if err := m.write(reply); err != nil && !stopping.Load() {
						failures <- err
						return
					}
				}
				if !yes {
					continue
				}
				if counting.Load() {
					forwards.Add(1)
					if h != nil && window == 1 {
						h.add(time.Since(sent))
					}
				}
				sent = time.Now()
				if err := m.write(frames); err != nil {
					if !stopping.Load() {
						failures <- err
					}
					return
				}
			}
		})
	}
	time.Sleep(warm)
	cpu, began := t.cpu(), time.Now()
	counting.Store(true)
	select {
	case <-time.After(during):
	case err := <-failures:
		failures <- err
	}
	for end := time.Now().Add(dialTime); forwards.Load() == 0 && time.Now().Before(end) && len(failures) == 0; {
		time.Sleep(time.Millisecond) // a short time on a busy machine
	}
	counting.Store(false)
	took := time.Since(began)
	cpu = t.cpu() - cpu
	memory := float64(t.memory())
	stopping.Store(true)
	for _, m := range ends {
		m.close()
	}
	running.Wait()
	select {
	case err := <-failures:
		return sample{}, err
	default:
	}
	n := forwards.Load()
	if n == 0 {
		return sample{}, errors.New("nothing was forwarded")
	}
	all := new(histogram)
	for _, h := range latencies {
		all.merge(h)
	}
	return sample{
		rate: float64(n) / took.Seconds(), cpu: cpu / time.Duration(n), p50: all.quantile(0.5), p99: all.quantile(0.99),
		memory: memory,
	}, nil
}

// calls is requests, one after the other on each connection.
func calls(connections int) scenario {
	return scenario{
		name: fmt.Sprintf("calls, %d connections", connections), unit: "calls/s",
		fits: func(p *protocol) bool { return p.call != nil },
		run: func(p *protocol, t *target, o *options) (sample, error) {
			if t.at.bare() {
				return bareCalls(t, connections, o.during)
			}
			var ends []*member
			defer func() {
				for _, m := range ends {
					m.close()
				}
			}()
			for range connections {
				l, request, answer, err := p.call(t.at, int(unique.Add(1)))
				if err != nil {
					return sample{}, err
				}
				m := &member{link: l, told: has(answer), tell: func(string) []byte { return request }}
				ends = append(ends, m, idle)
			}
			return pingPong(t, ends, "", 1, o.during)
		},
	}
}

// idle is the other end of a call, which is the server.
var idle = &member{link: nobody{}, tell: func(string) []byte { return nil }}

// nobody is a link without an end.
type nobody struct{}

func (nobody) frame(string) []byte        { return nil }
func (nobody) write([]byte) error         { return nil }
func (nobody) read() ([]byte, error)      { return nil, errNobody }
func (nobody) readBefore(time.Time) error { return nil }
func (nobody) close()                     {}

var errNobody = errors.New("nobody is there")

// bareCalls is half of a ping-pong through the bare relay: as many messages as calls have.
func bareCalls(t *target, connections int, during time.Duration) (sample, error) {
	var ends []*member
	for range connections {
		a, b, err := meetBare(t.at, int(unique.Add(1)))
		if err != nil {
			return sample{}, err
		}
		ends = append(ends, a, b)
	}
	return pingPong(t, ends, candidate, 1, during)
}
