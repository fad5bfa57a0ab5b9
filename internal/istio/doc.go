// Package istio answers: which kinds does Isthmus manage, and what does Istio accept in them?
//
// [Kinds] is the fixed list of kinds: the watches, the role of the controller and the check of every
// rendered resource are made from it. [Validator] checks an object against the schema and the CEL rules of
// its CRD, offline, as an API server does on create.
package istio
