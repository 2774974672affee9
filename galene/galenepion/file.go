package galenepion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

const (
	// fileChunk is the largest piece of a file in bytes that every browser takes.
	fileChunk = 16 << 10
	// The buffer of the data channel in bytes: above the first nothing is added until it
	// has sunk to the second.
	fileBufferFull, fileBufferLow = 256 << 10, 64 << 10
	// maxFileSize is the largest integer that browsers know.
	maxFileSize = 1<<53 - 1
	// fileCandidates is how many candidates wait for the peer connection of a transfer.
	fileCandidates = 64
	// lastWords is how long after a peer connection the cancellation may come that ended
	// it, and how long a receiver waits for the sender to hang up.
	lastWords = 2 * time.Second
)

// A File is what [Peer.SendFile] sends.
type File struct {
	Name     string
	MimeType string
	Size     int64     // in bytes; Content must have as many
	Content  io.Reader // what it has beyond Size is not read
	// Progress, if not nil, hears how many bytes have been given to the data channel.
	Progress func(sent int64)
}

// An IncomingFile is a file that another user wants to send. Exactly one of Accept and
// Reject is to be called. Name, MimeType and Size are what the sender says.
type IncomingFile struct {
	ID       string
	Source   string // client id of the sender
	Username string // of the sender
	Name     string // without a path; not safe for every file system
	MimeType string
	Size     int64 // in bytes
	// Progress, if not nil when Accept is called, hears how many bytes have been written.
	Progress func(received int64)

	transfer *transfer
}

// A fileKey names a transfer.
type fileKey struct{ user, id string }

// A transfer is one file on its way.
type transfer struct {
	peer  *Peer
	key   fileKey
	sends bool
	size  int64
	open  chan struct{} // closed when the data channel is open
	full  chan struct{} // closed when everything has been received
	data  chan []byte   // received; unbuffered, so that SCTP slows the sender down
	low   chan struct{} // capacity 1: the buffer has sunk
	over  chan struct{} // closed at the end

	// Guarded by the peer's lock.
	state      fileState
	sent       int64
	session    *pionpeer.Session
	channel    *webrtc.DataChannel
	candidates []webrtc.ICECandidateInit // before there is a session
	timer      *time.Timer
	err        error
}

var (
	errHungUp   = errors.New("galenepion: the other user has hung up")
	errVersion  = errors.New("galenepion: unknown version of the file transfer protocol")
	errObsolete = errors.New("galenepion: obsolete file transfer message")
	errNonsense = errors.New("galenepion: unexpected data in a file transfer")
)

// SendFile offers a file to another user, by client id, and sends it once it has been
// accepted. It returns nil when the other user has all of it, and a [*CancelError] when the
// other user does not want it any more. The end of ctx cancels the transfer, unless
// Content hangs in a Read.
func (p *Peer) SendFile(ctx context.Context, dest string, f *File) error {
	if err := p.sendFile(ctx, dest, f); err != nil {
		return fmt.Errorf("galenepion: send file: %w", err)
	}
	return nil
}

func (p *Peer) sendFile(ctx context.Context, dest string, f *File) error {
	switch {
	case f.Size < 0, f.Size > maxFileSize:
		return ErrFileSize
	case p.client.User(dest) == nil:
		return ErrNoUser
	}
	t, size := newTransfer(p, fileKey{dest, galene.NewID()}, true, f.Size), uint64(f.Size)
	if err := p.register(t); err != nil {
		return err
	}
	err := p.client.Send(galene.NewFileTransfer(dest, &galene.FileTransfer{
		Type: galene.FileInvite, Version: []string{galene.FileTransferVersion},
		ID: t.key.id, Name: f.Name, Size: &size, MimeType: f.MimeType,
	}))
	if err != nil {
		t.step(fileEvent{fileGone, err})
		return err
	}
	stop := context.AfterFunc(ctx, func() { t.step(fileEvent{fileBroken, ctx.Err()}) })
	defer stop()
	select {
	case <-t.open:
		if err := t.write(f); err != nil {
			t.step(fileEvent{fileBroken, err})
		}
	case <-t.over:
	}
	<-t.over
	return t.outcome()
}

// write sends the file over the data channel, until that or the transfer is over.
func (t *transfer) write(f *File) error {
	t.peer.mu.Lock()
	ch := t.channel
	t.peer.mu.Unlock()
	buf := make([]byte, fileChunk)
	for sent := int64(0); ; {
		chunk := buf[:min(fileChunk, f.Size-sent)]
		if _, err := io.ReadFull(f.Content, chunk); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = ErrFileSize
			}
			return err
		}
		sent += int64(len(chunk))
		t.peer.mu.Lock()
		t.sent = sent
		t.peer.mu.Unlock()
		// An empty file is an empty message, without which browsers wait for ever.
		if ch.Send(chunk) != nil { // the channel is closing
			t.step(fileEvent{fileHungUp, errHungUp})
			<-t.over
			return nil
		}
		if f.Progress != nil {
			f.Progress(sent)
		}
		if sent == f.Size {
			return nil
		}
		for ch.BufferedAmount() > fileBufferFull {
			select {
			case <-t.low:
			case <-t.over:
				return nil
			}
		}
		select {
		case <-t.over:
			return nil
		default:
		}
	}
}

// Accept receives the file and writes it to w. It returns nil when all of it has been
// written, and a [*CancelError] when the sender has cancelled the transfer. The end of ctx
// cancels it, unless w hangs in a Write.
func (f *IncomingFile) Accept(ctx context.Context, w io.Writer) error {
	if err := f.accept(ctx, w); err != nil {
		return fmt.Errorf("galenepion: receive file: %w", err)
	}
	return nil
}

func (f *IncomingFile) accept(ctx context.Context, w io.Writer) error {
	t := f.transfer
	if !t.step(fileEvent{kind: fileAccepted}) {
		if err := t.outcome(); err != nil {
			return err
		}
		return ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { t.step(fileEvent{fileBroken, ctx.Err()}) })
	defer stop()
	select {
	case <-t.open:
	case <-t.over:
		return t.outcome()
	}
	for received := int64(0); received < t.size; {
		select {
		case b := <-t.data:
			if int64(len(b)) > t.size-received {
				t.step(fileEvent{fileBroken, ErrFileSize})
				continue
			}
			if _, err := w.Write(b); err != nil {
				t.step(fileEvent{fileBroken, err})
				continue
			}
			received += int64(len(b))
			if f.Progress != nil && len(b) > 0 {
				f.Progress(received)
			}
		case <-t.over:
			return t.outcome()
		}
	}
	t.step(fileEvent{kind: fileComplete})
	<-t.over
	return t.outcome()
}

// Reject refuses the file, with a message for the sender. It cancels one that is being
// received.
func (f *IncomingFile) Reject(message string) {
	f.transfer.step(fileEvent{fileBroken, rejection(message)})
}

// Done is closed when the transfer is over; before Accept, because the sender has
// cancelled it or is gone.
func (f *IncomingFile) Done() <-chan struct{} { return f.transfer.over }

// A rejection is what the application tells the sender.
type rejection string

func (r rejection) Error() string { return "galenepion: file rejected: " + string(r) }

func newTransfer(p *Peer, key fileKey, sends bool, size int64) *transfer {
	return &transfer{
		peer: p, key: key, sends: sends, size: size,
		open: make(chan struct{}), full: make(chan struct{}), over: make(chan struct{}),
		data: make(chan []byte), low: make(chan struct{}, 1),
	}
}

// register makes a transfer known, unless there are too many with its user.
func (p *Peer) register(t *transfer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for key, other := range p.files {
		if key.user == t.key.user && other.sends == t.sends {
			n++
		}
	}
	switch {
	case p.closed:
		return ErrClosed
	case p.files[t.key] != nil:
		return errDuplicateFile
	case n >= p.opts.MaxFiles:
		return ErrTooManyFiles
	}
	p.files[t.key] = t
	return nil
}

var errDuplicateFile = errors.New("galenepion: duplicate file transfer id, perhaps of a file for oneself")

// fileMessage takes a message of another user about a file.
func (p *Peer) fileMessage(m *galene.UserMessage) error {
	f, err := m.FileTransfer()
	if err != nil || m.Source == "" {
		return err
	}
	if f.Type == galene.FileInvite {
		p.invited(m, f)
		return nil
	}
	p.mu.Lock()
	t := p.files[fileKey{m.Source, f.ID}]
	p.mu.Unlock()
	if t == nil {
		return nil // it is over here
	}
	switch f.Type {
	case galene.FileOffer:
		if !slices.Contains(f.Version, galene.FileTransferVersion) {
			t.step(fileEvent{fileBroken, errVersion})
		} else if t.step(fileEvent{kind: fileOffered}) {
			return t.description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: f.SDP})
		}
	case galene.FileAnswer:
		if !t.sends {
			return t.description(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: f.SDP})
		}
	case galene.FileICE:
		init, ok, err := f.Init()
		if !ok {
			return err
		}
		return t.candidate(webrtc.ICECandidateInit(init))
	case galene.FileCancel:
		t.step(fileEvent{fileCancelled, &CancelError{f.Message}})
	case "upice", "downice", "reject", "abort": // of Galène before 0.95
		t.step(fileEvent{fileBroken, errObsolete})
	}
	return nil
}

// invited gives a file to the application.
func (p *Peer) invited(m *galene.UserMessage, f *galene.FileTransfer) {
	t := newTransfer(p, fileKey{m.Source, f.ID}, false, int64(min(*f.Size, maxFileSize)))
	var err error
	switch {
	case !slices.Contains(f.Version, galene.FileTransferVersion):
		err = errVersion
	case *f.Size > maxFileSize:
		err = ErrFileSize
	case p.opts.OnFile == nil:
		err = rejection("this client does not receive files")
	default:
		err = p.register(t)
	}
	if err != nil {
		p.cancelFile(t.key, err)
		return
	}
	in := &IncomingFile{
		ID: f.ID, Source: m.Source, Name: baseName(f.Name), MimeType: f.MimeType, Size: t.size, transfer: t,
	}
	if m.Username != nil {
		in.Username = *m.Username
	}
	p.opts.OnFile(in)
}

// baseName returns the last element of a path of any system, without what cannot be seen.
func baseName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\\':
			return '/'
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, name)
	if name = path.Base(name); name == "." || name == ".." || name == "/" {
		return "file"
	}
	return name
}

// cancelFile tells another user that a transfer is over.
func (p *Peer) cancelFile(key fileKey, cause error) {
	text := "cancelled"
	if r, ok := errors.AsType[rejection](cause); ok {
		text = string(r)
	} else if cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		text = strings.TrimPrefix(cause.Error(), "galenepion: ")
	}
	p.send(galene.NewFileTransfer(key.user, &galene.FileTransfer{
		Type: galene.FileCancel, ID: key.id, Message: strings.ToValidUTF8(text, "\uFFFD"),
	}))
}

// userGone ends the transfers with a user who has left.
func (p *Peer) userGone(id string) {
	p.mu.Lock()
	files := p.transfers()
	p.mu.Unlock()
	for _, t := range files {
		if t.key.user == id {
			t.step(fileEvent{fileGone, ErrNoUser})
		}
	}
}

// step carries out an event, and reports false when it means nothing any more or yet.
func (t *transfer) step(e fileEvent) bool {
	p := t.peer
	p.mu.Lock()
	o := t.state.next(t.sends, e.kind)
	t.state = o.next
	if t.timer != nil && o.action != fileIgnore {
		t.timer.Stop()
	}
	switch o.action {
	case fileNote:
		close(t.open)
	case fileConfirm, fileAwait:
		t.timer = time.AfterFunc(lastWords, func() { t.step(fileEvent{fileLate, e.err}) })
	case fileSucceed, fileFail, fileTellAndFail:
		if o.action != fileSucceed {
			t.err = e.err
		}
		delete(p.files, t.key)
		close(t.over)
	}
	if o.action == fileConfirm {
		close(t.full)
	}
	session, channel := t.session, t.channel
	p.mu.Unlock()

	switch o.action {
	case fileConnect, fileAnswer:
		if err := t.connect(); err != nil {
			t.step(fileEvent{fileBroken, err})
		}
	case fileConfirm:
		_ = channel.SendText("done") // what fails here is a channel that is closing
	case fileTellAndFail:
		p.cancelFile(t.key, e.err)
	}
	if o.next == fileOver && session != nil {
		session.End(nil)
	}
	return o.action != fileIgnore
}

// connect makes the peer connection, and offers it if the file is to be received.
func (t *transfer) connect() error {
	p := t.peer
	session, err := p.session(pionpeer.SessionConfig{
		MaxChannels: 1,
		SendDescription: func(d webrtc.SessionDescription) error {
			f := &galene.FileTransfer{Type: galene.FileAnswer, ID: t.key.id, SDP: d.SDP}
			if d.Type == webrtc.SDPTypeOffer {
				f.Type, f.Version = galene.FileOffer, []string{galene.FileTransferVersion}
			}
			return p.client.Send(galene.NewFileTransfer(t.key.user, f))
		},
		SendCandidate: func(c webrtc.ICECandidateInit) error {
			if c.Candidate == "" {
				return nil
			}
			candidate := galene.NewICE(t.key.id, galene.ICECandidateInit(c)).Candidate
			return p.client.Send(galene.NewFileTransfer(t.key.user, &galene.FileTransfer{
				Type: galene.FileICE, ID: t.key.id, Candidate: candidate,
			}))
		},
		OnChannel: func(ch *webrtc.DataChannel) {
			if t.sends {
				t.attach(ch)
			}
		},
		OnEnd: func(cause error) {
			if cause == nil {
				t.step(fileEvent{fileHungUp, errHungUp})
			} else {
				t.step(fileEvent{fileBroken, cause})
			}
		},
	})
	if err != nil {
		return err
	}
	if !t.sends {
		ch, err := session.PeerConnection().CreateDataChannel("file", nil)
		if err != nil {
			session.Discard()
			return fmt.Errorf("data channel: %w", err)
		}
		t.attach(ch)
	}
	p.mu.Lock()
	if p.closed || t.state == fileOver {
		p.mu.Unlock()
		session.Discard()
		return nil
	}
	t.session = session
	waiting := t.candidates
	t.candidates = nil
	p.start(session)
	p.mu.Unlock()
	for _, c := range waiting {
		_ = session.Candidate(c)
	}
	if !t.sends {
		session.Negotiate()
	}
	return nil
}

// attach takes the data channel.
func (t *transfer) attach(ch *webrtc.DataChannel) {
	t.peer.mu.Lock()
	t.channel = ch
	t.peer.mu.Unlock()
	ch.SetBufferedAmountLowThreshold(fileBufferLow)
	ch.OnBufferedAmountLow(func() {
		select {
		case t.low <- struct{}{}:
		default:
		}
	})
	ch.OnOpen(func() { t.step(fileEvent{kind: fileOpened}) })
	ch.OnClose(func() { t.step(fileEvent{fileHungUp, errHungUp}) })
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		t.step(fileEvent{kind: fileOpened}) // which Pion may tell later
		switch {
		case t.sends:
			t.peer.mu.Lock()
			all := m.IsString && string(m.Data) == "done" && t.sent == t.size
			t.peer.mu.Unlock()
			if all {
				t.step(fileEvent{kind: fileConfirmed})
			} else {
				t.step(fileEvent{fileBroken, errNonsense})
			}
		case m.IsString:
			t.step(fileEvent{fileBroken, errNonsense})
		default:
			select {
			case t.data <- m.Data:
			case <-t.full:
			case <-t.over:
			}
		}
	})
}

// description gives a description of the other side to the peer connection.
func (t *transfer) description(d webrtc.SessionDescription) error {
	t.peer.mu.Lock()
	session := t.session
	t.peer.mu.Unlock()
	if session == nil {
		return nil
	}
	return ignoreClosed(session.Description(d))
}

// candidate gives a candidate of the other side to the peer connection, or keeps it for the
// one to come.
func (t *transfer) candidate(c webrtc.ICECandidateInit) error {
	t.peer.mu.Lock()
	session := t.session
	if session == nil && len(t.candidates) < fileCandidates {
		t.candidates = append(t.candidates, c)
	}
	t.peer.mu.Unlock()
	if session == nil {
		return nil
	}
	return ignoreClosed(session.Candidate(c))
}

func (t *transfer) outcome() error {
	t.peer.mu.Lock()
	defer t.peer.mu.Unlock()
	return t.err
}
