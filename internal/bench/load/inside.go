package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/bench/ping"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A library is code that is measured in this process.
type library struct {
	name string
	run  func(o *options) (sample, error)
}

// perSecond measures how often a second a function runs.
func perSecond(f func() error, during time.Duration) (sample, error) {
	began := time.Now()
	n := 0
	for batch := 1; time.Since(began) < during; batch = min(2*batch, 256) {
		for range batch {
			if err := f(); err != nil {
				return sample{}, err
			}
		}
		n += batch
	}
	return sample{rate: float64(n) / time.Since(began).Seconds()}, nil
}

// decodes is a text of each protocol as it becomes typed, by this module and by encoding/json.
func decodes(name string, of func(p *protocol) *text) scenario {
	return scenario{
		name: "decode, " + name, unit: "texts/s", fits: func(p *protocol) bool { return of(p) != nil },
		inside: func(p *protocol) (both []library) {
			t := of(p)
			wire := []byte(t.wire)
			for _, l := range []struct {
				name   string
				decode func([]byte) (string, error)
			}{{"rtcsignal", t.ours}, {"encoding/json", t.twice}} {
				both = append(both, library{l.name, func(o *options) (sample, error) {
					return perSecond(func() error {
						_, err := l.decode(wire)
						return err
					}, o.during/4)
				}})
			}
			return both
		},
	}
}

// pings is calls of the libraries for JSON-RPC, one after the other.
func pings(way string, open func(ping.Library) (*ping.Session, error)) scenario {
	return scenario{
		name: "ping " + way, unit: "calls/s", fits: func(p *protocol) bool { return p.name == "mse" },
		inside: func(*protocol) (all []library) {
			for _, l := range ping.Libraries {
				all = append(all, library{l.Name, func(o *options) (s sample, err error) {
					session, err := open(l)
					if err != nil {
						return s, err
					}
					s, err = perSecond(func() error { return session.Ping(context.Background()) }, o.during/2)
					return s, errors.Join(err, session.Close())
				}})
			}
			return all
		},
	}
}

// allocationsPerCall is testing.AllocsPerRun, which refuses to run beside other tests.
func allocationsPerCall(f func() error, times int) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if err := f(); err != nil { // what happens once is not counted
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if err := f(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / uint64(times)), nil
}

// allocations counts those of one call of a function that open makes, in the whole process.
func allocations(protocolName, name string, open func() (f func() error, end func() error, err error)) scenario {
	return scenario{
		name: "allocations, " + name, unit: "allocations", rounds: 1,
		fits: func(p *protocol) bool { return p.name == protocolName },
		inside: func(*protocol) []library {
			return []library{{"rtcsignal", func(*options) (sample, error) {
				f, end, err := open()
				if err != nil {
					return sample{}, err
				}
				n, err := allocationsPerCall(f, 500)
				return sample{rate: n}, errors.Join(err, end())
			}}}
		},
	}
}

func nothing() error { return nil }

func allocationsOfScan() (f, end func() error, err error) {
	wire := []byte(forwardOf(offer))
	return func() error {
		o, err := jsonx.Scan(wire)
		if err == nil {
			o.Free()
		}
		return err
	}, nothing, nil
}

func allocationsOfChat() (f, end func() error, err error) {
	wire := []byte(galeneChat.wire)
	return func() error {
		_, err := galene.Decode(wire)
		return err
	}, nothing, nil
}

func allocationsOfPing() (f, end func() error, err error) {
	s, err := ping.Libraries[0].Memory()
	if err != nil {
		return nil, nil, err
	}
	return func() error { return s.Ping(context.Background()) }, s.Close, nil
}

// allocationsOfRelay is an offer from a device to its client through a server, over pipes, which
// allocate nothing.
func allocationsOfRelay() (f, end func() error, err error) {
	srv := cuttlefish.NewServer(&cuttlefish.ServerOptions{Limits: cuttlefish.Limits{Messages: -1, Bytes: -1}})
	pipe := func(serve func(context.Context, transport.Conn) error) transport.Conn {
		near, far := transport.Pipe()
		go func() { _ = serve(context.Background(), far) }() // ends with srv
		return near
	}
	device, client := pipe(srv.ServeDevice), pipe(srv.ServeClient)
	var buf []byte
	hear := func(conn transport.Conn, want string) error {
		var err error
		if _, buf, err = conn.Read(buf); err != nil {
			return err
		}
		if !bytes.Contains(buf[:min(len(buf), 200)], []byte(want)) {
			return fmt.Errorf("%s where %s was to come", buf, want)
		}
		return nil
	}
	say := func(conn transport.Conn, text string) error { return conn.Write(transport.Text, []byte(text)) }
	err = say(device, `{"message_type":"register","device_id":"cvd","device_info":{}}`)
	for _, step := range []func() error{
		func() error { return hear(device, `"config"`) },
		func() error { return say(client, `{"message_type":"connect","device_id":"cvd"}`) },
		func() error { return hear(client, `"config"`) },
		func() error { return hear(client, `"device_info"`) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, srv.Close())
	}
	wire := []byte(forwardOf(offer))
	return func() error {
		if err := device.Write(transport.Text, wire); err != nil {
			return err
		}
		return hear(client, `"device_msg"`)
	}, srv.Close, nil
}

// forwardOf is what a device of Cuttlefish says to its client.
func forwardOf(payload string) string {
	return `{"message_type":"forward","client_id":1,"payload":` + payload + `}`
}
