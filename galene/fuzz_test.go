package galene

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// FuzzDecode checks that whatever decodes encodes, that what was encoded is JSON, decodes
// to the same and encodes to the same bytes in every dialect, that Check refuses no less
// than Decode, and that what Validate accepts is accepted by Check and again on the other
// side.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Wire))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		m, err := Decode(data)
		checked := Check(data)
		shown := Redact(data)
		require.Equal(t, before, data)
		if checked != nil {
			require.IsType(t, new(DecodeError), checked)
		}
		requireChecksLikeGalene(t, data, checked)
		if err != nil {
			e, ok := err.(*DecodeError)
			require.True(t, ok)
			require.Error(t, checked)
			require.Equal(t, hidden, string(shown))
			if !json.Valid(data) {
				require.Empty(t, e.Field)
			}
			return
		}
		require.True(t, json.Valid(data))
		require.True(t, json.Valid(shown) || string(shown) == hidden, "%s", shown)
		valid := m.Validate()
		if valid != nil {
			require.IsType(t, new(ValidationError), valid)
		}
		for _, dialect := range []Dialect{DialectV2, DialectV1, Dialect04, DialectDocument} {
			b, err := dialect.Encode(m)
			if err != nil {
				r, isRequest := m.(*Request)
				require.True(t, errors.Is(err, errTime) || errors.Is(err, errTracks) && isRequest && r.Tracks != nil, "%v", err)
				continue
			}
			requireSameAgain(t, dialect, m, b)
			if dialect == DialectV2 && valid == nil {
				require.NoError(t, Check(b), "%s", b)
			}
		}
		if join, ok := m.(*Join); ok {
			for _, secret := range []string{join.Password, join.Token} {
				if len(secret) > len(data)/2 { // too long to be somewhere else as well
					require.NotContains(t, string(shown), secret)
				}
			}
		}
	})
}

// requireSameAgain demands that b, which is m in a dialect, decodes to what encodes to the
// same.
func requireSameAgain(t *testing.T, dialect Dialect, m Message, b []byte) {
	t.Helper()
	require.True(t, json.Valid(b), "%s", b)
	again, err := Decode(b)
	require.NoError(t, err, "%s", b)
	require.Equal(t, reflect.TypeOf(m), reflect.TypeOf(again))
	same, err := dialect.Encode(again)
	require.NoError(t, err, "%s", b)
	require.Equal(t, string(b), string(same))
	if dialect == DialectV2 {
		require.Equal(t, m.Validate(), again.Validate())
	}
}

// declaredByGalene is what Galène's server reads every message into, with encoding/json.
type declaredByGalene struct {
	Type, Kind, Error, ID, Replace, Source, Dest *string
	Password, Token, Group, Time, SDP, Label     *string
	Username                                     *string
	Version, Permissions                         []string
	Privileged, NoEcho                           *bool
	Status                                       *struct {
		Name, Redirect, Location, Endpoint, DisplayName, Description, AuthServer, AuthPortal *string
		Locked, CanChangePassword                                                            *bool
		ClientCount                                                                          *int
	}
	Data, RTCConfiguration map[string]any
	Candidate              *struct {
		Candidate, SDPMid, UsernameFragment *string
		SDPMLineIndex                       *uint16
	}
	Value, Request any
}

// requireChecksLikeGalene demands that Check refuses what the server could not read, and
// not for a type what it could.
func requireChecksLikeGalene(t *testing.T, data []byte, checked error) {
	t.Helper()
	o, err := jsonx.Scan(data)
	if err != nil || namesInAnotherCase(o, reflect.TypeFor[declaredByGalene]()) {
		return
	}
	defer o.Free()
	read := json.Unmarshal(data, new(declaredByGalene))
	if read != nil {
		require.Error(t, checked, "%v", read)
		return
	}
	e, ok := checked.(*DecodeError)
	if !ok || !errors.Is(e, jsonx.ErrType) || bytes.Contains(data, []byte("null")) {
		return
	}
	// What is in a request is looked at later, and these are not for the server.
	require.Contains(t, []string{"request", "requestStream", "joined", "offer"}, e.Type, "%v", e)
}

// namesInAnotherCase reports whether a name is taken for that of a field by encoding/json
// alone.
func namesInAnotherCase(o *jsonx.Object, declared reflect.Type) bool {
	wire := map[string]string{
		"rtcconfiguration": "rtcConfiguration", "displayname": "displayName", "authserver": "authServer",
		"authportal": "authPortal", "canchangepassword": "canChangePassword", "clientcount": "clientCount",
		"sdpmid": "sdpMid", "usernamefragment": "usernameFragment", "sdpmlineindex": "sdpMLineIndex",
	}
	for i := range o.Len() {
		name, value := o.Member(i)
		field, ok := declared.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, string(name)) })
		if !ok {
			continue
		}
		lower := strings.ToLower(field.Name)
		if exact, mixed := wire[lower]; mixed && string(name) != exact || !mixed && string(name) != lower {
			return true
		}
		if field.Type.Kind() == reflect.Pointer && field.Type.Elem().Kind() == reflect.Struct {
			if below, err := jsonx.Scan(value); err == nil && namesInAnotherCase(below, field.Type.Elem()) {
				return true
			}
		}
	}
	return false
}

// FuzzICE checks that a candidate that is accepted is the same after a round trip, and that
// what is valid is so for the real server.
func FuzzICE(f *testing.F) {
	for _, v := range readVectors(f) {
		if m, err := Decode([]byte(v.Wire)); err == nil {
			if c, ok := m.(*ICE); ok {
				f.Add([]byte(c.Candidate))
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &ICE{ID: "s1", Candidate: raw}
		c, err := m.Init()
		valid := m.Validate()
		if err != nil {
			require.IsType(t, new(ValidationError), err)
			require.Equal(t, err, valid)
			return
		}
		if valid == nil {
			b, err := Encode(m)
			require.NoError(t, err)
			require.NoError(t, Check(b))
		}
		named := bytes.Contains(raw, []byte("usernameFragment")) || bytes.Contains(raw, []byte(`\u`))
		if c.UsernameFragment != nil && !named {
			require.Contains(t, c.Candidate+" ", " ufrag "+*c.UsernameFragment+" ")
		}
		written := NewICE("s1", c)
		require.NoError(t, written.Validate())
		again, err := written.Init()
		require.NoError(t, err)
		require.Equal(t, c, again)

		transfer := &FileTransfer{Candidate: raw}
		other, ok, err := transfer.Init()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c, other)
	})
}

// FuzzUserMessageValue checks that each view of a value either refuses it or writes what
// reads as the same.
func FuzzUserMessageValue(f *testing.F) {
	for _, l := range wireMessages(f, "v2") {
		if m, err := Decode(l.Msg); err == nil {
			if u, ok := m.(*UserMessage); ok && len(u.Value) > 0 && len(u.Value) < 1000 {
				f.Add([]byte(u.Value))
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		requireView(t, raw, UserMessageToken, (*UserMessage).Token, func(v *Token) json.RawMessage {
			return value(v)
		})
		requireView(t, raw, UserMessageTokenList, (*UserMessage).Tokens, func(list []*Token) json.RawMessage {
			var b bytes.Buffer
			for _, token := range list {
				b.WriteByte(',')
				b.Write(value(token))
			}
			return json.RawMessage("[" + strings.TrimPrefix(b.String(), ",") + "]")
		})
		requireView(t, raw, UserMessageClearChat, (*UserMessage).ClearChat, func(v *ClearChat) json.RawMessage {
			return value(v)
		})
		requireView(t, raw, UserMessageUserInfo, (*UserMessage).UserInfo, func(v *UserInfo) json.RawMessage {
			return value(v)
		})
		requireView(t, raw, UserMessageFileTransfer, (*UserMessage).FileTransfer, func(v *FileTransfer) json.RawMessage {
			_, _, err := v.Init()
			if err != nil {
				require.IsType(t, new(ValidationError), err)
			}
			return NewFileTransfer("", v).Value
		})
	})
}

// requireView demands that view refuses raw, or that write writes what reads as the same.
func requireView[V any](t *testing.T, raw []byte, kind UserMessageKind,
	view func(*UserMessage) (V, error), write func(V) json.RawMessage) {
	t.Helper()
	v, err := view(&UserMessage{Kind: kind, Value: raw})
	if err != nil {
		require.IsType(t, new(ValidationError), err)
		require.Zero(t, v)
		return
	}
	written := write(v)
	require.NoError(t, jsonx.Check(written), "%s", written)
	again, err := view(&UserMessage{Kind: kind, Value: written})
	require.NoError(t, err, "%s", written)
	require.Equal(t, string(written), string(write(again)))
}

// FuzzTokenRequest checks that a request for a token fails with one of Galène's texts or
// is written as it was read.
func FuzzTokenRequest(f *testing.F) {
	for _, l := range wireMessages(f, "v2") {
		if m, err := Decode(l.Msg); err == nil {
			if a, ok := m.(*GroupAction); ok && len(a.Value) > 0 {
				f.Add([]byte(a.Value))
			}
		}
	}
	texts := []string{"bad token value", "bad string value", "bad string list", "bad time value"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &GroupAction{Kind: GroupMakeToken, Value: raw}
		r, err := m.TokenRequest()
		if err != nil {
			e, ok := err.(*Error)
			require.True(t, ok)
			require.Equal(t, ErrorOther, e.ID)
			require.Contains(t, texts, e.Text)
			require.Error(t, m.Validate())
			return
		}
		written := value(r)
		again, err := (&GroupAction{Kind: GroupMakeToken, Value: written}).TokenRequest()
		require.NoError(t, err, "%s", written)
		require.Equal(t, string(written), string(value(again)))
	})
}
