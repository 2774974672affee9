package galenehttp

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/galene"
)

// A description is an SDP, or a fragment of one (RFC 8840), by its sections. The first one
// is that of the session.
type description []section

type section []string // lines without their ends

// Bounds for what comes over HTTP.
const (
	maxSections   = 64
	maxCandidates = 256
)

var errSDP = errors.New("not an SDP")

// parseDescription reads an SDP or a fragment.
func parseDescription(text string) (description, error) {
	d := description{nil}
	candidates := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[0] < 'a' || line[0] > 'z' || line[1] != '=' {
			return nil, errSDP
		}
		if strings.HasPrefix(line, "m=") {
			d = append(d, nil)
		}
		if strings.HasPrefix(line, "a=candidate:") {
			candidates++
		}
		d[len(d)-1] = append(d[len(d)-1], line)
	}
	if len(d) > maxSections || candidates > maxCandidates {
		return nil, errSDP
	}
	return d, nil
}

// parseSDP reads a whole one.
func parseSDP(text string) (description, error) {
	d, err := parseDescription(text)
	if err == nil && (len(d) < 2 || len(d[0]) == 0 || d[0][0] != "v=0") {
		err = errSDP
	}
	return d, err
}

func (d description) String() string {
	var b strings.Builder
	for _, s := range d {
		for _, line := range s {
			b.WriteString(line)
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

// attribute returns the value of the first attribute of a name, or "".
func (s section) attribute(name string) string {
	for _, line := range s {
		if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			return value
		}
	}
	return ""
}

// has reports whether a section has an attribute without a value.
func (s section) has(name string) bool { return slices.Contains(s, "a="+name) }

// attribute returns the value of the first attribute of a name in any section, or "".
func (d description) attribute(name string) string {
	for _, s := range d {
		if value := s.attribute(name); value != "" {
			return value
		}
	}
	return ""
}

// without returns the sections without some attributes.
func (d description) without(names ...string) description {
	r := make(description, len(d))
	for i, s := range d {
		r[i] = slices.DeleteFunc(slices.Clone(s), func(line string) bool {
			name, ok := strings.CutPrefix(line, "a=")
			name, _, _ = strings.Cut(name, ":")
			return ok && slices.Contains(names, name)
		})
	}
	return r
}

// add adds a candidate to its section. One for no section is dropped.
func (d description) add(c galene.ICECandidateInit) {
	line := "a=" + strings.TrimPrefix(c.Candidate, "a=")
	if !strings.HasPrefix(line, "a=candidate:") || strings.ContainsAny(line, "\r\n") {
		return
	}
	for i := 1; i < len(d); i++ {
		mid := c.SDPMid != nil && *c.SDPMid != "" && d[i].attribute("mid") == *c.SDPMid
		index := (c.SDPMid == nil || *c.SDPMid == "") && c.SDPMLineIndex != nil && int(*c.SDPMLineIndex) == i-1
		if mid || index {
			d[i] = append(d[i], line)
			return
		}
	}
}

// candidates returns those of a fragment, with the user name fragment to which they belong.
func (d description) candidates() []galene.ICECandidateInit {
	ufrag := d.attribute("ice-ufrag")
	var all []galene.ICECandidateInit
	for i, s := range d {
		var c galene.ICECandidateInit
		if mid := s.attribute("mid"); mid != "" {
			c.SDPMid = &mid
		} else {
			index := uint16(max(i-1, 0))
			c.SDPMLineIndex = &index
		}
		if ufrag != "" {
			c.UsernameFragment = &ufrag
		}
		for _, line := range s {
			if strings.HasPrefix(line, "a=candidate:") {
				c.Candidate = strings.TrimPrefix(line, "a=")
				all = append(all, c)
			}
		}
	}
	return all
}

// fragment returns what of an SDP is about ICE.
func (d description) fragment() description {
	f := description{{"a=ice-ufrag:" + d.attribute("ice-ufrag"), "a=ice-pwd:" + d.attribute("ice-pwd")}}
	for _, s := range d[1:] {
		of := section{s[0]}
		for _, line := range s {
			if strings.HasPrefix(line, "a=mid:") || strings.HasPrefix(line, "a=candidate:") || line == "a=end-of-candidates" {
				of = append(of, line)
			}
		}
		f = append(f, of)
	}
	return f
}

// restarted returns an SDP with the ICE of a fragment in place of its own.
func (d description) restarted(f description) description {
	r := d.without("candidate", "end-of-candidates")
	for i, s := range r {
		for j, line := range s {
			switch {
			case strings.HasPrefix(line, "a=ice-ufrag:"):
				r[i][j] = "a=ice-ufrag:" + f.attribute("ice-ufrag")
			case strings.HasPrefix(line, "a=ice-pwd:"):
				r[i][j] = "a=ice-pwd:" + f.attribute("ice-pwd")
			case strings.HasPrefix(line, "o="):
				r[i][j] = nextVersion(line)
			}
		}
	}
	for _, c := range f.candidates() {
		r.add(c)
	}
	return r
}

// nextVersion counts the version of a session's origin up.
func nextVersion(origin string) string {
	parts := strings.Fields(origin)
	if len(parts) < 3 {
		return origin
	}
	version, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return origin
	}
	parts[2] = strconv.FormatUint(version+1, 10)
	return strings.Join(parts, " ")
}

// NewFragment returns what [WHIP.Trickle] sends: the candidates that were found for an offer
// since it was sent.
func NewFragment(offer string, candidates []galene.ICECandidateInit) (string, error) {
	d, err := parseSDP(offer)
	if err != nil {
		return "", err
	}
	f := d.without("candidate", "end-of-candidates").fragment()
	for _, c := range candidates {
		f.add(c)
	}
	return f.String(), nil
}
