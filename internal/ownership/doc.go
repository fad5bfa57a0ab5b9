// Package ownership answers: whose is an object?
//
// In: one live object and an [Owner]. Out: its [Ownership], by the label of the ApplySet
// specification (KEP-3659) and the field manager, and nothing else.
//
// Invariant: an object with neither mark is foreign. Changing an object of the bundle needs one of
// the marks, deleting an object needs both.
package ownership
