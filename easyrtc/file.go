package easyrtc

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// The types of the messages about files. Each is the MsgType of a [Msg] or a [DataMessage].
// Offers and the answers to them are always a Msg, the others whatever is there.
const (
	MsgFilesOffer  = "filesOffer"
	MsgFilesAccept = "filesAccept"
	MsgFilesReject = "filesReject"
	MsgFilesCancel = "filesCancel"
	MsgFilesAck    = "filesAck"
	MsgFilesChunk  = "filesChunk"
)

const (
	// FilePacketBytes is how much of a file goes into one [FilesChunk], as in browsers.
	FilePacketBytes = 10 << 10
	// FileWindowBytes is how far a sender may be ahead of what the receiver has
	// acknowledged of a file.
	FileWindowBytes = 400 << 10
	// FileAckBytes is how much a receiver takes before it acknowledges it.
	FileAckBytes = 10000
	// MaxOfferedFiles is how many files one offer may have.
	MaxOfferedFiles = 1024

	maxFileBytes = 1<<53 - 1 // the largest integer that browsers know
)

// A FileMessage is one of those about files.
type FileMessage interface {
	fileType() string
	check() *ValidationError
}

// FilesOffer offers files to another client. Seq names the offer among those of its sender;
// it is never 0.
type FilesOffer struct {
	Seq          int64      `json:"seq"`
	FileNameList []FileInfo `json:"fileNameList"`
	Extra        Fields     `json:"-"`
}

// A FileInfo is a file that is offered.
type FileInfo struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"` // in bytes
	Extra Fields `json:"-"`
}

// FilesAccept asks for the files of an offer.
type FilesAccept struct {
	Seq   int64  `json:"seq"`
	Extra Fields `json:"-"`
}

// FilesReject refuses an offer.
type FilesReject struct {
	Seq   int64  `json:"seq"`
	Extra Fields `json:"-"`
}

// FilesCancel takes back an acceptance. Browsers that send heed it only before it is
// accepted, and never send it.
type FilesCancel struct {
	Seq   int64  `json:"seq"`
	Extra Fields `json:"-"`
}

// FilesAck acknowledges how many bytes of the present file have arrived.
type FilesAck struct {
	Seq         int64  `json:"seq"`
	PositionAck int64  `json:"positionAck"`
	Extra       Fields `json:"-"`
}

// FilesChunk is a step of the sending of files: the beginning of a file has its Name, a part
// of it has Data64 or DataText, and an end has Done.
type FilesChunk struct {
	Seq      int64     `json:"seq"`
	Name     *string   `json:"name,omitempty"`
	Type     *string   `json:"type,omitempty"` // of MIME; may be empty
	OutSeq   *int64    `json:"outseq,omitempty"`
	Size     *int64    `json:"size,omitempty"`    // in bytes, with Name
	Data64   *string   `json:"data64,omitempty"`  // base64
	DataText *string   `json:"datatxt,omitempty"` // a byte in each character, as browsers send it
	Done     FilesDone `json:"done,omitempty"`
	Extra    Fields    `json:"-"`
}

// A FilesDone says what has ended.
type FilesDone string

// The ends that a [FilesChunk] may tell of.
const (
	FilesDoneFile      FilesDone = "file" // the present file
	FilesDoneAll       FilesDone = "all"  // the whole offer
	FilesDoneCancelled FilesDone = "cancelled"
)

func (m *FilesOffer) fileType() string  { return MsgFilesOffer }
func (m *FilesAccept) fileType() string { return MsgFilesAccept }
func (m *FilesReject) fileType() string { return MsgFilesReject }
func (m *FilesCancel) fileType() string { return MsgFilesCancel }
func (m *FilesAck) fileType() string    { return MsgFilesAck }
func (m *FilesChunk) fileType() string  { return MsgFilesChunk }

func fileError(typ, field, reason string) *ValidationError {
	return &ValidationError{Type: typ, Field: "msgData." + field, Reason: reason}
}

func checkSeq(typ string, seq int64) *ValidationError {
	if seq <= 0 {
		return fileError(typ, "seq", "not a positive number")
	}
	return nil
}

func (m *FilesOffer) check() *ValidationError {
	if len(m.FileNameList) > MaxOfferedFiles {
		return fileError(MsgFilesOffer, "fileNameList", "too many files")
	}
	for i, f := range m.FileNameList {
		if f.Size < 0 || f.Size > maxFileBytes {
			return fileError(MsgFilesOffer, fmt.Sprintf("fileNameList[%d].size", i), "out of range")
		}
		if f.Name == "" { // with browsers it would be no beginning of a file
			return fileError(MsgFilesOffer, fmt.Sprintf("fileNameList[%d].name", i), "empty")
		}
	}
	return checkSeq(MsgFilesOffer, m.Seq)
}

func (m *FilesAccept) check() *ValidationError { return checkSeq(MsgFilesAccept, m.Seq) }
func (m *FilesReject) check() *ValidationError { return checkSeq(MsgFilesReject, m.Seq) }
func (m *FilesCancel) check() *ValidationError { return checkSeq(MsgFilesCancel, m.Seq) }

func (m *FilesAck) check() *ValidationError {
	if m.PositionAck < 0 {
		return fileError(MsgFilesAck, "positionAck", "negative")
	}
	return checkSeq(MsgFilesAck, m.Seq)
}

func (m *FilesChunk) check() *ValidationError {
	kinds := 0
	for _, is := range []bool{m.Done != "", m.Name != nil, m.Data64 != nil, m.DataText != nil} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fileError(MsgFilesChunk, "done", "not exactly one of done, name, data64 and datatxt")
	case m.Name != nil && *m.Name == "":
		return fileError(MsgFilesChunk, "name", "empty")
	case m.Name != nil && (m.Size == nil || *m.Size < 0 || *m.Size > maxFileBytes):
		return fileError(MsgFilesChunk, "size", "missing or out of range")
	}
	switch m.Done {
	case "", FilesDoneFile, FilesDoneAll, FilesDoneCancelled:
	default:
		return fileError(MsgFilesChunk, "done", "unknown")
	}
	return checkSeq(MsgFilesChunk, m.Seq)
}

// DecodeFile reads what a [Msg] or a [DataMessage] says about files. It returns nil for a
// message that is about something else; the error is a [*ValidationError].
func DecodeFile(msgType string, msgData json.RawMessage) (FileMessage, error) {
	var m FileMessage
	switch msgType {
	case MsgFilesOffer:
		m = new(FilesOffer)
	case MsgFilesAccept:
		m = new(FilesAccept)
	case MsgFilesReject:
		m = new(FilesReject)
	case MsgFilesCancel:
		m = new(FilesCancel)
	case MsgFilesAck:
		m = new(FilesAck)
	case MsgFilesChunk:
		m = new(FilesChunk)
	default:
		return nil, nil
	}
	if err := unmarshal(msgType, msgData, m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// EncodeFile returns the type and the data of a message about files. It fails for what
// [DecodeFile] refuses and for texts that are not UTF-8.
func EncodeFile(m FileMessage) (msgType string, msgData json.RawMessage, err error) {
	if err := m.check(); err != nil {
		return "", nil, err
	}
	b, err := jsonx.Append(nil, "", "", m)
	if err != nil {
		return "", nil, fmt.Errorf("easyrtc: encode %s: %w", m.fileType(), err)
	}
	return m.fileType(), b, nil
}

// Data returns the part of the file that the chunk has, if it has one. The error is a
// [*ValidationError].
func (m *FilesChunk) Data() ([]byte, error) {
	switch {
	case m.Data64 != nil:
		b, err := base64.StdEncoding.DecodeString(*m.Data64)
		if err != nil {
			return nil, fileError(MsgFilesChunk, "data64", "not base64")
		}
		return b, nil
	case m.DataText != nil:
		b := make([]byte, 0, len(*m.DataText))
		for _, r := range *m.DataText {
			if r > 0xff {
				return nil, fileError(MsgFilesChunk, "datatxt", "not a byte")
			}
			b = append(b, byte(r))
		}
		return b, nil
	}
	return nil, nil
}

// A FileState is where a transfer of files stands.
type FileState int

// The states of a transfer.
const (
	FilesOffered   FileState = iota // the receiver has not decided
	FilesAccepted                   // under way
	FilesDelivered                  // over, and all is there
	FilesRejected                   // over
	FilesCancelled                  // over, by the other side
)

var fileStates = [...]string{"offered", "accepted", "delivered", "rejected", "cancelled"}

// String returns the state's name.
func (s FileState) String() string { return stateName(fileStates[:], int(s)) }

// Over reports whether the transfer has ended.
func (s FileState) Over() bool { return s >= FilesDelivered }

// A FileSender is the sending side of one offer, without I/O. It is not safe for concurrent
// use.
type FileSender struct {
	offer FilesOffer
	types []string
	state FileState

	file   int   // the present one
	begun  bool  // its beginning has been sent
	sent   int64 // of it
	acked  int64
	outSeq int64
}

// NewFileSender returns the sender of files, whose MIME types may be missing. seq must differ
// from those of the other offers to the same client. The error is a [*ValidationError].
func NewFileSender(seq int64, files []FileInfo, types []string) (*FileSender, error) {
	s := &FileSender{offer: FilesOffer{Seq: seq, FileNameList: files}, types: types}
	if err := s.offer.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// Offer returns what to send first.
func (s *FileSender) Offer() *FilesOffer { return &s.offer }

// State returns where the transfer stands.
func (s *FileSender) State() FileState { return s.state }

// Receive takes a message of the receiver. Those of other offers and those that come at the
// wrong time change nothing.
func (s *FileSender) Receive(m FileMessage) {
	if s.state.Over() {
		return
	}
	switch m := m.(type) {
	case *FilesAccept:
		if m.Seq == s.offer.Seq && s.state == FilesOffered {
			s.state = FilesAccepted
		}
	case *FilesReject:
		if m.Seq == s.offer.Seq && s.state == FilesOffered {
			s.state = FilesRejected
		}
	case *FilesCancel:
		if m.Seq == s.offer.Seq {
			s.state = FilesCancelled
		}
	case *FilesAck:
		// One that is beyond what was sent is of the file before.
		if m.Seq == s.offer.Seq && m.PositionAck > s.acked && m.PositionAck <= s.sent {
			s.acked = m.PositionAck
		}
	}
}

// Next returns what to do now: a message to send, or else how many bytes of which file are
// to be given to Data. Both are nothing when the receiver must speak first and when the
// transfer is over.
func (s *FileSender) Next() (chunk *FilesChunk, file, size int) {
	if s.state != FilesAccepted {
		return nil, 0, 0
	}
	files := s.offer.FileNameList
	if s.file == len(files) {
		s.state = FilesDelivered
		return &FilesChunk{Seq: s.offer.Seq, Done: FilesDoneAll}, 0, 0
	}
	f := files[s.file]
	switch {
	case !s.begun:
		s.begun = true
		typ := ""
		if s.file < len(s.types) {
			typ = s.types[s.file]
		}
		return s.numbered(&FilesChunk{Name: &f.Name, Type: &typ, Size: &f.Size}), 0, 0
	case s.sent == f.Size:
		s.file, s.begun, s.sent, s.acked = s.file+1, false, 0, 0
		return &FilesChunk{Seq: s.offer.Seq, Done: FilesDoneFile}, 0, 0
	case s.sent >= s.acked+FileWindowBytes:
		return nil, 0, 0
	}
	return nil, s.file, int(min(FilePacketBytes, f.Size-s.sent))
}

// Data returns the message for as many bytes of the present file as Next has asked for.
func (s *FileSender) Data(b []byte) *FilesChunk {
	s.sent += int64(len(b))
	text := base64.StdEncoding.EncodeToString(b)
	return s.numbered(&FilesChunk{Data64: &text})
}

func (s *FileSender) numbered(c *FilesChunk) *FilesChunk {
	n := s.outSeq
	s.outSeq++
	c.Seq, c.OutSeq = s.offer.Seq, &n
	return c
}

// Cancel ends the transfer on the application's word and returns what to send, if anything.
func (s *FileSender) Cancel() *FilesChunk {
	if s.state.Over() {
		return nil
	}
	s.state = FilesCancelled
	return &FilesChunk{Seq: s.offer.Seq, Done: FilesDoneCancelled}
}

// A FileReceiver is the receiving side of one offer, without I/O. It is not safe for
// concurrent use.
type FileReceiver struct {
	offer *FilesOffer
	state FileState

	file  int // the present one
	begun bool
	got   int64 // of it
	acked int64
}

// A FileEvent is what a message of the sender brings.
type FileEvent struct {
	File  int    // the index in the offer
	Type  string // of MIME, as the sender says, at the beginning of a file
	Begin bool   // of the file
	Data  []byte // of the file
	End   bool   // of the file

	Ack *FilesAck // to be sent once the data has been dealt with
}

// NewFileReceiver returns the receiver of an offer.
func NewFileReceiver(offer *FilesOffer) *FileReceiver { return &FileReceiver{offer: offer} }

// State returns where the transfer stands.
func (r *FileReceiver) State() FileState { return r.state }

// Accept asks for the files and returns what to send; nil when it is too late.
func (r *FileReceiver) Accept() *FilesAccept {
	if r.state != FilesOffered {
		return nil
	}
	r.state = FilesAccepted
	return &FilesAccept{Seq: r.offer.Seq}
}

// Reject refuses the files and returns what to send; nil when it is too late.
func (r *FileReceiver) Reject() *FilesReject {
	if r.state != FilesOffered {
		return nil
	}
	r.state = FilesRejected
	return &FilesReject{Seq: r.offer.Seq}
}

// Cancel ends a transfer that has been accepted and returns what to send; nil when it is
// too late.
func (r *FileReceiver) Cancel() *FilesCancel {
	if r.state != FilesAccepted {
		return nil
	}
	r.state = FilesCancelled
	return &FilesCancel{Seq: r.offer.Seq}
}

// Receive takes a message of the sender. One of another offer, and one that comes before the
// files are accepted or after the end, brings nothing; but the sender may cancel its offer at
// any time. The error, a [*ValidationError], is about files that are not what was offered;
// Cancel is then to be called.
func (r *FileReceiver) Receive(c *FilesChunk) (FileEvent, error) {
	if c.Seq != r.offer.Seq || r.state.Over() {
		return FileEvent{}, nil
	}
	if c.Done == FilesDoneCancelled {
		r.state = FilesCancelled
		return FileEvent{}, nil
	}
	if r.state != FilesAccepted {
		return FileEvent{}, nil
	}
	files := r.offer.FileNameList
	switch {
	case c.Done == FilesDoneAll:
		if r.file != len(files) || r.begun {
			return FileEvent{}, fileError(MsgFilesChunk, "done", "before all files have ended")
		}
		r.state = FilesDelivered
		return FileEvent{}, nil
	case r.file == len(files):
		return FileEvent{}, fileError(MsgFilesChunk, "name", "more files than offered")
	}
	f := files[r.file]
	e := FileEvent{File: r.file}
	switch {
	case c.Name != nil:
		if r.begun || *c.Name != f.Name || *c.Size != f.Size {
			return FileEvent{}, fileError(MsgFilesChunk, "name", "not the next file of the offer")
		}
		r.begun, e.Begin = true, true
		if c.Type != nil {
			e.Type = *c.Type
		}
	case !r.begun:
		return FileEvent{}, fileError(MsgFilesChunk, "name", "missing before the data")
	case c.Done == FilesDoneFile:
		if r.got != f.Size {
			return FileEvent{}, fileError(MsgFilesChunk, "done", "before the whole file")
		}
		e.End = true
		r.file, r.begun, r.got, r.acked = r.file+1, false, 0, 0
	default:
		return r.data(e, c, f.Size)
	}
	return e, nil
}

func (r *FileReceiver) data(e FileEvent, c *FilesChunk, size int64) (FileEvent, error) {
	b, err := c.Data()
	if err != nil {
		return FileEvent{}, err
	}
	if int64(len(b)) > size-r.got {
		return FileEvent{}, fileError(MsgFilesChunk, "size", "more data than offered")
	}
	r.got += int64(len(b))
	e.Data = b
	if r.got > r.acked+FileAckBytes {
		r.acked = r.got
		e.Ack = &FilesAck{Seq: r.offer.Seq, PositionAck: r.got}
	}
	return e, nil
}

// FileName returns the name of an offered file without what would be a path, and without
// what cannot be shown.
func (f *FileInfo) FileName() string {
	name := f.Name
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' || name[i] == '\\' {
			name = name[i+1:]
			break
		}
	}
	clean := make([]byte, 0, len(name))
	for _, r := range name {
		if r >= ' ' && r != 0x7f && r != utf8.RuneError {
			clean = utf8.AppendRune(clean, r)
		}
	}
	if s := string(clean); s != "" && s != "." && s != ".." {
		return s
	}
	return "file"
}
