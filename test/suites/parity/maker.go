package parity

import "slices"

// Spec says which repository to make.
type Spec struct {
	Seed uint64
	// Changed makes the same repository after one small change.
	Changed bool
	// Without are features to leave out, and services; a service that is left out is not called either.
	Without, WithoutServices []string
}

// maker makes one repository.
type maker struct {
	dice
	spec Spec
	// density scales how many features there are.
	density float64
	// across are the features chosen of those that relate services to each other.
	across map[string]bool
	used   map[string]int
	// needed are features that others make no sense without, or with.
	needed map[string]bool
	// planned is the change that the repository is made for, change the one that is made to it.
	planned, change change

	topology
	settings  []fact
	services  []*service
	externals []*external

	// defaulted: owners have a default of the platform's; openMesh: mesh.cue lets other fields stand beside those of the mesh.
	defaulted, openMesh bool

	layout   layout
	files    map[string]*file
	data     map[string]string // files that are no CUE
	template []string          // more of #template
}

func newMaker(spec Spec) *maker {
	m := &maker{
		dice:   dice{spec.Seed},
		spec:   spec,
		across: map[string]bool{},
		used:   map[string]int{},
		needed: map[string]bool{},
		files:  map[string]*file{},
		data:   map[string]string{},
	}
	m.density = []float64{0.25, 0.6, 1, 1, 1.5}[m.below(5, "density")]
	// In half of the repositories services relate to each other beside their calls, each in few ways: one that is seen
	// through would hide another that is not. Seeds in a row take them in turn.
	if spec.Seed%4 == 1 || spec.Seed%4 == 2 {
		m.density *= 0.7
		turn := spec.Seed/4*2 + spec.Seed%4/2
		m.across[acrossServices[turn%uint64(len(acrossServices))]] = true
		if m.chance(0.7, "another across") {
			m.across[acrossServices[(turn+29)%uint64(len(acrossServices))]] = true
		}
		if m.chance(0.3, "one more across") {
			m.across[pick(m.dice, acrossServices, "one more")] = true
		}
	}
	m.plan()
	return m
}

// has says whether the repository is to have a feature.
func (m *maker) has(name string) bool {
	f, ok := featureByName[name]
	if !ok {
		panic("the feature " + name + " is not listed")
	}
	if slices.Contains(m.spec.Without, name) {
		return false
	}
	if f.across {
		return m.across[name]
	}
	if needed, ok := m.needed[name]; ok {
		return needed
	}
	return f.chance >= 1 || m.chance(min(0.9, f.chance*m.density), "feature", name)
}

// on says whether something gets a feature, and counts it if so.
func (m *maker) on(name string, item ...any) bool { return m.onFor(0.5, name, item...) }

// onFor is on with the share of the things that get a feature which the repository has.
func (m *maker) onFor(share float64, name string, item ...any) bool {
	if !m.has(name) || !m.chance(share, append([]any{"item", name}, item...)...) {
		return false
	}
	m.used[name]++
	return true
}

// once is on for something of which there is one.
func (m *maker) once(name string) bool { return m.onFor(1, name) }

// count says that a feature is there that came about by others.
func (m *maker) count(name string) {
	if _, ok := featureByName[name]; !ok {
		panic("the feature " + name + " is not listed")
	}
	m.used[name]++
}
