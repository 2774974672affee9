package explain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func titles(folds []Fold) []string {
	var titles []string
	for _, f := range folds {
		titles = append(titles, f.Title)
	}
	return titles
}

func TestDescriptionsAndCandidatesAreFoldedWhereverTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value, sdp string
		want             []string
	}{
		{"the type beside it", `{"type":"answer","sdp":"v=0\r\nm=audio 9 x\r\nm=video 0 x\r\n"}`, "",
			[]string{"SDP answer: audio, video (rejected)"}},
		{"the type is known", `{"id":"1","sdp":"v=0\nm=application 9 x"}`, "offer", []string{"SDP offer: application"}},
		{"no type", `{"x":[{"y":"v=0"}]}`, "", []string{"SDP: no media"}},
		{"deep", `{"a":{"b":[{"type":"offer","sdp":"v=0\nm=audio 9 x"}]}}`, "", []string{"SDP offer: audio"}},
		{"a string", `"v=0\nm=audio 9 x"`, "offer", []string{"SDP offer: audio"}},
		{"a candidate", `{"candidate":{"candidate":"candidate:1 1 UDP 1 192.0.2.1 5000 typ host","sdpMid":"0"}}`, "",
			[]string{"candidate: host udp 192.0.2.1:5000"}},
		{"of IPv6", `{"candidate":"candidate:1 1 tcp 1 2001:db8::1 9 typ srflx"}`, "",
			[]string{"candidate: srflx tcp [2001:db8::1]:9"}},
		{"with a mark", `{"x":"a=candidate:1 1 udp 1 a.local 9 typ host"}`, "", []string{"candidate: host udp a.local:9"}},
		{"the end", `{"candidate":{"candidate":"","sdpMLineIndex":0}}`, "", []string{"candidate: end of candidates"}},
		{"no candidate", `{"candidate":"nonsense"}`, "", []string{"candidate"}},
		{"null", `{"candidate":null,"sdp":null}`, "", nil},
		{"nothing", `{"a":1,"b":"c"}`, "", nil},
		{"no JSON", `{"a":`, "", nil},
	} {
		require.Equal(t, c.want, titles(foldsOf([]byte(c.value), c.sdp)), c.name)
	}
}

func TestACandidateIsShownWithItsSection(t *testing.T) {
	t.Parallel()
	folds := foldsOf([]byte(`{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","sdpMid":"0","sdpMLineIndex":1}`), "")
	require.Equal(t, []Fold{{
		Title: "candidate: host udp 192.0.2.1:5",
		Text:  "candidate:1 1 udp 1 192.0.2.1 5 typ host\nsdpMid: 0\nsdpMLineIndex: 1",
	}}, folds)
}

func TestLongMembersAreFoldedInLines(t *testing.T) {
	t.Parallel()
	long := `{"codecs":[` + strings.Repeat(`{"mimeType":"audio/opus"},`, 5) + `{}]}`
	folds := foldsOf([]byte(`{"rtpParameters":`+long+`,"dtlsParameters":{"role":"auto"},"other":`+long+`}`), "")
	require.Equal(t, []string{"rtpParameters"}, titles(folds), "short ones and others are not")
	require.Greater(t, strings.Count(folds[0].Text, "\n"), 10)
}

func TestFoldsAreBounded(t *testing.T) {
	t.Parallel()
	require.Len(t, foldsOf([]byte("["+strings.Repeat(`"v=0",`, 5*maxFolds)+`"v=0"]`), ""), maxFolds)
	require.Empty(t, foldsOf([]byte(strings.Repeat("[", 10*maxFoldDepth)+`"v=0"`+strings.Repeat("]", 10*maxFoldDepth)), ""))
	fold := sdpFold("offer", "v=0\n"+strings.Repeat("m="+strings.Repeat("x", 1000)+" 9 y\n", 1000))
	require.Less(t, len(fold.Title), 300)
	require.Contains(t, sdpFold("", "v=0\n"+strings.Repeat("m=audio 9 y\n", 20)).Title, "12 more")
}
