package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// A running inspector.
type running struct {
	lines    []string // that it has printed
	warnings *strings.Builder
	stop     func() error
}

// start runs an inspector on ports of its own, until it has printed n lines.
func start(t *testing.T, o *options, n int) *running {
	t.Helper()
	o.listen, o.ui = "127.0.0.1:0", "127.0.0.1:0"
	in, out := io.Pipe()
	r := &running{warnings: &strings.Builder{}}
	o.out, o.warnings = out, r.warnings
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, o)
		out.CloseWithError(fmt.Errorf("ended: %w", err))
		ended <- err
	}()
	r.stop = func() error {
		cancel()
		return <-ended
	}
	printed := bufio.NewReader(in)
	for range n {
		line, err := printed.ReadString('\n')
		require.NoError(t, err)
		r.lines = append(r.lines, line)
	}
	return r
}

// word returns a word of what was printed.
func (r *running) word(line, n int) string { return strings.Fields(r.lines[line])[n] }

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestASessionIsSeenSavedAndOpenedAgain(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string]bool{"masked": false, "with secrets": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := galene.NewServer(&galene.ServerOptions{
				Groups: galene.Groups{"lab": {
					Users: map[string]galene.MemoryUser{"ada": {Password: "open sesame", Set: "present"}},
				}},
				Address: galenehttp.Address,
			})
			handler := galenehttp.NewHandler(server, nil)
			web := httptest.NewServer(handler)
			t.Cleanup(func() {
				require.NoError(t, handler.Close())
				require.NoError(t, server.Close())
				web.Close()
			})
			saved := filepath.Join(t.TempDir(), "saved.jsonl")
			i := start(t, &options{protocol: "galene", target: web.URL, save: saved, secrets: secrets}, 2)
			require.Contains(t, i.lines[0], web.URL)
			client, joined, err := galenehttp.Join(t.Context(), i.word(0, 1)+"/group/lab/", "ada", "open sesame", nil)
			require.NoError(t, err)
			require.Equal(t, "lab", joined.Group)
			status, body := get(t, i.word(1, 2)+"api/recordings")
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, body, `"galene"`)
			require.Contains(t, body, `"listen":"`+strings.TrimPrefix(i.word(0, 1), "http://")+`"`)
			require.NoError(t, i.stop())
			_ = client.Close() // the inspector has ended it
			require.Equal(t, secrets, strings.Contains(i.warnings.String(), "passwords and tokens"))

			text, err := os.ReadFile(saved)
			require.NoError(t, err)
			require.Equal(t, secrets, strings.Contains(string(text), "open sesame"))
			f, err := capture.Read(strings.NewReader(string(text)))
			require.NoError(t, err)
			require.Equal(t, "galene", f.Protocol)
			require.Equal(t, web.URL, f.Target)
			last := f.Entries[len(f.Entries)-1]
			require.Equal(t, capture.Close, last.Kind)
			require.Equal(t, 1001, last.Code)

			again := start(t, &options{open: []string{saved, saved}}, 2)
			require.Equal(t, "no -target: files only\n", again.lines[0])
			_, body = get(t, again.word(1, 2)+"api/recordings")
			require.Equal(t, 2, strings.Count(body, `"galene"`))
			require.NoError(t, again.stop())
		})
	}
}

func TestTheSavedFileSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := capture.NewJournal(&capture.JournalOptions{MaxEntries: 2})
		for i := range 5 {
			j.Add(capture.Entry{Kind: capture.Note, Reason: fmt.Sprint(i + 1)})
		}
		in, out := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- (&options{protocol: "mse"}).follow(ctx, j, out)
			out.Close()
		}()
		read := make(chan []string, 1)
		go func() {
			f, err := capture.Read(in)
			if err != nil {
				read <- []string{err.Error()}
				return
			}
			var reasons []string
			for _, e := range f.Entries {
				reasons = append(reasons, e.Reason)
			}
			read <- reasons
		}()
		synctest.Wait()
		j.Add(capture.Entry{Kind: capture.Note, Reason: "6"})
		cancel()
		require.NoError(t, <-ended)
		require.Equal(t, []string{
			"3 entries are missing: they came faster than they could be saved", "4", "5", "6",
		}, <-read)
	})
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	require.NoError(t, os.WriteFile(there, []byte("no recording\n"), 0o600))
	for name, c := range map[string]struct {
		o    options
		want string
	}{
		"no such protocol":     {options{protocol: "sip"}, "sip"},
		"target of what":       {options{target: "ws://127.0.0.1:1"}, "-protocol"},
		"nothing to save":      {options{save: filepath.Join(dir, "new")}, "-target"},
		"no such target":       {options{protocol: "mse", target: "127.0.0.1:1"}, `"127.0.0.1:1" is no address such as ws:`},
		"saved already":        {options{protocol: "mse", target: "ws://127.0.0.1:1", save: there}, "exists"},
		"no such file":         {options{open: []string{filepath.Join(dir, "none")}}, "none"},
		"no recording":         {options{open: []string{there}}, "line 1"},
		"no such address":      {options{ui: "192.0.2.1:1"}, "192.0.2.1"},
		"no address to listen": {options{protocol: "mse", target: "ws://127.0.0.1:1", listen: "192.0.2.1:1"}, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			if o.listen == "" {
				o.listen = "127.0.0.1:0"
			}
			if o.ui == "" {
				o.ui = "127.0.0.1:0"
			}
			o.out, o.warnings = io.Discard, io.Discard
			require.ErrorContains(t, run(t.Context(), &o), c.want)
		})
	}
}

func TestAnAddressThatOthersReachIsWarnedOf(t *testing.T) {
	t.Parallel()
	for ui, warned := range map[string]bool{
		"127.0.0.1:8082": false, "[::1]:8082": false, "localhost:8082": false, "[::]:8082": true, "192.0.2.1:80": true,
	} {
		var w strings.Builder
		(&options{warnings: &w}).warn(ui)
		require.Equal(t, warned, w.Len() > 0, ui)
	}
	for addr, want := range map[string]string{
		"[::]:80": "localhost:80", "0.0.0.0:80": "localhost:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80",
		"localhost:80": "localhost:80",
	} {
		require.Equal(t, want, reach(addr))
	}
}
