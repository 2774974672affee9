package interop

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

func TestGaleneEveryUserJoinsWithItsPermissions(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		for user, want := range map[string][]string{
			"alice": {"caption", "message", "op", "present", "record", "token"},
			"bob":   {"message", "present"},
			"carol": {"message"},
			"dave":  {},
			"erin":  {"caption"},
			"zed":   {"admin"},
		} {
			c := s.connect(t, nil)
			joined := c.enter("test", user)
			require.Equal(t, want, sorted(joined.Permissions), user)
			require.Equal(t, user, *joined.Username)
			require.Equal(t, "test", joined.Group)
			require.Equal(t, "test", joined.Status.Name)
			require.Equal(t, "Test", joined.Status.DisplayName)
			require.Equal(t, "for tests", joined.Status.Description)
			require.Empty(t, joined.Status.Location)
			require.Empty(t, joined.Status.Endpoint)
			require.NotNil(t, joined.Status.ClientCount)
			require.JSONEq(t, "{}", string(joined.RTCConfiguration))
			require.Equal(t, want, sorted(c.Permissions()))
			require.Equal(t, want, sorted(c.User(c.ID()).Permissions))
			require.NoError(t, c.Close())
		}
	})
}

func TestGaleneAnybodyJoinsAnOpenGroup(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		for _, name := range []string{"somebody", "", "a/b", "Ἀλκιβιάδης 🙂", "with a space"} {
			c := s.connect(t, nil)
			joined := c.enter("open", name)
			require.Equal(t, name, *joined.Username)
			require.Equal(t, name, c.Username())
			require.Equal(t, []string{"message", "present"}, sorted(joined.Permissions))
		}
	})
}

func TestGaleneWildcardDoesNotOpenTheAccountOfAListedUser(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "open", Username: new("alice"), Password: "wrong"})
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	})
}

func TestGaleneSubgroupsExistWhereTheyMay(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		c := s.connect(t, nil)
		joined := c.enter("test/room/1", "bob")
		require.Equal(t, "test/room/1", joined.Group)
		require.Equal(t, "test/room/1", joined.Status.Name)
		_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "open/room", Username: new("bob"), Password: "bpw"})
		require.ErrorIs(t, err, galene.ErrNoGroup)
	})
}

func TestGaleneEveryRefusedJoinSaysWhyAndMayBeRepeated(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		locker := s.join(t, "test/locked", "alice")
		require.NoError(t, locker.Lock(""))
		expect[*galene.Joined](locker, "lock", nil)
		talker := s.join(t, "test/explained", "alice")
		require.NoError(t, talker.Lock("come tomorrow"))
		expect[*galene.Joined](talker, "lock", nil)
		s.join(t, "full", "somebody")

		const notAuthorised, illegal = "not authorised", "illegal group name"
		password := func(group, user, password string) galene.Join {
			return galene.Join{Group: group, Username: &user, Password: password}
		}
		tests := []struct {
			name     string
			join     galene.Join
			text     string
			username string // that was accepted nevertheless
		}{
			{"bad password", password("test", "bob", "wrong"), notAuthorised, ""},
			{"no password", password("test", "bob", ""), notAuthorised, ""},
			{"unknown user", password("test", "mallory", "bpw"), notAuthorised, ""},
			{"unknown token", galene.Join{Group: "test", Token: "nope"}, notAuthorised, ""},
			{"unknown token with a name", galene.Join{Group: "test", Token: "nope", Username: new("eve")}, notAuthorised, ""},
			{"token beside a password", galene.Join{
				Group: "test", Token: "nope", Username: new("bob"), Password: "bpw",
			}, notAuthorised, ""},
			{"slash before the name", password("open", "/x", ""), notAuthorised, ""},
			{"slash behind the name", password("open", "x/", ""), notAuthorised, ""},
			{"name is a dot", password("open", ".", ""), notAuthorised, ""},
			{"name is two dots", password("open", "..", ""), notAuthorised, ""},
			{"backslash in the name", password("open", `a\b`, ""), notAuthorised, ""},
			{"dots in the name", password("open", "a/../b", ""), notAuthorised, ""},
			{"unknown group", password("nowhere", "bob", "bpw"), "group does not exist", ""},
			{"group of another case", password("Test", "bob", "bpw"), "group does not exist", ""},
			{"group with a leading dot", password(".test", "bob", "bpw"), "group does not exist", ""},
			{"no group", password("", "bob", "bpw"), illegal, ""},
			{"slash before the group", password("/test", "bob", "bpw"), illegal, ""},
			{"slash behind the group", password("test/", "bob", "bpw"), illegal, ""},
			{"two slashes", password("test//a", "bob", "bpw"), illegal, ""},
			{"dots in the group", password("open/../test", "bob", "bpw"), illegal, ""},
			{"dot in the group", password("./test", "bob", "bpw"), illegal, ""},
			{"backslash in the group", password(`test\a`, "bob", "bpw"), illegal, ""},
			{"locked", password("test/locked", "bob", "bpw"), "this group is locked", "bob"},
			{"locked with a text", password("test/explained", "bob", "bpw"), "come tomorrow", "bob"},
			{"not open yet", password("early", "bob", "bpw"), "this group is not open yet", "bob"},
			{"closed", password("late", "bob", "bpw"), "this group is closed", "bob"},
			{"no operators", password("autokick", "bob", "bpw"), "there are no operators in this group", "bob"},
			{"full", password("full", "bob", "bpw"), "too many users", "bob"},
		}
		c := s.connect(t, nil)
		for _, tt := range tests {
			tt.join.Kind = galene.JoinJoin
			if tt.join.Validate() != nil {
				continue // our client does not send it, see below
			}
			_, err := c.Join(bounded(t), &tt.join)
			var refusal *galene.Error
			require.ErrorAs(t, err, &refusal, tt.name)
			require.Equal(t, tt.text, refusal.Text, tt.name)
			require.Empty(t, refusal.ID, tt.name)
			if tt.username != "" { // otherwise it may be that of the attempt before
				require.Equal(t, tt.username, refusal.Username, tt.name)
			}
			require.Equal(t, galene.ClientReady, c.State(), tt.name)
		}
		for _, tt := range tests {
			r := s.raw(t, "id-refused")
			r.say(galene.Encode(&galene.Handshake{Version: []string{galene.Version}, ID: "id-refused"}))
			tt.join.Kind = galene.JoinJoin
			b, err := galene.Encode(&tt.join)
			require.NoError(t, err)
			r.say(b, nil)
			want := object{
				"type": "joined", "kind": "fail", "group": tt.join.Group, "username": tt.username, "value": tt.text,
			}
			if tt.join.Group == "" {
				delete(want, "group")
			}
			b, err = json.Marshal(want)
			require.NoError(t, err)
			require.Equal(t, []string{`{"type":"handshake","version":["2"]}`, canonical(t, b)}, r.replies(), tt.name)
		}
		c.enter("test", "bob")
		require.Equal(t, "bob", c.Username())
	})
}

func TestGaleneOperatorsJoinWhereOthersMayNot(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		s.join(t, "full", "somebody")
		for _, group := range []string{"early", "late", "autokick", "full"} {
			s.join(t, group, "alice")
		}
		s.join(t, "autokick", "somebody") // there is an operator now
	})
}

func TestGaleneAClientIDIsUniqueInItsGroup(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		same := &galene.ClientOptions{NewID: func() string { return "the same" }}
		s.connect(t, same).enter("open", "first")
		second := s.connect(t, same)
		_, err := second.Join(bounded(t), &galene.Join{Group: "open", Username: new("second")})
		require.ErrorIs(t, err, galene.ErrInternal)
		second.enter("test", "bob") // another group
	})
}

func TestGaleneRedirectedGroupTellsWhereItIs(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		s.skipReal(t, "redirect")
		_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "elsewhere", Username: new("bob"), Password: "bpw"})
		var refusal *galene.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "https://galene.example.org/group/there/", refusal.Redirect)
	})
}

func TestGaleneRosterOfThreeClients(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.connect(t, nil)
		_, err := alice.Join(bounded(t), &galene.Join{
			Group: "test", Username: new("alice"), Password: "apw", Data: galene.Fields{"mood": json.RawMessage(`"good"`)},
		})
		require.NoError(t, err)
		bob := s.join(t, "test", "bob")
		carol := s.join(t, "test", "carol")
		for _, c := range []*galeneClient{alice, bob, carol} {
			eventually(t, "three members", func() bool { return len(c.Users()) == 3 })
			require.Equal(t, []string{"alice", "bob", "carol"}, c.names())
			require.JSONEq(t, `"good"`, string(c.User(alice.ID()).Data["mood"]))
			require.Equal(t, []string{"message", "present"}, sorted(c.User(bob.ID()).Permissions))
		}
		initial := func(c *galeneClient) (names []string) {
			all, _ := c.got.from(0)
			for _, m := range all {
				if u, ok := m.(*galene.User); ok && u.Kind == galene.UserAdd && u.Initial && u.ID != c.ID() {
					names = append(names, *u.Username)
				}
			}
			return names
		}
		require.Empty(t, initial(alice))
		require.Equal(t, []string{"alice"}, initial(bob))
		require.ElementsMatch(t, []string{"alice", "bob"}, initial(carol))

		id := bob.ID()
		require.NoError(t, bob.Close())
		for _, c := range []*galeneClient{alice, carol} {
			gone := expect(c, "leaving", func(u *galene.User) bool { return u.Kind == galene.UserDelete })
			require.Equal(t, id, gone.ID)
			require.Nil(t, c.User(id))
			require.Equal(t, []string{"alice", "carol"}, c.names())
		}
	})
}

func TestGaleneLeavingKeepsTheConnection(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "test", "alice"), s.join(t, "test", "bob")
		require.NoError(t, bob.Leave(bounded(t)))
		require.Equal(t, galene.ClientReady, bob.State())
		require.Empty(t, bob.Users())
		gone := expect(alice, "leaving", func(u *galene.User) bool { return u.Kind == galene.UserDelete })
		require.Equal(t, bob.ID(), gone.ID)
		joined := bob.enter("open", "somebody")
		require.Equal(t, "open", joined.Group)
		require.Equal(t, "somebody", bob.Username())
		require.NoError(t, bob.Chat("hello"))
		expect(bob, "chat", func(m *galene.Chat) bool { return textOf(t, m.Value) == "hello" && *m.Username == "somebody" })
		require.NoError(t, bob.Close())
		require.NoError(t, bob.ended())
	})
}

func TestGaleneAutolockLocksWhenTheLastOperatorLeaves(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.connect(t, nil)
		require.True(t, alice.enter("autolock", "alice").Status.Locked, "nobody has been there before")
		require.NoError(t, alice.GroupAction(galene.GroupUnlock))
		expect(alice, "unlocking", func(m *galene.Joined) bool { return m.Kind == galene.JoinedChange && !m.Status.Locked })
		bob := s.join(t, "autolock", "bob")
		require.NoError(t, alice.Close())
		expect(bob, "lock", func(m *galene.Joined) bool { return m.Kind == galene.JoinedChange && m.Status.Locked })
		_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "autolock", Username: new("carol"), Password: "cpw"})
		require.ErrorIs(t, err, galene.ErrLocked)
	})
}

func TestGaleneAutokickSendsAllAwayWhenTheLastOperatorLeaves(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.join(t, "autokick", "alice"), s.join(t, "autokick", "bob")
		require.NoError(t, alice.Close())
		var kicked *galene.KickedError
		require.ErrorAs(t, bob.ended(), &kicked)
		require.Equal(t, "there are no operators in this group", kicked.Message)
		require.Empty(t, kicked.ByName)
	})
}

// TestGaleneAHundredJoinsLeaveNothingBehind has clients come and go, one after the other.
func TestGaleneAHundredJoinsLeaveNothingBehind(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		watcher := s.join(t, "open", "watcher")
		before := *watcher.Status().ClientCount
		start := time.Now()
		for range 100 {
			c := s.connect(t, nil)
			c.enter("open", "guest")
			require.NoError(t, c.Close())
			require.NoError(t, c.ended())
		}
		t.Logf("100 joins and leaves in %v", time.Since(start).Round(time.Millisecond))
		eventually(t, "empty group", func() bool { return len(watcher.Users()) == 1 })
		last := s.connect(t, nil)
		require.Equal(t, before+1, *last.enter("open", "last").Status.ClientCount)
		if s.ours != nil {
			sessions := 0
			for range s.ours.Sessions() {
				sessions++
			}
			require.Equal(t, 2, sessions)
		}
	})
}
