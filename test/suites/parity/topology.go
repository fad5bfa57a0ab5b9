package parity

import (
	"fmt"
	"slices"
)

type cluster struct {
	name, region, zone, tier, network string
	discovery, primary, trustDomain   string
	state, istioID                    string
	gateways                          []object
	public                            bool
	more                              object
}

// topology is the inventory, and what follows from it for the services.
type topology struct {
	clusters []*cluster
	// multi: some discovery group, or control plane, has several clusters; spanning: on several networks.
	multi, spanning bool
	// oneGroup: all clusters are of one.
	oneGroup bool
	// named: some gateway is a host name.
	named bool
	// shared: clusters that do not discover each other share a network.
	shared bool
	// guarded is the default of authorization.mode, "" for off.
	guarded string
	// calls are the tiers that each tier may call, nil without tiers.
	calls map[string][]string
}

func (m *maker) inventory() {
	names := shuffled(m.dice, []string{"east", "west", "north", "use1-a", "euw1-b", "apse2-a", "3rd"}, "clusters")
	kind := m.below(5, "topology")
	count := 2 + m.below(4, "how many clusters")
	if kind == 4 {
		count = max(count, 4)
	}
	for i, name := range names[:count] {
		c := &cluster{name: name, region: pick(m.dice, []string{"eu", "us"}, name, "region"), state: "active"}
		if m.turned("region of a cluster", i) {
			c.region = "ap"
		}
		if m.on("zones", name) {
			c.zone = c.region + "-" + pick(m.dice, []string{"a", "b"}, name, "zone")
		}
		if i > 0 && m.on("cluster that is draining", name) {
			c.state = "draining"
		} else if i > 0 && m.on("cluster that is down", name) {
			c.state = "down"
		}
		if m.turned("state of a cluster", i) {
			c.state = map[string]string{"active": "draining", "draining": "down", "down": "active"}[c.state]
		}
		if m.on("public gateways", name) {
			c.public = true
		}
		m.clusters = append(m.clusters, c)
	}
	m.relate(kind)
	m.trust()
	for i, c := range m.clusters {
		m.reach(i, c)
	}
	m.tiers()
}

// relate makes groups, remote clusters and networks.
func (m *maker) relate(kind int) {
	cs := m.clusters
	switch {
	case kind == 1 && m.once("topology: discovery group"):
		m.group(cs[:2+m.below(len(cs)-1, "group")])
	case kind == 2 && m.once("topology: primary and remote"):
		m.remote(cs[0], cs[1:2+m.below(min(2, len(cs)-1), "remotes")])
	case kind == 3 && m.once("topology: shared network"):
		m.shared = true
		for _, c := range cs {
			c.network = "corp"
		}
	case kind == 4 && m.once("topology: mixture"):
		m.group(cs[:2])
		m.remote(cs[2], cs[3:4])
	case m.once("topology: isolated"):
	}
	groups := map[string]int{}
	for _, c := range cs {
		groups[m.groupOf(c)]++
	}
	m.multi = len(groups) < len(cs)
	m.oneGroup = len(groups) == 1
}

func (m *maker) group(cs []*cluster) {
	flat := m.once("group on one network")
	for i, c := range cs {
		c.discovery = "watch"
		if flat {
			c.network = "flat"
		}
		if m.on("Istio's name of a cluster", c.name) {
			c.istioID = fmt.Sprintf("mesh-%d", i)
		}
	}
	m.spanning = m.spanning || !flat
}

func (m *maker) remote(primary *cluster, remotes []*cluster) {
	flat := m.once("remote clusters on the network of their primary")
	for _, c := range remotes {
		c.primary = primary.name
		if flat {
			c.network, primary.network = "inner", "inner"
		}
	}
	m.spanning = m.spanning || !flat
}

// groupOf names the clusters that find each other's pods.
func (m *maker) groupOf(c *cluster) string {
	switch {
	case c.primary != "":
		return m.groupOf(m.cluster(c.primary))
	case c.discovery != "":
		return "discovery " + c.discovery
	}
	return c.name
}

func (m *maker) cluster(name string) *cluster {
	return m.clusters[slices.IndexFunc(m.clusters, func(c *cluster) bool { return c.name == name })]
}

// trust gives clusters a trust domain, remotes that of their primary.
func (m *maker) trust() {
	if !m.once("trust domains") {
		return
	}
	for _, c := range m.clusters {
		c.trustDomain = c.name + ".example.com"
		if c.primary != "" {
			c.trustDomain = c.primary + ".example.com"
		}
	}
}

// reach gives a cluster its gateways and what else nothing depends on.
func (m *maker) reach(i int, c *cluster) {
	many := 1
	if m.on("several gateways", c.name) {
		many = 2 + m.below(2, c.name, "gateways")
	}
	for j := range many {
		g := fields("address", fmt.Sprintf("192.0.2.%d", 10*i+j+1))
		switch {
		case m.turned("gateway of a cluster", i):
			g[0].value = fmt.Sprintf("198.51.100.%d", 10*i+j+1)
		case !m.spanning && m.on("gateways that are names", c.name):
			m.named = true
			g[0].value = fmt.Sprintf("gw-%d.%s.elb.example.com", j, c.name)
		case m.on("gateways by IPv6", c.name, j):
			g[0].value = fmt.Sprintf("2001:db8::%d:%d", i, j+1)
		}
		if m.on("ports of gateways", c.name) {
			g = append(g, member{"port", expression("*15443 | int")})
		}
		c.gateways = append(c.gateways, g)
	}
	if m.on("gateway workload of a cluster", c.name) {
		c.more = append(c.more, member{"gateway", fields("namespace", "edge", "selector", fields("istio", "edge-"+c.name))})
	}
	if m.on("capture of DNS", c.name) {
		c.more = append(c.more, member{"dns", "capture"})
	}
	if m.on("uid of a cluster", c.name) {
		c.more = append(c.more, member{"uid", fmt.Sprintf("0000-%d", i)})
	}
}

func (m *maker) tiers() {
	if !m.once("tiers") {
		return
	}
	for i, c := range m.clusters {
		c.tier = "gold"
		if i == 1 || i > 1 && m.chance(0.5, c.name, "tier") {
			c.tier = "silver"
		}
	}
	m.calls = map[string][]string{"gold": {"silver"}, "silver": nil}
	if m.chance(0.7, "silver calls gold") {
		m.calls["silver"] = []string{"gold"}
	}
}

// value is the cluster as it stands in the inventory.
func (c *cluster) value(m *maker) object {
	o := fields("region", c.region)
	for _, f := range []member{{"zone", c.zone}, {"tier", c.tier}, {"network", c.network}, {"discovery", c.discovery}, {"trustDomain", c.trustDomain}, {"istioClusterID", c.istioID}} {
		if f.value != "" {
			o = append(o, f)
		}
	}
	if c.state != "active" {
		o = append(o, member{"state", c.state})
	}
	if c.primary != "" {
		o = append(o, member{"controlPlane", fields("kind", "remote", "primary", c.primary)})
	}
	var gateways []any
	for _, g := range c.gateways {
		gateways = append(gateways, g)
	}
	o = append(o, member{"gateways", gateways})
	if c.public {
		public := fields()
		if m.on("public gateway of a cluster's own", c.name) {
			public = fields("namespace", "edge", "port", 8443, "serviceAccount", "edge-"+c.name)
		}
		o = append(o, member{"publicGateway", public})
	}
	return append(o, c.more...)
}

// mesh-wide settings.
func (m *maker) configure() {
	add := func(value any, names ...string) { m.settings = append(m.settings, fact{names, value}) }
	if m.once("settings: domain") {
		add("corp.example", "domain")
	}
	if m.turned("a setting", 0) {
		add("isthmus.changed", "exportSuffix")
	} else if m.once("settings: exportSuffix") {
		add("mesh.internal", "exportSuffix")
	}
	if m.once("settings: vipRange") {
		add(fields("from", "242.0.0.0", "to", "242.255.255.255"), "vipRange")
	}
	if m.once("settings: gateway") {
		add(fields("namespace", "gateways", "selector", fields("app", "crosscluster"), "port", 15444), "gateway")
	}
	if m.once("settings: publicGateway") {
		add(fields("namespace", "ingress", "selector", fields("app", "public"), "port", 8443), "publicGateway")
	}
	if m.once("settings: authorization") {
		m.guarded = pick(m.dice, []string{"audit", "enforce"}, "authorization")
		add(m.guarded, "authorization", "mode")
	}
	if m.once("settings: sidecarHosts") {
		add(words([]string{"istio-system/*", "observability/*"}), "sidecarHosts")
	}
	if m.once("settings: namespaceLabels") {
		add(fields("istio-injection", "enabled", "team", "platform"), "namespaceLabels")
	}
	if m.once("settings: externalNamespace") {
		add("outside", "externalNamespace")
	}
	if m.once("settings: acknowledge") {
		add(words([]string{"d1gest"}), "acknowledge")
	}
	for _, tier := range []string{"gold", "silver"} {
		if m.calls != nil {
			add(words(m.calls[tier]), "tiers", tier, "calls")
		}
	}
}
