package galenepion_test

import (
	"io"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// A stranger is a user whose program does with files what a test says, over a peer
// connection with all candidates in its description.
type stranger struct {
	t      *testing.T
	client *galene.Client
	pc     *webrtc.PeerConnection
	steps  *heard.Record[*galene.FileTransfer]
}

// joinStranger makes a stranger who knows a member, and whom the member knows.
func joinStranger(t *testing.T, w *world, other *member) *stranger {
	t.Helper()
	s := &stranger{t: t, steps: heard.New[*galene.FileTransfer]()}
	var err error
	s.client, err = galene.Connect(t.Context(), w.dial(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.client.Close()) })
	name := "stranger"
	_, err = s.client.Join(t.Context(), &galene.Join{Group: "test", Username: &name})
	require.NoError(t, err)
	s.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(loopback.Settings())).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.pc.GracefulClose()) })
	go func() {
		for m, err := range s.client.Messages(t.Context()) {
			if err != nil {
				return
			}
			u, ok := m.(*galene.UserMessage)
			if !ok {
				continue
			}
			f, err := u.FileTransfer()
			if err != nil {
				continue
			}
			if f.Type != galene.FileICE {
				s.steps.Add(f)
			} else if c, ok, _ := f.Init(); ok {
				_ = s.pc.AddICECandidate(webrtc.ICECandidateInit(c))
			}
		}
	}()
	if other.client.User(s.client.ID()) == nil {
		heard.Await(t, "user", other.messages, func(m galene.Message) bool {
			u, ok := m.(*galene.User)
			return ok && u.ID == s.client.ID()
		})
	}
	return s
}

func (s *stranger) say(dest *member, f galene.FileTransfer) {
	s.t.Helper()
	require.NoError(s.t, s.client.Send(galene.NewFileTransfer(dest.client.ID(), &f)))
}

// describe sets a description and returns it with all candidates.
func (s *stranger) describe(d webrtc.SessionDescription) string {
	s.t.Helper()
	gathered := webrtc.GatheringCompletePromise(s.pc)
	require.NoError(s.t, s.pc.SetLocalDescription(d))
	<-gathered
	return s.pc.LocalDescription().SDP
}

// A sender that does not keep to what it said.
func TestFileThatIsNotWhatWasSaidIsCancelled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		send func(ch *webrtc.DataChannel)
		want string
	}{
		"too long": {func(ch *webrtc.DataChannel) { _ = ch.Send([]byte("123456")) }, "another size"},
		"too long in parts": {func(ch *webrtc.DataChannel) {
			_ = ch.Send([]byte("123"))
			_ = ch.Send([]byte("456"))
		}, "another size"},
		"text": {func(ch *webrtc.DataChannel) { _ = ch.SendText("12345") }, "unexpected data"},
		"too short": {func(ch *webrtc.DataChannel) {
			_ = ch.Send([]byte("123"))
			_ = ch.GracefulClose()
		}, "hung up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, galene.ServerOptions{})
			m := w.join(plan{name: "m"})
			s := joinStranger(t, w, m)
			s.pc.OnDataChannel(func(ch *webrtc.DataChannel) { ch.OnOpen(func() { tt.send(ch) }) })
			size := uint64(5)
			s.say(m, galene.FileTransfer{Type: galene.FileInvite, Version: []string{"1"}, ID: "x", Size: &size})
			result := make(chan error, 1)
			go func() { result <- heard.Next(t, "file", m.files).Accept(t.Context(), io.Discard) }()
			offer := heard.Next(t, "offer", s.steps)
			require.Equal(t, galene.FileOffer, offer.Type)
			require.NoError(t, s.pc.SetRemoteDescription(webrtc.SessionDescription{
				Type: webrtc.SDPTypeOffer, SDP: offer.SDP,
			}))
			answer, err := s.pc.CreateAnswer(nil)
			require.NoError(t, err)
			s.say(m, galene.FileTransfer{Type: galene.FileAnswer, ID: "x", SDP: s.describe(answer)})
			require.ErrorContains(t, <-result, tt.want)
			cancel := heard.Next(t, "cancellation", s.steps)
			require.Equal(t, galene.FileCancel, cancel.Type)
			require.Contains(t, cancel.Message, tt.want)
		})
	}
}

// A receiver that says what it should not.
func TestReceiverThatConfirmsTooEarlyGetsNothingMore(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(ch *webrtc.DataChannel){
		"done": func(ch *webrtc.DataChannel) { _ = ch.SendText("done") },
		"text": func(ch *webrtc.DataChannel) { _ = ch.SendText("something") },
		"data": func(ch *webrtc.DataChannel) { _ = ch.Send([]byte("done")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, galene.ServerOptions{})
			m := w.join(plan{name: "m"})
			s := joinStranger(t, w, m)
			result := make(chan error, 1)
			begun := make(chan struct{}, 1)
			go func() {
				result <- m.SendFile(t.Context(), s.client.ID(), &galenepion.File{Size: 1 << 40, Content: &stopper{begun}})
			}()
			invite := heard.Next(t, "invitation", s.steps)
			require.Equal(t, galene.FileInvite, invite.Type)
			ch, err := s.pc.CreateDataChannel("any", nil)
			require.NoError(t, err)
			ch.OnOpen(func() { send(ch) })
			offer, err := s.pc.CreateOffer(nil)
			require.NoError(t, err)
			s.say(m, galene.FileTransfer{
				Type: galene.FileOffer, Version: []string{"1"}, ID: invite.ID, SDP: s.describe(offer),
			})
			answer := heard.Next(t, "answer", s.steps)
			require.Equal(t, galene.FileAnswer, answer.Type)
			require.NoError(t, s.pc.SetRemoteDescription(webrtc.SessionDescription{
				Type: webrtc.SDPTypeAnswer, SDP: answer.SDP,
			}))
			require.ErrorContains(t, <-result, "unexpected data")
			require.Equal(t, galene.FileCancel, heard.Next(t, "cancellation", s.steps).Type)
		})
	}
}
