package galenepion_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

func TestAbortedStreamComesBackWithTheNextRequest(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"))
	for range 3 {
		s := b.flows.Require(t, "v").Of.(*galenepion.Subscription)
		require.Equal(t, "camera", s.Label)
		s.Abort()
		s.Abort()
		<-s.Done()
		require.NoError(t, b.requireClosed(s))
		b.flows.RequireOnly(t)
		require.NoError(t, b.client.Request(all))
	}
	b.flows.Require(t, "v")
	require.NoError(t, pub.Err())
}

func TestStreamsThatNobodyRequestsAnyMoreEndAndComeBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(nil, piontest.Video(t, "v"))
	for range 3 {
		s := b.flows.Require(t, "v").Of.(*galenepion.Subscription)
		require.NoError(t, b.client.Request(nil))
		require.NoError(t, b.requireClosed(s))
		b.flows.RequireOnly(t)
		require.NoError(t, b.client.Request(all))
	}
	b.flows.Require(t, "v")
}

func TestStreamOfWhichNothingIsRequestedEnds(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	require.NoError(t, s.Request([]galene.TrackKind{galene.TrackVideo}))
	require.NoError(t, s.Request(nil))
	require.NoError(t, s.Request([]galene.TrackKind{}))
	require.NoError(t, b.requireClosed(s))
	for _, m := range b.line().Said.All() {
		_, isAbort := m.(*galene.Abort)
		require.False(t, isAbort)
	}
}

// Galène ends the connection of those who ask something of a stream that it does not know.
func TestNothingIsAskedOfAStreamThatHasEnded(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	pub.Unpublish()
	b.requireClosed(s)
	b.line().Said.Forget()
	require.NoError(t, s.Request(nil))
	require.NoError(t, s.Renegotiate())
	s.Abort()
	require.NoError(t, b.client.Chat("done"))
	heard.Await(t, "chat", b.messages, func(m galene.Message) bool { _, ok := m.(*galene.Chat); return ok })
	for _, m := range b.line().Said.All() {
		require.IsType(t, &galene.Chat{}, m)
	}
}

func TestUnwantedStreamIsAbortedInsteadOfAnswered(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]galenepion.Options{
		"by the hook": {OnStream: func(s *galenepion.Subscription) {
			if s.ID == "mine" {
				s.Abort()
			}
		}},
		"too many": {MaxStreams: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, galene.ServerOptions{})
			a := w.join(plan{name: "a"})
			b := w.join(plan{name: "b", opts: opts, request: all})
			a.publish(&galenepion.PublishOptions{ID: "other"}, piontest.Video(t, "other"))
			ctx, cancel := context.WithCancel(t.Context())
			published := make(chan error, 1)
			track := piontest.Video(t, "v")
			go func() {
				_, err := a.Publish(ctx, &galenepion.PublishOptions{ID: "mine"}, track)
				published <- err
			}()
			heard.AwaitOf(t, b.line().Said, func(m *galene.Abort) bool { return m.ID == "mine" })
			cancel()
			require.ErrorIs(t, <-published, context.Canceled)
			for _, m := range b.line().Said.All() {
				answer, isAnswer := m.(*galene.Answer)
				require.False(t, isAnswer && answer.ID == "mine")
			}
			b.flows.RequireMedia(t, "other")
		})
	}
}

// Galène does so on restarts: the candidates of an offer or an answer come before it.
func TestCandidatesThatOvertakeTheirDescriptionAreTaken(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	for range 2 {
		a.line().candidatesFirst()
		b.line().candidatesFirst()
		require.NoError(t, pub.Restart())
		heard.Next(t, "offer after a candidate", a.line().late)
		heard.Next(t, "answer after a candidate", b.line().late)
		b.flows.RequireMedia(t, "v")
	}
	b.flows.RequireOnly(t, "v")
	a.requireQuiet()
	b.requireQuiet()
}
