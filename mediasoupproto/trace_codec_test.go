package mediasoupproto

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// unreadableLines are the payloads of the traces that do not decode, and why. The real server
// refuses them as well, but for those of takenByServer.
var unreadableLines = map[string]string{
	"33-bad-input-transport:11":  "method: wrong or missing", // none
	"33-bad-input-transport:14":  "notification: is a notification in a request",
	"33-bad-input-transport:23":  "createTransport: id: wrong JSON type",          // a text
	"33-bad-input-transport:28":  "createTransport: id: number out of range",      // negative
	"33-bad-input-transport:33":  "createTransport: id: wrong JSON type",          // a fraction
	"33-bad-input-transport:38":  "createTransport: id: number out of range",      // 2^32
	"33-bad-input-transport:63":  "createTransport: options: wrong JSON type",     // null
	"33-bad-input-transport:66":  "createTransport: options: wrong JSON type",     // a text
	"33-bad-input-transport:80":  "createTransport: options.udp: wrong JSON type", // a text
	"33-bad-input-transport:96":  "createTransport: dtlsParameters.fingerprints[0]: wrong JSON type",
	"33-bad-input-transport:139": "restartTransport: id: wrong JSON type", // a text
	"33-bad-input-transport:162": "updateTransport: dtlsParameters.fingerprints: wrong JSON type",
	"34-bad-input-producer:42":   "createProducer: rtpParameters.muxId: empty",
	"34-bad-input-producer:155":  "createProducer: rtpParameters.encodings[0]: wrong JSON type",
	"34-bad-input-producer:160":  "createProducer: rtpParameters.encodings[0].ssrc: wrong JSON type", // a text
	"34-bad-input-producer:261":  "createProducer: id: wrong JSON type",                              // a text
	"34-bad-input-producer:266":  "createProducer: paused: wrong JSON type",                          // a text

	"36-bad-input-notifications:12": "notification: is no notification",
	"36-bad-input-notifications:15": "notification: is no notification", // 1
	"36-bad-input-notifications:18": "method: wrong or missing",
	"36-bad-input-notifications:27": "notification: is no notification",
	"36-bad-input-notifications:37": "pauseProducer: id: wrong JSON type", // a text
	"36-bad-input-notifications:55": "notification: is a notification in a request",
	"37-plain-rtp-transport:24":     "updateTransport: plainRtpParameters.ip: wrong JSON type",
	"51-client-notifications:74":    "notification: is no notification",
	"51-client-notifications:76":    "method: wrong or missing", // none
	"51-client-notifications:78":    "method: wrong or missing", // a number
}

// takenByServer are those of unreadableLines that the real server carries out, because it does
// not look at what is wrong in them.
var takenByServer = map[string]bool{
	"33-bad-input-transport:63": true, "33-bad-input-transport:66": true, "33-bad-input-transport:80": true,
	"34-bad-input-producer:160": true, "34-bad-input-producer:266": true,
}

// alwaysWritten are the members that are written although a peer left them out.
var alwaysWritten = map[string]any{
	"paused": false, "spy": false, "effectiveProfile": nil,
	"peers": []any{}, "consumers": []any{}, "codecs": []any{},
}

// requireSameValue demands that got is the JSON of want, but for members that are always
// written.
func requireSameValue(tb testing.TB, want, got []byte, place string) {
	tb.Helper()
	var w, g any
	require.NoError(tb, json.Unmarshal(want, &w), place)
	require.NoError(tb, json.Unmarshal(got, &g), place)
	complete(w, g)
	require.Equal(tb, w, g, place)
}

// complete adds to a value what is always written and stands in its other form.
func complete(want, got any) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return
		}
		for name, value := range alwaysWritten {
			_, has := w[name]
			if _, written := g[name]; written && !has {
				w[name] = value
			}
		}
		if _, written := g["id"]; !written && w["id"] == 0.0 {
			delete(w, "id") // 0 is none
		}
		for name := range w {
			complete(w[name], g[name])
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				complete(w[i], g[i])
			}
		}
	}
}

func TestTracesDecodeAndEncodeToTheSameValue(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(unreadableLines)
	seen := map[string]bool{}
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.Dir != "c2s" && l.Dir != "s2c" || l.Kind != "request" && l.Kind != "notification" {
			continue
		}
		before := string(l.Body)
		m, err := payloadOf(l)
		require.Equal(t, before, string(l.Body), l.place())
		if reason, ok := unreadableLines[l.place()]; ok {
			require.ErrorContains(t, err, reason, l.place())
			require.IsType(t, new(DecodeError), err)
			delete(unused, l.place())
			continue
		}
		require.NoError(t, err, l.place())
		seen[name(m)] = true
		if l.Dir == "s2c" && !l.scripted() {
			require.NoError(t, m.Validate(), l.place())
		}
		b, err := EncodePayload(m)
		require.NoError(t, err, l.place())
		requireSameValue(t, l.Body, b, l.place())
		again, err := DecodePayload(m.head().RequestID, b)
		require.NoError(t, err, l.place())
		same, err := EncodePayload(again)
		require.NoError(t, err, l.place())
		require.Equal(t, string(b), string(same), l.place())
	}
	require.Empty(t, unused)
	for method := range registry {
		require.True(t, seen[method], "no %s", method)
	}
}

// resultOf reads the result of a request and writes it again.
func resultOf(tb testing.TB, method string, m *Response) (result any, again []byte, err error) {
	tb.Helper()
	switch method {
	case "queryRoom":
		result, err = m.QueryRoom()
	case "join":
		result, err = m.Join()
	case "createTransport":
		result, err = m.CreateTransport()
	case "restartTransport":
		result, err = m.RestartTransport()
	case "enableConsumer":
		result, err = m.EnableConsumer()
	default:
		return nil, m.Result, nil
	}
	if err != nil {
		return nil, nil, err
	}
	again, err = jsonx.Append(nil, "", "", result)
	return result, again, err
}

func TestAnswersOfTheTracesAreReadByTheirRequests(t *testing.T) {
	t.Parallel()
	answers, refusals := map[string]int{}, 0
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.Dir != "c2s" || l.Kind != "request" {
			continue
		}
		answer := answerOf(lines, i)
		if answer == nil {
			continue
		}
		var request struct{ Method any }
		require.NoError(t, json.Unmarshal(l.Body, &request), l.place())
		method, _ := request.Method.(string)
		wire := `{"response":true,"id":` + string(l.RID) + `,"ok":true,"data":` + string(answer.Body) + `}`
		if answer.Kind == "error" {
			e := answer.refusal(t)
			reason, err := json.Marshal(e.Reason)
			require.NoError(t, err)
			wire = `{"response":true,"id":` + string(l.RID) + `,"errorCode":500,"errorReason":` + string(reason) + `}`
			m, err := Decode([]byte(wire))
			require.NoError(t, err, l.place())
			require.Equal(t, e, m.(*Response).Error, l.place())
			_, _, err = resultOf(t, method, m.(*Response))
			if _, typed := answered[method]; typed {
				require.ErrorIs(t, err, e, l.place())
			}
			refusals++
			continue
		}
		m, err := Decode([]byte(wire))
		require.NoError(t, err, answer.place())
		b, err := Encode(m)
		require.NoError(t, err, answer.place())
		require.Equal(t, wire, string(b), answer.place())
		_, again, err := resultOf(t, method, m.(*Response))
		require.NoError(t, err, answer.place())
		requireSameValue(t, answer.Body, again, answer.place())
		answers[method]++
	}
	require.Greater(t, refusals, 60)
	for method := range answered {
		require.Greater(t, answers[method], 5, method)
	}
	require.Greater(t, answers["createProducer"], 50)
}

// answered are the requests whose answers have members.
var answered = map[string]bool{
	"queryRoom": true, "join": true, "createTransport": true, "restartTransport": true, "enableConsumer": true,
}

func TestStatisticsOfTheTracesAreRead(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.scripted() || l.Dir != "s2c" || l.Kind != "notification" || !strings.Contains(string(l.Body), `"stats"`) {
			continue
		}
		m, err := payloadOf(l)
		require.NoError(t, err, l.place())
		var raw []json.RawMessage
		var again []json.RawMessage
		switch m := m.(type) {
		case *TransportStats:
			all, err := m.Transport()
			require.NoError(t, err, l.place())
			for _, s := range all {
				seen[s.Type]++
				require.Empty(t, s.Extra, l.place())
				require.NotZero(t, s.Timestamp, l.place())
				b, err := s.JSON()
				require.NoError(t, err, l.place())
				again = append(again, b)
			}
			raw = m.Stats
		case *ProducerStats:
			raw, again = m.Stats, streamsAgain(t, m.Streams, seen, l.place())
		case *ConsumerStats:
			raw, again = m.Stats, streamsAgain(t, m.Streams, seen, l.place())
		default:
			continue
		}
		require.Len(t, again, len(raw))
		for j := range raw {
			requireSameJSON(t, raw[j], again[j], l.place())
		}
	}
	require.Greater(t, seen[StatsTransport], 5)
	require.Greater(t, seen[StatsInboundRTP], 5)
	require.Greater(t, seen[StatsOutboundRTP], 5)
}

func streamsAgain(
	t *testing.T, streams func() ([]*RTPStreamStats, error), seen map[string]int, place string,
) (again []json.RawMessage) {
	t.Helper()
	all, err := streams()
	require.NoError(t, err, place)
	for _, s := range all {
		seen[s.Type]++
		require.Empty(t, s.Extra, place)
		b, err := s.JSON()
		require.NoError(t, err, place)
		again = append(again, b)
	}
	return again
}

// stricter are the requests that the real server carries out and that Compat refuses: those
// without a number of their own, for which the server picks one and does not tell, and the
// join that makes others fail.
var stricter = map[string]string{
	"33-bad-input-transport:17": "id", "33-bad-input-transport:20": "id", "34-bad-input-producer:256": "id",
	"32-join-without-headerExtensions-field-then-producer:2": "rtpCapabilities.headerExtensions",
}

// stateful are the beginnings of what the server refuses for what has happened before.
var stateful = []string{
	"Error: duplicated Peer ", "Error: a Producer with same ", "Error: a Transport with same ", "Error: could not open ",
	"Error: Transport not found", "Error: ssrc already exists ", "Error: muxId already exists ",
	"Error: rid already exists ", "TypeError: WebRtcTransport not found", "Error: spy peers ",
	"Error: unknown request method ", "InvalidStateError: Room closed", "TypeError: transport.changeUfragPwd ",
}

// ofV8 reports whether a text is not the server's but that of JavaScript, which nobody
// compares.
func ofV8(e *Error) bool { return strings.Contains(e.Reason, "Cannot read properties of undefined") }

// A request that does not decode, or that nobody could carry out, is refused in the words of
// the server, and nothing else is.
func TestRequestsOfTheTracesAreRefusedInTheWordsOfTheServer(t *testing.T) {
	t.Parallel()
	room := defaultRoom(t)
	unused := maps.Clone(stricter)
	refused, taken, later := 0, 0, map[string]bool{}
	lines := wireLines(t)
	for i := range lines {
		l := &lines[i]
		if l.scripted() || l.Dir != "c2s" || l.Kind != "request" {
			continue
		}
		answer := answerOf(lines, i)
		if answer == nil {
			continue
		}
		var says *Error
		m, err := payloadOf(l)
		if e, ok := err.(*DecodeError); ok {
			require.Equal(t, ID(l.RID), e.RequestID, l.place())
			if takenByServer[l.place()] {
				require.Equal(t, "response", answer.Kind, l.place())
				taken++
				continue
			}
			says = answerTo(e)
		} else if says = refusalOf(m, room); says != nil && stricter[l.place()] != "" {
			require.Equal(t, stricter[l.place()], Compat.Validate(m).(*ValidationError).Field, l.place())
			require.Equal(t, "response", answer.Kind, l.place())
			delete(unused, l.place())
			continue
		}
		if says == nil {
			if answer.Kind == "error" && !ofV8(answer.refusal(t)) {
				begin := beginOf(answer.refusal(t).Reason)
				require.NotEmpty(t, begin, "%s: %v", l.place(), answer.refusal(t))
				later[begin] = true
			}
			continue
		}
		want := answer.refusal(t)
		refused++
		if !ofV8(want) {
			require.Equal(t, want, says, l.place())
		}
	}
	require.Equal(t, len(takenByServer), taken)
	require.Empty(t, unused)
	require.Greater(t, refused, 45)
	require.Len(t, later, len(stateful))
}

// refusalOf returns why a server refuses a request whatever has happened before, or nil.
func refusalOf(m Message, room *RTPCapabilities) *Error {
	if p, ok := m.(*CreateProducer); ok && (p.Kind == Audio || p.Kind == Video) {
		if _, e := mapProducer(p.RTPParameters, room); e != nil {
			return e
		}
	}
	if err := Compat.Validate(m); err != nil {
		return err.(*ValidationError).Answer
	}
	return nil
}

func beginOf(reason string) string {
	for _, begin := range stateful {
		if strings.HasPrefix(reason, begin) {
			return begin
		}
	}
	return ""
}
