package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// sample is a recording with every field.
func sample() *File {
	at := time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)
	entries := []Entry{
		{
			Time: at, Conn: "1", Kind: Open, From: Client, Method: "GET", URL: "/ws?token=t&x=<>",
			Header: map[string]string{"Cookie": "a=b"},
		},
		{Time: at, Conn: "1", Kind: Message, From: Client, Data: []byte("{\"a\":\"\u2028ä\\u0000<\"}\n")},
		{Time: at, Conn: "1", Kind: Message, From: Server, Data: []byte("\x00\xff"), Binary: true},
		{Conn: "1", Kind: Message, From: Server, Data: []byte("a\xffb"), Cut: 99},
		{Conn: "1", Kind: Message, From: Server},
		{Conn: "1", Kind: Close, From: Server, Code: 1006, Reason: "a \"reason\""},
		{Conn: "http", Kind: Request, From: Client, Method: "POST", URL: "/x", Data: []byte("body")},
		{Conn: "http", Kind: Response, Method: "POST", URL: "/x", Status: 502, Data: []byte("\x00\n\t")},
		{Kind: Note, Reason: "something"},
	}
	for i := range entries {
		entries[i].Seq = i + 1
	}
	return &File{Protocol: "galene", Target: "ws://127.0.0.1:8443", Entries: entries}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	t.Parallel()
	for _, f := range []*File{sample(), {}, {Protocol: "mse"}} {
		var b bytes.Buffer
		require.NoError(t, WriteFile(&b, f, nil))
		require.Equal(t, len(f.Entries)+1, bytes.Count(b.Bytes(), []byte("\n")))
		got, err := Read(iotest.OneByteReader(bytes.NewReader(b.Bytes())))
		require.NoError(t, err)
		require.Equal(t, f, got)
		// As editors leave it.
		text := "\uFEFF" + strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\r\n\r\n")
		got, err = Read(strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
}

func TestTheLargestMessagesFitTheirLines(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	for name, data := range map[string][]byte{
		"quotes":   bytes.Repeat([]byte(`"`), size),
		"controls": make([]byte, size),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &File{Entries: []Entry{{Seq: 1, Kind: Message, From: Client, Data: data}}}
			var b bytes.Buffer
			require.NoError(t, WriteFile(&b, f, nil))
			got, err := Read(&b)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got.Entries[0].Data))
		})
	}
}

func TestTheMaskIsWhatIsWritten(t *testing.T) {
	t.Parallel()
	f := sample()
	var b bytes.Buffer
	require.NoError(t, WriteFile(&b, f, func(e Entry) Entry {
		e.Data = []byte("masked")
		return e
	}))
	require.Equal(t, sample(), f)
	got, err := Read(&b)
	require.NoError(t, err)
	for _, e := range got.Entries {
		require.Equal(t, "masked", string(e.Data))
	}
}

func TestAnErrorOfTheDiskIsReported(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 10, 200} {
		require.ErrorIs(t, WriteFile(&limited{n: n}, sample(), nil), errFull)
	}
	failed := errors.New("failed")
	_, err := Read(iotest.ErrReader(failed))
	require.ErrorIs(t, err, failed)
}

var errFull = errors.New("full")

// limited takes n bytes.
type limited struct{ n int64 }

func (l *limited) Write(p []byte) (int, error) {
	if l.n -= int64(len(p)); l.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWhatIsNoRecordingIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	const head = `{"inspector":1}` + "\n\n"
	for text, want := range map[string]string{
		"":                                     "empty",
		"\n \n":                                "empty",
		"\nhello":                              "line 2",
		`[]`:                                   "line 1",
		`{}`:                                   "line 1: this is no recording",
		`{"event":7}`:                          "line 1: this is no recording",
		`{"inspector":2}`:                      "line 1: a file of version 2",
		`{"inspector":"1"}`:                    "line 1",
		head + `{`:                             "line 3",
		head + `{"kind":"noise"}`:              `line 3: there is no kind "noise"`,
		head + `{}`:                            `line 3: there is no kind ""`,
		head + `{"kind":"note","from":"both"}`: `line 3: there is no side "both"`,
		head + `{"kind":"note","time":"soon"}`: "line 3",
		head + `{"kind":"note","base64":"?"}`:  "line 3",
		head + `{"kind":"message","text":"a","base64":"YQ=="}`: "line 3: text and base64",
		head + `{"kind":"message","cut":-1}`:                   "line 3: a negative size",
		head + `{"kind":"note","kind":"note"}`:                 "line 3",
		head + `{"kind":"note","reason":"` + "\xff" + `"}`:     "line 3",
		head + `{"kind":"note"} {}`:                            "line 3",
		`{"dir":"up","client":"a","t":1,"msg":{}}`:             `line 1: there is no direction "up"`,
		`{"dir":"up","client":"a","frame":"x"}`:                `line 1: there is no direction "up"`,
		`{"dir":"up","conn":"a","role":"device"}`:              `line 1: there is no direction "up"`,
		`{"dir":"s2c","client":"A","frame":"?","binary":true}`: "line 1",
		`{"dir":"c2s","peer":"a","kind":"request","body":{}}`:  "line 1: a request without rid",
		`{"dir":"c2s","peer":"a","kind":"request","body":`:     "line 1",
		"{\"event\":\"meta\"}\n{\"conn\":7}":                   "line 2",
		"{\"meta\":{}}\n{\"t\":\"x\"}":                         "line 2",
	} {
		_, err := Read(strings.NewReader(text))
		require.ErrorContains(t, err, want, "%s", text)
	}
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

func TestEndlessFilesAreRefused(t *testing.T) {
	t.Parallel()
	limit := limits{line: 1000, file: 100_000, entries: 100}
	for text, want := range map[string]string{
		" ":                                  "line 2: it is longer than 1000 bytes",
		strings.Repeat(" ", 500) + "\n":      "the file is longer than 100000 bytes",
		`{"kind":"note"}` + "\n":             "line 102: the file has more than 100 entries",
		`{"kind":"note","reason":"` + "xxxx": "line 2: it is longer than 1000 bytes",
	} {
		_, err := read(io.MultiReader(strings.NewReader("{\"inspector\":1}\n"), &endless{text: text}), limit)
		require.ErrorContains(t, err, want)
	}
	for _, fits := range []string{strings.Repeat(" ", 999) + "\n", strings.Repeat("{\"kind\":\"note\"}\n", 100)} {
		_, err := read(strings.NewReader("{\"inspector\":1}\n"+fits), limit)
		require.NoError(t, err)
	}
}

// FuzzEntry writes an entry of any content and reads it again.
func FuzzEntry(f *testing.F) {
	for _, e := range sample().Entries {
		f.Add(string(e.Kind), string(e.From), e.Conn, e.URL, e.Data, e.Reason, e.Code, e.Time.UnixNano(), e.Binary)
	}
	f.Fuzz(func(t *testing.T, kind, from, conn, url string, data []byte, reason string, code int, at int64, binary bool) {
		e := Entry{
			Seq: 1, Kind: Kind(kind), From: Side(from), Conn: conn, URL: url, Data: data, Reason: reason,
			Code: code, Binary: binary, Time: time.Unix(0, at).UTC(),
		}
		for _, text := range []string{kind, from, conn, url, reason} {
			if !utf8.ValidString(text) {
				return
			}
		}
		if len(data) == 0 {
			e.Data = nil
		}
		if url != "" {
			e.Header = map[string]string{url: reason}
		}
		var b bytes.Buffer
		require.NoError(t, WriteFile(&b, &File{Entries: []Entry{e}}, nil))
		got, err := Read(&b)
		kinds := []Kind{Open, Message, Close, Request, Response, Note}
		if !slices.Contains(kinds, e.Kind) || !slices.Contains([]Side{Client, Server, ""}, e.From) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, []Entry{e}, got.Entries)
	})
}

// FuzzRead reads anything. What it takes, it takes again when it was written.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	require.NoError(f, WriteFile(&b, sample(), nil))
	f.Add(b.Bytes())
	for _, c := range traces {
		f.Add([]byte(strings.Join(c.lines, "\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data))
		if err != nil {
			require.Nil(t, file)
			return
		}
		for i, e := range file.Entries {
			require.Equal(t, i+1, e.Seq)
			_, err := json.Marshal(e)
			require.NoError(t, err)
		}
		var b bytes.Buffer
		require.NoError(t, WriteFile(&b, file, nil))
		again, err := Read(&b)
		require.NoError(t, err)
		require.Equal(t, file, again)
	})
}

func TestRequestsWithoutAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"event":"meta","note":"n"}` + "\n")
	for i := range 10 * maxAsked {
		fmt.Fprintf(&b, `{"dir":"c2s","conn":"1","event":"http","method":"GET","path":"/%d"}`+"\n", i)
	}
	in := &builder{file: &File{}, last: make(map[string]int), names: make(map[string]int), asked: make(map[string][]Entry)}
	trace := &cuttlefishTrace{in}
	for l := range strings.Lines(b.String()) {
		require.NoError(t, trace.read([]byte(l)))
	}
	require.Len(t, in.asked["1"], maxAsked)
	require.Equal(t, "GET", in.answered("1", "", fmt.Sprint("/", 10*maxAsked-1)).Method)
	require.Empty(t, in.answered("1", "", "/0").Method)
}
