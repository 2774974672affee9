package easyrtc

import (
	"encoding/json"
	"go/ast"
	"go/token"
	"reflect"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

// wireTexts are the texts of open-easyrtc 2.1.8, with their mistakes, which clients may look
// for.
var wireTexts = map[ErrorCode]string{
	"BANNED_IP_ADDR":      "Client IP address is banned. Socket will be disconnected.",
	"LOGIN_APP_AUTH_FAIL": "Authentication for application failed. Socket will be disconnected.",
	"LOGIN_BAD_APP_NAME":  "Provided application name is improper. Socket will be disconnected.",
	"LOGIN_BAD_AUTH":      "Authentication for application failed. Socket will be disconnected.",
	"LOGIN_BAD_ROOM":      "Requested room is invalid or does not exist. Socket will be disconnected.",
	"LOGIN_BAD_STRUCTURE": "Authentication for application failed. The provided " +
		"structure is improper. Socket will be disconnected.",
	"LOGIN_BAD_USER_CFG":       "Provided configuration options improper or invalid. Socket will be disconnected.",
	"LOGIN_GEN_FAIL":           "Authentication failed. Socket will be disconnected.",
	"LOGIN_NO_SOCKETS":         "No sockets available for account. Socket will be disconnected.",
	"LOGIN_TIMEOUT":            "Login has timed out. Socket will be disconnected.",
	"MSG_REJECT_BAD_DATA":      "Message rejected. The provided msgData is improper.",
	"MSG_REJECT_BAD_ROOM":      "Message rejected. Requested room is invalid or does not exist.",
	"MSG_REJECT_BAD_FIELD":     "Message rejected. Problem with field structure or name.",
	"MSG_REJECT_BAD_SIZE":      "Message rejected. Packet size is too large.",
	"MSG_REJECT_BAD_STRUCTURE": "Message rejected. The provided structure is improper.",
	"MSG_REJECT_BAD_TYPE":      "Message rejected. The provided msgType is unsupported.",
	"MSG_REJECT_GEN_FAIL":      "Message rejected. General failure occurred.",
	"MSG_REJECT_NO_AUTH":       "Message rejected. Not logged in or client not authorized.",
	"MSG_REJECT_NO_ROOM_LIST":  "Message rejected. Room list unavailable.",
	"MSG_REJECT_PRESENCE":      "Message rejected. Presence could could not be set.",
	"MSG_REJECT_TARGET_EASYRTCID": "Message rejected. Target easyrtcid is invalid, not using " +
		"same application, or no longer online.",
	"MSG_REJECT_TARGET_GROUP": "Message rejected. Target group is invalid or not defined.",
	"MSG_REJECT_TARGET_ROOM":  "Message rejected. Target room is invalid or not created.",
	"SERVER_SHUTDOWN":         "Server is being shutdown. Socket will be disconnected.",
}

func TestCodesHaveTheTextsOfTheOriginal(t *testing.T) {
	t.Parallel()
	for code, want := range wireTexts {
		require.Equal(t, want, code.Text())
		require.Equal(t, &Error{ErrorCode: code, ErrorText: want}, NewError(code))
	}
	require.Equal(t, "Error occurred with error code: MADE_UP", ErrorCode("MADE_UP").Text())
	require.Equal(t, "Error occurred with error code: ", ErrorCode("").Text())

	said := map[ErrorCode]bool{}
	for _, p := range wirePackets(t) {
		if m, ok := p.message.(*ErrorMessage); ok {
			require.Equal(t, m.MsgData, NewError(m.MsgData.ErrorCode), p.place)
			said[m.MsgData.ErrorCode] = true
		}
	}
	require.GreaterOrEqual(t, len(said), 14)
}

// Every code has its text, and everything else that the package names is in a vector.
func TestEveryConstantIsOfTheWire(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range readVectors(t) {
		if m, err := v.decode(); err == nil && v.Problem == "" {
			markTexts(reflect.ValueOf(m), seen)
		}
	}
	for code := range wireTexts {
		seen["ErrorCode "+string(code)] = true
	}
	count := map[string]int{}
	for _, f := range repotest.Files(t, false) {
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				c := spec.(*ast.ValueSpec)
				typ, ok := c.Type.(*ast.Ident)
				if !ok || c.Values == nil || reflect.TypeOf(c.Values[0]) != reflect.TypeFor[*ast.BasicLit]() {
					continue
				}
				text, err := strconv.Unquote(c.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				switch typ.Name {
				case "Show", "RoomStatus", "SessionStatus", "ErrorCode":
					count[typ.Name]++
					require.True(t, seen[typ.Name+" "+text], "no vector of %s", c.Names[0].Name)
				}
			}
		}
	}
	require.Equal(t, map[string]int{"Show": 4, "RoomStatus": 3, "SessionStatus": 1, "ErrorCode": len(wireTexts)}, count)
}

// markTexts notes the texts below a value with the names of their types.
func markTexts(v reflect.Value, seen map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			markTexts(v.Elem(), seen)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			markTexts(field, seen)
		}
	case reflect.Map:
		for _, value := range v.Seq2() {
			markTexts(value, seen)
		}
	case reflect.String:
		seen[v.Type().Name()+" "+v.String()] = true
	}
}

// structsOfTheWire returns every struct that is a message or below one, by its name.
func structsOfTheWire() map[string]reflect.Type {
	found := map[string]reflect.Type{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(t.Elem())
		case reflect.Struct:
			if t == reflect.TypeFor[Packet]() || t == reflect.TypeFor[URLs]() || found[t.Name()] != nil {
				return
			}
			found[t.Name()] = t
			for field := range t.Fields() {
				visit(field.Type)
			}
		}
	}
	for _, of := range constructors {
		for _, construct := range of {
			visit(reflect.TypeOf(construct()))
		}
	}
	for _, v := range []any{new(Msg), new(SessionDescription), new(ICECandidate)} {
		visit(reflect.TypeOf(v))
	}
	return found
}

// What a server of tomorrow adds must pass, at every level.
func TestEveryStructOfTheWireKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	structs := structsOfTheWire()
	require.Greater(t, len(structs), 40)
	for name, typ := range structs {
		extra, ok := typ.FieldByName("Extra")
		require.True(t, ok, name)
		require.Equal(t, reflect.TypeFor[Fields](), extra.Type, name)
		require.Equal(t, "-", extra.Tag.Get("json"), name)
	}
}

// The members of a message and those of its parts are as the original writes them.
func TestMembersHaveNamesOfTheWire(t *testing.T) {
	t.Parallel()
	known := map[string]bool{ // which no trace has
		"type": true, "newWindow": true, "url": true, "targetGroup": true, "sessionStatus": true, "stillAliveInterval": true,
	}
	for _, p := range wirePackets(t) {
		var v any
		if i := firstBracket(p.text); i >= 0 && json.Unmarshal(p.text[i:], &v) == nil {
			markNames(v, known)
		}
	}
	for name, typ := range structsOfTheWire() {
		for field := range typ.Fields() {
			member, ok := memberName(field)
			if ok {
				require.True(t, known[member], "%s.%s", name, member)
			}
		}
	}
}

func memberName(field reflect.StructField) (name string, ok bool) {
	tag := field.Tag.Get("json")
	for i := range len(tag) {
		if tag[i] == ',' {
			tag = tag[:i]
			break
		}
	}
	return tag, tag != "-" && tag != ""
}

func firstBracket(text []byte) int {
	for i, c := range text {
		if c == '[' {
			return i
		}
	}
	return -1
}

func markNames(v any, known map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, value := range v {
			markNames(value, known)
		}
	case map[string]any:
		for name, value := range v {
			known[name] = true
			markNames(value, known)
		}
	}
}

func TestMessagesMayBeReadBySeveralGoroutines(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := v.decode()
		if err != nil {
			continue
		}
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				_, _ = Encode(m)
				_ = m.Validate()
				_ = clone(m)
			})
		}
		readers.Wait()
	}
}

func TestErrorsAreComparedByTheirCode(t *testing.T) {
	t.Parallel()
	all := []*Error{
		ErrLoginBadAuth, ErrLoginBadStructure, ErrLoginBadRoom, ErrLoginGenFail, ErrLoginTimeout, ErrBadData, ErrBadRoom,
		ErrBadStructure, ErrBadType, ErrBadSize, ErrGenFail, ErrNoTarget, ErrNoTargetRoom, ErrNoTargetGroup,
	}
	for i, e := range all {
		said := &Error{ErrorCode: e.ErrorCode, ErrorText: "another text"}
		for j, other := range all {
			if i == j {
				require.ErrorIs(t, said, other)
			} else {
				require.NotErrorIs(t, said, other)
			}
		}
	}
	require.EqualError(t, ErrBadSize, "easyrtc: Message rejected. Packet size is too large. (MSG_REJECT_BAD_SIZE)")
	require.EqualError(t, &Error{ErrorCode: CodeMsgRejectBadSize}, ErrBadSize.Error())
	require.EqualError(t, &Error{ErrorCode: "X", ErrorText: "why"}, "easyrtc: why (X)")
}
