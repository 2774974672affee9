package galenepion

// A fileState is where a file transfer stands.
type fileState int

const (
	fileInvited    fileState = iota // the receiver has not decided
	fileConnecting                  // accepted
	fileConnected                   // the data channel is open
	fileReceived                    // the receiver has said so, and the sender hangs up
	fileLost                        // the other side has hung up too early: it may say why
	fileOver
)

// A fileEventKind says what happens to a file transfer.
type fileEventKind int

const (
	fileAccepted  fileEventKind = iota // by the receiver's application
	fileOffered                        // by the receiver
	fileOpened                         // the data channel
	fileComplete                       // the receiver has everything
	fileConfirmed                      // the receiver says so, and everything was sent
	fileCancelled                      // by the other side
	fileHungUp                         // by the other side, without a word
	fileLate                           // what was waited for has not come
	fileGone                           // the other user, or the connection to the server
	fileBroken                         // here: by the application, a lost path, or nonsense of the other side
)

// A fileEvent is what happens to a file transfer.
type fileEvent struct {
	kind fileEventKind
	err  error // what the transfer ends with, if it does
}

// A fileAction is what a step asks of its driver.
type fileAction int

const (
	fileIgnore      fileAction = iota
	fileNote                   // nothing but the new state
	fileConnect                // make a peer connection and offer it
	fileAnswer                 // make a peer connection for the offer
	fileConfirm                // say "done", and wait for the end for a while
	fileAwait                  // wait for a cancellation for a while
	fileSucceed                // it is over and all is well
	fileFail                   // it is over with the error of the event
	fileTellAndFail            // and the other side is told
)

type fileStep struct {
	state fileState
	event fileEventKind
}

type fileOutcome struct {
	next   fileState
	action fileAction
}

// The steps of both sides, and those of one. What is in no table is ignored.
var (
	fileSteps = map[fileStep]fileOutcome{
		{fileInvited, fileCancelled}:    {fileOver, fileFail},
		{fileInvited, fileGone}:         {fileOver, fileFail},
		{fileInvited, fileBroken}:       {fileOver, fileTellAndFail},
		{fileConnecting, fileOpened}:    {fileConnected, fileNote},
		{fileConnecting, fileCancelled}: {fileOver, fileFail},
		{fileConnecting, fileHungUp}:    {fileLost, fileAwait},
		{fileConnecting, fileGone}:      {fileOver, fileFail},
		{fileConnecting, fileBroken}:    {fileOver, fileTellAndFail},
		{fileConnected, fileCancelled}:  {fileOver, fileFail},
		{fileConnected, fileHungUp}:     {fileLost, fileAwait},
		{fileConnected, fileGone}:       {fileOver, fileFail},
		{fileConnected, fileBroken}:     {fileOver, fileTellAndFail},
		{fileLost, fileCancelled}:       {fileOver, fileFail},
		{fileLost, fileLate}:            {fileOver, fileTellAndFail},
		{fileLost, fileGone}:            {fileOver, fileFail},
		{fileLost, fileBroken}:          {fileOver, fileTellAndFail},
	}
	senderSteps = map[fileStep]fileOutcome{
		{fileInvited, fileOffered}:     {fileConnecting, fileAnswer},
		{fileConnected, fileConfirmed}: {fileOver, fileSucceed},
	}
	receiverSteps = map[fileStep]fileOutcome{
		{fileInvited, fileAccepted}:   {fileConnecting, fileConnect},
		{fileConnected, fileComplete}: {fileReceived, fileConfirm},
		{fileLost, fileComplete}:      {fileOver, fileSucceed}, // by a sender that does not wait
		{fileReceived, fileCancelled}: {fileOver, fileSucceed},
		{fileReceived, fileHungUp}:    {fileOver, fileSucceed},
		{fileReceived, fileLate}:      {fileOver, fileSucceed},
		{fileReceived, fileGone}:      {fileOver, fileSucceed},
		{fileReceived, fileBroken}:    {fileOver, fileSucceed},
	}
)

// next returns what an event does to a transfer.
func (s fileState) next(sends bool, event fileEventKind) fileOutcome {
	own := receiverSteps
	if sends {
		own = senderSteps
	}
	for _, steps := range []map[fileStep]fileOutcome{own, fileSteps} {
		if o, ok := steps[fileStep{s, event}]; ok {
			return o
		}
	}
	return fileOutcome{s, fileIgnore}
}
