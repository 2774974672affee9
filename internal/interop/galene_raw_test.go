package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A rawGalene is a connection to a server without a client.
type rawGalene struct {
	t    *testing.T
	conn transport.Conn
	id   string
}

// raw opens a connection for what our client does not send.
func (s *galeneServer) raw(t *testing.T, id string) *rawGalene {
	t.Helper()
	conn, err := s.dial(bounded(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(transport.StatusNormal, "") })
	return &rawGalene{t, conn, id}
}

// say sends a text.
func (r *rawGalene) say(text []byte, err error) {
	r.t.Helper()
	require.NoError(r.t, err)
	_ = r.conn.Write(transport.Text, text) // the server may have closed: its replies say so
}

// handshake shakes hands.
func (r *rawGalene) handshake() {
	r.t.Helper()
	r.say([]byte(`{"type":"handshake","version":["2"],"id":"`+r.id+`"}`), nil)
	require.Equal(r.t, []string{`{"type":"handshake","version":["2"]}`}, r.replies())
}

// join joins a group with a password, and reads up to the last member that it is told of.
func (r *rawGalene) join(group, username, password string) {
	r.t.Helper()
	r.say(json.Marshal(object{"type": "join", "kind": "join", "group": group, "username": username, "password": password}))
	missing := -1
	r.read(func(line string) bool {
		m, err := galene.Decode([]byte(line))
		require.NoError(r.t, err)
		switch m := m.(type) {
		case *galene.Joined:
			require.Equal(r.t, galene.JoinedJoin, m.Kind, line)
			missing = *m.Status.ClientCount
		case *galene.User:
			missing--
		}
		return missing == 0
	})
}

// replies returns everything that the server has said, up to a sentinel or its end.
func (r *rawGalene) replies() []string {
	r.t.Helper()
	const sentinel = "sentinel" // a server says close to an abort of any stream
	r.say([]byte(`{"type":"abort","id":"`+sentinel+`"}`), nil)
	return r.read(func(line string) bool { return line == `{"id":"`+sentinel+`","type":"close"}` })
}

// rest returns what the server says up to its end.
func (r *rawGalene) rest() []string {
	r.t.Helper()
	return r.read(func(string) bool { return false })
}

// read returns what the server says before a line, or up to its end.
func (r *rawGalene) read(last func(line string) bool) []string {
	r.t.Helper()
	limit := time.AfterFunc(patience, func() { _ = r.conn.Close(transport.StatusNormal, "the test is over") })
	defer limit.Stop()
	lines := []string{}
	for {
		_, b, err := r.conn.Read(nil)
		var closed *transport.CloseError
		switch {
		case errors.As(err, &closed):
			return append(lines, fmt.Sprintf("closed %d %s", closed.Code, closed.Reason))
		case err != nil:
			require.NoError(r.t, err, "after %q", lines)
		}
		line := canonical(r.t, b)
		if last(line) {
			return lines
		}
		lines = append(lines, line)
	}
}

// canonical returns an object with its members in order, without what a server makes up:
// the id of a chat message and the time.
func canonical(t *testing.T, b []byte) string {
	t.Helper()
	var o object
	require.NoError(t, json.Unmarshal(b, &o), "%s", b)
	if _, ok := o["time"]; ok {
		o["time"] = "now"
		if id, _ := o["id"].(string); id != "" {
			o["id"] = "made"
		}
	}
	out, err := json.Marshal(o)
	require.NoError(t, err)
	return string(out)
}
