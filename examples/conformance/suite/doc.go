// Package suite plays conversations that are written down in text files with a server, and
// tells whose behaviour the server has: the protocol document's, or that of one of the real
// servers that are known to differ from it. It knows no protocol; see [Protocol].
//
// A file of cases is text. What stands before the first case is for people, and so are blank
// lines and those that begin with #. A case begins with its name, and has one step a line:
//
//	== an id that is taken is refused
//	only document,operator       the references that have this at all; everyone without it
//	optional                     a server need not offer it: a refused opening skips the case
//	needs password               what the user must have given, or the case is skipped
//	a open device                a peer connects; the words after open are the protocol's
//	a > {"id":"$id"}             it sends a text message
//	a > call {"n":1}             the same with a label, where the protocol has labels
//	a >raw "\xff{"               it sends this, quoted as in Go
//	a >bin "{}"                  it sends a binary message, quoted as in Go
//	a < {"ok":"$_"}              it receives a message
//	a <? {"late":true}           it may receive it, or not
//	a <* {"n":1}                 such lines of a peer behind one another: in any order
//	a <raw "oops"                it receives what is no JSON
//	a refused 404                its connection was refused with this HTTP status
//	a closed 1008                its connection is closed by the server with this code
//	a closed                     the same, whatever the code
//	a quiet                      it receives nothing more for the quiet time
//	a close 1000                 it closes its connection
//	a cut                        it vanishes without a close frame
//	wait 2s                      time passes
//	@operator a closed 1006      the operator answers the last act with this in place of the
//	                             lines without a name; so it goes for all lines with its name
//	@operator -                  it answers with nothing
//	@operator why it writes no close frame
//
// What several cases have in common is a fragment, up to a blank line, with %1 and so on for what
// stands behind its name where it is used:
//
//	:: registered
//	%1 open device
//	%1 > {"id":"%2"}
//
//	== a registered device is found
//	&registered a $id
//
// Between two acts stands all that the peers receive: in order for each peer, in any order
// between them. Lines without a name hold for the document and for every reference that has
// no lines of its own there.
//
// In JSON that is received, a text "$name" stands for any value, and from then on for that
// value; "$_" is anything, "~regexp" a text that it matches, and a member "..." of an object
// or a last element "..." of an array allows more. In what is sent, $name is that value, or, if
// nothing has given it one, a text that nobody else has; $bigN is one of N bytes, and $number,
// with whatever behind it, a number of eight digits.
package suite
