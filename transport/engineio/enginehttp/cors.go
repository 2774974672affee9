package enginehttp

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// origins tells browsers which pages of other hosts may poll.
type origins struct{ opts *Options }

// answer sets the headers of CORS and reports whether r was a preflight request,
// which it has answered then.
func (o origins) answer(w http.ResponseWriter, r *http.Request) bool {
	if !o.opts.AllowAnyOrigin && len(o.opts.OriginPatterns) == 0 {
		return false
	}
	header := w.Header()
	origin := r.Header.Get("Origin")
	anyone := o.opts.AllowAnyOrigin && !o.opts.AllowCredentials
	if !anyone {
		header.Add("Vary", "Origin")
	}
	if origin == "" || !o.allowed(origin) {
		return false
	}
	if anyone {
		origin = "*"
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if o.opts.AllowCredentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET,POST")
	if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
		header.Add("Vary", "Access-Control-Request-Headers")
		header.Set("Access-Control-Allow-Headers", wanted)
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// allowed compares an origin with the patterns as wsconn's handshake does.
func (o origins) allowed(origin string) bool {
	if o.opts.AllowAnyOrigin {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	for _, pattern := range o.opts.OriginPatterns {
		target := u.Host
		if strings.Contains(pattern, "://") {
			target = u.Scheme + "://" + u.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(target)); ok && err == nil {
			return true
		}
	}
	return false
}
