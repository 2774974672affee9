package easyrtc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewSignalsAreThoseOfBrowsers(t *testing.T) {
	t.Parallel()
	offer, err := NewOffer("peer", "v=0\r\n<\"é😀")
	require.NoError(t, err)
	require.Equal(t, &Offer{
		TargetEasyrtcID: "peer", MsgData: json.RawMessage(`{"type":"offer","sdp":"v=0\r\n<\"é😀"}`),
	}, offer)
	answer, err := NewAnswer("peer", "v=0")
	require.NoError(t, err)
	require.Equal(t, &Answer{TargetEasyrtcID: "peer", MsgData: json.RawMessage(`{"type":"answer","sdp":"v=0"}`)}, answer)
	candidate, err := NewCandidate("peer", "candidate:1 1 udp 1 192.0.2.1 9 typ host", 0, "")
	require.NoError(t, err)
	require.Equal(t, &Candidate{
		TargetEasyrtcID: "peer",
		MsgData: json.RawMessage(`{"type":"candidate","label":0,"id":"",` +
			`"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"}`),
	}, candidate)
	for _, m := range []Message{offer, answer, candidate} {
		require.NoError(t, m.Validate())
	}
}

func TestNewSignalsRefuseWhatIsNotUTF8(t *testing.T) {
	t.Parallel()
	_, err := NewOffer("peer", "\xff")
	require.Error(t, err)
	_, err = NewAnswer("peer", "\xff")
	require.Error(t, err)
	_, err = NewCandidate("peer", "\xff", 0, "0")
	require.Error(t, err)
	_, err = NewCandidate("peer", "a", 0, "\xff")
	require.Error(t, err)
}

func TestDescriptionsAndCandidatesAreReadFromTheTraces(t *testing.T) {
	t.Parallel()
	descriptions, candidates := 0, 0
	for _, p := range wirePackets(t) {
		if !strings.HasPrefix(p.flow, "browser_") && !strings.HasPrefix(p.flow, "bot_") {
			continue
		}
		switch m := p.message.(type) {
		case *Offer:
			d, err := m.SessionDescription()
			require.NoError(t, err, p.place)
			require.Equal(t, "offer", d.Type, p.place)
			require.True(t, strings.HasPrefix(d.SDP, "v=0\r\n"), p.place)
			descriptions++
		case *Answer:
			d, err := m.SessionDescription()
			require.NoError(t, err, p.place)
			require.Equal(t, "answer", d.Type, p.place)
			require.True(t, strings.HasPrefix(d.SDP, "v=0\r\n"), p.place)
			descriptions++
		case *Candidate:
			c, err := m.ICECandidate()
			require.NoError(t, err, p.place)
			require.Equal(t, "candidate", c.Type, p.place)
			require.True(t, strings.HasPrefix(c.Candidate, "candidate:"), p.place)
			require.NotNil(t, c.Label, p.place)
			require.NotNil(t, c.ID, p.place)
			require.Empty(t, c.Extra, p.place)
			if p.dir == "c2s" && strings.HasPrefix(p.flow, "browser_") {
				again, err := NewCandidate(m.TargetEasyrtcID, c.Candidate, *c.Label, *c.ID)
				require.NoError(t, err, p.place)
				require.JSONEq(t, string(m.MsgData), string(again.MsgData), p.place)
			}
			candidates++
		}
	}
	require.Greater(t, descriptions, 30)
	require.Greater(t, candidates, 100)
}

func TestDescriptionsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                          "msgData",
		`null`:                      "msgData",
		`[1]`:                       "msgData",
		`{bad`:                      "msgData",
		`{"type":"offer"}`:          "msgData.sdp",
		`{"sdp":""}`:                "msgData.sdp",
		`{"sdp":null}`:              "msgData.sdp",
		`{"sdp":1}`:                 "msgData.sdp",
		`{"SDP":"v=0"}`:             "msgData.sdp",
		`{"type":1,"sdp":"v=0"}`:    "msgData.type",
		`{"sdp":"v=0","sdp":"v=0"}`: "msgData",
	} {
		_, err := (&Offer{MsgData: json.RawMessage(data)}).SessionDescription()
		require.IsType(t, new(ValidationError), err, data)
		require.Equal(t, want, err.(*ValidationError).Field, data)
		require.Equal(t, "offer", err.(*ValidationError).Type, data)
		_, err = (&Answer{MsgData: json.RawMessage(data)}).SessionDescription()
		require.IsType(t, new(ValidationError), err, data)
		require.Equal(t, want, err.(*ValidationError).Field, data)
		require.Equal(t, "answer", err.(*ValidationError).Type, data)
	}
	d, err := (&Offer{MsgData: json.RawMessage(`{"sdp":"v=0","z":[1]}`)}).SessionDescription()
	require.NoError(t, err)
	require.Equal(t, &SessionDescription{SDP: "v=0", Extra: Fields{"z": json.RawMessage("[1]")}}, d)
}

func TestCandidatesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                  "msgData",
		`null`:              "msgData",
		`[{}]`:              "msgData",
		`{"candidate":1}`:   "msgData.candidate",
		`{"label":"0"}`:     "msgData.label",
		`{"label":0.5}`:     "msgData.label",
		`{"label":1e99}`:    "msgData.label",
		`{"id":0}`:          "msgData.id",
		`{"type":[]}`:       "msgData.type",
		`{"id":"a","id":1}`: "msgData",
	} {
		_, err := (&Candidate{MsgData: json.RawMessage(data)}).ICECandidate()
		require.IsType(t, new(ValidationError), err, data)
		require.Equal(t, want, err.(*ValidationError).Field, data)
	}
	c, err := (&Candidate{MsgData: json.RawMessage(`{"candidate":""}`)}).ICECandidate()
	require.NoError(t, err, "which says that there are no more")
	require.Equal(t, &ICECandidate{}, c)
}

func TestAddressesOfICEServersAreReadInAllForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ICEServer{
		`{"urls":["stun:a","stun:b"]}`: NewICEServer("stun:a", "stun:b"),
		`{"urls":[]}`:                  {URLs: URLs{List: []string{}}},
		`{"urls":"stun:a"}`:            {URLs: URLs{List: []string{"stun:a"}, Single: true}},
		`{"url":"stun:a"}`:             {URL: "stun:a"},
		`{"urls":["turn:a"],"username":"u","credential":"c","credentialType":"password"}`: {
			URLs: URLs{List: []string{"turn:a"}}, Username: "u", Credential: "c",
			Extra: Fields{"credentialType": json.RawMessage(`"password"`)},
		},
		`{}`: {},
	} {
		m, err := Decode([]byte(`30[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[` + text + `]}}}]`))
		require.NoError(t, err, text)
		got := m.(*ICEConfig).MsgData.ICEConfig.ICEServers
		require.Equal(t, []ICEServer{want}, got, text)
		b, err := Encode(m)
		require.NoError(t, err)
		require.Contains(t, string(b), "["+text+"]")
	}
	list := NewICEServer("stun:a", "stun:b")
	require.Equal(t, []string{"stun:a", "stun:b"}, list.Addresses())
	require.Equal(t, []string{"stun:a"}, (&ICEServer{URL: "stun:a"}).Addresses())
	require.Equal(t, []string{"stun:b"}, (&ICEServer{URL: "stun:a", URLs: URLs{List: []string{"stun:b"}}}).Addresses())
	require.Empty(t, new(ICEServer).Addresses())
}

func TestAddressesAreTexts(t *testing.T) {
	t.Parallel()
	for _, urls := range []string{`1`, `null`, `{}`, `[null]`, `["stun:a",1]`, `[["stun:a"]]`} {
		_, err := Decode([]byte(`30[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[{"urls":` + urls + `}]}}}]`))
		require.IsType(t, new(DecodeError), err, urls)
		require.Equal(t, "msgData.iceConfig.iceServers[0].urls", err.(*DecodeError).Field, urls)
	}
	_, err := URLs{List: []string{"\xff"}}.MarshalJSON()
	require.Error(t, err)
	_, err = URLs{List: []string{"\xff"}, Single: true}.MarshalJSON()
	require.Error(t, err)
	require.True(t, URLs{}.IsZero())
	require.False(t, URLs{List: []string{}}.IsZero())
	b, err := json.Marshal([]URLs{
		{}, {List: []string{"a"}}, {List: []string{"a"}, Single: true}, {List: []string{"a", "b"}, Single: true},
	})
	require.NoError(t, err)
	require.Equal(t, `[[],["a"],"a",["a","b"]]`, string(b))
}

func TestAPIFieldsAreReadIfTheyAreThoseOfBrowsers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want FieldMap
	}{
		{``, nil},
		{`null`, nil},
		{`{}`, FieldMap{}},
		{`{"a":{"fieldName":"a","fieldValue":[1]}}`, FieldMap{"a": {FieldName: "a", FieldValue: json.RawMessage("[1]")}}},
		{`{"a":{"fieldName":"b","z":1}}`, FieldMap{"a": {FieldName: "b", Extra: Fields{"z": json.RawMessage("1")}}}},
		{`{"a":{}}`, FieldMap{"a": {}}},
	} {
		got, err := (&Occupant{APIField: json.RawMessage(tt.text)}).APIFields()
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.want, got, tt.text)
	}
	for _, text := range []string{`[]`, `"x"`, `{"a":1}`, `{"a":null}`, `{"a":{"fieldName":1}}`, `{`, `{},"g":{}`} {
		_, err := (&Occupant{APIField: json.RawMessage(text)}).APIFields()
		require.IsType(t, new(ValidationError), err, text)
		require.Equal(t, "apiField", err.(*ValidationError).Field, text)
	}
}

func TestFieldsAreWrittenByName(t *testing.T) {
	t.Parallel()
	fields := FieldMap{}
	fields.Set("b", json.RawMessage(`{ "x" : 1 }`))
	fields.Set("a", json.RawMessage("null"))
	fields.Set("b", json.RawMessage(`"é"`))
	b, err := fields.JSON()
	require.NoError(t, err)
	require.Equal(t, `{"a":{"fieldName":"a","fieldValue":null},"b":{"fieldName":"b","fieldValue":"é"}}`, string(b))
	got, err := (&Occupant{APIField: b}).APIFields()
	require.NoError(t, err)
	require.Equal(t, fields, got)

	for _, none := range []FieldMap{nil, {}} {
		b, err = none.JSON()
		require.NoError(t, err)
		require.Equal(t, `{}`, string(b))
	}
	for _, bad := range []FieldMap{
		{"a": {FieldName: "a", FieldValue: json.RawMessage("{")}},
		{"a": {FieldName: "\xff"}},
		{"\xff": {}},
		{"a": {FieldValue: json.RawMessage(nestedArrays(64))}},
	} {
		_, err = bad.JSON()
		require.Error(t, err)
	}
}

func TestLengthsAreInUTF16(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "a": 1, "é": 1, "日": 1, "😀": 2, "a😀b": 4, "\ufffd": 1, "\U0010ffff": 2,
		strings.Repeat("😀", 40): 80,
	} {
		require.Equal(t, want, units(text), text)
	}
}
