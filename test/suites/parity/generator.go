package parity

import "slices"

// Spec describes a repository.
type Spec struct {
	Seed uint64
	// Changed: the repository after one small change.
	Changed bool
	// Without lists features to leave out, WithoutServices services. Calls to these services are
	// left out too.
	Without, WithoutServices []string
}

// generator generates one repository.
type generator struct {
	random
	spec Spec
	// density scales the number of features.
	density float64
	// crossService holds the selected cross-service features.
	crossService map[string]bool
	// used counts the features of the repository.
	used map[string]int
	// forced turns features on or off that the planned change needs or excludes.
	forced map[string]bool
	// planned is the change that the repository is prepared for. change is the applied one.
	planned, change change

	topology
	settings  []assignment
	services  []*service
	externals []*external

	// defaultOwners: owners have a default in a shared file. openMesh: mesh.cue accepts other
	// fields.
	defaultOwners, openMesh bool

	layout   layout
	files    map[string]*file
	data     map[string]string // files outside package config
	template []string          // additions to #template
}

func newGenerator(spec Spec) *generator {
	g := &generator{
		random:       random{spec.Seed},
		spec:         spec,
		crossService: map[string]bool{},
		used:         map[string]int{},
		forced:       map[string]bool{},
		files:        map[string]*file{},
		data:         map[string]string{},
	}
	g.density = []float64{0.25, 0.6, 1, 1, 1.5}[g.intN(5, "density")]
	// Half of the repositories have cross-service features. Each has few of them, because one that
	// is handled correctly could hide another one. Consecutive seeds take them in turn.
	if spec.Seed%4 == 1 || spec.Seed%4 == 2 {
		g.density *= 0.7
		turn := spec.Seed/4*2 + spec.Seed%4/2
		g.crossService[crossServiceFeatures[turn%uint64(len(crossServiceFeatures))]] = true
		if g.chance(0.7, "another across") {
			g.crossService[crossServiceFeatures[(turn+29)%uint64(len(crossServiceFeatures))]] = true
		}
		if g.chance(0.3, "one more across") {
			g.crossService[pick(g.random, crossServiceFeatures, "one more")] = true
		}
	}
	g.planChange()
	return g
}

// enabled reports whether the repository has a feature.
func (g *generator) enabled(name string) bool {
	f, ok := featureByName[name]
	if !ok {
		panic("the feature " + name + " is not listed in featurenames.go")
	}
	if slices.Contains(g.spec.Without, name) {
		return false
	}
	if f.crossService {
		return g.crossService[name]
	}
	if needed, ok := g.forced[name]; ok {
		return needed
	}
	return f.chance >= 1 || g.chance(min(0.9, f.chance*g.density), "feature", name)
}

// applyTo reports whether an item of the repository gets a feature, and counts the feature if so.
func (g *generator) applyTo(name string, item ...any) bool { return g.applyToShare(0.5, name, item...) }

// applyToShare is applyTo with the share of the items that get an enabled feature.
func (g *generator) applyToShare(share float64, name string, item ...any) bool {
	if !g.enabled(name) || !g.chance(share, append([]any{"item", name}, item...)...) {
		return false
	}
	g.used[name]++
	return true
}

// apply is applyTo for a feature that occurs once in a repository.
func (g *generator) apply(name string) bool { return g.applyToShare(1, name) }

// countFeature counts a feature that another feature added.
func (g *generator) countFeature(name string) {
	if _, ok := featureByName[name]; !ok {
		panic("the feature " + name + " is not listed in featurenames.go")
	}
	g.used[name]++
}
