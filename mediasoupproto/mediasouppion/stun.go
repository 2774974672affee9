package mediasouppion

import (
	"bytes"
	"crypto/rand"
	"net/netip"

	"github.com/pion/stun/v4"
)

// credentials are what the checks of a client's transport are made with. They do not change.
type credentials struct {
	transport *transport
	ufrag     string
	password  string
}

func newCredentials(t *transport) *credentials {
	return &credentials{transport: t, ufrag: newSecret(16), password: newSecret(32)}
}

// newSecret makes a text of n letters and digits that nobody may guess.
func newSecret(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	text := make([]byte, 0, n)
	for random := make([]byte, 2*n); len(text) < n; {
		rand.Read(random)
		for _, c := range random {
			// The bytes above the last multiple of 36 would favour some digits.
			if c < 252 && len(text) < n {
				text = append(text, digits[c%36])
			}
		}
	}
	return string(text)
}

// A check is what a binding request says, which is not proved yet.
type check struct {
	ufrag        []byte // the server's
	useCandidate bool
	controlled   bool // what the client takes itself for
}

// parseCheck reads a binding request with a valid fingerprint. It costs little, because
// anybody may send one.
func parseCheck(m *stun.Message, b []byte) (check, bool) {
	var c check
	if len(b) < 20 || len(b) > 1024 || b[0] != 0 || b[1] != 1 || !stun.IsMessage(b) {
		return c, false
	}
	m.Raw = append(m.Raw[:0], b...)
	if m.Decode() != nil || m.Type != stun.BindingRequest || stun.Fingerprint.Check(m) != nil {
		return c, false
	}
	name, err := m.Get(stun.AttrUsername)
	if err != nil {
		return c, false
	}
	ufrag, _, found := bytes.Cut(name, []byte(":"))
	if !found {
		return c, false
	}
	c.ufrag = ufrag
	c.useCandidate = m.Contains(stun.AttrUseCandidate)
	c.controlled = m.Contains(stun.AttrICEControlled)
	return c, true
}

// verify reports whether a check was made with the password.
func (c *credentials) verify(m *stun.Message) bool {
	if v, err := m.Get(stun.AttrMessageIntegrity); err != nil || len(v) != 20 {
		return false
	}
	return stun.MessageIntegrity(c.password).Check(m) == nil
}

// reply writes the answer to a check, a success without a code. It returns nil if there is
// none.
func (c *credentials) reply(
	m *stun.Message, request *stun.Message, to netip.AddrPort, code stun.ErrorCode,
) []byte {
	m.Reset()
	m.TransactionID = request.TransactionID
	m.Type = stun.BindingSuccess
	if code != 0 {
		m.Type = stun.BindingError
	}
	m.WriteHeader()
	var err error
	if code != 0 {
		err = code.AddTo(m)
	} else {
		err = (&stun.XORMappedAddress{IP: to.Addr().AsSlice(), Port: int(to.Port())}).AddTo(m)
	}
	if err != nil || stun.MessageIntegrity(c.password).AddTo(m) != nil || stun.Fingerprint.AddTo(m) != nil {
		return nil
	}
	return m.Raw
}
