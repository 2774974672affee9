package mediasouppion_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// mediaID names what a bot has, for the server.
func (w *botWorld) mediaID(b *bot, id uint32) mediasoupproto.MediaID {
	w.t.Helper()
	s := w.server.Session("", b.name)
	require.NotNil(w.t, s)
	return mediasoupproto.MediaID{Peer: s.ID(), ID: id}
}

func TestProducerSaysHowItsTrackIsSent(t *testing.T) {
	t.Parallel()
	a := newBotWorld(t).join("a", plan{})
	level := mediasoupproto.HeaderExtension{URI: mediasoupproto.ExtensionAudioLevel, ID: 7}
	audio := a.publish(piontest.Sound(t, "s"), &mediasouppion.PublishOptions{
		AppData: []byte(`{"source":"mic"}`), HeaderExtensions: []mediasoupproto.HeaderExtension{level},
	})
	video := a.publish(picture(t), &mediasouppion.PublishOptions{Paused: true})
	require.Equal(t, mediasoupproto.Audio, audio.Kind())
	require.Equal(t, mediasoupproto.Video, video.Kind())
	require.False(t, audio.Paused())
	require.True(t, video.Paused())

	said := a.line().Said
	created := heard.AwaitOf(t, said, heard.Any[*mediasoupproto.CreateTransport])
	require.Equal(t, mediasoupproto.DirectionSend, created.Direction)
	require.Equal(t, mediasoupproto.DTLSRoleServer, created.DTLSParameters.Role)
	require.Regexp(t, `^[0-9A-F]{2}(:[0-9A-F]{2}){31}$`, created.DTLSParameters.Fingerprints[0].Value)
	require.False(t, *created.Options.TCP)

	first := heard.AwaitOf(t, said, func(m *mediasoupproto.CreateProducer) bool { return m.ID == audio.ID() })
	require.Equal(t, mediasoupproto.Audio, first.Kind)
	require.Equal(t, created.ID, first.TransportID)
	require.False(t, first.Paused)
	require.JSONEq(t, `{"source":"mic"}`, string(first.AppData))
	p := first.RTPParameters
	require.Len(t, p.Codecs, 1)
	require.Equal(t, "audio/opus", p.Codecs[0].MimeType)
	require.EqualValues(t, 100, *p.Codecs[0].PayloadType, "the room's payload type")
	require.EqualValues(t, 2, p.Codecs[0].Channels)
	require.Equal(t, []mediasoupproto.HeaderExtension{level}, p.HeaderExtensions)
	require.Len(t, p.Encodings, 1)
	require.NotZero(t, p.Encodings[0].SSRC)
	require.Nil(t, p.Encodings[0].RTX)
	require.True(t, *p.RTCP.Mux)
	require.True(t, *p.RTCP.ReducedSize)
	require.NotZero(t, (6+len(*p.RTCP.CNAME))%4, "a length that mediasoup writes correctly")

	second := heard.AwaitOf(t, said, func(m *mediasoupproto.CreateProducer) bool { return m.ID == video.ID() })
	require.True(t, second.Paused)
	require.Equal(t, created.ID, second.TransportID)
	v := second.RTPParameters
	require.NotEqual(t, p.MuxID, v.MuxID)
	require.Equal(t, *p.RTCP.CNAME, *v.RTCP.CNAME)
	require.Len(t, v.Codecs, 2)
	require.Equal(t, "video/VP8", v.Codecs[0].MimeType)
	require.Equal(t, "video/rtx", v.Codecs[1].MimeType)
	apt, ok := v.Codecs[1].APT()
	require.True(t, ok)
	require.Equal(t, *v.Codecs[0].PayloadType, apt)
	require.NotNil(t, v.Encodings[0].RTX)
	require.NotEqual(t, v.Encodings[0].SSRC, v.Encodings[0].RTX.SSRC)
	a.requireQuiet()
}

func TestProducerIsSentInTheCodecOfItsTrack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(piontest.Feed(t, webrtc.MimeTypeH264, "h", "h"), nil)
	c := b.requireConsumer(mediasoupproto.Video)
	require.Equal(t, "video/H264", c.Info().RTPParameters.Codecs[0].MimeType)
	// A second codec of the same kind is negotiated as well.
	a.publish(picture(t), nil)
	c = b.requireConsumer(mediasoupproto.Video)
	require.Equal(t, "video/VP8", c.Info().RTPParameters.Codecs[0].MimeType)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	require.Equal(t, webrtc.MimeTypeVP8, c.Track().Codec().MimeType)
}

func TestTrackWhoseCodecTheRoomDoesNotHaveIsRefusedAndHurtsNothing(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	for _, mime := range []string{webrtc.MimeTypeVP9, webrtc.MimeTypeG722} {
		_, err := a.Publish(a.patience(), piontest.Feed(t, mime, "x", "x"), nil)
		require.ErrorIs(t, err, mediasouppion.ErrCodec, mime)
	}
	a.publish(picture(t), nil)
	_, err := a.Publish(a.patience(), piontest.Feed(t, webrtc.MimeTypeVP9, "x", "x"), nil)
	require.ErrorIs(t, err, mediasouppion.ErrCodec)
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio), flow(a, mediasoupproto.Video))
	_, err = a.Publish(a.patience(), nil, nil)
	require.Error(t, err)
}

func TestPausedProducerIsNotHeardUntilItIsResumed(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.NoError(t, pr.Pause([]byte(`"by me"`)))
	require.NoError(t, pr.Pause(nil), "again")
	m := heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.ConsumerPaused])
	require.Equal(t, c.ID(), m.ID)
	require.True(t, c.Paused())
	require.True(t, pr.Paused())
	require.NoError(t, pr.Resume(nil))
	heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.ConsumerResumed])
	require.False(t, c.Paused())
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio))
}

func TestServerPausesAndClosesAProducer(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	require.NoError(t, w.server.PauseProducer(w.mediaID(a, pr.ID()), nil))
	heard.AwaitOf(t, a.messages, heard.Any[*mediasoupproto.ProducerPaused])
	require.True(t, pr.Paused())
	require.NoError(t, w.server.ResumeProducer(w.mediaID(a, pr.ID()), nil))
	heard.AwaitOf(t, a.messages, heard.Any[*mediasoupproto.ProducerResumed])
	require.False(t, pr.Paused())
	require.NoError(t, w.server.CloseProducer(w.mediaID(a, pr.ID()), nil))
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasouppion.ErrClosedByServer)
	require.NoError(t, b.requireClosed(c))
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
}

func TestServerClosesTheTransports(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	created := heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.CreateTransport])
	require.NoError(t, w.server.CloseTransport(w.mediaID(b, created.ID), nil))
	require.ErrorIs(t, b.requireClosed(c), mediasouppion.ErrClosedByServer)
	// The consumer is still there, and is received over another transport.
	_, err := b.Consume(b.patience(), c.Info(), nil)
	require.NoError(t, err)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))

	created = heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CreateTransport])
	require.NoError(t, w.server.CloseTransport(w.mediaID(a, created.ID), nil))
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasouppion.ErrClosedByServer)
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
}

func TestClosedProducerEndsForAllAndItsPlaceIsUsedAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	mids := make(map[mediasoupproto.MuxID]bool)
	for range 4 {
		audio := a.publish(piontest.Sound(t, "s"), nil)
		video := a.publish(picture(t), nil)
		b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio), flow(a, mediasoupproto.Video))
		for _, kind := range []mediasoupproto.Kind{mediasoupproto.Audio, mediasoupproto.Video} {
			m := heard.AwaitOf(t, a.line().Said, func(m *mediasoupproto.CreateProducer) bool { return m.Kind == kind })
			mids[m.RTPParameters.MuxID] = true
			c := b.requireConsumer(kind)
			pr := map[mediasoupproto.Kind]*mediasouppion.Producer{"audio": audio, "video": video}[kind]
			require.NoError(t, pr.Close())
			require.NoError(t, pr.Close(), "again")
			<-pr.Done()
			require.NoError(t, pr.Err())
			require.NoError(t, b.requireClosed(c))
		}
		b.flows.RequireOnly(t)
	}
	require.Len(t, mids, 2, "media sections do not pile up")
	a.requireQuiet()
	b.requireQuiet()
}

func TestReplacedTrackGoesOnInTheSameProducer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	first := picture(t)
	keys := heard.New[webrtc.TrackLocal]()
	pr := a.publish(first, &mediasouppion.PublishOptions{OnKeyFrame: func(track webrtc.TrackLocal) { keys.Add(track) }})
	c := b.requireConsumer(mediasoupproto.Video)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	require.NoError(t, c.RequestKeyFrame())
	require.Same(t, first, heard.Next(t, "key frame", keys))
	second := picture(t)
	require.NoError(t, pr.ReplaceTrack(a.patience(), second))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	require.NoError(t, c.RequestKeyFrame())
	heard.Await(t, "key frame", keys, func(track webrtc.TrackLocal) bool { return track == webrtc.TrackLocal(second) })

	err := pr.ReplaceTrack(a.patience(), piontest.Feed(t, webrtc.MimeTypeH264, "h", "h"))
	require.ErrorIs(t, err, mediasouppion.ErrCodec)
	require.ErrorIs(t, pr.ReplaceTrack(a.patience(), piontest.Sound(t, "s")), mediasouppion.ErrCodec)
	require.Error(t, pr.ReplaceTrack(a.patience(), nil))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Video))
	require.NoError(t, c.Err())
}

func TestRefusedProducerIsTakenBack(t *testing.T) {
	t.Parallel()
	no := &mediasoupproto.Error{Code: mediasoupproto.CodeForbidden, Reason: "no pictures"}
	engine, err := mediasouppion.NewEngine(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	w := newWorldOf(t, mediasoupproto.ServerOptions{
		Media: engine,
		AuthorizeRequest: func(_ context.Context, _ *mediasoupproto.ServerSession, m mediasoupproto.Message) error {
			if m, ok := m.(*mediasoupproto.CreateProducer); ok && m.Kind == mediasoupproto.Video {
				return no
			}
			return nil
		},
	})
	a, b := w.join("a", plan{}), w.join("b", plan{})
	for range 2 {
		_, err := a.Publish(a.patience(), picture(t), nil)
		refusal, ok := errors.AsType[*mediasoupproto.Error](err)
		require.True(t, ok, err)
		require.Equal(t, no, refusal)
	}
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio))
}

func TestRefusedTransportFailsThePublicationAndTheNextOneTriesAgain(t *testing.T) {
	t.Parallel()
	refuse := make(chan bool, 1)
	refuse <- true
	engine, err := mediasouppion.NewEngine(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	w := newWorldOf(t, mediasoupproto.ServerOptions{
		Media: engine,
		AuthorizeRequest: func(_ context.Context, _ *mediasoupproto.ServerSession, m mediasoupproto.Message) error {
			if _, ok := m.(*mediasoupproto.CreateTransport); ok {
				select {
				case <-refuse:
					return mediasoupproto.ErrNoPort
				default:
				}
			}
			return nil
		},
	})
	a, b := w.join("a", plan{}), w.join("b", plan{})
	_, err = a.Publish(a.patience(), piontest.Sound(t, "s"), nil)
	require.ErrorIs(t, err, mediasoupproto.ErrNoPort)
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
}

func TestPublicationThatIsGivenUpIsWithdrawn(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	a.line().Hold(func(m mediasoupproto.Message) bool {
		_, ok := m.(*mediasoupproto.CreateProducer)
		if ok {
			cancel()
		}
		return ok
	})
	_, err := a.Publish(ctx, piontest.Sound(t, "s"), nil)
	require.ErrorIs(t, err, context.Canceled)
	a.line().Release()
	m := heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CreateProducer])
	heard.AwaitOf(t, a.line().Said, func(c *mediasoupproto.CloseProducer) bool { return c.ID == m.ID })
	a.publish(picture(t), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Video))
}

func TestManyPublicationsAtOnceShareOneTransport(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	published := heard.New[error]()
	const n = 6
	for i := range n {
		track := piontest.Sound(t, "s")
		if i%2 == 1 {
			track = picture(t)
		}
		piontest.Run(t, func(context.Context) error {
			_, err := a.Publish(t.Context(), track, nil)
			published.Add(err)
			return nil
		})
	}
	for range n {
		require.NoError(t, heard.Next(t, "publication", published))
		heard.Next(t, "consumer", b.consumers)
	}
	heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.CreateTransport])
	requireNone[*mediasoupproto.CreateTransport](t, a.line().Said)
	a.requireQuiet()
	b.requireQuiet()
}
