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

// Video returns the VP8 frames. The first one of each second is a key frame, so a viewer that joins late or asks for
// one waits a second at most. The samples are shared and must not be changed.
func Video() []media.Sample { return video() }

// Audio returns the Opus packets, which last as long as the frames. The samples are shared and must not be changed.
func Audio() []media.Sample { return audio() }

// A Sink takes samples; a *webrtc.TrackLocalStaticSample is one. It continues the timestamps from the durations of the
// samples.
type Sink interface {
	WriteSample(media.Sample) error
}

// Play writes the clip to the sinks at the speed of a clock, over and over, until ctx ends. A sink may be nil. It
// returns nil when ctx has ended, otherwise the first error of a sink, which ends the other one as well.
func Play(ctx context.Context, video, audio Sink) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var loops sync.WaitGroup
	errs := make([]error, 2)
	for i, part := range []struct {
		sink    Sink
		samples []media.Sample
	}{{video, Video()}, {audio, Audio()}} {
		if part.sink == nil {
			continue
		}
		loops.Go(func() {
			if errs[i] = loop(ctx, part.sink, part.samples); errs[i] != nil {
				stop()
			}
		})
	}
	<-ctx.Done()
	loops.Wait()
	return errors.Join(errs...)
}

// loop writes each sample when its time has come, counted from the first one, so that a late tick makes nothing late
// that follows.
func loop(ctx context.Context, sink Sink, samples []media.Sample) error {
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
