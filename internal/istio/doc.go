// Package istio has the kinds that Isthmus manages, and validates objects of these kinds.
//
// [Kinds] is the fixed list of kinds. The watches, the role of the controller and the validation of
// rendered resources are derived from it. [Validator] validates an object against the schema and
// the CEL rules of its CRD, offline, as an API server does on create. Service is the only kind
// without a CRD; stub.yaml has its schema in the form of a CRD.
package istio
