package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A running demo stays up until its test ends.
type running struct {
	t       *testing.T
	page    string      // its address
	printed chan string // lines
	client  *http.Client
}

// serveDemo starts a demo that stays up, and waits for its first line.
func serveDemo(t *testing.T, chosen []protocol, where place) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	transport := new(http.Transport)
	r := &running{t: t, printed: make(chan string, 100), client: &http.Client{Transport: transport}}
	var err error
	var work sync.WaitGroup
	work.Go(func() {
		err = serve(ctx, writer, chosen, where)
		_ = writer.Close() // a pipe
	})
	work.Go(func() {
		defer close(r.printed)
		for s := bufio.NewScanner(reader); s.Scan(); {
			r.printed <- s.Text()
		}
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		work.Wait()
		require.NoError(t, err)
	})
	line := r.line()
	found := regexp.MustCompile(`^Open (\S+) in a browser`).FindStringSubmatch(line)
	require.NotNil(t, found, line)
	r.page = found[1]
	require.Empty(t, r.line())
	return r
}

func (r *running) line() string {
	r.t.Helper()
	line, ok := <-r.printed
	require.True(r.t, ok, "the demo has ended")
	return line
}

// lines returns what the demo prints next.
func (r *running) lines(n int) string {
	r.t.Helper()
	var lines strings.Builder
	for range n {
		lines.WriteString(r.line() + "\n")
	}
	return lines.String()
}

func (r *running) get(url string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, url, nil)
	require.NoError(r.t, err)
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, resp.StatusCode, url)
	return string(body)
}

func TestPageLeadsToAPageOfEveryProtocol(t *testing.T) {
	t.Parallel()
	r := serveDemo(t, protocols, inside())
	printed := r.lines(5 + 3 + 1 + 2 + 1 + 1)
	page := r.get(r.page)
	for _, p := range protocols {
		found := regexp.MustCompile(`data-protocol="` + p.name + `" href="([^"#]+)`).FindStringSubmatch(page)
		require.NotNil(t, found, p.name)
		url := strings.ReplaceAll(found[1], "&amp;", "&")
		require.Contains(t, printed, url)
		require.Contains(t, r.get(url), "<script")
	}
	require.Contains(t, page, "go run ./examples/bot-galene-recorder")
}

func TestOnlyWhatIsChosenStaysUp(t *testing.T) {
	t.Parallel()
	chosen, err := choose("easyrtc,mse")
	require.NoError(t, err)
	r := serveDemo(t, chosen, inside())
	require.Regexp(t, `(?s)^easyrtc .*mse `, r.lines(2+2))
	require.NotContains(t, r.get(r.page), "galene")
}

func TestServerWhosePortIsTakenFindsAnother(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	listener, err := inside().at(port).listen()
	require.NoError(t, err)
	defer listener.Close()
	require.NotEqual(t, port, listener.Addr().(*net.TCPAddr).Port)
}

func TestServersListenAtAddressesOfTheMachineOnly(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "example.org", "0.0.0.0", "::", "127.0.0.1:8100"} {
		_, err := outside(addr)
		require.Error(t, err, addr)
	}
	p, err := outside("127.0.0.1")
	require.NoError(t, err)
	require.NotEmpty(t, p.media)
	elsewhere, err := outside("192.0.2.77") // which no machine has
	require.NoError(t, err)
	_, err = elsewhere.at(firstPort).listen()
	require.Error(t, err)
}

func TestServerThatFailsEndsTheOthers(t *testing.T) {
	t.Parallel()
	broken := protocol{name: "broken", serve: func(context.Context, place, func(*site)) error {
		return errors.New("it broke")
	}}
	patient := protocol{name: "patient", serve: func(ctx context.Context, _ place, ready func(*site)) error {
		ready(new(site))
		<-ctx.Done()
		return ctx.Err()
	}}
	err := serve(t.Context(), io.Discard, []protocol{patient, broken}, inside())
	require.EqualError(t, err, "broken: it broke")
}
