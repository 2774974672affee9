package interop

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestMediasoupClientLearnsWhatARoomCanDo(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		c := s.connect(t, "room", "alice", nil)
		require.Nil(t, c.Room())
		room, err := c.QueryRoom(bounded(t))
		require.NoError(t, err)
		require.Equal(t, []uint8{}, room.MandatoryCodecPayloadTypes)
		require.JSONEq(t, mediasoupCaps, textOfJSON(room.RTPCapabilities))
		require.Equal(t, room, c.Room())
		joined, err := c.Join(bounded(t), entrance("alice", ""))
		require.NoError(t, err)
		require.Empty(t, joined.Peers)
		require.Equal(t, mediasoupproto.ClientJoined, c.State())
		require.Equal(t, []string{"alice"}, s.names("room"))
		_, err = c.QueryRoom(bounded(t))
		require.NoError(t, err)
	})
}

func TestMediasoupClientsMeet(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		alice := s.connect(t, "room", "alice", nil)
		_, err := alice.Join(bounded(t), entrance("alice", `{"displayName":"Älice ☕"}`))
		require.NoError(t, err)
		over := alice.opens(mediasoupproto.DirectionSend)
		sends := alice.produces(over, "0", func(m *mediasoupproto.CreateProducer) { m.AppData = json.RawMessage(`"mic"`) })

		bob := s.connect(t, "room", "bob", nil)
		joined, err := bob.Join(bounded(t), entrance("bob", "null"))
		require.NoError(t, err)
		require.Len(t, joined.Peers, 1)
		require.Equal(t, "alice", joined.Peers[0].Name)
		require.JSONEq(t, `{"displayName":"Älice ☕"}`, string(joined.Peers[0].AppData))
		require.Len(t, joined.Peers[0].Consumers, 1)
		heard := joined.Peers[0].Consumers[0]
		require.Equal(t, "alice", heard.PeerName)
		require.JSONEq(t, `"mic"`, string(heard.AppData))
		require.False(t, heard.Paused)
		require.Equal(t, mediasoupproto.ProfileDefault, heard.PreferredProfile)
		require.Nil(t, heard.EffectiveProfile)
		require.Equal(t, "cname of alice", *heard.RTPParameters.RTCP.CNAME)
		require.Equal(t, uint8(100), *heard.RTPParameters.Codecs[0].PayloadType)
		bob.enables(heard.ID)

		m := tells(alice, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "bob" })
		require.JSONEq(t, "null", string(m.AppData))
		require.NoError(t, m.Validate())
		bob.produces(bob.opens(mediasoupproto.DirectionSend), "1", nil)
		id := alice.hears("bob")
		require.Equal(t, id, alice.Peers()[0].Consumers[0].ID)
		require.Len(t, s.consumers("room", "alice"), 1)
		alice.quiet()

		require.NoError(t, alice.Send(&mediasoupproto.CloseProducer{ID: sends}))
		closed := tells(bob, "consumerClosed", func(m *mediasoupproto.ConsumerClosed) bool { return m.ID == heard.ID })
		require.Equal(t, "alice", closed.PeerName)
		require.NoError(t, alice.CloseTransport(over, nil))
		require.NoError(t, alice.Leave(json.RawMessage(`{"why":"bye"}`)))
		gone := tells(bob, "peerClosed", func(m *mediasoupproto.PeerClosed) bool { return m.Name == "alice" })
		require.JSONEq(t, `{"why":"bye"}`, string(gone.AppData))
		require.Empty(t, bob.Peers())
		require.Equal(t, mediasoupproto.ClientLeft, alice.State())
		_, err = alice.Join(bounded(t), entrance("alice", `"again"`))
		require.NoError(t, err)
		again := tells(bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "alice" })
		require.JSONEq(t, `"again"`, string(again.AppData))
		require.Len(t, alice.Peers()[0].Consumers, 1)
		if s.envelope != overProtoo2 { // where notifications have answers
			require.Zero(t, alice.Ignored())
			require.Zero(t, bob.Ignored())
		}
	})
}

func TestMediasoupClientsAreThrownOut(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		s.does("closePeer", "room", "alice", 0, `"kicked"`)
		closed := tells[*mediasoupproto.Closed](x.alice, "closed", nil)
		require.JSONEq(t, `"kicked"`, string(closed.AppData))
		gone := tells(x.bob, "peerClosed", func(m *mediasoupproto.PeerClosed) bool { return m.Name == "alice" })
		require.JSONEq(t, `"kicked"`, string(gone.AppData))
		x.bob.quiet() // nobody says that the consumer has ended
		_, err := x.alice.Join(bounded(t), entrance("alice", ""))
		require.NoError(t, err)
		tells(x.bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "alice" })
	})
}

func TestMediasoupRoomIsClosed(t *testing.T) {
	onMediasoup(t, []string{overProtoo}, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		s.does("closeRoom", "room", "", 0, "")
		for _, c := range []*mediasoupClient{x.alice, x.bob} {
			closed := tells[*mediasoupproto.Closed](c, "closed", nil)
			require.Nil(t, closed.AppData)
		}
		before, _ := x.bob.got.from(0)
		var gone []string
		for _, m := range before {
			if p, ok := m.(*mediasoupproto.PeerClosed); ok {
				gone = append(gone, p.Name)
			}
		}
		require.Equal(t, []string{"alice"}, gone) // whose turn came first
	})
}

func TestMediasoupSpiesAreSeenByNobody(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		spy := s.connect(t, "room", "spy", nil)
		join := entrance("spy", `"hidden"`)
		join.Spy = true
		joined, err := spy.Join(bounded(t), join)
		require.NoError(t, err)
		require.Len(t, joined.Peers, 2)
		require.Len(t, joined.Peers[0].Consumers, 1)
		spy.enables(joined.Peers[0].Consumers[0].ID)
		x.alice.produces(x.over, "1", nil)
		require.NotZero(t, spy.hears("alice"))
		require.NotZero(t, x.bob.hears("alice"))
		err = spy.CreateProducer(bounded(t), &mediasoupproto.CreateProducer{ID: 1, Kind: mediasoupproto.Audio})
		require.Error(t, err)

		carol := s.join(t, "room", "carol")
		names := []string{}
		for _, p := range carol.Peers() {
			names = append(names, p.Name)
		}
		require.Equal(t, []string{"alice", "bob"}, names)
		tells(spy, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "carol" })
		require.NoError(t, spy.Leave(nil))
		tells(x.bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "carol" })
		x.bob.quiet()
		carol.quiet()
	})
}

func TestMediasoupNamesAreTakenOnce(t *testing.T) {
	onMediasoup(t, []string{overProtoo, overSocketIO}, func(t *testing.T, s *eitherMediasoup) {
		bob := s.join(t, "room", "bob")
		first := s.join(t, "room", "alice")
		tells(bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "alice" })
		second := s.connect(t, "room", "alice", nil)
		err := first.ended()
		if s.envelope == overProtoo {
			var closed *transport.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, mediasoupproto.CloseByServer, closed.Code)
			require.Equal(t, mediasoupproto.CloseByServerReason, closed.Reason)
		}
		tells(bob, "peerClosed", func(m *mediasoupproto.PeerClosed) bool { return m.Name == "alice" })
		_, err = second.Join(bounded(t), entrance("bob", ""))
		require.ErrorIs(t, err, mediasoupproto.ErrOtherName)
		require.Equal(t, mediasoupproto.ClientNew, second.State())
		_, err = second.Join(bounded(t), entrance("alice", ""))
		require.NoError(t, err)
		tells(bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "alice" })
		other := s.join(t, "other room", "alice")
		other.quiet()
		bob.quiet()
		require.Equal(t, []string{"alice", "bob"}, s.names("room"))
	})
}

func TestMediasoupClientIsToldWhyItMayNotJoin(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		c := s.connect(t, "room", "alice", nil)
		join := entrance("alice", "")
		join.RTPCapabilities.Codecs[0].PreferredPayloadType = 110
		_, err := c.Join(bounded(t), join)
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", "unsupported codec [name:opus, preferredPayloadType:110]"))
		join = entrance("alice", "")
		join.RTPCapabilities.HeaderExtensions[0].PreferredID = 14
		_, err = c.Join(bounded(t), join)
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", "unsupported header extension [kind:audio, uri:"+
			mediasoupproto.ExtensionAudioLevel+"]"))
		_, err = c.Call(bounded(t), &mediasoupproto.Unknown{
			Head: mediasoupproto.Head{RequestID: "0"}, Type: "foo",
		})
		require.ErrorIs(t, err, mediasoupproto.ErrNoPeer)
		_, err = c.Join(bounded(t), entrance("alice", ""))
		require.NoError(t, err)
		_, err = c.Call(bounded(t), &mediasoupproto.Unknown{
			Head: mediasoupproto.Head{RequestID: "0"}, Type: "foo",
		})
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", `unknown request method "foo"`))
		require.Equal(t, mediasoupproto.ClientJoined, c.State())
	})
}

func TestMediasoupClientReturnsWhenItsConnectionIsCut(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		carol := s.connect(t, "room", "carol", &mediasoupproto.ClientOptions{
			Redial: func(ctx context.Context) (transport.Conn, error) { return s.dial(ctx, "room", "carol") },
			Rejoin: func(_ context.Context, last *mediasoupproto.Join) (*mediasoupproto.Join, error) {
				again := *last
				again.AppData = json.RawMessage(`"back"`)
				return &again, nil
			},
		})
		_, err := carol.Join(bounded(t), entrance("carol", ""))
		require.NoError(t, err)
		tells(x.bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "carol" })
		s.cut(carol.conn)
		again := tells[*mediasoupproto.Reconnected](carol, "Reconnected", nil)
		require.Len(t, again.Joined.Peers, 2)
		require.Len(t, again.Joined.Peers[0].Consumers, 1)
		tells(x.bob, "peerClosed", func(m *mediasoupproto.PeerClosed) bool { return m.Name == "carol" })
		back := tells(x.bob, "newPeer", func(m *mediasoupproto.NewPeer) bool { return m.Name == "carol" })
		require.JSONEq(t, `"back"`, string(back.AppData))
		carol.enables(again.Joined.Peers[0].Consumers[0].ID)
	})
}

func TestMediasoupClientSpeaksWithTheApplication(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		alice := s.connect(t, "room", "alice", nil)
		_, err := alice.Join(bounded(t), entrance("alice", `{"displayName":"Alice"}`))
		require.NoError(t, err)
		bob := s.join(t, "room", "bob")
		result, err := alice.Ask(bounded(t), "change-display-name", json.RawMessage(`{"displayName":"Älice"}`))
		require.NoError(t, err)
		require.True(t, len(result) == 0 || sameJSON("{}", string(result)), "%s", result)
		m := tells(bob, "display-name-changed", func(m *mediasoupproto.Application) bool {
			return m.Method == "display-name-changed"
		})
		var told struct{ PeerName, DisplayName string }
		require.NoError(t, json.Unmarshal(m.Data, &told))
		require.Equal(t, "alice", told.PeerName)
		require.Equal(t, "Älice", told.DisplayName)
		if s.envelope != overSocketIO { // where nobody answers an unknown event
			_, err = alice.Ask(bounded(t), "foo", nil)
			require.ErrorIs(t, err, &mediasoupproto.Error{Reason: `unknown request.method "foo"`})
		}
		alice.produces(alice.opens(mediasoupproto.DirectionSend), "0", nil)
		id := bob.hears("alice")
		bob.enables(id)
		_, err = bob.Ask(bounded(t), "change-consumer-preferred-profile", json.RawMessage(textOfJSON(object{
			"consumerId": id, "profile": "low",
		})))
		require.NoError(t, err)
		set := tells(bob, "consumerPreferredProfileSet", func(m *mediasoupproto.ConsumerPreferredProfileSet) bool {
			return m.ID == id
		})
		require.Equal(t, mediasoupproto.ProfileLow, set.Profile)
		_, err = bob.Ask(bounded(t), "request-consumer-keyframe", json.RawMessage(textOfJSON(object{"consumerId": id})))
		require.NoError(t, err)
	})
}
