package galenepion

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	allFileStates = []fileState{fileInvited, fileConnecting, fileConnected, fileReceived, fileLost, fileOver}
	allFileEvents = []fileEventKind{
		fileAccepted, fileOffered, fileOpened, fileComplete, fileConfirmed,
		fileCancelled, fileHungUp, fileLate, fileGone, fileBroken,
	}
)

func TestFileTransfersThatAreOverTakeNothing(t *testing.T) {
	t.Parallel()
	for _, sends := range []bool{false, true} {
		for _, event := range allFileEvents {
			require.Equal(t, fileOutcome{fileOver, fileIgnore}, fileOver.next(sends, event))
		}
	}
}

// Whatever happens, a transfer is over exactly when its driver is told so, and what ends it
// is possible in every state.
func TestFileTransfersAlwaysComeToAnEnd(t *testing.T) {
	t.Parallel()
	for _, sends := range []bool{false, true} {
		for _, state := range allFileStates[:len(allFileStates)-1] {
			for _, event := range allFileEvents {
				o := state.next(sends, event)
				ends := o.action == fileSucceed || o.action == fileFail || o.action == fileTellAndFail
				require.Equal(t, o.next == fileOver, ends, "%v %v %v", sends, state, event)
				if o.action == fileIgnore {
					require.Equal(t, state, o.next)
				}
			}
			if sends && state == fileReceived {
				continue // the receiver's
			}
			for _, event := range []fileEventKind{fileCancelled, fileGone, fileBroken} {
				require.Equal(t, fileOver, state.next(sends, event).next, "%v %v %v", sends, state, event)
			}
		}
	}
}

func TestFileTransfersTakeTheirCourse(t *testing.T) {
	t.Parallel()
	type step struct {
		event fileEventKind
		want  fileOutcome
	}
	for name, tt := range map[string]struct {
		sends bool
		steps []step
	}{
		"sender": {true, []step{
			{fileOpened, fileOutcome{fileInvited, fileIgnore}},
			{fileOffered, fileOutcome{fileConnecting, fileAnswer}},
			{fileOffered, fileOutcome{fileConnecting, fileIgnore}},
			{fileConfirmed, fileOutcome{fileConnecting, fileIgnore}},
			{fileOpened, fileOutcome{fileConnected, fileNote}},
			{fileOpened, fileOutcome{fileConnected, fileIgnore}},
			{fileAccepted, fileOutcome{fileConnected, fileIgnore}},
			{fileConfirmed, fileOutcome{fileOver, fileSucceed}},
		}},
		"receiver": {false, []step{
			{fileOffered, fileOutcome{fileInvited, fileIgnore}},
			{fileAccepted, fileOutcome{fileConnecting, fileConnect}},
			{fileAccepted, fileOutcome{fileConnecting, fileIgnore}},
			{fileComplete, fileOutcome{fileConnecting, fileIgnore}},
			{fileOpened, fileOutcome{fileConnected, fileNote}},
			{fileComplete, fileOutcome{fileReceived, fileConfirm}},
			{fileHungUp, fileOutcome{fileOver, fileSucceed}},
		}},
		"receiver of a sender that stays": {false, []step{
			{fileAccepted, fileOutcome{fileConnecting, fileConnect}},
			{fileOpened, fileOutcome{fileConnected, fileNote}},
			{fileComplete, fileOutcome{fileReceived, fileConfirm}},
			{fileLate, fileOutcome{fileOver, fileSucceed}},
		}},
		"receiver of a sender that does not wait": {false, []step{
			{fileAccepted, fileOutcome{fileConnecting, fileConnect}},
			{fileOpened, fileOutcome{fileConnected, fileNote}},
			{fileHungUp, fileOutcome{fileLost, fileAwait}},
			{fileComplete, fileOutcome{fileOver, fileSucceed}},
		}},
		"hanging up before a cancellation": {true, []step{
			{fileOffered, fileOutcome{fileConnecting, fileAnswer}},
			{fileHungUp, fileOutcome{fileLost, fileAwait}},
			{fileHungUp, fileOutcome{fileLost, fileIgnore}},
			{fileCancelled, fileOutcome{fileOver, fileFail}},
		}},
		"hanging up without a cancellation": {true, []step{
			{fileOffered, fileOutcome{fileConnecting, fileAnswer}},
			{fileHungUp, fileOutcome{fileLost, fileAwait}},
			{fileLate, fileOutcome{fileOver, fileTellAndFail}},
		}},
		"rejection": {false, []step{{fileBroken, fileOutcome{fileOver, fileTellAndFail}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := fileInvited
			for i, s := range tt.steps {
				o := state.next(tt.sends, s.event)
				require.Equal(t, s.want, o, "step %d", i)
				state = o.next
			}
		})
	}
}

func TestNamesOfFilesHaveNoPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.txt": "a.txt", "/etc/passwd": "passwd", `C:\x\y.txt`: "y.txt", "../../up": "up", "dir/": "dir",
		"": "file", ".": "file", "..": "file", "/": "file", `\`: "file", "a/..": "file",
		"a\x00b\n": "ab", "\x00": "file", "ünï .txt": "ünï .txt", "a\u202eb": "ab",
	} {
		require.Equal(t, want, baseName(name), "%q", name)
	}
}
