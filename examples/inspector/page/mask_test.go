package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
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

func TestNoWayLeadsASecretIntoAFile(t *testing.T) {
	t.Parallel()
	deep := `{"password":"hunter2"}`
	for range 8 {
		quoted, err := json.Marshal(map[string]string{"m": deep})
		require.NoError(t, err)
		deep = string(quoted)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(`{"password":"hunter2"}`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for name, e := range map[string]capture.Entry{
		"escaped name":       {URL: "/ws?%74oken=hunter2"},
		"token in a path":    {URL: "/galene-api/v0/.groups/g/.tokens/hunter2"},
		"note with address":  {Reason: "the answer to GET /group/g/?token=hunter2 has broken off"},
		"note with JSON":     {Reason: `auth {"token":"hunter2"}`},
		"page of a request":  {Header: map[string]string{"Referer": "http://h/group/g/?token=hunter2"}},
		"redirection":        {Header: map[string]string{"Location": "/a?x=y&access_token=hunter2"}},
		"header with dash":   {Header: map[string]string{"X-Api-Key": "hunter2"}},
		"password as it is":  {URL: "/galene-api/v0/.groups/g/.users/u/.password", Data: []byte("hunter2")},
		"list of tokens":     {URL: "/galene-api/v0/.groups/g/.tokens/", Data: []byte(`["hunter2"]`)},
		"keys":               {Data: []byte(`{"authKeys":[{"kty":"oct","k":"hunter2"}]}`)},
		"form":               {Data: []byte("username=u&password=hunter2")},
		"form with JSON":     {Data: []byte("d=" + url.QueryEscape(`42["a",{"password":"hunter2"}]`))},
		"address in JSON":    {Data: []byte(`{"url":"wss://h/?a=b\u0026token=hunter2"}`)},
		"deep in strings":    {Data: []byte(deep)},
		"compressed":         {Data: zipped.Bytes()},
		"cut in its midst":   {Data: []byte(`{"token":"hunter2`), Cut: 100},
		"cut in a string":    {Data: []byte(`{"payload":"{\"password\":\"hunter2`), Cut: 100},
		"broken string":      {Data: []byte("{\"payload\":\"\n{\\\"password\\\":\\\"hunter2\\\"}\"}")},
		"token as it is":     {Data: []byte(`{"type":"usermessage","kind":"token","value":"hunter2"}`)},
		"tokens in a list":   {Data: []byte(`{"value":["hunter2"],"kind" : "tokenlist"}`)},
		"login by position":  {Data: []byte(`{"id":2,"method":"auth","params": ["hunter2","1.0"]}`)},
		"refusal of opening": {Kind: capture.Open, Status: 401, Data: []byte("bad /ws?token=hunter2")},
	} {
		masked := Mask(e)
		all := fmt.Sprintf("%+v %s", masked, masked.Data)
		require.NotContains(t, all, "hunter2", name)
		require.NotContains(t, string(masked.Data), "\x1f\x8b", name)
	}
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
