package trace

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
)

// peerPrincipal is the filter state that holds the caller's identity.
const peerPrincipal = "io.istio.peer_principal"

// authorizationInput holds the properties that authorization rules match.
type authorizationInput struct {
	// identity is "" for plain text.
	identity string
	address  string
	port     int
	sni      string
	// request is nil in a TCP chain.
	request *request
}

// deniedBy returns action and name of the policy that denies the call, "" if it is allowed.
func deniedBy(r *rbacv3.RBAC, v authorizationInput) (string, error) {
	if r == nil {
		return "", nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.Policies)) {
		names = append(names, policyName(name))
		matched, err := policyMatches(r.Policies[name], v)
		if err != nil {
			return "", fmt.Errorf("policy %s: %w", policyName(name), err)
		}
		if matched && r.Action == rbacv3.RBAC_DENY {
			return "DENY " + policyName(name), nil
		}
		if matched {
			return "", nil
		}
	}
	switch r.Action {
	case rbacv3.RBAC_ALLOW:
		if len(names) == 0 {
			// All rules of the policy need HTTP attributes, which a TCP chain does not have.
			return "ALLOW without a rule", nil
		}
		return "ALLOW " + strings.Join(slices.Compact(names), ", "), nil
	case rbacv3.RBAC_DENY, rbacv3.RBAC_LOG:
		return "", nil
	}
	return "", fmt.Errorf("unsupported action %s", r.Action)
}

var ruleName = regexp.MustCompile(`^ns\[(.*)\]-policy\[(.*)\]-rule\[.*\]$`)

// policyName is namespace/name of the AuthorizationPolicy of a rule.
func policyName(rule string) string {
	if parts := ruleName.FindStringSubmatch(rule); parts != nil {
		return parts[1] + "/" + parts[2]
	}
	return rule
}

func policyMatches(p *rbacv3.Policy, v authorizationInput) (bool, error) {
	if p.Condition != nil || p.CheckedCondition != nil {
		return false, errors.New("unsupported CEL condition")
	}
	for _, permission := range p.Permissions {
		permitted, err := permissionMatches(permission, v)
		if err != nil {
			return false, err
		}
		if !permitted {
			continue
		}
		return anyOf(p.Principals, func(id *rbacv3.Principal) (bool, error) { return principalMatches(id, v) })
	}
	return false, nil
}

func anyOf[T any](list []T, matches func(T) (bool, error)) (bool, error) {
	for _, item := range list {
		if matched, err := matches(item); matched || err != nil {
			return matched, err
		}
	}
	return false, nil
}

func allOf[T any](list []T, matches func(T) (bool, error)) (bool, error) {
	for _, item := range list {
		if matched, err := matches(item); !matched || err != nil {
			return false, err
		}
	}
	return true, nil
}

func permissionMatches(p *rbacv3.Permission, v authorizationInput) (bool, error) {
	again := func(p *rbacv3.Permission) (bool, error) { return permissionMatches(p, v) }
	switch r := p.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return r.Any, nil
	case *rbacv3.Permission_AndRules:
		return allOf(r.AndRules.Rules, again)
	case *rbacv3.Permission_OrRules:
		return anyOf(r.OrRules.Rules, again)
	case *rbacv3.Permission_NotRule:
		matched, err := again(r.NotRule)
		return !matched, err
	case *rbacv3.Permission_DestinationPort:
		return int(r.DestinationPort) == v.port, nil
	case *rbacv3.Permission_DestinationPortRange:
		return v.port >= int(r.DestinationPortRange.Start) && v.port < int(r.DestinationPortRange.End), nil
	case *rbacv3.Permission_DestinationIp:
		return inRange(r.DestinationIp, v.address)
	case *rbacv3.Permission_RequestedServerName:
		return matchString(r.RequestedServerName, v.sni)
	case *rbacv3.Permission_Header:
		if v.request == nil {
			return false, nil
		}
		return matchHeader(r.Header, v.request)
	case *rbacv3.Permission_UrlPath:
		if v.request == nil {
			return false, nil
		}
		return matchString(r.UrlPath.GetPath(), v.request.pathOnly())
	}
	return false, fmt.Errorf("unsupported permission %T", p.GetRule())
}

func principalMatches(p *rbacv3.Principal, v authorizationInput) (bool, error) {
	again := func(p *rbacv3.Principal) (bool, error) { return principalMatches(p, v) }
	switch id := p.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return id.Any, nil
	case *rbacv3.Principal_AndIds:
		return allOf(id.AndIds.Ids, again)
	case *rbacv3.Principal_OrIds:
		return anyOf(id.OrIds.Ids, again)
	case *rbacv3.Principal_NotId:
		matched, err := again(id.NotId)
		return !matched, err
	case *rbacv3.Principal_Authenticated_:
		if v.identity == "" || id.Authenticated.PrincipalName == nil {
			return v.identity != "", nil
		}
		return matchString(id.Authenticated.PrincipalName, v.identity)
	case *rbacv3.Principal_FilterState:
		if id.FilterState.Key != peerPrincipal {
			return false, fmt.Errorf("unsupported filter state %s", id.FilterState.Key)
		}
		if v.identity == "" {
			return false, nil
		}
		return matchString(id.FilterState.GetStringMatch(), v.identity)
	case *rbacv3.Principal_Header:
		if v.request == nil {
			return false, nil
		}
		return matchHeader(id.Header, v.request)
	case *rbacv3.Principal_UrlPath:
		if v.request == nil {
			return false, nil
		}
		return matchString(id.UrlPath.GetPath(), v.request.pathOnly())
	}
	return false, fmt.Errorf("unsupported principal %T", p.GetIdentifier())
}

func inRange(r *corev3.CidrRange, address string) (bool, error) {
	base, err := netip.ParseAddr(r.AddressPrefix)
	if err != nil {
		return false, err
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && netip.PrefixFrom(base, int(r.GetPrefixLen().GetValue())).Contains(ip), err
}
