package galene

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamedSetsOfPermissions(t *testing.T) {
	t.Parallel()
	recording, unrestricted := &Group{AllowRecording: true}, &Group{UnrestrictedTokens: true}
	both := &Group{AllowRecording: true, UnrestrictedTokens: true}
	for _, tt := range []struct {
		g    *Group
		name string
		want Permissions
	}{
		{&Group{}, "op", Permissions{"op", "present", "message", "caption", "token"}},
		{recording, "op", Permissions{"record", "op", "present", "message", "caption", "token"}},
		{both, "op", Permissions{"record", "op", "present", "message", "caption", "token"}},
		{&Group{}, "present", Permissions{"present", "message"}},
		{recording, "present", Permissions{"present", "message"}},
		{unrestricted, "present", Permissions{"token", "present", "message"}},
		{both, "message", Permissions{"message"}},
		{both, "observe", Permissions{}},
		{both, "caption", Permissions{"caption"}},
		{both, "admin", Permissions{"admin"}},
	} {
		got, ok := tt.g.PermissionSet(tt.name)
		require.True(t, ok)
		require.Equal(t, tt.want, got, "%s of %+v", tt.name, tt.g)
		for i := range got {
			got[i] = "changed by the caller"
		}
	}
	for _, name := range []string{"", "Op", "system", "record", "presenter"} {
		_, ok := (&Group{}).PermissionSet(name)
		require.False(t, ok, name)
	}
}

func TestMemoryGroupsAreFoundByName(t *testing.T) {
	t.Parallel()
	store := Groups{
		"a": {
			Group: Group{AutoSubgroups: true, Public: true, DisplayName: "A", Description: "above", MaxClients: 7},
			Users: map[string]MemoryUser{"zed": {}, "ann": {}, "ben": {}},
		},
		"a/own": {Group: Group{Public: true, Description: "its own"}},
		"b":     {Group: Group{}},
	}
	for name, want := range map[string]*Group{
		"a": {
			Name: "a", AutoSubgroups: true, Public: true, DisplayName: "A", Description: "above", MaxClients: 7,
			Users: []string{"ann", "ben", "zed"},
		},
		"a/x":     {Name: "a/x", AutoSubgroups: true, DisplayName: "A", MaxClients: 7, Users: []string{"ann", "ben", "zed"}},
		"a/x/y":   {Name: "a/x/y", AutoSubgroups: true, DisplayName: "A", MaxClients: 7, Users: []string{"ann", "ben", "zed"}},
		"a/own":   {Name: "a/own", Public: true, Description: "its own", Users: []string{}},
		"b":       {Name: "b", Users: []string{}},
		"a/own/x": nil, // the nearest one above says no
		"b/x":     nil,
		"A":       nil,
		"ab":      nil,
		"":        nil,
		"/a":      nil,
	} {
		got, err := store.Group(t.Context(), name)
		if want == nil {
			require.ErrorIs(t, err, ErrNoGroup, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	names, err := store.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"a", "a/own", "b"}, names)
}

func TestMemoryGroupsCompareCredentials(t *testing.T) {
	t.Parallel()
	store := Groups{
		"g": {
			Group: Group{AllowRecording: true, AutoSubgroups: true},
			Users: map[string]MemoryUser{
				"alice": {Password: "a", Set: "op", Permissions: Permissions{"op", "admin"}}, "bob": {Password: "", Set: "present"},
				"carol": {AnyPassword: true, Permissions: Permissions{"message"}}, "dave": {Password: "d", Set: "no such set"},
			},
		},
		"any":  {Wildcard: &MemoryUser{AnyPassword: true, Set: "present"}, Users: map[string]MemoryUser{"op": {Password: "o", Set: "op"}}},
		"wild": {Wildcard: &MemoryUser{Password: "w", Set: "message"}},
	}
	name := func(s string) *string { return &s }
	for _, tt := range []struct {
		group string
		c     Credentials
		want  *Grant
	}{
		{"g", Credentials{Username: name("alice"), Password: "a"}, &Grant{"alice", Permissions{"record", "op", "present", "message", "caption", "token", "admin"}}},
		{"g/sub", Credentials{Username: name("alice"), Password: "a"}, &Grant{"alice", Permissions{"record", "op", "present", "message", "caption", "token", "admin"}}},
		{"g", Credentials{Username: name("alice"), Password: "A"}, nil},
		{"g", Credentials{Username: name("alice")}, nil},
		{"g", Credentials{Username: name("alice"), Password: "ab"}, nil},
		{"g", Credentials{Username: name("bob")}, &Grant{"bob", Permissions{"present", "message"}}},
		{"g", Credentials{Username: name("bob"), Password: "x"}, nil},
		{"g", Credentials{Username: name("carol"), Password: "x"}, &Grant{"carol", Permissions{"message"}}},
		{"g", Credentials{Username: name("dave"), Password: "d"}, &Grant{"dave", nil}},
		{"g", Credentials{Username: name("nobody")}, nil},
		{"g", Credentials{Username: name("")}, nil},
		{"g", Credentials{Password: "a"}, nil},
		{"g", Credentials{Username: name("alice"), Password: "a", Token: "t"}, nil},
		{"any", Credentials{Username: name("anybody"), Password: "x"}, &Grant{"anybody", Permissions{"present", "message"}}},
		{"any", Credentials{Username: name("")}, &Grant{"", Permissions{"present", "message"}}},
		{"any", Credentials{Username: name("op"), Password: "x"}, nil},
		{"any", Credentials{Username: name("op"), Password: "o"}, &Grant{"op", Permissions{"op", "present", "message", "caption", "token"}}},
		{"wild", Credentials{Username: name("x"), Password: "w"}, &Grant{"x", Permissions{"message"}}},
		{"wild", Credentials{Username: name("x")}, nil},
		{"nowhere", Credentials{Username: name("x")}, nil},
	} {
		g, err := store.Group(t.Context(), tt.group)
		if err != nil {
			g = &Group{Name: tt.group}
		}
		got, err := store.Authenticate(t.Context(), g, tt.c)
		if tt.want == nil {
			require.ErrorIs(t, err, ErrNotAuthorised, "%s: %+v", tt.group, tt.c)
			continue
		}
		require.NoError(t, err, "%s: %+v", tt.group, tt.c)
		require.Equal(t, tt.want, got, "%s: %+v", tt.group, tt.c)
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{ErrNotAuthorised, "galene: not authorised"},
		{ErrNeedUsername, "galene: username required (need-username)"},
		{&Error{Redirect: "https://x.example"}, "galene: the group is at https://x.example"},
		{ErrNoToken, "galene: file does not exist (error)"},
	} {
		require.EqualError(t, tt.err, tt.want)
	}
	require.ErrorIs(t, &Error{ID: ErrorNotAuthorised, Text: "not authorised"}, ErrNotAuthorised)
	require.NotErrorIs(t, ErrNotAuthorised, &Error{ID: ErrorNotAuthorised, Text: "not authorised"})
	require.NotErrorIs(t, ErrLocked, ErrNotAuthorised)
	require.NotErrorIs(t, &Error{Text: "not authorised", Redirect: "x"}, ErrNotAuthorised)
}
