package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A target is a server that is measured.
type target struct {
	name string
	*process
	at address
	// remove is what it leaves behind.
	remove func() error
}

func (t *target) end() {
	t.stop()
	if t.remove != nil {
		_ = t.remove()
	}
}

// drained returns a context that a SIGTERM ends.
func drained() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM)
}

// errAbsent is a real server that is not there.
var errAbsent = errors.New("absent")

// startTarget starts a server of a protocol: bare, rtcsignal with further flags, or the real one.
func startTarget(p *protocol, name string, flags ...string) (*target, error) {
	switch name {
	case "bare":
		return startSelf(name, name)
	case "rtcsignal":
		return startSelf(name, p.name, flags...)
	}
	start, ok := map[string]func() (*target, error){
		"cuttlefish": startOperator, "easyrtc": startOpenEasyRTC, "galene": startGalene, "mediasoup": startMediasoup,
	}[p.name]
	if !ok {
		return nil, fmt.Errorf("%s has no other server left: %w", p.name, errAbsent)
	}
	return start()
}

// targets are the names of the servers of a protocol.
func targets(p *protocol) []string {
	if real, ok := map[string]string{
		"cuttlefish": "operator", "easyrtc": "open-easyrtc", "galene": "galene", "mediasoup": "mediasoup",
	}[p.name]; ok {
		return []string{"bare", "rtcsignal", real}
	}
	return []string{"bare", "rtcsignal"}
}

// startSelf starts this program as a server.
func startSelf(name, serves string, flags ...string) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "device")
	p, err := start(exec.Command(self, append([]string{"-serve", serves, "-socket", socket}, flags...)...), 0)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &target{
		name: name, process: p, remove: func() error { return os.RemoveAll(dir) },
		at: address{ws: "ws://127.0.0.1:" + strconv.Itoa(p.port), socket: socket, kind: serves},
	}, nil
}

// freePort returns a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func listens(network, address string) bool {
	conn, err := net.Dial(network, address)
	return err == nil && conn.Close() == nil
}

func startOperator() (*target, error) {
	bin := os.Getenv("CUTTLEFISH_OPERATOR_BIN")
	if bin == "" {
		return nil, fmt.Errorf("CUTTLEFISH_OPERATOR_BIN is not set: %w", errAbsent)
	}
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	socket, at := filepath.Join(dir, "device"), fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(bin, "-listen_addr", "127.0.0.1", "-http_port", strconv.Itoa(port),
		"-socket_path", socket, "-control_socket_path", filepath.Join(dir, "control"))
	cmd.Dir = dir
	return startAt("operator", cmd, port, dir, address{ws: "ws://" + at, socket: socket}, func() bool {
		return listens("unixpacket", socket) && listens("tcp", at)
	})
}

func startAt(
	name string, cmd *exec.Cmd, port int, dir string, at address, answers func() bool,
) (*target, error) {
	p, err := start(cmd, port)
	if err == nil {
		if err = p.await(answers); err != nil {
			p.stop()
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &target{name: name, process: p, at: at, remove: func() error { return os.RemoveAll(dir) }}, nil
}

func startGalene() (*target, error) {
	bin := os.Getenv("GALENE_BIN")
	if bin == "" {
		return nil, fmt.Errorf("GALENE_BIN is not set: %w", errAbsent)
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"groups", "data", "recordings", "static"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	group := `{"auto-subgroups":true,"wildcard-user":{"password":{"type":"wildcard"},"permissions":"op"}}`
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "groups", "bench.json"), []byte(group), 0o600))
	port, e := freePort()
	if err = errors.Join(err, e); err != nil {
		return nil, err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(bin, "-insecure", "-http", at, "-turn", "", "-groups", "groups", "-data", "data",
		"-recordings", "recordings", "-static", "static")
	cmd.Dir = dir
	return startAt("galene", cmd, port, dir, address{ws: "ws://" + at}, func() bool { return listens("tcp", at) })
}

// interop is the folder of package interop, whose node_modules has the servers of Node.js.
const interop = "../interop"

func startOpenEasyRTC() (*target, error) {
	return startNode("open-easyrtc", "easyrtc", "open-easyrtc", "--io", `{"transports":["websocket"]}`,
		"--options", `{"roomMaxConnection":100000}`)
}

func startMediasoup() (*target, error) {
	return startNode("mediasoup", "mediasoup", "mediasoup", "--ip", "127.0.0.1")
}

func startNode(name, folder, module string, args ...string) (*target, error) {
	program := filepath.Join(interop, "testdata", folder, "server.js")
	if _, err := os.Stat(filepath.Join(interop, "node_modules", module)); err != nil {
		return nil, fmt.Errorf("npm ci in internal/interop has not been run: %w", errAbsent)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("there is no node: %w", errAbsent)
	}
	p, err := start(exec.Command(node, append([]string{program}, args...)...), 0)
	if err != nil && strings.Contains(err.Error(), "worker") {
		return nil, fmt.Errorf("mediasoup has no worker: %w", errAbsent)
	}
	if err != nil {
		return nil, err
	}
	return &target{name: name, process: p, at: address{ws: "ws://127.0.0.1:" + strconv.Itoa(p.port)}}, nil
}
