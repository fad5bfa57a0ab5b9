// Package cli is the isthmus command for users and CI jobs.
//
// In: arguments and streams. Out: an exit status: 0 without findings, 1 with findings in the mesh
// repository, 2 if the command could not run (wrong usage, an unreadable folder, a deadline, an
// interrupt). Results go to stdout and everything else to stderr, so that stdout can be piped. Each
// command is in the file of its name and calls the steps of the controller: source, evaluate, mesh,
// render.
package cli
