package msepion_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A hall is a server with rooms.
type hall struct {
	*world
	rooms    *msepion.Rooms
	warnings *heard.Record[string]
}

func newHall(t *testing.T, opts msepion.RoomsOptions) *hall {
	t.Helper()
	return newLimitedHall(t, opts, msejsonrpc.Limits{Messages: -1, Bytes: -1})
}

func newLimitedHall(t *testing.T, opts msepion.RoomsOptions, limits msejsonrpc.Limits) *hall {
	t.Helper()
	h := &hall{warnings: heard.New[string]()}
	opts.Settings = loopback.Settings()
	opts.Logger = heard.Warnings(h.warnings)
	h.rooms = msepion.NewRooms(&opts)
	h.world = newWorld(t, msejsonrpc.ServerOptions{
		Handle: h.rooms.Handle,
		Limits: limits,
	})
	return h
}

// join brings a member in, who runs.
func (h *hall) join(token string, p plan) *bot {
	h.t.Helper()
	b, _ := h.joinOver(token, p)
	return b
}

// joinOver returns what the server says to the member, too.
func (h *hall) joinOver(token string, p plan) (*bot, *wire) {
	h.t.Helper()
	up, down := h.dial()
	b := newBot(h.t, p, h.signal(up, token, &msejsonrpc.ClientOptions{Form: p.form}))
	b.run()
	return b, down
}

// number returns the session of the only member of this token.
func (h *hall) number(token string) msejsonrpc.PeerID {
	h.t.Helper()
	for s := range h.server.Sessions() {
		if i := s.Identity(); i != nil && strings.Join([]string{i.Domain, i.RoomID, i.UserID}, "/") == token {
			return s.ID()
		}
	}
	require.FailNow(h.t, "no session of "+token)
	return 0
}

// of is how a track of that member is called at the others.
func (h *hall) of(token, id string) string {
	h.t.Helper()
	return fmt.Sprintf("%d.%s/%s", h.number(token), id, id)
}

func sending(tracks ...webrtc.TrackLocal) plan {
	return plan{tracks: tracks, opts: msepion.Options{OfferAfter: 1}}
}

func withLabels(labels ...string) plan {
	return plan{opts: msepion.Options{OfferAfter: 1, Labels: labels}}
}

func TestEachMemberOfARoomGetsTheTracksOfTheOthers(t *testing.T) {
	t.Parallel()
	for _, form := range []msejsonrpc.Form{msejsonrpc.FormString, msejsonrpc.FormObject} {
		t.Run(fmt.Sprint(form), func(t *testing.T) {
			t.Parallel()
			h := newHall(t, msepion.RoomsOptions{})
			tokens := []string{"d/r/a", "d/r/b", "d/r/c"}
			bots := make(map[string]*bot)
			for _, token := range tokens {
				p := sending(piontest.Video(t, "v"), piontest.Sound(t, "a"))
				p.form = form
				bots[token] = h.join(token, p)
			}
			for _, token := range tokens {
				var others []string
				for _, other := range tokens {
					if other != token {
						others = append(others, h.of(other, "v"), h.of(other, "a"))
					}
				}
				bots[token].flows.RequireMedia(t, others...)
				bots[token].flows.RequireOnly(t, others...)
			}
			require.Equal(t, 3, h.rooms.Members("d", "r"))

			staying := []string{h.of("d/r/b", "v"), h.of("d/r/b", "a")}
			require.NoError(t, bots["d/r/a"].client.Disconnect())
			bots["d/r/c"].flows.RequireOnly(t, staying...)
			bots["d/r/c"].flows.RequireMedia(t, staying...)
			require.Equal(t, 2, h.rooms.Members("d", "r"))

			added := piontest.Sound(t, "later")
			bots["d/r/b"].AddTrack(added)
			bots["d/r/c"].flows.RequireMedia(t, append(staying, h.of("d/r/b", "later"))...)
			bots["d/r/b"].RemoveTrack(added)
			bots["d/r/c"].flows.RequireOnly(t, staying...)
			for _, b := range bots {
				b.requireQuiet()
			}
			require.Empty(t, h.warnings.All())
		})
	}
}

func TestMemberWhoSendsNothingGetsEverything(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	early := h.join("d/r/early", plan{})
	h.join("d/r/a", sending(piontest.Video(t, "v")))
	early.awaitConnected()
	want := h.of("d/r/a", "v")
	early.flows.RequireMedia(t, want)
	late := h.join("d/r/late", plan{})
	late.flows.RequireMedia(t, want)
	early.flows.RequireOnly(t, want)
}

func TestRoomsAreSeparate(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	tokens := []string{"d/r/a", "d/other/a", "other/r/a"}
	members := make(map[string]*bot)
	for _, token := range tokens {
		p := sending(piontest.Video(t, "v"))
		p.opts.Labels = []string{"chat"}
		members[token] = h.join(token, p)
		members[token].awaitOpen("chat")
	}
	for _, token := range tokens {
		second := strings.TrimSuffix(token, "a") + "b"
		p := withLabels("chat")
		members[second] = h.join(second, p)
		members[second].flows.RequireMedia(t, h.of(token, "v"))
		members[second].awaitOpen("chat")
	}
	for _, token := range tokens {
		second := strings.TrimSuffix(token, "a") + "b"
		h.awaitRelay(members[token], members[second], "chat")
		members[second].flows.RequireOnly(t, h.of(token, "v"))
		members[token].flows.RequireOnly(t)
		require.Equal(t, 2, h.rooms.Members(strings.Split(token, "/")[0], strings.Split(token, "/")[1]))
	}
	for token, m := range members {
		for _, s := range m.texts.All() {
			require.Equal(t, "probe", s.data, token)
		}
	}
	require.Zero(t, h.rooms.Members("other", "other"))
}

// awaitRelay returns when what from says on a channel reaches to. The server learns in
// its own time that a channel is open.
func (h *hall) awaitRelay(from, to *bot, label string) {
	h.t.Helper()
	timeout := time.After(heard.Patience)
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for {
		require.NoError(h.t, from.Channel(label).SendText("probe"))
		select {
		case <-probe.C:
		case <-timeout:
			require.FailNow(h.t, "nothing is relayed")
		}
		if _, found := to.texts.Take(func(s said) bool { return s == said{label, "probe", true} }); found {
			return
		}
	}
}

func TestFullRoomClosesWithTryAgainLater(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{Members: 2})
	h.join("d/r/a", withLabels("x")).awaitConnected()
	leaver, leaving := h.joinOver("d/r/b", withLabels("x"))
	leaver.awaitConnected() // or else the third might be there first
	third := h.join("d/r/c", plan{})
	e, ok := errors.AsType[*transport.CloseError](heard.Next(t, "end of Run", third.ran))
	require.True(t, ok)
	require.Equal(t, &transport.CloseError{Code: transport.StatusTryAgainLater, Reason: "room is full"}, e)
	require.Equal(t, 2, h.rooms.Members("d", "r"))
	h.join("d/other/a", plan{})

	require.NoError(t, leaver.client.Disconnect())
	leaving.awaitServed()
	require.Equal(t, 1, h.rooms.Members("d", "r"))
	fourth := h.join("d/r/d", withLabels("x"))
	fourth.awaitConnected()
	require.Empty(t, fourth.ran.All())
}

func TestRoomsHaveNoLimitsWhenToldSo(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{Members: -1, Tracks: -1})
	var tracks []webrtc.TrackLocal
	for i := range msepion.DefaultTracks + 1 {
		tracks = append(tracks, piontest.Sound(t, fmt.Sprint("a", i)))
	}
	h.join("d/r/a", sending(tracks...))
	viewer := h.join("d/r/b", plan{})
	var want []string
	for _, track := range tracks {
		want = append(want, h.of("d/r/a", track.ID()))
	}
	viewer.flows.RequireOnly(t, want...)
}

func TestTracksOverTheLimitOfAMemberAreNotForwarded(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{Tracks: 2})
	tracks := []webrtc.TrackLocal{piontest.Sound(t, "1"), piontest.Sound(t, "2"), piontest.Sound(t, "3")}
	sender := h.join("d/r/a", sending(tracks...))
	viewer := h.join("d/r/b", plan{})
	warning := heard.Next(t, "warning", h.warnings)
	require.Contains(t, warning, msepion.ErrTooManyTracks.Error())
	forwarded := func() (names []string) {
		viewer.flows.Await(t, "two tracks", func(flows []*piontest.Flow) bool {
			names = nil
			for _, f := range flows {
				if !f.Ended {
					names = append(names, f.Name)
				}
			}
			return len(names) == 2
		})
		return names
	}
	names := forwarded()
	viewer.flows.RequireMedia(t, names...)
	another := h.join("d/r/c", sending(piontest.Sound(t, "v")))
	another.flows.RequireMedia(t, names...)
	another.flows.RequireOnly(t, names...)

	// A track that goes makes room for one that comes.
	for _, track := range tracks {
		if slices.Contains(names, h.of("d/r/a", track.ID())) {
			sender.RemoveTrack(track)
			names = slices.DeleteFunc(names, func(n string) bool { return n == h.of("d/r/a", track.ID()) })
			break
		}
	}
	another.flows.RequireOnly(t, names...)
	sender.AddTrack(piontest.Sound(t, "4"))
	another.flows.RequireMedia(t, append(names, h.of("d/r/a", "4"))...)
	require.Empty(t, sender.ran.All())
}

func TestKeyFrameIsAskedFromTheMemberWhoSendsTheTrack(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	a := h.join("d/r/a", sending(piontest.Video(t, "one"), piontest.Video(t, "two")))
	b := h.join("d/r/b", sending(piontest.Video(t, "one")))
	viewer := h.join("d/r/c", plan{})
	wanted := h.of("d/r/a", "two")
	viewer.flows.RequireMedia(t, wanted, h.of("d/r/a", "one"), h.of("d/r/b", "one"))
	track := viewer.flows.Require(t, wanted).Track

	// Others ask when they are connected: more often than that is this viewer.
	const asked = 4
	timeout := time.After(heard.Patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	begin := time.Now()
	for heard := 0; heard < asked; {
		require.NoError(t, viewer.RequestKeyFrame(track))
		select {
		case <-again.C:
		case <-timeout:
			require.FailNow(t, "not asked")
		}
		if _, found := a.keyFrames.Take(func(id string) bool { return id == "two" }); found {
			heard++
		}
	}
	require.Greater(t, time.Since(begin), time.Second, "it is asked twice a second at most")
	require.Less(t, len(a.keyFrames.All()), asked)
	require.Less(t, len(b.keyFrames.All()), asked)
}

func TestDataGoesToThoseWhoHaveAChannelOfThatLabel(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	a := h.join("d/r/a", withLabels("chat", "pad"))
	b := h.join("d/r/b", withLabels("chat", "pad"))
	c := h.join("d/r/c", withLabels("chat"))
	d := h.join("d/r/d", withLabels("other"))
	d.awaitOpen("other")
	for _, pair := range [][2]*bot{{a, b}, {b, a}, {a, c}, {c, b}} {
		pair[0].awaitOpenOnce("chat")
		pair[1].awaitOpenOnce("chat")
		h.awaitRelay(pair[0], pair[1], "chat")
	}
	a.awaitOpenOnce("pad")
	b.awaitOpenOnce("pad")
	h.awaitRelay(a, b, "pad")

	require.NoError(t, a.Channel("pad").SendText("on the pad"))
	require.NoError(t, a.Channel("chat").SendText("text"))
	require.NoError(t, a.Channel("chat").Send([]byte{0, 1, 2}))
	require.NoError(t, a.Channel("chat").SendText("last"))
	for _, m := range []*bot{b, c} {
		for _, want := range []said{{"chat", "text", true}, {"chat", "\x00\x01\x02", false}, {"chat", "last", true}} {
			got := heard.Await(t, "message", m.texts, func(s said) bool { return s.label == "chat" && s.data != "probe" })
			require.Equal(t, want, got, "in order")
		}
	}
	heard.Await(t, "message on the pad", b.texts, func(s said) bool { return s == said{"pad", "on the pad", true} })
	for _, m := range []*bot{a, c, d} {
		for _, s := range m.texts.All() {
			require.Equal(t, "probe", s.data)
			require.Equal(t, "chat", s.label)
		}
	}
	require.Empty(t, d.texts.All())
}

// awaitOpenOnce waits for a channel to be open, which may have been awaited.
func (b *bot) awaitOpenOnce(label string) {
	b.t.Helper()
	if b.Channel(label) == nil || b.Channel(label).ReadyState() != webrtc.DataChannelStateOpen {
		b.awaitOpen(label)
	}
}

func TestMemberWhoDoesNotReadAChannelIsTakenOutOfTheRoomAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	h := newHall(t, msepion.RoomsOptions{})
	h.rooms.SetPatience(3 * time.Second) // the reader may be slow on a busy machine
	stop := make(chan struct{})
	release := sync.OnceFunc(func() { close(stop) })
	stuck := withLabels("chat")
	opened := heard.New[bool]()
	stuck.opts.OnChannel = func(ch *webrtc.DataChannel) {
		ch.OnOpen(func() { opened.Add(true) })
		ch.OnMessage(func(webrtc.DataChannelMessage) { <-stop })
	}
	sleeper := h.join("d/r/sleeper", stuck)
	t.Cleanup(release) // before the end of the sleeper, which waits for its hook
	talkerPlan := withLabels("chat")
	talkerPlan.tracks = []webrtc.TrackLocal{piontest.Video(t, "v")}
	talker, reader := h.join("d/r/talker", talkerPlan), h.join("d/r/reader", withLabels("chat"))
	heard.Next(t, "channel", opened)
	talker.awaitOpen("chat")
	reader.awaitOpen("chat")
	h.awaitRelay(talker, reader, "chat")
	h.awaitRelay(reader, talker, "chat")

	// More than the windows and buffers on the way to the sleeper hold.
	const messages = 200
	block := strings.Repeat("x", 32<<10)
	low := make(chan struct{}, 1)
	ch := talker.Channel("chat")
	ch.SetBufferedAmountLowThreshold(64 << 10)
	ch.OnBufferedAmountLow(func() {
		select {
		case low <- struct{}{}:
		default:
		}
	})
	timeout := time.After(heard.Patience)
	for range messages {
		require.NoError(t, ch.SendText(block))
		for ch.BufferedAmount() > 256<<10 {
			select {
			case <-low:
			case <-timeout:
				require.FailNow(t, "the talker is kept waiting")
			}
		}
	}
	for range messages {
		heard.Await(t, "block", reader.texts, func(s said) bool { return len(s.data) == len(block) })
	}
	select {
	case <-sleeper.client.Done():
	case <-timeout:
		require.FailNow(t, "the sleeper stays")
	}
	release()
	e, ok := errors.AsType[*transport.CloseError](heard.Next(t, "end of Run", sleeper.ran))
	require.True(t, ok)
	require.Equal(t, transport.StatusInternalError, e.Code)
	require.Equal(t, 2, h.rooms.Members("d", "r"))
	require.Contains(t, heard.Next(t, "warning", h.warnings), "does not read")
	reader.flows.RequireMedia(t, h.of("d/r/talker", "v"))
	require.Empty(t, talker.ran.All())
	require.Empty(t, reader.ran.All())
}
