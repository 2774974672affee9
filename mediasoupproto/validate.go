package mediasoupproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// Rules say what counts as valid.
type Rules int

const (
	// Compat takes what mediasoup 2.6.19 takes and nobody is harmed by, and gives its
	// texts otherwise.
	Compat Rules = iota
	// Strict also wants what the protocol means: a direction, known roles, unique SSRCs,
	// fingerprints in upper case.
	Strict
)

// Validate reports what is wrong with a message as it stands. The error is a
// [*ValidationError].
func (r Rules) Validate(m Message) error {
	if e := r.validate(m); e != nil {
		return e
	}
	return nil
}

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *QueryRoom) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict], as for the first
// one of a client.
func (m *Join) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *CreateTransport) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *RestartTransport) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *CreateProducer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *EnableConsumer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *Leave) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *UpdateTransport) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *CloseTransport) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *EnableTransportStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *DisableTransportStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *PauseProducer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ResumeProducer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *CloseProducer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *EnableProducerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *DisableProducerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *UpdateProducer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *PauseConsumer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ResumeConsumer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *SetConsumerPreferredProfile) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *EnableConsumerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *DisableConsumerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *Closed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *NewPeer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *PeerClosed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *NewConsumer) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerClosed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerPaused) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerResumed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerPreferredProfileSet) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerEffectiveProfileChanged) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ConsumerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *TransportClosed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *TransportStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ProducerPaused) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ProducerResumed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ProducerClosed) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *ProducerStats) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *Response) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *Application) Validate() error { return Strict.Validate(m) }

// Validate reports what is wrong with the message by the rules of [Strict].
func (m *Unknown) Validate() error { return Strict.Validate(m) }

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error {
	return &ValidationError{Type: "reconnected", Field: "method", Reason: errNotOnWire.Error()}
}

// appDataLevel is the level at which the data of a peer or a producer may stand in the
// answer to somebody's join, see [jsonx.CheckAt]: what is stored must be as shallow as the
// deepest place that it is told in.
const appDataLevel = 9

func (r Rules) validate(m Message) *ValidationError {
	c := checker{rules: r, typ: name(m)}
	if h := m.head(); h != nil && h.RequestID != "" && !isNumber(json.RawMessage(h.RequestID)) {
		return c.fail("id", "is not a number", nil)
	}
	switch m := m.(type) {
	case *QueryRoom:
		return c.extra(m.Extra, m)
	case *Join:
		return c.join(m)
	case *CreateTransport:
		return c.createTransport(m)
	case *RestartTransport:
		return first(c.id(m.ID, ErrTransportNotFound), c.extra(m.Extra, m))
	case *CreateProducer:
		return c.createProducer(m)
	case *EnableConsumer:
		return c.enableConsumer(m)
	case *Leave:
		return first(c.appData(m.AppData), c.extra(m.Extra, m))
	case *UpdateTransport:
		return c.updateTransport(m)
	case *CloseTransport:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *EnableTransportStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *DisableTransportStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *PauseProducer:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ResumeProducer:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *CloseProducer:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *EnableProducerStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *DisableProducerStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *UpdateProducer:
		return first(c.id(m.ID, nil), c.rtpParameters(m.RTPParameters), c.extra(m.Extra, m))
	case *PauseConsumer:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ResumeConsumer:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *SetConsumerPreferredProfile:
		if !m.Profile.IsPreference() {
			return c.fail("profile", "is none that can be preferred", nil)
		}
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *EnableConsumerStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	case *DisableConsumerStats:
		return first(c.id(m.ID, nil), c.extra(m.Extra, m))
	}
	return c.ofServer(m)
}

// ofServer checks what servers send, and what both sides do.
func (c checker) ofServer(m Message) *ValidationError {
	switch m := m.(type) {
	case *Closed:
		return first(c.appData(m.AppData), c.extra(m.Extra, m))
	case *NewPeer:
		if m.Consumers == nil {
			return c.fail("consumers", "missing", nil)
		}
		return first(c.text("name", m.Name), c.consumers("consumers", m.Consumers), c.appData(m.AppData), c.extra(m.Extra, m))
	case *PeerClosed:
		return first(c.text("name", m.Name), c.appData(m.AppData), c.extra(m.Extra, m))
	case *NewConsumer:
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.consumer("", m.Kind, m.RTPParameters, m.AppData),
			c.extra(m.Extra, m))
	case *ConsumerClosed:
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.extra(m.Extra, m))
	case *ConsumerPaused:
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ConsumerResumed:
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ConsumerPreferredProfileSet:
		if !m.Profile.IsPreference() {
			return c.fail("profile", "is none that can be preferred", nil)
		}
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.extra(m.Extra, m))
	case *ConsumerEffectiveProfileChanged:
		if m.Profile != ProfileNone && !m.Profile.IsPreference() {
			return c.fail("profile", "is unknown", nil)
		}
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.extra(m.Extra, m))
	case *ConsumerStats:
		return first(c.id(m.ID, nil), c.text("peerName", m.PeerName), c.stats(m.Stats), c.extra(m.Extra, m))
	case *TransportClosed:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *TransportStats:
		return first(c.id(m.ID, nil), c.stats(m.Stats), c.extra(m.Extra, m))
	case *ProducerPaused:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ProducerResumed:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ProducerClosed:
		return first(c.id(m.ID, nil), c.appData(m.AppData), c.extra(m.Extra, m))
	case *ProducerStats:
		return first(c.id(m.ID, nil), c.stats(m.Stats), c.extra(m.Extra, m))
	case *Response:
		switch {
		case m.RequestID == "":
			return c.fail("id", "missing", nil)
		case m.Error != nil:
			return nil
		}
		return c.raw("result", m.Result, payloadLevel-1)
	case *Application:
		if e := c.text("method", m.Method); e != nil {
			return e
		}
		if m.Method == MethodRequest || m.Method == MethodNotification {
			return c.fail("method", "is not one of an application", nil)
		}
		return c.raw("data", m.Data, payloadLevel-1)
	case *Unknown:
		if _, known := registry[m.Type]; known && m.kind == 0 {
			return c.fail("method", "is known: use its type", nil)
		}
		return c.extra(m.Extra, nil)
	}
	return nil
}

// A checker finds the first thing that is wrong with a message.
type checker struct {
	rules Rules
	typ   string
}

func (c checker) fail(field, reason string, answer *Error) *ValidationError {
	return &ValidationError{Type: c.typ, Field: field, Reason: reason, Answer: answer}
}

// worker is fail with what mediasoup's worker says, which is reason enough.
func (c checker) worker(field, text string) *ValidationError {
	return c.fail(field, text, NewError("Error", text))
}

func first(errs ...*ValidationError) *ValidationError {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

func (c checker) id(id uint32, answer *Error) *ValidationError {
	if id == 0 {
		return c.fail("id", "must be an integer from 1 to 4294967295", answer)
	}
	return nil
}

// text checks a name that servers say.
func (c checker) text(field, value string) *ValidationError {
	switch {
	case value == "":
		return c.fail(field, "missing", nil)
	case !utf8.ValidString(value):
		return c.fail(field, jsonx.ErrUTF8.Error(), nil)
	}
	return nil
}

// raw checks any JSON, or nothing.
func (c checker) raw(field string, value json.RawMessage, level int) *ValidationError {
	if len(value) == 0 {
		return nil
	}
	if err := jsonx.CheckAt(value, level); err != nil {
		return c.fail(field, reasonFor(err), NewError("TypeError", "wrong "+field))
	}
	return nil
}

func reasonFor(err error) string {
	if x, ok := errors.AsType[*jsonx.Error](err); ok {
		return x.Err.Error()
	}
	return err.Error()
}

func (c checker) appData(value json.RawMessage) *ValidationError {
	return c.raw("appData", value, appDataLevel)
}

// extra checks further members, of the struct of or of a message that is not known.
func (c checker) extra(extra Fields, of any) *ValidationError {
	if len(extra) == 0 {
		return nil
	}
	for _, taken := range [...]string{"method", "target", "notification"} {
		if _, ok := extra[taken]; ok {
			return c.fail(taken, jsonx.ErrDeclared.Error(), nil)
		}
	}
	if err := jsonx.CheckExtra(extra, of, "method", payloadLevel); err != nil {
		return c.fail(err.Field, err.Err.Error(), NewError("TypeError", "wrong "+err.Field))
	}
	return nil
}

func (c checker) stats(stats []json.RawMessage) *ValidationError {
	if stats == nil {
		return c.fail("stats", "missing", nil)
	}
	for i, value := range stats {
		if !jsonx.IsObject(value) {
			return c.fail(fmt.Sprintf("stats[%d]", i), "is not an object", nil)
		}
		if e := c.raw(fmt.Sprintf("stats[%d]", i), value, payloadLevel+1); e != nil {
			return e
		}
	}
	return nil
}

// MaxPeerName bounds the length of a peer's name in bytes.
const MaxPeerName = 1024

func (c checker) join(m *Join) *ValidationError {
	switch {
	case m.PeerName == "":
		return c.fail("peerName", "missing", NewError("TypeError", "peerName must be a string"))
	case len(m.PeerName) > MaxPeerName:
		return c.fail("peerName", "is too long", NewError("Error", "peerName is too long"))
	case m.RTPCapabilities == nil:
		return c.fail("rtpCapabilities", "missing", NewError("TypeError", "rtpCapabilities is missing"))
	case m.RTPCapabilities.HeaderExtensions == nil:
		return c.fail("rtpCapabilities.headerExtensions", "missing", errNoHeaderExtensions)
	}
	return first(c.capabilities("rtpCapabilities", m.RTPCapabilities), c.appData(m.AppData), c.extra(m.Extra, m))
}

// errNoHeaderExtensions is ours: in mediasoup a peer without them makes the others fail.
var errNoHeaderExtensions = NewError("TypeError", "rtpCapabilities.headerExtensions is missing")

// capabilities checks what every codec must have.
func (c checker) capabilities(at string, caps *RTPCapabilities) *ValidationError {
	if c.rules != Strict {
		return nil
	}
	if caps.Codecs == nil {
		return c.fail(at+".codecs", "missing", NewError("TypeError", at+".codecs is not iterable"))
	}
	seen := map[uint8]bool{}
	for i := range caps.Codecs {
		codec := &caps.Codecs[i]
		field := element{at + ".codecs", i}
		switch {
		case codec.Name == "":
			return c.fail(field.member(".name"), "missing", nil)
		case codec.ClockRate == 0:
			return c.fail(field.member(".clockRate"), "missing", nil)
		case codec.Kind != Audio && codec.Kind != Video:
			return c.fail(field.member(".kind"), "is neither audio nor video", nil)
		case seen[codec.PreferredPayloadType]:
			return c.fail(field.member(".preferredPayloadType"), "is another codec's", nil)
		}
		seen[codec.PreferredPayloadType] = true
		if _, ok := codec.APT(); isRTX(codec.Name) && !ok {
			return c.fail(field.member(".parameters.apt"), "missing", nil)
		}
	}
	for i, ext := range caps.HeaderExtensions {
		field := element{at + ".headerExtensions", i}
		switch {
		case ext.URI == "":
			return c.fail(field.member(".uri"), "missing", nil)
		case ext.PreferredID == 0:
			return c.fail(field.member(".preferredId"), "missing", nil)
		}
	}
	return nil
}

func (c checker) createTransport(m *CreateTransport) *ValidationError {
	if e := c.id(m.ID, NewError("Error", "Request has not numeric internal.transportId")); e != nil {
		return e
	}
	if c.rules == Strict && m.Direction != DirectionSend && m.Direction != DirectionRecv {
		return c.fail("direction", "is neither send nor recv", NewError("Error", "wrong direction"))
	}
	if p := m.PlainRTPParameters; p != nil {
		if m.Options == nil {
			return c.fail("options", "missing", NewError("TypeError", "options is missing"))
		}
		if e := c.plain(p); e != nil {
			return e
		}
	}
	if m.DTLSParameters != nil {
		if e := c.dtls(m.DTLSParameters); e != nil {
			return e
		}
	}
	return first(c.appData(m.AppData), c.extra(m.Extra, m))
}

func (c checker) updateTransport(m *UpdateTransport) *ValidationError {
	if e := c.id(m.ID, nil); e != nil {
		return e
	}
	switch {
	case m.PlainRTPParameters != nil:
		if e := c.plain(m.PlainRTPParameters); e != nil {
			return e
		}
	case m.DTLSParameters != nil:
		if e := c.dtls(m.DTLSParameters); e != nil {
			return e
		}
	case c.rules == Strict:
		return c.fail("dtlsParameters", "missing", nil)
	}
	return c.extra(m.Extra, m)
}

func (c checker) enableConsumer(m *EnableConsumer) *ValidationError {
	switch {
	case m.ID == 0:
		return c.id(m.ID, ErrConsumerNotFound)
	case m.TransportID == 0:
		return c.fail("transportId", "missing", errEnableOverTransport)
	case c.rules == Strict && m.PreferredProfile != "" && !m.PreferredProfile.IsPreference():
		return c.fail("preferredProfile", "is none that can be preferred", nil)
	}
	return c.extra(m.Extra, m)
}

// hashes are the algorithms of fingerprints that a server knows.
var hashes = map[string]bool{"sha-1": true, "sha-224": true, "sha-256": true, "sha-384": true, "sha-512": true}

// dtls checks parameters of a client in the order in which mediasoup's worker does.
func (c checker) dtls(p *DTLSParameters) *ValidationError {
	const at = "dtlsParameters"
	if p.Fingerprints == nil {
		return c.worker(at+".fingerprints", "missing data.fingerprints")
	}
	if _, e := c.fingerprint(at, p); e != nil {
		return e
	}
	switch p.Role {
	case "", DTLSRoleAuto, DTLSRoleClient, DTLSRoleServer:
	default:
		return c.worker(at+".role", "invalid remote role")
	}
	if err := jsonx.CheckExtra(p.Extra, p, "", payloadLevel+1); err != nil {
		return c.fail(at+"."+err.Field, err.Err.Error(), NewError("TypeError", "wrong dtlsParameters"))
	}
	return nil
}

// fingerprint returns the one that counts: the last one whose algorithm is known.
func (c checker) fingerprint(at string, p *DTLSParameters) (*Fingerprint, *ValidationError) {
	for i := len(p.Fingerprints) - 1; i >= 0; i-- {
		f, field := &p.Fingerprints[i], fmt.Sprintf("%s.fingerprints[%d]", at, i)
		switch {
		case f.Algorithm == "" || f.Value == "":
			return nil, c.worker(field, "missing data.fingerprint.algorithm and/or data.fingerprint.value")
		case !hashes[f.Algorithm]:
			if c.rules == Strict {
				return nil, c.worker(field+".algorithm", "unsupported remote fingerprint algorithm")
			}
			continue
		case c.rules == Strict && (f.Value != strings.ToUpper(f.Value) || !strings.Contains(f.Value, ":")):
			return nil, c.fail(field+".value", "is not in upper case with colons", nil)
		}
		return f, nil
	}
	return nil, c.worker(at+".fingerprints", "unsupported remote fingerprint algorithm")
}

// Fingerprint returns the fingerprint that a server compares with the client's certificate,
// or nil.
func (p *DTLSParameters) Fingerprint() *Fingerprint {
	if p == nil {
		return nil
	}
	f, _ := checker{rules: Compat}.fingerprint("", p)
	return f
}

// consumer checks what describes a consumer.
func (c checker) consumer(at string, kind Kind, p *RTPParameters, appData json.RawMessage) *ValidationError {
	switch {
	case kind != Audio && kind != Video:
		return c.fail(at+"kind", "is neither audio nor video", nil)
	case p == nil:
		return c.fail(at+"rtpParameters", "missing", nil)
	case len(p.Encodings) == 0:
		return c.fail(at+"rtpParameters.encodings", "missing", nil)
	}
	return c.raw(at+"appData", appData, appDataLevel)
}

func (c checker) consumers(at string, all []*ConsumerInfo) *ValidationError {
	for i, info := range all {
		field := fmt.Sprintf("%s[%d].", at, i)
		if info == nil || info.ID == 0 {
			return c.fail(field+"id", "missing", nil)
		}
		if e := c.consumer(field, info.Kind, info.RTPParameters, info.AppData); e != nil {
			return e
		}
	}
	return nil
}
