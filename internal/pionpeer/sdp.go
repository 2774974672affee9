package pionpeer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// A description is a remote description that has what Pion needs, checked before Pion changes its state for it.
type description struct {
	webrtc.SessionDescription
	mids   []string
	ufrags []string
}

var (
	errNoSections    = errors.New("no media section")
	errNoMID         = errors.New("media section without a=mid")
	errNoICE         = errors.New("no ICE credentials")
	errNoFingerprint = errors.New("no DTLS fingerprint")
)

func parseDescription(d webrtc.SessionDescription) (*description, error) {
	desc := &description{SessionDescription: d}
	parsed, err := desc.Unmarshal()
	if err != nil {
		return nil, err
	}
	if len(parsed.MediaDescriptions) == 0 {
		return nil, errNoSections
	}
	attributes := func(key string) (values []string) {
		if v, ok := parsed.Attribute(key); ok && v != "" {
			values = append(values, v)
		}
		for _, m := range parsed.MediaDescriptions {
			if v, ok := m.Attribute(key); ok && v != "" && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		return values
	}
	for _, m := range parsed.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		if mid == "" && d.Type == webrtc.SDPTypeOffer {
			return nil, errNoMID
		}
		desc.mids = append(desc.mids, mid)
	}
	desc.ufrags = attributes("ice-ufrag")
	switch {
	case len(desc.ufrags) == 0 || len(attributes("ice-pwd")) == 0:
		return nil, errNoICE
	case len(attributes("fingerprint")) == 0:
		return nil, errNoFingerprint
	}
	return desc, nil
}

// completeRejected returns the mids of the sections that the answer rejects.
//
// Some peers leave everything out of such a section, which Pion does not forgive: without a mid it cannot offer again,
// and it takes the codecs of the first section of a kind, none here, for those of all. So what is missing comes from
// the offer, and the codecs from an accepted section of the same kind if there is one.
func (d *description) completeRejected(offer webrtc.SessionDescription) (mids []string, err error) {
	offered, err := offer.Unmarshal()
	if err != nil {
		return nil, fmt.Errorf("own offer: %w", err)
	}
	answered, err := d.Unmarshal()
	if err != nil {
		return nil, err
	}
	accepted := map[string]*sdp.MediaDescription{}
	for _, m := range answered.MediaDescriptions {
		if kind := m.MediaName.Media; m.MediaName.Port.Value != 0 && accepted[kind] == nil {
			accepted[kind] = m
		}
	}
	for i, m := range answered.MediaDescriptions {
		if m.MediaName.Port.Value != 0 || i >= len(offered.MediaDescriptions) {
			continue
		}
		model := offered.MediaDescriptions[i]
		mid, _ := model.Attribute("mid")
		mids = append(mids, mid)
		if !has(m, "mid") {
			m.WithValueAttribute("mid", mid)
		}
		if !has(m, "inactive", "sendrecv", "sendonly", "recvonly") {
			m.WithPropertyAttribute("inactive")
		}
		if !has(m, "rtpmap") {
			copyCodecs(m, cmp.Or(accepted[m.MediaName.Media], model))
		}
	}
	if len(mids) == 0 {
		return nil, nil
	}
	completed, err := answered.Marshal()
	if err != nil {
		return nil, err
	}
	d.SDP = string(completed)
	return mids, nil
}

// openInactive replaces inactive by recvonly in the sections that which chooses, and returns their mids.
func (d *description) openInactive(which func(mid string) bool) (mids []string, err error) {
	parsed, err := d.Unmarshal()
	if err != nil {
		return nil, err
	}
	for _, m := range parsed.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		if !which(mid) || m.MediaName.Port.Value == 0 && !has(m, "bundle-only") {
			continue
		}
		for i, a := range m.Attributes {
			if a.Key == "inactive" {
				m.Attributes[i] = sdp.NewPropertyAttribute("recvonly")
				mids = append(mids, mid)
			}
		}
	}
	if len(mids) == 0 {
		return nil, nil
	}
	changed, err := parsed.Marshal()
	if err != nil {
		return nil, err
	}
	d.SDP = string(changed)
	return mids, nil
}

// inactiveSections returns the mids of the sections in which a description sends nothing and, if it is an answer,
// receives nothing. What an offer of the other side would receive is its own affair.
func inactiveSections(d *webrtc.SessionDescription) map[string]bool {
	var parsed sdp.SessionDescription // Pion goes on reading what d.Unmarshal would replace
	if d == nil || parsed.UnmarshalString(d.SDP) != nil {
		return nil
	}
	mids := make(map[string]bool)
	for _, m := range parsed.MediaDescriptions {
		open := m.MediaName.Port.Value != 0 || has(m, "bundle-only")
		if mid, ok := m.Attribute("mid"); ok && open && (has(m, "inactive") || d.Type == webrtc.SDPTypeOffer && has(m, "recvonly")) {
			mids[mid] = true
		}
	}
	return mids
}

func has(m *sdp.MediaDescription, keys ...string) bool {
	return slices.ContainsFunc(m.Attributes, func(a sdp.Attribute) bool { return slices.Contains(keys, a.Key) })
}

func copyCodecs(to, from *sdp.MediaDescription) {
	to.MediaName.Formats = from.MediaName.Formats
	for _, a := range from.Attributes {
		switch a.Key {
		case "rtpmap", "fmtp", "rtcp-fb", "extmap":
			to.Attributes = append(to.Attributes, a)
		}
	}
}

func firstUfrag(text string) string {
	_, rest, _ := strings.Cut(text, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(ufrag)
}

// chooseRole makes an offer name the role of DTLS that the other side has. Offers leave it open, always, but Pion would
// then answer with a role that need not be the one it has.
func (d *description) chooseRole(role string) {
	if role != "" {
		d.SDP = strings.ReplaceAll(d.SDP, "a=setup:actpass", "a=setup:"+role)
	}
}

// roleOf returns the role of DTLS that an answer chooses for whoever made it, "" if it chooses none.
func roleOf(answer string) string {
	for _, role := range []string{"active", "passive"} {
		if strings.Contains(answer, "a=setup:"+role) {
			return role
		}
	}
	return ""
}

func oppositeRole(role string) string {
	switch role {
	case "active":
		return "passive"
	case "passive":
		return "active"
	}
	return ""
}
