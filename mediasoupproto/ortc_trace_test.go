package mediasoupproto

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// payloadOf decodes the body of a line.
func payloadOf(l *wireLine) (Message, error) {
	id := ID("")
	if l.Kind == "request" {
		id = ID(l.RID)
	}
	return DecodePayload(id, l.Body)
}

func defaultRoom(tb testing.TB) *RTPCapabilities {
	tb.Helper()
	room, err := GenerateRoomRTPCapabilities(DefaultCodecs())
	require.NoError(tb, err)
	return room
}

// jsonOf returns parameters or capabilities as they are written.
func jsonOf(tb testing.TB, v any) string {
	tb.Helper()
	b, err := jsonx.Append(nil, "", "", v)
	require.NoError(tb, err)
	return string(b)
}

func TestARoomOfTheDefaultCodecsIsThatOfTheDemo(t *testing.T) {
	t.Parallel()
	room, count := jsonOf(t, defaultRoom(t)), 0
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.scripted() || !l.is("c2s", "request", "queryRoom") {
			continue
		}
		answer := answerOf(lines, i)
		if answer == nil || answer.Kind != "response" {
			continue
		}
		var result struct {
			RTPCapabilities            json.RawMessage
			MandatoryCodecPayloadTypes []uint8
		}
		require.NoError(t, json.Unmarshal(answer.Body, &result), answer.place())
		requireSameJSON(t, result.RTPCapabilities, []byte(room), answer.place())
		require.Empty(t, result.MandatoryCodecPayloadTypes, answer.place())
		count++
	}
	require.Greater(t, count, 30)
}

// A producerWire is a createProducer of a trace that the server carried out.
type producerWire struct {
	peer string
	m    *CreateProducer
	told map[string]bool // names of those who were told
}

// An ortcReplay is the state of the rooms of the traces as far as ORTC needs it.
type ortcReplay struct {
	testing.TB
	room      *RTPCapabilities
	caps      map[string]*RTPCapabilities // of the peers of a flow
	producers []*producerWire
	consumers int
}

// check compares what a peer is told of a consumer with what is computed.
func (r *ortcReplay) check(place, peer, of string, kind Kind, appData json.RawMessage, got *RTPParameters) {
	r.Helper()
	require.NotNil(r, got, place)
	require.Len(r, got.Encodings, 1, place)
	e := got.Encodings[0]
	require.NotZero(r, e.SSRC, place)
	rtx := uint32(0)
	if e.RTX != nil {
		rtx = e.RTX.SSRC
		require.NotZero(r, rtx, place)
	}
	var candidates []string
	for _, p := range r.producers {
		if p.peer != of || p.m.Kind != kind || p.told[peer] || string(p.m.AppData) != string(appData) {
			continue
		}
		m, err := mapProducer(p.m.RTPParameters, r.room)
		require.Nil(r, err, place)
		want := consumerParameters(consumable(p.m.RTPParameters, r.room, m), r.caps[peer], e.SSRC, rtx)
		var a, b any
		require.NoError(r, json.Unmarshal([]byte(jsonOf(r, want)), &a))
		require.NoError(r, json.Unmarshal([]byte(jsonOf(r, got)), &b))
		if !equalValues(a, b) {
			candidates = append(candidates, jsonOf(r, want))
			continue
		}
		p.told[peer] = true
		r.consumers++
		return
	}
	require.Fail(r, "nothing is so", "%s:\n%s\n%s", place, jsonOf(r, got), strings.Join(candidates, "\n"))
}

func equalValues(a, b any) bool {
	x, err := json.Marshal(a)
	y, also := json.Marshal(b)
	return err == nil && also == nil && string(x) == string(y)
}

// unreadable are the producers that the server takes and that no message holds, by flow and
// line: an SSRC that is a text, and a truth that is one.
var unreadable = map[string]error{
	"34-bad-input-producer:160": jsonx.ErrType,
	"34-bad-input-producer:266": jsonx.ErrType,
}

// Every consumer of the traces has the parameters that follow from those of its producer, and
// all capabilities but the incomplete ones are fit to join with.
func TestConsumersOfTheTracesFollowFromTheirProducers(t *testing.T) {
	t.Parallel()
	r := &ortcReplay{TB: t, room: defaultRoom(t)}
	incomplete, produced, joined, flow := 0, 0, 0, ""
	skipped := map[string]error{}
	var unread *wireLine // the answer to the last one of those
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.scripted() {
			continue
		}
		if l.flow != flow {
			flow, r.caps, r.producers = l.flow, map[string]*RTPCapabilities{}, nil
		}
		switch {
		case l.is("c2s", "request", "join"):
			m, err := payloadOf(l)
			require.NoError(t, err, l.place())
			caps := m.(*Join).RTPCapabilities
			if e := checkCapabilities(caps, r.room); caps.HeaderExtensions == nil {
				require.Equal(t, NewError("TypeError", "rtpCapabilities.headerExtensions is missing"), e, l.place())
				incomplete++
				continue
			} else {
				require.Nil(t, e, l.place())
			}
			answer := answerOf(lines, i)
			if answer == nil || answer.Kind != "response" {
				continue
			}
			joined++
			r.caps[m.(*Join).PeerName] = caps
			for _, p := range r.producers { // it gets new consumers for all of them
				delete(p.told, m.(*Join).PeerName)
			}
			result, err := (&Response{Result: answer.Body}).Join()
			require.NoError(t, err, answer.place())
			for _, info := range result.Peers {
				for _, c := range info.Consumers {
					require.Equal(t, info.Name, c.PeerName)
					r.check(answer.place(), m.(*Join).PeerName, c.PeerName, c.Kind, c.AppData, c.RTPParameters)
				}
			}
		case l.is("c2s", "request", "createProducer"):
			answer := answerOf(lines, i)
			if answer == nil || answer.Kind != "response" {
				continue
			}
			m, err := payloadOf(l)
			if err != nil {
				skipped[l.place()], unread = err.(*DecodeError).Err, answer
				continue
			}
			produced++
			r.producers = append(r.producers, &producerWire{l.Peer, m.(*CreateProducer), map[string]bool{}})
		case l.is("s2c", "notification", "newConsumer"):
			m, err := payloadOf(l)
			require.NoError(t, err, l.place())
			c := m.(*NewConsumer)
			if unread != nil && unread.flow == l.flow && l.number < unread.number {
				continue
			}
			r.check(l.place(), l.Peer, c.PeerName, c.Kind, c.AppData, c.RTPParameters)
		}
	}
	require.Equal(t, unreadable, skipped)
	require.Equal(t, 2, incomplete)
	require.Greater(t, joined, 40)
	require.Greater(t, produced, 70)
	require.Greater(t, r.consumers, 60)
}

// What mediasoup refuses by the maths alone is refused in the same words, and nothing else is.
func TestProducersOfTheTracesAreRefusedInTheWordsOfTheServer(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	refused, passed := map[string]int{}, 0
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.scripted() || !l.is("c2s", "request", "createProducer") {
			continue
		}
		answer := answerOf(lines, i)
		if answer == nil || answer.Kind != "error" {
			continue
		}
		m, err := payloadOf(l)
		if err != nil {
			require.NotErrorIs(t, err, jsonx.ErrSyntax, l.place())
			continue // what the codec refuses is compared with its own answers
		}
		said := answer.refusal(t)
		mapping, e := mapProducer(m.(*CreateProducer).RTPParameters, room)
		if !strings.HasPrefix(said.Reason, "Error: wrong RTP parameters: ") {
			require.Nil(t, e, l.place())
			require.NotNil(t, mapping, l.place())
			passed++
			continue
		}
		require.Equal(t, said, e, l.place())
		require.Nil(t, mapping, l.place())
		refused[said.Reason]++
	}
	require.Greater(t, passed, 20)
	require.Len(t, refused, 8)
}
