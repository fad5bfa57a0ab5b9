package parity

import "cmp"

// feature is a property that a repository may have.
type feature struct {
	name string
	// chance is the probability for a density of 1. crossService features are selected by the seed.
	chance       float64
	crossService bool
}

// features lists all features. Each must occur in a run with the default flags.
var features = allFeatures()

var featureByName = func() map[string]feature {
	byName := map[string]feature{}
	for _, f := range features {
		byName[f.name] = f
	}
	return byName
}()

// chances override the chance of a group of features. Most of these features depend on other ones
// and need a higher chance. One has a lower chance, because plain CUE rejects most of its
// combinations. A chance of 1 is certain.
var chances = map[string]float64{
	"several services in one struct":                  1,
	"file of several services":                        0.3,
	"HTTP routes":                                     0.6,
	"Kubernetes name as a host":                       0.6,
	"TCP ports":                                       0.35,
	"TCP routes":                                      0.6,
	"TLS ports":                                       0.35,
	"TLS routes":                                      0.6,
	"address of a placement":                          0.5,
	"aliases of version 2":                            0.35,
	"big number":                                      0.2,
	"bytes":                                           0.8,
	"bytes in a manifest":                             0.2,
	"call that depends on the cluster":                0.3,
	"cluster through a shared field":                  0.8,
	"clusters by a let":                               0.6,
	"clusters from a shared struct":                   0.5,
	"clusters in a shared pattern":                    0.6,
	"condition on a hidden field in a pattern":        0.05,
	"direct response":                                 0.5,
	"embedded files by a glob":                        0.25,
	"exposed elsewhere":                               0.6,
	"exposed service":                                 0.6,
	"external":                                        0.5,
	"external by address":                             0.4,
	"external in a file of its own":                   0.4,
	"external with a wildcard":                        0.4,
	"external with endpoints":                         0.4,
	"externals in a manifest":                         0.3,
	"group on one network":                            0.5,
	"hidden field of an external":                     0.4,
	"hidden tier":                                     0.2,
	"host from the settings":                          0.5,
	"hosts":                                           0.5,
	"layout: all in the root":                         0.2,
	"local-only":                                      0.5,
	"manifest that depends on the cluster":            0.4,
	"mirror":                                          0.6,
	"number with a multiplier":                        0.5,
	"placement by region":                             0.4,
	"placement that depends on the cluster":           0.5,
	"policy of one host":                              0.8,
	"principal from the inventory":                    0.6,
	"principals allowed":                              0.4,
	"public gateway of a cluster's own":               0.4,
	"public gateways":                                 0.4,
	"remote clusters on the network of their primary": 0.5,
	"routes of one host":                              0.8,
	"routes to clusters":                              0.4,
	"routes with weights":                             0.8,
	"self":                                            0.8,
	"services in mesh.cue":                            0.7,
	"several hosts":                                   0.6,
	"tag in a manifest":                               0.5,
	"tag in a shared file":                            0.6,
	"timeouts and retries":                            0.3,
	"topology: discovery group":                       1,
	"topology: isolated":                              1,
	"topology: mixture":                               1,
	"topology: primary and remote":                    1,
	"topology: shared network":                        1,
	"versions":                                        0.5,
	"versions of a placement":                         0.4,
	"weights":                                         0.4,
}

func allFeatures() []feature {
	var all []feature
	for _, group := range []struct {
		names  []string
		chance float64
	}{
		{inventoryFeatures, 0.2},
		{manifestFeatures, 0.25},
		{routeFeatures, 0.3},
		{fileFeatures, 0.15},
		{literalFeatures, 0.15},
		{notationFeatures, 0.13},
		{sharedFeatures, 0.1},
		{templateFeatures, 0.1},
		{repositoryFeatures, 0.1},
	} {
		for _, name := range group.names {
			all = append(all, feature{name: name, chance: cmp.Or(chances[name], group.chance)})
		}
	}
	for _, name := range crossServiceFeatures {
		all = append(all, feature{name: name, crossService: true})
	}
	return all
}
