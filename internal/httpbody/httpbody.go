// Package httpbody bounds how long the body of a request may take to come, whatever the
// http.Server of the application says: one that trickles would keep a connection and its
// goroutine for ever, even after the request has been answered, as net/http reads on then.
package httpbody

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// DefaultTimeout is how long a body may take.
const DefaultTimeout = 30 * time.Second

// Timed returns r with a body that has to be read within the timeout; zero is
// [DefaultTimeout], a negative one none. Afterwards reading it fails, see [IsTimeout], and
// net/http gives the connection up, or in HTTP/2 the stream. A shorter ReadTimeout of the
// server stays. A writer that has no deadlines changes nothing. w is used until the body has
// been read.
func Timed(w http.ResponseWriter, r *http.Request, timeout time.Duration) *http.Request {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if timeout < 0 || r.Body == nil || r.Body == http.NoBody {
		return r
	}
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ReadTimeout > 0 && s.ReadTimeout <= timeout {
		return r
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(timeout)) != nil {
		return r
	}
	timed := *r
	timed.Body = &body{r.Body, rc}
	return &timed
}

// IsTimeout reports whether a body could not be read because it took too long.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// A body has a deadline on its connection, which ends with it: net/http notices by a read
// whether the client is still there, and would take the deadline for its end.
type body struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}
