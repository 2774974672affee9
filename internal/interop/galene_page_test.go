package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// A galenePage is Galène's web UI, unmodified, with a user in front of it.
type galenePage struct {
	*chromium.Page
	t *testing.T
}

// keepFiles leaves the files that a page has received in window.received.
const keepFiles = `(() => {
	const create = URL.createObjectURL;
	window.received = [];
	URL.createObjectURL = (file) => {
		window.received.push(file);
		return create.call(URL, file);
	};
})()`

// openGalenePage opens the page of a group of our server.
func openGalenePage(t *testing.T, b *chromium.Browser, s *galeneServer, group string) *galenePage {
	t.Helper()
	p := &galenePage{b.Open(t, "http://"+s.addr+"/group/"+group+"/", keepFiles), t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("chat box of %s:\n%s", group, chromium.Eval[string](p.Page, `document.getElementById('box').innerText`))
		}
	})
	p.Await(`typeof group === 'string' && !document.getElementById('login-container').classList.contains('invisible')`)
	return p
}

// galeneUI skips a test without the web UI, and starts a browser.
func galeneUI(t *testing.T) *chromium.Browser {
	t.Helper()
	peer.Path(t, "web UI of Galène", "GALENE_STATIC")
	return chromium.Start(t)
}

// login fills in the form. With media the page publishes the camera.
func (p *galenePage) login(user, password string, media bool) {
	p.t.Helper()
	if media {
		p.Run(`document.getElementById('presentboth').checked = true`)
	}
	p.Run(fmt.Sprintf(`(() => {
		document.getElementById('username').value = %q;
		document.getElementById('password').value = %q;
		document.getElementById('connectbutton').click();
	})()`, user, password))
}

// enter logs a user of these tests in.
func (p *galenePage) enter(user string, media bool) {
	p.t.Helper()
	p.login(user, passwordOf(user), media)
	p.Await(fmt.Sprintf(`!!serverConnection && serverConnection.group === group && serverConnection.username === %q`, user))
	if media {
		p.Await(`Object.values(serverConnection.up).some(c => c.label === 'camera' && c.pc)`)
	}
}

// id returns the page's client id.
func (p *galenePage) id() string {
	p.t.Helper()
	return chromium.Eval[string](p.Page, `serverConnection.id`)
}

// command types something into the page, a command or what is to be said.
func (p *galenePage) command(text string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`(() => {
		document.getElementById('input').value = %q;
		document.getElementById('inputform').requestSubmit();
	})()`, text))
}

// shows waits for a text in the chat box, in a message of a class.
func (p *galenePage) shows(text, class string) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`[...document.querySelectorAll('#box .message')].some(e => e.textContent.includes(%q) && %s)`,
		text, fmt.Sprintf(`(%q === '' || e.classList.contains(%q))`, class, class)))
}

// warns waits for a notice.
func (p *galenePage) warns(text string) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`[...document.querySelectorAll('.toastify')].some(e => e.textContent.includes(%q))`, text))
}

// lists waits until these users are in the list, of which the page's own is the first.
func (p *galenePage) lists(users ...string) {
	p.t.Helper()
	slices.Sort(users)
	want, err := json.Marshal(users)
	require.NoError(p.t, err)
	p.Await(fmt.Sprintf(`JSON.stringify([...document.querySelectorAll('#users > div')].map(e => e.textContent).sort()) === %q`, want))
}

// quiet demands that nothing went wrong in the page but what it makes of answers and
// candidates that cross its own replacement of their stream.
func (p *galenePage) quiet() {
	p.t.Helper()
	require.Empty(p.t, slices.DeleteFunc(p.Exceptions(), func(text string) bool {
		return strings.HasSuffix(text, "Error: unknown up stream") || strings.HasSuffix(text, "Error: unknown stream")
	}))
}

func TestGaleneWebUIMeetsOurClient(t *testing.T) {
	browser := galeneUI(t)
	s := startOurGalene(t, galene.ServerOptions{})
	page := openGalenePage(t, browser, s, "test")
	require.Equal(t, "Test", chromium.Eval[string](page.Page, `document.getElementById('title').textContent`))

	page.login("alice", "wrong", false)
	page.warns("not authorised")
	page.Await(`!document.getElementById('login-container').classList.contains('invisible')`)
	start := time.Now()
	page.enter("alice", false)
	t.Logf("%s: in the group after %v", browser.Version(), time.Since(start).Round(time.Millisecond))
	page.lists("alice")
	alice := page.id()

	bob := s.join(t, "test", "bob")
	page.lists("alice", "bob")
	require.Equal(t, []string{"alice", "bob"}, bob.names())
	require.Equal(t, []string{"caption", "message", "op", "present", "record", "token"}, sorted(bob.User(alice).Permissions))

	require.NoError(t, bob.Chat("hello from <b>bob</b>"))
	page.shows("hello from <b>bob</b>", "")
	page.command("hello from the page")
	m := expect(bob, "chat", chatOf(t, "hello from the page"))
	require.Equal(t, alice, m.Source)
	require.True(t, m.Privileged)
	page.shows("hello from the page", "message-sender")
	page.command("/me waves")
	require.Equal(t, galene.ChatMe, expect(bob, "chat", chatOf(t, "waves")).Kind)

	require.NoError(t, bob.ChatTo(alice, "psst"))
	page.shows("psst", "message-private")
	page.command("/msg bob answer")
	require.Equal(t, bob.ID(), expect(bob, "chat", chatOf(t, "answer")).Dest)

	hand := func(id string) string {
		return fmt.Sprintf(`document.getElementById('user-%s').classList.contains('user-status-raisehand')`, id)
	}
	page.command("/raise")
	expect(bob, "hand", func(u *galene.User) bool { return u.ID == alice && string(u.Data["raisehand"]) == "true" })
	page.Await(hand(alice))
	page.command("/unraise")
	expect(bob, "hand", func(u *galene.User) bool { return u.ID == alice && u.Data["raisehand"] == nil })
	require.NoError(t, bob.RaiseHand(true))
	page.Await(hand(bob.ID()))
	require.NoError(t, bob.RaiseHand(false))
	page.Await("!" + hand(bob.ID()))

	erin := s.join(t, "test", "erin")
	require.NoError(t, erin.Caption("what is being said"))
	page.Await(`document.getElementById('captions').textContent.includes('what is being said')`)
	require.NoError(t, erin.Close())
	page.lists("alice", "bob")

	page.command("/warn bob watch out")
	require.Equal(t, "watch out", textOf(t, expect(bob, "warning", func(m *galene.UserMessage) bool {
		return m.Kind == galene.UserMessageWarning && m.Privileged && m.Source == alice
	}).Value))
	page.command("/mute bob")
	expect(bob, "mute", func(m *galene.UserMessage) bool { return m.Kind == galene.UserMessageMute && m.Privileged })
	page.command("/identify bob")
	page.shows("has username bob and address 127.0.0.1:", "")

	page.command("/op bob")
	expect(bob, "permission", func(m *galene.Joined) bool { return m.Permissions.Has(galene.PermissionOp) })
	require.NoError(t, bob.UserAction(galene.UserShutUp, alice))
	page.Await(`!serverConnection.permissions.includes('message')`)
	require.NoError(t, bob.UserAction(galene.UserUnshutUp, alice))
	page.Await(`serverConnection.permissions.includes('message')`)
	page.command("/unop bob")
	expect(bob, "permission", func(m *galene.Joined) bool { return !m.Permissions.Has(galene.PermissionOp) })
	page.quiet()
}

func TestGaleneWebUIRunsAGroup(t *testing.T) {
	browser := galeneUI(t)
	s := startOurGalene(t, galene.ServerOptions{})
	page := openGalenePage(t, browser, s, "test")
	page.enter("alice", false)
	bob := s.join(t, "test", "bob")
	page.lists("alice", "bob")

	page.command("/lock come tomorrow")
	expect(bob, "lock", func(m *galene.Joined) bool { return m.Status.Locked })
	_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "test", Username: new("carol"), Password: "cpw"})
	require.ErrorIs(t, err, &galene.Error{Text: "come tomorrow"})
	page.command("/unlock")
	expect(bob, "unlocking", func(m *galene.Joined) bool { return !m.Status.Locked })

	page.command("to be cleared")
	page.shows("to be cleared", "")
	page.command("/clear")
	expect(bob, "clearchat", func(m *galene.UserMessage) bool { return m.Kind == galene.UserMessageClearChat })
	page.Await(`!document.getElementById('box').textContent.includes('to be cleared')`)

	s.join(t, "test/room", "carol")
	page.command("/subgroups")
	page.shows("test/room (1 client)", "")

	page.command("/record")
	page.lists("alice", "bob", "RECORDING")
	page.command("/unrecord")
	page.lists("alice", "bob")

	page.Run(`serverConnection.groupAction('maketoken', {group: group, expires: 3600000, permissions: ['present', 'message']})`)
	page.shows("?token=", "")
	link := chromium.Eval[string](page.Page,
		`document.getElementById('box').textContent.match(/http:[^ ]*\?token=[A-Za-z0-9_-]*/)[0]`)
	page.command("/listtokens")
	page.shows("issued by alice", "")

	guest := &galenePage{browser.Open(t, link, keepFiles), t}
	guest.Await(`!document.getElementById('login-container').classList.contains('invisible')`) // it asks for a name
	guest.Run(`(() => {
		document.getElementById('username').value = 'guest';
		document.getElementById('connectbutton').click();
	})()`)
	guest.Await(`!!serverConnection && serverConnection.username === 'guest' && serverConnection.permissions.includes('present')`)
	page.lists("alice", "bob", "guest")

	page.command("/kick guest enough of you")
	guest.warns("enough of you")
	page.lists("alice", "bob")
	page.command("/kick bob go away")
	var kicked *galene.KickedError
	require.ErrorAs(t, bob.ended(), &kicked)
	require.Equal(t, &galene.KickedError{By: page.id(), ByName: "alice", Message: "go away"}, kicked)
	page.lists("alice")

	second := s.join(t, "test", "alice")
	require.NoError(t, second.Kick(page.id(), "it is late"))
	page.warns("it is late")
	page.Await(`!document.getElementById('login-container').classList.contains('invisible')`)
	page.quiet()
	guest.quiet()
}
