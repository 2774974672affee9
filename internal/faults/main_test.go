package faults

import (
	"flag"
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

var (
	soakFor = flag.Duration("soak", 1500*time.Millisecond, "how long each protocol is soaked")
	crowd   = flag.Int("crowd", 0, "how many clients there are where there are many; 0 is what a test has by default")
)

func TestMain(m *testing.M) { repotest.Main(m) }

// many returns how many clients a test has.
func many(byDefault int) int {
	if *crowd > 0 {
		return *crowd
	}
	return byDefault
}
