package script

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Line is the far end of a connection, with which a test is what is at that end. Its
// methods are called by one goroutine at a time.
type Line struct {
	transport.Conn
	TB     testing.TB
	JSON   bool       // what is heard is compared as JSON, but for that of Answer and Answers
	Served chan error // what became of the other end, where [Serve] has made the line
}

// Serve opens a line through a pipe to what serves the other end.
func Serve(tb testing.TB, ctx context.Context, serve func(context.Context, transport.Conn) error) *Line {
	near, far := transport.Pipe()
	l := &Line{Conn: near, TB: tb, JSON: true, Served: make(chan error, 1)}
	go func() { l.Served <- serve(ctx, far) }()
	return l
}

// A Dialer opens lines to whoever dials.
type Dialer struct {
	Lines chan *Line // the other ends; there is room for 8
	tb    testing.TB
	json  bool
}

// NewDialer returns a dialer, whose lines compare what is heard as JSON if json says so.
func NewDialer(tb testing.TB, json bool) *Dialer {
	return &Dialer{Lines: make(chan *Line, 8), tb: tb, json: json}
}

// Dial opens a line and returns the end of whoever dials.
func (d *Dialer) Dial(context.Context) (transport.Conn, error) {
	near, far := transport.Pipe()
	d.Lines <- &Line{Conn: far, TB: d.tb, JSON: d.json}
	return near, nil
}

// Say writes text messages.
func (l *Line) Say(messages ...string) *Line {
	l.TB.Helper()
	for _, m := range messages {
		require.NoError(l.TB, l.Write(transport.Text, []byte(m)))
	}
	return l
}

// Hear demands that these messages come next.
func (l *Line) Hear(messages ...string) *Line {
	l.TB.Helper()
	for _, want := range messages {
		_, got, err := l.Read(nil)
		require.NoError(l.TB, err)
		if l.JSON {
			require.JSONEq(l.TB, want, string(got))
		} else {
			require.Equal(l.TB, want, string(got))
		}
	}
	return l
}

// Skip hears messages, whatever they say.
func (l *Line) Skip(n int) *Line {
	l.TB.Helper()
	for range n {
		_, _, err := l.Read(nil)
		require.NoError(l.TB, err)
	}
	return l
}

// Answer hears a message in the background, to the letter, and says what follows from it. An
// answer of "" is none.
func (l *Line) Answer(question string, answers ...string) {
	go func() { l.exchange(question, answers...) }()
}

// Answers hears questions in the background, to the letter, each of which is followed by its
// answer.
func (l *Line) Answers(lines ...string) {
	go func() {
		for i := 0; i < len(lines); i += 2 {
			if !l.exchange(lines[i], lines[i+1]) {
				return
			}
		}
	}()
}

func (l *Line) exchange(question string, answers ...string) bool {
	_, got, err := l.Read(nil)
	if err == nil && question != string(got) {
		err = errors.New("something else was expected")
	}
	for _, a := range answers {
		if err == nil && a != "" {
			err = l.Write(transport.Text, []byte(a))
		}
	}
	if err != nil {
		l.TB.Errorf("%s: %s: %v", question, got, err)
	}
	return err == nil
}

// Drain reads in the background until the connection ends.
func (l *Line) Drain() {
	go func() {
		for {
			if _, _, err := l.Read(nil); err != nil {
				return
			}
		}
	}()
}

// Closed demands that the connection has been closed, with this code, and with the reason if
// there is one here.
func (l *Line) Closed(code transport.StatusCode, reason ...string) {
	l.TB.Helper()
	_, got, err := l.Read(nil)
	closed, ok := errors.AsType[*transport.CloseError](err)
	require.True(l.TB, ok, "%s %v", got, err)
	require.Equal(l.TB, code, closed.Code)
	for _, r := range reason {
		require.Equal(l.TB, r, closed.Reason)
	}
}
