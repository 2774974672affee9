package explain

import (
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// The beginning of a recording that [Guess] looks at.
const (
	guessEntries = 100
	guessBytes   = 1 << 20
)

// Guess returns the protocol of a recording that does not say it: the one in which most of
// its beginning is messages. It returns false if there is none, or more than one.
func Guess(entries []capture.Entry) (protocol string, ok bool) {
	best, second := 0, 0
	for _, p := range Protocols {
		score := guessScore(p, entries)
		switch {
		case score > best:
			protocol, best, second = p.Name, score, best
		case score > second:
			second = score
		}
	}
	if best == 0 || best == second {
		return "", false
	}
	return protocol, true
}

// guessScore counts the known messages in the beginning of a recording, less what is
// unreadable.
func guessScore(p Protocol, entries []capture.Entry) (score int) {
	r := NewRecording(p)
	size := 0
	for i, e := range entries {
		if size += len(e.Data); i >= guessEntries || size > guessBytes {
			break
		}
		if p.Name == "cuttlefish" && e.Kind == capture.Open && cuttlefishRoleOf(e) != roleUnknown {
			score++ // which only its connections say
		}
		for _, a := range r.Explain(e) {
			switch {
			case a.is(Undecodable):
				score--
			case a.Detail == nil || a.Detail.Type == "", strings.Contains(a.Detail.Type, "Unknown"):
			case a.is(Invalid), a.is(Illegal): // perhaps of another protocol
			default:
				score++
			}
		}
	}
	return score
}

// is reports whether an arrow has a problem of a kind.
func (a *Arrow) is(kind ProblemKind) bool {
	for _, p := range a.Problems {
		if p.Kind == kind {
			return true
		}
	}
	return false
}
