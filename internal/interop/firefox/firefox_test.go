package firefox_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/firefox"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// patience is how long a page may take to tell the test of something.
const patience = 10 * time.Second

func TestPageRunsScriptsBeforeItsOwnAndAfterReload(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<link rel="icon" href="data:,"><script>console.log('saw', window.early);
			setTimeout(() => window.late = true, 1);</script>`))
	}))
	defer server.Close()
	page := firefox.Start(t).Open(t, server.URL, `window.early = 'bird'`)
	page.Await(`window.late`)
	require.Equal(t, "bird", firefox.Eval[string](page, `Promise.resolve(early)`))
	require.Nil(t, firefox.Eval[*int](page, `undefined`))
	require.True(t, peer.Await(patience, func() bool { return slices.Contains(page.Console(), "log: saw bird") }))
	page.Run(`early = 'worm'`)
	page.Reload()
	require.Equal(t, "bird", firefox.Eval[string](page, `early`))
	require.Empty(t, page.Exceptions())
	page.Run(`setTimeout(() => { throw new Error('thrown'); }); new Promise(r => setTimeout(r, 10))`)
	require.True(t, peer.Await(patience, func() bool { return len(page.Exceptions()) == 1 }))
	require.Contains(t, page.Exceptions()[0], "thrown")
}

func TestPageHasACameraAndAMicrophone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(anEmptyPage))
	defer server.Close()
	b := firefox.Start(t)
	t.Log(b.Version())
	page := b.Open(t, server.URL)
	page.Run(`navigator.mediaDevices.getUserMedia({audio: true, video: true}).then(s => window.stream = s)`)
	require.Equal(t, []string{"audio", "video"},
		firefox.Eval[[]string](page, `stream.getTracks().map(t => t.kind).sort()`))
}

func TestNamesDoNotResolve(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	require.NoError(t, err)
	listener, err := net.Listen("tcp4", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("this machine does not know its own name: %v", err)
	}
	named := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(anEmptyPage)}}
	named.Start()
	defer named.Close()
	page := firefox.Start(t).Open(t, named.URL)
	address := listener.Addr().(*net.TCPAddr)
	fetched := func(host string) string {
		return firefox.Eval[string](page, fmt.Sprintf(
			`fetch('http://%s:%d/', {mode: 'no-cors'}).then(() => 'answered', () => 'refused')`, host, address.Port))
	}
	require.Equal(t, "answered", fetched(address.IP.String()))
	require.Equal(t, "refused", fetched(host))
}

func anEmptyPage(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }
