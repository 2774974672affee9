package interop

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/inspector/page"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// lanesTrace has a number of clients, c0 and so on, whose users have names of their own.
func lanesTrace(clients int) string {
	var g galeneTrace
	for i := range clients {
		client, user, ms := fmt.Sprint("c", i), fmt.Sprint("user", i), 100*i
		g.line(wanted{"dir": "c2s", "client": client, "t": ms, "event": "ws-open"})
		g.say(client, "c2s", ms+1, wanted{"type": "handshake", "version": []string{"2"}, "id": "id-" + client})
		g.say(client, "s2c", ms+2, wanted{"type": "handshake", "version": []string{"2"}})
		g.say(client, "c2s", ms+3, wanted{"type": "join", "kind": "join", "group": "g", "username": user})
		g.say(client, "s2c", ms+4, wanted{"type": "joined", "kind": "join", "group": "g", "username": user})
	}
	return g.String()
}

// openLanes opens the inspector with a recording of some clients, of five arrows each.
func openLanes(t *testing.T, clients int) *inspectorPage {
	t.Helper()
	handler := page.New(nil)
	upload(t, handler, "lanes", lanesTrace(clients))
	p := openInspector(t, handler, "/")
	p.Await(fmt.Sprintf(`document.getElementById('shown').textContent === '%d arrows' &&
		document.querySelectorAll('.name').length > 0`, 5*clients))
	return p
}

func TestInspectorSaysWhoseALaneIs(t *testing.T) {
	p := openLanes(t, 2)
	require.Equal(t, []string{"user0", "user1"}, p.texts(".name b"))
	require.Equal(t, []string{"c0", "c1"}, p.texts(".name small"))
	require.Equal(t, []string{"all connections", "c0 user0", "c1 user1"}, p.texts("#conn option"))
	require.Contains(t, p.attribute(".name", "title"), "Connection c0 user0")
	p.search("name:open") // where the sides stand does not depend on what is shown
	p.awaitNames("open", "open")
	require.Equal(t, []string{"joined", "joined", "joined", "joined"}, p.texts(".name .state"))
	require.Contains(t, p.attribute(".name", "title"), "the client's side now: joined")
	p.requireQuiet()
}

func TestInspectorHasRoomForFourLanes(t *testing.T) {
	p := openLanes(t, 4)
	require.Equal(t, 1280, chromium.Eval[int](p.Page, `innerWidth`))
	const inView = `(edge => [...document.querySelectorAll('.name, .row > .state')]
		.every(e => e.getBoundingClientRect().right <= edge))(
			document.getElementById('diagram').getBoundingClientRect().left + document.getElementById('diagram').clientWidth)`
	p.Await(`document.querySelectorAll('.name').length === 4 && document.querySelectorAll('.row > .state').length > 4`)
	require.True(t, chromium.Eval[bool](p.Page, inView))
	p.Run(`{const c = document.getElementById('search'); c.value = '-conn:c2 -conn:c3';
		c.dispatchEvent(new Event('input'));}`)
	p.press("#row-1") // the details take some of the room
	p.awaitDetail(1)
	p.Await(`document.querySelectorAll('.name').length === 2 && ` + inView)
	p.requireQuiet()
}

func TestInspectorScrolledSidewaysLeavesTheTipsOfArrows(t *testing.T) {
	p := openLanes(t, 8)
	p.Await(`document.querySelector('#row-4 .label') !== null`)
	// room is what is to be seen of the line of a join between its label and its lane.
	const room = `(row => row.querySelector('.client-tip').getBoundingClientRect().left -
		row.querySelector('.label').getBoundingClientRect().right)(document.getElementById('row-4'))`
	for _, x := range []int{0, 60, 120} {
		p.Run(fmt.Sprintf(`document.getElementById('diagram').scrollLeft = %d`, x))
		p.Await(fmt.Sprintf(`document.getElementById('diagram').scrollLeft === %d && %s > 10`, x, room))
		require.False(t, chromium.Eval[bool](p.Page, `document.querySelector('#row-4 .label').hidden`))
	}
	p.Run(`document.getElementById('diagram').scrollLeft = 200`)
	p.Await(`document.querySelector('#row-4 .label').hidden`)
	p.requireQuiet()
}

func TestInspectorMarksReachFromLaneToLane(t *testing.T) {
	p := openLanes(t, 1)
	p.Await(`document.querySelector('#row-1 .mark') !== null`)
	require.True(t, chromium.Eval[bool](p.Page, `(mark => mark.offsetWidth > 300 &&
		parseFloat(getComputedStyle(mark, '::before').width) === mark.offsetWidth)(document.querySelector('#row-1 .mark'))`))
	p.requireQuiet()
}

func TestInspectorCountsRefusalsApart(t *testing.T) {
	handler := page.New(nil)
	upload(t, handler, "two", inspectorTrace())
	p := openInspector(t, handler, "/")
	p.awaitNames(inspectorNames...)
	require.Equal(t, "2 problems", p.text("#problem-count"))
	require.Equal(t, "1 refusal", p.text("#refusals"))
	for _, number := range []int{13, 14, 13} {
		p.key("n")
		p.awaitDetail(number)
	}
	p.key("r")
	p.awaitDetail(15)
	p.key("N")
	p.awaitDetail(14)
	p.press("#refusals")
	p.awaitDetail(15)
	p.key("e")
	p.awaitNames("chat", "unreadable", "closed 1002")
	p.requireQuiet()
}

func TestInspectorHidesAcks(t *testing.T) {
	live := newLiveRecording()
	p := openInspector(t, live, "/")
	live.events <- `event: arrows
data: [{"number":1,"seq":1,"conn":"1","from":"client","kind":"message","name":"question"},` +
		`{"number":2,"seq":2,"conn":"1","from":"server","kind":"message","name":"ack","ack":true},` +
		`{"number":3,"seq":3,"conn":"1","from":"server","kind":"message","name":"late ack","ack":true,` +
		`"problems":[{"kind":"state","text":"too late"}]}]

`
	p.awaitNames("question", "ack", "late ack")
	p.press("#acks")
	p.awaitNames("question", "late ack")
	p.key("a")
	p.awaitNames("question", "ack", "late ack")
	p.requireQuiet()
}

func TestInspectorIsLoadingUntilTheFirstArrows(t *testing.T) {
	live := newLiveRecording()
	p := openInspector(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/recordings" {
			_, _ = io.WriteString(w, `[{"id":"live","name":"live","protocol":"galene","live":true,"arrows":3}]`)
			return
		}
		live.ServeHTTP(w, r)
	}), "/")
	p.Await(`document.getElementById('lamp').title === 'recording'`)
	require.Equal(t, "Loading …", p.text("#empty"))
	live.send(1, 3)
	p.awaitNames("m1", "m2", "m3")
	p.requireQuiet()
}
