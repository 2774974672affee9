package easyrtcpion_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

func TestACallBringsMediaAndDataToBothSides(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"the smaller id calls", "the greater id calls"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			alice, bob := plan{}, plan{}
			alice.accept = []webrtc.TrackLocal{piontest.Video(t, "a-video"), piontest.Sound(t, "a-sound")}
			bob.accept = []webrtc.TrackLocal{piontest.Video(t, "b-video"), piontest.Sound(t, "b-sound")}
			alice.echo, bob.echo = true, false
			if direction == "the smaller id calls" {
				alice.echo, bob.echo = false, true
			}
			caller, callee := newPair(t, alice, bob)
			tracks := alice.accept
			mine, theirs := []string{"a-video", "a-sound"}, []string{"b-video", "b-sound"}
			if direction != "the smaller id calls" {
				caller, callee, tracks = callee, caller, bob.accept
				mine, theirs = theirs, mine
			}
			callee.meet(caller)
			out := caller.call(callee, tracks...)
			in := callee.requireCall()
			require.NoError(t, out.AwaitConnected(caller.patience()))
			require.Equal(t, callee.id(), out.EasyrtcID())
			require.Equal(t, caller.id(), in.EasyrtcID())
			require.True(t, out.Outgoing())
			require.False(t, in.Outgoing())
			caller.flows.RequireMedia(t, theirs...)
			callee.flows.RequireMedia(t, mine...)
			caller.flows.RequireOnly(t, theirs...)
			callee.flows.RequireOnly(t, mine...)
			caller.requireEcho(out, `{"hello":"you"}`)
			require.Same(t, out, caller.CallWith(callee.id()))

			out.Hangup()
			require.NoError(t, caller.requireClosed(out))
			require.NoError(t, callee.requireClosed(in))
			require.Empty(t, caller.Calls())
			require.Empty(t, callee.Calls())
			heard.AwaitOf(t, caller.line().Said, heard.Any[*easyrtc.Hangup])
			require.Zero(t, count[*easyrtc.Hangup](callee.line().Said), "a hangup is not answered")
			caller.requireQuiet()
			callee.requireQuiet()
		})
	}
}

func TestARejectedCallSaysSo(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{manual: true})
	go func() { heard.Next(t, "call", callee.incoming).Reject() }()
	_, err := caller.Call(caller.patience(), callee.id(), piontest.Video(t, "v"))
	require.ErrorIs(t, err, easyrtcpion.ErrRejected)
	heard.AwaitOf(t, callee.line().Said, heard.Any[*easyrtc.Reject])
	require.Empty(t, caller.Calls())
	require.Empty(t, caller.closed.All(), "of calls that were accepted only")
	caller.requireQuiet()
	callee.requireQuiet()
}

func TestACallToSomebodyWhoTakesNoneIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := w.join(plan{name: "alice"})
	client := w.connect(&member{wire: w.dial()}, plan{name: "bob"})
	peer := easyrtcpion.NewPeer(client, nil)
	t.Cleanup(func() { require.NoError(t, peer.Close()) })
	piontest.Run(t, peer.Run)
	_, err := caller.Call(caller.patience(), "bob")
	require.ErrorIs(t, err, easyrtcpion.ErrRejected)
}

func TestACallToNobodySaysWhatTheServerSays(t *testing.T) {
	t.Parallel()
	caller := newWorld(t).join(plan{name: "alice"})
	_, err := caller.Call(caller.patience(), "nobody")
	require.ErrorIs(t, err, easyrtc.ErrNoTarget)
	require.Empty(t, caller.Calls())
}

func TestACallWaitsForASlowAcceptance(t *testing.T) {
	t.Parallel()
	// The greater id is the caller: it applies its offer at once and has candidates early.
	callee, caller := newPair(t, plan{manual: true}, plan{})
	callee.meet(caller)
	caller.line().Drop(func(m easyrtc.Message) bool {
		if _, ok := m.(*easyrtc.Candidate); ok && count[*easyrtc.Answer](caller.line().Heard) == 0 {
			t.Error("a candidate before the answer")
		}
		return false
	})
	done := make(chan error)
	track := piontest.Video(t, "v")
	go func() {
		_, err := caller.Call(caller.patience(), callee.id(), track)
		done <- err
	}()
	in := heard.Next(t, "call", callee.incoming)
	<-webrtc.GatheringCompletePromise(caller.CallWith(callee.id()).PeerConnection())
	select {
	case <-done:
		require.FailNow(t, "a call before it is accepted")
	case <-in.Done():
		require.FailNow(t, "nobody has decided")
	default:
	}
	c, err := in.Accept()
	require.NoError(t, err)
	require.NoError(t, <-done)
	callee.flows.RequireMedia(t, "v")
	require.NoError(t, c.AwaitConnected(callee.patience()))
	require.Positive(t, count[*easyrtc.Candidate](caller.line().Said))
	<-in.Done()
	_, err = in.Accept()
	require.ErrorIs(t, err, easyrtcpion.ErrClosed)
	caller.requireQuiet()
	callee.requireQuiet()
}

func TestWhoAnswersSendsItsCandidatesAfterTheAnswer(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	c := caller.call(callee, piontest.Video(t, "v"))
	callee.requireCall()
	for _, m := range []*member{caller, callee} {
		described := false
		for _, msg := range m.line().Said.All() {
			switch msg := msg.(type) {
			case *easyrtc.Offer, *easyrtc.Answer:
				described = true
			case *easyrtc.Candidate:
				require.True(t, described)
				d, err := msg.ICECandidate()
				require.NoError(t, err)
				require.NotEmpty(t, d.Candidate)
				require.Equal(t, "candidate", d.Type)
				require.NotNil(t, d.Label)
				require.NotNil(t, d.ID)
			}
		}
	}
	c.Hangup()
}

func TestACallThatIsGivenUpIsCancelledAtTheOtherSide(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{manual: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := caller.Call(ctx, callee.id())
		done <- err
	}()
	in := heard.Next(t, "call", callee.incoming)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	<-in.Done()
	_, err := in.Accept()
	require.ErrorIs(t, err, easyrtcpion.ErrClosed)
	in.Reject()
	require.Zero(t, count[*easyrtc.Reject](callee.line().Said), "there is nothing to reject")
}

func TestCallingWhoseCallWaitsAcceptsIt(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{manual: true})
	fromCaller, fromCallee := piontest.Video(t, "a"), piontest.Video(t, "b")
	done := make(chan error)
	go func() {
		_, err := caller.Call(caller.patience(), callee.id(), fromCaller)
		done <- err
	}()
	heard.Next(t, "call", callee.incoming)
	c := callee.call(caller, fromCallee)
	require.NoError(t, <-done)
	require.False(t, c.Outgoing())
	require.Zero(t, count[*easyrtc.Offer](callee.line().Said))
	caller.flows.RequireMedia(t, "b")
	callee.flows.RequireMedia(t, "a")
}

func TestOneClientHasOneCallWithAnother(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{opts: easyrtcpion.Options{MaxCalls: 1}}, plan{})
	c := caller.call(callee)
	_, err := caller.Call(t.Context(), callee.id())
	require.ErrorIs(t, err, easyrtcpion.ErrBusy)
	_, err = caller.Call(t.Context(), "carol")
	require.ErrorIs(t, err, easyrtcpion.ErrTooManyCalls)
	require.NoError(t, c.Close())
	require.NoError(t, caller.Close())
	_, err = caller.Call(t.Context(), callee.id())
	require.ErrorIs(t, err, easyrtcpion.ErrClosed)
}

func TestCallsBeyondTheLimitAreRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	callee := w.join(plan{name: "alice", manual: true, opts: easyrtcpion.Options{MaxCalls: 1}})
	first, second := w.join(plan{name: "bob"}), w.join(plan{name: "carol"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := first.Call(ctx, callee.id())
		done <- err
	}()
	heard.Next(t, "call", callee.incoming)
	_, err := second.Call(second.patience(), callee.id())
	require.ErrorIs(t, err, easyrtcpion.ErrRejected)
	cancel()
	require.Error(t, <-done)
}

func TestAClientThatLeavesAllSharedRoomsIsGone(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	c := caller.call(callee, piontest.Video(t, "v"))
	callee.requireCall()
	// Media could go on: only the rooms say that it is over.
	require.NoError(t, callee.client.LeaveRoom(callee.patience(), "default"))
	require.ErrorIs(t, caller.requireClosed(c), easyrtcpion.ErrGone)
	require.Zero(t, count[*easyrtc.Hangup](caller.line().Said))
}

func TestACallEndsOnlyWithTheLastSharedRoom(t *testing.T) {
	t.Parallel()
	rooms := []string{"one", "two"}
	w := newWorld(t)
	caller, callee := w.join(plan{name: "alice", rooms: rooms}), w.join(plan{name: "bob", rooms: rooms})
	c := caller.call(callee)
	callee.requireCall()
	require.NoError(t, callee.client.LeaveRoom(callee.patience(), "one"))
	left := heard.AwaitOf(t, caller.other, func(m *easyrtc.RoomData) bool {
		r := m.MsgData.RoomData["one"]
		return r != nil && r.ClientListDelta != nil && len(r.ClientListDelta.RemoveClient) > 0
	})
	require.NotNil(t, left)
	require.Same(t, c, caller.CallWith(callee.id()))
	require.NoError(t, callee.client.LeaveRoom(callee.patience(), "two"))
	require.ErrorIs(t, caller.requireClosed(c), easyrtcpion.ErrGone)
}

func TestClientsThatNeverSharedARoomMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := w.join(plan{name: "alice", rooms: []string{"one"}})
	callee := w.join(plan{name: "bob", rooms: []string{"two"}, echo: true})
	c := caller.call(callee)
	w.join(plan{name: "carol", rooms: []string{"one", "two"}})
	for _, m := range []*member{caller, callee} {
		heard.AwaitOf(t, m.other, heard.Any[*easyrtc.RoomData])
	}
	caller.requireEcho(c, `"the rooms have changed"`)
	require.Same(t, c, caller.CallWith(callee.id()))
}

func TestAnOfferOfWhoHasGoneDoesNotWait(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{manual: true})
	piontest.Run(t, func(ctx context.Context) error {
		_, err := caller.Call(ctx, callee.id())
		return err
	})
	in := heard.Next(t, "call", callee.incoming)
	require.NoError(t, caller.client.Close())
	<-in.Done()
	_, err := in.Accept()
	require.ErrorIs(t, err, easyrtcpion.ErrClosed)
}

// The two share no room, so the other side does not end the call itself.
func TestALostConnectionVoidsAllCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := w.join(plan{name: "alice", redial: true, rooms: []string{"one"}})
	callee := w.join(plan{name: "bob", rooms: []string{"two"}})
	c := caller.call(callee, piontest.Video(t, "v"))
	in := callee.requireCall()
	callee.flows.RequireMedia(t, "v")
	before := caller.id()
	caller.line().Cut()
	require.ErrorIs(t, caller.requireClosed(c), easyrtcpion.ErrDisconnected)
	require.NoError(t, callee.requireClosed(in))
	require.NotEqual(t, before, caller.id())
	again := callee.call(caller)
	require.NoError(t, again.AwaitConnected(callee.patience()))
}

func TestCloseHangsUpAndWaits(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{manual: true})
	c := make(chan *easyrtcpion.Call)
	go func() {
		call, err := heard.Next(t, "call", callee.incoming).Accept(piontest.Video(t, "v"))
		if err == nil {
			c <- call
		}
		close(c)
	}()
	out := caller.call(callee)
	in := <-c
	require.NotNil(t, in)
	caller.flows.RequireMedia(t, "v")
	require.NoError(t, caller.Close())
	select {
	case <-out.Done():
	default:
		require.FailNow(t, "Close has not waited")
	}
	require.NoError(t, caller.requireClosed(out))
	require.NoError(t, callee.requireClosed(in))
	_, err := caller.Call(t.Context(), callee.id())
	require.ErrorIs(t, err, easyrtcpion.ErrClosed)
	require.ErrorIs(t, out.AddTrack(piontest.Video(t, "late")), easyrtcpion.ErrClosed)
	require.ErrorIs(t, out.Send(t.Context(), "late", nil), easyrtcpion.ErrClosed)
}

func TestThirtyCallsInARowLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{echo: true})
	track := piontest.Video(t, "v")
	for i := range 30 {
		c := caller.call(callee, track)
		caller.requireEcho(c, fmt.Sprint(i))
		in := callee.requireCall()
		if i%2 == 0 {
			c.Hangup()
		} else {
			in.Hangup()
		}
		require.NoError(t, caller.requireClosed(c))
		require.NoError(t, callee.requireClosed(in))
		require.Empty(t, caller.Calls())
		require.Empty(t, callee.Calls())
	}
	caller.requireQuiet()
	callee.requireQuiet()
}
