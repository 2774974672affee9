package mediasoupproto

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// spoil changes all that can be reached through a value in place.
func spoil(v any) { spoilValue(reflect.ValueOf(v)) }

func spoilValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoilValue(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			spoilValue(field)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			for i := range v.Len() {
				v.Index(i).SetUint('7')
			}
			return
		}
		for i := range v.Len() {
			spoilValue(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			return
		}
		for key, value := range v.Seq2() {
			spoilValue(value)
			v.SetMapIndex(key, value)
		}
		v.SetMapIndex(reflect.ValueOf("spoiled").Convert(v.Type().Key()), reflect.ValueOf(json.RawMessage("1")))
	case reflect.String:
		v.SetString("spoiled")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	}
}

// FuzzORTC checks that the maths neither panics nor changes what it is given, whatever that
// is, and that what it makes of what is valid is valid: a client may join with what it has in
// common with a room, and send and receive what follows from it.
func FuzzORTC(f *testing.F) {
	room, err := GenerateRoomRTPCapabilities(DefaultCodecs())
	require.NoError(f, err)
	for _, device := range []string{firefoxDevice, chromiumDevice, scriptedDevice, jsonOf(f, room), `{"codecs":[]}`} {
		f.Add([]byte(device), []byte(jsonOf(f, room)), []byte(cameraParameters))
	}
	lines := wireLines(f)
	for i := range lines {
		if lines[i].is("c2s", "request", "createProducer") && lines[i].flow == "34-bad-input-producer" {
			if p, ok := jsonx.Peek(lines[i].Body, "rtpParameters"); ok {
				f.Add([]byte(jsonOf(f, room)), []byte(jsonOf(f, room)), []byte(p))
			}
		}
	}
	f.Fuzz(func(t *testing.T, localText, roomText, parametersText []byte) {
		local, room, p := new(RTPCapabilities), new(RTPCapabilities), new(RTPParameters)
		if jsonx.Unmarshal(localText, local) != nil || jsonx.Unmarshal(roomText, room) != nil ||
			jsonx.Unmarshal(parametersText, p) != nil {
			return
		}
		before := jsonOf(t, local) + jsonOf(t, room) + jsonOf(t, p)
		common := ExtendRTPCapabilities(local, room)
		caps := common.RTPCapabilities()
		_, _ = common.Unsupported(room, []uint8{100, 101, 55})
		_ = common.CanReceive(p)
		valid := func(caps *RTPCapabilities) bool {
			return caps.HeaderExtensions != nil && (&Join{PeerName: "a", RTPCapabilities: caps}).Validate() == nil
		}
		if valid(local) && valid(room) {
			require.Nil(t, checkCapabilities(caps, room))
		}
		for _, kind := range []Kind{Audio, Video} {
			sending := common.SendingRTPParameters(kind)
			require.Equal(t, common.CanSend(kind), sending != nil)
			if sending == nil || !valid(local) || !valid(room) {
				continue
			}
			sending.Encodings = []Encoding{{SSRC: 1}}
			_, e := mapProducer(sending, room)
			require.Nil(t, e, "%s", jsonOf(t, sending))
		}
		m, e := mapProducer(p, room)
		require.Equal(t, m == nil, e != nil)
		if m != nil {
			q := consumerParameters(consumable(p, room, m), caps, 1, 2)
			require.Len(t, q.Encodings, 1)
			require.LessOrEqual(t, len(q.Codecs), 2*len(p.Codecs))
			payloadTypes, ids := map[uint8]bool{}, map[uint8]bool{}
			for _, c := range q.Codecs {
				require.NotNil(t, codecOf(caps, *c.PayloadType))
				require.False(t, valid(room) && payloadTypes[*c.PayloadType], "%s", jsonOf(t, q))
				payloadTypes[*c.PayloadType] = true
			}
			for _, x := range q.HeaderExtensions {
				require.False(t, ids[x.ID], "%s", jsonOf(t, q))
				ids[x.ID] = true
			}
			made := &CreateProducer{ID: 1, Kind: Video, TransportID: 1, RTPParameters: p}
			if made.Validate() == nil {
				require.NoError(t, (&NewConsumer{ID: 1, Kind: Video, RTPParameters: q, PeerName: "a"}).Validate())
			}
		}
		if len(room.Codecs) > 0 {
			if again, err := GenerateRoomRTPCapabilities(room.Codecs); err == nil {
				require.True(t, valid(again))
				require.Nil(t, checkCapabilities(again, again))
			}
		}
		require.Equal(t, before, jsonOf(t, local)+jsonOf(t, room)+jsonOf(t, p))
	})
}
