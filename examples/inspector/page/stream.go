package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// An event stream gives a browser no more than it can show, and ends when it has gone.
const (
	maxBatch = 2000                  // arrows of an event
	pace     = 50 * time.Millisecond // between two events of arrows
	alive    = 15 * time.Second      // between signs of life, when nothing else is sent
	patience = 30 * time.Second      // for a browser that does not read
)

// stream sends the arrows of a recording as server-sent events:
//
//	arrows   an array of them; the event's id is where to go on
//	cleared  forget all arrows
//	dropped  {"oldest":N}: forget the arrows before the one of this number
//	end      there will be no more: the recording is a file
//
// A reader has its position and nothing else here. One that is slow holds nobody up, and
// gets what is still there when it comes back to it.
func (s *shelf) stream(w http.ResponseWriter, r *http.Request) {
	rec := s.find(w, r)
	if rec == nil {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := &events{w: w, control: http.NewResponseController(w)}
	at, err := parsePosition(r.Header.Get("Last-Event-ID"))
	oldest := 1 // as far as the reader knows
	if err != nil {
		at, oldest = rec.start()
	}
	for {
		p := rec.after(at, maxBatch)
		if p.cleared {
			out.event("cleared", "", nil)
			oldest = p.oldest
		}
		if p.oldest > oldest {
			out.event("dropped", "", map[string]int{"oldest": p.oldest})
		}
		at, oldest = p.at, p.oldest
		if len(p.arrows) > 0 {
			out.event("arrows", at.String(), p.arrows)
		}
		ended := p.entries == nil && !p.more
		if ended {
			out.event("end", "", nil)
		}
		if out.pending.Len() == 0 {
			out.comment() // both ends see that the other one is there
		}
		if out.flush() != nil || ended {
			return
		}
		if len(p.arrows) > 0 && !wait(r.Context(), pace, nil, nil) {
			return
		}
		if !p.more && !wait(r.Context(), alive, p.changed, p.entries) {
			return
		}
	}
}

// wait waits for a time or for one of two channels, and reports whether the reader is there.
func wait(ctx context.Context, d time.Duration, a, b <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-a:
	case <-b:
	}
	return true
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	pending bytes.Buffer
}

func (e *events) event(name, id string, data any) {
	text, err := json.Marshal(data) // in one line
	if err != nil {
		text = []byte("null") // arrows are strings and numbers
	}
	fmt.Fprintf(&e.pending, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&e.pending, "id: %s\n", id)
	}
	fmt.Fprintf(&e.pending, "data: %s\n\n", text)
}

// comment writes what has no meaning.
func (e *events) comment() { e.pending.WriteString(":\n\n") }

// flush sends what has been written.
func (e *events) flush() error {
	defer e.pending.Reset()
	_ = e.control.SetWriteDeadline(time.Now().Add(patience)) // recorders of tests have none
	if _, err := e.w.Write(e.pending.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}

// String returns a position as the id of an event.
func (p position) String() string { return fmt.Sprintf("%d-%d", p.life, p.number) }

func parsePosition(id string) (position, error) {
	var p position
	_, err := fmt.Sscanf(id, "%d-%d", &p.life, &p.number)
	return p, err
}
