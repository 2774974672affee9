package galenehttp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

func TestLinksAreReadAsServersWriteThem(t *testing.T) {
	t.Parallel()
	turn := galene.ICEServer{URLs: []string{"turn:h"}, Username: `a"b`, Credential: `c\,;d`, CredentialType: "password"}
	tests := []struct {
		links []string
		want  []galene.ICEServer
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`<stun:h>; rel="ice-server"`}, []galene.ICEServer{{URLs: []string{"stun:h"}}}},
		{[]string{`<stun:h>;rel=ice-server`}, []galene.ICEServer{{URLs: []string{"stun:h"}}}},
		{[]string{` <stun:h> ; REL = ice-server , <x>; rel=next, <stun:i>; rel="ice-server"`},
			[]galene.ICEServer{{URLs: []string{"stun:h"}}, {URLs: []string{"stun:i"}}}},
		{[]string{`<turn:h>; rel="ice-server"; username="a\"b"; credential="c\\,;d"; credential-type="password"`},
			[]galene.ICEServer{turn}},
		{[]string{`<turn:h>; rel="ice-server"; flag; username="x"; username="y"`},
			[]galene.ICEServer{{URLs: []string{"turn:h"}, Username: "x"}}},
		{[]string{`<x>; rel="next"`, `<stun:h>; rel="ice-server"`}, []galene.ICEServer{{URLs: []string{"stun:h"}}}},
		{[]string{`stun:h; rel="ice-server"`, `<stun:h`, `<>; rel="ice-server"`}, nil},
		{[]string{`<stun:h>; rel="ice-server"; username="x\`}, []galene.ICEServer{{URLs: []string{"stun:h"}, Username: "x"}}},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, iceServers(tt.links), "%q", tt.links)
	}
	require.Equal(t, []galene.ICEServer{turn}, iceServers(iceLinks([]galene.ICEServer{turn})))
	require.Empty(t, iceLinks([]galene.ICEServer{
		{URLs: []string{"turn:h>; rel=next"}}, {URLs: []string{"turn:h\r\nX: y"}}, {URLs: []string{"turn:h"}, Username: "a\r\nX: y"},
	}))
}

func TestAFragmentIsAboutItsOfferAlone(t *testing.T) {
	t.Parallel()
	const offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=audio 9 x 96\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=mid:a\r\n" +
		"a=candidate:old\r\na=end-of-candidates\r\n"
	mid, other, none, index, far := "a", "b", "", uint16(0), uint16(7)
	f, err := NewFragment(offer, []galene.ICECandidateInit{
		{Candidate: "candidate:1", SDPMid: &mid}, {Candidate: "a=candidate:2", SDPMLineIndex: &index},
		{Candidate: "candidate:3", SDPMid: &none, SDPMLineIndex: &index},
		{Candidate: "candidate:x", SDPMid: &other}, {Candidate: "candidate:x", SDPMLineIndex: &far}, {Candidate: "candidate:x"},
		{Candidate: "", SDPMid: &mid}, {Candidate: "candidate:x\r\nm=video", SDPMid: &mid},
	})
	require.NoError(t, err)
	require.Equal(t, "a=ice-ufrag:u\r\na=ice-pwd:p\r\nm=audio 9 x 96\r\na=mid:a\r\n"+
		"a=candidate:1\r\na=candidate:2\r\na=candidate:3\r\n", f)
	_, err = NewFragment("nonsense", nil)
	require.Error(t, err)
}

func TestTheVersionOfAnOriginIsCountedUp(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"o=- 1 2 IN IP4 0.0.0.0": "o=- 1 3 IN IP4 0.0.0.0", "o=-": "o=-", "o=- 1 x IN": "o=- 1 x IN",
	} {
		require.Equal(t, want, nextVersion(origin))
	}
}

// FuzzParseGroupURL checks that the address of a group that is read leads back to it.
func FuzzParseGroupURL(f *testing.F) {
	for _, s := range []string{
		"https://h/group/lab/", "http://h:81/x/group/a%20b/c?token=t&username=u#f", "https://h/group/%2e%2e/", "https://h/group/a%2Fb/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseGroupURL(s)
		if err != nil {
			return
		}
		require.True(t, galene.ValidName(g.Name))
		same, err := ParseGroupURL(g.Link())
		require.NoError(t, err, g.Link())
		require.Equal(t, g, same)
		if g.Token != "" {
			require.Contains(t, g.Link(), "token=")
		}
		require.True(t, strings.HasPrefix(g.at(".status"), g.Base+"/group/"))
	})
}

// FuzzSDP checks that what is read is written the same, and that what is made of it can be
// read.
func FuzzSDP(f *testing.F) {
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=audio 9 x 96\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=mid:a\r\na=candidate:x\r\n",
		"a=ice-ufrag:v\r\na=ice-pwd:q\r\nm=audio 9 x 96\r\na=mid:a\r\na=candidate:y\r\n")
	f.Add("v=0\nm=audio\nm=video\n", "m=video\na=candidate:y")
	f.Fuzz(func(t *testing.T, offer, fragment string) {
		d, err := parseSDP(offer)
		if err != nil {
			return
		}
		same, err := parseSDP(d.String())
		require.NoError(t, err)
		require.Equal(t, d, same)
		_, err = parseDescription(d.fragment().String())
		require.NoError(t, err)
		of, err := parseDescription(fragment)
		if err != nil {
			return
		}
		again := d.restarted(of)
		require.Len(t, again, len(d))
		_, err = parseSDP(d.without("candidate", "end-of-candidates").String())
		require.NoError(t, err)
		require.LessOrEqual(t, strings.Count(again.String(), "\r\na=candidate:"), strings.Count(of.String(), "a=candidate:"))
	})
}

// FuzzLinks checks that no Link header confuses the reader.
func FuzzLinks(f *testing.F) {
	f.Add(`<turn:h>; rel="ice-server"; username="a\"b"; credential="c", <stun:h>; rel=ice-server`)
	f.Add(`<x>;;;a=;"`)
	f.Fuzz(func(t *testing.T, link string) {
		for _, server := range iceServers([]string{link}) {
			require.Len(t, server.URLs, 1)
			require.Contains(t, link, server.URLs[0])
		}
	})
}
