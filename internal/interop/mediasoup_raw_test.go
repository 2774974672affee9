package interop

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mediasoupCase is what one connection says, and what mediasoup 2.6.19 answers.
type mediasoupCase struct {
	name string
	// says are lines: "? " and a request of mediasoup's, "! " and a notification, both in
	// JSON, or a frame as it stands; after the line "wait" the answers come before what
	// follows. The ids of requests are 1, 2 and so on. Lines with "OTHER: " are said by
	// somebody else.
	//
	// They are said by SELF, of whom OTHER knows. A member has the transports 1, to send,
	// and 2, to receive, and the consumer C1 of an audio producer of OTHER; OTHER has the
	// transport 3 and the producer 4. If SPY is mentioned, there is one, with the
	// transport 5.
	says string
	// want are the answers with " | " between them, and behind "OTHER: " and the like what
	// the others hear.
	want string
}

// mediasoupDeviation is how our server differs from mediasoup 2.6.19 on purpose.
type mediasoupDeviation struct {
	why  string
	ours string // what our server answers
}

// A mediasoupCast is who takes part in a case, by the names in it.
type mediasoupCast map[string]*rawMediasoup

// enter lets a peer join and open a transport of its own for the test.
func (r *rawMediasoup) enter(spy bool) {
	r.t.Helper()
	r.asks(fmt.Sprintf(`{"method":"join","target":"room","peerName":%q,"spy":%t,"rtpCapabilities":%s}`,
		r.name, spy, mediasoupCaps))
	r.transport(markTransport+r.number(), "recv")
}

func (r *rawMediasoup) transport(id int, direction string) {
	r.t.Helper()
	dtls := ""
	if direction == "send" {
		dtls = `,"dtlsParameters":` + mediasoupDTLS
	}
	r.asks(fmt.Sprintf(`{"method":"createTransport","target":"peer","id":%d,"direction":%q,"options":{}%s}`,
		id, direction, dtls))
}

// answer returns what is said in a case, which should be as much as want.
func (s *eitherMediasoup) answer(t *testing.T, room string, c mediasoupCase, want string, member bool) string {
	t.Helper()
	cast := mediasoupCast{"OTHER": s.raw(t, room, "OTHER")}
	cast["OTHER"].enter(false)
	cast["OTHER"].transport(3, "send")
	cast["OTHER"].asks(producerOf(4, 3, mediasoupAudio))
	if strings.Contains(c.says, "SPY") {
		cast["SPY"] = s.raw(t, room, "SPY")
		cast["SPY"].enter(true)
		cast["SPY"].transport(5, "send")
	}
	self := s.raw(t, room, "SELF")
	cast["SELF"] = self
	if member {
		self.enter(false)
		self.transport(1, "send")
		self.transport(2, "recv")
		for _, r := range cast {
			for _, frame := range r.replies(0) {
				r.short(frame)
			}
		}
	}
	count := make(map[string]int) // of lines that should be heard
	for line := range strings.SplitSeq(want, " | ") {
		name, _, ok := strings.Cut(line, ": ")
		if !ok || cast[name] == nil {
			name = "SELF"
		}
		count[name]++
	}
	if want == silence || want == "" {
		count["SELF"] = 0
	}
	var lines []string
	hear := func(name string, many int) {
		r := cast[name]
		var heard []string
		for _, frame := range r.replies(many) {
			heard = append(heard, r.short(frame))
		}
		for _, line := range answersInOrder(heard) {
			if name != "SELF" {
				line = name + ": " + line
			}
			lines = append(lines, line)
		}
	}
	for i, line := range strings.Split(runs(c.says), "\n") {
		if line == "wait" {
			hear("SELF", 0)
			continue
		}
		r := self
		if name, rest, ok := strings.Cut(line, ": "); ok && cast[name] != nil {
			r, line = cast[name], rest
		}
		r.say(frameOfLine(r.spelled(line), i+1))
	}
	hear("SELF", count["SELF"]-len(lines))
	for _, name := range []string{"OTHER", "SPY"} {
		if cast[name] != nil {
			hear(name, count[name])
		}
	}
	return cmp.Or(runsInShort(strings.Join(lines, " | ")), silence)
}

var mediasoupAnswer = regexp.MustCompile(`^(\d+) (ok\b|\d+ )`)

// answersInOrder returns what was heard with the answers in the order of their requests: in
// which they come is nobody's promise.
func answersInOrder(heard []string) []string {
	var answers []string
	for _, line := range heard {
		if mediasoupAnswer.MatchString(line) {
			answers = append(answers, line)
		}
	}
	slices.SortStableFunc(answers, func(a, b string) int {
		m, _ := strconv.Atoi(mediasoupAnswer.FindStringSubmatch(a)[1])
		n, _ := strconv.Atoi(mediasoupAnswer.FindStringSubmatch(b)[1])
		return cmp.Compare(m, n)
	})
	for i, line := range heard {
		if mediasoupAnswer.MatchString(line) {
			heard[i], answers = answers[0], answers[1:]
		}
	}
	return heard
}

// answerMediasoupCases puts cases to the real server and to ours.
func answerMediasoupCases(t *testing.T, cases []mediasoupCase, member bool) {
	t.Helper()
	onMediasoup(t, []string{overProtoo}, func(t *testing.T, s *eitherMediasoup) {
		for n, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				want := c.want
				if d, ok := mediasoupDeviations[c.name]; ok && s.real == nil {
					want = d.ours
				}
				require.Equal(t, want, s.answer(t, fmt.Sprint("case", n), c, want, member), c.says)
			})
			if s.real != nil { // whose transports close with those of the same id in other rooms
				s.real.awaitNoRoom()
			}
		}
	})
}

// TestMediasoupDeviationsAreOfCases demands that each deviation has its case, and is one.
func TestMediasoupDeviationsAreOfCases(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, cases := range [][]mediasoupCase{
		mediasoupJoins, mediasoupFrames, mediasoupTransports, mediasoupProducers, mediasoupConsumers,
		mediasoupNotifications,
	} {
		for _, c := range cases {
			require.False(t, seen[c.name], "two cases are called %q", c.name)
			seen[c.name] = true
			require.NotEmpty(t, c.want, c.name)
			if d, ok := mediasoupDeviations[c.name]; ok {
				require.NotEqual(t, c.want, d.ours, c.name)
				require.NotEmpty(t, d.why, c.name)
			}
		}
	}
	for name := range mediasoupDeviations {
		require.True(t, seen[name], "no case is called %q", name)
	}
}

func TestMediasoupJoinsAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupJoins, false)
}

func TestMediasoupFramesAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupFrames, true)
}

func TestMediasoupTransportsAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupTransports, true)
}

func TestMediasoupProducersAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupProducers, true)
}

func TestMediasoupConsumersAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupConsumers, true)
}

func TestMediasoupNotificationsAreAnsweredAlike(t *testing.T) {
	answerMediasoupCases(t, mediasoupNotifications, true)
}

// producerOf is a request for a producer.
func producerOf(id, transport int, parameters string) string {
	kind := "audio"
	if parameters == mediasoupVideo {
		kind = "video"
	}
	return fmt.Sprintf(`{"method":"createProducer","target":"peer","id":%d,"kind":%q,"transportId":%d,"rtpParameters":%s}`,
		id, kind, transport, parameters)
}

// ofSound, ofPictures and joining are requests with changes.
func ofSound(changes ...string) string {
	return "? " + patched(producerOf(10, 1, mediasoupAudio), changes...)
}

func ofPictures(changes ...string) string {
	return "? " + patched(producerOf(11, 1, mediasoupVideo), changes...)
}

func joining(changes ...string) string {
	return "? " + patched(`{"method":"join","target":"room","peerName":"SELF","spy":false,"rtpCapabilities":`+
		mediasoupCaps+`}`, changes...)
}

// transporting is a request for a transport.
func transporting(id int, changes ...string) string {
	return "? " + patched(fmt.Sprintf(
		`{"method":"createTransport","target":"peer","id":%d,"direction":"recv","options":{}}`, id), changes...)
}

// asking and telling are a request and a notification; members begin with a comma.
func asking(method, members string) string {
	return fmt.Sprintf(`? {"method":%q,"target":"peer"%s}`, method, members)
}

func telling(method, members string) string {
	return fmt.Sprintf(`! {"method":%q,"target":"peer","notification":true%s}`, method, members)
}

// What is often said.
const (
	toldOfSound    = `OTHER: newConsumer {"id":"C1","kind":"audio","peerName":"SELF","rtpParameters":"100 1 stream"}`
	toldOfPictures = `OTHER: newConsumer {"id":"C1","kind":"video","peerName":"SELF",` +
		`"rtpParameters":"101,102 3 stream+rtx"}`
	peersOfOther = `ok {"peers":[{"consumers":[{"id":"C1","kind":"audio","peerName":"OTHER",` +
		`"rtpParameters":"100 1 stream"}],"name":"OTHER"}]}`
	toldOfSelf     = `OTHER: newPeer {"consumers":[],"name":"SELF"}`
	openAuto       = `ok {"dtlsParameters":"auto","iceCandidates":"udp tcp","iceParameters":"ICE"}`
	openClient     = `ok {"dtlsParameters":"client","iceCandidates":"udp tcp","iceParameters":"ICE"}`
	openServer     = `ok {"dtlsParameters":"server","iceCandidates":"udp tcp","iceParameters":"ICE"}`
	renewed        = `ok {"iceParameters":"ICE"}`
	enabledAsUsual = `ok {"effectiveProfile":null,"paused":false,"preferredProfile":"default"}`
	plainOpen      = `ok {"plainRtpParameters":"an address"}`
)
