package galenepion

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// fingerprintOf returns the DTLS fingerprints of a description, "" if it is none: another
// peer connection has others.
func fingerprintOf(text string) string {
	var d sdp.SessionDescription
	if d.UnmarshalString(text) != nil {
		return ""
	}
	var all []string
	add := func(value string, ok bool) {
		if value = strings.ToLower(value); ok && !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	add(d.Attribute("fingerprint"))
	for _, m := range d.MediaDescriptions {
		add(m.Attribute("fingerprint"))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// rejectsAll reports whether an answer accepts nothing of what was offered.
func rejectsAll(text string) bool {
	var d sdp.SessionDescription
	if d.UnmarshalString(text) != nil || len(d.MediaDescriptions) == 0 {
		return false
	}
	accepts := func(m *sdp.MediaDescription) bool { return m.MediaName.Port.Value != 0 }
	return !slices.ContainsFunc(d.MediaDescriptions, accepts)
}
