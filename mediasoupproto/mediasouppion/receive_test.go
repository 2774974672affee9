package mediasouppion_test

import (
	"context"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

func TestConsumerIsReceivedWhenTheApplicationWantsIt(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	a.publish(picture(t), &mediasouppion.PublishOptions{AppData: []byte(`"camera"`)})
	info := heard.Next(t, "consumer", b.offered)
	require.JSONEq(t, `"camera"`, string(info.AppData))
	requireNone[*mediasoupproto.CreateTransport](t, b.line().Said)
	c, err := b.Consume(b.patience(), info, nil)
	require.NoError(t, err)
	require.Equal(t, "a", c.PeerName())
	require.Equal(t, mediasoupproto.Video, c.Kind())
	require.Equal(t, info.ID, c.ID())
	require.Same(t, info, c.Info())
	require.NotNil(t, c.Track())
	require.EqualValues(t, info.RTPParameters.Encodings[0].SSRC, c.Track().SSRC())
	require.True(t, c.Track().HasRTX())
	require.Equal(t, mediasoupproto.ProfileDefault, c.PreferredProfile())
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	require.Equal(t, webrtc.MimeTypeVP8, c.Track().Codec().MimeType)

	updated := heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.UpdateTransport])
	require.Equal(t, mediasoupproto.DTLSRoleServer, updated.DTLSParameters.Role)
	require.Regexp(t, `^[0-9A-F]{2}(:[0-9A-F]{2}){31}$`, updated.DTLSParameters.Fingerprints[0].Value)
	enabled := heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.EnableConsumer])
	require.Equal(t, updated.ID, enabled.TransportID)

	_, err = b.Consume(b.patience(), info, nil)
	require.ErrorIs(t, err, mediasouppion.ErrDuplicate)
}

func TestConsumerIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	a.publish(piontest.Sound(t, "s"), nil)
	c, err := b.Consume(b.patience(), heard.Next(t, "consumer", b.offered), &mediasouppion.ConsumeOptions{Paused: true})
	require.NoError(t, err)
	require.True(t, c.Paused())
	require.True(t, heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.EnableConsumer]).Paused)
	require.NoError(t, c.Resume(nil))
	require.NoError(t, c.Resume(nil), "again")
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.NoError(t, c.Pause([]byte(`"enough"`)))
	m := heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.PauseConsumer])
	require.JSONEq(t, `"enough"`, string(m.AppData))
	require.NoError(t, c.Resume(nil))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio))
}

func TestServerPausesAConsumer(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{})
	a.publish(picture(t), nil)
	c := b.requireConsumer(mediasoupproto.Video)
	id := w.mediaID(b, c.ID())
	require.NoError(t, w.server.PauseConsumer(id, nil))
	heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.ConsumerPaused])
	require.True(t, c.Paused())
	require.NoError(t, w.server.ResumeConsumer(id, nil))
	heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.ConsumerResumed])
	require.False(t, c.Paused())
	require.NoError(t, w.server.SetPreferredProfile(id, mediasoupproto.ProfileLow))
	heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.ConsumerPreferredProfileSet])
	require.Equal(t, mediasoupproto.ProfileLow, c.PreferredProfile())
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	require.Equal(t, mediasoupproto.ProfileDefault, c.EffectiveProfile())
}

func TestPreferredProfileIsTold(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	a.publish(picture(t), nil)
	c, err := b.Consume(b.patience(), heard.Next(t, "consumer", b.offered), &mediasouppion.ConsumeOptions{
		PreferredProfile: mediasoupproto.ProfileLow,
	})
	require.NoError(t, err)
	require.Equal(t, mediasoupproto.ProfileLow,
		heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.EnableConsumer]).PreferredProfile)
	require.NoError(t, c.SetPreferredProfile(mediasoupproto.ProfileHigh))
	require.Equal(t, mediasoupproto.ProfileHigh, c.PreferredProfile())
	m := heard.AwaitOf(t, b.line().Said, heard.Any[*mediasoupproto.SetConsumerPreferredProfile])
	require.Equal(t, mediasoupproto.ProfileHigh, m.Profile)
	require.Error(t, c.SetPreferredProfile(mediasoupproto.ProfileNone))
	require.Equal(t, mediasoupproto.ProfileHigh, c.PreferredProfile())
}

func TestClosedConsumerIsPausedAndMayBeConsumedAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(picture(t), nil)
	c := b.requireConsumer(mediasoupproto.Video)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	for range 2 {
		require.NoError(t, c.Close())
		require.NoError(t, c.Close(), "again")
		<-c.Done()
		require.NoError(t, b.requireClosed(c))
		heard.AwaitOf(t, b.line().Said, func(m *mediasoupproto.PauseConsumer) bool { return m.ID == c.ID() })
		b.flows.RequireOnly(t)
		require.ErrorIs(t, c.Pause(nil), mediasouppion.ErrClosed)
		require.ErrorIs(t, c.Resume(nil), mediasouppion.ErrClosed)
		require.ErrorIs(t, c.SetPreferredProfile("low"), mediasouppion.ErrClosed)
		require.ErrorIs(t, c.RequestKeyFrame(), mediasouppion.ErrClosed)
		var err error
		c, err = b.Consume(b.patience(), c.Info(), &mediasouppion.ConsumeOptions{
			PreferredProfile: mediasoupproto.ProfileMedium,
		})
		require.NoError(t, err)
		b.flows.RequireMedia(t, flow(a, mediasoupproto.Video))
	}
	b.requireQuiet()
}

func TestConsumersBeyondTheLimitAreNotReceived(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a := w.join("a", plan{})
	b := w.join("b", plan{manual: true, opts: mediasouppion.Options{MaxConsumers: 1}})
	a.publish(piontest.Sound(t, "s"), nil)
	a.publish(picture(t), nil)
	first, second := heard.Next(t, "consumer", b.offered), heard.Next(t, "consumer", b.offered)
	c, err := b.Consume(b.patience(), first, nil)
	require.NoError(t, err)
	_, err = b.Consume(b.patience(), second, nil)
	require.ErrorIs(t, err, mediasouppion.ErrTooManyConsumers)
	require.NoError(t, c.Close())
	_, err = b.Consume(b.patience(), second, nil)
	require.NoError(t, err)
	b.flows.RequireMedia(t, flow(a, second.Kind))
}

func TestConsumerThatIsGivenUpMayBeConsumedLater(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	a.publish(piontest.Sound(t, "s"), nil)
	info := heard.Next(t, "consumer", b.offered)
	ctx, cancel := context.WithCancel(t.Context())
	b.line().Hold(func(m mediasoupproto.Message) bool {
		_, ok := m.(*mediasoupproto.EnableConsumer)
		if ok {
			cancel()
		}
		return ok
	})
	_, err := b.Consume(ctx, info, nil)
	require.ErrorIs(t, err, context.Canceled)
	b.line().Release()
	_, err = b.Consume(b.patience(), info, nil)
	require.NoError(t, err)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.Empty(t, b.closed.All(), "what the application never had is not told of")
}

func TestProducerThatEndsWhileItIsBeingReceivedEndsTheWait(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{manual: true})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	info := heard.Next(t, "consumer", b.offered)
	b.line().Hold(func(m mediasoupproto.Message) bool {
		_, ok := m.(*mediasoupproto.CreateTransport)
		if ok {
			_ = pr.Close()
		}
		return ok
	})
	done := heard.New[error]()
	piontest.Run(t, func(context.Context) error {
		_, err := b.Consume(t.Context(), info, nil)
		done.Add(err)
		return nil
	})
	heard.AwaitOf(t, b.line().Heard, heard.Any[*mediasoupproto.ConsumerClosed])
	b.line().Release()
	require.ErrorIs(t, heard.Next(t, "end of the wait", done), mediasouppion.ErrClosed)
	a.publish(piontest.Sound(t, "s"), nil)
	_, err := b.Consume(b.patience(), heard.Next(t, "consumer", b.offered), nil)
	require.NoError(t, err)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
}

func TestManyComeAndGoInTheSamePlaces(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	b := w.join("b", plan{})
	for range 3 {
		var visitors []*bot
		for _, name := range []string{"x", "y"} {
			v := w.join(name, plan{manual: true})
			v.publish(piontest.Sound(t, "s"), nil)
			v.publish(picture(t), nil)
			visitors = append(visitors, v)
		}
		for _, v := range visitors {
			b.flows.RequireMedia(t, flow(v, mediasoupproto.Audio), flow(v, mediasoupproto.Video))
			require.NoError(t, v.client.Leave(nil))
			require.NoError(t, v.Close())
			require.NoError(t, v.client.Close())
		}
		b.flows.RequireOnly(t)
	}
	b.requireQuiet()
}

func TestPeerWithoutHooksReceivesNothing(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a := w.join("a", plan{})
	line := w.dial("b")
	client, err := mediasoupproto.Connect(t.Context(), line, nil)
	require.NoError(t, err)
	defer client.Close()
	p, joined, err := mediasouppion.Join(a.patience(), client, &mediasoupproto.Join{PeerName: "b"}, nil)
	require.NoError(t, err)
	defer p.Close()
	require.Len(t, joined.Peers, 1)
	a.publish(piontest.Sound(t, "s"), nil)
	m, err := client.Next(a.patience())
	require.NoError(t, err)
	handled, err := p.Handle(m)
	require.NoError(t, err)
	require.True(t, handled)
	handled, err = p.Handle(&mediasoupproto.Application{Method: "chat"})
	require.NoError(t, err)
	require.False(t, handled)
	require.NoError(t, p.Close())
	requireNone[*mediasoupproto.CreateTransport](t, line.Said)
}
