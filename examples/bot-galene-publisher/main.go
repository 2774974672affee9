// Command bot-galene-publisher joins a group of a Galène server and sends a moving test
// picture with a tone, or the files that it is told: VP8 or VP9 in IVF, Opus in Ogg.
//
//	go run ./examples/server-galene
//	go run ./examples/bot-galene-publisher
//	go run ./examples/bot-galene-publisher -group https://galene.example.org/group/lobby/ -user bot -password secret -video film.ivf -audio film.ogg
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func main() {
	group := flag.String("group", "http://127.0.0.1:8443/group/test/", "`URL` of the group, with ?token= if there is one")
	user := flag.String("user", "publisher", "user `name`")
	password := flag.String("password", "", "`password`, unless the URL has a token")
	video := flag.String("video", "", "IVF `file` to send in place of the test picture")
	audio := flag.String("audio", "", "Ogg `file` to send in place of the tone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *group, *user, *password, *video, *audio); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, group, user, password, videoFile, audioFile string) error {
	mime, err := videoType(videoFile)
	if err != nil {
		return err
	}
	video, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, "video", "bot")
	if err != nil {
		return err
	}
	audio, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "bot")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()

	// snippet:bot
	client, _, err := galenehttp.Join(ctx, group, user, password, &galenehttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	peer := galenepion.NewPeer(client, nil)
	defer peer.Close()
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	player := &clip.Player{Video: video, Audio: audio}
	camera, err := peer.Publish(ctx, &galenepion.PublishOptions{
		Label:      "camera",
		OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnState:    func(s webrtc.PeerConnectionState) { fmt.Println("stream", s) },
	}, video, audio)
	if err != nil {
		return err
	}
	// end snippet

	if videoFile != "" {
		player.Video = nil
		playing.Go(func() { again(ctx, func() error { return playIVF(ctx, video, videoFile) }) })
	}
	if audioFile != "" {
		player.Audio = nil
		playing.Go(func() { again(ctx, func() error { return playOgg(ctx, audio, audioFile) }) })
	}
	playing.Go(func() { _ = player.Play(ctx) })
	select {
	case err := <-ended:
		return err
	case <-camera.Done():
		return camera.Err()
	}
}

// videoType returns the type of the pictures in a file, that of the test picture for none.
func videoType(name string) (string, error) {
	if name == "" {
		return webrtc.MimeTypeVP8, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, header, err := ivfreader.NewWith(f)
	if err != nil {
		return "", err
	}
	switch header.FourCC {
	case "VP80":
		return webrtc.MimeTypeVP8, nil
	case "VP90":
		return webrtc.MimeTypeVP9, nil
	}
	return "", fmt.Errorf("%s: %s is neither VP8 nor VP9", name, header.FourCC)
}

// again plays over and over until ctx ends or a file is broken.
func again(ctx context.Context, play func() error) {
	for ctx.Err() == nil {
		if err := play(); err != nil && ctx.Err() == nil {
			log.Print(err)
			return
		}
	}
}

// playIVF sends the frames of a file at the speed that it says.
func playIVF(ctx context.Context, track *webrtc.TrackLocalStaticSample, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	frames, header, err := ivfreader.NewWith(f)
	if err != nil {
		return err
	}
	if header.TimebaseDenominator == 0 {
		return fmt.Errorf("%s has no time base", name)
	}
	unit := time.Duration(header.TimebaseNumerator) * time.Second / time.Duration(header.TimebaseDenominator)
	began := time.Now()
	for last := uint64(0); ; {
		frame, header, err := frames.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := until(ctx, began.Add(time.Duration(header.Timestamp)*unit)); err != nil {
			return err
		}
		duration := max(time.Duration(header.Timestamp-last)*unit, time.Millisecond)
		last = header.Timestamp
		if err := track.WriteSample(media.Sample{Data: frame, Duration: duration}); err != nil {
			return err
		}
	}
}

// playOgg sends the pages of a file at the speed that they say.
func playOgg(ctx context.Context, track *webrtc.TrackLocalStaticSample, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	pages, _, err := oggreader.NewWith(f)
	if err != nil {
		return err
	}
	const rate = 48000 // of Opus, whatever the file was made of
	began := time.Now()
	for last := uint64(0); ; {
		page, header, err := pages.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.GranulePosition <= last {
			continue // the comments
		}
		duration := time.Duration(header.GranulePosition-last) * time.Second / rate
		if err := until(ctx, began.Add(time.Duration(last)*time.Second/rate)); err != nil {
			return err
		}
		last = header.GranulePosition
		if err := track.WriteSample(media.Sample{Data: page, Duration: duration}); err != nil {
			return err
		}
	}
}

// until waits.
func until(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
