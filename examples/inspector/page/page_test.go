package page

import (
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestOnlyThisMachineIsAnsweredFor(t *testing.T) {
	t.Parallel()
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8082}
	for _, host := range []string{
		"localhost", "LOCALHOST:1", "localhost:8082", "127.0.0.1", "127.0.0.1:9", "127.9.9.9:8082", "[::1]:8082", "[::1]",
		"192.0.2.7:8082", "192.0.2.7", "[::ffff:192.0.2.7]:1",
	} {
		require.True(t, ours(host, local), host)
	}
	for _, host := range []string{
		"", "example.org", "example.org:8082", "localhost.example.org", "127.0.0.1.example.org", "192.0.2.8:8082",
		"xlocalhost", "0.0.0.0:8082", "[::]:8082", "127.0.0.1:80:80", "localhost.", "2130706433", "0x7f.1", "127.1",
	} {
		require.False(t, ours(host, local), host)
	}
	require.False(t, ours("192.0.2.7", nil))
}

func TestAnotherHostIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	for _, path := range []string{
		"/", "/main.js", "/api/recordings", "/api/recordings/1/export", "/api/recordings/1/arrows",
	} {
		resp, text := r.ask("GET", path, "", "Host", "rebound.example.org")
		require.Equal(t, http.StatusForbidden, resp.StatusCode, path)
		require.NotContains(t, text, "galene")
	}
	resp, _ := r.ask("DELETE", "/api/recordings/1", "", "Host", "rebound.example.org")
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Len(t, get[[]summary](r, "/api/recordings"), 1)
}

func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://example.org"},
		{"Origin", "null"},
		{"Origin", "http://localhost:1"},
	} {
		resp, _ := r.ask("DELETE", "/api/recordings/1", "", headers...)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, headers)
		resp, _ = r.ask("POST", "/api/recordings", written(t, conversation()), headers...)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, headers)
	}
	require.Len(t, get[[]summary](r, "/api/recordings"), 1)
	resp, _ := r.ask("DELETE", "/api/recordings/1", "", "Sec-Fetch-Site", "same-origin", "Origin", r.server.URL)
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Empty(t, get[[]summary](r, "/api/recordings"))
}

func TestEveryAnswerKeepsScriptsOfOthersOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, path := range []string{"/", "/main.js", "/style.css", "/api/recordings", "/api/nothing", "/nothing"} {
		resp, _ := r.ask("GET", path, "")
		csp := resp.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'", path)
		require.Contains(t, csp, "frame-ancestors 'none'", path)
		require.NotContains(t, csp, "unsafe", path)
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "same-origin", resp.Header.Get("Cross-Origin-Resource-Policy"), path)
	}
}

func TestThePageIsServedWithItsTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for path, want := range map[string]string{
		"/": "text/html", "/style.css": "text/css", "/main.js": "text/javascript", "/icon.svg": "image/svg+xml",
	} {
		resp, text := r.ask("GET", path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Contains(t, resp.Header.Get("Content-Type"), want)
		require.NotEmpty(t, text)
	}
}

// TestThePageNeedsNothingFromElsewhere looks for what would ask others, and for what the
// page's policy forbids: scripts and styles in the markup, and markup made of text.
func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := regexp.MustCompile(`https?://|//[a-z]+\.[a-z]|@import|` +
		`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	inline := regexp.MustCompile(`<script(?: type="module")?>|<style|\sstyle=|\son[a-z]+=`)
	names := 0
	require.NoError(t, fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		names++
		data, err := fs.ReadFile(embedded, name)
		require.NoError(t, err)
		text := strings.ReplaceAll(string(data), `xmlns="http://www.w3.org/2000/svg"`, "")
		require.Empty(t, elsewhere.FindAllString(text, -1), name)
		if strings.HasSuffix(name, ".html") {
			require.Empty(t, inline.FindAllString(text, -1), name)
		}
		return nil
	}))
	require.Greater(t, names, 5)
}

func TestWhatIsNotInTheAPIIsSaidSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/nothing", 404},
		{"PUT", "/api/recordings", 404},
		{"DELETE", "/api/recordings/7", 404},
		{"GET", "/api/recordings/7/arrows", 404},
		{"GET", "/api/recordings/7/arrows/1", 404},
		{"GET", "/api/recordings/7/export", 404},
		{"GET", "/api/recordings/1/arrows/0", 404},
		{"GET", "/api/recordings/1/arrows/-1", 404},
		{"GET", "/api/recordings/1/arrows/99", 404},
		{"GET", "/api/recordings/1/arrows/99999999999999999999", 400},
		{"GET", "/api/recordings/1/arrows/x", 400},
	} {
		resp, text := r.ask(c.method, c.path, "")
		require.Equal(t, c.status, resp.StatusCode, "%s %s", c.method, c.path)
		require.Contains(t, text, `{"error":`)
	}
}
