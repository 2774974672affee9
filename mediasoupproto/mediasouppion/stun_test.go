package mediasouppion

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

// A listener is a socket of a core with a transport that waits for checks.
type listener struct {
	*core
	socket    *socket
	sink      *fakeSocket
	transport *transport
}

var (
	here  = netip.MustParseAddrPort("192.0.2.1:1000")
	there = netip.MustParseAddrPort("192.0.2.2:1000")
)

func newListener(t *testing.T) *listener {
	c := newCore(t)
	k := &fakeSocket{}
	s := &socket{conn: k, byUfrag: map[string]*credentials{}, byAddr: map[netip.AddrPort]holder{}}
	return &listener{core: c, socket: s, sink: k, transport: c.listen(s, 1)}
}

func (c *core) listen(s *socket, id uint32) *transport {
	r := newTransport(context.Background(), c.room, mediaID(aliceID, id))
	r.sockets, r.shared = []*socket{s}, true
	r.start()
	c.room.transports[r.id] = r
	return r
}

// ask sends a check and returns the answer, or nil.
func (l *listener) ask(from netip.AddrPort, setters ...stun.Setter) *stun.Message {
	m := stun.MustBuild(setters...)
	l.socket.packet(l.w, m.Raw, from, l.now)
	if len(l.sink.sent) == 0 {
		return nil
	}
	answer := new(stun.Message)
	require.NoError(l.t, stun.Decode(l.sink.sent[0], answer))
	require.Len(l.t, l.sink.sent, 1)
	l.sink.sent = nil
	return answer
}

type flag stun.AttrType

func (f flag) AddTo(m *stun.Message) error { m.Add(stun.AttrType(f), nil); return nil }

type tieBreaker stun.AttrType

func (f tieBreaker) AddTo(m *stun.Message) error {
	m.Add(stun.AttrType(f), make([]byte, 8))
	return nil
}

func checkOf(c *credentials, more ...stun.Setter) []stun.Setter {
	setters := append([]stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag + ":client"),
		tieBreaker(stun.AttrICEControlling),
	}, more...)
	return append(setters, stun.NewShortTermIntegrity(c.password), stun.Fingerprint)
}

func TestAChecksAnswerSaysWhereItCameFrom(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	for _, from := range []netip.AddrPort{here, netip.MustParseAddrPort("[2001:db8::1]:7")} {
		answer := l.ask(from, checkOf(l.transport.current)...)
		require.NotNil(t, answer)
		require.Equal(t, stun.BindingSuccess, answer.Type)
		var mapped stun.XORMappedAddress
		require.NoError(t, mapped.GetFrom(answer))
		require.Equal(t, from.Addr().String(), mapped.IP.String())
		require.EqualValues(t, from.Port(), mapped.Port)
		require.NoError(t, stun.NewShortTermIntegrity(l.transport.current.password).Check(answer))
		require.NoError(t, stun.Fingerprint.Check(answer))
	}
}

func TestWhoDoesNotKnowThePasswordGetsNoAnswer(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	c := l.transport.current
	name := stun.NewUsername(c.ufrag + ":client")
	key := stun.NewShortTermIntegrity(c.password)
	for what, setters := range map[string][]stun.Setter{
		"another password":   {stun.BindingRequest, name, stun.NewShortTermIntegrity("other"), stun.Fingerprint},
		"no integrity":       {stun.BindingRequest, name, stun.Fingerprint},
		"no fingerprint":     {stun.BindingRequest, name, key},
		"wrong fingerprint":  {stun.BindingRequest, name, key, wrongFingerprint{}},
		"no name":            {stun.BindingRequest, key, stun.Fingerprint},
		"a name of one part": {stun.BindingRequest, stun.NewUsername(c.ufrag), key, stun.Fingerprint},
		"another name":       {stun.BindingRequest, stun.NewUsername("x" + c.ufrag + ":client"), key, stun.Fingerprint},
		"no binding":         {stun.NewType(stun.MethodAllocate, stun.ClassRequest), name, key, stun.Fingerprint},
		"an indication":      {stun.NewType(stun.MethodBinding, stun.ClassIndication), name, key, stun.Fingerprint},
		"an answer":          {stun.BindingSuccess, name, key, stun.Fingerprint},
	} {
		require.Nil(t, l.ask(here, append([]stun.Setter{stun.TransactionID}, setters...)...), what)
	}
	require.Nil(t, l.transport.path.Load())
	require.Empty(t, l.socket.byAddr)
}

type wrongFingerprint struct{}

func (wrongFingerprint) AddTo(m *stun.Message) error {
	m.Add(stun.AttrFingerprint, []byte{1, 2, 3, 4})
	return nil
}

func TestAServerNeverControls(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	c := l.transport.current
	answer := l.ask(here, stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag+":client"),
		tieBreaker(stun.AttrICEControlled), stun.NewShortTermIntegrity(c.password), stun.Fingerprint)
	require.NotNil(t, answer)
	require.Equal(t, stun.BindingError, answer.Type)
	var code stun.ErrorCodeAttribute
	require.NoError(t, code.GetFrom(answer))
	require.Equal(t, stun.CodeRoleConflict, code.Code)
	require.NoError(t, stun.NewShortTermIntegrity(c.password).Check(answer))
	require.Nil(t, l.transport.path.Load())
}

func TestThePathIsTheFirstOneUntilTheClientNominates(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	c := l.transport.current
	to := func() netip.AddrPort { return l.transport.path.Load().to }
	state := func() string { return l.transport.state(l.now).ICEConnectionState }
	require.Equal(t, "new", state())
	require.NotNil(t, l.ask(here, checkOf(c)...))
	require.Equal(t, here, to())
	require.Equal(t, "connected", state())
	require.NotNil(t, l.ask(there, checkOf(c)...))
	require.Equal(t, here, to(), "not nominated")
	require.NotNil(t, l.ask(there, checkOf(c, flag(stun.AttrUseCandidate))...))
	require.Equal(t, there, to())
	require.Equal(t, "completed", state())
	tuple := l.transport.state(l.now).ICESelectedTuple
	require.Equal(t, "192.0.2.2", tuple.RemoteIP)

	// What comes after the integrity is anybody's.
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag+":client"),
		stun.NewShortTermIntegrity(c.password), flag(stun.AttrUseCandidate), stun.Fingerprint)
	l.socket.packet(l.w, m.Raw, here, l.now)
	require.Equal(t, there, to())
	l.sink.sent = nil

	l.now = l.now.Add(consentTime + time.Second)
	require.Equal(t, "disconnected", state())
	require.NotNil(t, l.ask(there, checkOf(c)...))
	require.Equal(t, "completed", state())
}

func TestARestartTakesOldChecksUntilANewOne(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	old := l.transport.current
	require.NotNil(t, l.ask(here, checkOf(old)...))
	parameters, err := l.room.RestartTransport(l.transport.id)
	require.NoError(t, err)
	fresh := l.transport.current
	require.Equal(t, fresh.ufrag, parameters.UsernameFragment)
	require.Equal(t, fresh.password, parameters.Password)
	require.NotEqual(t, old.ufrag, fresh.ufrag)
	require.NotEqual(t, old.password, fresh.password)
	require.NotNil(t, l.ask(here, checkOf(old)...))
	require.NotNil(t, l.ask(there, checkOf(fresh)...))
	require.Equal(t, there, l.transport.path.Load().to, "the first check after a restart chooses")
	require.Nil(t, l.ask(here, checkOf(old)...))
	require.Len(t, l.socket.byUfrag, 1)

	_, err = l.room.RestartTransport(l.transport.id)
	require.NoError(t, err)
	_, err = l.room.RestartTransport(l.transport.id)
	require.NoError(t, err)
	require.Len(t, l.socket.byUfrag, 2, "the last two")
	l.room.CloseTransport(l.transport.id)
	require.Empty(t, l.socket.byUfrag)
	require.Empty(t, l.socket.byAddr)
	l.room.Close()
}

func TestAnAddressIsOneTransportsAtATime(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	other := l.core.listen(l.socket, 2)
	require.NotNil(t, l.ask(here, checkOf(l.transport.current)...))
	require.Nil(t, l.ask(here, checkOf(other.current)...), "who forges an address does not get its packets")
	require.Same(t, l.transport, l.socket.of(here))
	require.NotNil(t, l.ask(there, checkOf(other.current)...))
	require.Same(t, other, l.socket.of(there))
	l.now = l.now.Add(holdTime)
	require.NotNil(t, l.ask(here, checkOf(other.current)...), "nobody has used it for long")
	require.Same(t, other, l.socket.of(here))
	l.room.CloseTransport(l.transport.id)
	require.Same(t, other, l.socket.of(here))
}

func TestATransportKnowsAFewAddresses(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	for i := range 100 {
		from := netip.AddrPortFrom(here.Addr(), uint16(1000+i))
		require.NotNil(t, l.ask(from, checkOf(l.transport.current)...))
	}
	require.Len(t, l.transport.paths, maxAddresses)
	require.Len(t, l.socket.byAddr, maxAddresses)
	require.Same(t, l.transport, l.socket.of(here), "the one in use is not forgotten")
}

func TestPacketsFromStrangersAreNotLookedAt(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	require.NotNil(t, l.ask(here, checkOf(l.transport.current)...))
	for _, b := range [][]byte{
		nil, {0}, {22}, {128}, {255}, make([]byte, 19), append([]byte{128, 200}, make([]byte, 30)...),
	} {
		received := l.transport.received.Load()
		l.socket.packet(l.w, b, there, l.now)
		require.Equal(t, received, l.transport.received.Load())
		l.socket.packet(l.w, b, here, l.now) // must do no harm
	}
}

func TestSecretsAreLongAndNeverTheSame(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		c := newCredentials(nil)
		require.Regexp(t, `^[a-z0-9]{16}$`, c.ufrag)
		require.Regexp(t, `^[a-z0-9]{32}$`, c.password)
		require.False(t, seen[c.ufrag] || seen[c.password])
		seen[c.ufrag], seen[c.password] = true, true
	}
}

func FuzzCheck(f *testing.F) {
	cred := &credentials{ufrag: "abc", password: "secret"}
	f.Add(stun.MustBuild(checkOf(cred)...).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, answer := new(stun.Message), new(stun.Message)
		if _, ok := parseCheck(m, b); ok && cred.verify(m) {
			require.NotNil(t, cred.reply(answer, m, here, 0))
		}
	})
}

func strangersCheck() []byte {
	return stun.MustBuild(checkOf(&credentials{ufrag: "abcdefghijklmnop", password: "secret"})...).Raw
}
