package chromium_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

func TestPageRunsScriptsBeforeItsOwnAndAfterReload(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<script>console.log('saw', window.early); setTimeout(() => window.late = true, 1);</script>`))
	}))
	defer server.Close()
	page := chromium.Start(t).Open(t, server.URL, `window.early = 'bird'`)
	page.Await(`window.late`)
	require.Equal(t, "bird", chromium.Eval[string](page, `Promise.resolve(early)`))
	require.Eventually(t, func() bool { return slices.Contains(page.Console(), "log: saw bird") }, 10*time.Second, 10*time.Millisecond)
	page.Run(`early = 'worm'`)
	page.Reload()
	require.Equal(t, "bird", chromium.Eval[string](page, `early`))
	require.Empty(t, page.Exceptions())
	page.Run(`setTimeout(() => { throw new Error('thrown'); }); new Promise(r => setTimeout(r, 10))`)
	require.Eventually(t, func() bool { return len(page.Exceptions()) == 1 }, 10*time.Second, 10*time.Millisecond)
}
