package galene

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

const (
	streamSent     = `< {"type":"offer","id":"s","sdp":"v=0"}`
	streamReceived = `> {"type":"offer","id":"s","sdp":"v=0"}`
)

// streamWays lead a stream called s to where it may stand, see clientAfter.
var streamWays = map[string][]string{
	"never heard of":    nil,
	"sent":              {streamSent},
	"sent and answered": {streamSent, `> {"type":"answer","id":"s","sdp":"v=0"}`},
	"sent and closed":   {streamSent, `< {"type":"close","id":"s"}`},
	"sent and aborted":  {streamSent, `> {"type":"abort","id":"s"}`},
	"sent and replaced": {streamSent, `< {"type":"offer","id":"t","replace":"s","sdp":"v=0"}`},
	"sent as another": {`< {"type":"offer","id":"r","sdp":"v=0"}`,
		`< {"type":"offer","id":"s","replace":"r","sdp":"v=0"}`},
	"sent as itself":     {streamSent, `< {"type":"offer","id":"s","replace":"s","sdp":"v=0"}`},
	"received":           {streamReceived},
	"received, answered": {streamReceived, `< {"type":"answer","id":"s","sdp":"v=0"}`},
	"received again": {streamReceived, `> {"type":"close","id":"s"}`,
		streamReceived},
	"received, closed":  {streamReceived, `> {"type":"close","id":"s"}`},
	"received, aborted": {streamReceived, `< {"type":"abort","id":"s"}`},
	"received, unwanted": {streamReceived,
		`< {"type":"requestStream","id":"s","request":[]}`},
	"received, replaced": {streamReceived, `> {"type":"offer","id":"t","replace":"s","sdp":"v=0"}`},
	"received as another": {`> {"type":"offer","id":"r","sdp":"v=0"}`,
		`> {"type":"offer","id":"s","replace":"r","sdp":"v=0"}`},
	"of a group long left": {streamReceived, `< {"type":"join","kind":"leave","group":"g"}`,
		`> {"type":"joined","kind":"leave","group":"g"}`, clientJoins, clientIsOp},
	"of a connection lost": {streamSent, "lost", "start", clientShaken, clientIsOp},
}

// streamRules say in which of streamWays a message about s goes out, or is for the
// application.
var streamRules = []struct {
	wire       string
	sent, goes []string // groups of streamWays
}{
	// Who sends the media sends the offer, with an id that is nobody else's.
	{`{"type":"offer","id":"s","sdp":"v=0"}`, []string{"none", "up"}, []string{"none", "aborted", "down", "ending"}},
	{`{"type":"answer","id":"s","sdp":"v=0"}`, []string{"down", "ending"}, []string{"up"}},
	{`{"type":"ice","id":"s","candidate":{"candidate":"c"}}`,
		[]string{"up", "down", "ending"}, []string{"up", "down", "ending"}},
	// Who receives asks for a restart, for other tracks and for the end.
	{`{"type":"renegotiate","id":"s"}`, []string{"down", "ending"}, []string{"up"}},
	{`{"type":"requestStream","id":"s","request":["audio"]}`, []string{"down"}, nil},
	{`{"type":"requestStream","id":"s"}`, []string{"down"}, nil},
	{`{"type":"abort","id":"s"}`, []string{"down", "ending"}, []string{"up"}},
	// Who sends ends.
	{`{"type":"close","id":"s"}`, []string{"up"}, []string{"down", "ending"}},
}

var streamGroups = map[string][]string{
	"none": {"never heard of", "sent and closed", "sent and replaced",
		"received, closed", "received, replaced", "of a group long left", "of a connection lost"},
	"aborted": {"sent and aborted"},
	"up":      {"sent", "sent and answered", "sent as another", "sent as itself"},
	"down":    {"received", "received, answered", "received again", "received as another"},
	"ending":  {"received, aborted", "received, unwanted"},
}

func TestStreamsHaveTheirDirection(t *testing.T) {
	t.Parallel()
	n := 0
	for group, ways := range streamGroups {
		for _, way := range ways {
			n++
			begin := func() *ClientMachine {
				steps := append([]string{"start", clientShaken, clientJoins, clientIsOp}, streamWays[way]...)
				m := clientAfter(t, ClientConfig{}, steps...)
				require.Equal(t, ClientJoined, m.State(), way)
				return m
			}
			for _, rule := range streamRules {
				msg, err := Decode([]byte(rule.wire))
				require.NoError(t, err)
				m := begin()
				fx, err := m.Send(clientDawn, msg)
				if slices.Contains(rule.sent, group) {
					require.NoError(t, err, "%s: %s", way, rule.wire)
					require.Len(t, fx.Send, 1)
				} else {
					_, invalid := errors.AsType[*ValidationError](err)
					require.True(t, invalid || err == ErrUnknownStream, "%s: %s: %v", way, rule.wire, err)
					require.Zero(t, fx)
					require.Equal(t, withoutIDs(begin()), withoutIDs(m), "%s: %s: a refusal changes nothing", way, rule.wire)
				}

				m = begin()
				fx = m.Receive(clientDawn, msg)
				require.Equal(t, slices.Contains(rule.goes, group), len(fx.Deliver) == 1, "%s: %s", way, rule.wire)
				require.Nil(t, fx.Close)
				_, isAbort := msg.(*Abort)
				if isAbort && group == "up" {
					require.Equal(t, []Message{&Close{ID: "s"}}, fx.Send)
				} else {
					require.Empty(t, fx.Send, "%s: %s: nothing is said about a stream by itself", way, rule.wire)
				}
			}
		}
	}
	require.Equal(t, len(streamWays), n, "each way is in one group")
}

// withoutIDs makes machines comparable, whose functions are not.
func withoutIDs(m *ClientMachine) *ClientMachine {
	m.cfg.NewID = nil
	return m
}

func TestStreamsEndBeforeTheirMemberGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		heard := []string{
			`{"type":"user","kind":"add","id":"b","username":"bob"}`,
			`{"type":"offer","id":"s","source":"b","username":"bob","label":"camera","sdp":"v=0"}`,
			`{"type":"offer","id":"t","source":"b","username":"bob","label":"screenshare","sdp":"v=0"}`,
			`{"type":"close","id":"s"}`,
			`{"type":"close","id":"t"}`,
			`{"type":"user","kind":"delete","id":"b","username":"bob"}`,
		}
		p.Say(heard[:3]...).Say(`{"type":"close","id":"never-offered"}`).Say(heard[3:]...)
		clientHears(t, c, heard...)
		require.Nil(t, c.User("b"))
		require.NoError(t, c.Close())
	})
}

func TestAbortIsAnsweredWithAClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		require.NoError(t, c.Send(&Offer{ID: "s", Label: "camera", SDP: "v=0"}))
		p.Hear(`{"type":"offer","id":"s","label":"camera","sdp":"v=0","source":"c1","username":"u"}`)
		abort := `{"type":"abort","id":"s"}`
		refusal := `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"not authorised"}`
		p.Say(abort, refusal).Hear(`{"type":"close","id":"s"}`)
		clientHears(t, c, abort, refusal)
		require.Equal(t, ErrUnknownStream, c.Send(&Close{ID: "s"}))
		require.NoError(t, c.Close())
	})
}

func TestNewIDIsNobodyElses(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		id := NewID()
		require.GreaterOrEqual(t, len(id), 26, "128 bits in base 32")
		require.False(t, seen[id])
		seen[id] = true
	}
	near, p := readyClient(t, ClientOptions{NewID: func() string { return "c1" }})
	require.Equal(t, "c1", near.ID())
	require.NoError(t, near.Close())
	p.Closed(1000)
}

func TestCandidatesBeforeTheirOfferComeAfterIt(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp)
	ice := func(id, candidate string) *ICE { return NewICE(id, ICECandidateInit{Candidate: candidate}) }
	for range 2 * maxEarly { // some of them of streams that never come
		require.Empty(t, m.Receive(clientDawn, ice("never", "c")).Deliver)
	}
	require.Len(t, m.early, maxEarly)
	require.Empty(t, m.Receive(clientDawn, &Close{ID: "never"}).Deliver)
	require.Empty(t, m.early)

	require.Empty(t, m.Receive(clientDawn, ice("s", "1")).Deliver)
	require.Empty(t, m.Receive(clientDawn, ice("t", "2")).Deliver)
	require.Empty(t, m.Receive(clientDawn, ice("s", "3")).Deliver)
	offer := &Offer{ID: "s", SDP: "v=0"}
	require.Equal(t, []Message{offer, ice("s", "1"), ice("s", "3")}, m.Receive(clientDawn, offer).Deliver)
	require.Equal(t, []*ICE{ice("t", "2")}, m.early)
	require.Equal(t, []Message{offer}, m.Receive(clientDawn, offer).Deliver)
}

func TestAStreamThatWasAbortedIsNotOfferedAgain(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp,
		streamSent, `> {"type":"abort","id":"s"}`)
	_, err := m.Send(clientDawn, &Offer{ID: "s", SDP: "v=0"}) // a restart that crossed the abort
	require.ErrorIs(t, err, ErrUnknownStream)
	_, err = m.Send(clientDawn, &Offer{ID: "s2", SDP: "v=0", Replace: "s"})
	require.NoError(t, err)
	for range 3 * maxAborted {
		id := NewID()
		_, err := m.Send(clientDawn, &Offer{ID: id, SDP: "v=0"})
		require.NoError(t, err)
		m.Receive(clientDawn, &Abort{ID: id})
		require.LessOrEqual(t, len(m.aborted), maxAborted)
	}
}

func TestTheRepetitionOfARequestBringsNoUnwantedStreamBack(t *testing.T) {
	t.Parallel()
	for wire, repeats := range map[string]bool{
		`< {"type":"abort","id":"s"}`:                             false,
		`< {"type":"requestStream","id":"s","request":[]}`:        false,
		`< {"type":"requestStream","id":"s","request":["audio"]}`: true,
		`< {"type":"answer","id":"s","sdp":"v=0"}`:                true,
	} {
		m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp,
			`< {"type":"request","request":{"":["audio"]}}`, streamReceived, wire)
		fx := m.Expire(clientDawn.Add(DefaultRequestAgain))
		require.Equal(t, repeats, len(fx.Send) == 1, wire)
	}
}
