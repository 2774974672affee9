package msepion_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A description of nobody has all that Pion looks for, but no address.
const (
	sessionOfNobody = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:aaaa\r\na=ice-pwd:bbbbbbbbbbbbbbbbbbbbbbbb\r\n" +
		"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
	dataOfNobody   = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\n"
	offerOfNobody  = sessionOfNobody + "a=setup:actpass\r\n" + dataOfNobody
	answerOfNobody = sessionOfNobody + "a=setup:active\r\n" + dataOfNobody
)

// candidateOfNobody is a line with an address where nobody is.
func candidateOfNobody(i int) string {
	return fmt.Sprintf("candidate:%d 1 udp 2130706431 127.0.0.1 %d typ host", i, 1+i%1000)
}

// offer and candidate are messages with any JSON value.
func offer(value any) string     { return notification("sdpOffer", "offer", value) }
func candidate(value any) string { return notification("iceCandidate", "candidate", value) }

func notification(method, member string, value any) string {
	b, err := json.Marshal(map[string]any{
		"id": nil, "jsonrpc": "2.0", "method": method, "params": map[string]any{member: value},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

type object = map[string]any

// newBusyHall makes a room in which two members exchange media and messages; undisturbed
// checks that they still do.
func newBusyHall(t *testing.T, limits msejsonrpc.Limits) (h *hall, undisturbed func()) {
	t.Helper()
	h = newLimitedHall(t, msepion.RoomsOptions{}, limits)
	p := sending(piontest.Video(t, "v"))
	p.opts.Labels = []string{"chat"}
	a := h.join("d/r/a", p)
	p.tracks = []webrtc.TrackLocal{piontest.Sound(t, "v")}
	b := h.join("d/r/b", p)
	a.awaitOpen("chat")
	b.awaitOpen("chat")
	undisturbed = func() {
		t.Helper()
		a.flows.RequireMedia(t, h.of("d/r/b", "v"))
		b.flows.RequireMedia(t, h.of("d/r/a", "v"))
		h.awaitRelay(a, b, "chat")
		h.awaitRelay(b, a, "chat")
		a.flows.RequireOnly(t, h.of("d/r/b", "v"))
		b.flows.RequireOnly(t, h.of("d/r/a", "v"))
		a.requireQuiet()
		b.requireQuiet()
		require.Empty(t, a.ran.All())
		require.Empty(t, b.ran.All())
	}
	undisturbed()
	return h, undisturbed
}

// awaitAnswerOrEnd returns whether the session has ended, with the code, before the server
// answered an offer.
func awaitAnswerOrEnd(t *testing.T, c *msejsonrpc.Client, down *wire) (code transport.StatusCode, ended bool) {
	t.Helper()
	timeout := time.After(heard.Patience)
	for {
		if _, answers := down.count(); answers > 0 {
			return 0, false
		}
		select {
		case <-down.said.More():
		case <-c.Done():
			e, ok := errors.AsType[*transport.CloseError](c.Err())
			require.True(t, ok, "%v", c.Err())
			return e.Code, true
		case <-timeout:
			require.FailNow(t, "neither an answer nor an end")
		}
	}
}

func TestNonsenseOfAMemberIsRefusedAndNobodyElseNotices(t *testing.T) {
	t.Parallel()
	const section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
	without := func(old, with string) string { return strings.ReplaceAll(offerOfNobody, old, with) }
	refused := []string{
		offer(nil), offer(1), offer(true), offer([]string{}), offer(""), offer("x"),
		offer(object{}), offer(object{"type": "offer"}),
		offer(object{"type": "rollback", "sdp": "x"}), offer(object{"type": "pranswer", "sdp": offerOfNobody}),
		offer(object{"type": "offer", "sdp": 1}), offer(object{"type": 1, "sdp": offerOfNobody}),
		offer(object{"type": "answer", "sdp": answerOfNobody}),
		offer("v=0\r\n"), offer(sessionOfNobody), offer(dataOfNobody),
		offer(strings.Repeat("m=", 1000)), offer(strings.Repeat("a", 200<<10)),
		offer(without("a=mid:0\r\n", "")), offer(without("a=ice-ufrag:aaaa\r\n", "")), offer(without("a=ice-pwd", "a=x")),
		offer(without("a=fingerprint", "a=x")), offer(without("a=fingerprint:sha-256 ", "a=fingerprint:nonsense ")),
		offer(offerOfNobody + section), offer(sessionOfNobody + section + section),
		offer(sessionOfNobody + strings.ReplaceAll(section, "a=rtpmap:96 VP8/90000", "a=rtpmap:96 x/0")),
		offer(sessionOfNobody + strings.ReplaceAll(section, "video", "text")),
		offer(offerOfNobody + "a=ssrc:x\r\n"),
		candidate(1), candidate([]int{}), candidate("x"), candidate("candidate:"),
		candidate(object{"candidate": 1}), candidate(object{"candidate": "x", "sdpMLineIndex": -1}),
		candidate(object{"candidate": candidateOfNobody(0), "sdpMid": "nobody", "sdpMLineIndex": 65535}),
		candidate(strings.Repeat("x", 200<<10)), candidate(candidateOfNobody(0) + strings.Repeat(" x y", 50<<10)),
	}
	// What Pion refuses half-way.
	fatal := []string{
		offer(without("a=fingerprint:sha-256 ", "a=fingerprint:")),
		offer(sessionOfNobody + strings.ReplaceAll(section, "96\r\n", "999999999999\r\n")),
		offer(offerOfNobody + "a=candidate:x\r\n"),
	}
	h, undisturbed := newBusyHall(t, msejsonrpc.Limits{Messages: -1, Bytes: -1})
	for i, nonsense := range append(refused, fatal...) {
		what := "%.200s"
		up, down := h.dial()
		c := h.signal(up, "d/own/hostile", nil)
		up.inject(nonsense)
		up.inject(nonsense)
		_ = c.SendOffer(msejsonrpc.SessionDescription{SDP: offerOfNobody}) // it may be over
		code, ended := awaitAnswerOrEnd(t, c, down)
		require.Equal(t, i >= len(refused), ended, what, nonsense)
		if ended {
			require.Equal(t, transport.StatusInternalError, code, what, nonsense)
		}
		require.NoError(t, c.Close())
		down.awaitServed()

		// The same from a member whom the others see.
		up, down = h.dial()
		member := newBot(t, sending(piontest.Sound(t, "hostile")), h.signal(up, "d/r/hostile", nil))
		member.run()
		member.flows.RequireMedia(t, h.of("d/r/a", "v"))
		up.inject(nonsense)
		up.inject(nonsense)
		if err := member.client.Ping(t.Context()); err != nil {
			require.Error(t, heard.Next(t, "end of Run", member.ran), what, nonsense)
		}
		require.NoError(t, member.client.Close())
		down.awaitServed()
	}
	require.Equal(t, 2, h.rooms.Members("d", "r"))
	require.Zero(t, h.rooms.Members("d", "own"))
	undisturbed()
}

func TestFloodOfAMemberCostsOnlyItself(t *testing.T) {
	t.Parallel()
	nothing := func(int) string { return "" }
	for name, flood := range map[string]struct{ before, after func(i int) string }{
		"offers": {nothing, func(int) string { return offer(offerOfNobody) }},
		"answers": {nothing, func(i int) string {
			return offer(object{"type": "answer", "sdp": answerOfNobody})
		}},
		"candidates before a description": {func(i int) string { return candidate(candidateOfNobody(i)) }, nothing},
		"candidates after a description":  {nothing, func(i int) string { return candidate(candidateOfNobody(i)) }},
		"candidates of no generation": {nothing, func(i int) string {
			return candidate(candidateOfNobody(i) + fmt.Sprint(" ufrag ", i))
		}},
		"ends of candidates": {nothing, func(int) string { return candidate("") }},
		"large candidates":   {nothing, func(int) string { return candidate(strings.Repeat("x", 100<<10)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, undisturbed := newBusyHall(t, msejsonrpc.Limits{Messages: -1, Bytes: -1})
			const messages = 10000
			// Among the others, whose tracks the server offers first, and alone, where it
			// answers.
			for _, room := range []string{"r", "own"} {
				up, down := h.dial()
				c := h.signal(up, "d/"+room+"/hostile", &msejsonrpc.ClientOptions{Inbox: -1})
				send := func(message func(i int) string) {
					for i := range messages {
						m := message(i)
						if m == "" || i*len(m) > 20<<20 {
							return
						}
						up.inject(m)
					}
				}
				send(flood.before)
				up.inject(offer(offerOfNobody))
				send(flood.after)
				undisturbed()
				if err := c.Ping(t.Context()); err != nil {
					e, ok := errors.AsType[*transport.CloseError](c.Err())
					require.True(t, ok, "%v", err)
					require.Contains(t, []transport.StatusCode{
						transport.StatusInternalError, // more than its session handles
						transport.StatusTryAgainLater, // more answers than it reads
					}, e.Code)
				}
				require.NoError(t, c.Close())
				down.awaitServed()
				undisturbed()
			}
		})
	}
}

func TestFloodOverTheLimitsIsCutOff(t *testing.T) {
	t.Parallel()
	h, undisturbed := newBusyHall(t, msejsonrpc.Limits{Patience: 200 * time.Millisecond})
	for _, flood := range []struct {
		message string
		want    transport.StatusCode
	}{
		{candidate("x"), transport.StatusPolicyViolation},
		{candidate(strings.Repeat("x", msejsonrpc.DefaultMessageBytes)), transport.StatusMessageTooBig},
	} {
		up, down := h.dial()
		c := h.signal(up, "d/r/hostile", nil)
		for range 1000 {
			up.inject(flood.message)
		}
		down.awaitServed()
		<-c.Done()
		e, ok := errors.AsType[*transport.CloseError](c.Err())
		require.True(t, ok, "%v", c.Err())
		require.Equal(t, flood.want, e.Code)
	}
	undisturbed()
}
