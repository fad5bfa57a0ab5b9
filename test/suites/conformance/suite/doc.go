// Package suite holds what mesh repositories promise against what Istio's own control planes make of their bundles.
//
// Worlds: every example of the tree and every folder of worlds/, each with the declared calls, with its gateways and pods failing one cluster after
// the other, and with calls that nobody declared. Matrix: every feature in every topology, as proof or refusal, from which the table in
// docs/topologies.md is written. Random: mesh repositories from seeds.
//
//	go test ./suite                  # all
//	go test ./suite -run Worlds/jason
//	go test ./suite -update          # rewrite worlds/*/traces.txt, worlds/README.md and the table
//	go test ./suite -run Random -seed 17
package suite
