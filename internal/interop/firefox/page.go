package firefox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	step  = 20 * time.Second      // how long one step of a page may take
	pause = 50 * time.Millisecond // between two looks at a condition
)

// A Page is a window of a [Browser]. Its methods fail the test when the browser does not do
// as told; they are for the goroutine of the test.
type Page struct {
	t       testing.TB
	session *session
	context string // its id
	mu      sync.Mutex
	entries []logEntry
}

// A logEntry is what a page has written to its console, or an exception.
type logEntry struct {
	Type   string `json:"type"`   // console, or javascript for exceptions
	Method string `json:"method"` // of the console
	Text   string `json:"text"`
	Source struct {
		Context string `json:"context"`
	} `json:"source"`
}

// String returns the entry as a line.
func (e logEntry) String() string {
	if e.Type == "console" {
		return e.Method + ": " + e.Text
	}
	return "exception: " + e.Text
}

// Open opens a window and loads a URL in it. The scripts run before those of the page, after
// a reload as well.
//
// It is no tab because Firefox slows down the timers of those that are behind others.
func (b *Browser) Open(t testing.TB, url string, scripts ...string) *Page {
	t.Helper()
	p := &Page{t: t, session: b.session}
	var created struct {
		Context string `json:"context"`
	}
	require.NoError(t, p.call("browsingContext.create", map[string]any{"type": "window"}, &created))
	p.context = created.Context
	b.session.mu.Lock()
	b.session.pages[p.context] = p
	b.session.mu.Unlock()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of %s:\n%s", url, strings.Join(p.Console(), "\n"))
		}
		_ = p.call("browsingContext.close", map[string]any{"context": p.context}, nil) // the browser may have ended
		b.session.mu.Lock()
		defer b.session.mu.Unlock()
		delete(b.session.pages, p.context)
	})
	for _, script := range scripts {
		require.NoError(t, p.call("script.addPreloadScript", map[string]any{
			"functionDeclaration": "() => {" + script + "\n}", "contexts": []string{p.context},
		}, nil))
	}
	require.NoError(t, p.call("browsingContext.navigate",
		map[string]any{"context": p.context, "url": url, "wait": "complete"}, nil), "load %s", url)
	return p
}

// Reload loads the page again, as its user would.
func (p *Page) Reload() {
	p.t.Helper()
	require.NoError(p.t, p.call("browsingContext.reload",
		map[string]any{"context": p.context, "wait": "complete"}, nil), "reload")
}

// Run evaluates JavaScript, and waits for its value when that is a promise.
func (p *Page) Run(js string) {
	p.t.Helper()
	_, err := p.evaluate(js)
	require.NoError(p.t, err, js)
}

// Await waits until a JavaScript expression, or the promise that it is, is true.
func (p *Page) Await(js string) {
	p.t.Helper()
	for deadline := time.Now().Add(step); ; time.Sleep(pause) {
		value, err := p.evaluate(fmt.Sprintf("(async () => (await (%s\n)) ? 'true' : '')()", js))
		require.NoError(p.t, err, "wait for %s", js)
		if value != "" {
			return
		}
		require.True(p.t, time.Now().Before(deadline), "wait for %s", js)
	}
}

// Eval returns the value of a JavaScript expression, or of the promise that it is, which JSON
// must be able to express.
func Eval[T any](p *Page, js string) T {
	p.t.Helper()
	text, err := p.evaluate(fmt.Sprintf("(async () => JSON.stringify(await (%s\n)) ?? 'null')()", js))
	require.NoError(p.t, err, js)
	var v T
	require.NoError(p.t, json.Unmarshal([]byte(text), &v), js)
	return v
}

// evaluate returns the string that JavaScript, or the promise that it is, becomes; none when
// it becomes something else.
func (p *Page) evaluate(js string) (string, error) {
	var r struct {
		Type   string `json:"type"` // success or exception
		Result struct {
			Type  string          `json:"type"`
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Details struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := p.call("script.evaluate", map[string]any{
		"expression": js, "target": map[string]any{"context": p.context}, "awaitPromise": true,
		"serializationOptions": map[string]any{"maxDomDepth": 0, "maxObjectDepth": 0},
	}, &r)
	switch {
	case err != nil:
		return "", err
	case r.Type != "success":
		return "", errors.New(r.Details.Text)
	case r.Result.Type != "string":
		return "", nil
	}
	var text string
	err = json.Unmarshal(r.Result.Value, &text)
	return text, err
}

// call executes a command of WebDriver BiDi as one step.
func (p *Page) call(method string, params, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), step)
	defer cancel()
	return p.session.call(ctx, method, params, result)
}

func (p *Page) log(e logEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, e)
}

// Console returns what the page has written to its console, a line a message.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := make([]string, len(p.entries))
	for i, e := range p.entries {
		lines[i] = e.String()
	}
	return lines
}

// Exceptions returns the exceptions that nothing in the page has caught.
func (p *Page) Exceptions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var texts []string
	for _, e := range p.entries {
		if e.Type == "javascript" {
			texts = append(texts, e.Text)
		}
	}
	return texts
}
