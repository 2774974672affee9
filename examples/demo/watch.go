package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// enoughPackets is how many RTP packets of a track have to arrive.
const enoughPackets = 50

// publish runs a publishing bot beside the rest of a session. It returns when the bot is
// ready; stop ends it.
func publish(
	ctx context.Context, what string, play func(ctx context.Context, ready func()) error,
) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var playing sync.WaitGroup
	ready := make(chan struct{})
	failed := make(chan error, 1)
	playing.Go(func() { failed <- play(ctx, sync.OnceFunc(func() { close(ready) })) })
	stop = func() {
		cancel()
		playing.Wait()
	}
	select {
	case <-ready:
		return stop, nil
	case err := <-failed:
		stop()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
}

// A watcher notes what a receiving bot gets.
type watcher struct {
	r         *result
	connected chan struct{}
	once      sync.Once
	reached   chan string
}

func newWatcher(r *result) *watcher {
	return &watcher{r: r, connected: make(chan struct{}), reached: make(chan string, 16)}
}

// state takes the states of the peer connection.
func (w *watcher) state(s webrtc.PeerConnectionState) {
	if s == webrtc.PeerConnectionStateConnected {
		w.once.Do(func() { close(w.connected) })
	}
}

// track counts a track's packets until it ends.
func (w *watcher) track(name string, track *webrtc.TrackRemote) {
	for n := 1; ; n++ {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		w.r.Packets.Add(1)
		w.r.Bytes.Add(uint64(packet.MarshalSize()))
		if n == enoughPackets {
			w.got(fmt.Sprintf("%d packets of %s (%s)", n, name, track.Codec().MimeType))
		}
	}
}

// got notes something that the session is to show.
func (w *watcher) got(what string) {
	select {
	case w.reached <- what:
	default: // it has shown enough
	}
}

// wait waits for the connection and for n things that the bot gets, unless the bot ends
// first. The connection's time counts from since, which is called what.
func (w *watcher) wait(since time.Time, what string, n int, ended <-chan error) error {
	select {
	case <-w.connected:
		w.r.Connected = time.Since(since)
		w.r.step("peer connection up, %v after %s", w.r.Connected.Round(time.Millisecond), what)
	case err := <-ended:
		return fmt.Errorf("receiver: %w", err)
	}
	for range n {
		select {
		case got := <-w.reached:
			w.r.step("received %s", got)
		case err := <-ended:
			return fmt.Errorf("receiver: %w", err)
		}
	}
	return nil
}
