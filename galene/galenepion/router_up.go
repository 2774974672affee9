package galenepion

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

const (
	// routerReport is how often a sender is told its bit rate.
	routerReport = time.Second
	// routerMinBitrate is what a sender is told at least, in bit/s. For a simulcast, which
	// has something for slow receivers, and while nobody gets the best encoding, it is
	// routerFairBitrate: senders take long to rise from less than that.
	routerMinBitrate, routerFairBitrate = 200_000, 500_000
	// routerSilence is how long nothing comes of an encoding before its receivers get
	// another one.
	routerSilence = 2500 * time.Millisecond
	// routerSections and routerRIDs are how many media sections an offer may have, and how
	// many encodings each.
	routerSections, routerRIDs = 64, 16
	// routerReplaced is how many streams in a row may replace each other before a receiver
	// has noticed.
	routerReplaced = 16
	// routerGrace is how long a stream without a peer connection is kept.
	routerGrace = 5 * time.Second
)

// A routerUp is a stream that a member sends.
type routerUp struct {
	owner     *routerMember
	id, label string
	name      string // that nobody else has, also at its receivers
	begun     time.Time
	replaces  []string // the names of those in whose place it comes
	session   *pionpeer.Session
	line      *routerLine

	// Guarded by the lock of the router.
	over     bool
	ready    bool // its tracks have waited for each other
	timer    *time.Timer
	sections []routerSection
	tracks   []*routerTrack // that arrive
}

// A routerTrack is an encoding of a track that arrives.
type routerTrack struct {
	forwardLayer
	kind    webrtc.RTPCodecType
	section int // of the description
	ssrc    uint32

	// Guarded by the lock of the router.
	dead    bool      // it has ended, but not by an offer
	heard   time.Time // something has come, to within routerReport
	stalled bool      // nothing has come for a while, but of another encoding
}

// offered takes an offer of a member.
func (m *routerMember) offered(msg *galene.Offer) {
	var replaces []string
	if old := m.ups[msg.Replace]; old != nil && msg.Replace != msg.ID {
		replaces = append(slices.Clone(old.replaces), old.name)
		replaces = replaces[max(0, len(replaces)-routerReplaced):]
		defer m.endUp(old) // not before the new one is known
	}
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: msg.SDP}
	sections, err := routerParse(offer)
	if err != nil {
		m.refuse(msg.ID, routerText(err))
		return
	}
	u := m.ups[msg.ID]
	if u == nil {
		u = &routerUp{owner: m, id: msg.ID, label: msg.Label, name: galene.NewID(), begun: time.Now(), replaces: replaces}
		if err := u.open(); err != nil {
			m.router.log.Error("galenepion: no peer connection", "peer", m.media.Peer, "error", err)
			m.refuse(msg.ID, "internal server error")
			return
		}
		if !m.router.publish(u) {
			m.work.Go(u.session.Discard)
			m.refuse(msg.ID, "too many streams")
			return
		}
		m.ups[msg.ID] = u
		u.session.Start()
	}
	m.router.mu.Lock()
	u.sections = sections
	u.changed()
	m.router.mu.Unlock()
	if err := u.session.Description(offer); err != nil {
		m.refuse(msg.ID, routerText(err))
	}
}

// refuse ends a stream of the member from this side, and says why.
func (m *routerMember) refuse(id, text string) {
	if u := m.ups[id]; u != nil {
		m.endUp(u)
	}
	_ = m.media.Fail(id, text) // it may have ended already
}

// upEnded takes note that the peer connection of a stream has come to an end by itself.
func (m *routerMember) upEnded(u *routerUp, cause error) {
	if m.ups[u.id] != u {
		return
	}
	if cause == nil || errors.Is(cause, ErrSignaling) {
		// The sender has closed it and says so next, or puts another stream into its
		// place, of which the server knows already.
		r := m.router
		r.mu.Lock()
		defer r.mu.Unlock()
		u.timer = time.AfterFunc(routerGrace, func() {
			m.post(func() { m.upEnded(u, ErrFailed) })
		})
		return
	}
	m.router.log.Info("galenepion: a stream ends", "peer", m.media.Peer, "stream", u.id, "error", cause)
	m.refuse(u.id, routerText(cause))
}

// endUp ends a stream of the member.
func (m *routerMember) endUp(u *routerUp) {
	if m.ups[u.id] == u {
		delete(m.ups, u.id)
	}
	m.router.unpublish(u)
	u.line.close()
	m.work.Go(u.session.Close)
}

// open makes the peer connection.
func (u *routerUp) open() (err error) {
	m := u.owner
	u.line = &routerLine{media: m.media, id: u.id}
	u.session, err = pionpeer.NewSession(pionpeer.SessionConfig{
		Name:           "galenepion",
		API:            func() (*webrtc.API, error) { return m.api, nil },
		Configuration:  m.router.opts.Configuration,
		ConnectTimeout: m.router.opts.ConnectTimeout,
		SendDescription: func(d webrtc.SessionDescription) error {
			return u.line.send(&galene.Answer{ID: u.id, SDP: d.SDP})
		},
		SendCandidate: u.line.candidate,
		OnTrack:       u.receive,
		OnFailed:      func() bool { return u.line.send(&galene.Renegotiate{ID: u.id}) == nil },
		OnError: func(err error) {
			if bad, ok := errors.AsType[*pionpeer.DescriptionError](err); ok {
				u.session.End(bad)
			}
		},
		OnEnd:  func(cause error) { m.post(func() { m.upEnded(u, cause) }) },
		Logger: m.router.log,
	})
	return err
}

// routerText returns what a member is told of an error.
func routerText(err error) string {
	switch {
	case errors.Is(err, ErrFailed):
		return "connection failed"
	case errors.Is(err, ErrConnectTimeout):
		return "not connected in time"
	case errors.Is(err, ErrClosed):
		return "the stream has ended"
	}
	for { // Pion's own text
		inner := errors.Unwrap(err)
		if inner == nil {
			return strings.ToValidUTF8(err.Error(), "\uFFFD")
		}
		err = inner
	}
}

// changed tells the other members that the stream is not as it was. Called under the lock
// of the router.
func (u *routerUp) changed() {
	for other := range u.owner.group.members {
		if other != u.owner {
			other.signal()
		}
	}
}

// layers returns the encodings of the first track of a kind, the best one first, without
// those that the sender holds back for want of a better network, unless it holds back all.
// Called under the lock of the router.
func (u *routerUp) layers(kind webrtc.RTPCodecType) []*forwardLayer {
	var all, flowing []*forwardLayer
	section := -1
	for _, t := range u.tracks { // in order
		if t.kind != kind || !u.sends(t) || section >= 0 && t.section != section {
			continue
		}
		section = t.section
		all = append(all, &t.forwardLayer)
		if !t.stalled {
			flowing = append(flowing, &t.forwardLayer)
		}
	}
	if len(flowing) > 0 {
		return flowing
	}
	return all
}

// sends reports whether the sender's last offer has a track. Called under the lock of the
// router.
func (u *routerUp) sends(t *routerTrack) bool {
	return t.section >= len(u.sections) || u.sections[t.section].sends
}

// receive is the life of a track that arrives.
func (u *routerUp) receive(remote *webrtc.TrackRemote) {
	t := u.arrived(remote)
	buf := make([]byte, 1500)
	if t == nil {
		u.owner.router.log.Warn("galenepion: too many tracks", "peer", u.owner.media.Peer, "stream", u.id)
		for {
			if _, _, err := remote.Read(buf); err != nil {
				return
			}
		}
	}
	defer u.gone(t)
	var packet rtp.Packet
	var reported time.Time
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		if packet.Unmarshal(buf[:n]) != nil {
			continue
		}
		t.write(&packet)
		if t.kind != webrtc.RTPCodecTypeVideo {
			continue
		}
		if now := time.Now(); now.Sub(reported) >= routerReport {
			reported = now
			u.watch(t, now)
			u.report(t, now)
		}
	}
}

// arrived notes a track; it returns nil when there are too many.
func (u *routerUp) arrived(remote *webrtc.TrackRemote) *routerTrack {
	mid := ""
	for _, transceiver := range u.session.PeerConnection().GetTransceivers() {
		if r := transceiver.Receiver(); r != nil && slices.Contains(r.Tracks(), remote) {
			mid = transceiver.Mid()
		}
	}
	t := &routerTrack{kind: remote.Kind(), ssrc: uint32(remote.SSRC()), heard: time.Now()}
	t.codec, t.rid = remote.Codec().RTPCodecCapability, remote.RID()
	if t.kind == webrtc.RTPCodecTypeVideo {
		t.ask = func() {
			if err := u.session.RequestKeyFrame(remote); err != nil {
				u.owner.router.log.Debug("galenepion: asking for a key frame", "stream", u.id, "error", err)
			}
		}
	}

	r := u.owner.router
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.Tracks > 0 && len(u.tracks) >= r.opts.Tracks {
		return nil
	}
	t.section = slices.IndexFunc(u.sections, func(s routerSection) bool { return s.mid == mid })
	if t.section < 0 {
		t.section = math.MaxInt
	} else if i := slices.Index(u.sections[t.section].rids, t.rid); i >= 0 {
		t.order = i
	}
	u.tracks = slices.DeleteFunc(u.tracks, func(other *routerTrack) bool {
		return other.dead && other.section == t.section && other.rid == t.rid
	})
	u.tracks = append(u.tracks, t)
	slices.SortStableFunc(u.tracks, func(a, b *routerTrack) int {
		return cmp.Or(cmp.Compare(a.section, b.section), cmp.Compare(a.order, b.order))
	})
	switch {
	case u.over:
	case u.ready || u.complete():
		u.ready = true
		u.changed()
	case u.timer == nil:
		u.timer = time.AfterFunc(routerDebounce, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			u.ready = true
			u.changed()
		})
	}
	return t
}

// complete reports whether all sections that send something have a track. Called under the
// lock of the router.
func (u *routerUp) complete() bool {
	for i, s := range u.sections {
		if s.sends && !slices.ContainsFunc(u.tracks, func(t *routerTrack) bool { return t.section == i }) {
			return false
		}
	}
	return true
}

// gone notes that a track does not arrive any more. Unless the sender has said so, its
// receivers keep what they have: another track, or another stream, may take its place.
func (u *routerUp) gone(t *routerTrack) {
	t.end()
	r := u.owner.router
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.sends(t) {
		t.dead = true
		return
	}
	u.tracks = slices.DeleteFunc(u.tracks, func(other *routerTrack) bool { return other == t })
	u.changed()
}

// watch takes note that something of t has come, and of the encodings beside it of which
// nothing comes.
func (u *routerUp) watch(t *routerTrack, now time.Time) {
	r := u.owner.router
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := t.stalled
	t.heard, t.stalled = now, false
	for _, other := range u.tracks {
		if other.section == t.section && !other.stalled && now.Sub(other.heard) >= routerSilence {
			other.stalled, changed = true, true
		}
	}
	if changed {
		u.changed()
	}
}

// report tells the sender the bit rate that the receivers of its best encoding can take:
// the slowest of them, or where a simulcast has something else for that one, the fastest.
func (u *routerUp) report(t *routerTrack, now time.Time) {
	r := u.owner.router
	r.mu.Lock()
	layers := u.layers(webrtc.RTPCodecTypeVideo)
	var ssrcs []uint32
	for _, other := range u.tracks {
		if other.kind == webrtc.RTPCodecTypeVideo {
			ssrcs = append(ssrcs, other.ssrc)
		}
	}
	r.mu.Unlock()
	if len(layers) == 0 || layers[0] != &t.forwardLayer {
		return
	}
	bits, fastest := t.limits(now)
	switch {
	case len(layers) > 1:
		bits = max(fastest, routerFairBitrate)
	case fastest == 0:
		bits = routerFairBitrate
	default:
		bits = max(bits, routerMinBitrate)
	}
	highest := uint64(math.MaxInt32)
	if r.opts.Bitrate > 0 {
		highest = uint64(r.opts.Bitrate)
	}
	// What fails here is a connection that is ending.
	_ = u.session.PeerConnection().WriteRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{
		Bitrate: float32(min(bits, highest)), SSRCs: ssrcs,
	}})
}

// A routerSection is a media section of an offer.
type routerSection struct {
	mid   string
	sends bool
	rids  []string // of the encodings, the best one first
}

// routerParse reads an offer. The error is that of the parser, or there is too much of it.
func routerParse(offer webrtc.SessionDescription) ([]routerSection, error) {
	parsed, err := offer.Unmarshal()
	if err != nil {
		return nil, err
	}
	if len(parsed.MediaDescriptions) > routerSections {
		return nil, errors.New("too many media sections")
	}
	sections := make([]routerSection, 0, len(parsed.MediaDescriptions))
	for _, media := range parsed.MediaDescriptions {
		var s routerSection
		s.mid, _ = media.Attribute("mid")
		s.sends = media.MediaName.Media != "application" && media.MediaName.Port.Value != 0
		var rids []string
		for _, a := range media.Attributes {
			name, rest, _ := strings.Cut(a.Value, " ")
			switch a.Key {
			case "recvonly", "inactive":
				s.sends = false
			case "rid":
				if strings.HasPrefix(rest, "send") {
					rids = append(rids, name)
				}
			case "simulcast":
				s.rids = routerSimulcast(a.Value)
			}
		}
		if len(s.rids) == 0 {
			s.rids = rids
		}
		if len(rids) > routerRIDs || len(s.rids) > routerRIDs {
			return nil, errors.New("too many encodings")
		}
		sections = append(sections, s)
	}
	return sections, nil
}

// routerSimulcast returns the encodings that are sent, in the order of a=simulcast.
func routerSimulcast(value string) (rids []string) {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] != "send" {
			continue
		}
		for _, rid := range strings.FieldsFunc(fields[i+1], func(c rune) bool { return c == ';' || c == ',' }) {
			rids = append(rids, strings.TrimPrefix(rid, "~"))
		}
	}
	return rids
}
