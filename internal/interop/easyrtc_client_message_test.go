package interop

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// TestEasyRTCSignalsReachTheirTarget has two clients that share no room.
func TestEasyRTCSignalsReachTheirTarget(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob := s.login(t, "alice", "a"), s.login(t, "bob", "b")
		a, b := alice.EasyrtcID(), bob.EasyrtcID()
		const sdp = "v=0\r\na=<&>\u2028 ☕\r\n"
		offer, err := easyrtc.NewOffer(b, sdp)
		require.NoError(t, err)
		_, err = alice.Call(ctx, offer)
		require.NoError(t, err)
		gotOffer := hears[*easyrtc.Offer](bob, "offer", nil)
		d, err := gotOffer.SessionDescription()
		require.NoError(t, err)
		require.Equal(t, &easyrtc.SessionDescription{Type: "offer", SDP: sdp}, d)
		require.Equal(t, a, gotOffer.SenderEasyrtcID)
		require.Equal(t, b, gotOffer.EasyrtcID)
		require.Positive(t, gotOffer.ServerTime)
		require.Empty(t, gotOffer.TargetEasyrtcID)

		answer, err := easyrtc.NewAnswer(a, sdp)
		require.NoError(t, err)
		_, err = bob.Call(ctx, answer)
		require.NoError(t, err)
		d, err = hears[*easyrtc.Answer](alice, "answer", nil).SessionDescription()
		require.NoError(t, err)
		require.Equal(t, &easyrtc.SessionDescription{Type: "answer", SDP: sdp}, d)

		candidate, err := easyrtc.NewCandidate(a, "candidate:1 1 udp 1 127.0.0.1 9 typ host", 0, "audio")
		require.NoError(t, err)
		_, err = bob.Call(ctx, candidate)
		require.NoError(t, err)
		got, err := hears[*easyrtc.Candidate](alice, "candidate", nil).ICECandidate()
		require.NoError(t, err)
		require.Equal(t, &easyrtc.ICECandidate{
			Type: "candidate", Label: new(0), ID: new("audio"), Candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host",
		}, got)

		_, err = alice.Call(ctx, &easyrtc.Reject{TargetEasyrtcID: b})
		require.NoError(t, err)
		require.Equal(t, a, hears[*easyrtc.Reject](bob, "reject", nil).SenderEasyrtcID)
		_, err = alice.Call(ctx, &easyrtc.Hangup{TargetEasyrtcID: b})
		require.NoError(t, err)
		hangup := hears[*easyrtc.Hangup](bob, "hangup", nil)
		require.Equal(t, a, hangup.SenderEasyrtcID)
		require.Nil(t, hangup.MsgData)

		_, err = alice.Call(ctx, &easyrtc.Hangup{TargetEasyrtcID: "nobody"})
		refused(t, easyrtc.CodeMsgRejectTarget, err)
		elsewhere := s.connect(t, nil)
		elsewhere.enter(&easyrtc.Login{Application: "elsewhere"})
		_, err = alice.Call(ctx, &easyrtc.Hangup{TargetEasyrtcID: elsewhere.EasyrtcID()})
		refused(t, easyrtc.CodeMsgRejectTarget, err)
		require.NoError(t, bob.Close())
		alice.settle()
		eventually(t, "departure", func() bool {
			_, err = alice.Call(ctx, &easyrtc.Hangup{TargetEasyrtcID: b})
			return err != nil
		})
		refused(t, easyrtc.CodeMsgRejectTarget, err)
	})
}

func TestEasyRTCMessagesReachTheirTargets(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob, carol := s.login(t, "alice", "den"), s.login(t, "bob", "den"), s.login(t, "carol", "hall")
		for _, data := range []string{`{"a":1}`, `"text"`, `0`, `false`, `[]`, `""`, `null`} {
			require.NoError(t, alice.SendTo(ctx, bob.EasyrtcID(), "any <type> ☕", json.RawMessage(data)))
			m := hears(bob, "message", msgOf("any <type> ☕"))
			require.Equal(t, data, string(m.MsgData))
			require.Equal(t, alice.EasyrtcID(), m.SenderEasyrtcID)
			require.Equal(t, bob.EasyrtcID(), m.TargetEasyrtcID)
			require.Equal(t, bob.EasyrtcID(), m.EasyrtcID)
		}
		require.NoError(t, alice.SendTo(ctx, bob.EasyrtcID(), "", nil))
		require.Nil(t, hears(bob, "message", msgOf("")).MsgData)

		require.NoError(t, alice.SendToRoom(ctx, "den", "to all", json.RawMessage(`1`)))
		m := hears(bob, "message", msgOf("to all"))
		require.Equal(t, "den", m.TargetRoom)
		require.Empty(t, m.TargetEasyrtcID)
		_, err := alice.Call(ctx, &easyrtc.Msg{MsgType: "both", TargetEasyrtcID: bob.EasyrtcID(), TargetRoom: "den"})
		require.NoError(t, err)
		m = hears(bob, "message", msgOf("both"))
		require.Equal(t, "den", m.TargetRoom)
		require.Equal(t, bob.EasyrtcID(), m.TargetEasyrtcID)
		for _, c := range []*easyrtcClient{alice, carol} {
			for _, m := range c.settle() {
				require.IsType(t, &easyrtc.RoomData{}, m, "not for them")
			}
		}

		err = carol.SendToRoom(ctx, "den", "x", nil)
		if s.is(easyrtc110) {
			require.NoError(t, err, "one need not be in there")
		} else {
			refused(t, easyrtc.CodeMsgRejectTargetRoom, err)
		}
		refused(t, easyrtc.CodeMsgRejectTargetRoom, alice.SendToRoom(ctx, "nowhere", "x", nil))
		refused(t, easyrtc.CodeMsgRejectGenFail, alice.SendTo(ctx, "nobody", "x", nil))
		refused(t, easyrtc.CodeMsgRejectTarget, alice.SendTo(ctx, alice.EasyrtcID(), "x", nil))
		_, err = alice.Call(ctx, &easyrtc.Msg{MsgType: "x", TargetGroup: "group"})
		refused(t, easyrtc.CodeMsgRejectTargetGroup, err)
		_, err = alice.Call(ctx, &easyrtc.Msg{MsgType: "x", TargetRoom: "den", TargetGroup: "group"})
		require.NoError(t, err, "nobody gets it")
	})
}

func TestEasyRTCMessagesMayBeBinary(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob, carol := s.login(t, "alice"), s.login(t, "bob"), s.login(t, "carol")
		for _, parts := range [][][]byte{{{}}, {{0}}, {{4, 1, 2}, make([]byte, 200_000), {0xff}}} {
			var list []object
			for i := range parts {
				list = append(list, object{"_placeholder": true, "num": i})
			}
			data, err := json.Marshal(object{"list": list, "name": "☕"})
			require.NoError(t, err)
			m := &easyrtc.Msg{MsgType: "parts", TargetRoom: "default", MsgData: data}
			m.Attachments = parts
			_, err = alice.Call(ctx, m)
			require.NoError(t, err)
			for _, c := range []*easyrtcClient{bob, carol} {
				got := hears(c, "parts", msgOf("parts"))
				require.Equal(t, len(parts), len(got.Attachments))
				for i, part := range parts {
					require.Equal(t, string(part), string(got.Attachments[i]))
				}
				require.JSONEq(t, string(data), string(got.MsgData))
			}
			offer := &easyrtc.Offer{TargetEasyrtcID: bob.EasyrtcID(), MsgData: data}
			offer.Attachments = parts
			_, err = alice.Call(ctx, offer)
			require.NoError(t, err)
			require.Equal(t, len(parts), len(hears[*easyrtc.Offer](bob, "offer", nil).Attachments))
		}
	})
}

func TestEasyRTCServerApplicationAnswers(t *testing.T) {
	setup := easyrtcSetup{answer: &easyrtc.Msg{MsgType: "reply", MsgData: json.RawMessage(`{"n":[1]}`)}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		answer, err := alice.SendToServer(bounded(t), "question", json.RawMessage(`{"q":"☕"}`))
		require.NoError(t, err)
		m, ok := answer.(*easyrtc.Msg)
		require.True(t, ok, "%T", answer)
		require.Equal(t, "reply", m.MsgType)
		require.JSONEq(t, `{"n":[1]}`, string(m.MsgData))
		require.Empty(t, m.SenderEasyrtcID)
	})
}

func TestEasyRTCServerApplicationMayHaveNoAnswer(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.connect(t, &easyrtc.ClientOptions{CallTimeout: 300 * time.Millisecond})
		alice.enter(&easyrtc.Login{})
		_, err := alice.SendToServer(bounded(t), "question", nil)
		if s.real == nil {
			require.NoError(t, err, "ours acknowledges it all the same")
			return
		}
		require.ErrorIs(t, err, easyrtc.ErrCallTimeout)
		_, err = alice.RoomList(bounded(t))
		require.NoError(t, err, "the client is well")
	})
}

func TestEasyRTCClientHearsTheServerApplication(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		id := alice.EasyrtcID()
		s.push(id, &easyrtc.Msg{MsgType: "news", MsgData: json.RawMessage(`{"n":1}`)})
		m := hears(alice, "message", msgOf("news"))
		require.Empty(t, m.SenderEasyrtcID)
		require.Equal(t, id, m.EasyrtcID)
		require.Positive(t, m.ServerTime)
		require.JSONEq(t, `{"n":1}`, string(m.MsgData))

		s.push(id, &easyrtc.ICEConfig{MsgData: &easyrtc.ICEConfigData{ICEConfig: &easyrtc.ICEServers{
			ICEServers: []easyrtc.ICEServer{easyrtc.NewICEServer("stun:127.0.0.1:9")},
		}}})
		hears[*easyrtc.ICEConfig](alice, "ICE servers", nil)
		require.Equal(t, []string{"stun:127.0.0.1:9"}, alice.ICEServers()[0].Addresses())

		s.push(id, &easyrtc.ForwardToURL{MsgData: &easyrtc.ForwardToURLData{
			ForwardToURL: &easyrtc.Forward{URL: "https://example.org/"},
		}})
		require.Equal(t, "https://example.org/",
			hears[*easyrtc.ForwardToURL](alice, "address", nil).MsgData.ForwardToURL.URL)

		s.push(id, &easyrtc.ErrorMessage{MsgData: &easyrtc.Error{ErrorCode: "CUSTOM", ErrorText: "of the application"}})
		e := hears[*easyrtc.ErrorMessage](alice, "error", nil)
		require.Equal(t, "of the application", e.MsgData.ErrorText)
		require.EqualValues(t, "CUSTOM", e.MsgData.ErrorCode)
		require.Equal(t, id, e.EasyrtcID)
		require.Equal(t, easyrtc.ClientReady, alice.State(), "it is not about the connection")
	})
}

func TestEasyRTCClientRefreshesItsICEServers(t *testing.T) {
	setup := easyrtcSetup{ice: []easyrtc.ICEServer{{
		URLs: easyrtc.URLs{List: []string{"turn:127.0.0.1:9"}}, Username: "u", Credential: "p",
	}}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		servers, err := alice.RefreshICE(bounded(t))
		require.NoError(t, err)
		require.Len(t, servers, 1)
		require.Equal(t, "p", servers[0].Credential)
		if s.real != nil {
			s.real.do("hooks", map[string]any{"hooks": object{"ice": "error"}})
			_, err = alice.RefreshICE(bounded(t))
			refused(t, easyrtc.CodeMsgRejectGenFail, err)
			require.Len(t, alice.ICEServers(), 1, "the old ones")
		}
	})
}

// TestEasyRTCClientCallsConcurrently has as many calls under way as fit into the queue.
func TestEasyRTCClientCallsConcurrently(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx, cancel := context.WithCancel(bounded(t))
		defer cancel()
		alice, bob := s.login(t, "alice"), s.login(t, "bob")
		const many = 200
		errs := make(chan error, many)
		for range many {
			go func() { errs <- alice.SendTo(ctx, bob.EasyrtcID(), "many", nil) }()
		}
		for range many {
			require.NoError(t, <-errs)
		}
		for range many {
			hears(bob, "message", msgOf("many"))
		}
	})
}
