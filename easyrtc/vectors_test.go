package easyrtc

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A vector is one packet with what is to come of it.
type vector struct {
	script.Vector
	attachments [][]byte
	code        ErrorCode // with a problem, what a server answers, or ""
}

func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	for _, v := range script.Vectors(tb) {
		one := vector{Vector: v}
		for _, s := range v.More {
			switch s.Name {
			case "attachment": // in hexadecimal
				b, err := hex.DecodeString(string(s.Data))
				require.NoError(tb, err, v.Name)
				one.attachments = append(one.attachments, b)
			case "code":
				require.NotEmpty(tb, s.Data, v.Name)
				one.code = ErrorCode(s.Data)
			default:
				require.Fail(tb, "unknown section", "%s: %s", v.Name, s.Name)
			}
		}
		all = append(all, one)
	}
	return all
}

func (v *vector) decode() (Message, error) { return DecodeBinary([]byte(v.Wire), v.attachments) }

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
				require.Equal(t, v.code, e.Code)
				require.Equal(t, v.code != "", e.ID != ID{}, "what is answered has an id")
				return
			}
			err = m.Validate()
			if v.Problem != "" {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(ValidationError), err)
				if v.code != "" {
					require.Equal(t, v.code, err.(*ValidationError).Code)
				}
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, v.attachments, attachments(m))
			decode := func(data []byte) (Message, error) { return DecodeBinary(data, v.attachments) }
			script.Written(t, v.Vector, m, v.Encoded, Encode, decode)
			if v.Problem == "" || v.code != "" { // otherwise a server would add what must be there
				again, err := decode([]byte(v.Encoded))
				require.NoError(t, err)
				require.Equal(t, m.Validate(), again.Validate())
				requireSamePacket(t, []byte(v.Wire), []byte(v.Encoded), v.Name)
			}
		})
	}
}

// A message without what makes it one is refused, but for these.
var zeroIsValid = map[string]bool{
	"GetICEConfig": true, "GetRoomList": true, "StillAlive": true, "Msg": true, "Ack": true,
	"ConnectPacket": true, "DisconnectPacket": true, "ConnectErrorPacket": true,
}

func TestEveryMessageHasADocCommentAVectorAndAValidate(t *testing.T) {
	t.Parallel()
	docs, types := repotest.Types(t, "wireType")
	delete(types, "Reconnected") // does not exist on the wire
	delete(types, "shared")      // is a RoomData for many
	constructed := map[string]bool{}
	for _, of := range constructors {
		for _, construct := range of {
			constructed[reflect.TypeOf(construct()).Elem().Name()] = true
		}
	}
	require.Len(t, types, len(constructed)+5, "and Msg, Unknown and the three packets of Socket.IO")

	var covered script.Covered
	for _, v := range readVectors(t) {
		if m, err := v.decode(); err == nil {
			covered.Add(m, v.Problem)
		}
	}
	covered.Add(new(Unknown), "no event") // which is not on the wire
	covered.Compare(t, types, docs, zeroIsValid, new(ValidationError))
	require.Error(t, new(Reconnected).Validate())
}

func TestVectorsAreInTheFileOfTheirType(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := v.decode()
		file, _, _ := strings.Cut(v.Name, "/")
		if err != nil || file == "malformed" {
			continue
		}
		want := m.wireType()
		switch m.(type) {
		case *Msg:
			want = "msg"
		case *Unknown:
			want = "unknown"
		}
		require.Equal(t, want, file, v.Name)
	}
}

func TestEventsConstructTheTypesThatTheyName(t *testing.T) {
	t.Parallel()
	require.Len(t, constructors[EventAuth], 1)
	require.Len(t, constructors[EventCmd], 18)
	require.Len(t, constructors[""], 6)
	for event, of := range constructors {
		for typ, construct := range of {
			m := construct()
			require.Equal(t, typ, m.wireType())
			if event != "" {
				require.Equal(t, event, m.event(), typ)
			}
			require.NotSame(t, m, construct(), "each message is its own")
			*m.packet() = Packet{ID: NumberID(7), Ack: event == ""}
			b, err := Encode(m)
			require.NoError(t, err, typ)
			begin := `27["` + event + `",{"msgType":"` + typ + `"`
			if event == "" {
				begin = `37[{"msgType":"` + typ + `"`
			}
			require.True(t, strings.HasPrefix(string(b), begin), "%s", b)
			again, err := Decode(b)
			require.NoError(t, err, typ)
			require.Equal(t, m, again)
		}
	}
}

// extraOf returns the further members that a message has, made if they are nil.
func extraOf(m Message) Fields {
	f := reflect.ValueOf(m).Elem().FieldByName("Extra")
	if f.IsNil() {
		f.Set(reflect.MakeMap(f.Type()))
	}
	return f.Interface().(Fields)
}

// Every type of message keeps what it does not know, whatever it is, byte for byte.
func TestMembersThatAreNotKnownSurviveInEveryType(t *testing.T) {
	t.Parallel()
	for event, of := range constructors {
		for typ, construct := range of {
			m := construct()
			m.packet().Ack = event == ""
			extra := extraOf(m)
			extra["zork"] = json.RawMessage(`{ "b":1.0,"a":[null] }`)
			extra["Acme"] = json.RawMessage(`"\u00e9"`)
			b, err := Encode(m)
			require.NoError(t, err, typ)
			require.True(t, strings.HasSuffix(string(b), `,"Acme":"\u00e9","zork":{ "b":1.0,"a":[null] }}]`), "%s", b)
			again, err := Decode(b)
			require.NoError(t, err, typ)
			require.Equal(t, extra, extraOf(again), typ)
		}
	}
}

func TestValidateRefusesFurtherMembersThatWouldNotEncode(t *testing.T) {
	t.Parallel()
	bad := Fields{
		"acme": []byte("{bad"), "acme_two": []byte("1 2"), "acme_utf8": []byte("\"\xff\""),
		"acme_twice": []byte(`{"a":1,"a":1}`), "acme_deep": []byte(nestedArrays(64)),
		"msgType": []byte(`"offer"`), "acme\xff": []byte("1"),
	}
	checked := 0
	for _, v := range readVectors(t) {
		m, err := v.decode()
		if v.Problem != "" || m.packet() == nil {
			continue
		}
		if u, ok := m.(*Unknown); ok && u.Args != nil {
			continue
		}
		require.NoError(t, err)
		extra := extraOf(m)
		for name, raw := range bad {
			extra[name] = raw
			require.IsType(t, new(ValidationError), m.Validate(), "%s: %s", v.Name, name)
			_, err = Encode(m)
			require.Error(t, err, "%s: %s", v.Name, name)
			delete(extra, name)
		}
		require.NoError(t, m.Validate(), v.Name)
		checked++
	}
	require.Greater(t, checked, 60)
}

func nestedArrays(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
