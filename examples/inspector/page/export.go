package page

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// export writes a recording as a file, without secrets unless they are to be shown.
func (s *shelf) export(w http.ResponseWriter, r *http.Request) {
	rec := s.find(w, r)
	if rec == nil {
		return
	}
	f := &capture.File{Protocol: rec.protocol.Name, Entries: rec.all()}
	if rec.file != nil {
		f.Target = rec.file.Target
	}
	mask := Mask
	if s.opts.Secrets {
		mask = nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/jsonl")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName(rec)))
	if err := capture.WriteFile(w, f, mask); err != nil {
		s.logger.Error("an export has failed", "recording", rec.id, "err", err)
		panic(http.ErrAbortHandler) // the browser must not take the part for the whole
	}
}

// fileName returns a name that every system and every header takes.
func fileName(r *recording) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			return c
		}
		return '-'
	}, strings.TrimSuffix(r.name, ".jsonl"))
	return r.protocol.Name + "-" + strings.Trim(name, "-.") + ".jsonl"
}
