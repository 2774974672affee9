package easyrtc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestSmoke(t *testing.T) {
	s := NewServer(&ServerOptions{AllowAll: true})
	dial := func() *Client {
		a, b := transport.Pipe()
		go s.Serve(context.Background(), b)
		c, err := Connect(t.Context(), a, nil)
		require.NoError(t, err)
		return c
	}
	a, b := dial(), dial()
	ta, err := a.Login(t.Context(), &Login{Username: "alice"})
	require.NoError(t, err)
	tb, err := b.Login(t.Context(), &Login{Username: "bob"})
	require.NoError(t, err)
	require.Len(t, tb.RoomData["default"].ClientList, 2)
	o, err := a.AwaitOccupant(t.Context(), "default", func(o *Occupant) bool { return o.EasyrtcID == tb.EasyrtcID })
	require.NoError(t, err)
	require.Equal(t, "bob", *o.Username)
	offer, _ := NewOffer(ta.EasyrtcID, "v=0")
	_, err = b.Call(t.Context(), offer)
	require.NoError(t, err)
	for m := range a.Messages(t.Context()) {
		if o, ok := m.(*Offer); ok {
			d, err := o.SessionDescription()
			require.NoError(t, err)
			require.Equal(t, "v=0", d.SDP)
			break
		}
	}
	require.NoError(t, b.SendToRoom(t.Context(), "default", "hi", []byte(`{"a":1}`)))
	_, err = b.Call(t.Context(), &Msg{Packet: Packet{Attachments: [][]byte{{1, 2}}}, MsgType: "bin", TargetRoom: "default", MsgData: []byte(`{"_placeholder":true,"num":0}`)})
	require.NoError(t, err)
	_, err = b.SendToServer(t.Context(), "x", nil)
	require.NoError(t, err)
	_, err = b.JoinRoom(t.Context(), "lobby", nil)
	require.NoError(t, err)
	l, err := b.RoomList(t.Context())
	require.NoError(t, err)
	require.Len(t, l, 2)
	require.NoError(t, b.SetPresence(t.Context(), ShowDND, "x"))
	require.NoError(t, b.SetAPIField(t.Context(), "default", FieldMap{"a": {FieldName: "a", FieldValue: []byte("1")}}))
	_, err = b.RefreshICE(t.Context())
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}
