// Package cli is the isthmus command: what a person or a CI job types, and what they get to read.
//
// In: arguments and streams. Out: an exit status, 0 for fine, 1 for findings in the mesh repository, 2 if the
// command could not run (wrong usage, an unreadable folder, a deadline, an interrupt). Results go to stdout,
// everything else to stderr, so that stdout can always be piped. Each command lives in the file of its name and
// calls the same steps as the controller: source, evaluate, mesh, render.
package cli
