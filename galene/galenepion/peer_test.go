package galenepion_test

import (
	"context"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

func TestTwoMembersSeeAndHearEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a", request: all})
	b := w.join(plan{name: "b", request: all})
	a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "va"), piontest.Sound(t, "sa"))
	pub := b.publish(&galenepion.PublishOptions{Label: "screenshare"}, piontest.Video(t, "vb"), piontest.Sound(t, "sb"))
	b.flows.RequireMedia(t, "va", "sa")
	a.flows.RequireMedia(t, "vb", "sb")

	s := a.requireStream()
	require.Equal(t, pub.ID(), s.ID)
	require.Equal(t, "screenshare", s.Label)
	require.Equal(t, "screenshare", pub.Label())
	require.Equal(t, b.client.ID(), s.Source)
	require.Equal(t, "b", s.Username)
	require.Nil(t, s.Replaces)
	require.NoError(t, s.Err())
	require.Equal(t, "camera", b.requireStream().Label)
	a.flows.RequireOnly(t, "vb", "sb")
	b.flows.RequireOnly(t, "va", "sa")
	a.requireQuiet()
	b.requireQuiet()
}

func TestNothingIsSaidThatEndsAConnectionToGalene(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	pub.Unpublish()
	b.requireClosed(b.requireStream())
	for _, m := range []*member{a, b} {
		described := false
		for _, msg := range m.line().Said.All() {
			switch msg := msg.(type) {
			case *galene.Offer, *galene.Answer:
				described = true
			case *galene.ICE:
				require.True(t, described, "a candidate follows its description")
				c, err := msg.Init()
				require.NoError(t, err)
				require.NotEmpty(t, c.Candidate, "there is no end of the candidates")
				require.NotNil(t, c.UsernameFragment)
			}
		}
		require.True(t, described)
	}
}

func TestOtherMessagesAreTheApplications(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	require.NoError(t, a.client.Chat("hello"))
	chat := heard.Await(t, "chat", b.messages, func(m galene.Message) bool { _, ok := m.(*galene.Chat); return ok })
	text, _ := galene.Text(chat.(*galene.Chat).Value)
	require.Equal(t, "hello", text)
	a.publish(nil, piontest.Sound(t, "s")).Unpublish()
	b.requireClosed(b.requireStream())
	for _, m := range append(a.messages.All(), b.messages.All()...) {
		switch m.(type) {
		case *galene.Offer, *galene.Answer, *galene.ICE, *galene.Close:
			require.Fail(t, "not for the application", "%T", m)
		}
	}
}

func TestHandleSaysWhatIsAboutStreamsOrFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	name := "a"
	client, err := galene.Connect(t.Context(), w.dial(), nil)
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Join(t.Context(), &galene.Join{Group: "test", Username: &name})
	require.NoError(t, err)
	p := galenepion.NewPeer(client, nil)
	defer p.Close()
	for _, tt := range []struct {
		m       galene.Message
		handled bool
	}{
		{&galene.Answer{ID: "x"}, true},
		{galene.NewICE("x", galene.ICECandidateInit{Candidate: "c"}), true},
		{&galene.Renegotiate{ID: "x"}, true},
		{&galene.Close{ID: "x"}, true},
		{&galene.Abort{ID: "x"}, true},
		{&galene.Offer{ID: "x", SDP: "x"}, true},
		{galene.NewFileTransfer("", &galene.FileTransfer{Type: galene.FileCancel, ID: "x"}), true},
		{&galene.UserMessage{Kind: galene.UserMessageError, Privileged: true, Value: galene.NewText("x")}, false},
		{&galene.UserMessage{Kind: "other"}, false},
		{&galene.Joined{Kind: galene.JoinedChange}, false},
		{&galene.User{Kind: galene.UserDelete, ID: "x"}, false},
		{&galene.Chat{}, false},
		{&galene.Reconnected{}, false},
	} {
		handled, err := p.Handle(tt.m)
		require.NoError(t, err, "%T", tt.m)
		require.Equal(t, tt.handled, handled, "%T", tt.m)
	}
	_, err = p.Handle(&galene.ICE{ID: "x"})
	require.Error(t, err)
}

func TestClosedPeerTakesItsStreamsBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	<-a.Done()
	<-pub.Done()
	require.NoError(t, pub.Err())
	require.Nil(t, pub.PeerConnection())
	require.ErrorIs(t, pub.Restart(), galenepion.ErrClosed)
	require.NoError(t, b.requireClosed(b.requireStream()))
	b.flows.RequireOnly(t)
	_, err := a.Publish(t.Context(), nil, piontest.Video(t, "again"))
	require.ErrorIs(t, err, galenepion.ErrClosed)
	require.NoError(t, a.client.Chat("still here"), "the client is the application's")
}

func TestClosedPeerWantsNoStreams(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	require.NoError(t, b.Close())
	require.NoError(t, b.requireClosed(s))
	heard.AwaitOf(t, b.line().Said, func(m *galene.Abort) bool { return m.ID == s.ID })
}

func TestPeerEndsWithItsClient(t *testing.T) {
	t.Parallel()
	t.Run("orderly", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		pub := a.publish(nil, piontest.Video(t, "v"))
		require.NoError(t, a.client.Close())
		require.NoError(t, heard.Next(t, "end of Run", a.ran))
		<-pub.Done()
		require.ErrorIs(t, pub.Err(), galenepion.ErrDisconnected)
		b.requireClosed(b.requireStream())
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		a, _ := newPair(t)
		pub := a.publish(nil, piontest.Video(t, "v"))
		a.cut()
		require.Error(t, heard.Next(t, "end of Run", a.ran))
		<-pub.Done()
		require.Error(t, pub.Err())
	})
}

func TestServersConfigurationIsThatOfAllPeerConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	require.NoError(t, w.server.SetRTCConfiguration(&galene.RTCConfiguration{
		ICEServers: []galene.ICEServer{{
			URLs: []string{"turn:127.0.0.1:9?transport=tcp"}, Username: "u", Credential: "p", CredentialType: "password",
		}},
	}))
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all})
	pub := a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	want := webrtc.ICEServer{URLs: []string{"turn:127.0.0.1:9?transport=tcp"}, Username: "u", Credential: "p"}
	got := pub.PeerConnection().GetConfiguration()
	require.Equal(t, []webrtc.ICEServer{want}, got.ICEServers)
	require.Equal(t, webrtc.ICETransportPolicyAll, got.ICETransportPolicy)
	got = b.requireStream().PeerConnection().GetConfiguration()
	require.Equal(t, []webrtc.ICEServer{want}, got.ICEServers)
}

func TestRelayPolicyOfTheServerIsObeyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	require.NoError(t, w.server.SetRTCConfiguration(&galene.RTCConfiguration{ICETransportPolicy: "relay"}))
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all})
	pub := a.publish(nil, piontest.Video(t, "v"))
	require.Equal(t, webrtc.ICETransportPolicyRelay, pub.PeerConnection().GetConfiguration().ICETransportPolicy)
	b.requireStream()
	for _, m := range a.line().Said.All() {
		_, isCandidate := m.(*galene.ICE)
		require.False(t, isCandidate)
	}
}

func TestConfigurationOfTheApplicationReplacesTheServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	require.NoError(t, w.server.SetRTCConfiguration(&galene.RTCConfiguration{ICETransportPolicy: "relay"}))
	own := plan{opts: galenepion.Options{Configuration: &webrtc.Configuration{}}}
	own.name = "a"
	a := w.join(own)
	own.name, own.request = "b", all
	b := w.join(own)
	a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
}

func TestConfigurationThatPionRefusesIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	bad := &webrtc.Configuration{ICEServers: []webrtc.ICEServer{{URLs: []string{"http://127.0.0.1"}}}}
	a := w.join(plan{name: "a", opts: galenepion.Options{Configuration: bad}, request: all})
	b := w.join(plan{name: "b"})
	_, err := a.Publish(t.Context(), nil, piontest.Video(t, "v"))
	require.ErrorContains(t, err, "new peer connection")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = b.Publish(ctx, nil, piontest.Video(t, "v")) }()
	s := a.requireStream()
	require.ErrorContains(t, a.requireClosed(s), "new peer connection")
	heard.AwaitOf(t, a.line().Said, func(m *galene.Abort) bool { return m.ID == s.ID })
}

func TestAPIOfTheApplicationMakesThePeerConnections(t *testing.T) {
	t.Parallel()
	codecs := new(webrtc.MediaEngine)
	require.NoError(t, codecs.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, PayloadType: 97,
	}, webrtc.RTPCodecTypeVideo))
	api := webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithSettingEngine(loopback.Settings()))
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a", opts: galenepion.Options{API: api}})
	b := w.join(plan{name: "b", request: all})
	a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	offer := heard.AwaitOf(t, a.line().Said, func(*galene.Offer) bool { return true })
	require.Contains(t, offer.SDP, "a=rtpmap:97 VP8/90000")
	require.NotContains(t, offer.SDP, "VP9")
}
