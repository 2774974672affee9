//go:build race

package engineio_test

// raceEnabled: the race detector allocates, and empties pools at random.
const raceEnabled = true
