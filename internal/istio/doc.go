// Package istio answers: which kinds does Isthmus manage, and what may stand in them?
//
// [Kinds] is the fixed list of kinds: the watches, the role of the controller and the check of every
// rendered resource are made from it. [Validator] checks an object against the schema and the CEL rules of
// its CRD, offline, as an API server does on create. The one kind that is not Istio's, Service, has no CRD: what a mesh
// repository may say in one is written down in stub.yaml in the same form.
package istio
