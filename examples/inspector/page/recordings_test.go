package page

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestRecordingsAreListedWithWhatIsInThem(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene", Open: []*capture.File{conversation()}})
	journal.Add(chat("one"))
	journal.Add(chat("two"))
	require.Equal(t, []summary{
		{ID: "live", Name: "live", Protocol: "galene", Live: true, Entries: 2, Arrows: 2},
		{ID: "1", Name: "recording 1", Protocol: "galene", Entries: 6, Arrows: 6, Problems: 1},
	}, get[[]summary](r, "/api/recordings"))
	require.Equal(t, []string{"cuttlefish", "mse", "galene", "easyrtc", "mediasoup"}, get[[]string](r, "/api/protocols"))
}

func TestAFileIsAddedAndRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	require.Empty(t, get[[]summary](r, "/api/recordings"))
	id := r.add("name=first.jsonl", written(t, conversation()))
	require.Equal(t, []summary{{ID: id, Name: "first.jsonl", Protocol: "galene", Entries: 6, Arrows: 6, Problems: 1}},
		get[[]summary](r, "/api/recordings"))
	other := r.add("", written(t, conversation()))
	require.NotEqual(t, id, other)

	resp, _ := r.ask("DELETE", "/api/recordings/"+id, "")
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	all := get[[]summary](r, "/api/recordings")
	require.Len(t, all, 1)
	require.Equal(t, other, all[0].ID)
	require.NotEqual(t, id, r.add("", written(t, conversation())), "an id is not given twice")
}

func TestTheProtocolOfAFileIsFound(t *testing.T) {
	t.Parallel()
	unnamed := conversation()
	unnamed.Protocol = ""
	note := &capture.File{Entries: []capture.Entry{{Seq: 1, Kind: capture.Note, Reason: "nothing to tell it by"}}}
	protocol := func(r *rig, query string, f *capture.File) string {
		id := r.add(query, written(t, f))
		for _, s := range get[[]summary](r, "/api/recordings") {
			if s.ID == id {
				return s.Protocol
			}
		}
		return ""
	}
	r := newRig(t, nil)
	named := conversation()
	named.Protocol = "easyrtc"
	require.Equal(t, "easyrtc", protocol(r, "", named), "the file says so")
	require.Equal(t, "mse", protocol(r, "protocol=mse", conversation()), "it was asked for")
	require.Equal(t, "galene", protocol(r, "", unnamed), "its messages say so")
	require.Contains(t, r.refused("", written(t, note)), "protocol")
	require.Contains(t, r.refused("protocol=nonsense", written(t, conversation())), `no protocol "nonsense"`)
	require.Equal(t, "easyrtc", protocol(newRig(t, &Options{Protocol: "easyrtc"}), "", note), "all here is of it")
}

func TestNamesAreFitToBeShown(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add("name="+strings.Repeat("%E2%82%AC", 300), written(t, conversation()))
	r.add("name=%20a%00b%0Ac%FF%20", written(t, conversation()))
	r.add("name=%0A", written(t, conversation()))
	all := get[[]summary](r, "/api/recordings")
	require.Equal(t, strings.Repeat("€", maxName), all[0].Name)
	require.Equal(t, "abc", all[1].Name)
	require.Equal(t, "recording "+all[2].ID, all[2].Name)
	resp, _ := r.ask("GET", "/api/recordings/"+all[0].ID+"/export", "")
	require.Regexp(t, `^attachment; filename="[a-z0-9.-]+"$`, resp.Header.Get("Content-Disposition"))
}

func TestGarbageIsNoRecording(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	whole := written(t, conversation())
	for _, garbage := range []string{
		"", "\n", "{", "[]", "null", "\x00\xff\xfe", "<!doctype html>", `{"inspector":1}` + "\n{", whole[:len(whole)/2],
		strings.Repeat("[", 1<<20), `{"inspector":99}`,
	} {
		r.refused("protocol=galene", garbage)
	}
	require.Empty(t, get[[]summary](r, "/api/recordings"))
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	file := written(t, conversation())
	for limit, status := range map[int]int{len(file): http.StatusCreated, len(file) - 1: http.StatusBadRequest} {
		s := newShelf(&Options{})
		s.maxFile = int64(limit)
		w := httptest.NewRecorder()
		s.add(w, httptest.NewRequest("POST", "/api/recordings", strings.NewReader(file)))
		require.Equal(t, status, w.Code, w.Body)
	}
}

func TestFilesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	s := newShelf(&Options{})
	_, err := s.put(conversation(), "", "", maxKept-1<<20)
	require.NoError(t, err)
	_, err = s.put(conversation(), "", "", 1<<20) // and what its arrows take
	require.ErrorContains(t, err, "remove some")
	_, err = s.put(conversation(), "", "", 1)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("DELETE", "/api/recordings/1", nil)
	r.SetPathValue("id", "1")
	s.remove(w, r)
	require.Equal(t, http.StatusNoContent, w.Code)
	_, err = s.put(conversation(), "", "", maxKept-1<<20)
	require.NoError(t, err)
}

func TestAnArrowHasItsDetails(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	type details struct {
		Arrow  struct{ Name, Conn, From string }
		Detail struct {
			Type, Raw string
			Decoded   map[string]any
		}
	}
	d := get[details](r, "/api/recordings/1/arrows/4")
	require.Equal(t, "join", d.Arrow.Name)
	require.Equal(t, "client", d.Arrow.From)
	require.Equal(t, "*galene.Join", d.Detail.Type)
	require.Equal(t, "u", d.Detail.Decoded["username"])
	require.NotContains(t, d.Detail.Raw, "hunter2")
}

func TestSecretsAreShownOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	for _, secrets := range []bool{false, true} {
		r := newRig(t, &Options{Open: []*capture.File{conversation()}, Secrets: secrets})
		_, detail := r.ask("GET", "/api/recordings/1/arrows/4", "")
		require.Equal(t, secrets, strings.Contains(detail, "hunter2"))
		_, file := r.ask("GET", "/api/recordings/1/export", "")
		require.Equal(t, secrets, strings.Contains(file, "hunter2"))
		_, arrows := r.ask("GET", "/api/recordings/1/arrows", "")
		require.Equal(t, secrets, strings.Contains(arrows, "hunter2"), "they are in addresses")
	}
}

func TestAnExportIsTheSameRecordingAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, &Options{Open: []*capture.File{conversation()}})
	resp, file := r.ask("GET", "/api/recordings/1/export", "")
	require.Equal(t, `attachment; filename="galene-recording-1.jsonl"`, resp.Header.Get("Content-Disposition"))
	id := r.add("", file)
	require.Equal(t, r.stream("1").next().data, r.stream(id).next().data, "what is masked is still read as what it was")
	f, err := capture.Read(strings.NewReader(file))
	require.NoError(t, err)
	require.Equal(t, "ws://127.0.0.1:8443", f.Target)
	require.JSONEq(t, strings.Replace(secretJoin, "hunter2", "*******", 1), string(f.Entries[3].Data))
}

func TestAnExportOfWhatComesInEndsWithWhatIsThere(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	for range 3 {
		journal.Add(chat("x"))
	}
	_, file := r.ask("GET", "/api/recordings/live/export", "")
	f, err := capture.Read(strings.NewReader(file))
	require.NoError(t, err)
	require.Len(t, f.Entries, 3)
}

func TestClearingLeavesTheStatesOfConnections(t *testing.T) {
	t.Parallel()
	journal := capture.NewJournal(nil)
	r := newRig(t, &Options{Live: journal, Protocol: "galene"})
	for _, e := range conversation().Entries[:4] {
		journal.Add(e)
	}
	resp, _ := r.ask("DELETE", "/api/recordings/live", "")
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Equal(t, summary{ID: "live", Name: "live", Protocol: "galene", Live: true},
		get[[]summary](r, "/api/recordings")[0])
	_, file := r.ask("GET", "/api/recordings/live/export", "")
	f, err := capture.Read(strings.NewReader(file))
	require.NoError(t, err)
	require.Empty(t, f.Entries)

	journal.Add(capture.Entry{Conn: "1", Kind: capture.Message, From: capture.Client, Data: []byte(`{"type":"ping"}`)})
	now := get[[]summary](r, "/api/recordings")[0]
	require.Equal(t, 1, now.Entries)
	require.Contains(t, r.stream("live").next().data, `"client":"joining"`, "it joined before")
}

func TestARecordingWithoutAProtocolIsLeftOut(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRig(t, &Options{Open: []*capture.File{{}, conversation()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.Len(t, get[[]summary](r, "/api/recordings"), 1)
	require.Contains(t, log.String(), "number=1")
}

func TestALiveRecordingNeedsAProtocol(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, `page: there is no protocol "x"`, func() {
		New(&Options{Live: capture.NewJournal(nil), Protocol: "x"})
	})
}
