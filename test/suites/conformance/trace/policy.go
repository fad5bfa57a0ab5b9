package trace

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	faultFilter = "envoy.filters.http.fault"
	corsFilter  = "envoy.filters.http.cors"
)

// rewrite applies the route's rewrites to path and authority.
func rewrite(route *routev3.Route, r *request) error {
	action := route.GetRoute()
	if to := action.GetPrefixRewrite(); to != "" {
		matched := route.GetMatch().GetPrefix() + route.GetMatch().GetPathSeparatedPrefix() + route.GetMatch().GetPath()
		if len(matched) > len(r.path) {
			return fmt.Errorf("route %s rewrites a prefix that %s does not have", route.Name, r.path)
		}
		r.path = to + r.path[len(matched):]
	}
	if to := action.GetRegexRewrite(); to != nil {
		pattern, err := regexp.Compile(to.GetPattern().GetRegex())
		if err != nil {
			return fmt.Errorf("route %s: %w", route.Name, err)
		}
		path, query, hasQuery := strings.Cut(r.path, "?")
		r.path = pattern.ReplaceAllString(path, substitution.ReplaceAllString(strings.ReplaceAll(to.Substitution, "$", "$$"), "$${$1}"))
		if hasQuery {
			r.path += "?" + query
		}
	}
	if to := action.GetHostRewriteLiteral(); to != "" {
		r.authority = to
	}
	return nil
}

var substitution = regexp.MustCompile(`\\([0-9])`)

func applyHeaders(r *request, add []*corev3.HeaderValueOption, remove []string) {
	for _, h := range add {
		r.setHeader(h.GetHeader().GetKey(), h.GetHeader().GetValue(), h.GetAppendAction() == corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	}
	for _, name := range remove {
		r.removeHeader(name)
	}
}

// routePolicy lists the settings of the route, except for its destinations, with the names of
// Istio's fields.
func routePolicy(v *routev3.VirtualHost, route *routev3.Route) (map[string]string, error) {
	policy := map[string]string{}
	action := route.GetRoute()
	if d := action.GetTimeout(); d != nil && d.AsDuration() > 0 {
		policy["timeout"] = d.AsDuration().String()
	}
	if r := action.GetRetryPolicy(); r != nil {
		policy["retries.attempts"] = strconv.Itoa(int(r.GetNumRetries().GetValue()))
		policy["retries.retryOn"] = r.RetryOn
		if d := r.GetPerTryTimeout(); d != nil && d.AsDuration() > 0 {
			policy["retries.perTryTimeout"] = d.AsDuration().String()
		}
	}
	if to := action.GetPrefixRewrite(); to != "" {
		policy["rewrite.uri"] = to
	}
	if to := action.GetRegexRewrite(); to != nil {
		policy["rewrite.uri"] = to.GetPattern().GetRegex() + " -> " + to.Substitution
	}
	if to := action.GetHostRewriteLiteral(); to != "" {
		policy["rewrite.authority"] = to
	}
	headerPolicy(policy, "request", route.RequestHeadersToAdd, route.RequestHeadersToRemove)
	headerPolicy(policy, "response", route.ResponseHeadersToAdd, route.ResponseHeadersToRemove)
	fault, err := faultOf(v, route)
	if err != nil {
		return nil, err
	}
	if delay := fault.GetDelay(); delay != nil {
		policy["fault.delay"] = fmt.Sprintf("%s %g%%", delay.GetFixedDelay().AsDuration(), 100*fraction(delay.GetPercentage()))
	}
	if abort := fault.GetAbort(); abort != nil {
		policy["fault.abort"] = fmt.Sprintf("%d %g%%", abort.GetHttpStatus(), 100*fraction(abort.GetPercentage()))
	}
	if cors := filterConfig(v, route, corsFilter); cors != nil {
		p := &corsv3.CorsPolicy{}
		if err := cors.UnmarshalTo(p); err != nil {
			return nil, err
		}
		policy["corsPolicy"] = protojson.Format(p)
	}
	return policy, nil
}

func headerPolicy(policy map[string]string, side string, add []*corev3.HeaderValueOption, remove []string) {
	for _, h := range add {
		how := "set"
		if h.GetAppendAction() == corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			how = "add"
		}
		policy["headers."+side+"."+how+"."+h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	for _, name := range remove {
		policy["headers."+side+".remove."+name] = ""
	}
}

// filterConfig is the configuration of a filter in the route or, if there is none, in the virtual
// host.
func filterConfig(v *routev3.VirtualHost, route *routev3.Route, filter string) *anypb.Any {
	if c := route.GetTypedPerFilterConfig()[filter]; c != nil {
		return c
	}
	return v.GetTypedPerFilterConfig()[filter]
}

func faultOf(v *routev3.VirtualHost, route *routev3.Route) (*faultv3.HTTPFault, error) {
	config := filterConfig(v, route, faultFilter)
	if config == nil {
		return nil, nil
	}
	fault := &faultv3.HTTPFault{}
	return fault, config.UnmarshalTo(fault)
}

// fraction converts to a share of 1.
func fraction(p *typev3.FractionalPercent) float64 {
	per := map[typev3.FractionalPercent_DenominatorType]float64{
		typev3.FractionalPercent_HUNDRED: 100, typev3.FractionalPercent_TEN_THOUSAND: 1e4, typev3.FractionalPercent_MILLION: 1e6,
	}
	return float64(p.GetNumerator()) / per[p.GetDenominator()]
}

// redirect returns the status code and the target of a redirect.
func redirect(route *routev3.Route, r *request) string {
	to := route.GetRedirect()
	codes := map[routev3.RedirectAction_RedirectResponseCode]int{
		routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
	}
	scheme, host, path := r.scheme, r.authority, r.path
	if to.GetHttpsRedirect() {
		scheme = "https"
	}
	if s := to.GetSchemeRedirect(); s != "" {
		scheme = s
	}
	if to.HostRedirect != "" {
		host = to.HostRedirect
	}
	if to.PortRedirect != 0 {
		host, _, _ = strings.Cut(host, ":")
		host = fmt.Sprintf("%s:%d", host, to.PortRedirect)
	}
	if p := to.GetPathRedirect(); p != "" {
		path = p
	}
	if p := to.GetPrefixRewrite(); p != "" {
		path = p + strings.TrimPrefix(path, route.GetMatch().GetPrefix()+route.GetMatch().GetPathSeparatedPrefix()+route.GetMatch().GetPath())
	}
	return fmt.Sprintf("redirect %d %s://%s%s", codes[to.ResponseCode], scheme, host, path)
}
