package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestGaleneOperatorsGiveAndTakePermissions(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob, dave := s.join(t, "test", "alice"), s.join(t, "test", "bob"), s.join(t, "test", "dave")
		for _, tt := range []struct {
			kind galene.UserActionKind
			want []string
		}{
			{galene.UserOp, []string{"message", "op", "present", "record"}},
			{galene.UserOp, []string{"message", "op", "present", "record"}}, // again
			{galene.UserUnop, []string{"message", "present"}},
			{galene.UserUnpresent, []string{"message"}},
			{galene.UserShutUp, []string{}},
			{galene.UserPresent, []string{"present"}},
			{galene.UserUnshutUp, []string{"message", "present"}},
		} {
			require.NoError(t, alice.UserAction(tt.kind, bob.ID()))
			joined := expect(bob, "change", func(m *galene.Joined) bool { return m.Kind == galene.JoinedChange })
			require.Equal(t, tt.want, sorted(joined.Permissions), tt.kind)
			require.Equal(t, "bob", *joined.Username)
			for _, c := range []*galeneClient{alice, bob, dave} {
				u := expect(c, "change", func(u *galene.User) bool { return u.Kind == galene.UserChange })
				require.Equal(t, bob.ID(), u.ID, tt.kind)
				require.Equal(t, tt.want, sorted(u.Permissions), tt.kind)
				require.Equal(t, tt.want, sorted(c.User(bob.ID()).Permissions), tt.kind)
			}
			require.Equal(t, tt.want, sorted(bob.Permissions()), tt.kind)
		}
	})
}

func TestGaleneWhoWasMadeOperatorActsAsOne(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		require.NoError(t, alice.UserAction(galene.UserOp, bob.ID()))
		expect(bob, "change", func(m *galene.Joined) bool { return m.Permissions.Has(galene.PermissionOp) })
		require.NoError(t, bob.UserAction(galene.UserUnop, alice.ID()))
		expect(alice, "change", func(m *galene.Joined) bool { return !m.Permissions.Has(galene.PermissionOp) })
		var missing *galene.PermissionError
		require.ErrorAs(t, alice.UserAction(galene.UserUnop, bob.ID()), &missing)
	})
}

func TestGaleneKickedMemberIsToldByWhom(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		for _, text := range []string{"go away", ""} {
			redialled := false
			bob := s.connect(t, &galene.ClientOptions{Redial: func(ctx context.Context) (transport.Conn, error) {
				redialled = true
				return s.dial(ctx)
			}})
			bob.enter("test", "bob")
			id := bob.ID()
			expect(alice, "arrival", func(u *galene.User) bool { return u.ID == id })
			require.NoError(t, alice.Kick(id, text))
			var kicked *galene.KickedError
			require.ErrorAs(t, bob.ended(), &kicked)
			want := text
			if text == "" {
				want = "you have been kicked out"
			}
			require.Equal(t, &galene.KickedError{By: alice.ID(), ByName: "alice", Message: want}, kicked)
			require.False(t, redialled)
			m := expect[*galene.UserMessage](bob, "kick", nil)
			require.Equal(t, galene.UserMessageKicked, m.Kind)
			require.True(t, m.Privileged)
			expect(alice, "leaving", func(u *galene.User) bool { return u.ID == id && u.Kind == galene.UserDelete })
		}
	})
}

func TestGaleneKickClosesTheConnectionWithItsReason(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		for text, reason := range map[string]string{"go away": "kicked out (go away) by alice", "": "kicked out by alice"} {
			r := s.raw(t, "id-bob")
			r.handshake()
			r.join("test", "bob", "bpw")
			expect(alice, "arrival", func(u *galene.User) bool { return u.ID == "id-bob" && u.Kind == galene.UserAdd })
			require.NoError(t, alice.Kick("id-bob", text))
			said := r.rest()
			require.Equal(t, "closed 1000 "+reason, said[len(said)-1])
		}
	})
}

func TestGaleneIdentifyTellsBothSides(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		info, err := alice.Identify(bounded(t), bob.ID())
		require.NoError(t, err)
		require.Equal(t, bob.ID(), info.ID)
		require.Equal(t, "bob", info.Username)
		require.Regexp(t, `^127\.0\.0\.1:\d+$`, info.Address)
		m := expect[*galene.UserMessage](bob, "warning", nil)
		require.Equal(t, galene.UserMessageWarning, m.Kind)
		require.True(t, m.Privileged)
		require.Equal(t, "Your IP address has been communicated to user alice.", textOf(t, m.Value))
	})
}

func TestGaleneUserDataIsMerged(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		for _, tt := range []struct {
			set  galene.Fields
			want string
		}{
			{galene.Fields{"a": json.RawMessage(`1`), "b": json.RawMessage(`{"c":[true]}`)}, `{"a":1,"b":{"c":[true]}}`},
			{galene.Fields{"a": json.RawMessage(`"two"`)}, `{"a":"two","b":{"c":[true]}}`},
			{galene.Fields{"b": json.RawMessage(`null`)}, `{"a":"two"}`},
			{galene.Fields{"nothing": json.RawMessage(`null`)}, `{"a":"two"}`},
		} {
			require.NoError(t, bob.SetData(tt.set))
			for _, c := range []*galeneClient{alice, bob} {
				u := expect(c, "change", func(u *galene.User) bool { return u.Kind == galene.UserChange })
				require.Equal(t, bob.ID(), u.ID)
				got, err := json.Marshal(u.Data)
				require.NoError(t, err)
				require.JSONEq(t, tt.want, string(got))
				require.Equal(t, []string{"message", "present"}, sorted(u.Permissions))
			}
		}
		require.NoError(t, bob.RaiseHand(true))
		expect(alice, "hand", func(u *galene.User) bool { return string(u.Data["raisehand"]) == "true" })
		require.NoError(t, bob.RaiseHand(false))
		expect(alice, "hand", func(u *galene.User) bool { return u.Data["raisehand"] == nil })
		require.Equal(t, []string{"a"}, keys(s.join(t, "test", "carol").member(bob.ID()).Data))
	})
}

func TestGaleneOperatorsLockAndUnlock(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		for _, step := range []struct {
			do     func() error
			locked bool
		}{
			{func() error { return alice.Lock("") }, true},
			{func() error { return alice.Lock("again, with a text") }, true},
			{func() error { return alice.GroupAction(galene.GroupUnlock) }, false},
			{func() error { return alice.GroupAction(galene.GroupUnlock) }, false},
		} {
			require.NoError(t, step.do())
			for _, c := range []*galeneClient{alice, bob} {
				m := expect[*galene.Joined](c, "change", nil)
				require.Equal(t, galene.JoinedChange, m.Kind)
				require.Equal(t, step.locked, m.Status.Locked)
				require.Equal(t, step.locked, c.Status().Locked)
			}
		}
		s.join(t, "test", "carol")
	})
}

func TestGaleneGroupDataIsMergedAndSurvivesPermissions(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		for _, tt := range []struct {
			set  galene.Fields
			want []string
		}{
			{galene.Fields{"a": json.RawMessage(`1`), "b": json.RawMessage(`{}`)}, []string{"a", "b"}},
			{galene.Fields{"a": json.RawMessage(`null`)}, []string{"b"}},
		} {
			require.NoError(t, alice.SetGroupData(tt.set))
			for _, c := range []*galeneClient{alice, bob} {
				m := expect[*galene.Joined](c, "change", nil)
				require.Equal(t, galene.JoinedChange, m.Kind)
				require.Equal(t, tt.want, keys(m.Data))
				require.Equal(t, tt.want, keys(c.Data()))
			}
		}
		require.NoError(t, alice.UserAction(galene.UserUnpresent, bob.ID()))
		require.Nil(t, expect[*galene.Joined](bob, "change", nil).Data, "absence is not deletion")
		require.Equal(t, []string{"b"}, keys(bob.Data()))
		late := s.connect(t, nil)
		require.Equal(t, []string{"b"}, keys(late.enter("test", "carol").Data))
		require.NoError(t, alice.SetGroupData(galene.Fields{"b": json.RawMessage(`null`)}))
		expect[*galene.Joined](bob, "change", nil)
		require.Empty(t, bob.Data())
	})
}

func TestGaleneSubgroupsAreListed(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		list := func() *galene.Chat {
			require.NoError(t, alice.GroupAction(galene.GroupSubgroups))
			return expect[*galene.Chat](alice, "list", nil)
		}
		require.Empty(t, textOf(t, list().Value))
		s.join(t, "test/one", "bob")
		s.join(t, "test/two", "bob")
		s.join(t, "test/two", "carol")
		m := list()
		require.Equal(t, "Server", *m.Username)
		require.Empty(t, m.Source)
		require.Empty(t, m.ID)
		require.Equal(t, alice.ID(), m.Dest)
		lines := slices.Sorted(slices.Values([]string{"test/one (1 client)", "test/two (2 clients)"}))
		require.Equal(t, lines, sortedLines(textOf(t, m.Value)))
	})
}

func TestGaleneRecordingIsSeen(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		require.NoError(t, alice.GroupAction(galene.GroupUnrecord)) // of nothing
		require.NoError(t, alice.GroupAction(galene.GroupRecord))
		recorder := ""
		for _, c := range []*galeneClient{alice, bob} {
			u := expect(c, "recorder", func(u *galene.User) bool { return u.Kind == galene.UserAdd && *u.Username == "RECORDING" })
			require.Equal(t, []string{"system"}, sorted(u.Permissions))
			recorder = u.ID
		}
		require.NoError(t, alice.GroupAction(galene.GroupRecord))
		require.Equal(t, "already recording", alice.refusal())
		require.NoError(t, bob.ChatTo(recorder, "hello"))
		require.Equal(t, "this user doesn't chat", bob.refusal())
		require.NoError(t, alice.UserAction(galene.UserOp, recorder))
		require.Equal(t, "this is not a real user", alice.refusal())
		require.NoError(t, alice.GroupAction(galene.GroupUnrecord))
		for _, c := range []*galeneClient{alice, bob} {
			expect(c, "end of the recording", func(u *galene.User) bool { return u.Kind == galene.UserDelete && u.ID == recorder })
		}
		require.NoError(t, alice.GroupAction(galene.GroupRecord))
		expect(bob, "recorder", func(u *galene.User) bool { return u.Kind == galene.UserAdd && *u.Username == "RECORDING" })
		require.NoError(t, alice.GroupAction(galene.GroupUnrecord))
		expect(bob, "end of the recording", func(u *galene.User) bool { return u.Kind == galene.UserDelete })

		var missing *galene.PermissionError
		require.ErrorAs(t, bob.GroupAction(galene.GroupRecord), &missing)
		require.Equal(t, galene.PermissionRecord, missing.Required)
	})
}

// TestGaleneServersCheckPermissionsThemselves goes past our client, which would not send
// these.
func TestGaleneServersCheckPermissionsThemselves(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		const id = "id-dave"
		alice := s.join(t, "test", "alice")
		r := s.raw(t, id)
		r.handshake()
		r.join("test", "dave", "dpw")
		refused := []string{canonical(t, []byte(`{"type":"usermessage","kind":"error","dest":"`+id+`","privileged":true,"value":"not authorised"}`))}
		check := func(message string, want []string) {
			t.Helper()
			r.say([]byte(message), nil)
			require.Equal(t, want, r.replies(), message)
		}
		for _, kind := range []string{"", "me", "caption", "custom"} {
			check(fmt.Sprintf(`{"type":"chat","kind":%q,"value":"x"}`, kind), refused)
			check(fmt.Sprintf(`{"type":"chat","kind":%q,"dest":%q,"value":"x"}`, kind, alice.ID()), refused)
		}
		for _, kind := range []string{"", "info", "mute", "filetransfer", "kicked"} {
			check(fmt.Sprintf(`{"type":"usermessage","kind":%q,"dest":%q,"value":"x"}`, kind, alice.ID()), refused)
		}
		for _, kind := range []string{"op", "unop", "present", "unpresent", "shutup", "unshutup", "kick", "identify", "setdata"} {
			check(fmt.Sprintf(`{"type":"useraction","kind":%q,"dest":%q,"value":{}}`, kind, alice.ID()), refused)
			check(fmt.Sprintf(`{"type":"useraction","kind":%q,"dest":"nobody","value":{}}`, kind), refused)
		}
		for _, kind := range []string{"lock", "unlock", "clearchat", "record", "unrecord", "subgroups", "setdata"} {
			check(fmt.Sprintf(`{"type":"groupaction","kind":%q,"value":{}}`, kind), refused)
		}
		for kind, answer := range map[string]string{"maketoken": "token", "edittoken": "token", "listtokens": "tokenlist"} {
			check(fmt.Sprintf(`{"type":"groupaction","kind":%q,"value":{}}`, kind), []string{canonical(t,
				[]byte(`{"type":"usermessage","kind":"`+answer+`","privileged":true,"error":"not-authorised","value":"not authorised"}`))})
		}
		check(`{"type":"offer","id":"s1","label":"camera","sdp":"v=0"}`, append([]string{`{"id":"s1","type":"abort"}`}, refused...))
		require.Empty(t, alice.settle()[1:], "nothing but the arrival")
	})
}

// TestGaleneActionsOnNobodyAreRefused also has values that are none.
func TestGaleneActionsOnNobodyAreRefused(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		const id = "id-alice"
		r := s.raw(t, id)
		r.handshake()
		r.join("test", "alice", "apw")
		for message, want := range map[string]string{
			`{"type":"useraction","kind":"op","dest":"nobody"}`:                                    "no suck user",
			`{"type":"useraction","kind":"unop","dest":"nobody"}`:                                  "no suck user",
			`{"type":"useraction","kind":"present"}`:                                               "no suck user",
			`{"type":"useraction","kind":"unpresent","dest":"nobody"}`:                             "no suck user",
			`{"type":"useraction","kind":"shutup","dest":"nobody"}`:                                "no suck user",
			`{"type":"useraction","kind":"unshutup","dest":"nobody"}`:                              "no suck user",
			`{"type":"useraction","kind":"kick","dest":"nobody"}`:                                  "no such user",
			`{"type":"useraction","kind":"identify","dest":"nobody"}`:                              "client not found",
			`{"type":"useraction","kind":"setdata","dest":"` + id + `"}`:                           "Bad value in setdata",
			`{"type":"useraction","kind":"setdata","dest":"` + id + `","value":[1]}`:               "Bad value in setdata",
			`{"type":"groupaction","kind":"setdata"}`:                                              "Bad value in setdata",
			`{"type":"groupaction","kind":"setdata","value":"x"}`:                                  "Bad value in setdata",
			`{"type":"groupaction","kind":"clearchat","value":{"id":"x"}}`:                         "bad value in clearchat",
			`{"type":"groupaction","kind":"clearchat","value":"x"}`:                                "bad value in clearchat",
			`{"type":"chat","dest":"nobody","value":"x"}`:                                          "user unknown",
			`{"type":"usermessage","kind":"filetransfer","dest":"nobody","value":{"type":"done"}}`: "user unknown",
		} {
			r.say([]byte(message), nil)
			require.Equal(t, []string{
				canonical(t, []byte(`{"type":"usermessage","kind":"error","dest":"`+id+`","privileged":true,"value":"`+want+`"}`)),
			}, r.replies(), message)
		}
	})
}
