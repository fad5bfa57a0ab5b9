// Package long answers: how much do random and repeated tests try?
//
// A run of every change tries little, and other random seeds each time. `make test-long` sets ISTHMUS_LONG=1 and
// tries much more.
package long

import "os"

// Run is true if ISTHMUS_LONG is set.
func Run() bool { return os.Getenv("ISTHMUS_LONG") != "" }

// Or is the first number, or the second one in a long run.
func Or(short, long int) int {
	if Run() {
		return long
	}
	return short
}
