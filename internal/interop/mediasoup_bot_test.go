package interop

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// These tests have no browser: bots meet on the real server and on ours.

// newBots has bots join that get what all the others send.
func newBots(t *testing.T, h mediasoupHost, names ...string) []*mediasoupBot {
	t.Helper()
	var bots []*mediasoupBot
	for _, name := range names {
		b := joinMediasoup(t, h, name, botPlan{})
		b.sends()
		bots = append(bots, b)
	}
	meet(bots...)
	return bots
}

func TestMediasoupBotsMeetInEveryEnvelope(t *testing.T) {
	t.Parallel()
	for _, envelope := range []string{overProtoo, overProtoo2, overSocketIO} {
		t.Run(envelope, func(t *testing.T) {
			onMediasoupHosts(t, envelope, func(t *testing.T, h mediasoupHost) {
				for _, b := range newBots(t, h, "alice", "bob", "carol") {
					b.requireRunning()
				}
			})
		})
	}
}

// TestMediasoupBotsPauseOnEverySide has a sender and a receiver, each of which may pause, and the
// server application, which may pause either. What is paused twice needs to be resumed twice.
func TestMediasoupBotsPauseOnEverySide(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		sound, picture := bob.gets(mediasoupproto.Audio, "alice"), bob.gets(mediasoupproto.Video, "alice")
		why := json.RawMessage(`{"why":"a pause"}`)
		for _, way := range []struct {
			name          string
			pause, resume func()
			told          bool   // whether bob is told
			app           string // and with what
			ofProducer    bool   // whether alice is told
		}{
			{
				name:   "the sender",
				pause:  func() { require.NoError(t, camera.Pause(why)) },
				resume: func() { require.NoError(t, camera.Resume(why)) },
				told:   true,
			},
			{
				name:   "the receiver",
				pause:  func() { require.NoError(t, picture.consumer.Pause(why)) },
				resume: func() { require.NoError(t, picture.consumer.Resume(why)) },
			},
			{
				name:   "the server, of the producer",
				pause:  func() { h.tells("pauseProducer", "alice", camera.ID()) },
				resume: func() { h.tells("resumeProducer", "alice", camera.ID()) },
				told:   true, ofProducer: true,
			},
			{
				name:   "the server, of the consumer",
				pause:  func() { h.tells("pauseConsumer", "bob", picture.consumer.ID()) },
				resume: func() { h.tells("resumeConsumer", "bob", picture.consumer.ID()) },
				told:   true, app: byTest,
			},
		} {
			alice.forgets()
			bob.forgets()
			way.pause()
			if way.told {
				isTold(bob, func(m *mediasoupproto.ConsumerPaused) bool {
					return m.ID == picture.consumer.ID() && sameAppData(m.AppData, way.app)
				})
				require.True(t, picture.consumer.Paused(), way.name)
			}
			if way.ofProducer {
				isTold(alice, func(m *mediasoupproto.ProducerPaused) bool {
					return m.ID == camera.ID() && sameAppData(m.AppData, byTest)
				})
				require.True(t, camera.Paused(), way.name)
			}
			bob.fallsSilent(picture, sound)
			keyFrames, requests := picture.keyFrames.Load(), alice.asked.Load()
			way.resume()
			if way.told {
				isTold(bob, func(m *mediasoupproto.ConsumerResumed) bool {
					return m.ID == picture.consumer.ID() && sameAppData(m.AppData, way.app)
				})
			}
			bob.goesOn(picture)
			eventually(t, "key frame after a pause by "+way.name, func() bool {
				return picture.keyFrames.Load() > keyFrames && alice.asked.Load() > requests
			})
			require.False(t, picture.consumer.Paused(), way.name)
			require.False(t, camera.Paused(), way.name)
		}

		require.NoError(t, camera.Pause(nil))
		require.NoError(t, picture.consumer.Pause(nil))
		bob.fallsSilent(picture, sound)
		require.NoError(t, camera.Resume(nil))
		bob.fallsSilent(picture, sound)
		require.NoError(t, picture.consumer.Resume(nil))
		bob.goesOn(picture)
		require.Empty(t, bob.closedFlows())
	})
}

// sameAppData compares what came with a message with a JSON text, of which "" is none.
func sameAppData(got json.RawMessage, want string) bool {
	return want == "" && len(got) == 0 || want != "" && len(got) > 0 && sameJSON(want, string(got))
}

// closedFlows returns the ends of consumers that the bot has heard of.
func (b *mediasoupBot) closedFlows() []botClosed {
	all, _ := b.closed.from(0)
	return all
}

// TestMediasoupBotThatBeginsPausedIsSeenLater has bots come who find a producer paused, or pause
// at once.
func TestMediasoupBotThatBeginsPausedIsSeenLater(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice := joinMediasoup(t, h, "alice", botPlan{})
		alice.publish(alice.audio)
		camera, err := alice.Publish(bounded(t), alice.video, &mediasouppion.PublishOptions{Paused: true})
		require.NoError(t, err)
		bob := joinMediasoup(t, h, "bob", botPlan{})
		sound, picture := bob.gets(mediasoupproto.Audio, "alice"), bob.flow(mediasoupproto.Video, "alice")
		require.True(t, picture.consumer.Paused())
		bob.fallsSilent(picture, sound)
		require.Zero(t, picture.packets.Load())
		require.NoError(t, camera.Resume(nil))
		bob.gets(mediasoupproto.Video, "alice")
		require.False(t, picture.consumer.Paused())
		eventually(t, "effective profile", func() bool {
			return picture.consumer.EffectiveProfile() == mediasoupproto.ProfileDefault
		})
	})
}

func TestMediasoupBotRestartsICEWhileMediaGoOn(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		bots := newBots(t, h, "alice", "bob")
		alice, bob := bots[0], bots[1]
		heard, seen := bob.flow(mediasoupproto.Audio, "alice"), bob.flow(mediasoupproto.Video, "alice")
		back := alice.flow(mediasoupproto.Video, "bob")
		const times = 3
		for range times {
			require.NoError(t, alice.Restart(bounded(t)))
			for _, f := range []*botFlow{heard, seen} {
				bob.goesOn(f)
			}
			alice.goesOn(back)
		}
		require.Equal(t, 2*times, h.restarts("alice"))
		for _, b := range bots {
			require.Empty(t, b.closedFlows())
			b.requireRunning()
		}
	})
}

func TestMediasoupBotLeavesAndComesAgain(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		bots := newBots(t, h, "alice", "bob")
		alice, bob := bots[0], bots[1]
		for range 2 {
			bob.forgets()
			seen := bob.flow(mediasoupproto.Video, "alice")
			alice.leaves(`"bye"`)
			isTold(bob, func(m *mediasoupproto.PeerClosed) bool {
				return m.Name == "alice" && sameAppData(m.AppData, `"bye"`)
			})
			require.NoError(t, bob.ends(seen))
			require.Equal(t, []string{"bob"}, alice.enter())
			alice.sends()
			meet(alice, bob)
		}
		alice.requireRunning()
		bob.requireRunning()
	})
}

func TestMediasoupBotIsThrownOutAndComesAgain(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		bots := newBots(t, h, "alice", "bob")
		alice, bob := bots[0], bots[1]
		seen, back := bob.flow(mediasoupproto.Video, "alice"), alice.flow(mediasoupproto.Video, "bob")
		h.throwsOut("alice")
		isTold(alice, func(m *mediasoupproto.Closed) bool { return sameAppData(m.AppData, byTest) })
		require.ErrorIs(t, alice.ends(back), mediasoupproto.ErrLeft)
		isTold(bob, func(m *mediasoupproto.PeerClosed) bool { return m.Name == "alice" && sameAppData(m.AppData, byTest) })
		require.NoError(t, bob.ends(seen))
		require.Equal(t, []string{"bob"}, alice.enter())
		alice.sends()
		meet(alice, bob)

		h.closesRoom()
		for _, b := range bots {
			isTold[*mediasoupproto.Closed](b, nil)
		}
	})
}

// TestMediasoupBotWhoseConnectionIsCutComesAgain has the bot publish again by itself, and get what
// the other one sends.
func TestMediasoupBotWhoseConnectionIsCutComesAgain(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		bob.sends()
		meet(alice, bob)
		for range 2 {
			alice.forgets()
			id := camera.ID()
			seen, back := bob.flow(mediasoupproto.Video, "alice"), alice.flow(mediasoupproto.Video, "bob")
			h.cutsOff("alice")
			isTold[*mediasoupproto.Reconnected](alice, nil)
			require.ErrorIs(t, alice.ends(back), mediasouppion.ErrDisconnected)
			require.NoError(t, bob.ends(seen))
			meet(alice, bob)
			require.NotEqual(t, id, camera.ID())
			require.NoError(t, camera.Err())
		}
		alice.requireRunning()
	})
}

func TestMediasoupBotIsToldThatTheServerClosesAProducer(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		for range 2 {
			seen := bob.gets(mediasoupproto.Video, "alice")
			h.tells("closeProducer", "alice", camera.ID())
			require.ErrorIs(t, alice.endsProducer(camera), mediasouppion.ErrClosedByServer)
			require.NoError(t, bob.ends(seen))
			camera = alice.publish(alice.video)
		}
		seen := bob.gets(mediasoupproto.Video, "alice")
		require.NoError(t, camera.Close())
		require.NoError(t, bob.ends(seen))
		require.NoError(t, camera.Err())
		bob.gets(mediasoupproto.Audio, "alice")
		alice.requireRunning()
		bob.requireRunning()
	})
}

// TestMediasoupBotIsToldThatTheServerClosesATransport has it send and receive over new ones.
func TestMediasoupBotIsToldThatTheServerClosesATransport(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		mic, camera := alice.sends()
		heard, seen := bob.gets(mediasoupproto.Audio, "alice"), bob.gets(mediasoupproto.Video, "alice")

		require.Len(t, h.transports("alice"), 1)
		h.tells("closeTransport", "alice", h.transports("alice")[0])
		for _, pr := range []*mediasouppion.Producer{mic, camera} {
			require.ErrorIs(t, alice.endsProducer(pr), mediasouppion.ErrClosedByServer)
		}
		for _, f := range []*botFlow{heard, seen} {
			require.NoError(t, bob.ends(f))
		}
		alice.sends()
		heard, seen = bob.gets(mediasoupproto.Audio, "alice"), bob.gets(mediasoupproto.Video, "alice")

		require.Len(t, h.transports("bob"), 1)
		h.tells("closeTransport", "bob", h.transports("bob")[0])
		for _, f := range []*botFlow{heard, seen} {
			require.ErrorIs(t, bob.ends(f), mediasouppion.ErrClosedByServer)
			_, err := bob.Consume(bounded(t), f.consumer.Info(), nil)
			require.NoError(t, err)
		}
		bob.gets(mediasoupproto.Audio, "alice")
		bob.gets(mediasoupproto.Video, "alice")
		alice.requireRunning()
		bob.requireRunning()
	})
}

// TestMediasoupBotClosesAConsumerAndGetsItAgain is about what the protocol has no word for.
func TestMediasoupBotClosesAConsumerAndGetsItAgain(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		alice.sends()
		for range 3 {
			bob.gets(mediasoupproto.Audio, "alice")
			seen := bob.gets(mediasoupproto.Video, "alice")
			require.NoError(t, seen.consumer.Close())
			require.NoError(t, bob.ends(seen))
			_, err := bob.Consume(bounded(t), seen.consumer.Info(), nil)
			require.NoError(t, err)
		}
		bob.gets(mediasoupproto.Video, "alice")
		bob.gets(mediasoupproto.Audio, "alice")
	})
}

func TestMediasoupBotReplacesATrack(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		other := joinMediasoup(t, h, "other", botPlan{}) // whose clip runs
		seen := bob.gets(mediasoupproto.Video, "alice")
		for _, track := range []*mediasoupBot{other, alice, other} {
			require.NoError(t, camera.ReplaceTrack(bounded(t), track.video))
			keyFrames := seen.keyFrames.Load()
			track.player.RequestKeyFrame()
			bob.goesOn(seen)
			eventually(t, "key frame", func() bool { return seen.keyFrames.Load() > keyFrames })
		}
		require.ErrorIs(t, camera.ReplaceTrack(bounded(t), alice.audio), mediasouppion.ErrCodec)
		bob.goesOn(seen)
	})
}

func TestMediasoupBotGetsStats(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		alice, bob := joinMediasoup(t, h, "alice", botPlan{}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		seen := bob.gets(mediasoupproto.Video, "alice")
		transport := h.transports("alice")[0]
		for _, b := range []*mediasoupBot{alice, bob} {
			b.forgets()
		}
		const interval = 1000 // ms, the least
		require.NoError(t, alice.client.Send(&mediasoupproto.EnableTransportStats{ID: transport, Interval: interval}))
		require.NoError(t, alice.client.Send(&mediasoupproto.EnableProducerStats{ID: camera.ID(), Interval: interval}))
		require.NoError(t, bob.client.Send(&mediasoupproto.EnableConsumerStats{ID: seen.consumer.ID(), Interval: interval}))
		isTold(alice, func(m *mediasoupproto.TransportStats) bool {
			all, err := m.Transport()
			require.NoError(t, err)
			require.Len(t, all, 1)
			s := all[0]
			return m.ID == transport && s.Type == mediasoupproto.StatsTransport && s.DTLSState == "connected" &&
				s.BytesReceived != nil && *s.BytesReceived > 0 && s.BytesSent != nil && *s.BytesSent > 0 &&
				s.ICESelectedTuple != nil && s.ICESelectedTuple.LocalIP == mediaIP(t)
		})
		isTold(alice, func(m *mediasoupproto.ProducerStats) bool {
			all, err := m.Streams()
			require.NoError(t, err)
			return m.ID == camera.ID() && len(all) == 1 && all[0].Type == mediasoupproto.StatsInboundRTP &&
				all[0].MimeType == "video/VP8" && all[0].PacketCount > 0 && all[0].ByteCount > 0 && all[0].Bitrate > 0
		})
		isTold(bob, func(m *mediasoupproto.ConsumerStats) bool {
			all, err := m.Streams()
			require.NoError(t, err)
			if m.ID != seen.consumer.ID() || m.PeerName != "alice" || len(all) != 2 {
				return false
			}
			in, out := all[0], all[1]
			return in.Type == mediasoupproto.StatsInboundRTP && out.Type == mediasoupproto.StatsOutboundRTP &&
				out.PacketCount > 0 && out.Bitrate > 0 && in.PacketCount > 0
		})
	})
}
