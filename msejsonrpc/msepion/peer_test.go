package msepion_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
)

// forms are all that two sides can choose.
var forms = []struct {
	name           string
	server, client msejsonrpc.Form
}{
	{"strings", msejsonrpc.FormString, msejsonrpc.FormString},
	{"objects", msejsonrpc.FormObject, msejsonrpc.FormObject},
	{"server strings, client objects", msejsonrpc.FormString, msejsonrpc.FormObject},
	{"server objects, client strings", msejsonrpc.FormObject, msejsonrpc.FormString},
}

// inForms runs a test in each of them.
func inForms(t *testing.T, test func(t *testing.T, server, client plan)) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, plan{form: f.server}, plan{form: f.client})
		})
	}
}

func TestServerThatHasSomethingOffersFirst(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		server.tracks = []webrtc.TrackLocal{piontest.Video(t, "v"), piontest.Sound(t, "a")}
		server.opts.Labels = []string{"events"}
		client.opts.OfferAfter = heard.Patience // it need not offer: it has nothing that waits
		p := newPair(t, server, client)
		p.client.flows.RequireMedia(t, "v", "a")
		p.client.awaitConnected()
		p.server.awaitConnected()
		p.server.requireEcho("events", "hello")
		offers, answers := p.down.count()
		require.Equal(t, []int{1, 0}, []int{offers, answers})
		offers, answers = p.up.count()
		require.Equal(t, []int{0, 1}, []int{offers, answers})
		p.server.requireQuiet()
		p.client.requireQuiet()
	})
}

func TestClientOffersAfterAWhileWhenTheServerIsSilent(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		client.tracks = []webrtc.TrackLocal{piontest.Video(t, "v"), piontest.Sound(t, "a")}
		client.opts.Labels = []string{"chat"}
		client.opts.OfferAfter = 50 * time.Millisecond
		start := time.Now()
		p := newPair(t, server, client)
		awaitDescription(t, p.up.reached, true)
		require.GreaterOrEqual(t, time.Since(start), client.opts.OfferAfter)
		p.server.flows.RequireMedia(t, "v", "a")
		p.client.awaitOpen("chat")
		p.client.requireEcho("chat", "hello")
		offers, _ := p.down.count()
		require.Zero(t, offers)
		offers, _ = p.up.count()
		require.Equal(t, 1, offers)
		p.server.requireQuiet()
		p.client.requireQuiet()
	})
}

func TestWhatTheClientHasIsOfferedAfterTheAnswerToTheServer(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		server.tracks = []webrtc.TrackLocal{piontest.Video(t, "from-server")}
		client.tracks = []webrtc.TrackLocal{piontest.Video(t, "from-client")}
		client.opts.Labels = []string{"chat"}
		client.opts.OfferAfter = heard.Patience
		p := newPair(t, server, client)
		p.client.flows.RequireMedia(t, "from-server")
		p.server.flows.RequireMedia(t, "from-client")
		p.client.awaitOpen("chat")
		p.client.requireEcho("chat", "hello")
		said := p.up.descriptions()
		require.False(t, said[0].offer)
		require.True(t, said[1].offer)
	})
}

func TestNobodyOffersFirstWhenNobodyMay(t *testing.T) {
	t.Parallel()
	never := msepion.Options{Labels: []string{"x"}, OfferAfter: -1}
	t.Run("and the time to connect runs out", func(t *testing.T) {
		t.Parallel()
		server, client := plan{opts: never}, plan{opts: never}
		server.opts.ConnectTimeout = msepion.DefaultOfferAfter + 100*time.Millisecond
		p := newPair(t, server, client)
		require.ErrorIs(t, heard.Next(t, "end of Run", p.server.ran), msepion.ErrConnectTimeout)
		require.Empty(t, p.up.descriptions())
		require.Empty(t, p.down.descriptions())
	})
	for _, who := range []string{"server", "client"} {
		t.Run("until told, the "+who, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, plan{opts: never, loop: true}, plan{opts: never, loop: true})
			require.Empty(t, append(p.up.descriptions(), p.down.descriptions()...))
			told := map[string]*bot{"server": p.server, "client": p.client}[who]
			require.NoError(t, told.Negotiate())
			p.server.awaitConnected()
			p.client.awaitConnected()
		})
	}
}

// A client that only watches says so with what it adds, and gets the server's tracks in
// the sections that it asks for.
func TestReceiveOnlyClientGetsTracksWhoeverOffers(t *testing.T) {
	t.Parallel()
	watch := func(pc *webrtc.PeerConnection) error {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			_, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			if err != nil {
				return err
			}
		}
		return nil
	}
	for who, wait := range map[string][2]time.Duration{"server": {0, -1}, "client": {-1, 1}} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			inForms(t, func(t *testing.T, server, client plan) {
				server.opts.OfferAfter, client.opts.OfferAfter = wait[0], wait[1]
				server.tracks = []webrtc.TrackLocal{piontest.Video(t, "v"), piontest.Sound(t, "a")}
				client.opts.Setup = watch
				p := newPair(t, server, client)
				p.client.flows.RequireMedia(t, "v", "a")
				require.Len(t, p.client.PeerConnection().GetTransceivers(), 2)
				require.Len(t, p.server.PeerConnection().GetTransceivers(), 2)
				p.server.requireQuiet()
				p.client.requireQuiet()
			})
		})
	}
}

func TestSetupThatFailsIsTheErrorOfStart(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	server, client := plan{}, plan{}
	server.opts.Setup = func(*webrtc.PeerConnection) error { return broken }
	p := newPair(t, server, client)
	require.ErrorIs(t, heard.Next(t, "end of Run", p.server.ran), broken)
	require.Nil(t, p.server.PeerConnection())
	require.Error(t, heard.Next(t, "end of Run", p.client.ran), "the server closes a session that failed")
}

func TestTracksComeAndGoFromEitherSide(t *testing.T) {
	t.Parallel()
	inForms(t, func(t *testing.T, server, client plan) {
		server.tracks = []webrtc.TrackLocal{piontest.Video(t, "s0")}
		client.tracks = []webrtc.TrackLocal{piontest.Sound(t, "c0")}
		p := newPair(t, server, client)
		p.client.flows.RequireMedia(t, "s0")
		p.server.flows.RequireMedia(t, "c0")
		for _, side := range []struct{ from, to *bot }{{p.server, p.client}, {p.client, p.server}} {
			base, added := "s0", piontest.Video(t, "added")
			if side.from == p.client {
				base = "c0"
			}
			for range 2 {
				side.from.AddTrack(added)
				side.from.AddTrack(added)
				side.to.flows.RequireMedia(t, base, "added")
				side.from.RemoveTrack(added)
				side.from.RemoveTrack(added)
				side.to.flows.RequireOnly(t, base)
			}
			side.to.flows.RequireMedia(t, base)
		}
		p.server.requireQuiet()
		p.client.requireQuiet()
	})
}

func TestKeyFrameRequestReachesTheSender(t *testing.T) {
	t.Parallel()
	p := newPair(t, plan{tracks: []webrtc.TrackLocal{piontest.Video(t, "s")}}, plan{tracks: []webrtc.TrackLocal{piontest.Video(t, "c")}})
	require.NoError(t, p.client.RequestKeyFrame(p.client.flows.Require(t, "s").Track))
	require.Equal(t, "s", heard.Next(t, "request for a key frame", p.server.keyFrames))
	require.NoError(t, p.server.RequestKeyFrame(p.server.flows.Require(t, "c").Track))
	require.Equal(t, "c", heard.Next(t, "request for a key frame", p.client.keyFrames))
}

func TestPeerWithoutAPeerConnectionSaysSo(t *testing.T) {
	t.Parallel()
	w, _ := newHost(t, plan{})
	up, _ := w.dial()
	b := newBot(t, plan{}, w.signal(up, "d/r/u", nil))
	requireNoPeer := func() {
		require.Nil(t, b.PeerConnection())
		require.Nil(t, b.Channel("x"))
		require.NoError(t, b.Err())
		require.ErrorIs(t, b.Negotiate(), msepion.ErrNoPeer)
		require.ErrorIs(t, b.Restart(), msepion.ErrNoPeer)
		require.ErrorIs(t, b.RequestKeyFrame(nil), msepion.ErrNoPeer)
		for _, m := range []msejsonrpc.Message{
			msejsonrpc.NewSDPOffer(msejsonrpc.SessionDescription{SDP: "v=0"}, msejsonrpc.FormString),
			msejsonrpc.NewICECandidate(msejsonrpc.ICECandidateInit{}, msejsonrpc.FormString),
		} {
			handled, err := b.Handle(m)
			require.True(t, handled)
			require.ErrorIs(t, err, msepion.ErrNoPeer)
		}
	}
	requireNoPeer()
	require.NoError(t, b.Start())
	require.NotNil(t, b.PeerConnection())
	require.NoError(t, b.Close())
	requireNoPeer()
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Start(), msepion.ErrClosed)
	require.ErrorIs(t, b.Run(t.Context()), msepion.ErrClosed)
	handled, err := b.Handle(&msejsonrpc.Chat{})
	require.False(t, handled)
	require.NoError(t, err)
}

func TestStartAgainReplacesThePeerConnection(t *testing.T) {
	t.Parallel()
	server, client := plan{}, plan{}
	server.opts.Labels = []string{"x"}
	client.tracks = []webrtc.TrackLocal{piontest.Video(t, "v")}
	p := newPair(t, server, client)
	p.server.flows.RequireMedia(t, "v")
	first, firstOfServer := p.client.PeerConnection(), p.server.PeerConnection()
	p.server.awaitConnected()
	p.client.awaitConnected()
	p.client.states.Forget()

	require.NoError(t, p.client.Start())
	require.NotSame(t, first, p.client.PeerConnection())
	require.NoError(t, p.server.Start())
	require.NotSame(t, firstOfServer, p.server.PeerConnection())
	p.server.awaitConnected()
	p.client.awaitConnected()
	p.server.flows.RequireOnly(t, "v")
	p.server.flows.RequireMedia(t, "v")
	require.NotContains(t, p.client.states.All(), webrtc.PeerConnectionStateClosed, "of the replaced one")
	require.Empty(t, p.server.ran.All())
	require.Empty(t, p.client.ran.All())
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	connected := func(t *testing.T) *pair {
		server := plan{}
		server.opts.Labels = []string{"x"}
		p := newPair(t, server, plan{})
		p.client.awaitConnected()
		p.server.awaitConnected()
		return p
	}
	t.Run("with signaling that the client leaves", func(t *testing.T) {
		t.Parallel()
		p := connected(t)
		require.NoError(t, p.client.client.Disconnect())
		require.NoError(t, heard.Next(t, "end of Run", p.client.ran))
		require.NoError(t, heard.Next(t, "end of Run", p.server.ran))
		p.client.awaitState(webrtc.PeerConnectionStateClosed)
		p.server.awaitState(webrtc.PeerConnectionStateClosed)
		require.NoError(t, p.server.Err())
	})
	t.Run("with signaling that the server leaves", func(t *testing.T) {
		t.Parallel()
		p := connected(t)
		require.NoError(t, p.world.server.Close())
		require.NoError(t, heard.Next(t, "end of Run", p.client.ran))
		require.NoError(t, heard.Next(t, "end of Run", p.server.ran))
	})
	t.Run("with its context", func(t *testing.T) {
		t.Parallel()
		w, _ := newHost(t, plan{})
		up, _ := w.dial()
		b := newBot(t, plan{}, w.signal(up, "d/r/u", nil))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Run(ctx), context.Canceled)
		require.Nil(t, b.PeerConnection())
		require.NoError(t, b.client.Err())
	})
	t.Run("with a peer connection that fails", func(t *testing.T) {
		t.Parallel()
		w, _ := newHost(t, plan{})
		up, _ := w.dial()
		client := plan{}
		client.opts.Labels = []string{"x"}
		client.opts.ConnectTimeout = time.Millisecond
		b := newBot(t, client, w.signal(up, "d/r/u", nil))
		require.ErrorIs(t, b.Run(t.Context()), msepion.ErrConnectTimeout)
		require.ErrorIs(t, b.Err(), msepion.ErrConnectTimeout)
		b.awaitState(webrtc.PeerConnectionStateClosed)
	})
	t.Run("but not with an orderly end of the peer connection", func(t *testing.T) {
		t.Parallel()
		p := connected(t)
		require.NoError(t, p.server.Close())
		p.client.awaitState(webrtc.PeerConnectionStateClosed)
		require.NoError(t, p.client.Err())
		require.NoError(t, p.client.client.Ping(t.Context()))
		require.Empty(t, p.client.ran.All())
		require.Empty(t, p.server.ran.All())
	})
}

func TestChannelsOfTheOtherSideAreLimited(t *testing.T) {
	t.Parallel()
	server, client := plan{}, plan{}
	server.opts.MaxChannels = 2
	client.opts.Labels = []string{"1", "2"}
	p := newPair(t, server, client)
	p.client.awaitOpen("1")
	p.client.awaitOpen("2")
	p.client.requireEcho("2", "hello")
	_, err := p.client.PeerConnection().CreateDataChannel("3", nil)
	require.NoError(t, err)
	require.ErrorIs(t, heard.Next(t, "end of Run", p.server.ran), msepion.ErrTooManyChannels)
}
