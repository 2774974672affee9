package galene

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secretText = "hunter2hunter2"

func TestRedactHidesPasswordsTokensAndCredentials(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{
			`{"type":"join","kind":"join","username":"alice","password":"` + secretText + `","group":"test"}`,
			`{"type":"join","kind":"join","username":"alice","password":"[hidden]","group":"test"}`,
		},
		{
			`{"type":"join","kind":"join","token":"` + secretText + `","data":{"a":1},"group":"test"}`,
			`{"type":"join","kind":"join","token":"[hidden]","data":{"a":1},"group":"test"}`,
		},
		{ // Galène would take it for the password
			`{"type":"join","kind":"join","username":"alice","Password":"` + secretText + `","group":"test"}`,
			`{"type":"join","kind":"join","username":"alice","group":"test"}`,
		},
		{
			`{"\u0074ype":"j\u006fin","kind":"join","p\u0061ssword":"` + secretText + `","group":"test"}`,
			`{"type":"join","kind":"join","password":"[hidden]","group":"test"}`,
		},
		{
			`{"type":"joined","kind":"join","username":"a","group":"test","rtcConfiguration":{"iceServers":[{"urls":["turn:a"],"credential":"` + secretText + `"}]}}`,
			`{"type":"joined","kind":"join","username":"a","group":"test"}`,
		},
		{
			`{"type":"joined","kind":"join","group":"test","RTCConfiguration":{"iceServers":[{"urls":[],"credential":"` + secretText + `"}]}}`,
			`{"type":"joined","kind":"join","group":"test"}`,
		},
		{
			`{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"` + secretText + `","group":"test"}}`,
			`{"type":"usermessage","kind":"token","privileged":true,"value":"[hidden]"}`,
		},
		{
			`{"type":"usermessage","kind":"tokenlist","value":[{"token":"` + secretText + `"}],"Value":"` + secretText + `"}`,
			`{"type":"usermessage","kind":"tokenlist","value":"[hidden]"}`,
		},
		{
			`{"type":"groupaction","kind":"edittoken","value":{"token":"` + secretText + `","expires":-1}}`,
			`{"type":"groupaction","kind":"edittoken","value":"[hidden]"}`,
		},
		{
			`{"type":"groupaction","kind":"maketoken","value":"` + secretText + `","VALUE":"` + secretText + `"}`,
			`{"type":"groupaction","kind":"maketoken","value":"[hidden]"}`,
		},
		{`{"type":"ping","password":"` + secretText + `"}`, hidden},
		{`{"type":"usermessage","kind":"info","Token":"` + secretText + `"}`, hidden},
		{`{"type":"groupaction","kind":"lock","TOKEN":"` + secretText + `"}`, hidden},
		{`{"type":"Join","password":"` + secretText + `"}`, hidden},
		{`{"type":"acme","rtcconfiguration":{"iceServers":[{"credential":"` + secretText + `"}]}}`, hidden},
	} {
		require.Equal(t, tt.want, string(Redact([]byte(tt.text))), tt.text)
	}
}

func TestRedactShowsNothingOfWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", secretText, `"` + secretText + `"`, `[{"type":"join","password":"` + secretText + `"}]`,
		`{"type":"join","password":"` + secretText + `"`,
		`{"type":"join","password":"` + secretText + `"} {}`,
		`{"type":"join","password":["` + secretText + `"]}`,
		`{"type":"join","password":"` + secretText + `","password":"x"}`,
		`{"kind":"join","password":"` + secretText + `"}`,
		"{\"type\":\"join\",\"password\":\"" + secretText + "\xff\"}",
	} {
		require.Equal(t, hidden, string(Redact([]byte(text))), text)
	}
}

func TestRedactLeavesEverythingElseAsItIs(t *testing.T) {
	t.Parallel()
	left := 0
	for _, v := range readVectors(t) {
		before := strings.Clone(v.Wire)
		data := []byte(v.Wire)
		got := string(Redact(data))
		require.Equal(t, before, string(data), "%s: its argument stays", v.Name)
		m, err := Decode(data)
		if err != nil {
			continue
		}
		switch m := m.(type) {
		case *Join, *Joined:
			continue
		case *UserMessage:
			if m.Kind == UserMessageToken || m.Kind == UserMessageTokenList {
				continue
			}
		case *GroupAction:
			if m.Kind == GroupMakeToken || m.Kind == GroupEditToken {
				continue
			}
		case *Ping:
			if strings.HasPrefix(v.Name, "types/") {
				continue // with a member called password, maybe
			}
		}
		left++
		require.Equal(t, v.Wire, got, v.Name)
	}
	require.Greater(t, left, 100)
}

func TestMessagesHideTheirSecretsInEveryHandler(t *testing.T) {
	t.Parallel()
	secret := json.RawMessage(`{"token":"` + secretText + `","credential":"` + secretText + `"}`)
	for _, tt := range []struct {
		value any
		text  string
		json  string
	}{
		{
			&Join{Kind: JoinJoin, Group: "test", Username: new("alice"), Password: secretText},
			`m.kind=join m.group=test m.username=alice m.password=true m.token=false`,
			`"m":{"kind":"join","group":"test","username":"alice","password":true,"token":false}`,
		},
		{
			&Join{Kind: JoinJoin, Group: "test", Token: secretText, Extra: Fields{"password": secret}},
			`m.kind=join m.group=test m.username="" m.password=false m.token=true`,
			`"m":{"kind":"join","group":"test","username":"","password":false,"token":true}`,
		},
		{
			&Joined{Kind: JoinedJoin, Group: "test", Username: new("alice"), Permissions: Permissions{"op"}, RTCConfiguration: secret},
			`m.kind=join m.group=test m.username=alice m.permissions=[op] m.error="" m.value=""`,
			`"m":{"kind":"join","group":"test","username":"alice","permissions":["op"],"error":"","value":""}`,
		},
		{
			&Joined{Kind: JoinedFail, Group: "test", Error: ErrorNeedUsername, Value: "username required"},
			`m.kind=fail m.group=test m.username="" m.permissions=[] m.error=need-username m.value="username required"`,
			`"m":{"kind":"fail","group":"test","username":"","permissions":null,"error":"need-username","value":"username required"}`,
		},
		{
			&UserMessage{Kind: UserMessageToken, Source: "a", Dest: "b", Value: secret},
			fmt.Sprintf(`m.kind=token m.source=a m.dest=b m.value=%d`, len(secret)),
			fmt.Sprintf(`"m":{"kind":"token","source":"a","dest":"b","value":%d}`, len(secret)),
		},
		{
			&GroupAction{Kind: GroupEditToken, Source: "a", Value: secret},
			fmt.Sprintf(`m.kind=edittoken m.source=a m.value=%d`, len(secret)),
			fmt.Sprintf(`"m":{"kind":"edittoken","source":"a","value":%d}`, len(secret)),
		},
		{
			&Token{Token: secretText, Group: "test", Permissions: Permissions{"present"}, Expires: "2026-11-20T23:53:46Z"},
			`m.token=[hidden] m.group=test m.permissions=[present] m.expires=2026-11-20T23:53:46Z`,
			`"m":{"token":"[hidden]","group":"test","permissions":["present"],"expires":"2026-11-20T23:53:46Z"}`,
		},
	} {
		var text, object bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "m", tt.value)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("sent", "m", tt.value)
		require.Contains(t, text.String(), tt.text)
		require.Contains(t, object.String(), tt.json)
		require.NotContains(t, text.String()+object.String(), secretText)
	}
}

func TestErrorsSayWhatGaleneSays(t *testing.T) {
	t.Parallel()
	require.EqualError(t, ErrNotAuthorised, "galene: not authorised")
	require.EqualError(t, ErrNeedUsername, "galene: username required (need-username)")
	require.EqualError(t, &Error{ID: ErrorOther, Text: "error"}, "galene: error")
	require.EqualError(t, &Error{Redirect: "https://example.org/a/"}, "galene: the group is at https://example.org/a/")
	invalid := &ValidationError{Type: "ice", Field: "candidate", Reason: "missing"}
	require.EqualError(t, invalid, "galene: invalid ice: candidate: missing")
	require.EqualError(t, &KickedError{ByName: "alice", Message: "bye"}, "galene: kicked out by alice: bye")
	require.EqualError(t, &KickedError{Message: "bye"}, "galene: kicked out: bye")
}

func TestErrorsAreComparedByTheirTextAndId(t *testing.T) {
	t.Parallel()
	all := []*Error{
		ErrNotAuthorised, ErrNeedUsername, ErrDuplicateUsername, ErrNoGroup, ErrIllegalGroupName, ErrLocked, ErrNotOpenYet,
		ErrClosed, ErrNoOperators, ErrTooManyUsers, ErrInternal, {Redirect: "https://example.org/"},
	}
	for i, e := range all {
		said := fmt.Errorf("wrapped: %w", &Error{ID: e.ID, Text: e.Text, Redirect: e.Redirect, Username: "alice"})
		for j, other := range all {
			if i == j {
				require.ErrorIs(t, said, other)
			} else {
				require.NotErrorIs(t, said, other)
			}
		}
	}
	// A token action is refused with the same text and an ID that a join does not have.
	require.ErrorIs(t, &Error{ID: ErrorNotAuthorised, Text: "not authorised"}, ErrNotAuthorised)
	require.NotErrorIs(t, &Error{Text: "username required"}, ErrNeedUsername)
}
