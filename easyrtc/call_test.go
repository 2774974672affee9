package easyrtc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

func TestMessagesOfACallHaveTheFormOfBrowsers(t *testing.T) {
	t.Parallel()
	received, err := easyrtc.NewStreamReceived("bob", "default")
	require.NoError(t, err)
	for _, c := range []struct {
		m          *easyrtc.Msg
		typ, bytes string
	}{
		{easyrtc.NewDataChannelPrimed("bob"), "dataChannelPrimed", `""`},
		{easyrtc.NewSupportHalfTrickleICE("bob"), "supportHalfTrickleIce", `{}`},
		{easyrtc.NewICEGatheringDone("bob"), "iceGatheringDone", `{}`},
		{received, "easyrtc_streamReceived", `{"streamName":"default"}`},
	} {
		require.Equal(t, c.typ, c.m.MsgType)
		require.Equal(t, c.bytes, string(c.m.MsgData))
		require.Equal(t, "bob", c.m.TargetEasyrtcID)
		require.NoError(t, c.m.Validate())
	}
	name, err := received.StreamReceived()
	require.NoError(t, err)
	require.Equal(t, "default", name)
	for _, bad := range []string{``, `null`, `"default"`, `{"streamName":1}`} {
		_, err = (&easyrtc.Msg{MsgType: easyrtc.MsgStreamReceived, MsgData: []byte(bad)}).StreamReceived()
		require.Error(t, err, bad)
	}
	_, err = easyrtc.NewStreamReceived("bob", "\xff")
	require.Error(t, err)
}

func TestStreamsAreNamedInAnAPIField(t *testing.T) {
	t.Parallel()
	fields := easyrtc.FieldMap{}
	require.NoError(t, fields.SetMediaIDs(map[string]string{"default": "id-1", "desktop": "id-2"}))
	field, err := fields.JSON()
	require.NoError(t, err)
	require.Equal(t, `{"mediaIds":{"fieldName":"mediaIds","fieldValue":{"default":"id-1","desktop":"id-2"}}}`,
		string(field))
	ids, err := (&easyrtc.Occupant{APIField: field}).MediaIDs()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"default": "id-1", "desktop": "id-2"}, ids)
	require.Error(t, fields.SetMediaIDs(map[string]string{"\xff": "x"}))
	require.Error(t, fields.SetMediaIDs(map[string]string{"x": "\xff"}))

	for _, none := range []string{``, `null`, `{}`, `{"other":{"fieldName":"other","fieldValue":1}}`} {
		ids, err := (&easyrtc.Occupant{APIField: []byte(none)}).MediaIDs()
		require.NoError(t, err, none)
		require.Nil(t, ids, none)
	}
	for _, bad := range []string{
		`[]`, `{"mediaIds":1}`, `{"mediaIds":{"fieldName":"mediaIds","fieldValue":[]}}`,
		`{"mediaIds":{"fieldName":"mediaIds","fieldValue":{"default":1}}}`,
	} {
		_, err := (&easyrtc.Occupant{APIField: []byte(bad)}).MediaIDs()
		require.Error(t, err, bad)
	}
}

func TestStreamNamesAreFoundAsInBrowsers(t *testing.T) {
	t.Parallel()
	ids := map[string]string{"camera": "abc", "desktop": "abcdef", "none": ""}
	for id, name := range map[string]string{
		"abc": "camera", "abcdef": "desktop", "abcdefgh": "camera", "ab": "camera", "x": "", "": "none",
	} {
		require.Equal(t, name, easyrtc.StreamName(ids, id), id)
	}
	require.Empty(t, easyrtc.StreamName(nil, "abc"))
}

func text(t *testing.T, s string) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return b
}

func TestLongDataIsSplitAndPutTogether(t *testing.T) {
	t.Parallel()
	const frame = len(`{"msgType":"m","msgData":""}`)
	for _, s := range []string{
		"", strings.Repeat("x", 1000-frame), strings.Repeat("x", 1001-frame), strings.Repeat("x", 5000),
		strings.Repeat("ä", 1000-frame), strings.Repeat("😀", 500), strings.Repeat("😀", 5000),
		"x" + strings.Repeat("😀", 5000),
		strings.Repeat("\u2028\"\\\x00<", 3000),
	} {
		m := &easyrtc.DataMessage{MsgType: "m", MsgData: text(t, s)}
		parts, err := easyrtc.EncodeData(m, "bob-0", 0)
		require.NoError(t, err)
		if whole, err := easyrtc.EncodeData(m, "bob-0", 1<<30); len(utf16.Encode([]rune(whole[0]))) <= 1000 {
			require.NoError(t, err)
			require.Equal(t, whole, parts)
		} else {
			require.Greater(t, len(parts), 3)
			require.Equal(t, fmt.Sprintf(`{"transfer":"start","transferId":"bob-0","parts":%d}`, len(parts)-2), parts[0])
			require.Equal(t, `{"transfer":"end","transferId":"bob-0"}`, parts[len(parts)-1])
			for _, part := range parts[1 : len(parts)-1] {
				var chunk struct{ Data string }
				require.NoError(t, json.Unmarshal([]byte(part), &chunk))
				require.LessOrEqual(t, len(utf16.Encode([]rune(chunk.Data))), 1000)
				require.NotContains(t, chunk.Data, "\uFFFD", "half of a pair")
			}
		}
		var a easyrtc.Assembler
		for i, part := range parts {
			got, err := a.Receive([]byte(part))
			require.NoError(t, err)
			if i < len(parts)-1 {
				require.Nil(t, got)
				continue
			}
			require.Equal(t, m, got)
		}
	}
	_, err := easyrtc.EncodeData(&easyrtc.DataMessage{MsgData: []byte("{")}, "x", 0)
	require.Error(t, err)
	_, err = easyrtc.EncodeData(&easyrtc.DataMessage{MsgData: text(t, strings.Repeat("x", 2000))}, "\xff", 0)
	require.Error(t, err)
}

// A browser cuts a text every 1000 units, wherever that is, and writes what is left of a
// pair as an escape.
func TestASurrogatePairThatABrowserCutsIsWhole(t *testing.T) {
	t.Parallel()
	s := "x" + strings.Repeat("😀", 2000)
	whole := utf16.Encode([]rune(`{"msgType":"m","msgData":"` + s + `"}`))
	var chunks []string
	cut := false
	for rest := whole; len(rest) > 0; {
		n := min(len(rest), 1000)
		var b strings.Builder
		for i := range n {
			switch r := rune(rest[i]); {
			case r == '"':
				b.WriteString(`\"`)
			case utf16.IsSurrogate(r):
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				b.WriteRune(r)
			}
		}
		cut = cut || utf16.IsSurrogate(rune(rest[n-1])) && rest[n-1] < 0xdc00
		chunks, rest = append(chunks, b.String()), rest[n:]
	}
	require.True(t, cut, "no pair is cut")
	var a easyrtc.Assembler
	receive := func(text string) *easyrtc.DataMessage {
		m, err := a.Receive([]byte(text))
		require.NoError(t, err)
		return m
	}
	receive(fmt.Sprintf(`{"transfer":"start","transferId":"b-7","parts":"%d"}`, len(chunks)))
	for _, c := range chunks {
		receive(`{"transferId":"b-7","data":"` + c + `","transfer":"chunk"}`)
	}
	m := receive(`{"transfer":"end","transferId":"b-7"}`)
	require.NotNil(t, m)
	var got string
	require.NoError(t, json.Unmarshal(m.MsgData, &got))
	require.Equal(t, s, got)
}

// Each step is a text; what becomes of the last one is what counts.
func TestTransfersThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	const (
		start = `{"transfer":"start","transferId":"t","parts":1}`
		chunk = `{"transfer":"chunk","transferId":"t","data":"{\"msgType\":\"m\"}"}`
		end   = `{"transfer":"end","transferId":"t"}`
	)
	part := func(data string) string {
		return `{"transfer":"chunk","transferId":"t","data":"` + data + `"}`
	}
	long := fmt.Sprintf(`{"transfer":"chunk","transferId":"t","data":"%s"}`, strings.Repeat("x", 1001))
	for name, steps := range map[string][]string{
		"no start":                    {chunk},
		"end without start":           {end},
		"end twice":                   {start, chunk, end, end},
		"too few parts":               {start, end},
		"too many parts":              {start, chunk, chunk},
		"end after too many parts":    {start, chunk, chunk, end},
		"end after a part too long":   {start, long, end},
		"part too long":               {start, long},
		"part of another transfer":    {start, `{"transfer":"chunk","transferId":"u","data":"x"}`},
		"no parts":                    {`{"transfer":"start","transferId":"t"}`},
		"zero parts":                  {`{"transfer":"start","transferId":"t","parts":0}`},
		"negative parts":              {`{"transfer":"start","transferId":"t","parts":-1}`},
		"parts beyond all limits":     {`{"transfer":"start","transferId":"t","parts":1000000000}`},
		"parts that are no number":    {`{"transfer":"start","transferId":"t","parts":"many"}`},
		"data that is no text":        {start, `{"transfer":"chunk","transferId":"t","data":1}`},
		"data that is missing":        {start, `{"transfer":"chunk","transferId":"t"}`},
		"unknown step":                {`{"transfer":"middle","transferId":"t"}`},
		"no JSON":                     {`nonsense`},
		"no object":                   {`[1]`},
		"duplicate name":              {`{"msgType":"a","msgType":"b"}`},
		"no type":                     {`{"msgData":1}`},
		"type that is no text":        {`{"msgType":1}`},
		"invalid UTF-8":               {"{\"msgType\":\"\xff\"}"},
		"whole that is no JSON":       {start, `{"transfer":"chunk","transferId":"t","data":"{"}`, end},
		"whole that has no type":      {start, `{"transfer":"chunk","transferId":"t","data":"{}"}`, end},
		"whole that is a transfer":    {start, part(`{\"transfer\":\"end\",\"transferId\":\"t\"}`), end},
		"half of a pair":              {start, part(`{\"msgType\":\"\ud83d\"}`), end},
		"half of a pair at the end":   {start, `{"transfer":"chunk","transferId":"t","data":"{}\ud83d"}`, end},
		"second half without a first": {start, `{"transfer":"chunk","transferId":"t","data":"\ude00{}"}`, end},
	} {
		var a easyrtc.Assembler
		for i, step := range steps {
			m, err := a.Receive([]byte(step))
			if i < len(steps)-1 {
				continue
			}
			require.Nil(t, m, name)
			var invalid *easyrtc.ValidationError
			require.ErrorAs(t, err, &invalid, name)
		}
		// and the next one is as good as ever
		for _, step := range []string{start, chunk} {
			_, err := a.Receive([]byte(step))
			require.NoError(t, err, name)
		}
		m, err := a.Receive([]byte(end))
		require.NoError(t, err, name)
		require.Equal(t, &easyrtc.DataMessage{MsgType: "m"}, m, name)
	}
}

func TestWhatIsNoMessageOnTheDataChannelIsPassedOver(t *testing.T) {
	t.Parallel()
	var a easyrtc.Assembler
	for _, s := range []string{"", easyrtc.DataChannelPrimed} {
		m, err := a.Receive([]byte(s))
		require.NoError(t, err)
		require.Nil(t, m)
	}
	// One of the two members alone is nothing special.
	m, err := a.Receive([]byte(`{"transfer":"start","msgType":"m","msgData":null}`))
	require.NoError(t, err)
	require.Equal(t, "m", m.MsgType)
	require.Equal(t, `null`, string(m.MsgData))
	require.Equal(t, easyrtc.Fields{"transfer": json.RawMessage(`"start"`)}, m.Extra)
}

func TestTransfersHaveLimits(t *testing.T) {
	t.Parallel()
	t.Run("of length", func(t *testing.T) {
		t.Parallel()
		a := easyrtc.Assembler{DataUnits: 1500}
		long := &easyrtc.DataMessage{MsgType: "m", MsgData: text(t, strings.Repeat("x", 2000))}
		parts, err := easyrtc.EncodeData(long, "t", 0)
		require.NoError(t, err)
		var last error
		for _, part := range parts {
			m, err := a.Receive([]byte(part))
			require.Nil(t, m)
			if err != nil {
				last = err
			}
		}
		require.Error(t, last)
	})
	t.Run("of parts", func(t *testing.T) {
		t.Parallel()
		a := easyrtc.Assembler{ChunkUnits: 10}
		parts, err := easyrtc.EncodeData(&easyrtc.DataMessage{MsgType: "m", MsgData: text(t, "0123456789")}, "t", 10)
		require.NoError(t, err)
		var got *easyrtc.DataMessage
		for _, part := range parts {
			got, err = a.Receive([]byte(part))
			require.NoError(t, err)
		}
		require.NotNil(t, got)
		_, err = a.Receive([]byte(`{"transfer":"start","transferId":"t","parts":1}`))
		require.NoError(t, err)
		_, err = a.Receive([]byte(`{"transfer":"chunk","transferId":"t","data":"01234567890"}`))
		require.Error(t, err)
	})
	t.Run("of transfers at once", func(t *testing.T) {
		t.Parallel()
		a := easyrtc.Assembler{Transfers: 2}
		for _, id := range []string{"1", "2", "3"} {
			_, err := a.Receive(fmt.Appendf(nil, `{"transfer":"start","transferId":"%s","parts":1}`, id))
			require.NoError(t, err)
		}
		for id, ok := range map[string]bool{"1": false, "2": true, "3": true} {
			_, err := a.Receive(fmt.Appendf(nil, `{"transfer":"chunk","transferId":"%s","data":"{}"}`, id))
			require.Equal(t, ok, err == nil, id)
		}
	})
}

func FuzzAssembler(f *testing.F) {
	for _, s := range []string{
		"", "dataChannelPrimed", `{"msgType":"m","msgData":{"a":[1]}}`,
		`{"transfer":"start","transferId":"t","parts":2}` + "\n" +
			`{"transfer":"chunk","transferId":"t","data":"{\"msgType\":\"\ud83d"}` + "\n" +
			`{"transfer":"chunk","transferId":"t","data":"\ude00\"}"}` + "\n" + `{"transfer":"end","transferId":"t"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		a := easyrtc.Assembler{DataUnits: 4096}
		for line := range strings.SplitSeq(lines, "\n") {
			m, err := a.Receive([]byte(line))
			if m == nil || err != nil {
				continue
			}
			parts, err := easyrtc.EncodeData(m, "again", 16)
			require.NoError(t, err)
			var got *easyrtc.DataMessage
			b := easyrtc.Assembler{ChunkUnits: 16}
			for _, part := range parts {
				got, err = b.Receive([]byte(part))
				require.NoError(t, err)
			}
			require.Equal(t, m, got)
		}
	})
}
