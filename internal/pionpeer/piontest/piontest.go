// Package piontest has what the tests of the Pion layers need: tracks that are fed, and an
// account of the tracks that arrive.
package piontest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
)

// A Flow is what came of a track.
type Flow struct {
	Name    string
	Of      any // whose it is
	Track   *webrtc.TrackRemote
	Packets int
	Ended   bool
}

// Flows are the tracks that arrive at somebody. One goroutine at a time may wait for them.
type Flows struct {
	mu   sync.Mutex
	all  []*Flow
	more chan struct{} // capacity 1: a flow has changed
}

// NewFlows returns the account of nobody's tracks yet.
func NewFlows() *Flows { return &Flows{more: make(chan struct{}, 1)} }

// Receive reads a track until it ends.
func (f *Flows) Receive(name string, of any, track *webrtc.TrackRemote) {
	flow := &Flow{Name: name, Of: of, Track: track}
	f.mu.Lock()
	f.all = append(f.all, flow)
	f.mu.Unlock()
	for {
		_, _, err := track.ReadRTP()
		f.mu.Lock()
		flow.Packets++
		flow.Ended = err != nil
		f.mu.Unlock()
		select {
		case f.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Await waits until ok is satisfied by what arrives.
func (f *Flows) Await(t *testing.T, what string, ok func([]*Flow) bool) {
	t.Helper()
	timeout := time.After(heard.Patience)
	for {
		f.mu.Lock()
		satisfied := ok(f.all)
		f.mu.Unlock()
		if satisfied {
			return
		}
		select {
		case <-f.more:
		case <-timeout:
			f.mu.Lock()
			defer f.mu.Unlock()
			var flows []string
			for _, flow := range f.all {
				flows = append(flows, fmt.Sprintf("%s: %d packets, ended: %t", flow.Name, flow.Packets, flow.Ended))
			}
			require.FailNow(t, "no "+what, "%q", flows)
		}
	}
}

// RequireMedia waits until packets arrive that were not there before, of each of these
// tracks.
func (f *Flows) RequireMedia(t *testing.T, names ...string) {
	t.Helper()
	before := make(map[*Flow]int)
	f.mu.Lock()
	for _, flow := range f.all {
		before[flow] = flow.Packets
	}
	f.mu.Unlock()
	for _, name := range names {
		f.Await(t, "media of "+name, func(flows []*Flow) bool {
			return slices.ContainsFunc(flows, func(flow *Flow) bool {
				return !flow.Ended && flow.Name == name && flow.Packets > before[flow]+2
			})
		})
	}
}

// RequireOnly waits until these tracks and no others have not ended, in any order.
func (f *Flows) RequireOnly(t *testing.T, names ...string) {
	t.Helper()
	slices.Sort(names)
	f.Await(t, fmt.Sprintf("set of tracks %q", names), func(flows []*Flow) bool {
		var live []string
		for _, flow := range flows {
			if !flow.Ended {
				live = append(live, flow.Name)
			}
		}
		slices.Sort(live)
		return slices.Equal(live, names)
	})
}

// Require waits until a track is there and returns it, the last one of that name.
func (f *Flows) Require(t *testing.T, name string) (found *Flow) {
	t.Helper()
	f.Await(t, "track "+name, func(flows []*Flow) bool {
		for _, flow := range flows {
			if !flow.Ended && flow.Name == name {
				found = flow
			}
		}
		return found != nil
	})
	return found
}

// Video and Sound make tracks that are fed until the test ends. Their stream has the same
// id.
func Video(t *testing.T, id string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	return Feed(t, webrtc.MimeTypeVP8, id, id)
}

// Sound is Video for Opus.
func Sound(t *testing.T, id string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	return Feed(t, webrtc.MimeTypeOpus, id, id)
}

// Feed makes a track of a stream that is fed until the test ends.
func Feed(t *testing.T, mime, id, stream string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, id, stream)
	require.NoError(t, err)
	Play(t, track, []byte{1, 2, 3})
	return track
}

// Play writes a sample to a track, over and over, until the test ends.
func Play(t *testing.T, track *webrtc.TrackLocalStaticSample, data []byte) {
	t.Helper()
	Run(t, func(ctx context.Context) error {
		const interval = 20 * time.Millisecond
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				_ = track.WriteSample(media.Sample{Data: data, Duration: interval})
			}
		}
	})
}

// Run runs f until the test ends.
func Run(t *testing.T, f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
}
