package recording_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/recording"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

var _ recording.Track = (*webrtc.TrackRemote)(nil)

// A track brings packets and then ends. As one of Pion's may, it knows its codec from the
// first packet on.
type track struct {
	mime    string
	packets []*rtp.Packet
	end     error
	begun   bool
}

func (t *track) Kind() webrtc.RTPCodecType {
	kind, _, _ := strings.Cut(t.mime, "/")
	return webrtc.NewRTPCodecType(kind)
}

func (t *track) Codec() (c webrtc.RTPCodecParameters) {
	if !t.begun {
		return c
	}
	c.MimeType, c.ClockRate = t.mime, 90000
	if t.Kind() == webrtc.RTPCodecTypeAudio {
		c.ClockRate, c.Channels = 48000, 2
	}
	return c
}

func (t *track) ReadRTP() (*rtp.Packet, interceptor.Attributes, error) {
	if len(t.packets) == 0 {
		return nil, nil, t.end
	}
	p := t.packets[0]
	t.packets, t.begun = t.packets[1:], true
	return p, nil, nil
}

// packetsOf cuts samples into small packets.
func packetsOf(samples []media.Sample, payloader rtp.Payloader, clockRate uint32) (packets []*rtp.Packet) {
	const mtu = 400
	packetizer := rtp.NewPacketizer(mtu, 96, 1, payloader, rtp.NewFixedSequencer(65535), clockRate)
	for _, s := range samples {
		packets = append(packets, packetizer.Packetize(s.Data, uint32(s.Duration.Seconds()*float64(clockRate)))...)
	}
	return packets
}

func pictures() []*rtp.Packet { return packetsOf(clip.Video(), new(codecs.VP8Payloader), 90000) }
func sound() []*rtp.Packet    { return packetsOf(clip.Audio(), new(codecs.OpusPayloader), 48000) }

// vp9 is a packet with a whole key frame, av1 one with a sequence header, of one byte each
// behind what describes them.
func vp9() []*rtp.Packet { return whole(0x0c, 0xaa) }
func av1() []*rtp.Packet { return whole(0x18, 0x08, 0xaa) }

func whole(payload ...byte) []*rtp.Packet {
	return []*rtp.Packet{{Header: rtp.Header{Marker: true}, Payload: payload}}
}

// withPadding puts a packet before and behind each of the others.
func withPadding(packets []*rtp.Packet, payload ...byte) (padded []*rtp.Packet) {
	padding := &rtp.Packet{Header: rtp.Header{PaddingSize: 255}, Payload: payload}
	for _, p := range packets {
		padded = append(padded, padding, p)
	}
	return append(padded, padding)
}

func dataOf(samples []media.Sample) (data [][]byte) {
	for _, s := range samples {
		data = append(data, s.Data)
	}
	return data
}

// readIVF returns what is in a file, whose codec it checks.
func readIVF(t *testing.T, name, fourCC string) (frames [][]byte) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	r, header, err := ivfreader.NewWith(f)
	require.NoError(t, err)
	require.Equal(t, fourCC, header.FourCC)
	last := uint64(0)
	for {
		frame, head, err := r.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			require.EqualValues(t, len(frames), header.NumFrames, "a closed file knows its length")
			return frames
		}
		require.NoError(t, err)
		require.True(t, len(frames) == 0 || head.Timestamp > last, "frame %d at %d", len(frames), head.Timestamp)
		last = head.Timestamp
		frames = append(frames, frame)
	}
}

// readOgg returns the packets in a file, each of 20 ms.
func readOgg(t *testing.T, name string) (packets [][]byte) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	r, header, err := oggreader.NewWith(f)
	require.NoError(t, err)
	require.EqualValues(t, 48000, header.SampleRate)
	require.EqualValues(t, 2, header.Channels)
	_, _, err = r.ParseNextPage() // the comments
	require.NoError(t, err)
	first := uint64(0)
	for {
		page, head, err := r.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return packets
		}
		require.NoError(t, err)
		if len(packets) == 0 {
			first = head.GranulePosition
		}
		require.EqualValues(t, 960*len(packets), head.GranulePosition-first)
		packets = append(packets, page)
	}
}

// files returns the names in a folder.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAFileHoldsWhatTheTrackHasBrought(t *testing.T) {
	t.Parallel()
	ivf := func(fourCC string) func(*testing.T, string) [][]byte {
		return func(t *testing.T, name string) [][]byte { return readIVF(t, name, fourCC) }
	}
	video, audio := dataOf(clip.Video()), dataOf(clip.Audio())
	delta := slices.IndexFunc(video, func(frame []byte) bool { return frame[0]&1 != 0 })
	for _, tt := range []struct {
		name    string
		mime    string
		packets []*rtp.Packet
		file    string
		read    func(*testing.T, string) [][]byte
		want    [][]byte
	}{
		{"VP8", "video/VP8", pictures(), "001-bob-video.ivf", ivf("VP80"), video},
		{"VP8 in another case", "video/vp8", pictures(), "001-bob-video.ivf", ivf("VP80"), video},
		{"VP8 with padding", "video/VP8", withPadding(pictures()), "001-bob-video.ivf", ivf("VP80"), video},
		{"VP8 with bare descriptors", "video/VP8", withPadding(pictures(), 0x10), "001-bob-video.ivf", ivf("VP80"), video},
		{"VP8 from the middle", "video/VP8", packetsOf(clip.Video()[delta:], new(codecs.VP8Payloader), 90000),
			"001-bob-video.ivf", ivf("VP80"), video[20:]}, // from the next key frame on
		{"VP9", "video/VP9", vp9(), "001-bob-video.ivf", ivf("VP90"), [][]byte{{0xaa}}},
		{"AV1", "video/AV1", av1(), "001-bob-video.ivf", ivf("AV01"), [][]byte{{0x12, 0, 0x0a, 1, 0xaa}}},
		{"Opus", "audio/opus", sound(), "001-bob-audio.ogg", readOgg, audio},
		{"Opus in another case", "audio/OPUS", sound(), "001-bob-audio.ogg", readOgg, audio},
		{"Opus with padding", "audio/opus", withPadding(sound()), "001-bob-audio.ogg", readOgg, audio},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := &recording.Folder{Path: t.TempDir()}
			require.NoError(t, folder.Record("bob", &track{mime: tt.mime, packets: tt.packets, end: io.EOF}))
			require.Equal(t, []string{tt.file}, files(t, folder.Path))
			require.Equal(t, tt.want, tt.read(t, filepath.Join(folder.Path, tt.file)))
		})
	}
}

func TestABrokenTrackLeavesAWholeFile(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection is lost")
	for _, tt := range []struct {
		name    string
		packets []*rtp.Packet
		end     error
		want    string
	}{
		{"no more packets", pictures(), broken, broken.Error()},
		{"a packet that is none", append(pictures(), whole(0x80)...), io.EOF, "packet is not large enough"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := &recording.Folder{Path: t.TempDir()}
			err := folder.Record("bob", &track{mime: "video/VP8", packets: tt.packets, end: tt.end})
			require.EqualError(t, err, tt.want)
			require.Equal(t, dataOf(clip.Video()), readIVF(t, filepath.Join(folder.Path, "001-bob-video.ivf"), "VP80"))
		})
	}
}

func TestATrackWithoutPacketsGetsNoFile(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection is lost")
	folder := &recording.Folder{Path: t.TempDir()}
	require.NoError(t, folder.Record("bob", &track{mime: "video/VP8", end: io.EOF}))
	require.ErrorIs(t, folder.Record("bob", &track{mime: "video/VP8", end: broken}), broken)
	require.Empty(t, files(t, folder.Path))
}

func TestACodecWithoutAFormatIsRefused(t *testing.T) {
	t.Parallel()
	folder := &recording.Folder{Path: t.TempDir()}
	err := folder.Record("bob", &track{mime: "video/H264", packets: pictures(), end: io.EOF})
	require.ErrorContains(t, err, "video/H264")
	require.Empty(t, files(t, folder.Path))
}

func TestAMissingFolderIsAnError(t *testing.T) {
	t.Parallel()
	folder := &recording.Folder{Path: filepath.Join(t.TempDir(), "none")}
	for _, mime := range []string{"video/VP8", "video/VP9", "audio/opus"} {
		require.ErrorIs(t, folder.Record("bob", &track{mime: mime, packets: sound(), end: io.EOF}), os.ErrNotExist, mime)
	}
}

func TestASendersNameStaysWithinTheFolder(t *testing.T) {
	t.Parallel()
	for sender, want := range map[string]string{
		"Alice09":      "001-Alice09-audio.ogg",
		"":             "001--audio.ogg",
		"../../passwd": "001-______passwd-audio.ogg",
		`c:\bob.exe`:   "001-c__bob_exe-audio.ogg",
		"Zoë\x00 \n":   "001-Zo____-audio.ogg",
		"bad\xff":      "001-bad_-audio.ogg",
	} {
		folder := &recording.Folder{Path: t.TempDir()}
		require.NoError(t, folder.Record(sender, &track{mime: "audio/opus", packets: sound(), end: io.EOF}))
		require.Equal(t, []string{want}, files(t, folder.Path), "%q", sender)
	}
}

func TestTracksOfOneNameGetFilesOfTheirOwn(t *testing.T) {
	t.Parallel()
	folder := &recording.Folder{Path: t.TempDir()}
	errs := make([]error, 10)
	var want []string
	var recordings sync.WaitGroup
	for i := range errs {
		want = append(want, fmt.Sprintf("%03d-bob-audio.ogg", i+1))
		recordings.Go(func() {
			errs[i] = folder.Record("bob", &track{mime: "audio/opus", packets: sound(), end: io.EOF})
		})
	}
	recordings.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, want, files(t, folder.Path))
	for _, name := range want {
		require.Equal(t, dataOf(clip.Audio()), readOgg(t, filepath.Join(folder.Path, name)))
	}
}

func TestWhatIsCountedMayBeKeptAsWell(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection is lost")
	size := 0
	for _, p := range pictures() {
		size += len(p.Payload)
	}
	n := len(pictures())
	for _, tt := range []struct {
		name        string
		packets     []*rtp.Packet
		end         error
		wantPackets int
		wantBytes   int
	}{
		{"to its end", pictures(), io.EOF, n, size},
		{"until it breaks", pictures(), broken, n, size},
		{"with padding", withPadding(pictures()), io.EOF, 2*n + 1, size},
		{"with bare descriptors", withPadding(pictures(), 0x10), io.EOF, 2*n + 1, size + n + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kept := filepath.Join(t.TempDir(), "kept")
			for _, file := range []string{"", kept} {
				packets, bytes, err := recording.Count(&track{mime: "video/VP8", packets: tt.packets, end: tt.end}, file)
				if tt.end == broken {
					require.ErrorIs(t, err, broken)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, tt.wantPackets, packets)
				require.Equal(t, tt.wantBytes, bytes)
			}
			require.Equal(t, []string{"kept"}, files(t, filepath.Dir(kept)))
			require.Equal(t, dataOf(clip.Video()), readIVF(t, kept, "VP80"))
		})
	}
}

func TestWhatIsCountedEndsWithAPacketThatIsNone(t *testing.T) {
	t.Parallel()
	packets := append(whole(0x80), pictures()...)
	kept := filepath.Join(t.TempDir(), "kept")
	n, _, err := recording.Count(&track{mime: "video/VP8", packets: packets, end: io.EOF}, kept)
	require.EqualError(t, err, "packet is not large enough")
	require.Equal(t, 1, n)
	require.Empty(t, readIVF(t, kept, "VP80"), "but a whole file")
	_, _, err = recording.Count(&track{mime: "video/VP8", packets: packets, end: io.EOF}, filepath.Join(kept, "none"))
	require.Error(t, err, "no such folder")
}

// A writer keeps the payloads of packets.
type writer struct {
	payloads [][]byte
	closed   int
	err      error // of Close
}

func (w *writer) WriteRTP(p *rtp.Packet) error {
	w.payloads = append(w.payloads, p.Payload)
	return nil
}

func (w *writer) Close() error {
	w.closed++
	return w.err
}

func TestAnotherFormatMayBeGiven(t *testing.T) {
	t.Parallel()
	var name string
	full := errors.New("the disk is full")
	w := &writer{err: full}
	open := func(n string, c webrtc.RTPCodecParameters) (media.Writer, string, error) {
		name = n
		require.Equal(t, "video/H264", c.MimeType)
		return w, n + ".h264", nil
	}
	folder := &recording.Folder{Path: "into", Open: open}
	err := folder.Record("bob", &track{mime: "video/H264", packets: withPadding(whole(0x67, 1)), end: io.EOF})
	require.ErrorIs(t, err, full, "what is not closed is not written")
	require.Equal(t, filepath.Join("into", "001-bob-video"), name)
	require.Equal(t, [][]byte{{0x67, 1}}, w.payloads, "without those that only keep a path open")
	require.Equal(t, 1, w.closed)
}
