package easyrtcpion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

const (
	// maxFileBacklog is how many bytes of files wait for the application: more than what
	// browsers send without an acknowledgement, which is 500 kB.
	maxFileBacklog = 1 << 20
	// eventCost is what an event counts beside its data.
	eventCost = 512
)

// A File is what [Peer.SendFiles] sends.
type File struct {
	Name    string // not empty
	Type    string // of MIME; may be empty
	Size    int64  // in bytes; Content must have as many
	Content io.Reader
	// Progress, if not nil, hears how many bytes have been sent.
	Progress func(sent int64)
}

// A fileKey names a transfer.
type fileKey struct {
	id  string // of the other client
	seq int64
}

// A fileTransfer is one in either direction.
type fileTransfer interface{ fail(error) }

// filesOf returns the transfers that which chooses. Called with the lock held.
func (p *Peer) filesOf(which func(id string, seen *bool) bool) (all []fileTransfer) {
	for key, f := range p.outFiles {
		if which(key.id, &f.seen) {
			all = append(all, f)
		}
	}
	for key, f := range p.inFiles {
		if which(key.id, &f.seen) {
			all = append(all, f)
		}
	}
	return all
}

// outgoingFiles are files on their way to another client.
type outgoingFiles struct {
	key  fileKey
	wake chan struct{} // capacity 1: the state has changed
	over chan struct{} // closed when it fails
	end  sync.Once
	err  error // once over is closed

	// Guarded by the peer's lock.
	machine *easyrtc.FileSender
	seen    bool
}

func (f *outgoingFiles) fail(err error) {
	f.end.Do(func() {
		f.err = err
		close(f.over)
	})
}

// SendFiles offers files to another client, and sends them once they have been accepted: on
// the data channel of a call if there is one, through the server otherwise. It returns nil
// when everything has been sent, and [ErrRejected] or [ErrCancelled] when the other client
// does not want them. The end of ctx cancels the transfer, unless a Content hangs in a Read.
//
// What goes through a server counts there against [easyrtc.Limits], so files of more than a
// few megabytes need a call.
func (p *Peer) SendFiles(ctx context.Context, easyrtcid string, files ...*File) error {
	if err := p.sendFiles(ctx, easyrtcid, files); err != nil {
		return fmt.Errorf("easyrtcpion: send files: %w", err)
	}
	return nil
}

func (p *Peer) sendFiles(ctx context.Context, id string, files []*File) error {
	f, turn, err := p.offerFiles(id, files)
	if err != nil {
		return err
	}
	defer p.forgetOutgoing(f)
	if err := p.tellFile(ctx, id, f.machine.Offer()); err != nil {
		return p.cancelSending(f, err) // it may be there nevertheless
	}
	if err := f.await(ctx, p, func(s easyrtc.FileState) bool { return s != easyrtc.FilesOffered }); err != nil {
		return p.cancelSending(f, err)
	}
	if state := p.sendingState(f); state.Over() {
		return stateError(state)
	}
	select { // browsers count what they have of one transfer only
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return p.cancelSending(f, ctx.Err())
	case <-f.over:
		return f.err
	}
	if err := p.stream(ctx, f, files); err != nil {
		return p.cancelSending(f, err)
	}
	return stateError(p.sendingState(f))
}

func stateError(s easyrtc.FileState) error {
	switch s {
	case easyrtc.FilesRejected:
		return ErrRejected
	case easyrtc.FilesCancelled:
		return ErrCancelled
	}
	return nil
}

// offerFiles makes a transfer known, unless there are too many with its receiver.
func (p *Peer) offerFiles(id string, files []*File) (*outgoingFiles, chan struct{}, error) {
	infos, types := make([]easyrtc.FileInfo, len(files)), make([]string, len(files))
	for i, f := range files {
		infos[i], types[i] = easyrtc.FileInfo{Name: f.Name, Size: f.Size}, f.Type
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for key := range p.outFiles {
		if key.id == id {
			n++
		}
	}
	switch {
	case p.closed:
		return nil, nil, ErrClosed
	case n >= p.opts.MaxFiles:
		return nil, nil, ErrTooManyFiles
	}
	machine, err := easyrtc.NewFileSender(p.lastSeq+1, infos, types)
	if err != nil {
		return nil, nil, err
	}
	p.lastSeq++
	f := &outgoingFiles{
		key: fileKey{id, p.lastSeq}, machine: machine, seen: p.sharesRoom(id),
		wake: make(chan struct{}, 1), over: make(chan struct{}),
	}
	p.outFiles[f.key] = f
	if p.sending[id] == nil {
		p.sending[id] = make(chan struct{}, 1)
	}
	return f, p.sending[id], nil
}

func (p *Peer) forgetOutgoing(f *outgoingFiles) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.outFiles, f.key)
	for key := range p.outFiles {
		if key.id == f.key.id {
			return
		}
	}
	delete(p.sending, f.key.id)
}

func (p *Peer) sendingState(f *outgoingFiles) easyrtc.FileState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.machine.State()
}

// await waits until ok is satisfied by the state.
func (f *outgoingFiles) await(ctx context.Context, p *Peer, ok func(easyrtc.FileState) bool) error {
	for !ok(p.sendingState(f)) {
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *outgoingFiles) wait(ctx context.Context) error {
	select {
	case <-f.wake:
		return nil
	case <-f.over:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream sends the files until they have been sent or the receiver does not want them.
func (p *Peer) stream(ctx context.Context, f *outgoingFiles, files []*File) error {
	buf := make([]byte, easyrtc.FilePacketBytes)
	sent := make([]int64, len(files))
	for {
		p.mu.Lock()
		chunk, i, size := f.machine.Next()
		over := f.machine.State().Over()
		p.mu.Unlock()
		switch {
		case size > 0:
			if _, err := io.ReadFull(files[i].Content, buf[:size]); err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					err = ErrFileSize
				}
				return err
			}
			p.mu.Lock()
			chunk = f.machine.Data(buf[:size])
			p.mu.Unlock()
		case chunk == nil && over:
			return nil
		case chunk == nil:
			if err := f.wait(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-f.over:
			return f.err
		default:
		}
		if err := p.sendFile(ctx, f.key.id, chunk); err != nil {
			return err
		}
		if sent[i] += int64(size); size > 0 && files[i].Progress != nil {
			files[i].Progress(sent[i])
		}
	}
}

// cancelSending tells the receiver that there is no more, behind the data and whatever has
// become of the context of the transfer.
func (p *Peer) cancelSending(f *outgoingFiles, cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if chunk := f.machine.Cancel(); chunk != nil && !p.closed {
		p.work.Go(func() { _ = p.sendFile(p.ctx, f.key.id, chunk) })
	}
	return cause
}

// sendFile sends a message about files on the data channel if there is one, and through the
// server otherwise.
func (p *Peer) sendFile(ctx context.Context, id string, m easyrtc.FileMessage) error {
	if c := p.call(id); c != nil {
		select {
		case <-c.Ready():
			msgType, data, err := easyrtc.EncodeFile(m)
			if err != nil {
				return err
			}
			return c.Send(ctx, msgType, data)
		default:
		}
	}
	return p.tellFile(ctx, id, m)
}

// tellFile sends a message about files through the server and waits for its word.
func (p *Peer) tellFile(ctx context.Context, id string, m easyrtc.FileMessage) error {
	msgType, data, err := easyrtc.EncodeFile(m)
	if err != nil {
		return err
	}
	return p.client.SendTo(ctx, id, msgType, data)
}

// fileMessage takes a message about files.
func (p *Peer) fileMessage(id, msgType string, data json.RawMessage) (handled bool, err error) {
	m, err := easyrtc.DecodeFile(msgType, data)
	if err != nil || m == nil {
		return err != nil, err
	}
	switch m := m.(type) {
	case *easyrtc.FilesOffer:
		p.filesOffered(id, m)
	case *easyrtc.FilesChunk:
		return true, p.fileChunk(id, m)
	case *easyrtc.FilesAccept:
		p.toSender(id, m.Seq, m)
	case *easyrtc.FilesReject:
		p.toSender(id, m.Seq, m)
	case *easyrtc.FilesCancel:
		p.toSender(id, m.Seq, m)
	case *easyrtc.FilesAck:
		p.toSender(id, m.Seq, m)
	}
	return true, nil
}

func (p *Peer) toSender(id string, seq int64, m easyrtc.FileMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.outFiles[fileKey{id, seq}]; f != nil {
		f.machine.Receive(m)
		signal(f.wake)
	}
}

// IncomingFiles are files that another client wants to send. Exactly one of Accept and
// Reject is to be called.
type IncomingFiles struct {
	EasyrtcID string // of the sender
	// Files are what the sender says of them. Their names may be anything; see
	// [easyrtc.FileInfo.FileName].
	Files []easyrtc.FileInfo

	peer *Peer
	key  fileKey
	wake chan struct{} // capacity 1: something waits in events, or the state has changed
	over chan struct{} // closed at the end
	end  sync.Once
	err  error // once over is closed

	// Guarded by the peer's lock.
	machine *easyrtc.FileReceiver
	events  []easyrtc.FileEvent
	backlog int // bytes that wait in events
	seen    bool
}

func (f *IncomingFiles) fail(err error) {
	p := f.peer
	p.mu.Lock()
	if p.inFiles[f.key] == f {
		delete(p.inFiles, f.key)
	}
	p.mu.Unlock()
	f.end.Do(func() {
		f.err = err
		close(f.over)
	})
}

// filesOffered takes an offer of files.
func (p *Peer) filesOffered(id string, m *easyrtc.FilesOffer) {
	f := &IncomingFiles{
		EasyrtcID: id, Files: m.FileNameList, peer: p, key: fileKey{id, m.Seq},
		machine: easyrtc.NewFileReceiver(m), wake: make(chan struct{}, 1), over: make(chan struct{}),
	}
	p.mu.Lock()
	old, n := p.inFiles[f.key], 0
	for key := range p.inFiles {
		if key.id == id {
			n++
		}
	}
	refuse := p.closed || p.opts.OnFiles == nil || old == nil && n >= p.opts.MaxFiles
	if !refuse {
		f.seen = p.sharesRoom(id)
		p.inFiles[f.key] = f
	}
	p.mu.Unlock()
	if refuse {
		p.tellLater(id, &easyrtc.FilesReject{Seq: m.Seq})
		return
	}
	if old != nil { // the sender has forgotten it
		old.fail(ErrCancelled)
	}
	p.opts.OnFiles(f)
}

// tellLater sends a message through the server and does not wait for its word.
func (p *Peer) tellLater(id string, m easyrtc.FileMessage) {
	if msgType, data, err := easyrtc.EncodeFile(m); err == nil {
		p.send(&easyrtc.Msg{MsgType: msgType, TargetEasyrtcID: id, MsgData: data})
	}
}

// fileChunk takes a step of a transfer. It never waits for the application: what the sender
// may have on its way has room here.
func (p *Peer) fileChunk(id string, m *easyrtc.FilesChunk) error {
	p.mu.Lock()
	f := p.inFiles[fileKey{id, m.Seq}]
	if f == nil {
		p.mu.Unlock()
		return nil // it is over here
	}
	e, err := f.machine.Receive(m)
	state := f.machine.State()
	if err == nil && (e.Begin || e.End || len(e.Data) > 0) {
		f.events = append(f.events, e)
		if f.backlog += len(e.Data) + eventCost; f.backlog > maxFileBacklog {
			err = ErrFlood
		}
	}
	p.mu.Unlock()
	switch {
	case err != nil:
		f.cancel(err)
	case state == easyrtc.FilesCancelled:
		f.fail(ErrCancelled)
	default:
		signal(f.wake)
	}
	return err
}

// cancel ends a transfer on this side.
func (f *IncomingFiles) cancel(cause error) {
	p := f.peer
	p.mu.Lock()
	m := f.machine.Cancel()
	p.mu.Unlock()
	if m != nil {
		p.tellLater(f.EasyrtcID, m)
	}
	f.fail(cause)
}

// Reject refuses the files. It cancels a transfer that is under way.
func (f *IncomingFiles) Reject() {
	p := f.peer
	p.mu.Lock()
	m := f.machine.Reject()
	p.mu.Unlock()
	if m == nil {
		f.cancel(ErrClosed)
		return
	}
	p.tellLater(f.EasyrtcID, m)
	f.fail(ErrClosed)
}

// Done is closed when the transfer is over; before Accept, because the sender has cancelled
// it or is gone.
func (f *IncomingFiles) Done() <-chan struct{} { return f.over }

// Accept receives the files and writes each to what open returns for it, by its index in
// Files and the MIME type that the sender says. What is an io.Closer is closed at the end of
// the file. It returns nil when all files have been written, and [ErrCancelled] when the
// sender has given up. The end of ctx cancels the transfer, unless open or a Write hangs.
func (f *IncomingFiles) Accept(ctx context.Context, open func(i int, mimeType string) (io.Writer, error)) error {
	if err := f.accept(ctx, open); err != nil {
		return fmt.Errorf("easyrtcpion: receive files: %w", err)
	}
	return nil
}

func (f *IncomingFiles) accept(ctx context.Context, open func(int, string) (io.Writer, error)) error {
	p := f.peer
	p.mu.Lock()
	m := f.machine.Accept()
	p.mu.Unlock()
	if m == nil {
		return f.outcome()
	}
	if err := p.tellFile(ctx, f.EasyrtcID, m); err != nil {
		f.fail(err)
		return err
	}
	var w io.Writer
	defer func() { closeWriter(w) }()
	for {
		events, delivered := f.take()
		for _, e := range events {
			var err error
			switch {
			case e.Begin:
				w, err = open(e.File, e.Type)
			case e.End:
				err = closeWriter(w)
				w = nil
			default:
				_, err = w.Write(e.Data)
			}
			if err == nil && e.Ack != nil {
				err = p.sendFile(ctx, f.EasyrtcID, e.Ack)
			}
			if err != nil {
				f.cancel(err)
				return err
			}
		}
		if delivered {
			f.fail(nil)
			return nil
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-f.wake:
		case <-f.over:
			return f.outcome()
		case <-ctx.Done():
			f.cancel(ctx.Err())
			return ctx.Err()
		}
	}
}

func (f *IncomingFiles) outcome() error {
	select {
	case <-f.over:
		if f.err != nil {
			return f.err
		}
	default:
	}
	return ErrClosed
}

// take returns what has arrived, and whether that was all.
func (f *IncomingFiles) take() (events []easyrtc.FileEvent, delivered bool) {
	f.peer.mu.Lock()
	defer f.peer.mu.Unlock()
	events = f.events
	f.events, f.backlog = nil, 0
	return events, f.machine.State() == easyrtc.FilesDelivered
}

func closeWriter(w io.Writer) error {
	if c, ok := w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
