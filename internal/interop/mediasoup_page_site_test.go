package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// buildExamples builds programs of the folder examples, and returns where they are.
func buildExamples(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	args := []string{"build", "-o", folder}
	for _, name := range names {
		args = append(args, "./examples/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return folder
}

// writes waits until a program has written what an expression means, and returns its groups.
func writes(t *testing.T, p *peer.Process, expression string) []string {
	t.Helper()
	re := regexp.MustCompile(expression)
	var found []string
	eventually(t, expression, func() bool {
		found = re.FindStringSubmatch(p.Output())
		require.True(t, found != nil || !p.Ended(), "the program has ended")
		return found != nil
	})
	return found
}

// TestMediasoupExampleWithoutMediaSaysWhatPagesDo has pages meet on examples/server-mediasoup.
func TestMediasoupExampleWithoutMediaSaysWhatPagesDo(t *testing.T) {
	folder := buildExamples(t, "server-mediasoup")
	b := inChromium(t)
	for framing, envelope := range map[string]string{
		"protoo": overProtoo, "protoo2": overProtoo2, "socketio": overSocketIO,
	} {
		t.Run(framing, func(t *testing.T) {
			p := peer.Start(t, exec.Command(filepath.Join(folder, "server-mediasoup"),
				"-addr", "127.0.0.1:0", "-any-origin", "-framing", framing))
			url := writes(t, p, `serving on (ws://[\d.:]+)`)[1]
			alice, bob := openMediasoupPage(t, b, url, envelope), openMediasoupPage(t, b, url, envelope)
			alice.join("room", "alice", wanted{"appData": wanted{"displayName": "Alice"}})
			bob.join("room", "bob", nil)
			mic := alice.send("audio", nil)
			bob.sees("answered", wanted{"method": "enableConsumer", "body": wanted{"paused": false}})
			for _, line := range []string{
				`alice joins room with the data "{.*Alice.*}"`, `bob joins room`, `alice opens transport \d+ to send`,
				fmt.Sprintf(`alice sends audio as producer %d`, mic), `bob opens transport \d+ to recv`,
				`bob receives consumer \d+`,
			} {
				writes(t, p, line)
			}
			require.JSONEq(t, `{}`, string(alice.asks("say", "change-display-name", wanted{"displayName": "A"}).Value))
			writes(t, p, `alice says change-display-name with the data "{.*}"`)
			require.Contains(t, alice.asks("say", "other", nil).Error, "unknown request method")
			alice.Run(`void user.hangup()`)
			writes(t, p, `alice has gone`)
			bob.sees("peer", wanted{"event": "close", "name": "alice"})
			bob.requireQuiet()
		})
	}
}

// A mediasoupSite is examples/server-mediasoup-sfu, with its page.
type mediasoupSite struct {
	t   *testing.T
	url string
}

// startMediasoupSite starts the example from a folder of buildExamples, with mediasoup-client
// bundled as its page says.
func startMediasoupSite(t *testing.T, folder string) *mediasoupSite {
	t.Helper()
	easyrtcNode(t, "esbuild", "mediasoup-client")
	client := filepath.Join(folder, "mediasoup-client.js")
	output, err := exec.Command(filepath.Join("node_modules", ".bin", "esbuild"), "mediasoup-client", "--bundle",
		"--format=iife", "--global-name=mediasoupClient", "--define:global=globalThis", "--outfile="+client).CombinedOutput()
	require.NoError(t, err, "%s", output)
	p := peer.Start(t, exec.Command(filepath.Join(folder, "server-mediasoup-sfu"),
		"-addr", "127.0.0.1:0", "-ip", mediaIP(t), "-client", client))
	return &mediasoupSite{t, writes(t, p, `serving on (http://\S+/)`)[1]}
}

// A mediasoupVisitor is the page of the example.
type mediasoupVisitor struct {
	mediasoupTab
	t    *testing.T
	text func(js string) string
	name string
}

// visit opens the page in a browser and joins.
func (s *mediasoupSite) visit(b *mediasoupBrowser, name string) *mediasoupVisitor {
	s.t.Helper()
	tab, text := b.open(s.t, s.url+"#room=lobby&name="+name)
	v := &mediasoupVisitor{tab, s.t, text, name}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("page of %s says:\n%s", name, text(`document.getElementById('log').textContent`))
		}
	})
	v.joins()
	return v
}

func (v *mediasoupVisitor) joins() {
	v.t.Helper()
	v.Run(`document.getElementById('log').textContent = '', document.getElementById('join').click()`)
	v.reads("joined\n")
}

// reads waits for a line of the page.
func (v *mediasoupVisitor) reads(line string) {
	v.t.Helper()
	v.Await(fmt.Sprintf(`document.getElementById('log').textContent.includes(%q)`, line))
}

// clicks presses a button.
func (v *mediasoupVisitor) clicks(id string) {
	v.t.Helper()
	v.Run(fmt.Sprintf(`document.getElementById(%q).click()`, id))
}

// shows waits until the page plays further pictures of somebody. Firefox counts those of a
// connection in a property of its own.
func (v *mediasoupVisitor) shows(name string) {
	v.t.Helper()
	video := fmt.Sprintf(`document.querySelector('figure[data-peer="%s"] video')`, name)
	v.Await(video + ` !== null`)
	v.Run(`window.shown = v => v.mozPaintedFrames ?? v.getVideoPlaybackQuality().totalVideoFrames`)
	v.Run(`window.before = shown(` + video + `)`)
	v.Await(`shown(` + video + `) > before + 5`)
	v.Await(video + `.srcObject.getTracks().map(t => t.kind).sort().join() === 'audio,video'`)
}

// TestMediasoupPageOfTheExampleMeetsOthersAndBots runs the examples as their comments say.
func TestMediasoupPageOfTheExampleMeetsOthersAndBots(t *testing.T) {
	folder := buildExamples(t,
		"server-mediasoup-sfu", "bot-mediasoup-publisher", "bot-mediasoup-echo", "bot-mediasoup-recorder")
	s := startMediasoupSite(t, folder)
	server := strings.Replace(strings.TrimSuffix(s.url, "/"), "http", "ws", 1)
	bot := func(name string, more ...string) *peer.Process {
		return peer.Start(t, exec.Command(filepath.Join(folder, name), append([]string{"-server", server}, more...)...))
	}
	publisher := bot("bot-mediasoup-publisher")
	writes(t, publisher, `sending to lobby, others there: 0`)

	start := time.Now()
	alice := s.visit(inChromium(t), "alice")
	alice.shows("publisher")
	bob := s.visit(inFirefox(t), "bob")
	bob.shows("publisher")
	bob.shows("alice")
	alice.shows("bob")
	t.Logf("all see each other after %v", time.Since(start).Round(time.Millisecond))
	writes(t, publisher, `alice has joined\nbob has joined`)

	echo := bot("bot-mediasoup-echo")
	for _, name := range []string{"publisher", "alice", "bob"} {
		writes(t, echo, `sending video of `+name+` back`)
	}
	alice.reads("video of echo\n")
	alice.shows("bob")

	alice.clicks("restart")
	alice.shows("bob")
	bob.shows("alice")
	alice.clicks("pause")
	alice.Await(`document.getElementById('pause').textContent === 'Resume'`)
	alice.clicks("pause")
	bob.shows("alice")

	into := t.TempDir()
	recorder := bot("bot-mediasoup-recorder", "-into", into, "-for", "6s")
	for _, kind := range []string{"alice-audio.ogg", "alice-video.ivf", "bob-video.ivf", "publisher-audio.ogg"} {
		packets := writes(t, recorder, `\d+-`+kind+`: (\d+) packets`)
		require.Greater(t, len(packets[1]), 1, "%s: %s packets", kind, packets[1]) // ten at least
	}

	alice.clicks("leave")
	bob.reads("alice has gone\n")
	require.Equal(t, "null", bob.text(`String(document.querySelector('figure[data-peer="alice"]'))`))
	alice.joins()
	alice.shows("bob")
	bob.shows("alice")
	require.Empty(t, alice.Exceptions())
	require.Empty(t, bob.Exceptions())
}
