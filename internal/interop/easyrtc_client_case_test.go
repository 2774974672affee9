package interop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An easyrtcCase is what one connection says, and what the server of open-easyrtc 2.1.8
// answers.
type easyrtcCase struct {
	name string
	// says are packets of Socket.IO, one a line; after the line "wait" the answers come before
	// what follows. In the application of the case, APP, there is another client in the room
	// "den", which is called OTHER; FAR is in another room, and ALIEN in another application.
	// A packet of a member comes from a client that is logged in, as SELF, and in the rooms
	// "den" and "hall".
	says string
	// want are the answers with " | " between them, and behind "OTHER:" and the like what the
	// others hear; "" for a server that is not asked.
	want string
}

// silence is when nobody hears anything.
const silence = "silence"

// easyrtcCaseSetup is that of the servers that answer cases: nobody joins the room "closed".
var easyrtcCaseSetup = easyrtcSetup{refuse: []string{"closed"}}

// answer returns what is said in a case, which should be as much as want.
func (s *easyrtcServer) answer(t *testing.T, n int, c easyrtcCase, want string, member bool) string {
	t.Helper()
	app := fmt.Sprint("app", n)
	says := runs(c.says)
	cast := easyrtcCast{"OTHER": s.raw(t)}
	cast["OTHER"].login(app, "other", "den")
	if strings.Contains(says, "FAR") {
		cast["FAR"] = s.raw(t)
		cast["FAR"].login(app, "far", "far")
	}
	if strings.Contains(says, "ALIEN") {
		cast["ALIEN"] = s.raw(t)
		cast["ALIEN"].login("alien", "alien", "den")
	}
	self := s.raw(t)
	if member {
		self.login(app, "self", "den", "hall")
	}
	cast["SELF"] = self
	for name := range cast {
		cast.heard(name, 0)
	}
	count := make(map[string]int) // of lines that should be heard
	for line := range strings.SplitSeq(want, " | ") {
		name, _, ok := strings.Cut(line, ": ")
		if !ok || cast[name] == nil {
			name = "SELF"
		}
		count[name]++
	}
	says = strings.ReplaceAll(says, "APP", app)
	for name, r := range cast {
		if r.id != "" {
			says = strings.ReplaceAll(says, name, r.id)
		}
	}
	var lines []string
	for packet := range strings.SplitSeq(says, "\n") {
		if packet == "wait" {
			lines = append(lines, cast.heard("SELF", 0)...)
			continue
		}
		self.say(packet)
	}
	if want == silence {
		count["SELF"] = 0
	}
	lines = append(lines, cast.heard("SELF", count["SELF"]-len(lines))...)
	for _, name := range []string{"OTHER", "FAR", "ALIEN"} {
		if cast[name] == nil {
			continue
		}
		for _, line := range cast.heard(name, count[name]) {
			lines = append(lines, name+": "+line)
		}
	}
	return cmp.Or(strings.ReplaceAll(strings.Join(lines, " | "), app, "APP"), silence)
}

// expected returns what the server should answer.
func (s *easyrtcServer) expected(c easyrtcCase) string {
	switch d := easyrtcDeviations[c.name]; {
	case s.real == nil && d.ours != "":
		return d.ours
	case s.is(easyrtc2017) && c.name == "stillAlive":
		return "7 ack"
	case s.is(easyrtc2017): // the others hear of a login once
		return strings.Join(slices.CompactFunc(strings.Split(c.want, " | "), func(a, b string) bool {
			return a == b && strings.HasPrefix(a, "OTHER: easyrtcCmd roomData")
		}), " | ")
	}
	return c.want
}

// answerCases puts cases to real servers and to ours.
func answerCases(t *testing.T, cases []easyrtcCase, member bool, versions ...easyrtcVersion) {
	t.Helper()
	onEasyRTC(t, easyrtcCaseSetup, versions, func(t *testing.T, s *easyrtcServer) {
		for n, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				want := s.expected(c)
				if want == "" {
					t.Skip(easyrtcDeviations[c.name].why)
				}
				require.Equal(t, want, s.answer(t, n, c, want, member), c.says)
			})
		}
	})
}

// TestEasyRTCDeviationsAreOfCases demands that each deviation has its case, and is one.
func TestEasyRTCDeviationsAreOfCases(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, cases := range [][]easyrtcCase{
		easyrtcLogins, easyrtcStrangers, easyrtcCommands, easyrtcMessages, easyrtcPackets,
	} {
		for _, c := range cases {
			require.False(t, seen[c.name], "two cases are called %q", c.name)
			seen[c.name] = true
			d, ok := easyrtcDeviations[c.name]
			require.True(t, ok || c.want != "", c.name)
			if ok {
				require.NotEqual(t, c.want, d.ours, c.name)
				require.NotEmpty(t, d.why, c.name)
			}
		}
	}
	for name := range easyrtcDeviations {
		require.True(t, seen[name], "no case is called %q", name)
	}
}

func TestEasyRTCLoginsAreAnsweredAlike(t *testing.T) {
	answerCases(t, easyrtcLogins, false, easyrtc218, easyrtc2017)
}

func TestEasyRTCCommandsAreAnsweredAlike(t *testing.T) {
	answerCases(t, easyrtcCommands, true, easyrtc218, easyrtc2017)
}

func TestEasyRTCMessagesAreAnsweredAlike(t *testing.T) {
	answerCases(t, easyrtcMessages, true, easyrtc218, easyrtc2017)
}

func TestEasyRTCPacketsAreAnsweredAlike(t *testing.T) {
	answerCases(t, easyrtcPackets, true, easyrtc218)
}

func TestEasyRTCStrangersAreAnsweredAlike(t *testing.T) {
	answerCases(t, easyrtcStrangers, false, easyrtc218)
}

// inTurn are packets one after the other.
func inTurn(packets ...string) string { return strings.Join(packets, "\n") }

// asksOn is a command that a connection that is well gets an answer to.
const asksOn = `28["easyrtcCmd",{"msgType":"getIceConfig"}]`

// second is a packet with another id.
func second(packet string) string { return strings.Replace(packet, "27[", "28[", 1) }

func authOf(data string) string {
	return `27["easyrtcAuth",{"msgType":"authenticate","msgData":` + data + `}]`
}

// loginWith is a login to the application of the case.
func loginWith(members string) string {
	return authOf(`{"apiVersion":"1","applicationName":"APP"` + members + `}`)
}

func commandOf(typ, members string) string {
	return `27["easyrtcCmd",{"msgType":"` + typ + `"` + members + `}]`
}

func messageOf(typ, members string) string {
	return `27["easyrtcMsg",{"msgType":"` + typ + `"` + members + `}]`
}
