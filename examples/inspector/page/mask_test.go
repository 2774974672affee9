package page

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestSecretsAreMaskedWhereverTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{"type":"join","password":"hunter2"}`, `{"type":"join","password":"*******"}`},
		{`{"PassWord" : "a\"b"}`, `{"PassWord" : "****"}`},
		{`{"pass\u0077ord":"x"}`, `{"pass\u0077ord":"*"}`},
		{`{"token":{"token":"abc","user":"u","n":[1,"x"]},"after":"a"}`,
			`{"token":{"token":"***","user":"*","n":[1,"*"]},"after":"a"}`},
		{`{"token":1234,"after":56}`, `{"token":1111,"after":56}`},
		{`{"token":null,"after":56}`, `{"token":null,"after":56}`},
		{`{"token":[],"after":["a"]}`, `{"token":[],"after":["a"]}`},
		{`{"a":["token","b"],"c":"token"}`, `{"a":["token","b"],"c":"token"}`},
		{`420["easyrtcAuth",{"msgData":{"credential":{"password":"p"},"apiVersion":"1"}}]`,
			`420["easyrtcAuth",{"msgData":{"credential":{"password":"*"},"apiVersion":"1"}}]`},
		{`21:42["a",{"token":"tt"}]1:6`, `21:42["a",{"token":"**"}]1:6`},
		{`{"iceServers":[{"urls":"turn:x","credential":"c"}]}`, `{"iceServers":[{"urls":"turn:x","credential":"*"}]}`},
		{`{"easyrtcsid":"s","appData":{"a":"b"}}`, `{"easyrtcsid":"*","appData":{"a":"*"}}`},
		{`{"params":"{\"token\":\"abc\"}"}`, `{"params":"{\"token\":\"***\"}"}`},
		{`{"token":"abc`, `{"token":"***`},
		{`{"token":{"a":"bc`, `{"token":{"a":"**`},
		{`{"token":`, `{"token":`},
		{`[{"token":},{"a":"b"}]`, `[{"token":},{"a":"b"}]`},
		{`[{"token": "a" },{"a":"b"}]`, `[{"token": "*" },{"a":"b"}]`},
		{`{"token":"a\`, `{"token":"**`},
		{`}{]["token":"a"`, `}{]["token":"*"`},
		{`0{"sid":"abc","pingInterval":25000}`, `0{"sid":"***","pingInterval":25000}`},
		{`{"username":"u"}`, `{"username":"u"}`},
		{``, ``},
	} {
		data := []byte(c.text)
		e := Mask(capture.Entry{Data: data})
		require.Equal(t, c.want, string(e.Data), c.text)
		require.Equal(t, c.text, string(data), "the entry itself is not changed")
	}
}

func TestAddressesAndHeadersAreMasked(t *testing.T) {
	t.Parallel()
	e := capture.Entry{
		URL:    "/ws?token=abc&EIO=4&access_token=&x&sid=s",
		Header: map[string]string{"Cookie": "a=b", "Upgrade": "websocket"},
	}
	masked := Mask(e)
	require.Equal(t, "/ws?token=***&EIO=4&access_token=&x&sid=*", masked.URL)
	require.Equal(t, map[string]string{"Cookie": "***", "Upgrade": "websocket"}, masked.Header)
	require.Equal(t, "a=b", e.Header["Cookie"])
	require.Equal(t, "/a", Mask(capture.Entry{URL: "/a"}).URL)
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(`{"token":"secret"}`))
	f.Add([]byte(`{"params":"{\"token\":\"secret\"}","a":["token","x"]}`))
	f.Add([]byte(`42["a",{"password":{"b":[1,2,{"c":null}]}}]`))
	f.Add([]byte(`"\"token\":"secret`))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		once := Mask(capture.Entry{Data: data}).Data
		require.Equal(t, before, data)
		require.Equal(t, string(once), string(Mask(capture.Entry{Data: once}).Data), "masking again changes nothing")
		if !bytes.ContainsAny(data, `\`) {
			require.Len(t, once, len(data))
			member := append([]byte(`{"token":"hunter2"} `), data...)
			require.True(t, strings.HasPrefix(string(Mask(capture.Entry{Data: member}).Data), `{"token":"*******"} `))
		}
	})
}
