package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A process is a server that runs beside the generator.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	port   int
	output tail
	ended  chan struct{}
	once   sync.Once
}

// start starts a server. With port 0 its first line of output tells the port, as {"port":1234}.
func start(cmd *exec.Cmd, port int) (*process, error) {
	p := &process{cmd: cmd, port: port, ended: make(chan struct{})}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	cmd.Stderr = &p.output
	var lines *bufio.Reader
	if port == 0 {
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		lines = bufio.NewReader(stdout)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if lines != nil {
		var told struct {
			Port int `json:"port"`
		}
		first, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(first, &told)
		}
		if err != nil {
			_ = cmd.Process.Kill()
			return nil, errors.Join(fmt.Errorf("%s: %q: %w: %s", cmd.Path, first, err, p.output.String()), cmd.Wait())
		}
		p.port = told.Port
		go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ends is not asked
	}()
	return p, nil
}

// await waits until a server answers.
func (p *process) await(answers func() bool) error {
	for end := time.Now().Add(dialTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			return fmt.Errorf("%s has ended: %s", p.cmd.Path, p.output.String())
		default:
		}
		if answers() {
			return nil
		}
	}
	return fmt.Errorf("%s does not answer: %s", p.cmd.Path, p.output.String())
}

// stop ends the process: it may end by itself when its input does.
func (p *process) stop() {
	p.once.Do(func() {
		_ = p.stdin.Close()
		select {
		case <-p.ended:
		case <-time.After(2 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
}

// ticks is how many a second has in /proc, on every Linux that Go runs on.
const ticks = 100

// cpu is the time that the process has had on processors, 0 where the system does not tell.
func (p *process) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name may have spaces, and ends with the last parenthesis.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticks
}

// memory is what the process has in memory, in bytes; 0 where the system does not tell.
func (p *process) memory() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// A tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - 4096; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
