package galenepion

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

var forwardVP8 = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}

// forwardTo makes a receiver that can be reached and gets l.
func forwardTo(t *testing.T, l *forwardLayer, size int) (*forward, chan forwardOut) {
	t.Helper()
	queue := make(chan forwardOut, size)
	f, err := newForward(forwardVP8, "video", "stream", queue)
	require.NoError(t, err)
	f.bound = time.Now()
	f.aim(l, forwardLive)
	return f, queue
}

func forwardLive(*forwardLayer) bool { return true }

func forwardNewLayer() (l *forwardLayer, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	return &forwardLayer{codec: forwardVP8, ask: func() { asked.Add(1) }}, asked
}

// say writes a packet of VP8.
func (l *forwardLayer) say(sequence uint16, timestamp uint32, key bool) {
	payload := []byte{0x10, 1}
	if key {
		payload[1] = 0
	}
	l.write(&rtp.Packet{Header: rtp.Header{SequenceNumber: sequence, Timestamp: timestamp}, Payload: payload})
}

// forwarded returns the sequence numbers and timestamps that wait for a receiver.
func forwarded(queue chan forwardOut) (sequences []uint16, timestamps []uint32) {
	for {
		select {
		case p := <-queue:
			sequences, timestamps = append(sequences, p.sequence), append(timestamps, p.timestamp)
		default:
			return sequences, timestamps
		}
	}
}

func TestSenderIsAskedForOneKeyFrameInAWhileHoweverManyWantOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, asked := forwardNewLayer()
		other, otherAsked := forwardNewLayer()
		for i := range int32(3) {
			before := asked.Load()
			for range 5 {
				l.keyFrame()
			}
			synctest.Wait()
			first := max(0, 1-i)
			require.Equal(t, before+first, asked.Load(), "at once only the first time")
			time.Sleep(forwardKeyFrameInterval)
			synctest.Wait()
			require.Equal(t, i+2, asked.Load(), "those who came too early are not forgotten")
		}
		require.Zero(t, otherAsked.Load())
		other.keyFrame()
		require.EqualValues(t, 1, otherAsked.Load(), "each encoding for itself")

		l.keyFrame()
		l.end()
		time.Sleep(time.Minute)
		l.keyFrame()
		synctest.Wait()
		require.EqualValues(t, 4, asked.Load(), "not after the end")
	})
}

func TestReceiverGoesOnCountingWhenTheEncodingChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		high, _ := forwardNewLayer()
		low, asked := forwardNewLayer()
		f, queue := forwardTo(t, high, 100)
		high.say(65534, 1000, true)
		high.say(65535, 4000, false)
		f.aim(low, forwardLive)
		require.EqualValues(t, 1, asked.Load())
		low.say(500, 77, false)
		high.say(0, 7000, false)
		time.Sleep(time.Second)
		low.say(501, 99, true)
		high.say(1, 10_000, false) // does not come any more
		low.say(503, 200, false)   // 502 is late
		low.say(502, 150, false)
		low.say(500, 77, false) // from before the change
		f.aim(high, forwardLive)
		high.say(40, 5, true)
		sequences, timestamps := forwarded(queue)
		require.Equal(t, []uint16{65534, 65535, 0, 1, 3, 2, 4}, sequences)
		require.Equal(t, []uint32{1000, 4000, 7000, 97_000, 97_101, 97_051, 97_102}, timestamps)
		require.Empty(t, low.all())
		require.Len(t, high.all(), 1)
		f.stop()
		require.Empty(t, high.all())
		high.say(41, 6, true)
		require.Empty(t, queue)
	})
}

func TestNumbersGoOnOverManyWraps(t *testing.T) {
	t.Parallel()
	l, _ := forwardNewLayer()
	_, queue := forwardTo(t, l, 1)
	for i := range 200_000 {
		l.say(uint16(i), uint32(i), false)
		require.Equal(t, uint16(i), (<-queue).sequence)
	}
}

func TestEncodingThatIsOverIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	first, _ := forwardNewLayer()
	second, asked := forwardNewLayer()
	third, _ := forwardNewLayer()
	f, queue := forwardTo(t, first, 100)
	first.say(7, 7, true)
	f.aim(second, forwardLive)
	f.aim(third, forwardLive) // changes its mind
	require.Empty(t, second.all())
	f.aim(first, forwardLive) // and back
	require.Empty(t, third.all())
	f.aim(second, forwardLive)
	first.end()
	f.aim(second, func(l *forwardLayer) bool { return l != first })
	second.say(100, 1000, false)
	second.say(101, 2000, false)
	sequences, _ := forwarded(queue)
	require.Equal(t, []uint16{7, 8, 9}, sequences)
	require.EqualValues(t, 1, asked.Load(), "as often as it may be asked")
}

func TestChangeOfTheEncodingDoesNotWaitForEverForAKeyFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		high, _ := forwardNewLayer()
		low, asked := forwardNewLayer()
		f, queue := forwardTo(t, high, 100)
		high.say(1, 1, true)
		f.aim(low, forwardLive)
		for range 4 {
			low.say(1, 1, false)
			time.Sleep(time.Second)
		}
		require.Len(t, queue, 1)
		synctest.Wait()
		require.GreaterOrEqual(t, asked.Load(), int32(4), "again and again")
		time.Sleep(forwardKeyFramePatience)
		low.say(2, 2, false)
		require.Len(t, queue, 2)
		low.end()
	})
}

func TestReceiverThatTakesNothingLosesPacketsAndNobodyWaits(t *testing.T) {
	t.Parallel()
	l, _ := forwardNewLayer()
	_, stuck := forwardTo(t, l, 10)
	_, quick := forwardTo(t, l, 100)
	for i := range uint16(100) {
		l.say(i, uint32(i), false)
	}
	sequences, _ := forwarded(stuck)
	require.Len(t, sequences, 10)
	sequences, _ = forwarded(quick)
	require.Len(t, sequences, 100)
}

func TestReceiverWhoIsNotConnectedYetGetsNothing(t *testing.T) {
	t.Parallel()
	l, asked := forwardNewLayer()
	f, queue := forwardTo(t, l, 10)
	asked.Store(0)
	f.bound = time.Time{}
	l.say(1, 1, true)
	require.Empty(t, queue)
	require.Zero(t, asked.Load())
}

func TestKeyFrameCountsOnlyWhenTheReceiverIsSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, asked := forwardNewLayer()
		forwardTo(t, l, 100)
		require.EqualValues(t, 1, asked.Load())
		l.say(1, 1, true)
		time.Sleep(forwardKeyFrameInterval)
		synctest.Wait()
		require.EqualValues(t, 2, asked.Load(), "it may have been lost")
		l.say(2, 2, true)
		for i := range uint16(10) {
			time.Sleep(time.Second)
			l.say(3+i, 3, false)
		}
		synctest.Wait()
		require.EqualValues(t, 2, asked.Load())
	})
}

func TestFirstPacketOfAKeyFrameIsRecognised(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mime    string
		payload []byte
		key     bool
	}{
		"VP8":                       {webrtc.MimeTypeVP8, []byte{0x10, 0x00}, true},
		"VP8 in lower case":         {"video/vp8", []byte{0x10, 0x01}, false},
		"VP8 predicted":             {webrtc.MimeTypeVP8, []byte{0x10, 0x01}, false},
		"VP8 later packet":          {webrtc.MimeTypeVP8, []byte{0x00, 0x00}, false},
		"VP8 later partition":       {webrtc.MimeTypeVP8, []byte{0x11, 0x00}, false},
		"VP8 short picture":         {webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x01, 0x00}, true},
		"VP8 long picture":          {webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x80, 0x01, 0x00}, true},
		"VP8 long predicted":        {webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x80, 0x00, 0x01}, false},
		"VP8 all fields":            {webrtc.MimeTypeVP8, []byte{0x90, 0xf0, 0x80, 0x01, 0x01, 0x01, 0x00}, true},
		"VP8 empty":                 {webrtc.MimeTypeVP8, nil, false},
		"VP8 cut":                   {webrtc.MimeTypeVP8, []byte{0x90, 0xf0, 0x80}, false},
		"VP9":                       {webrtc.MimeTypeVP9, []byte{0x08}, true},
		"VP9 predicted":             {webrtc.MimeTypeVP9, []byte{0x48}, false},
		"VP9 later packet":          {webrtc.MimeTypeVP9, []byte{0x04}, false},
		"VP9 lowest layer":          {webrtc.MimeTypeVP9, []byte{0xa8, 0x81, 0x01, 0x00}, true},
		"VP9 upper layer":           {webrtc.MimeTypeVP9, []byte{0xa8, 0x01, 0x02, 0x00}, false},
		"H264 IDR":                  {webrtc.MimeTypeH264, []byte{0x65}, true},
		"H264 parameters":           {webrtc.MimeTypeH264, []byte{0x67}, true},
		"H264 slice":                {webrtc.MimeTypeH264, []byte{0x61}, false},
		"H264 aggregate":            {webrtc.MimeTypeH264, []byte{0x78, 0, 1, 0x06, 0, 2, 0x67, 0}, true},
		"H264 aggregate without":    {webrtc.MimeTypeH264, []byte{0x78, 0, 1, 0x06, 0, 2, 0x61, 0}, false},
		"H264 aggregate cut":        {webrtc.MimeTypeH264, []byte{0x78, 0xff, 0xff, 0x06}, false},
		"H264 fragment":             {webrtc.MimeTypeH264, []byte{0x7c, 0x85}, true},
		"H264 later fragment":       {webrtc.MimeTypeH264, []byte{0x7c, 0x05}, false},
		"H264 fragment of a slice":  {webrtc.MimeTypeH264, []byte{0x7c, 0x81}, false},
		"H264 empty":                {webrtc.MimeTypeH264, nil, false},
		"AV1 new sequence":          {webrtc.MimeTypeAV1, []byte{0x18}, true},
		"AV1":                       {webrtc.MimeTypeAV1, []byte{0x10}, false},
		"a codec that is not known": {"video/other", []byte{0x00}, true},
	} {
		require.Equal(t, test.key, forwardIsKeyFrame(test.mime, test.payload), name)
	}
}

func FuzzKeyFrame(f *testing.F) {
	f.Add(0, []byte{0x78, 0, 1, 0x06, 0, 2, 0x67, 0})
	f.Add(1, []byte{0xa8, 0x81, 0x01, 0x00})
	f.Fuzz(func(_ *testing.T, codec int, payload []byte) {
		mimes := []string{webrtc.MimeTypeH264, webrtc.MimeTypeVP9, webrtc.MimeTypeVP8, webrtc.MimeTypeAV1}
		forwardIsKeyFrame(mimes[uint(codec)%uint(len(mimes))], payload)
	})
}

func TestLimitsAreThoseOfReceiversWhileTheyAreFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _ := forwardNewLayer()
		limits := func() [2]uint64 {
			slowest, fastest := l.limits(time.Now())
			return [2]uint64{slowest, fastest}
		}
		require.Equal(t, [2]uint64{}, limits(), "nobody")
		slow, _ := forwardTo(t, l, 1)
		fast, _ := forwardTo(t, l, 1)
		require.Equal(t, [2]uint64{forwardStartBitrate, forwardStartBitrate}, limits())
		slow.limit.Store(&forwardLimit{100, time.Now()})
		require.Equal(t, [2]uint64{100, forwardStartBitrate}, limits())
		time.Sleep(time.Second)
		fast.limit.Store(&forwardLimit{1000, time.Now()})
		require.Equal(t, [2]uint64{100, 1000}, limits())
		time.Sleep(forwardLimitAge - time.Second)
		require.Equal(t, [2]uint64{1000, forwardStartBitrate}, limits(), "what is too old is not believed")
		l.end()
	})
}

func TestBitRateOfAReceiverFollowsWhatIsLost(t *testing.T) {
	t.Parallel()
	l, _ := forwardNewLayer()
	f, _ := forwardTo(t, l, 1)
	f.ssrc.Store(7)
	reports := func(lost uint8) []rtcp.ReceptionReport {
		return []rtcp.ReceptionReport{{SSRC: 8, FractionLost: 255}, {SSRC: 7, FractionLost: lost}}
	}
	after := func(lost uint8) uint64 {
		f.feedback([]rtcp.Packet{&rtcp.ReceiverReport{Reports: reports(lost)}})
		return f.lossless.Load()
	}
	require.EqualValues(t, 1_050_000, after(0))
	require.EqualValues(t, 1_102_500, after(4))
	require.EqualValues(t, 1_102_500, after(5))
	require.EqualValues(t, 1_102_500, after(26))
	require.EqualValues(t, 826_875, after(128))
	f.feedback([]rtcp.Packet{&rtcp.SenderReport{Reports: reports(128)}, &rtcp.PictureLossIndication{MediaSSRC: 7}})
	require.EqualValues(t, 620_157, f.lossless.Load())
	for range 100 {
		after(255)
	}
	require.EqualValues(t, forwardLeastBitrate, f.lossless.Load())
	for range 1000 {
		after(0)
	}
	require.EqualValues(t, math.MaxInt32, f.lossless.Load())
	require.Nil(t, f.limit.Load())
	f.feedback([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 5e5}, &rtcp.ReceiverEstimatedMaximumBitrate{}})
	require.EqualValues(t, 500_000, f.limit.Load().bits)
}

func TestEncodingsOfASimulcastAreReadFromTheOffer(t *testing.T) {
	t.Parallel()
	offer := func(media string) webrtc.SessionDescription {
		const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
		return webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: head + media}
	}
	sections, err := routerParse(offer("m=audio 9 RTP/AVP 0\r\na=mid:a\r\na=sendonly\r\n" +
		"m=video 9 RTP/AVP 0\r\na=mid:v\r\na=rid:l send\r\na=rid:h send pt=96\r\na=rid:x recv\r\n" +
		"a=simulcast:recv x send h,y;~l\r\n" +
		"m=video 9 RTP/AVP 0\r\na=mid:w\r\na=sendrecv\r\na=rid:1 send\r\na=rid:0 send\r\n" +
		"m=video 9 RTP/AVP 0\r\na=mid:r\r\na=recvonly\r\n" +
		"m=video 9 RTP/AVP 0\r\na=inactive\r\n" +
		"m=audio 0 RTP/AVP 0\r\na=mid:z\r\n" +
		"m=application 9 RTP/AVP 0\r\na=mid:d\r\n"))
	require.NoError(t, err)
	require.Equal(t, []routerSection{
		{mid: "a", sends: true}, {mid: "v", sends: true, rids: []string{"h", "y", "l"}},
		{mid: "w", sends: true, rids: []string{"1", "0"}}, {mid: "r"}, {}, {mid: "z"}, {mid: "d"},
	}, sections)
	_, err = routerParse(offer("nonsense"))
	require.Error(t, err)
	for value, want := range map[string][]string{
		"send 1": {"1"}, "send": nil, "": nil, "recv 1;2": nil, "send 1;2 recv 3": {"1", "2"}, "send ;": nil,
	} {
		require.Equal(t, want, routerSimulcast(value), value)
	}
}

func BenchmarkPacketToAHundredReceivers(b *testing.B) {
	l := &forwardLayer{codec: forwardVP8, ask: func() {}}
	var queues []chan forwardOut
	for range 100 {
		queue := make(chan forwardOut, 1)
		f, err := newForward(forwardVP8, "video", "stream", queue)
		require.NoError(b, err)
		f.bound = time.Now()
		f.aim(l, forwardLive)
		queues = append(queues, queue)
	}
	p := &rtp.Packet{Payload: make([]byte, 1200)}
	b.ReportAllocs()
	for b.Loop() {
		p.SequenceNumber++
		l.write(p)
		for _, queue := range queues {
			<-queue
		}
	}
}
