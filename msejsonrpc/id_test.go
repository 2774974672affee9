package msejsonrpc

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// idTokens are ids that come back as they were sent.
var idTokens = []string{
	"1", "0", "-1", "-0", "1.0", "10", "1e2", "1E+2", "0.1", "-1.5e-3", "12345678901234567890",
	"9223372036854775807", "9223372036854775808", "9999999999999999999", "10000000000000000000",
	"18446744073709551615", "18446744073709551616", "99999999999999999999999999999999", "1e999999999",
	`""`, `"a"`, `"1"`, `"null"`, `"absent"`, `" "`, `"é"`, `"\u00e9"`, `"\ud800"`, `"<&>"`, `"\""`, `"\/"`,
}

func TestIDIsEchoedTokenForToken(t *testing.T) {
	t.Parallel()
	for _, token := range idTokens {
		id, ok := ParseID([]byte(token))
		require.True(t, ok, token)
		require.Equal(t, token, id.String())
		require.False(t, id.IsNotification(), token)

		m, err := Decode([]byte(`{"id":` + token + `,"method":"ping","jsonrpc":"2.0"}`))
		require.NoError(t, err, token)
		require.Equal(t, id, m.(*Ping).ID, "%s: ParseID and Decode agree", token)
		b, err := Encode(m.(*Ping).Pong())
		require.NoError(t, err, token)
		require.Equal(t, `{"id":`+token+`,"jsonrpc":"2.0","result":"pong"}`, string(b))
	}
}

func TestIDsAreEqualWhenTheirTokensAre(t *testing.T) {
	t.Parallel()
	seen := map[ID]string{NullID: "null", AbsentID: "absent"}
	for _, token := range idTokens {
		id, _ := ParseID([]byte(token))
		require.NotContains(t, seen, id, "%s is %s", token, seen[id])
		seen[id] = token
		again, _ := ParseID([]byte(strings.Clone(token)))
		require.True(t, id == again, token)
	}
}

func TestParseIDRefusesWhatIsNoID(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		"true", "false", "[]", "[1]", "{}", `{"a":1}`, "01", "+1", ".5", "1.", "1e", "--1", "NaN", "Infinity", "0x1", "1 2", "nul", "null1",
		`"`, `"a`, `a`, `'a'`, "\"\xff\"", "\"\n\"", `"\x"`, " ", "\n", "1,", "absent",
	} {
		id, ok := ParseID([]byte(token))
		require.False(t, ok, token)
		require.Equal(t, ID{}, id, token)
	}
}

func TestParseIDTakesNoWhiteSpaceIntoTheToken(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]ID{
		" 1": NumberID(1), "1 ": NumberID(1), "\r\n\t1\n": NumberID(1), ` "a" `: StringID("a"), " null ": NullID, "1.0 ": {token: "1.0"},
	} {
		id, ok := ParseID([]byte(token))
		require.True(t, ok, token)
		require.Equal(t, want, id, token)
	}
}

func TestParseIDDoesNotKeepTheToken(t *testing.T) {
	t.Parallel()
	for _, token := range idTokens {
		data := []byte(token)
		id, _ := ParseID(data)
		clear(data)
		require.Equal(t, token, id.String())
	}
}

func TestNullAndAbsentIDs(t *testing.T) {
	t.Parallel()
	null, ok := ParseID([]byte("null"))
	require.True(t, ok)
	require.Equal(t, NullID, null)
	require.Equal(t, ID{}, NullID, "the zero ID")
	for _, token := range [][]byte{nil, {}} {
		absent, ok := ParseID(token)
		require.True(t, ok)
		require.Equal(t, AbsentID, absent)
	}
	require.NotEqual(t, NullID, AbsentID, "they mean the same, but do not look the same")
	require.True(t, NullID.IsNotification())
	require.True(t, AbsentID.IsNotification())
	require.Equal(t, "null", NullID.String())
	require.Empty(t, AbsentID.String())
	require.NotEqual(t, AbsentID, StringID("absent"))
}

func TestNumberIDIsTheIDThatIsParsed(t *testing.T) {
	t.Parallel()
	for token, n := range map[string]uint64{
		"0": 0, "1": 1, "9": 9, "10": 10, "9007199254740993": 1<<53 + 1, "9223372036854775808": 1 << 63,
		"9999999999999999999": 9999999999999999999, "10000000000000000000": 10000000000000000000, "18446744073709551615": math.MaxUint64,
	} {
		id, ok := ParseID([]byte(token))
		require.True(t, ok)
		require.Equal(t, NumberID(n), id, token)
		require.Equal(t, token, NumberID(n).String())
		require.False(t, NumberID(n).IsNotification(), token)
		got, ok := id.Number()
		require.Equal(t, n != 0, ok, "%s: positive numbers alone", token)
		require.Equal(t, n, got, token)
	}
	for _, token := range []string{"null", "", "-1", "1.0", "1e2", "18446744073709551616", "100000000000000000000", `"1"`} {
		id, ok := ParseID([]byte(token))
		require.True(t, ok, token)
		n, ok := id.Number()
		require.False(t, ok, token)
		require.Zero(t, n, token)
	}
}

func TestStringIDIsTheIDThatIsParsed(t *testing.T) {
	t.Parallel()
	for text, token := range map[string]string{
		"": `""`, "a": `"a"`, "1": `"1"`, "null": `"null"`, `"\`: `"\"\\"`, "a\n\x01": `"a\n\u0001"`,
		"é😀": `"é😀"`, "<&>": `"<&>"`, "\u2028": "\"\u2028\"", "a\xffb": "\"a\ufffdb\"",
	} {
		id := StringID(text)
		require.Equal(t, token, id.String())
		parsed, ok := ParseID([]byte(token))
		require.True(t, ok, token)
		require.Equal(t, parsed, id, "as JSON.stringify writes it")
		require.False(t, id.IsNotification(), token)
	}
}
