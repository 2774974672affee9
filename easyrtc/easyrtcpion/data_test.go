package easyrtcpion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

func TestBothSidesSayThatTheDataChannelIsPrimed(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	out := caller.call(callee)
	in := callee.requireCall()
	for _, side := range []struct {
		*member
		call *easyrtcpion.Call
	}{{caller, out}, {callee, in}} {
		m := heard.AwaitOf(t, side.line().Said, heard.Any[*easyrtc.Msg])
		require.Equal(t, easyrtc.MsgDataChannelPrimed, m.MsgType)
		require.JSONEq(t, `""`, string(m.MsgData))
		require.Equal(t, side.call.EasyrtcID(), m.TargetEasyrtcID)
		require.Same(t, side.call, heard.Next(t, "open channel", side.opened))
		<-side.call.Ready()
	}
	require.Empty(t, caller.opened.All())
	require.Empty(t, callee.opened.All())
	require.Zero(t, count[*easyrtc.Msg](caller.other), "the application does not see it")
}

func TestMessagesOfAnyLengthArriveWhole(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{echo: true})
	c := caller.call(callee)
	for _, text := range []string{
		"", strings.Repeat("x", 999), strings.Repeat("x", 1000), strings.Repeat("x", 1001), strings.Repeat("é", 5000),
		strings.Repeat("😀", 3000), "x" + strings.Repeat("😀", 3000), strings.Repeat("\u2028\"\\\n<&>", 2000),
		strings.Repeat("a long one ", 50_000),
	} {
		data, err := json.Marshal(text)
		require.NoError(t, err)
		require.NoError(t, c.Send(caller.patience(), "say", data))
		var got string
		require.NoError(t, json.Unmarshal([]byte(caller.awaitMessage("echo").data), &got))
		require.True(t, text == got, "%d bytes became %d", len(text), len(got))
	}
	caller.requireQuiet()
	callee.requireQuiet()
}

// A browser puts one message together at a time.
func TestMessagesOfSeveralSendersDoNotMix(t *testing.T) {
	t.Parallel()
	texts := heard.New[string]()
	caller, callee := newPair(t, plan{}, plan{opts: easyrtcpion.Options{
		NoData: true, // as far as the peer knows
		OnChannel: func(_ *easyrtcpion.Call, ch *webrtc.DataChannel) {
			ch.OnOpen(func() { _ = ch.SendText(easyrtc.DataChannelPrimed) })
			ch.OnMessage(func(m webrtc.DataChannelMessage) { texts.Add(string(m.Data)) })
		},
	}})
	c := caller.call(callee)
	const senders, each = 8, 20
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for j := range each {
				data := fmt.Sprintf(`%q`, strings.Repeat(fmt.Sprintf("%d.%d ", i, j), 400))
				if err := c.Send(t.Context(), fmt.Sprint(i), []byte(data)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, easyrtc.DataChannelPrimed, heard.Next(t, "text", texts))
	assembler := easyrtc.Assembler{Transfers: 1}
	next := make(map[string]int)
	for received := 0; received < senders*each; {
		m, err := assembler.Receive([]byte(heard.Next(t, "text", texts)))
		require.NoError(t, err)
		if m == nil {
			continue
		}
		received++
		j := next[m.MsgType] // those of one sender are in order
		next[m.MsgType]++
		require.Equal(t, fmt.Sprintf(`%q`, strings.Repeat(fmt.Sprintf("%s.%d ", m.MsgType, j), 400)), string(m.MsgData))
	}
	require.Empty(t, texts.All())
}

func TestNothingIsSentBeforeTheChannelIsPrimed(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{opts: easyrtcpion.Options{NoData: true}})
	c := caller.call(callee)
	in := callee.requireCall()
	require.NoError(t, c.AwaitConnected(caller.patience()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Send(ctx, "say", nil) }()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	select {
	case <-c.Ready():
		require.FailNow(t, "nobody listens")
	default:
	}
	go func() { done <- c.Send(t.Context(), "say", nil) }()
	in.Hangup()
	require.ErrorIs(t, <-done, easyrtcpion.ErrClosed)
	require.NoError(t, caller.requireClosed(c))
}

func TestTheWordOnTheChannelThatTheItIsPrimedIsEnough(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{echo: true})
	for _, m := range []*member{caller, callee} {
		m.line().Drop(func(msg easyrtc.Message) bool {
			p, ok := msg.(*easyrtc.Msg)
			return ok && p.MsgType == easyrtc.MsgDataChannelPrimed
		})
	}
	c := caller.call(callee)
	caller.requireEcho(c, `"on the channel"`)
}

func TestNonsenseOnTheDataChannelChangesNothing(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{echo: true})
	c := caller.call(callee)
	caller.requireEcho(c, "1")
	for _, data := range []string{`{"seq":1,"data64":"=","outseq":0}`, `{}`, `[]`} {
		require.NoError(t, c.Send(caller.patience(), easyrtc.MsgFilesChunk, []byte(data)))
	}
	caller.requireEcho(c, "2")
	require.Len(t, callee.warnings.All(), 2, "what is for no transfer is normal")
}

func TestSendWaitsForASlowReader(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	caller, callee := newPair(t, plan{}, plan{opts: easyrtcpion.Options{
		NoData: true, // as far as the peer knows
		OnChannel: func(_ *easyrtcpion.Call, ch *webrtc.DataChannel) {
			ch.OnOpen(func() { _ = ch.SendText(easyrtc.DataChannelPrimed) })
			ch.OnMessage(func(webrtc.DataChannelMessage) { <-release })
		},
	}})
	c := caller.call(callee)
	big := fmt.Appendf(nil, `%q`, strings.Repeat("x", 50_000))
	const full = 256 << 10
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	most := 0
	for range 100 {
		require.NoError(t, c.Send(caller.patience(), "say", big))
		most = max(most, c.PeerConnection().SCTP().BufferedAmount())
		if most > full/2 {
			free()
		}
	}
	require.Greater(t, most, full/2)
	require.Less(t, most, full+16<<10)
}

func TestTheEndOfACallEndsAWaitingSend(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	c := caller.call(callee)
	<-c.Ready()
	done := make(chan error)
	go func() {
		big := fmt.Sprintf(`%q`, strings.Repeat("x", 500_000))
		for {
			if err := c.Send(t.Context(), "say", []byte(big)); err != nil {
				done <- err
				return
			}
		}
	}()
	callee.awaitMessage("say")
	c.Hangup()
	require.ErrorIs(t, <-done, easyrtcpion.ErrClosed)
}

func TestAHalfTrickleCalleeGetsTheCandidatesBeforeItAnswers(t *testing.T) {
	t.Parallel()
	// The greater id is the caller: it applies its offer at once and has candidates early.
	callee, caller := newPair(t, plan{manual: true}, plan{})
	callee.meet(caller)
	done := make(chan error)
	track := piontest.Video(t, "v")
	go func() {
		_, err := caller.Call(caller.patience(), callee.id(), track)
		done <- err
	}()
	in := heard.Next(t, "call", callee.incoming)
	require.Zero(t, count[*easyrtc.Candidate](caller.line().Said))
	_, err := callee.client.Call(callee.patience(), easyrtc.NewSupportHalfTrickleICE(caller.id()))
	require.NoError(t, err)
	heard.AwaitOf(t, caller.line().Said, heard.Any[*easyrtc.Candidate])
	gathered := heard.AwaitOf(t, caller.line().Said, heard.Any[*easyrtc.Msg])
	for gathered.MsgType != easyrtc.MsgICEGatheringDone {
		gathered = heard.AwaitOf(t, caller.line().Said, heard.Any[*easyrtc.Msg])
	}
	require.Equal(t, callee.id(), gathered.TargetEasyrtcID)
	_, err = in.Accept()
	require.NoError(t, err)
	require.NoError(t, <-done)
	callee.flows.RequireMedia(t, "v")
	callee.requireQuiet()
}
