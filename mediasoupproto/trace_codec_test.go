package mediasoupproto

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// unreadableLines are the payloads of the traces that do not decode.
var unreadableLines = map[string]string{}

// alwaysWritten are the members that are written although a peer left them out.
var alwaysWritten = map[string]any{"paused": false, "spy": false, "effectiveProfile": nil, "peers": []any{}, "consumers": []any{}, "codecs": []any{}}

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
		if err != nil {
			t.Errorf("%s: %v", l.place(), err)
			continue
		}
		require.NoError(t, err, l.place())
		seen[name(m)] = true
		if l.Dir == "s2c" && !l.scripted() {
			require.NoError(t, m.Validate(), l.place())
		}
		b, err := EncodePayload(m)
		require.NoError(t, err, l.place())
		var w, g any
		json.Unmarshal(l.Body, &w)
		json.Unmarshal(b, &g)
		complete(w, g)
		if !equalValues(w, g) {
			t.Errorf("DIFF %s:\n%s\n%s", l.place(), l.Body, b)
		}
		again, err := DecodePayload(m.head().RequestID, b)
		require.NoError(t, err, l.place())
		_ = again
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
