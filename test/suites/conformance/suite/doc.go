// Package suite compares the calls that mesh repositories declare with the configuration that
// Istio's control planes generate from the rendered bundles.
//
// Scenarios: every example of the project and every folder of scenarios/, with the declared calls,
// with the pods of one cluster after the other down, and with undeclared calls. Combinations: every
// feature in every topology; it either works or isthmus vet rejects it. The table in
// docs/topologies.md is generated from the result. Random: mesh repositories from seeds.
//
//	go test ./suite            # everything
//	go test ./suite -run Scenario/jason
//	go test ./suite -update    # rewrite traces.txt, scenarios/README.md and the table
//	go test ./suite -run Random -seed 17
package suite
