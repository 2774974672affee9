package galene

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clientChange is a joined message of kind change with these permissions and this data.
func clientChange(permissions, data string) string {
	if data != "" {
		data = `,"data":` + data
	}
	return `> {"type":"joined","kind":"change","group":"g","username":"u","status":{"name":"g"},"permissions":[` +
		permissions + `]` + data + `}`
}

func clientUserChange(permissions, data string) string {
	if data != "" {
		data = `,"data":` + data
	}
	return `> {"type":"user","kind":"change","id":"c1","username":"u","permissions":[` + permissions + `]` + data + `}`
}

func TestAbsentDataOfTheGroupIsADeletionOnlyIfThePermissionsStay(t *testing.T) {
	t.Parallel()
	const plain, op = `"present","message"`, `"op","present","message"`
	joined := []string{
		"start", clientShaken, clientJoins,
		`> {"type":"joined","kind":"join","group":"g","username":"u","permissions":["present","message"],` +
			`"status":{"name":"g","clientCount":1},"data":{"a":1}}`,
		`> {"type":"user","kind":"add","id":"c1","username":"u","permissions":["present","message"]}`,
	}
	for name, tt := range map[string]struct {
		steps []string
		want  string
	}{
		"joined":                   {nil, `{"a":1}`},
		"changed":                  {[]string{clientChange(plain, `{"b":2}`)}, `{"b":2}`},
		"changed by an operator":   {[]string{clientChange(op, ``)}, `{"a":1}`},
		"changed with permissions": {[]string{clientChange(op, `{"b":2}`)}, `{"b":2}`},
		"deleted":                  {[]string{clientChange(plain, ``)}, `null`},
		"deleted, in any order":    {[]string{clientChange(`"message","present"`, ``)}, `null`},
		"empty":                    {[]string{clientChange(plain, `{}`)}, `{}`},
		"deleted, then permitted":  {[]string{clientChange(plain, ``), clientChange(op, ``)}, `null`},
		"permitted, then deleted":  {[]string{clientChange(op, ``), clientUserChange(op, ``), clientChange(op, ``)}, `null`},
		// An operator repeats what he did: the client hears of it again, without data.
		"permitted twice": {[]string{clientChange(op, ``), clientUserChange(op, ``),
			clientChange(op, ``), clientUserChange(op, ``)}, `{"a":1}`},
		// What has to do with the user is no reason to take a deletion back.
		"deleted, then the user's": {[]string{clientChange(plain, ``),
			clientUserChange(plain, `{"raisehand":true}`), clientUserChange(plain, `{"raisehand":true}`)}, `null`},
		"deleted, then another's": {[]string{clientChange(plain, ``),
			`> {"type":"user","kind":"change","id":"b","username":"bob"}`,
			`> {"type":"user","kind":"change","id":"b","username":"bob"}`}, `null`},
	} {
		m := clientAfter(t, ClientConfig{}, slices.Concat(joined, tt.steps)...)
		data, err := json.Marshal(m.Data())
		require.NoError(t, err)
		require.JSONEq(t, tt.want, string(data), name)
	}
}

func TestJoinedMessagesReplaceWhatIsKnown(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp)
	step := func(wire string) {
		msg, err := Decode([]byte(wire))
		require.NoError(t, err)
		m.Receive(clientDawn, msg)
	}
	step(`{"type":"joined","kind":"change","group":"g","username":"v","permissions":["message"],` +
		`"status":{"name":"g","locked":true},"rtcConfiguration":{"iceServers":[]}}`)
	require.Equal(t, "v", m.Username())
	require.Equal(t, Permissions{PermissionMessage}, m.Permissions())
	require.True(t, m.Status().Locked)
	require.JSONEq(t, `{"iceServers":[]}`, string(m.RTCConfiguration()))
	// No permissions means none; what else is absent stays.
	step(`{"type":"joined","kind":"change","group":"g"}`)
	require.Equal(t, "v", m.Username())
	require.Empty(t, m.Permissions())
	require.True(t, m.Status().Locked)
	require.JSONEq(t, `{"iceServers":[]}`, string(m.RTCConfiguration()))
	step(`{"type":"joined","kind":"change","group":"g","rtcConfiguration":null}`)
	require.JSONEq(t, `{"iceServers":[]}`, string(m.RTCConfiguration()))
	// What has no name stays where it is.
	require.Equal(t, "g", m.Group())
}

func TestJoinedWithoutAGroupIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins,
		`> {"type":"joined","kind":"join","username":"u"}`)
	require.Equal(t, "g", m.Group())
	msg := &Chat{Value: NewText("x")}
	require.Equal(t, []Message{msg}, m.Receive(clientDawn, msg).Deliver)
}

func TestRosterIsThatOfTheServer(t *testing.T) {
	t.Parallel()
	joined := func(count string) string {
		return `> {"type":"joined","kind":"join","group":"g","username":"u","status":{"name":"g"` + count + `}}`
	}
	add := func(id string) string { return `> {"type":"user","kind":"add","id":"` + id + `","username":""}` }
	change := func(id string) string { return `> {"type":"user","kind":"change","id":"` + id + `","username":""}` }
	remove := func(id string) string { return `> {"type":"user","kind":"delete","id":"` + id + `"}` }
	for name, tt := range map[string]struct {
		steps   []string
		members string
		initial string // those who were there when the client joined
	}{
		"alone":           {[]string{joined(`,"clientCount":1`), add("c1")}, "c1", "c1"},
		"alone, then two": {[]string{joined(`,"clientCount":1`), add("c1"), add("b")}, "b c1", "c1"},
		"with two": {[]string{joined(`,"clientCount":3`), add("c1"), add("b"), add("d"), add("e")}, "b c1 d e",
			"b c1 d"},
		"without a count":   {[]string{joined(``), add("c1"), add("b")}, "b c1", "c1"},
		"a count of nobody": {[]string{joined(`,"clientCount":0`), add("c1"), add("b")}, "b c1", ""},
		"told of twice": {[]string{joined(`,"clientCount":2`), add("c1"), add("c1"), add("b"), add("d")}, "b c1 d",
			"b c1"},
		"gone": {[]string{joined(`,"clientCount":2`), add("c1"), add("b"), remove("b")}, "c1", "c1"},
		"gone and back": {[]string{joined(`,"clientCount":2`), add("c1"), add("b"), remove("b"), add("b")}, "b c1",
			"c1"},
		"gone without coming": {[]string{joined(`,"clientCount":1`), add("c1"), remove("b")}, "c1", "c1"},
		"changed": {[]string{joined(`,"clientCount":1`), add("c1"), add("b"), change("c1"), change("b")},
			"b c1", "c1"},
		"told of before": {[]string{add("b"), add("c1"), joined(``), add("d")}, "b c1 d", "b c1"},
		"of an unknown kind": {[]string{joined(`,"clientCount":1`), add("c1"), `> {"type":"user","kind":"novelty","id":"b"}`},
			"c1", "c1"},
		"refused, then joined": {[]string{add("b"), `> {"type":"joined","kind":"fail","value":"no"}`, clientJoins,
			joined(`,"clientCount":1`), add("c1")}, "c1", "c1"},
	} {
		m := clientAfter(t, ClientConfig{}, slices.Concat([]string{"start", clientShaken, clientJoins}, tt.steps)...)
		var members, initial []string
		for _, u := range m.members() {
			members = append(members, u.ID)
			if u.Initial {
				initial = append(initial, u.ID)
			}
		}
		require.Equal(t, tt.members, strings.Join(members, " "), name)
		require.Equal(t, tt.initial, strings.Join(initial, " "), name)
	}
}

func TestUserChangeReplacesPermissionsAndData(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp, clientIsHere,
		`> {"type":"user","kind":"add","id":"b","username":"bob","permissions":["op","present"],"data":{"a":1,"b":2}}`,
		`> {"type":"user","kind":"change","id":"b","username":"bob","data":{"b":3}}`)
	want := &User{Kind: UserChange, ID: "b", Username: new("bob"), Data: Fields{"b": json.RawMessage("3")}}
	require.Equal(t, want, m.Users()["b"])
}

func TestSpoofedSenderIsRefusedAndTheRestIsFilledIn(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp)
	chat := &Chat{Value: NewText("x")}
	fx, err := m.Send(clientDawn, chat)
	require.NoError(t, err)
	require.Equal(t, &Chat{Source: "c1", Username: new("u"), Value: NewText("x")}, fx.Send[0])
	require.Equal(t, &Chat{Value: NewText("x")}, chat, "what the application has given stays as it is")
	fx.Send[0].(*Chat).Username = nil
	require.Equal(t, "u", m.Username())
}

func TestWhatIsLargerThanServersTakeIsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", DefaultMessageBytes)
	quotes := strings.Repeat(`"`, DefaultMessageBytes/2+1) // which are escaped
	fields := Fields{"a": json.RawMessage(`"` + long + `"`)}
	for _, msg := range []Message{
		&Chat{Value: NewText(long)}, &Chat{ID: long}, &Chat{Kind: ChatKind(quotes)}, &Chat{Dest: long}, &Chat{Extra: fields},
		&UserMessage{Kind: "k", Value: NewText(long)}, &UserMessage{Kind: "k", Extra: Fields{long: json.RawMessage("1")}},
		&UserAction{Kind: UserSetData, Value: json.RawMessage(`{"a":"` + long + `"}`)},
		&UserAction{Kind: UserKick, Dest: long},
		&GroupAction{Kind: GroupLock, Value: NewText(long)},
		&Request{Request: map[string][]TrackKind{long: nil}},
		&Request{Request: map[string][]TrackKind{"": {TrackKind(quotes)}}},
		&RequestStream{ID: "d", Request: []TrackKind{TrackKind(long)}}, &RequestStream{ID: "d", Extra: fields},
		&Offer{ID: "o", SDP: long}, &Offer{ID: "o", SDP: quotes}, &Offer{ID: long, SDP: "v=0"},
		&Offer{ID: "o", SDP: "v=0", Labels: map[string]string{"0": long}},
		&Answer{ID: "d", SDP: long}, &Answer{ID: "d", SDP: "v=0", Extra: fields},
		&ICE{ID: "d", Candidate: json.RawMessage(`{"candidate":"` + long + `"}`)},
		&Renegotiate{ID: "d", Extra: fields}, &Close{ID: "u", Extra: fields}, &Abort{ID: "d", Extra: fields},
		&Ping{Extra: fields}, &Pong{Extra: fields}, &Unknown{Type: "novelty", Extra: fields}, &Unknown{Type: long},
	} {
		m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp, clientOffers, clientOffered)
		fx, err := m.Send(clientDawn, msg)
		require.Equal(t, &ValidationError{Type: msg.wireType(), Field: "length", Reason: "message too big"}, err, "%T", msg)
		require.Zero(t, fx)
	}
	for _, join := range []*Join{
		{Group: long, Username: new("u")}, {Group: "g", Username: &long}, {Group: "g", Token: long},
		{Group: "g", Username: new("u"), Password: quotes}, {Group: "g", Username: new("u"), Data: fields},
		{Group: "g", Username: new("u"), Extra: fields},
	} {
		join.Kind = JoinJoin
		m := clientAfter(t, ClientConfig{}, "start", clientShaken)
		_, err := m.Send(clientDawn, join)
		require.Equal(t, &ValidationError{Type: "join", Field: "length", Reason: "message too big"}, err)
		require.Equal(t, ClientReady, m.State())
	}

	// To the byte.
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp)
	b, err := Encode(&Chat{Source: "c1", Username: new("u"), Value: NewText("")})
	require.NoError(t, err)
	room := DefaultMessageBytes - len(b)
	_, err = m.Send(clientDawn, &Chat{Value: NewText(long[:room])})
	require.NoError(t, err)
	_, err = m.Send(clientDawn, &Chat{Value: NewText(long[:room+1])})
	require.Error(t, err)
}

func TestRequestOfTheDocumentIsForItsServersOnly(t *testing.T) {
	t.Parallel()
	tracks := func() *Request { return &Request{Tracks: Fields{"audio": json.RawMessage("true")}} }
	both := ClientConfig{Versions: []string{"2", "1"}}
	for version, sends := range map[string]bool{`,"version":["2"]`: false, `,"version":["1"]`: false, ``: true} {
		m := clientAfter(t, both, "start", `> {"type":"handshake"`+version+`}`, clientJoins, clientIsOp)
		_, err := m.Send(clientDawn, tracks())
		if sends {
			require.NoError(t, err)
			continue
		}
		e, ok := errors.AsType[*ValidationError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "request", e.Field)
	}
}

func TestVersionIsTheBestOfBoth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ours  []string
		wire  string
		agree bool
		want  string
	}{
		{nil, `["2"]`, true, "2"},
		{nil, `["1","2","3"]`, true, "2"},
		{nil, `["1"]`, false, ""},
		{nil, `[]`, false, ""},
		{nil, `null`, false, ""},
		{[]string{"2", "1"}, `["1"]`, true, "1"},
		{[]string{"2", "1"}, `["1","2"]`, true, "2"},
		{[]string{"1", "2"}, `["2","1"]`, true, "1"},
		{[]string{"2", "1"}, `null`, true, ""},
		{[]string{"2", "1"}, `["3"]`, false, ""},
		{[]string{"3"}, `["3"]`, true, "3"},
	} {
		m := clientAfter(t, ClientConfig{Versions: tt.ours}, "start", `> {"type":"handshake","version":`+tt.wire+`}`)
		require.Equal(t, tt.agree, m.State() == ClientReady, "%v %s", tt.ours, tt.wire)
		require.Equal(t, tt.want, m.Version(), "%v %s", tt.ours, tt.wire)
	}
	for version, dialect := range map[string]Dialect{"2": DialectV2, "1": DialectV1, "": Dialect04, "3": DialectV2} {
		require.Equal(t, dialect, dialectOf(version))
	}
}

func TestOldServersRefuseWhatTheyRefuseThemselves(t *testing.T) {
	t.Parallel()
	both := ClientConfig{Versions: []string{"2", "1"}}
	for _, version := range []string{``, `,"version":["1"]`} {
		m := clientAfter(t, both, "start", `> {"type":"handshake"`+version+`}`, clientJoins,
			`> {"type":"joined","kind":"join","group":"g","username":"u","permissions":{}}`)
		for _, msg := range []Message{
			&Chat{Value: NewText("x")}, &UserMessage{Kind: "k"}, &UserAction{Kind: UserOp, Dest: "b"},
			&GroupAction{Kind: GroupClearChat}, &Offer{ID: "o", SDP: "v=0"},
		} {
			_, err := m.Send(clientDawn, msg)
			require.NoError(t, err, "%T", msg)
		}
	}
}

func TestDeadlinesOfAClient(t *testing.T) {
	t.Parallel()
	m := NewClientMachine(ClientConfig{NewID: countedIDs()})
	due := func(want time.Duration) {
		t.Helper()
		at, ok := m.Deadline()
		require.True(t, ok)
		require.Equal(t, want, at.Sub(clientDawn))
	}
	_, ok := m.Deadline()
	require.False(t, ok)
	m.Start(clientDawn)
	due(DefaultHandshakeTimeout)
	receive := func(after time.Duration, msg Message) { m.Receive(clientDawn.Add(after), msg) }
	receive(time.Second, &Handshake{Version: []string{"2"}})
	due(16 * time.Second) // the ping
	require.Zero(t, m.Expire(clientDawn.Add(15*time.Second)))
	require.Equal(t, []Message{&Ping{}}, m.Expire(clientDawn.Add(16*time.Second)).Send)
	due(31 * time.Second)
	require.Equal(t, []Message{&Ping{}}, m.Expire(clientDawn.Add(31*time.Second)).Send)
	due(46 * time.Second) // the end
	receive(40*time.Second, &Pong{})
	due(55 * time.Second)
	_, err := m.Send(clientDawn.Add(41*time.Second), &Join{Kind: JoinJoin, Group: "g", Username: new("u")})
	require.NoError(t, err)
	due(55 * time.Second)
	receive(42*time.Second, &Joined{Kind: JoinedJoin, Group: "g", Permissions: Permissions{"op", "token"}})
	due(43 * time.Second) // the request again
	require.Zero(t, m.Expire(clientDawn.Add(43*time.Second)), "of which there is none")
	due(57 * time.Second)
	_, err = m.Send(clientDawn.Add(41*time.Second), &GroupAction{Kind: GroupListTokens})
	require.NoError(t, err)
	due(56 * time.Second) // its answer
	fx := m.Expire(clientDawn.Add(56 * time.Second))
	require.Len(t, fx.Done, 1)
	require.Equal(t, ErrCallTimeout, fx.Done[0].Err)
	due(57 * time.Second)
}

func TestNegativeTimesAreNone(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{
		HandshakeTimeout: -1, CallTimeout: -1, Heartbeat: -1, Silence: -1, RequestAgain: -1, Pending: -1,
	}, "start")
	_, due := m.Deadline()
	require.False(t, due)
	m = clientAfter(t, m.cfg, "start", clientShaken, clientJoins, clientIsOp,
		`< {"type":"request","request":{"":["audio"]}}`)
	for range 2 * DefaultPending {
		_, err := m.Send(clientDawn, &GroupAction{Kind: GroupListTokens})
		require.NoError(t, err)
	}
	_, due = m.Deadline()
	require.False(t, due)
	require.Zero(t, m.Expire(clientDawn.Add(1000*time.Hour)))
}

func TestTokenActionThatTimedOutKeepsItsPlace(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{Silence: -1, Heartbeat: -1, Pending: 3},
		"start", clientShaken, clientJoins, clientIsOp)
	var sent []Message
	for n := range 3 {
		msg := &GroupAction{Kind: GroupMakeToken, Value: fmt.Appendf(nil, `{"group":"g","expires":%d}`, n+1)}
		sent = append(sent, msg)
		_, err := m.Send(clientDawn.Add(time.Duration(n)*time.Second), msg)
		require.NoError(t, err)
	}
	_, err := m.Send(clientDawn, &GroupAction{Kind: GroupListTokens})
	require.Equal(t, ErrTooManyCalls, err)
	// The one in the middle times out with the first.
	fx := m.Expire(clientDawn.Add(DefaultCallTimeout + time.Second))
	require.Equal(t, []Reply{{Request: sent[0], Err: ErrCallTimeout}, {Request: sent[1], Err: ErrCallTimeout}}, fx.Done)
	token := func(name string) *UserMessage {
		value := fmt.Appendf(nil, `{"token":%q,"group":"g"}`, name)
		return &UserMessage{Kind: UserMessageToken, Privileged: true, Value: value}
	}
	require.Zero(t, m.Receive(clientDawn, token("A")))
	require.Zero(t, m.Receive(clientDawn, token("B")))
	last := token("C")
	require.Equal(t, []Reply{{Request: sent[2], Response: last}}, m.Receive(clientDawn, last).Done)
	require.Equal(t, []Message{last}, m.Receive(clientDawn, last).Deliver, "which nobody waits for")
}

func TestMalformedAnswersAreErrorsOfTheirActions(t *testing.T) {
	t.Parallel()
	for wire, kind := range map[string]GroupActionKind{
		`{"type":"usermessage","kind":"token","privileged":true,"value":7}`:                        GroupMakeToken,
		`{"type":"usermessage","kind":"token","privileged":true}`:                                  GroupMakeToken,
		`{"type":"usermessage","kind":"tokenlist","privileged":true,"value":{}}`:                   GroupListTokens,
		`{"type":"usermessage","kind":"tokenlist","privileged":true,"value":[{"token":7}]}`:        GroupListTokens,
		`{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"T","group":[]}}`: GroupMakeToken,
	} {
		m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp)
		request := &GroupAction{Kind: kind, Value: json.RawMessage(`{"group":"g","expires":1}`)}
		_, err := m.Send(clientDawn, request)
		require.NoError(t, err)
		msg, err := Decode([]byte(wire))
		require.NoError(t, err)
		fx := m.Receive(clientDawn, msg)
		require.Len(t, fx.Done, 1, wire)
		_, ok := errors.AsType[*ValidationError](fx.Done[0].Err)
		require.True(t, ok, "%s: %v", wire, fx.Done[0].Err)
		require.Empty(t, fx.Deliver)
	}
}

func TestSetJoinIsForThoseWhoHaveJoined(t *testing.T) {
	t.Parallel()
	other := &Join{Kind: JoinJoin, Group: "h", Token: "T"}
	m := clientAfter(t, ClientConfig{}, "start", clientShaken)
	m.SetJoin(other)
	m.Lost(clientDawn)
	m.Start(clientDawn)
	fx := m.Receive(clientDawn, &Handshake{Version: []string{"2"}})
	require.Empty(t, fx.Send)
	require.Equal(t, []Message{new(Reconnected)}, fx.Deliver)

	m = clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp, "lost")
	m.SetJoin(other)
	m.Start(clientDawn)
	require.False(t, m.Ready())
	require.Equal(t, []Message{other}, m.Receive(clientDawn, &Handshake{Version: []string{"2"}}).Send)
	require.False(t, m.Ready(), "the group is part of it")
}

func TestPermissionToChatIsLearntOnEachConnection(t *testing.T) {
	t.Parallel()
	presenter := `> {"type":"joined","kind":"join","group":"g","username":"u","permissions":["present"]}`
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, presenter,
		`> {"type":"user","kind":"add","id":"b","username":"bob","permissions":["message"]}`)
	_, err := m.Send(clientDawn, &Chat{Value: NewText("x")})
	require.Equal(t, &PermissionError{Type: "chat", Required: PermissionMessage}, err)
	m = clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp, "lost", "start", clientShaken, presenter)
	_, err = m.Send(clientDawn, &Chat{Value: NewText("x")})
	require.NoError(t, err, "the server may be another one, before 0.9")
}

func TestKickCountsForItsConnection(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientShaken, clientJoins, clientIsOp,
		`> {"type":"usermessage","kind":"kicked","id":"b","username":"bob","privileged":true,"value":"enough"}`)
	c := m.Lost(clientDawn).Close
	require.NotNil(t, c)
	require.True(t, c.Final)
	require.Equal(t, &KickedError{By: "b", ByName: "bob", Message: "enough"}, c.Err)

	// Whoever connects again nevertheless begins anew.
	m.Start(clientDawn)
	require.Nil(t, m.Lost(clientDawn).Close)
}

func TestIDsAreCountedWithoutAFunction(t *testing.T) {
	t.Parallel()
	m := NewClientMachine(ClientConfig{})
	for n := range 3 {
		fx := m.Start(clientDawn)
		require.Equal(t, []Message{&Handshake{Version: []string{"2"}, ID: fmt.Sprintf("client-%d", n+1)}}, fx.Send)
		require.Equal(t, fmt.Sprintf("client-%d", n+1), m.ID())
		m.Lost(clientDawn)
	}
}
