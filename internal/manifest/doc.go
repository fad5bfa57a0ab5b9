// Package manifest holds the types of an evaluated mesh repository, and the findings in one.
//
// The types mirror the CUE module isthmus.dev/mesh. cue/schema.cue documents the fields; a test
// checks that each Go field is in the schema. The package imports no other package of Isthmus.
package manifest
