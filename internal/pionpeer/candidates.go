package pionpeer

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"
)

// The number of local candidates that wait for a description, and of ICE generations that are remembered as past.
// A host has few addresses and a peer few restarts; what exceeds this is the oldest and of no use.
const (
	maxLocalCandidates = 256
	maxPastUfrags      = 16
)

// localCandidates holds candidates back until the description of their ICE generation is out. The generation is the
// user name fragment, which Pion writes into each candidate.
type localCandidates struct {
	sent string // of the last description that went out; "" before the first one
	last webrtc.ICECandidateInit
	// over is whether the end of the generation of last was seen: Pion tells it again with each description.
	over bool
	held []webrtc.ICECandidateInit
}

// gathered takes what OnICECandidate reports and returns what to send now. The end of a generation becomes an empty
// candidate in the place of its last one.
func (l *localCandidates) gathered(c *webrtc.ICECandidate) (webrtc.ICECandidateInit, bool) {
	var init webrtc.ICECandidateInit
	if c == nil {
		if l.over {
			return webrtc.ICECandidateInit{}, false
		}
		init = l.last
		init.Candidate = ""
	} else {
		init = c.ToJSON()
		if u := ufragOf(init); u != "" {
			init.UsernameFragment = &u
		}
		l.last = init
	}
	l.over = c == nil
	u := ufragOf(init)
	if l.sent != "" && (u == "" || u == l.sent) {
		return init, true
	}
	l.held = append(l.held, init)
	if len(l.held) > maxLocalCandidates {
		l.held = slices.Delete(l.held, 0, 1)
	}
	return webrtc.ICECandidateInit{}, false
}

// described notes that a description with this user name fragment is out and returns what waited for it. The rest is
// of generations before it: none begins between the making of a description and its sending.
func (l *localCandidates) described(ufrag string) []webrtc.ICECandidateInit {
	l.sent = ufrag
	ready := slices.DeleteFunc(l.held, func(c webrtc.ICECandidateInit) bool {
		u := ufragOf(c)
		return u != "" && u != ufrag
	})
	l.held = nil
	return ready
}

// remoteCandidates holds candidates back until a remote description has their user name fragment: peers send those of
// a restart before its description. It bounds those that wait, and those of a generation, which Pion would all keep and
// try to reach for ever.
type remoteCandidates struct {
	max     int
	taken   int      // of the present generation
	current []string // of the applied description; nil before the first one
	past    []string // of the descriptions before it, oldest first
	held    []webrtc.ICECandidateInit
}

// received reports whether c can be added now. Otherwise it is held, or dropped when its generation is past.
func (r *remoteCandidates) received(c webrtc.ICECandidateInit) (ready bool, err error) {
	u := ufragOf(c)
	switch {
	case r.fits(u) && c.Candidate == "":
		return true, nil
	case r.fits(u) && r.taken >= r.max:
		return false, ErrOverflow
	case r.fits(u):
		r.taken++
		return true, nil
	case u != "" && slices.Contains(r.past, u):
		return false, nil
	case len(r.held) >= r.max:
		return false, ErrOverflow
	}
	r.held = append(r.held, c)
	return false, nil
}

func (r *remoteCandidates) fits(ufrag string) bool {
	return r.current != nil && (ufrag == "" || slices.Contains(r.current, ufrag))
}

// described notes that a description with these user name fragments is applied and returns what waited for it.
func (r *remoteCandidates) described(ufrags []string) (ready []webrtc.ICECandidateInit) {
	for _, u := range r.current {
		if !slices.Contains(ufrags, u) {
			r.past = append(r.past, u)
			r.taken = 0
		}
	}
	r.past = slices.DeleteFunc(r.past, func(u string) bool { return slices.Contains(ufrags, u) })
	r.past = r.past[max(0, len(r.past)-maxPastUfrags):]
	r.current = ufrags

	r.held = slices.DeleteFunc(r.held, func(c webrtc.ICECandidateInit) bool {
		u := ufragOf(c)
		if r.fits(u) {
			ready = append(ready, c)
			return true
		}
		return slices.Contains(r.past, u)
	})
	r.taken += len(ready)
	return ready
}

// ufragOf returns the user name fragment of a candidate: the member of that name or else the extension inside the
// candidate, which is where Pion writes it. It is empty when the candidate has none.
func ufragOf(c webrtc.ICECandidateInit) string {
	if c.UsernameFragment != nil && *c.UsernameFragment != "" {
		return *c.UsernameFragment
	}
	// foundation component transport priority address port "typ" type, then pairs of a name and a value
	fields := strings.Fields(c.Candidate)
	for i := 8; i+1 < len(fields); i += 2 {
		if fields[i] == "ufrag" {
			return fields[i+1]
		}
	}
	return ""
}
