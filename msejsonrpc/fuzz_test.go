package msejsonrpc

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// FuzzDecode checks that whatever decodes encodes, that what was encoded is JSON, decodes
// to the same and encodes to the same bytes, and that what Validate accepts is accepted
// again on the other side.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Wire))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		shown := Redact(data)
		if err != nil {
			e, ok := err.(*DecodeError)
			require.True(t, ok)
			require.Contains(t, []ErrorCode{CodeParseError, CodeInvalidObject, CodeInvalidParams}, e.Code)
			require.Equal(t, e.Code == CodeInvalidParams, registry[e.Type] != nil, "params are those of a method")
			if !errors.Is(err, jsonx.ErrUTF8) {
				require.Equal(t, json.Valid(data), e.Code != CodeParseError, "%v", err)
			}
			require.Equal(t, hidden, string(shown))
			return
		}
		valid := m.Validate()
		if valid != nil {
			require.IsType(t, new(ValidationError), valid)
		}
		b, err := Encode(m)
		require.NoError(t, err)
		require.True(t, json.Valid(b), "%s", b)
		again, err := Decode(b)
		require.NoError(t, err, "%s", b)
		require.Equal(t, reflect.TypeOf(m), reflect.TypeOf(again))
		require.Equal(t, idOf(m), idOf(again))
		require.Equal(t, valid, again.Validate())
		same, err := Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(b), string(same))
		if auth, ok := m.(*Auth); ok && len(auth.Token) > len(hidden) {
			require.NotContains(t, string(shown), auth.Token)
		}
	})
}

// FuzzICECandidate checks that a candidate that is accepted is the same after a round
// trip in the form of an object, and in that of a string but for its section.
func FuzzICECandidate(f *testing.F) {
	for _, v := range readVectors(f) {
		if m, err := Decode([]byte(v.Wire)); err == nil {
			if c, ok := m.(*ICECandidate); ok {
				f.Add([]byte(c.Candidate))
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &ICECandidate{Candidate: raw}
		c, err := m.Init()
		require.Equal(t, err, m.Validate())
		if err != nil {
			require.IsType(t, new(ValidationError), err)
			return
		}
		requireEncodes(t, m)

		object := NewICECandidate(c, FormObject)
		requireEncodes(t, object)
		again, err := object.Init()
		require.NoError(t, err)
		require.Equal(t, c, again)

		text := NewICECandidate(c, FormString)
		requireEncodes(t, text)
		again, err = text.Init()
		require.NoError(t, err)
		require.Equal(t, uint16(0), *again.SDPMLineIndex)
		require.Nil(t, again.SDPMid)
		if !strings.HasPrefix(again.Candidate, c.Candidate) {
			t.Fatalf("%q became %q", c.Candidate, again.Candidate)
		}
		if fragment := c.UsernameFragment; c.Candidate != "" && fragment != nil && isWord(*fragment) && !strings.Contains(c.Candidate+" ", " ufrag ") {
			require.Equal(t, fragment, again.UsernameFragment)
		}
		twice, err := NewICECandidate(again, FormString).Init()
		require.NoError(t, err)
		require.Equal(t, again, twice)
	})
}

// FuzzSDPOffer checks that a description that is accepted is the same after a round trip
// in the form of an object, and in that of a string but for its type.
func FuzzSDPOffer(f *testing.F) {
	for _, v := range readVectors(f) {
		if m, err := Decode([]byte(v.Wire)); err == nil {
			if o, ok := m.(*SDPOffer); ok {
				f.Add([]byte(o.Offer))
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &SDPOffer{Offer: raw}
		d, err := m.Description()
		require.Equal(t, err, m.Validate())
		if err != nil {
			require.IsType(t, new(ValidationError), err)
			return
		}
		requireEncodes(t, m)

		object := NewSDPOffer(d, FormObject)
		requireEncodes(t, object)
		again, err := object.Description()
		require.NoError(t, err)
		require.Equal(t, d, again)

		text := NewSDPOffer(d, FormString)
		requireEncodes(t, text)
		again, err = text.Description()
		require.NoError(t, err)
		require.Equal(t, SessionDescription{SDP: d.SDP}, again)
	})
}

// requireEncodes demands that a message that validates encodes to one that decodes.
func requireEncodes(t *testing.T, m Message) {
	t.Helper()
	require.NoError(t, m.Validate())
	b, err := Encode(m)
	require.NoError(t, err)
	again, err := Decode(b)
	require.NoError(t, err, "%s", b)
	require.NoError(t, again.Validate())
}
