package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A watched connection notes how reading ends, and may stop to read.
type watched struct {
	transport.Conn
	stopped chan struct{} // closed when it is to read no more
	ended   chan struct{}
	once    sync.Once

	err error // after ended
	at  time.Time
}

func watch(c transport.Conn) *watched {
	return &watched{Conn: c, stopped: make(chan struct{}), ended: make(chan struct{})}
}

func (c *watched) Read(buf []byte) (transport.MessageType, []byte, error) {
	select {
	case <-c.stopped:
		<-c.ended
		return 0, nil, transport.ErrClosed
	default:
	}
	typ, msg, err := c.Conn.Read(buf)
	if err != nil {
		c.end(err)
	}
	return typ, msg, err
}

func (c *watched) end(err error) {
	c.once.Do(func() {
		c.err, c.at = err, time.Now()
		close(c.ended)
	})
}

func (c *watched) Close(code transport.StatusCode, reason string) error {
	c.end(transport.ErrClosed)
	return c.Conn.Close(code, reason)
}

func (c *watched) Unwrap() transport.Conn { return c.Conn }

// A farewell is how long a client may have to wait for it.
const farewell = time.Second

func TestAServerThatStopsUnderLoadTellsEverybody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			d := &drain{world: newWorld(t, p, settings{limits: link.Unlimited}), guests: 20, steps: 15}
			begin, stopped := d.play(t)
			for _, c := range d.readers {
				require.LessOrEqual(t, c.at.Sub(begin), farewell)
			}
			require.LessOrEqual(t, stopped.Sub(begin), farewell)
		})
	})
}

// A write to somebody who does not read holds a lock, which the time of a bubble does not
// bear: this is in real time, and looks at no clock.
func TestAServerThatStopsDoesNotHangOnThoseWhoDoNotRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		d := &drain{
			world: newRealWorld(t, p, settings{
				limits: link.Unlimited, carrier: wsconn.Options{WriteTimeout: 500 * time.Millisecond},
			}),
			guests: 6, deaf: 3, steps: 20, padding: 20_000,
		}
		d.play(t)
	})
}

// A drain stops a server while guests talk. Some are deaf, and read nothing once they are in.
type drain struct {
	*world
	guests, deaf int
	steps        int // messages of each guest before the end begins
	padding      int // bytes of each

	readers []*watched
}

// play returns when the server was told to stop, and when it had.
func (d *drain) play(t *testing.T) (begin, stopped time.Time) {
	var conns []*watched
	come := func(name string, host bool) *party {
		return d.enter(visit{name: name, host: host, wrap: func(c transport.Conn) transport.Conn {
			conns = append(conns, watch(c))
			return conns[len(conns)-1]
		}})
	}
	host := come("host", true)
	var guests, deaf []*party
	for i := range d.guests {
		guests = append(guests, come(fmt.Sprint("guest", i), false))
	}
	d.readers, conns = conns, nil
	for i := range d.deaf {
		deaf = append(deaf, come(fmt.Sprint("deaf", i), false))
		close(conns[i].stopped)
	}
	var talking, warm sync.WaitGroup
	for _, guest := range guests {
		warm.Add(1)
		warmed := sync.OnceFunc(warm.Done)
		talking.Go(func() {
			defer warmed()
			var err error
			for i := 0; err == nil; i++ { // until the end
				if i == d.steps {
					warmed()
				}
				err = guest.roundTrip(t.Context(), fmt.Sprintf("%s %d %s", guest.name, i, strings.Repeat("x", d.padding)))
				if err == nil && !d.real {
					time.Sleep(time.Millisecond) // or no time would pass
				}
			}
		})
	}
	warm.Wait()
	begin = time.Now()
	stopping := make(chan error, 1)
	go func() { stopping <- errors.Join(d.web.Shutdown(context.Background()), d.srv.close()) }()
	for _, c := range d.readers {
		<-c.ended
		closed, ok := errors.AsType[*transport.CloseError](c.err)
		require.True(t, ok, "%v", c.err)
		require.Equal(t, transport.StatusGoingAway, closed.Code)
	}
	require.NoError(t, <-stopping)
	stopped = time.Now()
	d.requireEmpty()
	for _, guest := range append(guests, host) {
		<-guest.done
		require.NoError(t, guest.err(), guest.name)
		guest.end()
	}
	for _, guest := range deaf {
		guest.end()
	}
	talking.Wait()
	<-d.served
	_, err := d.try(visit{name: "late"})
	require.Error(t, err)
	t.Logf("closed in %v", stopped.Sub(begin))
	return begin, stopped
}
