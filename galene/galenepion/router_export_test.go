package galenepion

// Groups returns how many groups a router knows.
func (r *Router) Groups() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.groups)
}
