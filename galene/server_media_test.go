package galene

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

var wantsAll = &Request{Request: map[string][]TrackKind{"": {TrackAudio, TrackVideo}}}

func TestSoManyCandidatesWaitForTheirReceiver(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	m.Receive(serverDawn, 1, &Offer{ID: "s", SDP: "v=0"})
	candidate := func(n int) *ICE { return &ICE{ID: "s", Candidate: fmt.Appendf(nil, `{"candidate":"%d"}`, n)} }
	for n := range 10 * relayCandidates {
		require.Zero(t, m.Receive(serverDawn, 1, candidate(n)))
	}
	fx := m.Receive(serverDawn, 2, wantsAll)
	require.Len(t, fx.Send, 1+relayCandidates)
	require.IsType(t, &Offer{}, fx.Send[0].Message)
	require.Equal(t, `{"type":"ice","id":"s","candidate":{"candidate":"0"}}`, wireTextOf(fx.Send[1].Message), "the first ones")
	require.Len(t, m.Receive(serverDawn, 1, candidate(9999)).Send, 1)
	require.Nil(t, m.peers[1].up[0].candidates)
}

func TestAMemberSendsSoManyStreams(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{0: 32, 3: 3, -1: 100} {
		for _, media := range []bool{false, true} {
			m := population(ServerConfig{Streams: limit, Media: media}, 1)
			for n := range 100 {
				m.Receive(serverDawn, 1, &Offer{ID: fmt.Sprint("s", n), SDP: "v=0"})
			}
			require.Len(t, m.peers[1].up, want)
			require.Len(t, m.groups["g"].streams, want)
			m.Receive(serverDawn, 1, &Close{ID: "s0"})
			m.Receive(serverDawn, 1, &Offer{ID: "more", SDP: "v=0"})
			require.Len(t, m.peers[1].up, want)
		}
	}
}

func TestSoMuchOfAMembersOffersIsKept(t *testing.T) {
	t.Parallel()
	offer := func(id string, n int) *Offer { return &Offer{ID: id, SDP: strings.Repeat("x", n)} }
	refused := func(fx ServerEffects) {
		t.Helper()
		require.Len(t, fx.Send, 2)
		require.Equal(t, &Abort{ID: "s"}, fx.Send[0].Message)
		require.Contains(t, wireTextOf(fx.Send[1].Message), "offer too big")
		require.Equal(t, []PeerID{1, 1}, []PeerID{fx.Send[0].To, fx.Send[1].To}, "nobody else is told")
		require.Empty(t, fx.Close)
	}
	m := population(ServerConfig{OfferBytes: 100}, 2)
	require.Zero(t, m.Receive(serverDawn, 1, offer("r", 40)))
	require.Zero(t, m.Receive(serverDawn, 1, offer("s", 60)))
	require.Zero(t, m.Receive(serverDawn, 1, offer("s", 60)), "the newest one counts")
	refused(m.Receive(serverDawn, 1, offer("s", 61)))
	require.Len(t, m.peers[1].up, 1, "a stream that nobody can be told of has ended")
	refused(m.Receive(serverDawn, 1, &Offer{ID: "s", SDP: strings.Repeat("x", 50), Replace: strings.Repeat("y", 50)}))
	require.Zero(t, m.Receive(serverDawn, 2, offer("t", 100)), "each has its own")

	m = population(ServerConfig{}, 2)
	require.Zero(t, m.Receive(serverDawn, 1, offer("s", 2<<20)))
	refused(m.Receive(serverDawn, 1, offer("s", 2<<20+1)))
	m = population(ServerConfig{OfferBytes: -1}, 2)
	require.Zero(t, m.Receive(serverDawn, 1, offer("s", 4<<20)))
	m = population(ServerConfig{OfferBytes: 1, Media: true}, 1)
	require.Len(t, m.Receive(serverDawn, 1, offer("s", 1000)).Media, 1, "the media router keeps what it wants")
}

func TestStreamsHaveShortNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", nameBytes)
	for _, media := range []bool{false, true} {
		m := population(ServerConfig{Media: media}, 1)
		m.Receive(serverDawn, 1, &Offer{ID: long, Label: long, SDP: "v=0"})
		require.Len(t, m.peers[1].up, 1)
		for _, o := range []*Offer{{ID: long + "n", SDP: "v=0"}, {ID: "s", Label: long + "n", SDP: "v=0"}} {
			fx := m.Receive(serverDawn, 1, o)
			require.Equal(t, &Abort{ID: o.ID}, fx.Send[0].Message)
			require.Contains(t, wireTextOf(fx.Send[1].Message), "name too long")
			require.Len(t, m.peers[1].up, 1)
		}
	}
}

func TestAMemberAsksForSoManyLabels(t *testing.T) {
	t.Parallel()
	ask := func(label func(n int) string, n int) *Request {
		r := &Request{Request: make(map[string][]TrackKind)}
		for i := range n {
			r.Request[label(i)] = []TrackKind{TrackAudio}
		}
		return r
	}
	short := func(n int) string { return fmt.Sprint("label", n) }
	long := func(int) string { return strings.Repeat("l", nameBytes+1) }
	m := population(ServerConfig{}, 1)
	m.Receive(serverDawn, 1, ask(short, maxLabels))
	require.Len(t, m.peers[1].request, maxLabels)
	for _, r := range []*Request{ask(short, maxLabels+1), ask(long, 1)} {
		fx := m.Receive(serverDawn, 1, r)
		require.Contains(t, wireTextOf(fx.Send[0].Message), "too many labels")
		require.Empty(t, fx.Close)
		require.Len(t, m.peers[1].request, maxLabels, "what was asked for before stands")
	}
}

func TestWhichLabelsAreWanted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request *Request
		wanted  map[string]bool // by label
	}{
		"before a request":         {nil, map[string]bool{"camera": false, "": false}},
		"nothing":                  {&Request{}, map[string]bool{"camera": false, "": false}},
		"everything":               {wantsAll, map[string]bool{"camera": true, "": true}},
		"one label":                {&Request{Request: map[string][]TrackKind{"camera": {TrackVideo}}}, map[string]bool{"camera": true, "x": false, "": false}},
		"all but one":              {&Request{Request: map[string][]TrackKind{"": {TrackAudio}, "camera": {}}}, map[string]bool{"camera": false, "x": true, "": true}},
		"an empty list for all":    {&Request{Request: map[string][]TrackKind{"": {}}}, map[string]bool{"camera": false, "": false}},
		"tracks that do not exist": {&Request{Request: map[string][]TrackKind{"": {"smell"}}}, map[string]bool{"camera": true}},
	} {
		for label, wanted := range tt.wanted {
			m := population(ServerConfig{}, 2)
			if tt.request != nil {
				m.Receive(serverDawn, 2, tt.request)
			}
			fx := m.Receive(serverDawn, 1, &Offer{ID: "s", Label: label, SDP: "v=0"})
			require.Equal(t, wanted, len(fx.Send) == 1, "%s: %s", name, label)
		}
	}
}

func TestTheOfferOfAStreamSaysWhoSendsIt(t *testing.T) {
	t.Parallel()
	lying := func() *Offer {
		return &Offer{
			ID: "s", Kind: "renegotiate", SDP: "v=0", Label: "camera", Source: "c1",
			Labels: map[string]string{"0": "video"}, Extra: Fields{"novelty": json.RawMessage("1")},
		}
	}
	const want = `{"type":"offer","id":"s","source":"c1","username":"u1","sdp":"v=0","label":"camera"}`
	m := population(ServerConfig{}, 2)
	m.Receive(serverDawn, 2, wantsAll)
	require.Equal(t, []string{want}, heardBy(m.Receive(serverDawn, 1, lying()), 2))

	m = population(ServerConfig{Media: true}, 3)
	fx := m.Receive(serverDawn, 1, lying())
	require.Empty(t, fx.Send)
	require.Equal(t, want, wireTextOf(fx.Media[0].Message))
	for id := PeerID(2); id <= 3; id++ {
		fx, ok := m.Media(serverDawn, id, &Offer{ID: "s", SDP: "v=0", Label: "lie", Source: "lie"})
		require.True(t, ok)
		require.Equal(t, []string{want}, heardBy(fx, id))
	}
	_, ok := m.Media(serverDawn, 1, &Offer{ID: "s", SDP: "v=0"})
	require.False(t, ok, "nobody receives its own stream")
}

func TestAStreamEndsForAllWhoReceiveIt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(m *ServerMachine) ServerEffects{
		"closed": func(m *ServerMachine) ServerEffects { return m.Receive(serverDawn, 1, &Close{ID: "s"}) },
		"left": func(m *ServerMachine) ServerEffects {
			return m.Receive(serverDawn, 1, &Join{Kind: JoinLeave, Group: "g"})
		},
		"disconnected": func(m *ServerMachine) ServerEffects { return m.Disconnect(serverDawn, 1) },
		"kicked":       func(m *ServerMachine) ServerEffects { return m.Kick(serverDawn, 1, "") },
		"unpresented": func(m *ServerMachine) ServerEffects {
			return m.Receive(serverDawn, 2, &UserAction{Kind: UserUnpresent, Dest: "c1"})
		},
		"aborted by the router": func(m *ServerMachine) ServerEffects {
			fx, ok := m.Media(serverDawn, 1, &Abort{ID: "s"})
			require.True(t, ok)
			return fx
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := population(ServerConfig{Media: true}, 4)
			m.Receive(serverDawn, 1, &Offer{ID: "s", SDP: "v=0"})
			for id := PeerID(2); id <= 3; id++ { // the fourth does not want it
				_, ok := m.Media(serverDawn, id, &Offer{ID: "s", SDP: "v=0"})
				require.True(t, ok)
			}
			fx := end(m)
			for id := PeerID(2); id <= 3; id++ {
				require.Equal(t, `{"type":"close","id":"s"}`, heardBy(fx, id)[0], "before anything else about its sender")
				require.Empty(t, m.peers[id].down)
			}
			require.NotContains(t, heardBy(fx, 4), `{"type":"close","id":"s"}`)
			require.Empty(t, m.groups["g"].streams)
			closes := 0
			for _, e := range fx.Media {
				if c, ok := e.Message.(*Close); ok && c.ID == "s" && e.Peer == 1 {
					closes++
				}
			}
			require.Equal(t, 1, closes, "the router hears of it once")
		})
	}
}

func TestAReplacedStreamThatNobodyOffersAnewEndsWithItsSender(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{Media: true}, 2)
	m.Receive(serverDawn, 1, &Offer{ID: "old", SDP: "v=0"})
	_, ok := m.Media(serverDawn, 2, &Offer{ID: "old", SDP: "v=0"})
	require.True(t, ok)
	fx := m.Receive(serverDawn, 1, &Offer{ID: "new", Replace: "old", SDP: "v=0"})
	require.Empty(t, fx.Send, "the receiver hears of the new one, or of nothing")
	require.Len(t, fx.Media, 1)
	// The router never offers the new one.
	fx = m.Disconnect(serverDawn, 1)
	require.Equal(t, []string{
		`{"type":"close","id":"old"}`, `{"type":"user","kind":"delete","id":"c1","username":"u1"}`,
	}, heardBy(fx, 2))
	require.Empty(t, m.peers[2].down)
}

func TestStreamsOfTwoGroupsDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	for id := PeerID(3); id <= 4; id++ {
		m.Connect(serverDawn, id, Connection{})
		shakeHands(m, id, fmt.Sprint("c", id-2)) // the ids of those in g
		username := "u"
		fx := m.Receive(serverDawn, id, &Join{Kind: JoinJoin, Group: "h", Username: &username})
		m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Group: &Group{}, Grant: Grant{username, asSpeaker}})
	}
	for id := PeerID(1); id <= 4; id++ {
		m.Receive(serverDawn, id, wantsAll)
	}
	require.Len(t, heardBy(m.Receive(serverDawn, 1, &Offer{ID: "s", SDP: "v=0 g"}), 2), 1)
	fx := m.Receive(serverDawn, 3, &Offer{ID: "s", SDP: "v=0 h"})
	require.Len(t, fx.Send, 1)
	require.Equal(t, PeerID(4), fx.Send[0].To)
	fx = m.Receive(serverDawn, 4, &Answer{ID: "s", SDP: "v=0"})
	require.Len(t, fx.Send, 1)
	require.Equal(t, PeerID(3), fx.Send[0].To)
	fx = m.Disconnect(serverDawn, 3)
	require.Empty(t, heardBy(fx, 2))
	require.Len(t, m.groups["g"].streams, 1)
}

func TestALongCandidateDoesNotWait(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	m.Receive(serverDawn, 1, &Offer{ID: "s", SDP: "v=0"})
	candidate := func(length int) *ICE {
		return &ICE{ID: "s", Candidate: []byte(`"` + strings.Repeat("x", length-2) + `"`)}
	}
	m.Receive(serverDawn, 1, candidate(relayCandidateBytes+1))
	m.Receive(serverDawn, 1, candidate(relayCandidateBytes))
	require.Len(t, m.Receive(serverDawn, 2, wantsAll).Send, 2, "the offer and the one that is short enough")
	require.Len(t, m.Receive(serverDawn, 1, candidate(relayCandidateBytes+1)).Send, 1, "what does not wait may be long")
}

func TestARequestThatCrossesTheEndOfItsStreamIsIgnored(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	m.Receive(serverDawn, 2, wantsAll)
	for n := range 2 * maxLost { // of which the first ones are forgotten
		id := fmt.Sprint("s", n)
		require.Len(t, m.Receive(serverDawn, 1, &Offer{ID: id, SDP: "v=0"}).Send, 1)
		require.Len(t, m.Receive(serverDawn, 1, &Close{ID: id}).Send, 1)
		require.Zero(t, m.Receive(serverDawn, 2, &RequestStream{ID: id}))
		require.LessOrEqual(t, len(m.peers[2].lost), maxLost)
	}
	fx := m.Receive(serverDawn, 2, &RequestStream{ID: "never"})
	require.Equal(t, []Closing{{Peer: 2, Code: transport.StatusInternalError}}, fx.Close)
}

func TestAProgramIsNoUser(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		msg  Message
		want string
	}{
		"chat":         {&Chat{Dest: "whip", Value: NewText("x")}, "this user doesn't chat"},
		"user message": {&UserMessage{Kind: "x", Dest: "whip"}, "this user doesn't chat"},
		"op":           {&UserAction{Kind: UserOp, Dest: "whip"}, "this is not a real user"},
		"unpresent":    {&UserAction{Kind: UserUnpresent, Dest: "whip"}, "this is not a real user"},
	} {
		m := population(ServerConfig{}, 1)
		m.peers[1].permissions = Permissions{PermissionOp, PermissionMessage}
		m.Connect(serverDawn, 9, Connection{Program: true})
		m.Receive(serverDawn, 9, &Handshake{Version: []string{Version}, ID: "whip"})
		fx := m.Receive(serverDawn, 9, &Join{Kind: JoinJoin, Group: "g", Username: new("whip")})
		m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{
			Group: m.groups["g"].desc, Grant: Grant{"whip", Permissions{PermissionPresent}},
		})
		fx = m.Receive(serverDawn, 1, tt.msg)
		require.Len(t, fx.Send, 1, name)
		require.Equal(t, Delivery{1, &UserMessage{
			Kind: UserMessageError, Dest: m.peers[1].client, Privileged: true, Value: NewText(tt.want),
		}}, fx.Send[0], name)
		require.Equal(t, Permissions{PermissionPresent}, m.peers[9].permissions)
	}
}
