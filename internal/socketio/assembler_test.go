package socketio

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A fed is a message for an assembler and what is to come of it.
type fed struct {
	typ         transport.MessageType
	data        string
	text        string // "" while attachments are due
	attachments []string
	err         error
}

func TestAssemblerPutsPacketsAndAttachmentsTogether(t *testing.T) {
	t.Parallel()
	const text, binary = transport.Text, transport.Binary
	for name, steps := range map[string][]fed{
		"texts": {
			{typ: text, data: "0", text: "0"},
			{typ: text, data: `2["event"]`, text: `2["event"]`},
			{typ: text, data: "", text: ""},
			{typ: text, data: "garbage", text: "garbage"},
		},
		"two attachments": {
			{typ: text, data: `52-["event"]`},
			{typ: binary, data: "\x01"},
			{typ: binary, data: "\x02\x03", text: `52-["event"]`, attachments: []string{"\x01", "\x02\x03"}},
			{typ: text, data: "1", text: "1"},
			{typ: text, data: `61-0[]`},
			{typ: binary, data: "", text: "61-0[]", attachments: []string{""}},
		},
		"none":         {{typ: text, data: `50-["event"]`, err: ErrAttachments}},
		"no event yet": {{typ: text, data: "51-{"}, {typ: binary, data: "a", text: "51-{", attachments: []string{"a"}}},
		"unannounced":  {{typ: binary, data: "a", err: ErrBinary}},
		"one too many": {
			{typ: text, data: `51-["event"]`},
			{typ: binary, data: "a", text: `51-["event"]`, attachments: []string{"a"}},
			{typ: binary, data: "b", err: ErrBinary},
		},
		"text between": {{typ: text, data: `51-["event"]`}, {typ: text, data: "1", err: ErrIncomplete}},
		"packet between": {
			{typ: text, data: `52-["event"]`},
			{typ: binary},
			{typ: text, data: `51-["event"]`, err: ErrIncomplete},
		},
		"too many":         {{typ: text, data: `511-["event"]`, err: ErrAttachments}},
		"not a number":     {{typ: text, data: `5x-["event"]`, err: ErrAttachments}},
		"of another event": {{typ: text, data: `511111111111111111["event"]`, err: ErrAttachments}},
		"in a long id":     {{typ: text, data: `51-1111111111111111["event"]`, err: ErrID}},
		"at the limit": {
			{typ: text, data: `51-["e"]`},
			{typ: binary, data: "123456789012", text: `51-["e"]`, attachments: []string{"123456789012"}},
		},
		"over the limit": {
			{typ: text, data: `51-["e"]`},
			{typ: binary, data: "1234567890123", err: ErrTooBig},
		},
		"together over it": {
			{typ: text, data: `52-["e"]`},
			{typ: binary, data: "123456"},
			{typ: binary, data: "1234567", err: ErrTooBig},
		},
		"counted for each packet": {
			{typ: text, data: `51-[]`},
			{typ: binary, data: "123456789012", text: "51-[]", attachments: []string{"123456789012"}},
			{typ: text, data: `51-[]`},
			{typ: binary, data: "123456789012", text: "51-[]", attachments: []string{"123456789012"}},
		},
	} {
		a := Assembler{Limit: 20}
		for i, step := range steps {
			got, attachments, ok, err := a.Feed(step.typ, []byte(step.data))
			if step.err != nil {
				require.ErrorIs(t, err, step.err, "%s %d", name, i)
				require.False(t, ok, "%s %d", name, i)
				continue
			}
			require.NoError(t, err, "%s %d", name, i)
			require.Equal(t, step.text, string(got), "%s %d", name, i)
			require.Equal(t, step.text != "" || step.typ == text && step.data == "", ok, "%s %d", name, i)
			require.Len(t, attachments, len(step.attachments), "%s %d", name, i)
			for j, want := range step.attachments {
				require.Equal(t, want, string(attachments[j]), "%s %d", name, i)
			}
		}
	}
}

func TestAssemblerWithoutALimitTakesAnySize(t *testing.T) {
	t.Parallel()
	var a Assembler
	_, _, ok, err := a.Feed(transport.Text, []byte(`51-["e"]`))
	require.NoError(t, err)
	require.False(t, ok)
	big := make([]byte, 1<<20)
	_, attachments, ok, err := a.Feed(transport.Binary, big)
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, attachments[0], len(big))
}

// Whoever reads a connection reads the next message into the same memory.
func TestAssemblerKeepsNothingOfWhatItIsGiven(t *testing.T) {
	t.Parallel()
	var a Assembler
	text, first, second := []byte(`52-["e"]`), []byte("abc"), []byte("def")
	for _, step := range []struct {
		typ  transport.MessageType
		data []byte
	}{{transport.Text, text}, {transport.Binary, first}} {
		_, _, ok, err := a.Feed(step.typ, step.data)
		require.NoError(t, err)
		require.False(t, ok)
		clear(step.data)
	}
	got, attachments, ok, err := a.Feed(transport.Binary, second)
	require.NoError(t, err)
	require.True(t, ok)
	clear(second)
	require.Equal(t, `52-["e"]`, string(got))
	require.Equal(t, [][]byte{[]byte("abc"), []byte("def")}, attachments)
}
