// Package kit is empty: below it is what several examples share, to be imported or copied.
//
//   - clip plays a test picture with a tone into tracks of Pion
//   - recording writes tracks to files
//   - lines reads messages from files
//   - watch, viewer and mseviewer are pages for browsers
package kit
