package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// A result is what a session has shown.
type result struct {
	Protocol  string        `json:"protocol"`
	Roles     string        `json:"roles"`
	Messages  uint64        `json:"signaling_messages"` // through the server, both directions
	Connected time.Duration `json:"time_to_connected_ns"`
	Packets   atomicCount   `json:"rtp_packets"` // received
	Bytes     atomicCount   `json:"rtp_bytes"`
	Verdict   string        `json:"verdict"`
	Error     string        `json:"error,omitempty"`

	began    time.Time
	progress io.Writer // nil: say nothing
}

// An atomicCount is counted by the goroutines that read media.
type atomicCount struct{ atomic.Uint64 }

// MarshalJSON returns the count as a number.
func (c *atomicCount) MarshalJSON() ([]byte, error) { return fmt.Append(nil, c.Load()), nil }

func newResult(name string, progress io.Writer) *result {
	return &result{Protocol: name, began: time.Now(), progress: progress}
}

// step says what has been reached.
func (r *result) step(format string, args ...any) {
	if r.progress != nil {
		fmt.Fprintf(r.progress, "%6.2fs  %-11s %s\n", time.Since(r.began).Seconds(), r.Protocol, fmt.Sprintf(format, args...))
	}
}

func (r *result) finish(err error) {
	r.Verdict = "ok"
	if err != nil {
		r.Verdict, r.Error = "FAILED", err.Error()
		r.step("failed: %v", err)
	}
}

// lines are written whole, whoever writes them.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(line)
}

func printTable(w io.Writer, results []*result) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tROLES\tMESSAGES\tCONNECTED IN\tRTP PACKETS\tRTP BYTES\tVERDICT")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%d\t%v\t%d\t%d\t%s\n", r.Protocol, r.Roles, r.Messages,
			r.Connected.Round(time.Millisecond), r.Packets.Load(), r.Bytes.Load(), r.Verdict)
	}
	_ = t.Flush() // standard output
}
