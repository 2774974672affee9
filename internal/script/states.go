package script

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Twice adds a row whose result is made twice and must be the same: what is tested is
// deterministic.
func (b *Table) Twice(tb testing.TB, name string, once func() string) {
	tb.Helper()
	result := once()
	require.Equal(tb, result, once(), "the machine is not deterministic")
	b.Row(name, result)
}

// A Stimulus is something that a client's machine may be given in any state: received or, if
// it is a message, sent.
type Stimulus[M comparable] struct {
	Name string
	Wire string
	Msg  M // instead of Wire, what has no encoding
}

// Decoded returns the message, or why there is none.
func (s Stimulus[M]) Decoded(decode func(wire string) (M, error)) (M, error) {
	var none M
	if s.Msg != none {
		return s.Msg, nil
	}
	return decode(s.Wire)
}

// ClientStates tells what a client's machine of type C does in each of its states.
type ClientStates[M comparable, E any, C ClientMachine[M, E]] struct {
	Dawn      time.Time
	Steps     []ClientStep[E, C] // besides starting, losing the connection, time and messages
	Times     []time.Duration    // after which deadlines may be over
	Stimuli   []Stimulus[M]
	Decode    func(wire string) (M, error)
	Malformed func(m C, err error) E // for an error of Decode
	// Result tells of a machine after a step, which may have been given a message.
	Result func(tb testing.TB, m C, given M, fx E, err error) string
}

// A ClientStep is one of [ClientStates].
type ClientStep[E, C any] struct {
	Name string
	Do   func(m C) E
}

// Rows takes every step from a state into which begin brings a machine, twice each.
func (s *ClientStates[M, E, C]) Rows(tb testing.TB, b *Table, begin func() C) {
	tb.Helper()
	row := func(name string, given Stimulus[M], step func(m C, msg M, bad error) (E, error)) {
		b.Twice(tb, name, func() string {
			msg, bad := given.Decoded(s.Decode)
			m := begin()
			fx, err := step(m, msg, bad)
			return s.Result(tb, m, msg, fx, err)
		})
	}
	plain := func(name string, step func(m C) E) {
		row(name, Stimulus[M]{}, func(m C, _ M, _ error) (E, error) { return step(m), nil })
	}
	plain("start", func(m C) E { return m.Start(s.Dawn) })
	plain("lost", func(m C) E { return m.Lost(s.Dawn) })
	for _, step := range s.Steps {
		plain(step.Name, step.Do)
	}
	for _, after := range s.Times {
		plain(fmt.Sprintf("just before %v", after), func(m C) E { return m.Expire(s.Dawn.Add(after - 1)) })
		plain(fmt.Sprintf("after %v", after), func(m C) E { return m.Expire(s.Dawn.Add(after)) })
	}
	for _, in := range s.Stimuli {
		row(in.Name, in, func(m C, msg M, bad error) (E, error) {
			if bad != nil {
				return s.Malformed(m, bad), nil
			}
			return m.Receive(s.Dawn, msg), nil
		})
	}
	send := func(m C, msg M, _ error) (E, error) { return m.Send(s.Dawn, msg) }
	for _, in := range s.Stimuli {
		if _, err := in.Decoded(s.Decode); err == nil {
			row("send "+in.Name, in, send)
		}
	}
	var nothing M
	row("send nothing at all", Stimulus[M]{}, func(m C, _ M, _ error) (E, error) { return m.Send(s.Dawn, nothing) })
}

// After takes steps with a client's machine at one moment: "start", "lost", "> " and the text
// of a message that it receives, "< " and that of one that it must send.
func After[M, E any](
	tb testing.TB, m ClientMachine[M, E], at time.Time, decode func([]byte) (M, error), steps ...string,
) {
	tb.Helper()
	for _, step := range steps {
		switch step {
		case "start":
			m.Start(at)
			continue
		case "lost":
			m.Lost(at)
			continue
		}
		msg, err := decode([]byte(step[2:]))
		require.NoError(tb, err, step)
		if step[0] == '>' {
			m.Receive(at, msg)
			continue
		}
		_, err = m.Send(at, msg)
		require.NoError(tb, err, step)
	}
}

// Text tells what a step asked for, as tables have it.
func (s *Speech[M]) Text(fx ClientEffects[M], send, deliver func(M) string) string {
	var b strings.Builder
	for _, m := range fx.Send {
		fmt.Fprintf(&b, ", send %s", send(m))
	}
	for _, m := range fx.Deliver {
		fmt.Fprintf(&b, ", deliver %s", deliver(m))
	}
	for _, r := range fx.Done {
		what := "success"
		if r.Err != nil {
			what = s.Short(r.Err)
		}
		fmt.Fprintf(&b, ", done %s: %s", s.Type(r.Request), what)
	}
	if c := fx.Close; c != nil {
		fmt.Fprintf(&b, ", close %d %q", c.Code, c.Reason)
		if c.Err != nil {
			fmt.Fprintf(&b, ": %s", s.Short(c.Err))
		}
		if c.Final {
			b.WriteString(", for good")
		}
	}
	return b.String()
}

// Short returns the text of an error of the protocol's package without the package's name.
func (s *Speech[M]) Short(err error) string { return strings.TrimPrefix(err.Error(), s.Name+": ") }
