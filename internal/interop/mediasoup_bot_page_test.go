package interop

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// onMediasoupPages runs a test with a browser, on the real server and on ours at the same time, but
// not at that of other tests: browsers need the processor.
func onMediasoupPages(
	t *testing.T, browser func(*testing.T) *mediasoupBrowser,
	test func(t *testing.T, h mediasoupHost, b *mediasoupBrowser),
) {
	t.Helper()
	b := browser(t)
	t.Log(b.version)
	for _, host := range mediasoupHosts {
		t.Run(host.name, func(t *testing.T) {
			t.Parallel()
			test(t, host.start(t, overProtoo), b)
		})
	}
}

// enterPage opens a page that joins the room.
func enterPage(t *testing.T, h mediasoupHost, b *mediasoupBrowser, name string) *mediasoupPage {
	t.Helper()
	url, envelope := h.where()
	p := openMediasoupPage(t, b, url, envelope)
	p.join(botRoom, name, nil)
	return p
}

// echoMediasoup has a bot join that sends back what it gets of somebody.
func echoMediasoup(t *testing.T, h mediasoupHost, of string) *mediasoupBot {
	t.Helper()
	living, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	return joinMediasoup(t, h, "echo", botPlan{onTrack: func(b *mediasoupBot, f *botFlow) *webrtc.TrackLocalStaticRTP {
		if f.consumer.PeerName() != of {
			return nil
		}
		mime := webrtc.MimeTypeVP8
		if f.consumer.Kind() == mediasoupproto.Audio {
			mime = webrtc.MimeTypeOpus
		}
		track, err := webrtc.NewTrackLocalStaticRTP(
			webrtc.RTPCodecCapability{MimeType: mime}, string(f.consumer.Kind()), "echo")
		if err == nil {
			_, err = b.Publish(living, track, &mediasouppion.PublishOptions{
				OnKeyFrame: func(webrtc.TrackLocal) { _ = f.consumer.RequestKeyFrame() }, // it may be over
			})
		}
		if err != nil {
			b.failed.add(err)
			return nil
		}
		return track
	}})
}

// seeEachOtherWithBot demands that a page decodes what a bot sends, and that the bot gets what
// the page sends.
func seeEachOtherWithBot(p *mediasoupPage, b *mediasoupBot) {
	b.t.Helper()
	for _, kind := range []mediasoupproto.Kind{mediasoupproto.Audio, mediasoupproto.Video} {
		b.t.Logf("%s: %+v", p.name, p.decodes(string(kind), b.name))
		f := b.gets(kind, p.name)
		b.t.Logf("%s: %s of %s: %d packets, %d key frames",
			b.name, kind, p.name, f.packets.Load(), f.keyFrames.Load())
	}
}

func testMediasoupPageAndBots(t *testing.T, h mediasoupHost, browser *mediasoupBrowser) {
	alice := enterPage(t, h, browser, "alice")
	alice.send("audio", nil)
	bot := joinMediasoup(t, h, "bot", botPlan{})
	_, camera := bot.sends()
	alice.sees("peer", wanted{"event": "newpeer", "name": "bot", "appData": wanted{"displayName": "a bot"}})
	alice.sees("consumer", wanted{"event": "newconsumer", "peer": "bot", "appData": wanted{"source": "clip"}})
	alice.send("video", nil)
	seeEachOtherWithBot(alice, bot)
	f := bot.flow(mediasoupproto.Video, "alice")
	require.Equal(t, webrtc.MimeTypeVP8, f.track.Codec().MimeType)
	keyFrames := f.keyFrames.Load()
	require.NoError(t, f.consumer.RequestKeyFrame())
	eventually(t, "key frame of the page", func() bool { return f.keyFrames.Load() > keyFrames })

	echo := echoMediasoup(t, h, "alice")
	alice.decodes("audio", "echo")
	t.Logf("echo: %+v", alice.decodes("video", "echo"))
	bot.gets(mediasoupproto.Video, "echo")

	require.NoError(t, bot.Restart(bounded(t)))
	alice.does("restartIce")
	alice.Await(alice.js("entries", "answered", wanted{"method": "restartTransport"}) + `.length === 2`)
	seeEachOtherWithBot(alice, bot)
	alice.decodes("video", "echo")

	h.tells("closeProducer", "bot", camera.ID())
	require.ErrorIs(t, bot.endsProducer(camera), mediasouppion.ErrClosedByServer)
	alice.sees("consumer", wanted{"event": "close", "peer": "bot", "kind": "video", "originator": "remote"})
	bot.publish(bot.video)
	seeEachOtherWithBot(alice, bot)

	bot.leaves(`{"why":"bye"}`)
	alice.sees("peer", wanted{
		"event": "close", "name": "bot", "originator": "remote", "appData": wanted{"why": "bye"},
	})
	alice.forgets()
	require.ElementsMatch(t, []string{"alice", "echo"}, bot.enter())
	bot.sends()
	alice.sees("peer", wanted{"event": "newpeer", "name": "bot"})
	seeEachOtherWithBot(alice, bot)

	f = bot.flow(mediasoupproto.Video, "alice")
	alice.does("leave", wanted{"why": "tired"})
	isTold(bot, func(m *mediasoupproto.PeerClosed) bool {
		return m.Name == "alice" && sameAppData(m.AppData, `{"why":"tired"}`)
	})
	require.NoError(t, bot.ends(f))
	alice.requireQuiet()
	for _, b := range []*mediasoupBot{bot, echo} {
		b.requireRunning()
		failures, _ := b.failed.from(0)
		require.Empty(t, failures)
	}
}

func TestMediasoupChromiumAndBotsMeet(t *testing.T) {
	onMediasoupPages(t, inChromium, testMediasoupPageAndBots)
}

func TestMediasoupFirefoxAndBotsMeet(t *testing.T) {
	onMediasoupPages(t, inFirefox, testMediasoupPageAndBots)
}

// TestMediasoupPageAndBotPauseOnEverySide has a page that sends to a bot, and a bot that sends to
// a page.
func TestMediasoupPageAndBotPauseOnEverySide(t *testing.T) {
	onMediasoupPages(t, inChromium, func(t *testing.T, h mediasoupHost, browser *mediasoupBrowser) {
		alice := enterPage(t, h, browser, "alice")
		alice.send("audio", nil)
		ofAlice := alice.send("video", nil)
		bot := joinMediasoup(t, h, "bot", botPlan{})
		_, camera := bot.sends()
		seeEachOtherWithBot(alice, bot)
		sound, picture := bot.flow(mediasoupproto.Audio, "alice"), bot.flow(mediasoupproto.Video, "alice")
		seen := gets[struct{ ID uint32 }](alice, "last", "consumer",
			wanted{"event": "newconsumer", "peer": "bot", "kind": "video"}).ID

		for _, way := range []struct {
			name          string
			pause, resume func()
			told          bool
		}{
			{
				"the page that sends",
				func() { alice.does("pauseProducer", ofAlice) }, func() { alice.does("resumeProducer", ofAlice) }, true,
			},
			{
				"the bot that receives",
				func() { require.NoError(t, picture.consumer.Pause(nil)) },
				func() { require.NoError(t, picture.consumer.Resume(nil)) }, false,
			},
			{
				"the server, of the page's producer",
				func() { h.tells("pauseProducer", "alice", ofAlice) },
				func() { h.tells("resumeProducer", "alice", ofAlice) }, true,
			},
			{
				"the server, of the bot's consumer",
				func() { h.tells("pauseConsumer", "bot", picture.consumer.ID()) },
				func() { h.tells("resumeConsumer", "bot", picture.consumer.ID()) }, true,
			},
		} {
			bot.forgets()
			way.pause()
			if way.told {
				isTold(bot, func(m *mediasoupproto.ConsumerPaused) bool { return m.ID == picture.consumer.ID() })
			}
			bot.fallsSilent(picture, sound)
			keyFrames := picture.keyFrames.Load()
			way.resume()
			eventually(t, "key frame after a pause by "+way.name, func() bool {
				return picture.keyFrames.Load() > keyFrames
			})
			bot.goesOn(picture)
			require.False(t, picture.consumer.Paused())
		}

		for _, way := range []struct {
			name          string
			pause, resume func()
			told          bool
		}{
			{
				"the bot that sends",
				func() { require.NoError(t, camera.Pause(nil)) }, func() { require.NoError(t, camera.Resume(nil)) }, true,
			},
			{
				"the page that receives",
				func() { alice.does("pauseConsumer", seen) }, func() { alice.does("resumeConsumer", seen) }, false,
			},
			{
				"the server, of the bot's producer",
				func() { h.tells("pauseProducer", "bot", camera.ID()) },
				func() { h.tells("resumeProducer", "bot", camera.ID()) }, true,
			},
			{
				"the server, of the page's consumer",
				func() { h.tells("pauseConsumer", "alice", seen) },
				func() { h.tells("resumeConsumer", "alice", seen) }, true,
			},
		} {
			alice.forgets()
			way.pause()
			if way.told {
				alice.sees("consumer", wanted{"event": "pause", "id": seen, "originator": "remote"})
			}
			alice.hearsButSeesNothing("bot")
			way.resume()
			if way.told {
				alice.sees("consumer", wanted{"event": "resume", "id": seen, "originator": "remote"})
			}
			t.Logf("after a pause by %s: %+v", way.name, alice.decodes("video", "bot"))
		}
		alice.requireQuiet()
		bot.requireRunning()
	})
}

// TestMediasoupBotChoosesAmongStreamsOfAPage goes down and up again, by itself and by the server
// application. Firefox says no SSRCs but RIDs, which need all header extensions of mediasoup.
func TestMediasoupBotChoosesAmongStreamsOfAPage(t *testing.T) {
	caps, err := mediasoupproto.GenerateRoomRTPCapabilities(mediasoupproto.DefaultCodecs())
	require.NoError(t, err)
	for _, c := range []struct {
		name    string
		browser func(*testing.T) *mediasoupBrowser
	}{{"Chromium", inChromium}, {"Firefox", inFirefox}} {
		t.Run(c.name, func(t *testing.T) {
			browser := c.browser(t)
			t.Run("mediasoup 2.6.19", func(t *testing.T) {
				testMediasoupBotChooses(t, startMediasoup(t, overProtoo), browser)
			})
			t.Run("ours", func(t *testing.T) {
				testMediasoupBotChooses(t, startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{
					ServerConfig: mediasoupproto.ServerConfig{Capabilities: caps},
				}), browser)
			})
		})
	}
}

func testMediasoupBotChooses(t *testing.T, h mediasoupHost, browser *mediasoupBrowser) {
	alice := enterPage(t, h, browser, "alice")
	alice.send("audio", nil)
	alice.send("video", wanted{
		"simulcast":   wanted{"low": 100_000, "medium": 400_000, "high": 1_500_000},
		"constraints": wanted{"width": wanted{"exact": 640}, "height": wanted{"exact": 480}},
	})
	bot := joinMediasoup(t, h, "bot", botPlan{})
	f := bot.gets(mediasoupproto.Video, "alice")
	is := func(want mediasoupproto.Profile) {
		t.Helper()
		eventually(t, string(want), func() bool { return f.consumer.EffectiveProfile() == want })
		bot.goesOn(f)
	}
	for range 2 {
		require.NoError(t, f.consumer.SetPreferredProfile(mediasoupproto.ProfileLow))
		is(mediasoupproto.ProfileLow)
		keyFrames := f.keyFrames.Load()
		require.NoError(t, f.consumer.SetPreferredProfile(mediasoupproto.ProfileMedium))
		is(mediasoupproto.ProfileMedium)
		eventually(t, "key frame of another stream", func() bool { return f.keyFrames.Load() > keyFrames })
	}
	bot.forgets()
	h.prefers("bot", f.consumer.ID(), mediasoupproto.ProfileLow)
	isTold(bot, func(m *mediasoupproto.ConsumerPreferredProfileSet) bool {
		return m.ID == f.consumer.ID() && m.Profile == mediasoupproto.ProfileLow
	})
	isTold(bot, func(m *mediasoupproto.ConsumerEffectiveProfileChanged) bool {
		return m.ID == f.consumer.ID() && m.Profile == mediasoupproto.ProfileLow
	})
	require.Equal(t, mediasoupproto.ProfileLow, f.consumer.PreferredProfile())
	bot.goesOn(f)
	alice.requireQuiet()
	bot.requireRunning()
}

// TestMediasoupBotAndPageHearTheApplication is about messages of the application's own.
func TestMediasoupBotAndPageHearTheApplication(t *testing.T) {
	s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
	alice := enterPage(t, s, inChromium(t), "alice")
	bot := joinMediasoup(t, s, "bot", botPlan{})
	news := &mediasoupproto.Application{Method: "news", Data: json.RawMessage(`{"n":1}`)}
	require.NoError(t, s.srv.SendRoom(botRoom, news))
	alice.sees("told", wanted{"method": "news", "data": wanted{"n": 1}})
	isTold(bot, func(m *mediasoupproto.Application) bool { return m.Method == "news" && sameAppData(m.Data, `{"n":1}`) })
}
