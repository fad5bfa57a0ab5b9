// Package manifest holds the plain types of a mesh repository: what the CUE module isthmus.dev/mesh
// checks, as Go values. It imports nothing of Isthmus and decides nothing; every step from evaluate to
// apply speaks in these types. The field names and their meaning are documented in cue/schema.cue, which
// is their source; a test holds the two against each other.
package manifest
