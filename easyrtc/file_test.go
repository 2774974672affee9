package easyrtc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// What the library for files of the browsers writes, but for the header of a file whose
// type it does not know.
func TestMessagesAboutFilesHaveTheFormOfBrowsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, data string }{
		{"filesOffer", `{"seq":1,"fileNameList":[{"name":"a.txt","size":3},{"name":"b","size":0}]}`},
		{"filesAccept", `{"seq":1}`},
		{"filesReject", `{"seq":2}`},
		{"filesCancel", `{"seq":2}`},
		{"filesAck", `{"seq":1,"positionAck":20480}`},
		{"filesChunk", `{"seq":1,"name":"a.txt","type":"text/plain","outseq":0,"size":3}`},
		{"filesChunk", `{"seq":1,"outseq":1,"data64":"YWJj"}`},
		{"filesChunk", `{"seq":1,"outseq":1,"datatxt":"aÿ\u0000"}`},
		{"filesChunk", `{"seq":1,"done":"file"}`},
		{"filesChunk", `{"seq":1,"done":"all"}`},
		{"filesChunk", `{"seq":1,"done":"cancelled"}`},
	} {
		m, err := easyrtc.DecodeFile(c.typ, []byte(c.data))
		require.NoError(t, err, c.data)
		typ, data, err := easyrtc.EncodeFile(m)
		require.NoError(t, err)
		require.Equal(t, c.typ, typ)
		require.JSONEq(t, c.data, string(data))
	}
	m, err := easyrtc.DecodeFile("chat", []byte(`{"seq":1}`))
	require.NoError(t, err)
	require.Nil(t, m)
}

func TestMessagesAboutFilesThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, data string }{
		{"filesOffer", ``}, {"filesOffer", `null`}, {"filesOffer", `[]`}, {"filesOffer", `{"fileNameList":[]}`},
		{"filesOffer", `{"seq":0,"fileNameList":[]}`}, {"filesOffer", `{"seq":-1,"fileNameList":[]}`},
		{"filesOffer", `{"seq":1,"fileNameList":[{"name":"a","size":-1}]}`},
		{"filesOffer", `{"seq":1,"fileNameList":[{"name":"a","size":9007199254740992}]}`},
		{"filesOffer", `{"seq":1,"fileNameList":[{"name":"","size":1}]}`},
		{"filesOffer", `{"seq":1,"seq":1,"fileNameList":[]}`},
		{"filesOffer", `{"seq":1,"fileNameList":[` + strings.Repeat(`{"name":"a","size":1},`, 1024) +
			`{"name":"a","size":1}]}`},
		{"filesAccept", `{}`}, {"filesReject", `{"seq":"1"}`}, {"filesCancel", `{"Seq":1}`},
		{"filesAck", `{"seq":1,"positionAck":-1}`}, {"filesAck", `{"positionAck":1}`},
		{"filesChunk", `{"seq":1}`}, {"filesChunk", `{"done":"all"}`}, {"filesChunk", `{"seq":1,"done":"soon"}`},
		{"filesChunk", `{"seq":1,"name":"a"}`}, {"filesChunk", `{"seq":1,"name":"","size":1}`},
		{"filesChunk", `{"seq":1,"name":"a","size":-1}`}, {"filesChunk", `{"seq":1,"name":"a","size":1,"done":"all"}`},
		{"filesChunk", `{"seq":1,"data64":"YQ==","datatxt":"a"}`},
	} {
		m, err := easyrtc.DecodeFile(c.typ, []byte(c.data))
		var invalid *easyrtc.ValidationError
		require.ErrorAs(t, err, &invalid, c.data)
		require.Nil(t, m)
		require.Equal(t, c.typ, invalid.Type)
	}
	_, _, err := easyrtc.EncodeFile(&easyrtc.FilesAccept{})
	require.Error(t, err)
	_, err = easyrtc.NewFileSender(1, []easyrtc.FileInfo{{Name: "a", Size: -1}}, nil)
	require.Error(t, err)
}

func TestChunksCarryBytesInEitherForm(t *testing.T) {
	t.Parallel()
	for data, want := range map[string][]byte{
		`{"seq":1,"data64":"AP9h"}`:           {0, 0xff, 'a'},
		`{"seq":1,"datatxt":"\u0000\u00ffa"}`: {0, 0xff, 'a'},
		`{"seq":1,"done":"file"}`:             nil,
	} {
		m, err := easyrtc.DecodeFile("filesChunk", []byte(data))
		require.NoError(t, err)
		got, err := m.(*easyrtc.FilesChunk).Data()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, data := range []string{`{"seq":1,"data64":"*"}`, `{"seq":1,"datatxt":"Ā"}`} {
		m, err := easyrtc.DecodeFile("filesChunk", []byte(data))
		require.NoError(t, err)
		_, err = m.(*easyrtc.FilesChunk).Data()
		require.Error(t, err)
	}
}

// deliver passes what a sender says to a receiver, and what that says back, until neither
// has anything to say. It returns the files.
func deliver(t *testing.T, s *easyrtc.FileSender, r *easyrtc.FileReceiver, contents [][]byte) (got [][]byte) {
	t.Helper()
	read := make([]int, len(contents))
	ended := 0
	for {
		chunk, file, size := s.Next()
		if size > 0 {
			require.LessOrEqual(t, size, easyrtc.FilePacketBytes)
			chunk = s.Data(contents[file][read[file] : read[file]+size])
			read[file] += size
		}
		if chunk == nil {
			require.Len(t, got, ended)
			return got
		}
		_, data, err := easyrtc.EncodeFile(chunk)
		require.NoError(t, err)
		m, err := easyrtc.DecodeFile(easyrtc.MsgFilesChunk, data)
		require.NoError(t, err)
		e, err := r.Receive(m.(*easyrtc.FilesChunk))
		require.NoError(t, err)
		if e.Begin {
			require.Equal(t, len(got), e.File)
			got = append(got, nil)
		}
		if len(e.Data) > 0 {
			got[e.File] = append(got[e.File], e.Data...)
		}
		if e.End {
			ended++
		}
		if e.Ack != nil {
			s.Receive(e.Ack)
		}
	}
}

func TestFilesArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	contents := [][]byte{
		bytes.Repeat([]byte("0123456789"), 100_000), nil, []byte("x"), make([]byte, easyrtc.FilePacketBytes),
		make([]byte, easyrtc.FileWindowBytes), make([]byte, easyrtc.FileWindowBytes+1),
	}
	var infos []easyrtc.FileInfo
	for i, c := range contents {
		infos = append(infos, easyrtc.FileInfo{Name: fmt.Sprint(i), Size: int64(len(c))})
	}
	s, err := easyrtc.NewFileSender(3, infos, []string{"text/plain"})
	require.NoError(t, err)
	r := easyrtc.NewFileReceiver(s.Offer())
	require.Equal(t, easyrtc.FilesOffered, s.State())
	chunk, _, size := s.Next()
	require.Nil(t, chunk)
	require.Zero(t, size, "nothing before it is accepted")
	s.Receive(r.Accept())
	require.Nil(t, r.Accept(), "once")
	require.Nil(t, r.Reject())
	got := deliver(t, s, r, contents)
	require.Equal(t, contents[0], got[0])
	require.Len(t, got, len(contents))
	for i := range contents {
		require.True(t, bytes.Equal(contents[i], got[i]), i)
	}
	require.Equal(t, easyrtc.FilesDelivered, s.State())
	require.Equal(t, easyrtc.FilesDelivered, r.State())
	require.True(t, s.State().Over())
	require.Nil(t, s.Cancel())
	require.Nil(t, r.Cancel())
}

func TestASenderWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	const size = 3 * easyrtc.FileWindowBytes
	s, err := easyrtc.NewFileSender(1, []easyrtc.FileInfo{{Name: "a", Size: size}, {Name: "b", Size: size}}, nil)
	require.NoError(t, err)
	s.Receive(&easyrtc.FilesAccept{Seq: 1})
	pump := func() (sent int) {
		for {
			chunk, _, n := s.Next()
			if n > 0 {
				chunk = s.Data(make([]byte, n))
				sent += n
			}
			if chunk == nil {
				return sent
			}
		}
	}
	require.Equal(t, easyrtc.FileWindowBytes, pump())
	require.Zero(t, pump())
	s.Receive(&easyrtc.FilesAck{Seq: 2, PositionAck: 1000}) // of another offer
	s.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: size}) // of what was not sent
	require.Zero(t, pump())
	s.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: easyrtc.FilePacketBytes})
	require.Equal(t, easyrtc.FilePacketBytes, pump())
	s.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: 10}) // an old one
	require.Zero(t, pump())
	whole := func() {
		s.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: easyrtc.FileWindowBytes})
		pump()
		s.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: 2 * easyrtc.FileWindowBytes})
		pump()
	}
	whole()
	require.Equal(t, easyrtc.FilesAccepted, s.State(), "the second file has a window of its own")
	whole()
	require.Equal(t, easyrtc.FilesDelivered, s.State())
}

func TestAReceiverAcknowledgesEvery10000Bytes(t *testing.T) {
	t.Parallel()
	offer := &easyrtc.FilesOffer{Seq: 1, FileNameList: []easyrtc.FileInfo{{Name: "a", Size: 30_001}}}
	r := easyrtc.NewFileReceiver(offer)
	r.Accept()
	_, err := r.Receive(header("a", 30_001))
	require.NoError(t, err)
	var acks []int64
	for range 10 {
		e, err := r.Receive(data(strings.Repeat("x", 3000)))
		require.NoError(t, err)
		if e.Ack != nil {
			acks = append(acks, e.Ack.PositionAck)
		}
	}
	require.Equal(t, []int64{12000, 24000}, acks)
}

// twoFiles offers "a" of 3 bytes and "b", which is empty.
func twoFiles() *easyrtc.FilesOffer {
	return &easyrtc.FilesOffer{Seq: 1, FileNameList: []easyrtc.FileInfo{{Name: "a", Size: 3}, {Name: "b"}}}
}

func header(name string, size int64) *easyrtc.FilesChunk {
	return &easyrtc.FilesChunk{Seq: 1, Name: &name, Size: &size}
}

func data(text string) *easyrtc.FilesChunk { return &easyrtc.FilesChunk{Seq: 1, DataText: &text} }

func done(d easyrtc.FilesDone) *easyrtc.FilesChunk { return &easyrtc.FilesChunk{Seq: 1, Done: d} }

func TestFilesThatAreNotWhatWasOfferedAreRefused(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]*easyrtc.FilesChunk{
		"another name":          {header("c", 3)},
		"another size":          {header("a", 4)},
		"another order":         {header("b", 0)},
		"data before a file":    {data("x")},
		"end before a file":     {done("file")},
		"too much":              {header("a", 3), data("1234")},
		"too much in pieces":    {header("a", 3), data("12"), data("34")},
		"too little":            {header("a", 3), data("12"), done("file")},
		"a file in a file":      {header("a", 3), header("b", 0)},
		"all before the end":    {header("a", 3), data("123"), done("all")},
		"all before the last":   {header("a", 3), data("123"), done("file"), done("all")},
		"one file more":         {header("a", 3), data("123"), done("file"), header("b", 0), done("file"), header("b", 0)},
		"data after all files":  {header("a", 3), data("123"), done("file"), header("b", 0), done("file"), data("x")},
		"data that is no bytes": {header("a", 3), data("Ā")},
	} {
		r := easyrtc.NewFileReceiver(twoFiles())
		r.Accept()
		for i, step := range steps {
			_, err := r.Receive(step)
			require.Equal(t, i == len(steps)-1, err != nil, "%s: step %d", name, i)
		}
		require.Equal(t, &easyrtc.FilesCancel{Seq: 1}, r.Cancel(), name)
		require.Equal(t, easyrtc.FilesCancelled, r.State(), name)
	}
}

func TestATransferEndsAtTheWordOfEitherSide(t *testing.T) {
	t.Parallel()
	make2 := func(accepted bool) (*easyrtc.FileSender, *easyrtc.FileReceiver) {
		s, err := easyrtc.NewFileSender(1, []easyrtc.FileInfo{{Name: "a", Size: 1}}, nil)
		require.NoError(t, err)
		r := easyrtc.NewFileReceiver(s.Offer())
		if accepted {
			s.Receive(r.Accept())
		}
		return s, r
	}
	requireSilent := func(s *easyrtc.FileSender) {
		chunk, _, size := s.Next()
		require.Nil(t, chunk)
		require.Zero(t, size)
	}

	s, r := make2(false)
	require.Nil(t, r.Cancel(), "there is nothing to cancel")
	s.Receive(r.Reject())
	require.Equal(t, easyrtc.FilesRejected, s.State())
	require.Equal(t, easyrtc.FilesRejected, r.State())
	requireSilent(s)
	s.Receive(&easyrtc.FilesAccept{Seq: 1})
	require.Equal(t, easyrtc.FilesRejected, s.State())

	for _, accepted := range []bool{false, true} {
		s, r = make2(accepted)
		e, err := r.Receive(s.Cancel())
		require.NoError(t, err)
		require.Empty(t, e)
		require.Equal(t, easyrtc.FilesCancelled, r.State())
		require.Nil(t, s.Cancel())
		require.Nil(t, r.Accept())
		requireSilent(s)
	}

	s, r = make2(true)
	s.Receive(&easyrtc.FilesCancel{Seq: 2})
	require.Equal(t, easyrtc.FilesAccepted, s.State())
	s.Receive(r.Cancel())
	require.Equal(t, easyrtc.FilesCancelled, s.State())
	requireSilent(s)
	require.Equal(t, "cancelled", s.State().String())

	_, r = make2(false)
	e, err := r.Receive(header("a", 1)) // before it is accepted
	require.NoError(t, err)
	require.Empty(t, e)
	other := done("cancelled")
	other.Seq = 9
	_, err = r.Receive(other)
	require.NoError(t, err)
	require.Equal(t, easyrtc.FilesOffered, r.State())
}

func TestNamesOfFilesHaveNoPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.txt": "a.txt", "../../etc/passwd": "passwd", `C:\x\y.doc`: "y.doc", "a/": "file", "..": "file", ".": "file",
		"a\x00b\nc": "abc", "\x7f": "file", "ü 😀": "ü 😀",
	} {
		require.Equal(t, want, (&easyrtc.FileInfo{Name: name}).FileName(), "%q", name)
	}
}

func FuzzFileReceiver(f *testing.F) {
	f.Add(`{"seq":1,"name":"a","size":3}` + "\n" + `{"seq":1,"datatxt":"abc"}` + "\n" + `{"seq":1,"done":"file"}`)
	f.Add(`{"seq":1,"name":"a","size":3}` + "\n" + `{"seq":1,"data64":"YWJjZA=="}`)
	f.Fuzz(func(t *testing.T, lines string) {
		r := easyrtc.NewFileReceiver(twoFiles())
		r.Accept()
		got := make([]int, 2)
		for line := range strings.SplitSeq(lines, "\n") {
			m, err := easyrtc.DecodeFile(easyrtc.MsgFilesChunk, json.RawMessage(line))
			if err != nil {
				continue
			}
			e, err := r.Receive(m.(*easyrtc.FilesChunk))
			if err != nil {
				continue
			}
			got[e.File] += len(e.Data)
		}
		require.LessOrEqual(t, got[0], 3)
		require.Zero(t, got[1])
		if r.State() == easyrtc.FilesDelivered {
			require.Equal(t, 3, got[0])
		}
	})
}
