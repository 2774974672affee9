package galene

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// What decodes is tried by the vectors; these are the messages that an application builds.
func TestValidateNamesTheMemberAndTheRule(t *testing.T) {
	t.Parallel()
	const utf8 = "\xff"
	notUTF8, one := jsonx.ErrUTF8.Error(), json.RawMessage("1")
	for _, tt := range []struct {
		want    string
		message Message
	}{
		{"handshake: version[1]: " + notUTF8, &Handshake{Version: []string{"2", utf8}}},
		{"handshake: id: " + notUTF8, &Handshake{ID: utf8}},
		{"handshake: version: " + jsonx.ErrDeclared.Error(), &Handshake{Extra: Fields{"version": json.RawMessage(`["2"]`)}}},
		{"handshake: id: " + jsonx.ErrDeclared.Error(), &Handshake{Extra: Fields{"id": one, "z": nil}}},
		{"ping: type: " + jsonx.ErrDeclared.Error(), &Ping{Extra: Fields{"type": json.RawMessage(`"ping"`)}}},
		{"ping: id: " + jsonx.ErrType.Error(), &Ping{Extra: Fields{"id": one}}},
		{"ping: id: " + jsonx.ErrType.Error(), &Ping{Extra: Fields{"id": json.RawMessage(" 1"), "kind": one}}},
		{"ping: permissions[0]: " + jsonx.ErrType.Error(), &Ping{Extra: Fields{"permissions": json.RawMessage(" [1]")}}},
		{"ping: candidate.sdpMid: " + jsonx.ErrType.Error(), &Ping{Extra: Fields{"candidate": json.RawMessage("\t{ \"sdpMid\" : 1 }")}}},
		{"pong: z: " + jsonx.ErrMissing.Error(), &Pong{Extra: Fields{"z": nil}}},
		{"join: kind: neither join nor leave", &Join{Kind: "Join", Group: "a", Username: new("")}},
		{"join: group: illegal group name", &Join{Kind: JoinLeave}},
		{"join: group: " + notUTF8, &Join{Kind: JoinJoin, Group: utf8, Username: new("")}},
		{"join: username: neither a user name nor a token", &Join{Kind: JoinJoin, Group: "a", Password: "b"}},
		{"join: username: illegal user name", &Join{Kind: JoinJoin, Group: "a", Username: new("/b"), Token: "c"}},
		{"join: username: " + notUTF8, &Join{Kind: JoinJoin, Group: "a", Username: new(utf8)}},
		{"join: password: " + notUTF8, &Join{Kind: JoinJoin, Group: "a", Username: new(""), Password: utf8}},
		{"join: token: " + notUTF8, &Join{Kind: JoinJoin, Group: "a", Token: utf8}},
		{"join: data.b: " + jsonx.ErrSyntax.Error(), &Join{Kind: JoinJoin, Group: "a", Token: "c", Data: Fields{"b": json.RawMessage("{")}}},
		{"join: data.b: " + jsonx.ErrMissing.Error(), &Join{Kind: JoinJoin, Group: "a", Token: "c", Data: Fields{"b": nil}}},
		{"joined: kind: missing", &Joined{}},
		{"joined: kind: " + notUTF8, &Joined{Kind: utf8}},
		{"joined: value: missing", &Joined{Kind: JoinedRedirect}},
		{"joined: value: " + notUTF8, &Joined{Kind: JoinedFail, Value: utf8}},
		{"joined: error: " + notUTF8, &Joined{Kind: JoinedFail, Value: "a", Error: utf8}},
		{"joined: username: " + notUTF8, &Joined{Kind: JoinedJoin, Username: new(utf8)}},
		{"joined: permissions[0]: " + notUTF8, &Joined{Kind: JoinedJoin, Permissions: Permissions{utf8}}},
		{"joined: group: " + notUTF8, &Joined{Kind: JoinedJoin, Group: utf8}},
		{"joined: status.name: " + notUTF8, &Joined{Kind: JoinedJoin, Status: &Status{Name: utf8}}},
		{"joined: status.authPortal: " + notUTF8, &Joined{Kind: JoinedJoin, Status: &Status{AuthPortal: utf8}}},
		{"joined: status.name: " + jsonx.ErrDeclared.Error(), &Joined{Kind: JoinedJoin, Status: &Status{Extra: Fields{"name": one}}}},
		{"joined: data.a: " + jsonx.ErrSyntax.Error(), &Joined{Kind: JoinedJoin, Data: Fields{"a": json.RawMessage("x")}}},
		{"joined: rtcConfiguration: " + jsonx.ErrSyntax.Error(), &Joined{Kind: JoinedJoin, RTCConfiguration: json.RawMessage("{")}},
		{"joined: rtcConfiguration: " + jsonx.ErrNotObject.Error(), &Joined{Kind: JoinedJoin, RTCConfiguration: json.RawMessage("[]")}},
		{"joined: rtcConfiguration: " + jsonx.ErrDepth.Error(), &Joined{Kind: JoinedJoin, RTCConfiguration: json.RawMessage(`{"z":` + nestedArrays(63) + `}`)}},
		{"user: kind: missing", &User{ID: "a"}},
		{"user: id: missing", &User{Kind: UserAdd}},
		{"user: id: " + notUTF8, &User{Kind: UserAdd, ID: utf8}},
		{"user: username: " + notUTF8, &User{Kind: UserAdd, ID: "a", Username: new(utf8)}},
		{"user: permissions[1]: " + notUTF8, &User{Kind: UserAdd, ID: "a", Permissions: Permissions{"op", utf8}}},
		{"user: data." + utf8 + ": " + notUTF8, &User{Kind: UserAdd, ID: "a", Data: Fields{utf8: one}}},
		{"chat: kind: " + notUTF8, &Chat{Kind: utf8}},
		{"chat: id: " + notUTF8, &Chat{ID: utf8}},
		{"chat: source: " + notUTF8, &Chat{Source: utf8}},
		{"chat: dest: " + notUTF8, &Chat{Dest: utf8}},
		{"chat: username: " + notUTF8, &Chat{Username: new(utf8)}},
		{"chat: value: " + jsonx.ErrUTF8.Error(), &Chat{Value: json.RawMessage("\"\xff\"")}},
		{"chat: value: " + jsonx.ErrSyntax.Error(), &Chat{Value: json.RawMessage("hello")}},
		{"chat: time: not RFC 3339", &Chat{Time: "1619612745000"}},
		{"chathistory: kind: " + notUTF8, &ChatHistory{Kind: utf8}},
		{"chathistory: id: " + notUTF8, &ChatHistory{ID: utf8}},
		{"chathistory: source: " + notUTF8, &ChatHistory{Source: utf8}},
		{"chathistory: value: " + jsonx.ErrDuplicate.Error(), &ChatHistory{Value: json.RawMessage(`{"a":1,"a":2}`)}},
		{"chathistory: time: not RFC 3339", &ChatHistory{Time: utf8}},
		{"usermessage: kind: " + notUTF8, &UserMessage{Kind: utf8}},
		{"usermessage: error: " + notUTF8, &UserMessage{Error: utf8}},
		{"usermessage: id: " + notUTF8, &UserMessage{ID: utf8}},
		{"usermessage: dest: " + notUTF8, &UserMessage{Dest: utf8}},
		{"usermessage: value: " + jsonx.ErrDepth.Error(), &UserMessage{Value: json.RawMessage(nestedArrays(64))}},
		{"usermessage: time: not RFC 3339", &UserMessage{Time: "now"}},
		{"useraction: kind: unknown", &UserAction{Dest: "a"}},
		{"useraction: dest: missing", &UserAction{Kind: UserOp}},
		{"useraction: dest: " + notUTF8, &UserAction{Kind: UserOp, Dest: utf8}},
		{"useraction: source: " + notUTF8, &UserAction{Kind: UserOp, Dest: "a", Source: utf8}},
		{"useraction: value: not an object", &UserAction{Kind: UserSetData, Dest: "a", Value: json.RawMessage("[]")}},
		{"useraction: value: " + jsonx.ErrSyntax.Error(), &UserAction{Kind: UserSetData, Dest: "a", Value: json.RawMessage("{")}},
		{"groupaction: kind: unknown", &GroupAction{Kind: "promote"}},
		{"groupaction: username: " + notUTF8, &GroupAction{Kind: GroupLock, Username: new(utf8)}},
		{"groupaction: value: not an object", &GroupAction{Kind: GroupSetData, Value: json.RawMessage("null")}},
		{"groupaction: value.userId: missing", &GroupAction{Kind: GroupClearChat, Value: json.RawMessage(`{"id":"m"}`)}},
		{"groupaction: value.id: " + jsonx.ErrType.Error(), &GroupAction{Kind: GroupClearChat, Value: json.RawMessage(`{"id":1}`)}},
		{"request: request: " + notUTF8, &Request{Request: map[string][]TrackKind{utf8: nil}}},
		{"request: request.a[1]: " + notUTF8, &Request{Request: map[string][]TrackKind{"a": {TrackAudio, utf8}}}},
		{"request: request: of two dialects", &Request{Request: map[string][]TrackKind{}, Tracks: Fields{}}},
		{"request: request.audio: " + jsonx.ErrSyntax.Error(), &Request{Tracks: Fields{"audio": json.RawMessage("yes")}}},
		{"requestStream: id: missing", &RequestStream{}},
		{"requestStream: request[0]: " + notUTF8, &RequestStream{ID: "a", Request: []TrackKind{utf8}}},
		{"offer: id: missing", &Offer{SDP: "v=0"}},
		{"offer: sdp: missing", &Offer{ID: "a"}},
		{"offer: sdp: " + notUTF8, &Offer{ID: "a", SDP: utf8}},
		{"offer: kind: " + notUTF8, &Offer{ID: "a", SDP: "v=0", Kind: utf8}},
		{"offer: replace: " + notUTF8, &Offer{ID: "a", SDP: "v=0", Replace: utf8}},
		{"offer: label: " + notUTF8, &Offer{ID: "a", SDP: "v=0", Label: utf8}},
		{"offer: labels: " + notUTF8, &Offer{ID: "a", SDP: "v=0", Labels: map[string]string{utf8: ""}}},
		{"offer: labels.0: " + notUTF8, &Offer{ID: "a", SDP: "v=0", Labels: map[string]string{"0": utf8}}},
		{"answer: id: missing", &Answer{SDP: "v=0"}},
		{"answer: sdp: missing", &Answer{ID: "a"}},
		{"ice: id: missing", NewICE("", ICECandidateInit{})},
		{"ice: candidate: missing", &ICE{ID: "a"}},
		{"ice: candidate: missing", &ICE{ID: "a", Candidate: json.RawMessage(" null\n")}},
		{"ice: candidate: " + jsonx.ErrNotObject.Error(), &ICE{ID: "a", Candidate: json.RawMessage(`"candidate:1"`)}},
		{"ice: candidate: " + jsonx.ErrDuplicate.Error(), &ICE{ID: "a", Candidate: json.RawMessage(`{"a":1,"a":2}`)}},
		{"ice: candidate: " + jsonx.ErrDepth.Error(), &ICE{ID: "a", Candidate: json.RawMessage(`{"z":` + nestedArrays(63) + `}`)}},
		{"ice: candidate.sdpMLineIndex: " + jsonx.ErrRange.Error(), &ICE{ID: "a", Candidate: json.RawMessage(`{"sdpMLineIndex":65536}`)}},
		{"ice: candidate.sdpMLineIndex: " + jsonx.ErrType.Error(), &ICE{ID: "a", Candidate: json.RawMessage(` {"sdpMLineIndex":1e0}`)}},
		{"renegotiate: id: missing", &Renegotiate{}},
		{"renegotiate: id: " + notUTF8, &Renegotiate{ID: utf8}},
		{"close: id: missing", &Close{}},
		{"abort: id: missing", &Abort{}},
		{"ping: type: is a known one", &Unknown{Type: "ping"}},
		{"unknown: type: missing", &Unknown{}},
		{"unknown: type: " + notUTF8, &Unknown{Type: utf8}},
		{"acme: sdp: " + jsonx.ErrType.Error(), &Unknown{Type: "acme", Extra: Fields{"sdp": one}}},
		{"acme: type: " + jsonx.ErrDeclared.Error(), &Unknown{Type: "acme", Extra: Fields{"type": one}}},
		{"reconnected: type: does not exist on the wire", &Reconnected{}},
	} {
		require.EqualError(t, tt.message.Validate(), "galene: invalid "+tt.want, tt.want)
		require.IsType(t, new(ValidationError), tt.message.Validate())
	}
}

func TestValidateTakesWhatPeersSend(t *testing.T) {
	t.Parallel()
	for _, m := range []Message{
		&Handshake{}, &Ping{Extra: Fields{"id": json.RawMessage(" \"a\""), "z": json.RawMessage(" 1")}},
		&Join{Kind: JoinLeave, Group: "a"}, // needs no user
		&Join{Kind: JoinJoin, Group: "a", Username: new("")},
		&Join{Kind: JoinJoin, Group: "a", Token: "b"},
		&Joined{Kind: JoinedChange, RTCConfiguration: json.RawMessage("null")},
		&Joined{Kind: "tomorrow"},
		&Joined{Kind: JoinedJoin, Status: &Status{}},
		&User{Kind: UserDelete, ID: "a"},
		&Chat{Time: "2026-11-20T23:53:46+01:00"}, &Chat{Time: "2026-11-20T23:53:46.5Z"},
		&UserMessage{Kind: UserMessageToken, Value: json.RawMessage("true")}, // see Token for the value
		&UserAction{Kind: UserSetData, Dest: "a", Value: json.RawMessage(" {}")},
		&GroupAction{Kind: GroupClearChat, Value: json.RawMessage("null")}, &GroupAction{Kind: GroupClearChat, Value: json.RawMessage("{}")},
		&GroupAction{Kind: GroupLock, Value: json.RawMessage("5")}, // which servers take for no text
		&Request{}, &Request{Tracks: Fields{"audio": json.RawMessage("true")}}, &Request{Request: map[string][]TrackKind{"": {"smell"}}},
		NewICE("a", ICECandidateInit{}),
		&ICE{ID: "a", Candidate: json.RawMessage("\n{ }")},
		&Unknown{Type: "Ping"},
	} {
		require.NoError(t, m.Validate(), "%#v", m)
	}
}

func TestValidNameTakesPathsAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"test", "a/b", "a/b/c", ".hidden", "a/.b", "...", "a b", " ", "é😀", "A", "a.", "..a", "a..", "%2e", "a\x00", "\xff", "C:", "~", "-",
	} {
		require.True(t, ValidName(name), "%q", name)
	}
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../test", "a/../b", "a/./b", `\`, `a\b`, `..\a`, "a/b/", "//",
	} {
		require.False(t, ValidName(name), "%q", name)
	}
}

// FuzzValidName compares it with the rule of Galène: a path that stays what it is.
func FuzzValidName(f *testing.F) {
	for _, name := range []string{"test", "a/b", "", "/", "a/../b", `a\b`, ".", "a//b", "a/.", "é"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := name != "" && !strings.Contains(name, `\`) && path.Clean("/"+name) == "/"+name
		require.Equal(t, want, ValidName(name), "%q", name)
	})
}
