package mediasoupproto

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A vector is one frame of [Protoo] with what is to come of it.
type vector struct {
	script.Vector
	answer string // with a problem, what a server answers to a request, or ""
}

func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	for _, v := range script.Vectors(tb) {
		one := vector{Vector: v}
		for _, s := range v.More {
			require.Equal(tb, "answer", s.Name, v.Name)
			require.NotEmpty(tb, s.Data, v.Name)
			one.answer = string(s.Data)
		}
		all = append(all, one)
	}
	return all
}

func (v *vector) decode() (Message, error) { return Decode([]byte(v.Wire)) }

func TestVectorsDecodeValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m, err := v.decode()
			if err != nil {
				require.Nil(t, m)
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(DecodeError), err)
				e := err.(*DecodeError)
				require.Equal(t, v.answer != "", e.RequestID != "", "what is answered has an id")
				if v.answer != "" {
					require.Equal(t, &Error{Code: CodeFailed, Reason: v.answer}, answerTo(e))
				}
				return
			}
			err = m.Validate()
			if v.Problem == "" {
				require.NoError(t, err)
				require.NoError(t, Compat.Validate(m), "what is valid is so by both rules")
			} else {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(ValidationError), err)
				answer := ""
				if a := err.(*ValidationError).Answer; a != nil {
					answer = a.Reason
				}
				require.Equal(t, v.answer, answer)
			}
			script.Written(t, v.Vector, m, v.Encoded, Encode, Decode)
			if v.Problem == "" { // otherwise what must be there is added
				requireSameFrame(t, []byte(v.Wire), []byte(v.Encoded), v.Name)
			}
		})
	}
}

// requireSameFrame demands that two frames say the same in their data, but for what is always
// written.
func requireSameFrame(tb testing.TB, want, got []byte, place string) {
	tb.Helper()
	var w, g struct{ Data any }
	require.NoError(tb, json.Unmarshal(want, &w), place)
	require.NoError(tb, json.Unmarshal(got, &g), place)
	if w.Data == nil || w.Data == 0.0 {
		w.Data = map[string]any{}
	}
	if g.Data == nil {
		g.Data = map[string]any{} // of an error
	}
	complete(w.Data, g.Data)
	require.Equal(tb, w.Data, g.Data, place)
}

// zeroIsValid are the types that need no member.
var zeroIsValid = map[string]bool{"QueryRoom": true, "Leave": true, "Closed": true, "Unknown": true}

func TestEveryMessageHasADocCommentAVectorAndAValidate(t *testing.T) {
	t.Parallel()
	docs, types := repotest.Types(t, "wireType")
	delete(types, "Reconnected") // does not exist on the wire
	require.Len(t, types, len(registry)+3, "and Response, Application and Unknown")
	var covered script.Covered
	for _, v := range readVectors(t) {
		if m, err := v.decode(); err == nil {
			covered.Add(m, v.Problem)
		}
	}
	covered.Add(new(Response), "id: missing") // without one it does not decode
	require.EqualError(t, new(Response).Validate(), "mediasoupproto: invalid response: id: missing")
	covered.Compare(t, types, docs, zeroIsValid, new(ValidationError))
	require.EqualError(t, new(Reconnected).Validate(), "mediasoupproto: invalid reconnected: method: does not exist on the wire")
}

func TestVectorsAreInTheFileOfTheirType(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := v.decode()
		file, _, _ := strings.Cut(v.Name, "/")
		if file == "malformed" {
			continue
		}
		if err != nil {
			if e := err.(*DecodeError); e.Type != "" {
				require.Equal(t, e.Type, file, v.Name)
			}
			continue
		}
		want := m.wireType()
		switch m.(type) {
		case *Unknown:
			want = "unknown"
		case *Application:
			want = "application"
		}
		require.Equal(t, want, file, v.Name)
	}
}

func TestRegistryConstructsTheTypesThatItNames(t *testing.T) {
	t.Parallel()
	require.Len(t, registry, 38)
	requests := 0
	for typ, def := range registry {
		m := def.construct()
		require.Equal(t, typ, m.wireType())
		require.Equal(t, typ, name(m))
		require.Equal(t, strings.ToLower(typ), strings.ToLower(reflect.TypeOf(m).Elem().Name()))
		require.NotSame(t, m, def.construct(), "each message is its own")
		want := `{"method":"` + typ + `","target":"peer","notification":true`
		switch typ {
		case "queryRoom", "join":
			want = `{"method":"` + typ + `","target":"room"`
			m.head().RequestID = "7"
			requests++
		case "createTransport", "restartTransport", "createProducer", "enableConsumer":
			want = `{"method":"` + typ + `","target":"peer"`
			m.head().RequestID = "7"
			requests++
		}
		require.Equal(t, m.head().RequestID != "", def.kind == FrameRequest, typ)
		b, err := EncodePayload(m)
		require.NoError(t, err, typ)
		require.True(t, strings.HasPrefix(string(b), want), "%s", b)
		require.Equal(t, def.kind == FrameNotification, strings.Contains(string(b), `"notification"`), typ)
		again, err := DecodePayload(m.head().RequestID, b)
		require.NoError(t, err, typ)
		require.IsType(t, m, again)
		same, err := EncodePayload(again)
		require.NoError(t, err, typ)
		require.Equal(t, string(b), string(same))
	}
	require.Equal(t, 6, requests)
}

// extraOf returns the further members that a message has, made if they are nil, or nil for a
// message that has none.
func extraOf(m Message) Fields {
	f := reflect.ValueOf(m).Elem().FieldByName("Extra")
	if !f.IsValid() {
		return nil
	}
	if f.IsNil() {
		f.Set(reflect.MakeMap(f.Type()))
	}
	return f.Interface().(Fields)
}

// Every type of message keeps what it does not know, whatever it is, byte for byte.
func TestMembersThatAreNotKnownSurviveInEveryType(t *testing.T) {
	t.Parallel()
	for typ, def := range registry {
		m := def.construct()
		if def.kind == FrameRequest {
			m.head().RequestID = "7"
		}
		extra := extraOf(m)
		extra["zork"] = json.RawMessage(`{ "b":1.0,"a":[null] }`)
		extra["Acme"] = json.RawMessage(`"\u00e9"`)
		b, err := Encode(m)
		require.NoError(t, err, typ)
		require.True(t, strings.HasSuffix(string(b), `,"Acme":"\u00e9","zork":{ "b":1.0,"a":[null] }}}`), "%s", b)
		again, err := Decode(b)
		require.NoError(t, err, typ)
		require.Equal(t, extra, extraOf(again), typ)
	}
}

func TestValidateRefusesFurtherMembersThatWouldNotEncode(t *testing.T) {
	t.Parallel()
	bad := Fields{
		"acme": []byte("{bad"), "acme_two": []byte("1 2"), "acme_utf8": []byte("\"\xff\""),
		"acme_twice": []byte(`{"a":1,"a":1}`), "acme_deep": []byte(nestedArrays(63)), "acme_none": nil,
		"method": []byte(`"leave"`), "target": []byte(`"peer"`), "notification": []byte(`true`), "acme\xff": []byte("1"),
	}
	checked := 0
	for _, v := range readVectors(t) {
		m, err := v.decode()
		if err != nil || v.Problem != "" || extraOf(m) == nil {
			continue
		}
		extra := extraOf(m)
		for name, raw := range bad {
			extra[name] = raw
			require.IsType(t, new(ValidationError), m.Validate(), "%s: %s", v.Name, name)
			_, err = Encode(m)
			if name != "acme_none" { // which is written as null
				require.Error(t, err, "%s: %s", v.Name, name)
			}
			delete(extra, name)
		}
		extra["acme"] = []byte(nestedArrays(62))
		require.NoError(t, m.Validate(), v.Name)
		_, err = Encode(m)
		require.NoError(t, err, v.Name)
		checked++
	}
	require.Greater(t, checked, 60)
}

func nestedArrays(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
