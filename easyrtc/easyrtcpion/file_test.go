package easyrtcpion_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
)

// noise returns so many bytes, the same for each seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	source := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

func fileOf(name string, content []byte) *easyrtcpion.File {
	return &easyrtcpion.File{
		Name: name, Type: "application/x-test", Size: int64(len(content)), Content: bytes.NewReader(content),
	}
}

// A basket keeps the files that arrive.
type basket struct {
	types  []string
	files  []*bytes.Buffer
	closed int
}

type basketFile struct {
	*bytes.Buffer
	basket *basket
}

func (f basketFile) Close() error {
	f.basket.closed++
	return nil
}

func (b *basket) open(i int, mimeType string) (io.Writer, error) {
	if i != len(b.files) {
		return nil, fmt.Errorf("file %d comes as the %d.", i, len(b.files))
	}
	b.types = append(b.types, mimeType)
	b.files = append(b.files, new(bytes.Buffer))
	return basketFile{b.files[i], b}, nil
}

// take accepts the next files.
func (m *member) take() (*easyrtcpion.IncomingFiles, *basket, error) {
	in := heard.Next(m.t, "offer of files", m.files)
	b := new(basket)
	return in, b, in.Accept(m.patience(), b.open)
}

// requireFiles sends files and checks that they arrive.
func requireFiles(t *testing.T, from, to *member, contents ...[]byte) {
	t.Helper()
	var files []*easyrtcpion.File
	for i, content := range contents {
		f := fileOf(fmt.Sprintf("file %d.bin", i), content)
		var last int64
		f.Progress = func(sent int64) { last = sent }
		files = append(files, f)
		defer func() { require.Equal(t, f.Size, last) }()
	}
	sent := make(chan error)
	go func() { sent <- from.SendFiles(t.Context(), to.id(), files...) }()
	in, b, err := to.take()
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.Equal(t, from.id(), in.EasyrtcID)
	require.Len(t, in.Files, len(contents))
	require.Len(t, b.files, len(contents))
	require.Equal(t, len(contents), b.closed)
	for i, content := range contents {
		require.Equal(t, files[i].Name, in.Files[i].Name)
		require.Equal(t, files[i].Size, in.Files[i].Size)
		require.Equal(t, "application/x-test", b.types[i])
		got := b.files[i].Bytes()
		require.True(t, bytes.Equal(content, got), "file %d: %d bytes of %d", i, len(got), len(content))
	}
	<-in.Done()
}

func TestFilesArriveOverTheDataChannel(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	out := caller.call(callee)
	in := callee.requireCall()
	<-out.Ready()
	<-in.Ready()
	requireFiles(t, caller, callee, noise(1, 300_000))
	requireFiles(t, callee, caller, noise(2, 300_000), nil, noise(3, 10), noise(4, easyrtc.FilePacketBytes))
	for _, m := range []*member{caller, callee} {
		for _, msg := range m.line().Said.All() {
			if msg, ok := msg.(*easyrtc.Msg); ok {
				require.NotEqual(t, easyrtc.MsgFilesChunk, msg.MsgType, "not through the server")
				require.NotEqual(t, easyrtc.MsgFilesAck, msg.MsgType, "not through the server")
			}
		}
	}
	caller.requireQuiet()
	callee.requireQuiet()
}

func TestFilesArriveThroughTheServerWithoutACall(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	requireFiles(t, a, b, noise(1, 300_000), noise(2, 1))
	requireFiles(t, b, a, noise(3, 1_000_000)) // more than fits without acknowledgements
	a.requireQuiet()
	b.requireQuiet()
}

func TestFilesForOneClientGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	const n = 4
	sent := make(chan error, n)
	taken := make(chan error, n)
	for i := range n {
		go func() { sent <- a.SendFiles(t.Context(), b.id(), fileOf(fmt.Sprint(i), noise(uint64(i), 100_000))) }()
	}
	for range n {
		in := heard.Next(t, "offer of files", b.files)
		go func() {
			got := new(basket)
			err := in.Accept(t.Context(), got.open)
			var i uint64
			if _, scan := fmt.Sscan(in.Files[0].Name, &i); err == nil {
				err = scan
			}
			if err == nil && !bytes.Equal(noise(i, 100_000), got.files[0].Bytes()) {
				err = errors.New("another file")
			}
			taken <- err
		}()
	}
	for range n {
		require.NoError(t, <-sent)
		require.NoError(t, <-taken)
	}
	seqs := make(map[int64]bool)
	last := int64(0)
	for _, msg := range a.line().Said.All() {
		m, ok := msg.(*easyrtc.Msg)
		if !ok || m.MsgType != easyrtc.MsgFilesChunk {
			continue
		}
		f, err := easyrtc.DecodeFile(m.MsgType, m.MsgData)
		require.NoError(t, err)
		seq := f.(*easyrtc.FilesChunk).Seq
		require.True(t, seq == last || !seqs[seq], "two transfers at once")
		seqs[seq], last = true, seq
	}
	require.Len(t, seqs, n)
}

func TestFilesMayBeRejected(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	sent := make(chan error)
	go func() { sent <- a.SendFiles(t.Context(), b.id(), fileOf("x", noise(1, 10))) }()
	in := heard.Next(t, "offer of files", b.files)
	in.Reject()
	require.ErrorIs(t, <-sent, easyrtcpion.ErrRejected)
	require.ErrorIs(t, in.Accept(t.Context(), new(basket).open), easyrtcpion.ErrClosed)
}

func TestAReceiverThatCannotWriteCancels(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	sent := make(chan error)
	go func() { sent <- a.SendFiles(t.Context(), b.id(), fileOf("x", noise(1, 1_000_000))) }()
	in := heard.Next(t, "offer of files", b.files)
	full := errors.New("disk full")
	require.ErrorIs(t, in.Accept(t.Context(), func(int, string) (io.Writer, error) { return nil, full }), full)
	require.ErrorIs(t, <-sent, easyrtcpion.ErrCancelled)
}

func TestASenderThatGivesUpSaysSo(t *testing.T) {
	t.Parallel()
	t.Run("before it is accepted", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, plan{}, plan{})
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan error)
		go func() { sent <- a.SendFiles(ctx, b.id(), fileOf("x", noise(1, 10))) }()
		in := heard.Next(t, "offer of files", b.files)
		cancel()
		require.ErrorIs(t, <-sent, context.Canceled)
		<-in.Done()
		require.ErrorIs(t, in.Accept(t.Context(), new(basket).open), easyrtcpion.ErrCancelled)
	})
	t.Run("because its file is shorter than it said", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, plan{}, plan{})
		f := fileOf("x", noise(1, 100_000))
		f.Size++
		sent := make(chan error)
		go func() { sent <- a.SendFiles(t.Context(), b.id(), f) }()
		_, _, err := b.take()
		require.ErrorIs(t, err, easyrtcpion.ErrCancelled)
		require.ErrorIs(t, <-sent, easyrtcpion.ErrFileSize)
	})
}

func TestFilesEndWithTheirClients(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	b.meet(a)
	sent := make(chan error)
	go func() { sent <- a.SendFiles(t.Context(), b.id(), fileOf("x", noise(1, 10))) }()
	in := heard.Next(t, "offer of files", b.files)
	require.NoError(t, b.client.LeaveRoom(b.patience(), "default"))
	require.ErrorIs(t, <-sent, easyrtcpion.ErrGone)
	require.NoError(t, b.Close())
	<-in.Done()
	require.ErrorIs(t, a.SendFiles(t.Context(), "nobody", fileOf("x", nil)), easyrtc.ErrGenFail)
	require.Error(t, a.SendFiles(t.Context(), "nobody", fileOf("", nil)), "files have names")
}

func TestMoreFilesThanWaitAreRejected(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{opts: easyrtcpion.Options{MaxFiles: 1}})
	first := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { first <- a.SendFiles(ctx, b.id(), fileOf("x", nil)) }()
	heard.Next(t, "offer of files", b.files)
	require.ErrorIs(t, a.SendFiles(t.Context(), b.id(), fileOf("y", nil)), easyrtcpion.ErrRejected)
	cancel()
	require.Error(t, <-first)
}

// A receiver that does not acknowledge slows the sender down, and a sender that does not
// wait for that is cut off.
func TestAFloodOfAFileIsCancelled(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, plan{}, plan{})
	say := func(m easyrtc.FileMessage) {
		msgType, data, err := easyrtc.EncodeFile(m)
		require.NoError(t, err)
		require.NoError(t, a.client.SendTo(a.patience(), b.id(), msgType, data))
	}
	const size = 2 << 20
	sender, err := easyrtc.NewFileSender(1, []easyrtc.FileInfo{{Name: "x", Size: size}}, nil)
	require.NoError(t, err)
	say(sender.Offer())
	in := heard.Next(t, "offer of files", b.files)
	release, accepted := make(chan struct{}), make(chan error)
	go func() {
		accepted <- in.Accept(t.Context(), func(int, string) (io.Writer, error) {
			<-release // an application that is busy
			return io.Discard, nil
		})
	}()
	heard.AwaitOf(t, b.line().Said, func(m *easyrtc.Msg) bool { return m.MsgType == easyrtc.MsgFilesAccept })
	sender.Receive(&easyrtc.FilesAccept{Seq: 1})
	for sent := 0; sent < size; {
		chunk, _, n := sender.Next()
		if n > 0 {
			chunk = sender.Data(make([]byte, n))
		}
		if chunk == nil { // what nobody has acknowledged
			sent += easyrtc.FileWindowBytes
			sender.Receive(&easyrtc.FilesAck{Seq: 1, PositionAck: int64(sent)})
			continue
		}
		say(chunk)
	}
	heard.AwaitOf(t, b.line().Said, func(m *easyrtc.Msg) bool { return m.MsgType == easyrtc.MsgFilesCancel })
	close(release)
	require.ErrorIs(t, <-accepted, easyrtcpion.ErrFlood)
}
