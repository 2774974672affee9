// Command serve is a server of package hub.
package main

import (
	"fmt"
	"os"

	"github.com/rtcsignal/rtcsignal/internal/bench/hub"
)

func main() {
	if err := hub.Serve(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}
