// Package lines reads the input of the codec examples.
package lines

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
)

// Main calls explain for each line of the file that the program's first argument names, of
// standard input for "-", and of samples without one. What explain returns is printed with
// the number of the line, and makes the program exit with status 1 at the end.
func Main(samples string, explain func(line []byte) error) {
	log.SetFlags(0)
	var input io.Reader = strings.NewReader(samples)
	if len(os.Args) > 1 {
		input = os.Stdin
		if name := os.Args[1]; name != "-" {
			f, err := os.Open(name)
			if err != nil {
				log.Fatal(err)
			}
			defer f.Close()
			input = f
		}
	}
	valid := true
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := explain(lines.Bytes()); err != nil {
			fmt.Printf("line %d: %v\n", n, err)
			valid = false
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if !valid {
		os.Exit(1)
	}
}
