package clip

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

var _ Sink = (*webrtc.TrackLocalStaticSample)(nil)

const length = 4 * time.Second

func total(samples []media.Sample) (d time.Duration) {
	for _, s := range samples {
		d += s.Duration
	}
	return d
}

func TestVideoIsFourSecondsOfVP8WithAKeyFrameEachSecond(t *testing.T) {
	t.Parallel()
	const framesPerSecond = 20
	frames := Video()
	require.Len(t, frames, 4*framesPerSecond)
	require.Equal(t, length, total(frames))
	for i, f := range frames {
		isKey := f.Data[0]&1 == 0 // RFC 6386 section 9.1
		if i%framesPerSecond != 0 {
			continue
		}
		require.True(t, isKey, "frame %d", i)
		require.Equal(t, []byte{0x9d, 0x01, 0x2a}, f.Data[3:6], "start code of frame %d", i)
		require.EqualValues(t, Width, binary.LittleEndian.Uint16(f.Data[6:]))
		require.EqualValues(t, Height, binary.LittleEndian.Uint16(f.Data[8:]))
	}
}

func TestAudioIsFourSecondsOfOpusPackets(t *testing.T) {
	t.Parallel()
	packets := Audio()
	require.Len(t, packets, 200)
	require.Equal(t, length, total(packets))
	for i, p := range packets {
		toc := p.Data[0] // RFC 6716 section 3.1: the frame size is in the configuration, the count in the last bits
		require.Contains(t, []byte{1, 5, 9, 13, 15, 19, 23, 27, 31}, toc>>3, "packet %d has frames of 20 ms", i)
		require.Zero(t, toc&3, "packet %d is one frame", i)
	}
}

func TestEmbeddedFilesAreSmall(t *testing.T) {
	t.Parallel()
	require.Less(t, len(ivf)+len(ogg), 400<<10)
}

func TestBrokenFilesAreErrors(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{nil, []byte("garbage"), ivf[:100], ogg[:100]} {
		_, err := parseVideo(data)
		require.ErrorContains(t, err, "clip: video: ")
		_, err = parseAudio(data)
		require.ErrorContains(t, err, "clip: audio: ")
	}
}

// A recorder is a Sink that notes when it got what.
type recorder struct {
	start time.Time
	slow  time.Duration // how long the first write takes
	at    []time.Duration
	data  [][]byte
	err   error
}

func (r *recorder) WriteSample(s media.Sample) error {
	r.at = append(r.at, time.Since(r.start))
	r.data = append(r.data, s.Data)
	if len(r.at) == 1 {
		time.Sleep(r.slow) // fake time
	}
	return r.err
}

func TestPlayKeepsTimeAndLoops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*length-time.Millisecond)
		defer cancel()
		video, audio := &recorder{start: time.Now()}, &recorder{start: time.Now()}
		require.NoError(t, Play(ctx, video, audio))
		require.Len(t, video.at, 3*len(Video()))
		require.Len(t, audio.at, 3*len(Audio()))
		for _, tt := range []struct {
			got  *recorder
			want []media.Sample
		}{{video, Video()}, {audio, Audio()}} {
			for i, at := range tt.got.at {
				require.Equal(t, time.Duration(i)*tt.want[0].Duration, at)
				require.Equal(t, tt.want[i%len(tt.want)].Data, tt.got.data[i])
			}
		}
	})
}

func TestPlayerGoesOnWithAKeyFrameWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		frame := Video()[0].Duration
		picture := &recorder{start: time.Now()}
		p := &Player{Video: picture}
		done := make(chan error)
		go func() { done <- p.Play(ctx) }()
		time.Sleep(5*frame + frame/2) // fake time: frames 0 to 5 are out
		p.RequestKeyFrame()
		time.Sleep(2 * frame)
		cancel()
		require.NoError(t, <-done)
		second := int(time.Second / frame)
		want := append([]media.Sample(nil), Video()[:6]...)
		want = append(want, Video()[second], Video()[second+1])
		require.Len(t, picture.data, len(want))
		for i := range want {
			require.Equal(t, want[i].Data, picture.data[i], "frame %d", i)
			require.Equal(t, time.Duration(i)*frame, picture.at[i], "frame %d", i)
		}
	})
}

func TestPlayCatchesUpAfterASlowWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length-time.Millisecond)
		defer cancel()
		video := &recorder{start: time.Now(), slow: 510 * time.Millisecond}
		require.NoError(t, Play(ctx, video, nil))
		require.Len(t, video.at, len(Video()))
		require.Equal(t, length-Video()[0].Duration, video.at[len(video.at)-1])
	})
}

func TestPlayEndsWithTheErrorOfASink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		err := Play(t.Context(), &recorder{start: time.Now()}, &recorder{start: time.Now(), err: broken})
		require.ErrorIs(t, err, broken)
	})
}

func TestPlayOfAnEndedContextWritesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	video := &recorder{start: time.Now()}
	require.NoError(t, Play(ctx, video, nil))
	require.Empty(t, video.at)
}
