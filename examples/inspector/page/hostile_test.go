package page

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
)

// crowded is a body with as many packets as it can have.
func crowded() capture.Entry {
	return capture.Entry{
		Conn: "1", Kind: capture.Response, From: capture.Server, Method: "GET", Status: 200,
		URL: "/socket.io/?EIO=4&transport=polling&sid=s", Data: []byte(strings.Repeat("2\x1e", 9_999) + "2"),
	}
}

func TestManyPacketsInFewBytesDoNotTakeAllMemory(t *testing.T) {
	t.Parallel()
	p, err := explain.Find("easyrtc")
	require.NoError(t, err)
	r := newRecording(liveID, "live", p, false)
	r.live, r.limit = capture.NewJournal(nil), 8<<20
	var first weak.Pointer[explain.Detail]
	for i := range 20 {
		r.live.Add(crowded())
		s := r.summary()
		require.LessOrEqual(t, r.weight, r.limit)
		require.Positive(t, s.Arrows)
		if i == 0 {
			a, ok := r.arrow(10_000)
			require.True(t, ok)
			first = weak.Make(a.Detail)
		}
	}
	sum := 0
	for _, a := range r.arrows {
		sum += weigh(&a)
	}
	require.Equal(t, sum, r.weight)
	require.Equal(t, 200_000, r.arrows[len(r.arrows)-1].Number)
	got := r.after(position{life: r.life}, 10)
	require.Equal(t, r.arrows[0].Number, got.oldest)
	require.Equal(t, got.oldest, got.arrows[0].Number)
	runtime.GC()
	require.Nil(t, first.Value(), "what has gone is not held")
	runtime.KeepAlive(r)

	file := newRecording("1", "file", p, false)
	file.limit = 8 << 20
	require.True(t, file.take([]capture.Entry{crowded()}))
	require.False(t, file.take([]capture.Entry{crowded(), crowded(), crowded()}))
}

func TestAFileThatIsATrapIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, file := range map[string]string{
		"deep":      `{"inspector":1}` + "\n" + `{"kind":"note","header":` + strings.Repeat(`{"a":`, 100_000),
		"a name":    `{"inspector":1,"` + strings.Repeat("x", 1<<20) + `":1}` + "\n" + `{`,
		"no end":    `{"inspector":1}` + strings.Repeat(" ", capture.MaxLine),
		"twice":     `{"inspector":1,"inspector":1}`,
		"no UTF-8":  "{\"inspector\":1}\n{\"kind\":\"note\",\"reason\":\"\xff\"}",
		"a version": `{"inspector":1e999}`,
		"negative":  `{"inspector":1}` + "\n" + `{"kind":"message","cut":-1}`,
	} {
		require.NotEmpty(t, r.refused("protocol=mse&name="+name[:1], file), name)
	}
	hostile := `"><img src=x onerror=alert(1)>` + "\u202e\u0000\r\nX: y"
	id := r.add("protocol=mse&name=..%2F..%2F%0d%0aX:%20y%22%3Cb%3E",
		`{"inspector":1,"target":"javascript:x"}`+"\n"+fmt.Sprintf(`{"kind":"note","conn":%q,"reason":%[1]q}`, "<b>")+"\n")
	resp, text := r.ask("GET", "/api/recordings/"+id+"/export", "")
	require.Equal(t, `attachment; filename="mse-X--y--b.jsonl"`, resp.Header.Get("Content-Disposition"))
	require.Empty(t, resp.Header.Get("X"))
	require.Contains(t, text, "<b>", "JSON lines are no page: see the type")
	require.Equal(t, "application/jsonl", resp.Header.Get("Content-Type"))
	require.NotContains(t, nameOf(hostile), "\n")
}
