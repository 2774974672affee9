package enginehttp

import "net/http"

// Sessions returns how many polling sessions a Handler knows.
func Sessions(h http.Handler) int {
	own := h.(*handler)
	own.mu.Lock()
	defer own.mu.Unlock()
	return len(own.sessions)
}
