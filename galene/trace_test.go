package galene

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A wireLine is one line of a trace: a message, a text that is none, the end of the
// connection, or something else that happened.
type wireLine struct {
	place string // file and number
	file  string // without its folder

	Dir    string          `json:"dir"` // c2s or s2c
	Client string          `json:"client"`
	Msg    json.RawMessage `json:"msg"`
	Raw    *string         `json:"raw"`
	Close  *wireClose      `json:"close"`
	Event  string          `json:"event"`
}

type wireClose struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// dialectOfFolder are what was recorded from servers of several releases, with the dialect
// that they speak.
var dialectOfFolder = map[string]Dialect{
	"v2":          DialectV2, // of 2026
	"v1-0.7.2":    DialectV2, // the first release with version 2
	"v1-0.6.2":    DialectV1,
	"v1-0.4.4":    Dialect04,
	"v1-document": DialectDocument, // of the very commit whose document it is
}

// readOnce holds the lines of the folders that have been read.
var readOnce sync.Map

// readWire returns the lines of all traces of a folder, which must not be changed.
func readWire(tb testing.TB, folder string) []wireLine {
	tb.Helper()
	if lines, ok := readOnce.Load(folder); ok {
		return lines.([]wireLine)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "traces", folder, "*.jsonl"))
	require.NoError(tb, err)
	require.NotEmpty(tb, files, folder)
	var lines []wireLine
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(tb, err)
		scanner := bufio.NewScanner(bytes.NewReader(data))
		scanner.Buffer(nil, 1<<20)
		for number := 1; scanner.Scan(); number++ {
			l := wireLine{file: filepath.Base(file), place: fmt.Sprintf("%s/%s:%d", folder, filepath.Base(file), number)}
			require.NoError(tb, json.Unmarshal(scanner.Bytes(), &l), l.place)
			lines = append(lines, l)
		}
		require.NoError(tb, scanner.Err(), file)
	}
	readOnce.Store(folder, lines)
	return lines
}

// wireMessages are the lines that hold a message.
func wireMessages(tb testing.TB, folder string) []wireLine {
	tb.Helper()
	var found []wireLine
	for _, l := range readWire(tb, folder) {
		if l.Msg != nil {
			found = append(found, l)
		}
	}
	return found
}

func TestTracesOfAllReleasesDecode(t *testing.T) {
	t.Parallel()
	count, types := 0, map[string]bool{}
	for folder := range dialectOfFolder {
		for _, l := range wireMessages(t, folder) {
			m, err := Decode(l.Msg)
			require.NoError(t, err, l.place)
			require.NotContains(t, []string{"", "unknown"}, m.wireType(), l.place)
			require.Contains(t, registry, m.wireType(), l.place)
			count++
			types[m.wireType()] = true
		}
	}
	require.Greater(t, count, 3600)
	require.Len(t, types, len(registry), "each type occurs")
}

// What servers of version 2 wrote and took, today's server takes. What older ones wrote
// it takes when nothing of an old shape is in it.
func TestTracesOfVersion2PassCheck(t *testing.T) {
	t.Parallel()
	for folder, dialect := range dialectOfFolder {
		old := 0
		for _, l := range wireMessages(t, folder) {
			if err := Check(l.Msg); err != nil {
				require.NotEqual(t, DialectV2, dialect, "%s: %v", l.place, err)
				require.ErrorIs(t, err, jsonx.ErrType, l.place)
				old++
			}
		}
		require.Equal(t, dialect != DialectV2, old > 0, folder)
	}
}

// equalAsRead are the differences between two texts that mean the same.
var equalAsRead = []struct {
	reason string
	drop   func(typ, name string, value any) bool
}{
	{"a text that is empty equals its absence, as in the encoder of the real server", func(typ, name string, value any) bool {
		return value == "" && isTextMember(typ, name)
	}},
	{"a null equals the absence of a member that is known", func(typ, name string, value any) bool {
		return value == nil && (isTextMember(typ, name) || classOf([]byte(name)) != anything)
	}},
}

// isTextMember reports whether a member is a text which no message tells from an absent
// one.
func isTextMember(typ, name string) bool {
	return name != "username" && classOf([]byte(name)) == text || typ == "joined" && name == "value"
}

// meaning returns a message without the differences that do not count.
func meaning(tb testing.TB, text []byte) map[string]any {
	tb.Helper()
	var v map[string]any
	require.NoError(tb, json.Unmarshal(text, &v))
	typ, _ := v["type"].(string)
	for _, equal := range equalAsRead {
		maps.DeleteFunc(v, func(name string, value any) bool { return equal.drop(typ, name, value) })
	}
	return v
}

func TestTracesEncodeToTheSameValueInTheirDialect(t *testing.T) {
	t.Parallel()
	for folder, dialect := range dialectOfFolder {
		for _, l := range wireMessages(t, folder) {
			m, err := Decode(l.Msg)
			require.NoError(t, err, l.place)
			b, err := dialect.Encode(m)
			require.NoError(t, err, l.place)
			require.Equal(t, meaning(t, l.Msg), meaning(t, b), "%s: %s", l.place, b)

			again, err := Decode(b)
			require.NoError(t, err, l.place)
			same, err := dialect.Encode(again)
			require.NoError(t, err, l.place)
			require.Equal(t, string(b), string(same), l.place)
		}
	}
}

// Whatever release a message is of, what it says can be written as today.
func TestTracesOfOldReleasesEncodeAsToday(t *testing.T) {
	t.Parallel()
	for folder := range dialectOfFolder {
		for _, l := range wireMessages(t, folder) {
			m, err := Decode(l.Msg)
			require.NoError(t, err, l.place)
			b, err := Encode(m)
			if r, ok := m.(*Request); ok && r.Tracks != nil {
				require.ErrorIs(t, err, errTracks, l.place)
				continue
			}
			require.NoError(t, err, l.place)
			require.NoError(t, Check(b), "%s: %s", l.place, b)
		}
	}
}

// tookNevertheless are the messages in the traces that are not valid and that a server of
// their time took.
var tookNevertheless = map[string]string{
	"v1-document/02-join.jsonl badgroup":     "the server of the document does not check the names of groups",
	"v1-document/02-join.jsonl anon-omitted": "before version 2 an absent user name was an empty one",
	"v1-0.4.4/02-join.jsonl anon-omitted":    "before version 2 an absent user name was an empty one",
	"v1-0.6.2/02-join.jsonl anon-omitted":    "before version 2 an absent user name was an empty one",
	"v1-document/05-users-actions.jsonl bob": "setstatus, for which today's server ends the connection",
	"v1-0.4.4/05-users-actions.jsonl bob":    "setstatus, for which today's server ends the connection",
}

func TestTracesAreValidWhereThePeerTookThem(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(tookNevertheless)
	invalid := 0
	for folder := range dialectOfFolder {
		lines := readWire(t, folder)
		for i, l := range lines {
			if l.Msg == nil {
				continue
			}
			m, err := Decode(l.Msg)
			require.NoError(t, err, l.place)
			err = m.Validate()
			if err == nil {
				continue
			}
			require.IsType(t, new(ValidationError), err, l.place)
			require.Equal(t, "c2s", l.Dir, "%s: %v", l.place, err)
			invalid++
			key := folder + "/" + l.file + " " + l.Client
			if tookNevertheless[key] != "" {
				delete(unused, key)
				continue
			}
			require.True(t, refused(t, lines[i+1:], l), "%s: %v", l.place, err)
		}
	}
	require.Greater(t, invalid, 25)
	require.Empty(t, unused)
}

// refused reports whether the server refused what a client said in a line, of which rest
// is what came after it.
func refused(tb testing.TB, rest []wireLine, l wireLine) bool {
	tb.Helper()
	for _, next := range rest {
		switch {
		case next.file != l.file:
			return false
		case next.Client != l.Client:
			continue
		case next.Dir == "c2s":
			return false
		case next.Close != nil:
			return true
		case next.Msg == nil:
			continue
		}
		m, err := Decode(next.Msg)
		require.NoError(tb, err, next.place)
		switch m := m.(type) {
		case *Joined:
			if m.Kind == JoinedFail {
				return true
			}
		case *UserMessage:
			if m.Kind == UserMessageError || m.Error != "" {
				return true
			}
		}
	}
	return false
}

// A wireMalformed is a text that a client sent as it stands, which need not be a message, and
// what the server made of it.
type wireMalformed struct {
	wireLine
	text   string
	closed *wireClose // nil if the connection went on
}

func readWireMalformed(tb testing.TB, folder string) []wireMalformed {
	tb.Helper()
	lines := readWire(tb, folder)
	var found []wireMalformed
	for i, l := range lines {
		if l.Dir != "c2s" || l.Msg != nil || l.Close != nil || l.Raw == nil && l.Event != "" {
			continue
		}
		f := wireMalformed{wireLine: l}
		if l.Raw != nil {
			f.text = *l.Raw
		}
		var size int
		if n, _ := fmt.Sscanf(f.text, "<%d bytes: chat", &size); n == 1 { // too large for the trace
			const begin, end = `{"type":"chat","value":"`, `"}`
			f.text = begin + strings.Repeat("a", size-len(begin)-len(end)) + end
		}
		for _, next := range lines[i+1:] {
			if next.Client == l.Client && next.Close != nil {
				if next.Dir == "s2c" {
					f.closed = next.Close
				}
				break
			}
		}
		found = append(found, f)
	}
	require.NotEmpty(tb, found, folder)
	return found
}

// checkedOtherwise are the texts of which Check says something else than the real server.
var checkedOtherwise = map[string]struct {
	want   error
	reason string
}{
	"twovalues": {jsonx.ErrSyntax, "data after the object is an error here; Galène ignores it"},
	"dupkey":    {jsonx.ErrDuplicate, "a duplicate name is an error here; Galène takes the last"},
	"uppercase": {errNoType, "names match exactly here; Galène does not look at their case"},

	"null":        {errNoType, "the server tells it apart, and answers as to an unknown type"},
	"notype":      {errNoType, "the server tells it apart, and answers as to an unknown type"},
	"emptyobject": {errNoType, "the server tells it apart, and answers as to an unknown type"},
	"hs-empty":    {errNoType, "the server tells it apart, and answers as to an unknown type"},

	"requeststream-unknown": {nil, "wrong because there is no such stream"},
	"requeststream":         {nil, "wrong because there is no such stream"},
	"requeststream-noid":    {nil, "wrong because there is no such stream"},
	"prejoin-request":       {nil, "wrong because the client is in no group"},
	"prejoin-requeststream": {nil, "wrong because the client is in no group"},
}

func TestCheckRefusesWhatEndsAConnectionOfTheRealServer(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(checkedOtherwise)
	decode := decoder(DefaultMessageBytes, true)
	count := 0
	for folder, dialect := range dialectOfFolder {
		if dialect != DialectV2 {
			continue
		}
		for _, f := range readWireMalformed(t, folder) {
			count++
			m, err := decode(transport.Text, []byte(f.text))
			other, otherErr := decode(transport.Binary, []byte(f.text))
			require.Equal(t, m, other, f.place)
			require.Equal(t, err, otherErr, "%s: a binary message is read as a text", f.place)
			if len(f.text) <= DefaultMessageBytes {
				require.Equal(t, err, Check([]byte(f.text)), f.place)
			}
			if except, ok := checkedOtherwise[f.Client]; ok {
				require.ErrorIs(t, err, except.want, f.place)
				delete(unused, f.Client)
				continue
			}
			// 1011 is for what the server cannot read, 1006 for that in place of a
			// handshake, 1009 for what is too large.
			if f.closed != nil && slices.Contains([]int{1011, 1006, 1009}, f.closed.Code) {
				require.IsType(t, new(DecodeError), err, f.place)
				require.Equal(t, f.closed.Code == 1009, errors.Is(err, errTooBig), f.place)
			} else {
				require.NoError(t, err, f.place)
			}
		}
	}
	require.Greater(t, count, 80)
	require.Empty(t, unused)
}

func TestDecodeTakesWhatOldServersTook(t *testing.T) {
	t.Parallel()
	for folder, dialect := range dialectOfFolder {
		if dialect == DialectV2 {
			continue
		}
		took := 0
		for _, f := range readWireMalformed(t, folder) {
			if f.closed != nil && f.closed.Code == 1011 {
				continue
			}
			took++
			m, err := Decode([]byte(f.text))
			require.NoError(t, err, f.place)
			b, err := dialect.Encode(m)
			require.NoError(t, err, f.place)
			require.Equal(t, meaning(t, []byte(f.text)), meaning(t, b), "%s: %s", f.place, b)
		}
		require.GreaterOrEqual(t, took, 6, folder)
	}
}

func TestNothingSecretOfTheTracesIsInALog(t *testing.T) {
	t.Parallel()
	secrets := 0
	for folder := range dialectOfFolder {
		for _, l := range wireMessages(t, folder) {
			m, err := Decode(l.Msg)
			require.NoError(t, err, l.place)
			shown := string(Redact(l.Msg))
			var hide []string
			switch m := m.(type) {
			case *Join:
				hide = append(hide, m.Password, m.Token)
			case *Joined:
				c, err := m.Configuration()
				require.NoError(t, err, l.place)
				for _, s := range c.ICEServers {
					hide = append(hide, s.Credential)
				}
			case *UserMessage:
				if token, err := m.Token(); err == nil {
					hide = append(hide, token.Token)
				}
				list, _ := m.Tokens()
				for _, token := range list {
					hide = append(hide, token.Token)
				}
			case *GroupAction:
				if r, err := m.TokenRequest(); err == nil {
					hide = append(hide, r.Token)
				}
			}
			for _, secret := range hide {
				if secret != "" {
					require.NotContains(t, shown, `"`+secret+`"`, l.place)
					secrets++
				}
			}
		}
	}
	require.Greater(t, secrets, 200)
}
