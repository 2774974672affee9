package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// TraceLines reads the lines of testdata/traces/*.jsonl, each of them JSON, into the line that
// begin makes for it: flow is the name of its file without the extension, number counts from 1.
func TraceLines[L any](begin func(flow string, number int) L) ([]L, error) {
	files, err := filepath.Glob("testdata/traces/*.jsonl")
	if err != nil {
		return nil, err
	}
	var lines []L
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		flow := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		scanner := bufio.NewScanner(bytes.NewReader(data))
		scanner.Buffer(nil, 1<<20)
		for number := 1; scanner.Scan(); number++ {
			l := begin(flow, number)
			if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", flow, number, err)
			}
			lines = append(lines, l)
		}
		if err := scanner.Err(); err != nil {
			return nil, err
		}
	}
	return lines, nil
}
