package galenepion_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
)

// content returns bytes that no two places of have alike.
func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// send sends a file in a goroutine of its own.
func (m *member) send(ctx context.Context, dest *member, f *galenepion.File) <-chan error {
	result := make(chan error, 1)
	go func() { result <- m.SendFile(ctx, dest.client.ID(), f) }()
	return result
}

func fileOf(b []byte) *galenepion.File {
	return &galenepion.File{
		Name: "a.bin", MimeType: "application/x-test", Size: int64(len(b)), Content: bytes.NewReader(b),
	}
}

func TestFilesGoBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	data := content(3 << 20)
	var sent, received int64
	there := fileOf(data)
	there.Progress = func(n int64) { sent = n }
	there.Content = io.MultiReader(there.Content, strings.NewReader("more than was said"))
	toB := a.send(t.Context(), b, there)
	toA := b.send(t.Context(), a, fileOf(data))

	in := heard.Next(t, "file", b.files)
	require.Equal(t, "a.bin", in.Name)
	require.Equal(t, "application/x-test", in.MimeType)
	require.Equal(t, int64(3<<20), in.Size)
	require.Equal(t, a.client.ID(), in.Source)
	require.Equal(t, "sender", in.Username)
	require.NotEmpty(t, in.ID)
	in.Progress = func(n int64) { received = n }
	back := make(chan error, 1)
	var atA, atB bytes.Buffer
	go func() { back <- heard.Next(t, "file", a.files).Accept(t.Context(), &atA) }()
	require.NoError(t, in.Accept(t.Context(), &atB))
	require.NoError(t, <-toB)
	require.NoError(t, <-back)
	require.NoError(t, <-toA)
	<-in.Done()
	require.True(t, bytes.Equal(data, atA.Bytes()))
	require.True(t, bytes.Equal(data, atB.Bytes()))
	require.Equal(t, int64(3<<20), sent)
	require.Equal(t, int64(3<<20), received)
	require.ErrorIs(t, in.Accept(t.Context(), &atB), galenepion.ErrClosed)
	a.requireQuiet()
	b.requireQuiet()
}

func TestFilesOfEverySizeArrive(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1} {
		data := content(size)
		result := a.send(t.Context(), b, fileOf(data))
		var got bytes.Buffer
		require.NoError(t, heard.Next(t, "file", b.files).Accept(t.Context(), &got))
		require.NoError(t, <-result)
		require.Equal(t, size, got.Len())
		require.True(t, bytes.Equal(data, got.Bytes()))
	}
}

// The browsers' program wants all of it.
func TestMessagesAboutFilesAreThoseOfBrowsers(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	result := a.send(t.Context(), b, fileOf([]byte("hello")))
	in := heard.Next(t, "file", b.files)
	require.NoError(t, in.Accept(t.Context(), io.Discard))
	require.NoError(t, <-result)
	describe := func(m *member) (types []galene.FileTransferType, steps []*galene.FileTransfer) {
		for _, msg := range m.line().Said.All() {
			u, ok := msg.(*galene.UserMessage)
			if !ok {
				continue
			}
			f, err := u.FileTransfer()
			require.NoError(t, err)
			require.Equal(t, in.ID, f.ID)
			if f.Type == galene.FileICE {
				_, ok, err := f.Init()
				require.NoError(t, err)
				require.True(t, ok)
				continue
			}
			types, steps = append(types, f.Type), append(steps, f)
		}
		return types, steps
	}
	types, steps := describe(a)
	require.Equal(t, []galene.FileTransferType{galene.FileInvite, galene.FileAnswer}, types)
	require.Equal(t, []string{"1"}, steps[0].Version)
	types, steps = describe(b)
	require.Equal(t, []galene.FileTransferType{galene.FileOffer}, types)
	require.Equal(t, []string{"1"}, steps[0].Version)
}

func TestRejectionTellsTheSenderWhy(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	result := a.send(t.Context(), b, fileOf([]byte("hello")))
	in := heard.Next(t, "file", b.files)
	in.Reject("no room")
	<-in.Done()
	var refusal *galenepion.CancelError
	require.ErrorAs(t, <-result, &refusal)
	require.Equal(t, "no room", refusal.Message)
	require.ErrorContains(t, in.Accept(t.Context(), io.Discard), "no room")
}

func TestFilesAreRejectedWithoutAHook(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	deaf := galenepion.NewPeer(b.client, nil)
	defer deaf.Close()
	_, err := deaf.Handle(&galene.UserMessage{
		Kind: galene.UserMessageFileTransfer, Source: a.client.ID(),
		Value: galene.NewFileTransfer("", &galene.FileTransfer{
			Type: galene.FileInvite, Version: []string{"1"}, ID: "x", Size: new(uint64),
		}).Value,
	})
	require.NoError(t, err)
	cancelled(t, b, "this client does not receive files")
}

// cancelled waits until a member has cancelled a transfer.
func cancelled(t *testing.T, m *member, message string) {
	t.Helper()
	heard.AwaitOf(t, m.line().Said, func(u *galene.UserMessage) bool {
		f, err := u.FileTransfer()
		return err == nil && f.Type == galene.FileCancel && f.Message == message
	})
}

// A stopper is an endless file that says when it has been read from.
type stopper struct{ begun chan struct{} }

func (s *stopper) Read(b []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	return len(b), nil
}

func TestSenderCancelsAtAnyTime(t *testing.T) {
	t.Parallel()
	t.Run("before it is accepted", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		result := a.send(ctx, b, fileOf([]byte("hello")))
		in := heard.Next(t, "file", b.files)
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
		<-in.Done()
		var c *galenepion.CancelError
		require.ErrorAs(t, in.Accept(t.Context(), io.Discard), &c)
		require.Equal(t, "cancelled", c.Message)
	})
	t.Run("while it is sent", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		begun := make(chan struct{}, 1)
		result := a.send(ctx, b, &galenepion.File{Size: 1 << 40, Content: &stopper{begun}})
		in := heard.Next(t, "file", b.files)
		go func() { <-begun; cancel() }()
		var c *galenepion.CancelError
		require.ErrorAs(t, in.Accept(t.Context(), io.Discard), &c)
		require.ErrorIs(t, <-result, context.Canceled)
	})
}

func TestReceiverCancelsAtAnyTime(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(in *galenepion.IncomingFile, cancel context.CancelFunc){
		"context": func(_ *galenepion.IncomingFile, cancel context.CancelFunc) { cancel() },
		"reject":  func(in *galenepion.IncomingFile, _ context.CancelFunc) { in.Reject("enough") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			begun := make(chan struct{}, 1)
			result := a.send(t.Context(), b, &galenepion.File{Size: 1 << 40, Content: &stopper{begun}})
			in := heard.Next(t, "file", b.files)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-begun; stop(in, cancel) }()
			require.Error(t, in.Accept(ctx, io.Discard))
			var c *galenepion.CancelError
			require.ErrorAs(t, <-result, &c)
		})
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Read([]byte) (int, error)  { return 0, errBroken }
func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestFileThatCannotBeReadOrWrittenIsCancelled(t *testing.T) {
	t.Parallel()
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, &galenepion.File{Size: 1, Content: broken{}})
		var c *galenepion.CancelError
		require.ErrorAs(t, heard.Next(t, "file", b.files).Accept(t.Context(), io.Discard), &c)
		require.ErrorIs(t, <-result, errBroken)
	})
	t.Run("written", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf([]byte("hello")))
		require.ErrorIs(t, heard.Next(t, "file", b.files).Accept(t.Context(), broken{}), errBroken)
		var c *galenepion.CancelError
		require.ErrorAs(t, <-result, &c)
	})
	t.Run("short", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		f := fileOf([]byte("hello"))
		f.Size = 100
		result := a.send(t.Context(), b, f)
		require.Error(t, heard.Next(t, "file", b.files).Accept(t.Context(), io.Discard))
		require.ErrorIs(t, <-result, galenepion.ErrFileSize)
	})
}

func TestTransferEndsWithTheOtherUser(t *testing.T) {
	t.Parallel()
	t.Run("sender waits", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf([]byte("hello")))
		heard.Next(t, "file", b.files)
		require.NoError(t, b.client.Close())
		require.ErrorIs(t, <-result, galenepion.ErrNoUser)
		require.ErrorIs(t, a.SendFile(t.Context(), b.client.ID(), fileOf(nil)), galenepion.ErrNoUser)
	})
	t.Run("receiver has not decided", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		a.send(t.Context(), b, fileOf([]byte("hello")))
		in := heard.Next(t, "file", b.files)
		a.cut()
		<-in.Done()
		require.ErrorIs(t, in.Accept(t.Context(), io.Discard), galenepion.ErrNoUser)
	})
	t.Run("own connection", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, galene.ServerOptions{})
		a, b := w.join(plan{name: "a", redial: true}), w.join(plan{name: "b"})
		a.meet(b)
		result := a.send(t.Context(), b, fileOf([]byte("hello")))
		heard.Next(t, "file", b.files)
		a.cut()
		require.ErrorIs(t, <-result, galenepion.ErrDisconnected)
	})
	t.Run("own peer", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf([]byte("hello")))
		in := heard.Next(t, "file", b.files)
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-result, galenepion.ErrClosed)
		<-in.Done()
	})
}

func TestTransfersWithOneUserAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a", opts: galenepion.Options{MaxFiles: 2}})
	b := w.join(plan{name: "b"})
	a.meet(b)
	b.meet(a)
	first, second := a.send(t.Context(), b, fileOf(nil)), a.send(t.Context(), b, fileOf(nil))
	one, two := heard.Next(t, "file", b.files), heard.Next(t, "file", b.files)
	require.ErrorIs(t, a.SendFile(t.Context(), b.client.ID(), fileOf(nil)), galenepion.ErrTooManyFiles)

	b.send(t.Context(), a, fileOf(nil))
	b.send(t.Context(), a, fileOf(nil))
	heard.Next(t, "file", a.files)
	heard.Next(t, "file", a.files)
	var c *galenepion.CancelError
	require.ErrorAs(t, b.SendFile(t.Context(), a.client.ID(), fileOf(nil)), &c)
	require.Equal(t, "too many file transfers", c.Message)

	one.Reject("")
	two.Reject("")
	require.ErrorAs(t, <-first, &c)
	require.Empty(t, c.Message)
	require.Equal(t, "galenepion: file transfer cancelled by the other user", c.Error())
	require.ErrorAs(t, <-second, &c)
	result := a.send(t.Context(), b, fileOf(nil))
	require.NoError(t, heard.Next(t, "file", b.files).Accept(t.Context(), io.Discard))
	require.NoError(t, <-result)
}

func TestFileForOneselfIsCancelled(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t)
	var c *galenepion.CancelError
	require.ErrorAs(t, a.SendFile(t.Context(), a.client.ID(), fileOf(nil)), &c)
	require.Contains(t, c.Message, "oneself")
}

func TestFileIsNeverTooBigForABrowser(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	for _, size := range []int64{1 << 53, -1} {
		err := a.SendFile(t.Context(), b.client.ID(), &galenepion.File{Size: size, Content: broken{}})
		require.ErrorIs(t, err, galenepion.ErrFileSize)
	}
}

func TestWhatIsNoFileTransferIsCancelled(t *testing.T) {
	t.Parallel()
	huge := uint64(1 << 53)
	for name, tt := range map[string]struct {
		step    galene.FileTransfer
		message string
	}{
		"version": {
			galene.FileTransfer{Type: galene.FileInvite, Version: []string{"2"}, ID: "x", Size: new(uint64)},
			"unknown version of the file transfer protocol",
		},
		"no version": {
			galene.FileTransfer{Type: galene.FileInvite, ID: "x", Size: new(uint64)},
			"unknown version of the file transfer protocol",
		},
		"size": {
			galene.FileTransfer{Type: galene.FileInvite, Version: []string{"1"}, ID: "x", Size: &huge},
			"the file has another size than was said",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			require.NoError(t, a.client.Send(galene.NewFileTransfer(b.client.ID(), &tt.step)))
			cancelled(t, b, tt.message)
			require.Empty(t, b.files.All())
		})
	}
	t.Run("obsolete", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf(nil))
		in := heard.Next(t, "file", b.files)
		require.NoError(t, b.client.Send(galene.NewFileTransfer(a.client.ID(), &galene.FileTransfer{
			Type: "upice", ID: in.ID,
		})))
		require.ErrorContains(t, <-result, "obsolete")
		<-in.Done()
	})
	t.Run("version of the offer", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf(nil))
		in := heard.Next(t, "file", b.files)
		require.NoError(t, b.client.Send(galene.NewFileTransfer(a.client.ID(), &galene.FileTransfer{
			Type: galene.FileOffer, ID: in.ID, SDP: "x",
		})))
		require.ErrorContains(t, <-result, "unknown version")
	})
	t.Run("unknown ids and types", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t)
		result := a.send(t.Context(), b, fileOf(nil))
		in := heard.Next(t, "file", b.files)
		for _, step := range []galene.FileTransfer{
			{Type: galene.FileCancel, ID: "other"},
			{Type: "later", ID: in.ID},
			{Type: galene.FileAnswer, ID: in.ID, SDP: "x"},
			{Type: galene.FileICE, ID: in.ID},
		} {
			require.NoError(t, a.client.Send(galene.NewFileTransfer(b.client.ID(), &step)))
			require.NoError(t, b.client.Send(galene.NewFileTransfer(a.client.ID(), &step)))
		}
		require.NoError(t, in.Accept(t.Context(), io.Discard))
		require.NoError(t, <-result)
	})
}
