package mediasoupproto

import (
	"encoding/json"
	"go/ast"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

// structsOfTheWire returns every struct that is a message, a result or a statistic, or below
// one, by its name.
func structsOfTheWire() map[string]reflect.Type {
	found := map[string]reflect.Type{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(t.Elem())
		case reflect.Struct:
			if t == reflect.TypeFor[Head]() || found[t.Name()] != nil {
				return
			}
			found[t.Name()] = t
			for field := range t.Fields() {
				visit(field.Type)
			}
		}
	}
	for _, def := range registry {
		visit(reflect.TypeOf(def.construct()))
	}
	for _, v := range []any{
		new(QueryRoomResult), new(JoinResult), new(CreateTransportResult), new(RestartTransportResult),
		new(EnableConsumerResult), new(TransportState), new(RTPStreamStats),
	} {
		visit(reflect.TypeOf(v))
	}
	return found
}

// What a server of tomorrow adds must pass, at every level.
func TestEveryStructOfTheWireKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	structs := structsOfTheWire()
	require.Greater(t, len(structs), 55)
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
		"mandatoryCodecPayloadTypes": true, "encrypt": true, "fec": true, "mechanism": true, "preferIPv6": true,
	}
	lines := wireLines(t)
	for i := range lines {
		var v any
		require.NoError(t, json.Unmarshal(lines[i].Body, &v), lines[i].place())
		markNames(v, known)
	}
	for name, typ := range structsOfTheWire() {
		for field := range typ.Fields() {
			if member, _, _ := strings.Cut(field.Tag.Get("json"), ","); member != "-" && member != "" {
				require.True(t, known[member], "%s.%s", name, member)
			}
		}
	}
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

// Everything that the package has a name for is in a trace or a vector.
func TestEveryConstantIsOfTheWire(t *testing.T) {
	t.Parallel()
	texts := new(strings.Builder)
	lines := wireLines(t)
	for i := range lines {
		texts.Write(lines[i].Body)
	}
	for _, v := range readVectors(t) {
		texts.WriteString(v.Wire)
	}
	wire := texts.String()
	count := map[string]int{}
	for _, f := range repotest.Files(t, false) {
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				c := spec.(*ast.ValueSpec)
				typ, typed := c.Type.(*ast.Ident)
				of := ""
				switch {
				case typed:
					of = typ.Name
				case strings.HasPrefix(c.Names[0].Name, "Extension"):
					of = "Extension"
				case strings.HasPrefix(c.Names[0].Name, "Stats"):
					of = "Stats"
				}
				if of == "" || len(c.Values) == 0 {
					continue
				}
				literal, ok := c.Values[0].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING || of == "MuxID" {
					continue
				}
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				require.Contains(t, wire, `"`+text+`"`, c.Names[0].Name)
				count[of]++
			}
		}
	}
	for of, want := range map[string]int{
		"Kind": 2, "Direction": 2, "Target": 2, "Profile": 5, "DTLSRole": 3, "Extension": 6, "Stats": 3,
	} {
		require.Equal(t, want, count[of], of)
	}
}

func TestProfilesAreForWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for p, want := range map[Profile][2]bool{ // preferred, and of an encoding
		"": {}, "ultra": {}, ProfileNone: {}, ProfileDefault: {true, false},
		ProfileLow: {true, true}, ProfileMedium: {true, true}, ProfileHigh: {true, true}, "High": {},
	} {
		require.Equal(t, want, [2]bool{p.IsPreference(), p.isOfEncoding()}, p)
	}
}

func TestMessagesMayBeReadBySeveralGoroutines(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := v.decode()
		if err != nil {
			continue
		}
		many := newShared(m)
		_, response := m.(*Response)
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				_, _ = Encode(m)
				_ = m.Validate()
				if !response {
					_, _ = appendMessage(Protoo, nil, many)
				}
			})
		}
		readers.Wait()
	}
}

func TestErrorsAreComparedByTheirReason(t *testing.T) {
	t.Parallel()
	all := []*Error{
		ErrRoomClosed, ErrNoPeer, ErrPeerExists, ErrOtherName, ErrNotAuthorised, ErrSpy, ErrPlainRTP, ErrTransportNotFound,
		ErrConsumerNotFound, ErrConsumerEnabled, ErrRequestTimeout, ErrNoPort,
	}
	for i, e := range all {
		said := &Error{Code: 1, Reason: e.Reason}
		for j, other := range all {
			if i == j {
				require.ErrorIs(t, said, other)
			} else {
				require.NotErrorIs(t, said, other)
			}
		}
	}
	require.EqualError(t, ErrRoomClosed, "mediasoupproto: InvalidStateError: Room closed")
	require.EqualError(t, ErrNoPeer, "mediasoupproto: no mediasoup Peer (400)")
	require.EqualError(t, &Error{Reason: "no"}, "mediasoupproto: no")
}

// The texts of the errors are those of the server in the traces, for those that it says there.
func TestErrorsHaveTheTextsOfTheOriginal(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	lines := wireLines(t)
	for i := range lines {
		if lines[i].Kind == "error" && len(lines[i].RID) > 0 {
			said[lines[i].refusal(t).Reason] = true
		}
	}
	for _, e := range []*Error{
		ErrRoomClosed, ErrTransportNotFound, ErrNoPort, errWebRTCTransport, errProducerExists, errTransportExists,
		errRestartPlain, errProducerID,
	} {
		require.True(t, said[e.Reason], e.Reason)
		require.Equal(t, CodeFailed, e.Code)
	}
}
