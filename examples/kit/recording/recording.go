// Package recording writes what bots receive into files: pictures as IVF (VP8, VP9 and AV1),
// sound as Ogg (Opus). Bots that only look at what comes count it.
package recording

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// A Track is what is recorded; a *webrtc.TrackRemote is one.
type Track interface {
	// Kind returns whether it is sound or a picture.
	Kind() webrtc.RTPCodecType
	// Codec returns what the packets hold. It is asked for after the first one.
	Codec() webrtc.RTPCodecParameters
	// ReadRTP waits for a packet. At the end of the track the error is io.EOF.
	ReadRTP() (*rtp.Packet, interceptor.Attributes, error)
}

// A Folder takes the files of tracks. Its fields must not be changed once it is in use.
type Folder struct {
	// Path is that of the folder, which must be there.
	Path string
	// Open creates the file of a track, as the function [Open] does, which nil stands for.
	Open func(name string, codec webrtc.RTPCodecParameters) (media.Writer, string, error)

	files atomic.Int64
}

// Record writes a track into a file of its own until the track ends, and then prints the name
// of the file and how many packets have come. The name has a number, the letters and digits of
// the sender's name, and the kind of the track. A track that ends before its first packet gets
// no file. Record may be called for several tracks at once.
func (f *Folder) Record(sender string, track Track) (err error) {
	packet, _, err := track.ReadRTP()
	if err != nil {
		return ended(err)
	}
	open := f.Open
	if open == nil {
		open = Open
	}
	name := fmt.Sprintf("%03d-%s-%s", f.files.Add(1), plain(sender), track.Kind())
	file, name, err := open(filepath.Join(f.Path, name), track.Codec())
	if err != nil {
		return err
	}
	packets := 0
	defer func() {
		err = errors.Join(err, file.Close())
		fmt.Printf("%s: %d packets\n", name, packets)
	}()
	for {
		packets++
		if len(packet.Payload) > 0 { // one without only keeps a path open
			if err := file.WriteRTP(packet); err != nil {
				return err
			}
		}
		if packet, _, err = track.ReadRTP(); err != nil {
			return ended(err)
		}
	}
}

// Count reads a track until it ends, and returns how many packets and bytes of payload have
// come. A file takes them if its name is not empty; then the track must be VP8.
func Count(track Track, file string) (packets, bytes int, err error) {
	var w media.Writer
	if file != "" {
		if w, err = createVP8(file); err != nil {
			return 0, 0, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return packets, bytes, ended(err)
		}
		packets++
		bytes += len(packet.Payload)
		if w == nil {
			continue
		}
		if err := w.WriteRTP(packet); err != nil {
			return packets, bytes, err
		}
	}
}

// ended returns nil when a track has ended in order.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Open creates a file for what a codec makes: Ogg for Opus, IVF for VP8, VP9 and AV1. It
// returns the name of the file as well, which is the given one with the ending of the format.
// Another codec is an error, and makes no file.
func Open(name string, codec webrtc.RTPCodecParameters) (media.Writer, string, error) {
	if strings.EqualFold(codec.MimeType, webrtc.MimeTypeOpus) {
		name += ".ogg"
		w, err := oggwriter.New(name, codec.ClockRate, codec.Channels)
		return w, name, err
	}
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeAV1} {
		if !strings.EqualFold(codec.MimeType, mime) {
			continue
		}
		name += ".ivf"
		if mime == webrtc.MimeTypeVP8 {
			w, err := createVP8(name)
			return w, name, err
		}
		w, err := ivfwriter.New(name, ivfwriter.WithCodec(mime))
		return w, name, err
	}
	return nil, "", fmt.Errorf("%s is not recorded", codec.MimeType)
}

// createVP8 creates an IVF file for VP8.
func createVP8(name string) (media.Writer, error) {
	w, err := ivfwriter.New(name, ivfwriter.WithCodec(webrtc.MimeTypeVP8))
	if err != nil {
		return nil, err
	}
	return vp8Writer{w}, nil
}

// A vp8Writer leaves out packets with nothing behind their descriptor, at which an IVFWriter
// panics.
type vp8Writer struct{ *ivfwriter.IVFWriter }

func (w vp8Writer) WriteRTP(packet *rtp.Packet) error {
	if data, err := new(codecs.VP8Packet).Unmarshal(packet.Payload); err == nil && len(data) == 0 {
		return nil
	}
	return w.IVFWriter.WriteRTP(packet)
}

// plain returns what of a sender's name may stand in that of a file.
func plain(sender string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, sender)
}
