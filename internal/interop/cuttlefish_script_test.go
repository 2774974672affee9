package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

const cuttlefishScripts = "../../cuttlefish/testdata/scripts"

// rewriting is how scripts read for the operator.
var rewriting = []struct {
	pattern     *regexp.Regexp
	replacement string
	why         string
}{
	{regexp.MustCompile(`(?m) closed \d+$`), " closed 1006", "it ends connections without a close frame"},
	{regexp.MustCompile(`"ice_servers":\[.*\]`), `"ice_servers":[{"urls":["stun:stun.l.google.com:19302"]}]`, "its ICE servers are fixed"},
	{regexp.MustCompile(`(?m)^\w+ < ` + regexp.QuoteMeta(deviceLeft) + `\n`), "", "it does not always get to say that"},
}

// otherwise are the lines with which the operator goes on differently, in scripts that are
// rewritten already.
var otherwise = []struct {
	script, ours, operators string
	why                     string
}{
	{"operator-client-errors", `c7 closed 1006`, `d1 < {"message_type":"client_msg","client_id":6,"payload":{"\ufffd":1}}` + "\nc7 close 1000",
		"it takes invalid UTF-8"},
	{"operator-device-errors", "d8 closed", "d8 < " + `{"error":"Device forward message missing client id"}` + "\nd8 closed",
		"a null is a missing client_id"},
	{"operator-device-errors", "d15 >raw \"\"\nd15 closed 1006", "d15 close 1000",
		"an empty datagram is the end of a connection, which is all that can be sent"},
}

// deviceLeft is what the operator tells a client whose device has gone, unless the
// connection ends first: 7 times of 200.
const deviceLeft = `{"error":"Device disconnected"}`

func TestCuttlefishScriptsOnOperator(t *testing.T) {
	t.Parallel()
	played := 0
	op := startOperator(t, "")
	dir := rewrittenScripts(t)
	for _, s := range script.Load(t, dir) {
		t.Run(s.Name, func(t *testing.T) {
			target := &operatorTarget{t: t, op: op, peers: make(map[string]*scriptPeer)}
			defer target.end()
			s.Play(t, target)
			target.checkRest()
		})
		played++
	}
	t.Logf("operator (%s): %d scripts played", op.version, played)
}

// rewrittenScripts returns a folder of the scripts that are for the operator: all
// connections are of its dialect, and the server needs no configuration and no clock.
func rewrittenScripts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	paths, err := filepath.Glob(filepath.Join(cuttlefishScripts, "*.txtar"))
	require.NoError(t, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		if !isForOperator(t, data) {
			continue
		}
		text := string(data)
		for _, r := range rewriting {
			text = r.pattern.ReplaceAllString(text, r.replacement)
		}
		base := filepath.Base(path)
		for _, o := range otherwise {
			if o.script+".txtar" == base {
				require.Equal(t, 1, strings.Count(text, o.ours), "%s has another number of lines %q", base, o.ours)
				text = strings.Replace(text, o.ours, o.operators, 1)
			}
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, base), []byte(text), 0o600))
	}
	return dir
}

var opening = regexp.MustCompile(`(?m)^\w+ open (?:device|client)(.*)$`)

func isForOperator(t *testing.T, data []byte) bool {
	t.Helper()
	for _, section := range script.Parse(data) {
		switch section.Name {
		case "config":
			var config map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(section.Data, &config))
			delete(config, "ICEServers")
			if len(config) > 0 {
				return false
			}
		case "script":
			for _, open := range opening.FindAllSubmatch(section.Data, -1) {
				if !bytes.HasPrefix(open[1], []byte(" operator")) {
					return false
				}
			}
			if bytes.Contains(section.Data, []byte("\nwait ")) {
				return false
			}
		}
	}
	return true
}

// An operatorTarget plays scripts with the real operator.
type operatorTarget struct {
	t     *testing.T
	op    *operator
	peers map[string]*scriptPeer
}

// A scriptPeer is one connection to the operator.
type scriptPeer struct {
	conn   transport.Conn // nil when the operator refused the handshake
	events chan script.Event
	done   chan struct{}
	closed bool // by the script
}

// Open connects a peer.
func (o *operatorTarget) Open(name string, args []string) error {
	p := &scriptPeer{events: make(chan script.Event, 64), done: make(chan struct{})}
	var err error
	switch {
	case len(args) == 2 && args[0] == "device":
		p.conn, err = unixpacket.Dial(o.t.Context(), o.op.socket, nil)
	case len(args) == 3 && args[0] == "client":
		p.conn, err = wsconn.Dial(o.t.Context(), o.op.url+"/devices/"+args[2]+"/connect", nil)
		if e, ok := errors.AsType[*wsconn.DialError](err); ok && e.StatusCode != 0 {
			// What it says in place of the upgrade our server says after it.
			p.events <- script.Event{Data: fmt.Appendf(nil, `{"error":%q}`, strings.TrimSpace(e.Body))}
			p.events <- script.Event{Closed: int(transport.StatusAbnormal)}
			close(p.done)
			err = nil
		}
	default:
		return fmt.Errorf("cannot open %q", args)
	}
	if err != nil {
		return err
	}
	o.peers[name] = p
	if p.conn != nil {
		go p.read()
	}
	return nil
}

func (p *scriptPeer) read() {
	defer close(p.done)
	for {
		_, data, err := p.conn.Read(nil)
		if e, ok := errors.AsType[*transport.CloseError](err); ok {
			p.events <- script.Event{Closed: int(e.Code)}
		}
		if err != nil {
			return
		}
		if strings.TrimSpace(string(data)) != deviceLeft {
			p.events <- script.Event{Data: data}
		}
	}
}

// Send sends a message.
func (o *operatorTarget) Send(name string, m script.Message) error {
	typ := transport.Text
	if m.Binary {
		typ = transport.Binary
	}
	return o.peers[name].conn.Write(typ, m.Data)
}

// Close closes a connection.
func (o *operatorTarget) Close(name string, code int) error {
	p := o.peers[name]
	p.closed = true
	return p.conn.Close(transport.StatusCode(code), "")
}

// Wait refuses: the operator's clock is the real one.
func (o *operatorTarget) Wait(time.Duration) error {
	return errors.New("the operator's clock does not move")
}

// Next returns the next event of a peer. Unexpected ones are found by checkRest at the
// latest.
func (o *operatorTarget) Next(name string, expected bool) (script.Event, bool) {
	p := o.peers[name]
	if p.closed {
		return script.Event{}, false
	}
	if !expected {
		select {
		case e := <-p.events:
			return e, true
		default:
			return script.Event{}, false
		}
	}
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case e := <-p.events:
		return e, true
	case <-timer.C:
		return script.Event{}, false
	}
}

// checkRest demands that nothing has happened that the script does not say.
func (o *operatorTarget) checkRest() {
	o.t.Helper()
	for name := range o.peers {
		e, more := o.Next(name, false)
		require.False(o.t, more, "%s %s after the end of the script", name, e)
	}
}

func (o *operatorTarget) end() {
	for _, p := range o.peers {
		if p.conn != nil {
			_ = p.conn.Close(transport.StatusNormal, "") // or the operator has
		}
		<-p.done
	}
}
