package interop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// TestMediasoupPageThatIsLoadedAgainComesAgain has a page go without a word, and its user come
// again by the same name.
func TestMediasoupPageThatIsLoadedAgainComesAgain(t *testing.T) {
	for _, browser := range []struct {
		name  string
		start func(*testing.T) *mediasoupBrowser
	}{{"Chromium", inChromium}, {"Firefox", inFirefox}} {
		t.Run(browser.name, func(t *testing.T) {
			s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
			alice := enterPage(t, s, browser.start(t), "alice")
			bot := joinMediasoup(t, s, "bot", botPlan{})
			bot.sends()
			for again := range 3 {
				if again > 0 {
					seen := bot.flow(mediasoupproto.Video, "alice")
					bot.forgets()
					alice.Reload()
					isTold(bot, func(m *mediasoupproto.PeerClosed) bool { return m.Name == "alice" })
					require.NoError(t, bot.ends(seen))
					alice.Await(`typeof user === 'object'`)
					alice.join(botRoom, "alice", nil)
				}
				alice.send("audio", nil)
				alice.send("video", nil)
				seeEachOtherWithBot(alice, bot)
				require.Len(t, s.peer(botRoom, "bot").Consumers, 2)
				alice.requireQuiet()
			}
			bot.requireRunning()
		})
	}
}

// TestMediasoupPageAndBotComeBackToOurServer has a server end and another one come at the same
// address. The page joins by itself, as mediasoup's demo does, and its user sends again; the bot
// does all by itself.
func TestMediasoupPageAndBotComeBackToOurServer(t *testing.T) {
	browser := inChromium(t)
	s, stop := startMediasoupSFUAt(t, "127.0.0.1:0", overProtoo, mediasoupproto.ServerOptions{}, nil)
	alice := enterPage(t, s, browser, "alice")
	bot := joinMediasoup(t, s, "bot", botPlan{})
	_, camera := bot.sends()
	for again := range 3 {
		if again > 0 {
			seen := bot.flow(mediasoupproto.Video, "alice")
			alice.forgets()
			bot.forgets()
			stop()
			alice.sees("line", wanted{"state": "disconnected"})
			address := strings.TrimPrefix(s.url, "ws://")
			s, stop = startMediasoupSFUAt(t, address, overProtoo, mediasoupproto.ServerOptions{}, nil)
			alice.sees("answered", wanted{"method": "join", "body": wanted{}})
			isTold[*mediasoupproto.Reconnected](bot, nil)
			require.ErrorIs(t, bot.ends(seen), mediasouppion.ErrDisconnected)
		}
		alice.send("audio", nil)
		alice.send("video", nil)
		seeEachOtherWithBot(alice, bot)
		require.NoError(t, camera.Err())
	}
	alice.requireQuiet()
	bot.requireRunning()
}
