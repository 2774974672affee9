package interop

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

func TestMediasoupPausesAreKeptOnFourSides(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		paused := func(appData string) {
			t.Helper()
			m := tells(x.bob, "consumerPaused", func(m *mediasoupproto.ConsumerPaused) bool { return m.ID == x.consumer })
			require.Equal(t, "alice", m.PeerName)
			require.Equal(t, appData, string(m.AppData))
		}
		resumed := func(appData string) {
			t.Helper()
			m := tells(x.bob, "consumerResumed", func(m *mediasoupproto.ConsumerResumed) bool { return m.ID == x.consumer })
			require.Equal(t, appData, string(m.AppData))
		}

		require.NoError(t, x.alice.Send(&mediasoupproto.PauseProducer{ID: x.producer, AppData: json.RawMessage("1")}))
		paused("")
		s.does("pauseProducer", "room", "alice", x.producer, `"server"`)
		told := tells(x.alice, "producerPaused", func(m *mediasoupproto.ProducerPaused) bool { return m.ID == x.producer })
		require.Equal(t, `"server"`, string(told.AppData))
		require.Equal(t, "alice", told.PeerName)
		require.NoError(t, x.alice.Send(&mediasoupproto.ResumeProducer{ID: x.producer}))
		x.alice.quiet()
		x.bob.quiet()
		s.does("resumeProducer", "room", "alice", x.producer, "null")
		again := tells(x.alice, "producerResumed", func(m *mediasoupproto.ProducerResumed) bool {
			return m.ID == x.producer
		})
		require.Equal(t, "null", string(again.AppData))
		resumed("")

		s.does("pauseConsumer", "room", "bob", x.consumer, `{"by":"server"}`)
		paused(`{"by":"server"}`)
		s.does("pauseConsumer", "room", "bob", x.consumer, `"again"`)
		require.NoError(t, x.alice.Send(&mediasoupproto.PauseProducer{ID: x.producer}))
		x.alice.quiet()
		x.bob.quiet()
		s.does("resumeConsumer", "room", "bob", x.consumer, `"while the producer is paused"`)
		x.bob.quiet()
		require.NoError(t, x.alice.Send(&mediasoupproto.ResumeProducer{ID: x.producer}))
		resumed("")

		require.NoError(t, x.bob.Send(&mediasoupproto.PauseConsumer{ID: x.consumer}))
		x.bob.quiet()
		require.NoError(t, x.alice.Send(&mediasoupproto.PauseProducer{ID: x.producer}))
		paused("")
		require.NoError(t, x.bob.Send(&mediasoupproto.ResumeConsumer{ID: x.consumer}))
		require.NoError(t, x.alice.Send(&mediasoupproto.ResumeProducer{ID: x.producer}))
		resumed("")
		x.alice.quiet()
		x.bob.quiet()
	})
}

// TestMediasoupConsumersBeginAsThingsStand is about consumers that are enabled late.
func TestMediasoupConsumersBeginAsThingsStand(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		late := x.alice.produces(x.over, "1", func(m *mediasoupproto.CreateProducer) { m.Paused = true })
		id := x.bob.hears("alice")
		require.False(t, x.bob.Peers()[0].Consumers[1].Paused) // nobody knows yet
		s.does("pauseProducer", "room", "alice", late, "")
		require.NoError(t, x.alice.Send(&mediasoupproto.ResumeProducer{ID: late}))
		x.alice.settle()
		x.bob.quiet()
		over := x.bob.opens(mediasoupproto.DirectionRecv)
		ask := &mediasoupproto.EnableConsumer{ID: id, TransportID: over, PreferredProfile: mediasoupproto.ProfileHigh}
		result, err := x.bob.EnableConsumer(bounded(t), ask)
		require.NoError(t, err)
		require.Equal(t, &mediasoupproto.EnableConsumerResult{
			Paused: true, PreferredProfile: mediasoupproto.ProfileHigh,
		}, result)
		_, err = x.bob.EnableConsumer(bounded(t), ask)
		require.ErrorIs(t, err, mediasoupproto.ErrConsumerEnabled)
		_, err = x.bob.EnableConsumer(bounded(t), &mediasoupproto.EnableConsumer{ID: 1, TransportID: over})
		require.ErrorIs(t, err, mediasoupproto.ErrConsumerNotFound)
		s.does("resumeProducer", "room", "alice", late, "")
		m := tells(x.bob, "consumerResumed", func(m *mediasoupproto.ConsumerResumed) bool { return m.ID == id })
		require.Nil(t, m.AppData)
	})
}

func TestMediasoupProfilesArePreferred(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		require.NoError(t, x.bob.Send(&mediasoupproto.SetConsumerPreferredProfile{
			ID: x.consumer, Profile: mediasoupproto.ProfileMedium,
		}))
		x.bob.quiet()
		eventually(t, "profile", func() bool {
			return s.consumers("room", "bob")[0].PreferredProfile == string(mediasoupproto.ProfileMedium)
		})
		s.does("setConsumerPreferredProfile", "room", "bob", x.consumer, `"high"`)
		m := tells(x.bob, "consumerPreferredProfileSet", func(m *mediasoupproto.ConsumerPreferredProfileSet) bool {
			return m.ID == x.consumer
		})
		require.Equal(t, mediasoupproto.ProfileHigh, m.Profile)
		require.Equal(t, "alice", m.PeerName)
		require.Error(t, x.bob.Send(&mediasoupproto.SetConsumerPreferredProfile{
			ID: x.consumer, Profile: mediasoupproto.ProfileNone,
		}))
	})
}

func TestMediasoupClientGetsStatistics(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		const hour = 3_600_000 // ms
		require.NoError(t, x.alice.Send(&mediasoupproto.EnableTransportStats{ID: x.over, Interval: hour}))
		m := tells(x.alice, "transportStats", func(m *mediasoupproto.TransportStats) bool { return m.ID == x.over })
		states, err := m.Transport()
		require.NoError(t, err)
		require.Len(t, states, 1)
		require.Equal(t, mediasoupproto.StatsTransport, states[0].Type)
		require.NoError(t, x.alice.Send(&mediasoupproto.DisableTransportStats{ID: x.over}))
		require.NoError(t, x.alice.Send(&mediasoupproto.EnableProducerStats{ID: x.producer, Interval: hour}))
		p := tells(x.alice, "producerStats", func(m *mediasoupproto.ProducerStats) bool { return m.ID == x.producer })
		require.Empty(t, p.Stats)                                                          // nothing has been sent
		require.NoError(t, x.alice.Send(&mediasoupproto.EnableTransportStats{ID: x.over})) // every second
		for range 2 {
			tells(x.alice, "transportStats", func(m *mediasoupproto.TransportStats) bool { return m.ID == x.over })
		}
		require.NoError(t, x.alice.Send(&mediasoupproto.DisableTransportStats{ID: x.over}))
		require.NoError(t, x.bob.Send(&mediasoupproto.EnableConsumerStats{ID: x.consumer, Interval: hour}))
		c := tells(x.bob, "consumerStats", func(m *mediasoupproto.ConsumerStats) bool { return m.ID == x.consumer })
		require.Equal(t, "alice", c.PeerName)
		require.NoError(t, c.Validate())
		_, err = c.Streams()
		require.NoError(t, err)
		require.NoError(t, x.bob.Send(&mediasoupproto.DisableConsumerStats{ID: x.consumer}))
	})
}

func TestMediasoupTransportsGetNewParameters(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		first, err := x.alice.RestartTransport(bounded(t), x.over)
		require.NoError(t, err)
		second, err := x.alice.RestartTransport(bounded(t), x.over)
		require.NoError(t, err)
		require.True(t, second.ICELite)
		require.NotEqual(t, first.UsernameFragment, second.UsernameFragment)
		require.NotEqual(t, first.Password, second.Password)
		_, err = x.alice.RestartTransport(bounded(t), 7)
		require.ErrorIs(t, err, mediasoupproto.ErrTransportNotFound)
	})
}

func TestMediasoupTransportsAndProducersEnd(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		ended := func(id uint32) {
			t.Helper()
			m := tells(x.bob, "consumerClosed", func(m *mediasoupproto.ConsumerClosed) bool { return m.ID == id })
			require.Equal(t, "alice", m.PeerName)
		}
		s.does("closeProducer", "room", "alice", x.producer, `"enough"`)
		m := tells(x.alice, "producerClosed", func(m *mediasoupproto.ProducerClosed) bool { return m.ID == x.producer })
		require.Equal(t, `"enough"`, string(m.AppData))
		require.Equal(t, "alice", m.PeerName)
		ended(x.consumer)

		x.alice.produces(x.over, "0", nil)
		id := x.bob.hears("alice")
		s.does("closeTransport", "room", "alice", x.over, `"over"`)
		closed := tells(x.alice, "transportClosed", func(m *mediasoupproto.TransportClosed) bool { return m.ID == x.over })
		require.Equal(t, `"over"`, string(closed.AppData))
		ended(id)
		x.alice.quiet() // nobody says that the producer has ended

		_, err := x.alice.CreateTransport(bounded(t), &mediasoupproto.CreateTransport{
			ID: x.over, Direction: mediasoupproto.DirectionSend,
		})
		require.NoError(t, err) // ids may come again
		sends := x.alice.produces(x.over, "0", nil)
		id = x.bob.hears("alice")
		require.NoError(t, x.alice.CloseTransport(x.over, nil))
		ended(id)
		over := x.alice.opens(mediasoupproto.DirectionSend)
		x.alice.produces(over, "0", func(m *mediasoupproto.CreateProducer) { m.ID = sends })
		id = x.bob.hears("alice")
		require.NoError(t, x.alice.Send(&mediasoupproto.CloseProducer{ID: sends, AppData: json.RawMessage("1")}))
		ended(id)
		x.alice.quiet()
		x.bob.quiet()
		require.Empty(t, s.consumers("room", "bob"))
	})
}

// TestMediasoupWrongParametersEndATransport is about what cannot be answered.
func TestMediasoupWrongParametersEndATransport(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		require.NoError(t, x.alice.UpdateTransport(&mediasoupproto.UpdateTransport{
			ID: x.over, DTLSParameters: clientDTLS(mediasoupproto.DTLSRoleServer), // which have been said
		}))
		m := tells(x.alice, "transportClosed", func(m *mediasoupproto.TransportClosed) bool { return m.ID == x.over })
		require.Nil(t, m.AppData)
		tells(x.bob, "consumerClosed", func(m *mediasoupproto.ConsumerClosed) bool { return m.ID == x.consumer })
		err := x.alice.CreateProducer(bounded(t), &mediasoupproto.CreateProducer{
			ID: 5, Kind: mediasoupproto.Audio, TransportID: x.over, RTPParameters: audioParameters(),
		})
		require.ErrorIs(t, err, mediasoupproto.NewError("TypeError", "WebRtcTransport not found"))
	})
}

func audioParameters() *mediasoupproto.RTPParameters {
	p := new(mediasoupproto.RTPParameters)
	if err := json.Unmarshal([]byte(mediasoupAudio), p); err != nil {
		panic(err)
	}
	return p
}

func TestMediasoupProducersShareNoStreams(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		m := &mediasoupproto.CreateProducer{
			ID: 5, Kind: mediasoupproto.Audio, TransportID: x.over, RTPParameters: audioParameters(),
		}
		require.NoError(t, x.alice.CreateProducer(bounded(t), m))
		x.bob.hears("alice")
		m.ID = 6
		err := x.alice.CreateProducer(bounded(t), m)
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", "ssrc already exists in RTP listener [ssrc:5001]"))
		m.RTPParameters.Encodings[0].SSRC = 5002
		err = x.alice.CreateProducer(bounded(t), m)
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", "muxId already exists in RTP listener [muxId:'m1']"))
		m.ID, m.RTPParameters.MuxID = 5, "m2"
		err = x.alice.CreateProducer(bounded(t), m)
		require.ErrorIs(t, err, mediasoupproto.NewError("Error", "a Producer with same producerId already exists"))
		m.ID = 6
		require.NoError(t, x.alice.CreateProducer(bounded(t), m))
		x.bob.hears("alice")
		x.bob.quiet()
	})
}

func TestMediasoupClientHasPlainTransports(t *testing.T) {
	onMediasoup(t, everyEnvelope, func(t *testing.T, s *eitherMediasoup) {
		x := s.scene(t, "room")
		result, err := x.alice.CreateTransport(bounded(t), &mediasoupproto.CreateTransport{
			ID: 8, Direction: mediasoupproto.DirectionSend, Options: new(mediasoupproto.TransportOptions),
			PlainRTPParameters: &mediasoupproto.PlainRTPParameters{IP: "127.0.0.1", Port: 9},
		})
		require.NoError(t, err)
		require.NotNil(t, result.PlainRTPParameters)
		require.NotZero(t, result.PlainRTPParameters.Port)
		require.Nil(t, result.ICEParameters)
		_, err = x.alice.RestartTransport(bounded(t), 8)
		require.ErrorIs(t, err, mediasoupproto.NewError("TypeError", "transport.changeUfragPwd is not a function"))
		x.alice.produces(8, "p", nil)
		x.bob.hears("alice")
	})
}
