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

// topology is the inventory and its properties that services depend on.
type topology struct {
	clusters []*cluster
	// grouped: a discovery group or a control plane has several clusters. spansNetworks: on several
	// networks.
	grouped, spansNetworks bool
	// oneGroup: all clusters are in one group.
	oneGroup bool
	// hostNameGateways: a gateway has a host name.
	hostNameGateways bool
	// sharedNetwork: clusters without discovery of each other share a network.
	sharedNetwork bool
	// defaultMode is the default of authorization.mode, "" for off.
	defaultMode string
	// tierCalls are the tiers that each tier may call, nil without tiers.
	tierCalls map[string][]string
}

func (g *generator) generateClusters() {
	names := shuffled(g.random, []string{"east", "west", "north", "use1-a", "euw1-b", "apse2-a", "3rd"}, "clusters")
	kind := g.intN(5, "topology")
	count := 2 + g.intN(4, "how many clusters")
	if kind == 4 {
		count = max(count, 4)
	}
	for i, name := range names[:count] {
		c := &cluster{name: name, region: pick(g.random, []string{"eu", "us"}, name, "region"), state: "active"}
		if g.isChanged("region of a cluster", i) {
			c.region = "ap"
		}
		if g.applyTo("zones", name) {
			c.zone = c.region + "-" + pick(g.random, []string{"a", "b"}, name, "zone")
		}
		if i > 0 && g.applyTo("cluster that is draining", name) {
			c.state = "draining"
		} else if i > 0 && g.applyTo("cluster that is down", name) {
			c.state = "down"
		}
		if g.isChanged("state of a cluster", i) {
			c.state = map[string]string{"active": "draining", "draining": "down", "down": "active"}[c.state]
		}
		if g.applyTo("public gateways", name) {
			c.public = true
		}
		g.clusters = append(g.clusters, c)
	}
	g.connect(kind)
	g.setTrustDomains()
	for i, c := range g.clusters {
		g.addGateways(i, c)
	}
	g.setTiers()
}

// connect sets groups, remote clusters and networks.
func (g *generator) connect(kind int) {
	cs := g.clusters
	switch {
	case kind == 1 && g.apply("topology: discovery group"):
		g.makeGroup(cs[:2+g.intN(len(cs)-1, "group")])
	case kind == 2 && g.apply("topology: primary and remote"):
		g.makeRemote(cs[0], cs[1:2+g.intN(min(2, len(cs)-1), "remotes")])
	case kind == 3 && g.apply("topology: shared network"):
		g.sharedNetwork = true
		for _, c := range cs {
			c.network = "corp"
		}
	case kind == 4 && g.apply("topology: mixture"):
		g.makeGroup(cs[:2])
		g.makeRemote(cs[2], cs[3:4])
	case g.apply("topology: isolated"):
	}
	groups := map[string]int{}
	for _, c := range cs {
		groups[g.groupOf(c)]++
	}
	g.grouped = len(groups) < len(cs)
	g.oneGroup = len(groups) == 1
}

func (g *generator) makeGroup(cs []*cluster) {
	flat := g.apply("group on one network")
	for i, c := range cs {
		c.discovery = "watch"
		if flat {
			c.network = "flat"
		}
		if g.applyTo("Istio's name of a cluster", c.name) {
			c.istioID = fmt.Sprintf("mesh-%d", i)
		}
	}
	g.spansNetworks = g.spansNetworks || !flat
}

func (g *generator) makeRemote(primary *cluster, remotes []*cluster) {
	flat := g.apply("remote clusters on the network of their primary")
	for _, c := range remotes {
		c.primary = primary.name
		if flat {
			c.network, primary.network = "inner", "inner"
		}
	}
	g.spansNetworks = g.spansNetworks || !flat
}

// groupOf names the group of clusters that discover each other's pods.
func (g *generator) groupOf(c *cluster) string {
	switch {
	case c.primary != "":
		return g.groupOf(g.cluster(c.primary))
	case c.discovery != "":
		return "discovery " + c.discovery
	}
	return c.name
}

func (g *generator) cluster(name string) *cluster {
	return g.clusters[slices.IndexFunc(g.clusters, func(c *cluster) bool { return c.name == name })]
}

// setTrustDomains gives each cluster a trust domain. Remote clusters have that of their primary.
func (g *generator) setTrustDomains() {
	if !g.apply("trust domains") {
		return
	}
	for _, c := range g.clusters {
		c.trustDomain = c.name + ".example.com"
		if c.primary != "" {
			c.trustDomain = c.primary + ".example.com"
		}
	}
}

// addGateways adds gateways and independent fields to a cluster.
func (g *generator) addGateways(i int, c *cluster) {
	many := 1
	if g.applyTo("several gateways", c.name) {
		many = 2 + g.intN(2, c.name, "gateways")
	}
	for j := range many {
		gateway := fields("address", fmt.Sprintf("192.0.2.%d", 10*i+j+1))
		switch {
		case g.isChanged("gateway of a cluster", i):
			gateway[0].value = fmt.Sprintf("198.51.100.%d", 10*i+j+1)
		case !g.spansNetworks && g.applyTo("gateways that are names", c.name):
			g.hostNameGateways = true
			gateway[0].value = fmt.Sprintf("gw-%d.%s.elb.example.com", j, c.name)
		case g.applyTo("gateways by IPv6", c.name, j):
			gateway[0].value = fmt.Sprintf("2001:db8::%d:%d", i, j+1)
		}
		if g.applyTo("ports of gateways", c.name) {
			gateway = append(gateway, member{"port", expression("*15443 | int")})
		}
		c.gateways = append(c.gateways, gateway)
	}
	if g.applyTo("gateway workload of a cluster", c.name) {
		c.more = append(c.more, member{"gateway", fields("namespace", "edge", "selector", fields("istio", "edge-"+c.name))})
	}
	if g.applyTo("capture of DNS", c.name) {
		c.more = append(c.more, member{"dns", "capture"})
	}
	if g.applyTo("uid of a cluster", c.name) {
		c.more = append(c.more, member{"uid", fmt.Sprintf("0000-%d", i)})
	}
}

func (g *generator) setTiers() {
	if !g.apply("tiers") {
		return
	}
	for i, c := range g.clusters {
		c.tier = "gold"
		if i == 1 || i > 1 && g.chance(0.5, c.name, "tier") {
			c.tier = "silver"
		}
	}
	g.tierCalls = map[string][]string{"gold": {"silver"}, "silver": nil}
	if g.chance(0.7, "silver calls gold") {
		g.tierCalls["silver"] = []string{"gold"}
	}
}

// value is the cluster in the format of the inventory.
func (c *cluster) value(g *generator) object {
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
	for _, gateway := range c.gateways {
		gateways = append(gateways, gateway)
	}
	o = append(o, member{"gateways", gateways})
	if c.public {
		public := fields()
		if g.applyTo("public gateway of a cluster's own", c.name) {
			public = fields("namespace", "edge", "port", 8443, "serviceAccount", "edge-"+c.name)
		}
		o = append(o, member{"publicGateway", public})
	}
	return append(o, c.more...)
}

// generateSettings generates the mesh-wide settings.
func (g *generator) generateSettings() {
	add := func(value any, names ...string) { g.settings = append(g.settings, assignment{names, value}) }
	if g.apply("settings: domain") {
		add("corp.example", "domain")
	}
	if g.isChanged("a setting", 0) {
		add("isthmus.changed", "exportSuffix")
	} else if g.apply("settings: exportSuffix") {
		add("mesh.internal", "exportSuffix")
	}
	if g.apply("settings: vipRange") {
		add(fields("from", "242.0.0.0", "to", "242.255.255.255"), "vipRange")
	}
	if g.apply("settings: gateway") {
		add(fields("namespace", "gateways", "selector", fields("app", "crosscluster"), "port", 15444), "gateway")
	}
	if g.apply("settings: publicGateway") {
		add(fields("namespace", "ingress", "selector", fields("app", "public"), "port", 8443), "publicGateway")
	}
	if g.apply("settings: authorization") {
		g.defaultMode = pick(g.random, []string{"audit", "enforce"}, "authorization")
		add(g.defaultMode, "authorization", "mode")
	}
	if g.apply("settings: sidecarHosts") {
		add(stringList([]string{"istio-system/*", "observability/*"}), "sidecarHosts")
	}
	if g.apply("settings: namespaceLabels") {
		add(fields("istio-injection", "enabled", "team", "platform"), "namespaceLabels")
	}
	if g.apply("settings: externalNamespace") {
		add("outside", "externalNamespace")
	}
	if g.apply("settings: acknowledge") {
		add(stringList([]string{"d1gest"}), "acknowledge")
	}
	for _, tier := range []string{"gold", "silver"} {
		if g.tierCalls != nil {
			add(stringList(g.tierCalls[tier]), "tiers", tier, "calls")
		}
	}
}
