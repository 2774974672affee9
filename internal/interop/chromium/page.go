package chromium

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const (
	step  = 20 * time.Second      // how long one step of a page may take
	pause = 50 * time.Millisecond // between two looks at a condition
)

// A Page is a tab of a [Browser]. Its methods fail the test when the browser does not
// do as told; they are for the goroutine of the test.
type Page struct {
	t       testing.TB
	ctx     context.Context
	mu      sync.Mutex
	console []chromedp.ConsoleMessage
}

// Open opens a tab and loads a URL in it. The scripts run before those of the page,
// after a reload as well.
func (b *Browser) Open(t testing.TB, url string, scripts ...string) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	p := &Page{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.console = append(p.console, m)
			p.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of %s:\n%s", url, strings.Join(p.Console(), "\n"))
		}
		cancel()
		reader.Wait()
	})
	for _, s := range scripts {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: s})
		require.NoError(t, err)
	}
	p.do("load "+url, chromedp.Navigate(url))
	return p
}

// Reload loads the page again, as its user would.
func (p *Page) Reload() {
	p.t.Helper()
	p.do("reload", chromedp.Reload())
}

// Run evaluates a JavaScript expression, and waits for it when it is a promise.
func (p *Page) Run(js string) {
	p.t.Helper()
	p.do(js, chromedp.Evaluate[chromedp.Void](js, chromedp.EvalAwaitPromise))
}

// Await waits until a JavaScript expression, or the promise that it is, is true.
func (p *Page) Await(js string) {
	p.t.Helper()
	p.do("wait for "+js, chromedp.Poll[chromedp.Void](js,
		chromedp.WithPollingInterval(pause), chromedp.WithPollingTimeout(step)))
}

// Eval returns the value of a JavaScript expression, or of the promise that it is.
func Eval[T any](p *Page, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, step)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, js)
	return v
}

func (p *Page) do(what string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, step+time.Second)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, action), what)
}

// Touch puts a finger down at x and y of the page, moves it by 10 pixels both ways and
// lifts it.
func (p *Page) Touch(x, y float64) {
	p.t.Helper()
	for _, e := range []input.DispatchTouchEventParams{
		{Type: input.DispatchTouchEventTypeTouchStart, TouchPoints: []*input.TouchPoint{{X: x, Y: y}}},
		{Type: input.DispatchTouchEventTypeTouchMove, TouchPoints: []*input.TouchPoint{{X: x + 10, Y: y + 10}}},
		{Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{}},
	} {
		p.do("touch", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			return cdp.Call(ctx, t, input.DispatchTouchEvent, e)
		})
	}
}

// Console returns what the page has written to its console, a line a message.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := make([]string, len(p.console))
	for i, m := range p.console {
		lines[i] = m.String()
	}
	return lines
}

// Exceptions returns the exceptions that nothing in the page has caught.
func (p *Page) Exceptions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var texts []string
	for _, m := range p.console {
		if m.IsException() {
			texts = append(texts, m.Text)
		}
	}
	return texts
}
