package script

import "bytes"

// A File is one section of a txtar archive.
type File struct {
	Name string
	Data []byte // ends with a newline unless it is empty
}

// Parse cuts a txtar archive into its sections, each of which begins with a line
//
//	-- name --
//
// What comes before the first of them is a comment for people and is left out. Every
// text is an archive. The sections do not share memory with data.
func Parse(data []byte) []File {
	var files []File
	for line := range bytes.Lines(data) {
		if name, ok := marker(line); ok {
			files = append(files, File{Name: name})
			continue
		}
		if len(files) == 0 {
			continue
		}
		f := &files[len(files)-1]
		f.Data = append(f.Data, line...)
	}
	for i := range files {
		if d := files[i].Data; len(d) > 0 && d[len(d)-1] != '\n' {
			files[i].Data = append(d, '\n')
		}
	}
	return files
}

// marker returns the name in a line that begins a section.
func marker(line []byte) (name string, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	line, begins := bytes.CutPrefix(line, []byte("-- "))
	line, ends := bytes.CutSuffix(line, []byte(" --"))
	line = bytes.TrimSpace(line)
	return string(line), begins && ends && len(line) > 0
}
