package merge

import (
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// finishDestinationRule keeps the settings that lead through gateways. Its selector selects
// callers: a live rule for further callers excludes the desired one.
func finishDestinationRule(merged, desired, live map[string]any) map[string]any {
	if !selectsAllOf(nested.Map(desired, "workloadSelector", "matchLabels"), nested.Map(live, "workloadSelector", "matchLabels")) {
		return nil
	}
	return keepTunnels(merged, live)
}

// keepTunnels keeps the SNI in the trafficPolicy of a rule or subset. A gateway of another cluster
// knows each port by an SNI of its own, and rejects a call without it.
func keepTunnels(desired, live map[string]any) map[string]any {
	wanted, had := nested.Map(desired, "trafficPolicy"), nested.Map(live, "trafficPolicy")
	settings := tunnels(had)
	if sni(had) == "" && len(settings) == 0 {
		return desired
	}
	policy := map[string]any{}
	maps.Copy(policy, wanted)
	switch {
	case wanted["tls"] == nil:
		for name, value := range had {
			if _, ok := policy[name]; !ok && name != "portLevelSettings" {
				policy[name] = value
			}
		}
	case sniPort(sni(had)) != "" && sniPort(sni(had)) != sniPort(sni(wanted)):
		settings = append(settings, portSetting(had))
	}
	settings = slices.DeleteFunc(settings, func(setting any) bool {
		return PortNumber(nested.Map(setting, "port"), "number") == sniPort(sni(policy))
	})
	setList(policy, "portLevelSettings", keyedList{key: keyedBy("port.number")}.merge(nested.List(wanted, "portLevelSettings"), settings))
	out := maps.Clone(desired)
	out["trafficPolicy"] = policy
	return out
}

// tunnels returns the settings of single ports that have an SNI.
func tunnels(policy map[string]any) []any {
	settings := slices.Clone(nested.List(policy, "portLevelSettings"))
	return slices.DeleteFunc(settings, func(setting any) bool { return sni(nested.Map(setting)) == "" })
}

// portSetting turns a policy into the setting of the one port that its SNI names.
func portSetting(policy map[string]any) map[string]any {
	out := map[string]any{}
	copyFields(out, policy, "loadBalancer", "connectionPool", "outlierDetection", "tls")
	if n, err := strconv.ParseInt(sniPort(sni(policy)), 10, 64); err == nil {
		out["port"] = map[string]any{"number": n}
	}
	return out
}

func sni(policy map[string]any) string {
	name, _ := nested.Map(policy, "tls")["sni"].(string)
	return name
}

var gatewaySNI = regexp.MustCompile(`^outbound_\.([0-9]+)_\.`)

// sniPort returns the port in an SNI of a gateway; "" for another SNI.
func sniPort(sni string) string {
	if match := gatewaySNI.FindStringSubmatch(sni); match != nil {
		return match[1]
	}
	return ""
}
