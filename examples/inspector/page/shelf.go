package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
)

// What is sent to the page is bounded.
const (
	maxFile = 64 << 20 // bytes of a file
	maxKept = 1 << 30  // bytes of all files and their arrows
	maxName = 100      // runes of a recording's name
)

// liveID is the id of the recording that comes in.
const liveID = "live"

// A shelf has all recordings.
type shelf struct {
	opts    Options
	logger  *slog.Logger
	maxFile int64

	mu         sync.Mutex
	recordings []*recording
	last       int // number in the id of the last file
	kept       int // bytes of files that were sent
}

func newShelf(opts *Options) *shelf {
	s := &shelf{opts: *opts, logger: opts.Logger, maxFile: maxFile}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if opts.Live != nil {
		p, err := explain.Find(opts.Protocol)
		if err != nil {
			panic("page: " + err.Error())
		}
		r := newRecording(liveID, "live", p, opts.Secrets)
		r.live, r.listen = opts.Live, opts.Listen
		s.recordings = append(s.recordings, r)
	}
	for i, f := range opts.Open {
		if _, err := s.put(f, "", "", 0); err != nil {
			s.logger.Error("a recording is left out", "number", i+1, "err", err)
		}
	}
	return s
}

// put adds a file of a number of bytes.
func (s *shelf) put(f *capture.File, name, protocol string, size int) (*recording, error) {
	p, err := s.protocolOf(f, protocol)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.last++
	id := strconv.Itoa(s.last)
	s.mu.Unlock()
	if name = nameOf(name); name == "" {
		name = "recording " + id
	}
	r := newRecording(id, name, p, s.opts.Secrets)
	r.file, r.size = f, size
	if !r.take(f.Entries) { // before anybody can wait for it
		return nil, fmt.Errorf("what is in it takes more than %d MiB", r.limit>>20)
	}
	if size > 0 {
		size += r.weight
		r.size = size
	}
	r.entries = len(f.Entries)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept+size > maxKept {
		return nil, fmt.Errorf("there are recordings of %d MiB already: remove some", s.kept>>20)
	}
	s.kept += size
	s.recordings = append(s.recordings, r)
	return r, nil
}

// protocolOf finds out what a file is about: what was asked for, what the file says, what its
// messages look like, what else is shown here.
func (s *shelf) protocolOf(f *capture.File, name string) (explain.Protocol, error) {
	if name == "" {
		name = f.Protocol
	}
	if name == "" {
		if guessed, ok := explain.Guess(f.Entries); ok {
			name = guessed
		} else {
			name = s.opts.Protocol
		}
	}
	if name == "" {
		return explain.Protocol{}, errors.New("it does not say which protocol it is of: choose one")
	}
	return explain.Find(name)
}

// nameOf returns a name without what has no place in one.
func nameOf(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	runes := []rune(strings.TrimSpace(s))
	return string(runes[:min(len(runes), maxName)])
}

// find returns the recording of a request, or answers that there is none.
func (s *shelf) find(w http.ResponseWriter, r *http.Request) *recording {
	id := r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.recordings, func(r *recording) bool { return r.id == id })
	if i < 0 {
		fail(w, http.StatusNotFound, "there is no recording %q", id)
		return nil
	}
	return s.recordings[i]
}

func (s *shelf) listProtocols(w http.ResponseWriter, _ *http.Request) {
	names := make([]string, len(explain.Protocols))
	for i, p := range explain.Protocols {
		names[i] = p.Name
	}
	answer(w, http.StatusOK, names)
}

func (s *shelf) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	all := slices.Clone(s.recordings)
	s.mu.Unlock()
	summaries := make([]summary, len(all))
	for i, r := range all {
		summaries[i] = r.summary()
	}
	answer(w, http.StatusOK, summaries)
}

func (s *shelf) add(w http.ResponseWriter, r *http.Request) {
	body := &counter{r: http.MaxBytesReader(w, r.Body, s.maxFile)}
	f, err := capture.Read(body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fail(w, http.StatusBadRequest, "the file has more than %d bytes", tooLarge.Limit)
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	q := r.URL.Query()
	rec, err := s.put(f, q.Get("name"), q.Get("protocol"), body.n)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	answer(w, http.StatusCreated, map[string]string{"id": rec.id})
}

func (s *shelf) remove(w http.ResponseWriter, r *http.Request) {
	rec := s.find(w, r)
	if rec == nil {
		return
	}
	if rec.live != nil {
		rec.clear()
	} else {
		s.mu.Lock()
		if i := slices.Index(s.recordings, rec); i >= 0 { // nobody else was faster
			s.recordings = slices.Delete(s.recordings, i, i+1)
			s.kept -= rec.size
		}
		s.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

// A shown is an arrow with all that there is to know.
type shown struct {
	Arrow  explain.Arrow   `json:"arrow"`
	Detail *explain.Detail `json:"detail,omitempty"`
}

func (s *shelf) detail(w http.ResponseWriter, r *http.Request) {
	rec := s.find(w, r)
	if rec == nil {
		return
	}
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		fail(w, http.StatusBadRequest, "%q is no number of an arrow", r.PathValue("number"))
		return
	}
	a, ok := rec.arrow(number)
	if !ok {
		fail(w, http.StatusNotFound, "there is no arrow %d", number)
		return
	}
	answer(w, http.StatusOK, shown{a, a.Detail})
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the reader's end is not ours to handle
}

// fail answers with an error.
func fail(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

// A counter counts the bytes that are read.
type counter struct {
	r interface{ Read([]byte) (int, error) }
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
