package easyrtcpion_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

// A stranger is a client without a peer: it says what it wants.
type stranger struct {
	*easyrtc.Client
	m *member
}

// newStranger makes one, named mallory, and somebody for it to annoy.
func newStranger(t *testing.T, victim plan) (*world, stranger, *member) {
	t.Helper()
	w := newWorld(t)
	victim.name = "victim"
	m := w.join(victim)
	return w, stranger{w.connect(&member{wire: w.dial()}, plan{name: "mallory"}), m}, m
}

func (s stranger) say(m easyrtc.Message) {
	s.m.t.Helper()
	_, err := s.Call(s.m.patience(), m)
	require.NoError(s.m.t, err)
}

// awaitWarning waits until the victim has refused something.
func (s stranger) awaitWarning() string {
	s.m.t.Helper()
	return heard.Next(s.m.t, "warning", s.m.warnings)
}

func TestNonsenseOfAStrangerChangesNothing(t *testing.T) {
	t.Parallel()
	w, mallory, victim := newStranger(t, plan{})
	const id = "victim"
	data := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, m := range []easyrtc.Message{
		&easyrtc.Offer{TargetEasyrtcID: id, MsgData: data(`{"type":"offer"}`)},
		&easyrtc.Offer{TargetEasyrtcID: id, MsgData: data(`{"sdp":1}`)},
		&easyrtc.Answer{TargetEasyrtcID: id, MsgData: data(`[0]`)},
		&easyrtc.Candidate{TargetEasyrtcID: id, MsgData: data(`{"candidate":{}}`)},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgStreamReceived, MsgData: data(`1`)},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgFilesChunk, MsgData: data(`{"seq":-1}`)},
	} {
		mallory.say(m)
		mallory.awaitWarning()
	}
	answer, err := easyrtc.NewAnswer(id, "v=0")
	require.NoError(t, err)
	candidate, err := easyrtc.NewCandidate(id, "candidate:1", 70000, "")
	require.NoError(t, err)
	none, err := easyrtc.NewCandidate(id, "", 0, "0")
	require.NoError(t, err)
	for _, m := range []easyrtc.Message{
		answer, candidate, none,
		&easyrtc.Reject{TargetEasyrtcID: id}, &easyrtc.Hangup{TargetEasyrtcID: id},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgDataChannelPrimed},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgSupportHalfTrickleICE},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgICEGatheringDone},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: easyrtc.MsgFilesAck, MsgData: data(`{"seq":1,"positionAck":1}`)},
		&easyrtc.Msg{TargetEasyrtcID: id, MsgType: "chat", MsgData: data(`"last"`)},
	} {
		mallory.say(m)
	}
	chat := heard.AwaitOf(t, victim.other, heard.Any[*easyrtc.Msg])
	require.Equal(t, "chat", chat.MsgType, "the others are about calls")
	require.Empty(t, victim.Calls())
	require.Empty(t, victim.warnings.All())

	friend := w.join(plan{name: "friend"})
	friend.call(victim, piontest.Video(t, "v"))
	victim.flows.RequireMedia(t, "v")
}

func TestAnOfferThatIsNoneEndsItsCall(t *testing.T) {
	t.Parallel()
	_, mallory, victim := newStranger(t, plan{opts: easyrtcpion.Options{ConnectTimeout: 50 * time.Millisecond}})
	offer, err := easyrtc.NewOffer("victim", "v=nonsense")
	require.NoError(t, err)
	mallory.say(offer)
	c := heard.Next(t, "call", victim.accepted)
	mallory.awaitWarning()
	require.ErrorIs(t, victim.requireClosed(c), easyrtcpion.ErrConnectTimeout)
	heard.AwaitOf(t, victim.line().Said, heard.Any[*easyrtc.Hangup])
	require.Empty(t, victim.Calls())
}

func TestWhatWaitsForAnAcceptanceIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 10
	_, mallory, victim := newStranger(t, plan{manual: true, opts: easyrtcpion.Options{MaxPending: limit}})
	offer, err := easyrtc.NewOffer("victim", "v=0")
	require.NoError(t, err)
	mallory.say(offer)
	in := heard.Next(t, "call", victim.incoming)
	for range limit { // which count for nothing
		none, err := easyrtc.NewCandidate("victim", "", 0, "0")
		require.NoError(t, err)
		mallory.say(none)
	}
	for i := range limit + 3 {
		c, err := easyrtc.NewCandidate("victim", fmt.Sprintf("candidate:%d 1 udp 1 127.0.0.1 9 typ host", i), 0, "0")
		require.NoError(t, err)
		mallory.say(c)
	}
	for range 3 {
		require.Contains(t, mallory.awaitWarning(), "too much pending input")
	}
	mallory.say(offer) // once more, which is no other call
	mallory.say(&easyrtc.Hangup{TargetEasyrtcID: "victim"})
	<-in.Done()
	require.Empty(t, victim.incoming.All())
	require.Empty(t, victim.warnings.All())
}

// Whoever cannot be reached: all candidates of both sides are lost.
func TestACallThatCannotConnectEnds(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{opts: easyrtcpion.Options{ConnectTimeout: time.Second}}, plan{})
	for _, m := range []*member{caller, callee} {
		m.line().Drop(func(m easyrtc.Message) bool {
			_, ok := m.(*easyrtc.Candidate)
			return ok
		})
	}
	c := caller.call(callee)
	in := heard.Next(t, "call", callee.accepted)
	require.ErrorIs(t, caller.requireClosed(c), easyrtcpion.ErrConnectTimeout)
	require.NoError(t, callee.requireClosed(in), "it is told")
	require.ErrorIs(t, c.AwaitConnected(t.Context()), easyrtcpion.ErrConnectTimeout)
}

func TestAHangupOfACallThatIsOverDoesNotEndTheNext(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	c := caller.call(callee)
	in := callee.requireCall()
	require.NoError(t, c.AwaitConnected(caller.patience()))
	// The hangup is slower than the end of the peer connection.
	callee.line().Hold(heard.Any)
	in.Hangup()
	require.NoError(t, caller.requireClosed(c))
	require.NoError(t, callee.requireClosed(in))
	done := make(chan error)
	go func() {
		_, err := caller.Call(caller.patience(), callee.id())
		done <- err
	}()
	heard.AwaitOf(t, caller.line().Reached, heard.Any[*easyrtc.Offer])
	callee.line().Release()
	require.NoError(t, <-done)
	require.NotNil(t, caller.CallWith(callee.id()))
}
