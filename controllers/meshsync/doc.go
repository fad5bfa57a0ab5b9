// Package meshsync keeps one cluster in sync with its MeshSync.
//
// In: a [v1alpha1.MeshSync]. Out: the Istio resources that the repository declares, and a status
// that reports them, or the error, what is unchanged and what to do. A run fetches, evaluates,
// renders, plans and applies; each step is a package under internal/ behind a one-method interface.
//
// Invariants: a step that fails ends the run and leaves the applied resources unchanged; drift is
// still corrected against the last applied bundle. A run ends in exactly one outcome, and only
// report.go turns an outcome into conditions, events, metrics and the time of the next run. If
// nothing changed, a run sends no request to the API server.
package meshsync
