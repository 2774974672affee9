package explain

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestGaleneDiagrams(t *testing.T) {
	t.Parallel()
	compareDiagrams(t, "galene")
}

// The traces are of five servers. Every problem in them is a true one.
func TestGaleneProblemsOfAllTraces(t *testing.T) {
	t.Parallel()
	compareProblems(t, "galene", "galene/testdata/traces/*/*.jsonl")
}

// illegal returns the problems of arrows that are about a state.
func illegal(arrows []Arrow) []string {
	var found []string
	for _, a := range arrows {
		for _, p := range a.Problems {
			if p.Kind == Illegal {
				found = append(found, a.Name+": "+p.Text)
			}
		}
	}
	return found
}

// statesOf returns where both sides stand after an arrow.
func statesOf(a Arrow) string { return a.Client + " | " + a.Server }

func TestAGaleneClientNeedNotWaitForAnswers(t *testing.T) {
	t.Parallel()
	arrows := explained(t, "galene", numbered([]capture.Entry{
		opened("1", "/ws"),
		message("1", capture.Client, `{"type":"handshake","version":["2"],"id":"a"}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u"}`),
		message("1", capture.Client, `{"type":"request","request":{"":["audio"]}}`),
		message("1", capture.Client, `{"type":"chat","value":"hello","username":"u"}`),
		message("1", capture.Server, `{"type":"handshake","version":["2"]}`),
		message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","username":"u"}`),
	}))
	require.Empty(t, illegal(arrows))
	require.Equal(t, "joining | ready", statesOf(arrows[5]))
	require.Equal(t, "joined | joined", statesOf(arrows[6]))
}

func TestAGaleneClientThatWasRefusedIsInNoGroup(t *testing.T) {
	t.Parallel()
	arrows := explained(t, "galene", numbered([]capture.Entry{
		opened("1", "/ws"),
		message("1", capture.Client, `{"type":"handshake","version":["2"],"id":"a"}`),
		message("1", capture.Server, `{"type":"handshake","version":["2"]}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u"}`),
		message("1", capture.Server, `{"type":"joined","kind":"fail","group":"g","error":"need-username","value":"username required"}`),
		message("1", capture.Client, `{"type":"request","request":{"":["audio"]}}`),
	}))
	require.Equal(t, "ready | ready", statesOf(arrows[4]))
	require.Equal(t, []Problem{{Refused, "need-username: username required"}}, arrows[4].Problems)
	require.Equal(t, []string{"request: galene: cannot send request while ready (only while joined)"}, illegal(arrows))
}

func TestAGaleneConnectionThatIsOpenedAgainBeginsAnew(t *testing.T) {
	t.Parallel()
	once := []capture.Entry{
		message("1", capture.Client, `{"type":"handshake","version":["2"],"id":"a"}`),
		message("1", capture.Server, `{"type":"handshake","version":["2"]}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u"}`),
		message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","username":"u"}`),
		closed("1", capture.Server, 1006, ""),
	}
	entries := append(append([]capture.Entry{opened("1", "/ws")}, once...), once...)
	arrows := explained(t, "galene", numbered(entries))
	require.Empty(t, illegal(arrows))
	require.Equal(t, "closed | closed", statesOf(arrows[5]))
	require.Equal(t, "handshaking | ready", statesOf(arrows[6]))
}

// What was sent may have crossed an answer that forbids it: only what was wrong when it was
// sent is told.
func TestGaleneMessagesThatCrossAreNoProblem(t *testing.T) {
	t.Parallel()
	joined := []capture.Entry{
		opened("1", "/ws"),
		message("1", capture.Client, `{"type":"handshake","version":["2"],"id":"a"}`),
		message("1", capture.Server, `{"type":"handshake","version":["2"]}`),
		message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u"}`),
		message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","username":"u"}`),
		message("1", capture.Server, `{"type":"close","id":"never"}`),
		message("1", capture.Server, `{"type":"ice","id":"s","candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host"}}`),
		message("1", capture.Server, `{"type":"offer","id":"s","sdp":"v=0"}`),
		message("1", capture.Server, `{"type":"close","id":"s"}`),
		message("1", capture.Client, `{"type":"answer","id":"s","sdp":"v=0"}`),
		message("1", capture.Client, `{"type":"requestStream","id":"s","request":["audio"]}`),
		message("1", capture.Client, `{"type":"renegotiate","id":"s"}`),
		message("1", capture.Client, `{"type":"close","id":"unknown"}`),
	}
	require.Empty(t, illegal(explained(t, "galene", numbered(joined))))
}

// Only those of today's server are sure to refuse the shapes of version 1.
func TestGaleneShapesOfVersion1AreUnreadableForServersOfVersion2(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		handshake string
		want      int
	}{
		{`{"type":"handshake","version":["2"]}`, 1},
		{`{"type":"handshake","version":["1"]}`, 0},
		{`{"type":"handshake"}`, 0},
	} {
		arrows := explained(t, "galene", numbered([]capture.Entry{
			opened("1", "/ws"),
			message("1", capture.Client, `{"type":"handshake","id":"a"}`),
			message("1", capture.Server, c.handshake),
			message("1", capture.Client, `{"type":"join","kind":"join","group":"g","username":"u"}`),
			message("1", capture.Server, `{"type":"joined","kind":"join","group":"g","username":"u"}`),
			message("1", capture.Client, `{"type":"request","request":{"audio":true}}`),
		}))
		require.Len(t, arrows[5].Problems, c.want, c.handshake)
		require.NotNil(t, arrows[5].Detail.Decoded)
	}
}
