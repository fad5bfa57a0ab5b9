// Package merge answers: how do a desired and a live object differ, and what has an object that
// takes nothing away from those who use the live one?
//
// In: two objects of one kind. Out: the paths at which they differ ([Differences]), the bodies of a
// POST and a PUT ([CreateBody], [UpdateBody]), the union of both ([Union]), and whether an update
// or a new object only adds ([IsAdditive], [Restricts]). The table [unions] has the rules of all
// kinds; union_KIND.go has the exceptions of one kind.
//
// Invariant: no function changes its arguments. The result may share values with them.
package merge
