package repotest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// grace is how long goroutines may take to end after the last test. A goroutine that
// was told to stop needs a few scheduler rounds, on a loaded machine under the race
// detector a few seconds.
const grace = 5 * time.Second

// Main runs the tests of m and exits the process: with the status of the tests when
// one failed, with 1 when all passed but goroutines that did not exist before are
// still there five seconds later, else with 0. The stacks of those that stayed go to
// standard error. Every package with tests has
//
//	func TestMain(m *testing.M) { repotest.Main(m) }
func Main(m *testing.M) {
	os.Exit(run(m, grace))
}

func run(m *testing.M, grace time.Duration) int {
	before := goroutines()
	if code := m.Run(); code != 0 {
		return code // what a failed test leaves behind would only hide its message
	}
	left := leaked(before, grace)
	if len(left) == 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "repotest: goroutines left %v after the tests: %d\n\n", grace, len(left))
	for _, stack := range left {
		fmt.Fprintf(os.Stderr, "%s\n\n", stack)
	}
	return 1
}

// leaked returns the stacks of the goroutines that are not in before and have not
// ended within grace, oldest first.
func leaked(before map[string]string, grace time.Duration) []string {
	deadline := time.Now().Add(grace)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		now := goroutines()
		var left []string
		for id, stack := range now {
			if _, old := before[id]; !old && !ofTestingItself(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			// "goroutine N [" orders by age: ids grow, and a longer header is a larger id.
			slices.SortFunc(left, func(a, b string) int {
				ha, hb := header(a), header(b)
				if len(ha) != len(hb) {
					return len(ha) - len(hb)
				}
				return strings.Compare(ha, hb)
			})
			return left
		}
		time.Sleep(pause)
	}
}

// goroutines returns the stack of every goroutine of the process by "goroutine N".
func goroutines() map[string]string {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := make(map[string]string)
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf[:n])), "\n\n") {
		all[header(stack)] = stack
	}
	return all
}

// header returns the "goroutine N" with which a stack begins.
func header(stack string) string {
	h, _, _ := strings.Cut(stack, " [")
	return h
}

// ofTestingItself reports whether a goroutine was started by the testing machinery:
// the alarm, the fuzzing coordinator, the receiver of signals.
func ofTestingItself(stack string) bool {
	i := strings.LastIndex(stack, "\ncreated by ")
	if i < 0 {
		return true // main and the runtime's own have no creator
	}
	creator := stack[i+len("\ncreated by "):]
	for _, prefix := range []string{"testing.", "internal/fuzz.", "os/signal.", "runtime.", "runtime/"} {
		if strings.HasPrefix(creator, prefix) {
			return true
		}
	}
	return false
}
