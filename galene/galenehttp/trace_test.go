package galenehttp_test

import (
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// differences are the answers that are not Galène's.
var differences = map[string]struct {
	status int
	why    string
}{
	"GET /ws":                                {426, "426 says what is missing"},
	"GET /ws from https://evil.example":      {403, "the text and the header are the WebSocket library's"},
	"POST /group/open/.whip application/sdp": {400, "it is the offer that is wrong, not the server"},
}

// absent are the paths of what Galène has and the handler has not.
var absent = []string{"/galene-api/", "/recordings/"}

// A traced request is one of the traces with its answer.
type traced struct {
	method, url, body string
	header            []string
	status            int
	answer            map[string]string // header
	text              string
}

var (
	curlFlag   = regexp.MustCompile(`(?:^| )-([IXHud])(?: |$)`)
	headerLine = regexp.MustCompile(`^([A-Z][A-Za-z-]*): (.*)$`)
)

const traceHost = "http://127.0.0.1:28510"

func readTrace(t *testing.T) []traced {
	t.Helper()
	data, err := os.ReadFile("testdata/http.txt")
	require.NoError(t, err)
	var all []traced
	for one := range strings.SplitSeq(string(data), ">>> ") {
		request, answer, ok := strings.Cut(one, "\n")
		if !ok {
			continue
		}
		i := strings.LastIndex(request, traceHost)
		require.GreaterOrEqual(t, i, 0, request)
		r := traced{method: "GET", url: request[i:], answer: make(map[string]string)}
		r.curl(strings.TrimSpace(request[:i]))
		if strings.TrimSpace(answer) == "" {
			continue // the connection ended without an answer
		}
		r.read(t, answer)
		all = append(all, r)
	}
	require.Greater(t, len(all), 40)
	return all
}

// curl reads the arguments of the command.
func (r *traced) curl(args string) {
	flags := curlFlag.FindAllStringSubmatchIndex(args, -1)
	for i, at := range flags {
		end := len(args)
		if i+1 < len(flags) {
			end = flags[i+1][0]
		}
		value := strings.TrimSpace(args[at[1]:end])
		switch args[at[2]:at[3]] {
		case "I":
			r.method = "HEAD"
		case "X":
			r.method = value
		case "d":
			r.body = value
		case "H":
			name, v, _ := strings.Cut(value, ": ")
			r.header = append(r.header, name, v)
		}
	}
	// curl resolves the dots of a path before it asks.
	p := strings.TrimPrefix(r.url, traceHost)
	if strings.Contains(p, "/../") {
		r.url = traceHost + path.Clean(p)
	}
}

func (r *traced) read(t *testing.T, answer string) {
	t.Helper()
	first, rest, _ := strings.Cut(answer, "\n")
	status, err := strconv.Atoi(strings.Fields(first)[1])
	require.NoError(t, err)
	r.status = status
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\r\n")
		if m := headerLine.FindStringSubmatch(line); m != nil && r.text == "" {
			r.answer[m[1]] = m[2]
		} else if line != "" || r.text != "" {
			r.text += line + "\n"
		}
	}
	r.text = strings.TrimSpace(r.text)
}

func (r *traced) String() string {
	var name strings.Builder
	name.WriteString(r.method + " " + strings.TrimPrefix(r.url, traceHost))
	for i := 0; i < len(r.header); i += 2 {
		switch r.header[i] {
		case "Content-Type":
			name.WriteString(" " + r.header[i+1])
		case "Origin":
			name.WriteString(" from " + r.header[i+1])
		}
	}
	return name.String()
}

func TestHandlerAnswersTracesAsGalene(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	used := make(map[string]bool)
	for _, r := range readTrace(t) {
		w := f.do(r.method, r.url, r.body, r.header...)
		if d, ok := differences[r.String()]; ok {
			used[r.String()] = true
			require.Equal(t, d.status, w.Code, r.String())
			require.NotEmpty(t, d.why)
			continue
		}
		if isAbsent(r.url) {
			require.NotEqual(t, 200, w.Code, r.String())
			require.Contains(t, []int{404, 405}, w.Code, r.String())
			continue
		}
		require.Equal(t, r.status, w.Code, "%s: %s", r.String(), w.Body)
		compare(t, &r, w)
	}
	for name := range differences {
		require.True(t, used[name], "%s: no trace holds it", name)
	}
}

func isAbsent(url string) bool {
	for _, prefix := range absent {
		if strings.HasPrefix(url, traceHost+prefix) {
			return true
		}
	}
	return false
}

// compare compares the header and the body of an answer. How long a text is depends on the
// text, and when a file was changed on the files.
func compare(t *testing.T, r *traced, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range r.answer {
		switch name {
		case "Transfer-Encoding", "Etag", "Last-Modified":
		case "Content-Length":
			if n, err := strconv.Atoi(want); err == nil && strings.HasPrefix(r.answer["Content-Type"], "application/json") {
				require.Equal(t, n, w.Body.Len(), r.String())
			}
		default:
			require.Equal(t, want, w.Header().Get(name), "%s: %s", r.String(), name)
		}
	}
	for _, name := range []string{"Etag", "Last-Modified"} {
		require.Equal(t, r.answer[name] != "", w.Header().Get(name) != "", "%s: %s", r.String(), name)
	}
	require.Equal(t, r.text, strings.TrimSpace(w.Body.String()), r.String())
}
