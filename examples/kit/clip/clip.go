// Package clip is a short test picture with a tone, for bots that need something to send. No tool is needed to play
// it; README.md says how it was made.
package clip

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// The size of the picture in pixels.
const (
	Width  = 320
	Height = 240
)

// opusPacket is the duration of a packet of the clip.
const opusPacket = 20 * time.Millisecond

var (
	//go:embed video.ivf
	ivf []byte
	//go:embed audio.ogg
	ogg []byte

	video = sync.OnceValue(func() []media.Sample { return must(parseVideo(ivf)) })
	audio = sync.OnceValue(func() []media.Sample { return must(parseAudio(ogg)) })
)

// Video returns the VP8 frames. The first one of each second is a key frame, so a viewer that joins late waits a second
// at most, or less with [Player.RequestKeyFrame]. The samples are shared and must not be changed.
func Video() []media.Sample { return video() }

// Audio returns the Opus packets, which last as long as the frames. The samples are shared and must not be changed.
func Audio() []media.Sample { return audio() }

// A Sink takes samples; a *webrtc.TrackLocalStaticSample is one. It continues the timestamps from the durations of the
// samples.
type Sink interface {
	WriteSample(media.Sample) error
}

// Play is [Player.Play] of a Player that nobody asks for key frames.
func Play(ctx context.Context, video, audio Sink) error {
	return (&Player{Video: video, Audio: audio}).Play(ctx)
}

// A Player writes the clip to sinks, of which either may be nil.
type Player struct {
	Video, Audio Sink

	wanted atomic.Bool // a key frame
}

// RequestKeyFrame makes the picture go on with its next key frame, for a viewer that cannot show any other one. It may
// be called at any time.
func (p *Player) RequestKeyFrame() { p.wanted.Store(true) }

// Play writes the clip at the speed of a clock, over and over, until ctx ends. It returns nil when ctx has ended,
// otherwise the first error of a sink, which ends the other one as well.
func (p *Player) Play(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var loops sync.WaitGroup
	errs := make([]error, 2)
	for i, part := range []struct {
		sink    Sink
		samples []media.Sample
		next    func(int) int
	}{
		{p.Video, Video(), p.nextFrame},
		{p.Audio, Audio(), func(i int) int { return i }},
	} {
		if part.sink == nil {
			continue
		}
		loops.Go(func() {
			if errs[i] = loop(ctx, part.sink, part.samples, part.next); errs[i] != nil {
				stop()
			}
		})
	}
	<-ctx.Done()
	loops.Wait()
	return errors.Join(errs...)
}

// nextFrame returns the frame to go on with where frame i would come: that one, or the next key frame when one is
// wanted.
func (p *Player) nextFrame(i int) int {
	if !p.wanted.Swap(false) {
		return i
	}
	frames := Video()
	for !isKeyFrame(frames[i]) {
		i = (i + 1) % len(frames)
	}
	return i
}

// isKeyFrame reads the first bit of a VP8 frame, RFC 6386, section 9.1.
func isKeyFrame(s media.Sample) bool { return s.Data[0]&1 == 0 }

// loop writes each sample when its time has come, counted from the first one, so that a late tick makes nothing late
// that follows. next says which sample to write in place of the one whose turn it is.
func loop(ctx context.Context, sink Sink, samples []media.Sample, next func(int) int) error {
	ticker := time.NewTicker(samples[0].Duration)
	defer ticker.Stop()
	start := time.Now()
	var due time.Duration
	for i := 0; ; i = (i + 1) % len(samples) {
		for time.Since(start) < due {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		i = next(i)
		if err := sink.WriteSample(samples[i]); err != nil {
			return fmt.Errorf("clip: %w", err)
		}
		due += samples[i].Duration
	}
}

func parseVideo(data []byte) ([]media.Sample, error) {
	reader, header, err := ivfreader.NewWith(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("clip: video: %w", err)
	}
	frame := time.Second * time.Duration(header.TimebaseNumerator) / time.Duration(header.TimebaseDenominator)
	var samples []media.Sample
	for {
		payload, _, err := reader.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return samples, nil
		}
		if err != nil {
			return nil, fmt.Errorf("clip: video: %w", err)
		}
		samples = append(samples, media.Sample{Data: payload, Duration: frame})
	}
}

func parseAudio(data []byte) ([]media.Sample, error) {
	reader, _, err := oggreader.NewWith(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("clip: audio: %w", err)
	}
	var samples []media.Sample
	for {
		payload, page, err := reader.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return samples, nil
		}
		if err != nil {
			return nil, fmt.Errorf("clip: audio: %w", err)
		}
		if _, isHeader := page.HeaderType(payload); isHeader {
			continue
		}
		samples = append(samples, media.Sample{Data: payload, Duration: opusPacket})
	}
}

// must panics for a broken embedded file, which the tests of this package exclude.
func must(samples []media.Sample, err error) []media.Sample {
	if err != nil {
		panic(err)
	}
	return samples
}
