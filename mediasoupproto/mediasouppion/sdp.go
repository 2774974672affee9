package mediasouppion

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// maxCandidates bounds the candidates of a server that are tried.
const maxCandidates = 32

// A serverSide is what the server has said of its end of a transport. It has been checked:
// all of it may stand in a session description.
type serverSide struct {
	ufrag, password string
	fingerprint     string   // behind its algorithm
	candidates      []string // as they stand behind a=candidate:
}

// newServerSide takes what the server answers. Its DTLS role must be one of these.
func newServerSide(r *mediasoupproto.CreateTransportResult, roles ...mediasoupproto.DTLSRole) (*serverSide, error) {
	if r == nil || r.DTLSParameters == nil {
		return nil, fmt.Errorf("%w: no dtlsParameters", ErrParameters)
	}
	role := r.DTLSParameters.Role
	if role == "" {
		role = mediasoupproto.DTLSRoleAuto
	}
	if !slices.Contains(roles, role) {
		return nil, fmt.Errorf("%w: dtlsParameters.role: %q", ErrParameters, role)
	}
	s := new(serverSide)
	if err := s.setICE(r.ICEParameters); err != nil {
		return nil, err
	}
	if s.fingerprint = lastFingerprint(r.DTLSParameters.Fingerprints); s.fingerprint == "" {
		return nil, fmt.Errorf("%w: no fingerprint of sha-256 or better", ErrParameters)
	}
	for i := range r.ICECandidates {
		if line, ok := candidate(&r.ICECandidates[i]); ok && len(s.candidates) < maxCandidates {
			s.candidates = append(s.candidates, line)
		}
	}
	if len(s.candidates) == 0 {
		return nil, fmt.Errorf("%w: no UDP candidate", ErrParameters)
	}
	return s, nil
}

// setICE takes the parameters of the first start of ICE or of a restart.
func (s *serverSide) setICE(p *mediasoupproto.ICEParameters) error {
	// RFC 8839, section 5.4.
	if p == nil || !isICE(p.UsernameFragment, 4, 256) || !isICE(p.Password, 22, 256) {
		return fmt.Errorf("%w: iceParameters", ErrParameters)
	}
	s.ufrag, s.password = p.UsernameFragment, p.Password
	return nil
}

// isICE reports whether a text consists of ice-char and is as long as it may be.
func isICE(text string, least, most int) bool {
	return len(text) >= least && len(text) <= most && strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '/'
	}) < 0
}

// candidate returns what stands behind a=candidate:. Only UDP is taken: Pion's agent has TCP
// candidates of its own with a listener only, and a server that is reached by TCP alone is
// not what this is for.
func candidate(c *mediasoupproto.ICECandidate) (line string, ok bool) {
	ip, err := netip.ParseAddr(c.IP)
	if err != nil || ip.Zone() != "" || c.Protocol != "udp" || c.Type != "host" || c.Port == 0 ||
		!isICE(c.Foundation, 1, 32) {
		return "", false
	}
	return fmt.Sprintf("%s 1 udp %d %s %d typ host", c.Foundation, c.Priority, ip, c.Port), true
}

// lastFingerprint returns the last fingerprint of a good algorithm, in upper case, or "".
func lastFingerprint(all []mediasoupproto.Fingerprint) string {
	lengths := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}
	for _, f := range slices.Backward(all) {
		algorithm, value := strings.ToLower(f.Algorithm), strings.ToUpper(f.Value)
		octets := strings.Split(value, ":")
		if n := lengths[algorithm]; n == 0 || len(octets) != n || slices.ContainsFunc(octets, notOctet) {
			continue
		}
		return algorithm + " " + value
	}
	return ""
}

func notOctet(hex string) bool {
	return len(hex) != 2 || strings.Trim(hex, "0123456789ABCDEF") != ""
}

// A section is one media section of the server's description.
type section struct {
	mid       string
	kind      mediasoupproto.Kind
	direction string
	codecs    []codec
	stream    *stream // what the server sends in it, or nil
}

// A stream is what a consumer receives.
type stream struct {
	id        uint32 // the consumer's
	ssrc, rtx uint32 // rtx is 0 without one
}

// description returns a session description of the server. The version grows from one to the
// next one; setup is the server's role in DTLS.
func (s *serverSide) description(version uint64, setup string, sections []section) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, part := range parts {
			b.WriteString(part)
		}
		b.WriteString("\r\n")
	}
	line("v=0")
	line("o=mediasoup 1 ", strconv.FormatUint(version, 10), " IN IP4 0.0.0.0")
	line("s=-")
	line("t=0 0")
	line("a=ice-lite")
	line("a=fingerprint:", s.fingerprint)
	line("a=msid-semantic: WMS *")
	b.WriteString("a=group:BUNDLE")
	for i := range sections {
		b.WriteString(" " + sections[i].mid)
	}
	line()
	for i := range sections {
		s.writeSection(line, setup, &sections[i], i == 0)
	}
	return b.String()
}

func (s *serverSide) writeSection(line func(...string), setup string, sec *section, first bool) {
	media := []string{"m=", string(sec.kind), " 7 UDP/TLS/RTP/SAVPF"} // 7 is any port but 0
	for i := range sec.codecs {
		media = append(media, " ", strconv.Itoa(int(sec.codecs[i].payloadType)))
	}
	line(media...)
	line("c=IN IP4 0.0.0.0")
	line("a=mid:", sec.mid)
	line("a=", sec.direction)
	line("a=ice-ufrag:", s.ufrag)
	line("a=ice-pwd:", s.password)
	if first { // all others are bundled with it
		for _, c := range s.candidates {
			line("a=candidate:", c)
		}
		line("a=end-of-candidates")
	}
	line("a=setup:", setup)
	line("a=rtcp-mux")
	line("a=rtcp-rsize")
	for i := range sec.codecs {
		sec.codecs[i].write(line)
	}
	if st := sec.stream; st != nil {
		id, ssrc, rtx := decimal(st.id), decimal(st.ssrc), decimal(st.rtx)
		line("a=msid:stream-", id, " consumer-", id)
		if st.rtx != 0 {
			line("a=ssrc-group:FID ", ssrc, " ", rtx)
		}
		line("a=ssrc:", ssrc, " cname:consumer-", id)
		if st.rtx != 0 {
			line("a=ssrc:", rtx, " cname:consumer-", id)
		}
	}
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// A codec is one of the room's, checked, as it stands in a session description.
type codec struct {
	kind        mediasoupproto.Kind
	name        string
	clockRate   uint32
	channels    uint16
	payloadType uint8
	fmtp        string
	feedback    []mediasoupproto.RTCPFeedback
	apt         int // the payload type that rtx belongs to, or -1
}

// newCodec checks a codec of a room.
func newCodec(c *mediasoupproto.CodecCapability) (codec, error) {
	bad := func(what string) (codec, error) {
		return codec{}, fmt.Errorf("%w: %s of codec %d", ErrParameters, what, c.PreferredPayloadType)
	}
	switch {
	case c.Kind != mediasoupproto.Audio && c.Kind != mediasoupproto.Video:
		return bad("kind")
	case !isToken(c.Name):
		return bad("name")
	case c.ClockRate == 0:
		return bad("clockRate")
	case c.PreferredPayloadType > 127:
		return bad("preferredPayloadType")
	}
	out := codec{
		kind: c.Kind, name: c.Name, clockRate: c.ClockRate, payloadType: c.PreferredPayloadType, apt: -1,
	}
	if c.Kind == mediasoupproto.Audio {
		out.channels = c.Channels
	}
	if out.isRTX() {
		apt, ok := c.APT()
		if !ok {
			return bad("apt")
		}
		out.apt, out.fmtp = int(apt), "apt="+strconv.Itoa(int(apt))
		return out, nil
	}
	for _, f := range c.RTCPFeedback {
		if !isToken(f.Type) || f.Parameter != "" && !isToken(f.Parameter) {
			return bad("rtcpFeedback")
		}
		if understood(f) {
			out.feedback = append(out.feedback, mediasoupproto.RTCPFeedback{Type: f.Type, Parameter: f.Parameter})
		}
	}
	var ok bool
	if out.fmtp, ok = fmtp(c.Parameters); !ok {
		return bad("parameters")
	}
	return out, nil
}

// understood reports whether a bot gives a kind of feedback, and takes it. It estimates no
// bandwidth.
func understood(f mediasoupproto.RTCPFeedback) bool {
	switch f.Type + " " + f.Parameter {
	case "nack ", "nack pli", "ccm fir":
		return true
	}
	return false
}

func (c *codec) isRTX() bool { return strings.EqualFold(c.name, "rtx") }

func (c *codec) mimeType() string { return string(c.kind) + "/" + c.name }

func (c *codec) write(line func(...string)) {
	pt := strconv.Itoa(int(c.payloadType))
	channels := ""
	if c.channels > 1 {
		channels = "/" + strconv.Itoa(int(c.channels))
	}
	line("a=rtpmap:", pt, " ", c.name, "/", decimal(c.clockRate), channels)
	if c.fmtp != "" {
		line("a=fmtp:", pt, " ", c.fmtp)
	}
	for _, f := range c.feedback {
		line("a=rtcp-fb:", pt, " ", strings.TrimSpace(f.Type+" "+f.Parameter))
	}
}

// fmtp returns the parameters of a codec as a session description has them, sorted, and
// whether they may stand there.
func fmtp(parameters mediasoupproto.Fields) (text string, ok bool) {
	var all []string
	for name, value := range parameters {
		v, isText := jsonx.Text(value)
		if !isText {
			v = value
		}
		if !isToken(name) || !isParameter(string(v)) {
			return "", false
		}
		all = append(all, name+"="+string(v))
	}
	slices.Sort(all)
	return strings.Join(all, ";"), true
}

// isToken reports whether a text is a token of RFC 4566.
func isToken(text string) bool {
	return text != "" && len(text) <= 64 && strings.IndexFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]`, r)
	}) < 0
}

// isParameter reports whether a text may be the value of a format parameter.
func isParameter(text string) bool {
	return text != "" && len(text) <= 256 && strings.IndexFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~' || r == ';'
	}) < 0
}

// answerTo returns the sections of the server's answer to an offer of ours: it takes what is
// sent, in all codecs of its kind.
func answerTo(offer *sdp.SessionDescription, codecs []codec) []section {
	var sections []section
	for _, m := range offer.MediaDescriptions {
		s := section{kind: mediasoupproto.Kind(m.MediaName.Media), direction: "inactive"}
		s.mid, _ = m.Attribute("mid")
		if _, ok := m.Attribute("sendonly"); ok {
			s.direction = "recvonly"
		}
		s.codecs = ofKind(codecs, s.kind)
		sections = append(sections, s)
	}
	return sections
}

func ofKind(codecs []codec, kind mediasoupproto.Kind) (all []codec) {
	for i := range codecs {
		if codecs[i].kind == kind {
			all = append(all, codecs[i])
		}
	}
	return all
}

// withRTX returns the codec of a payload type with the one that repeats its packets, if
// there is one.
func withRTX(codecs []codec, payloadType uint8) (both []codec) {
	for i := range codecs {
		if c := &codecs[i]; c.payloadType == payloadType && !c.isRTX() {
			both = append(both, *c)
		}
	}
	for i := range codecs {
		if len(both) == 1 && codecs[i].apt == int(payloadType) {
			both = append(both, codecs[i])
		}
	}
	return both
}
