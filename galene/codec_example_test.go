package galene_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/galene"
)

func ExampleDecode() {
	m, err := galene.Decode([]byte(`{"type":"chat","source":"5f3e","username":"alice","value":"Hello","time":"2026-11-20T23:53:46Z"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *galene.Chat:
		text, ok := galene.Text(m.Value)
		sent, _ := m.Time.Time()
		fmt.Println(*m.Username, text, ok, sent.Year())
	case *galene.Unknown:
		fmt.Println("a type of tomorrow:", m.Type)
	}
	// Output: alice Hello true 2026
}

func ExampleDecode_refused() {
	// encoding/json would take the second name for the first.
	_, err := galene.Decode([]byte(`{"type":"join","kind":"join","group":17,"Group":"test"}`))
	if e, ok := errors.AsType[*galene.DecodeError](err); ok {
		fmt.Println(e.Type, e.Field)
		fmt.Println(err)
	}
	// Output:
	// join group
	// galene: decode join: group: wrong JSON type
}

// Version 1 of the protocol had other shapes, which are read into the messages of today.
func ExampleDecode_version1() {
	m, err := galene.Decode([]byte(`{"type":"user","kind":"add","id":"5f3e","permissions":{"op":true,"present":true},"status":{"raisehand":true}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	user := m.(*galene.User)
	fmt.Println(user.Permissions, user.Permissions.Has(galene.PermissionOp), string(user.Data["raisehand"]))
	// Output: [op present] true true
}

func ExampleEncode() {
	for _, m := range []galene.Message{
		&galene.Handshake{Version: []string{galene.Version}, ID: "5f3e"},
		&galene.Join{Kind: galene.JoinJoin, Group: "test", Username: new("")}, // anonymously
		&galene.Request{Request: map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}},
	} {
		b, err := galene.Encode(m)
		fmt.Println(string(b), err)
	}
	// Output:
	// {"type":"handshake","version":["2"],"id":"5f3e"} <nil>
	// {"type":"join","kind":"join","username":"","group":"test"} <nil>
	// {"type":"request","request":{"":["audio","video"]}} <nil>
}

func ExampleDialect_Encode() {
	m := &galene.User{
		Kind: galene.UserAdd, ID: "5f3e", Username: new("alice"), Permissions: galene.Permissions{galene.PermissionPresent},
		Data: galene.Fields{"raisehand": json.RawMessage("true")},
	}
	for _, dialect := range []galene.Dialect{galene.DialectV2, galene.DialectDocument} {
		b, err := dialect.Encode(m)
		fmt.Println(dialect, string(b), err)
	}
	// Output:
	// 2 {"type":"user","kind":"add","id":"5f3e","username":"alice","permissions":["present"],"data":{"raisehand":true}} <nil>
	// document {"type":"user","kind":"add","id":"5f3e","username":"alice","permissions":{"present":true},"status":{"raisehand":true}} <nil>
}

func ExampleCheck() {
	for _, text := range []string{
		`{"type":"ping"}`,
		`{"type":"ping","id":5}`,
		`{"type":"chat","value":"Hello","time":1619612745000}`, // as in version 1
	} {
		fmt.Println(galene.Check([]byte(text)))
	}
	// Output:
	// <nil>
	// galene: decode ping: id: wrong JSON type
	// galene: decode chat: time: wrong JSON type
}

func ExampleNewICE() {
	m := galene.NewICE("0c1d", galene.ICECandidateInit{
		Candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd", SDPMid: new("0"), SDPMLineIndex: new(uint16(0)),
	})
	fmt.Println(string(m.Candidate))
	c, err := m.Init()
	fmt.Println(*c.UsernameFragment, err)
	// Output:
	// {"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}
	// abcd <nil>
}

func ExampleNewFileTransfer() {
	m := galene.NewFileTransfer("5f3e", &galene.FileTransfer{
		Type: galene.FileInvite, Version: []string{galene.FileTransferVersion}, ID: "f1",
		Name: "notes.txt", Size: new(uint64(1024)), MimeType: "text/plain",
	})
	b, err := galene.Encode(m)
	fmt.Println(string(b), err)
	f, err := m.FileTransfer()
	fmt.Println(f.Name, *f.Size, err)
	// Output:
	// {"type":"usermessage","kind":"filetransfer","dest":"5f3e","value":{"type":"invite","version":["1"],"id":"f1","name":"notes.txt","size":1024,"mimetype":"text/plain"}} <nil>
	// notes.txt 1024 <nil>
}
