package trace

// Call is one request of an application.
type Call struct {
	// Cluster and Pod name the calling pod. The pod "public" is the public gateway of the cluster.
	Cluster, Pod string
	// Host and Port are the target of the application. Address is the IP of Host ("" if it does not
	// matter).
	Host    string
	Port    int
	Address string
	// Protocol is HTTP, TCP or TLS.
	Protocol string
	// Method, Path and Headers of an HTTP request. SNI of a TLS call, Host by default.
	Method, Path string
	Headers      map[string]string
	SNI          string
}

// Result is the outcome of a call in the configuration that Istio generates.
type Result struct {
	// Arrivals are the pods that the call may reach, sorted, best priority first. They include pods
	// that do not accept the call (Denied, Rejected). A call without arrivals and without a local
	// reply fails.
	Arrivals []Arrival
	// LocalReply is the response of the caller's proxy itself ("redirect 301 https://x", "response
	// 503", "fault abort 500", "" for none). LocalReplyShare of the calls get it; the others may
	// arrive.
	LocalReply      string
	LocalReplyShare float64
	// Error is the reason if no pod accepts the call: "no endpoints", "no route", "denied at POD by
	// policy", "identity PRINCIPAL not accepted", "unknown SNI at GATEWAY".
	Error string
	// Passthrough: the call leaves the mesh in plain text to the address that the application uses.
	Passthrough bool
	// Policy holds the settings of the route with the names of Istio's fields. Keys: timeout,
	// retries.attempts, retries.perTryTimeout, retries.retryOn, rewrite.uri, rewrite.authority,
	// fault.delay, fault.abort, corsPolicy, headers.request.set.NAME, headers.request.add.NAME,
	// headers.request.remove.NAME and the same for response.
	Policy map[string]string
	// Mirrors are the arrivals of mirrored requests. Share is the share of the calls that are
	// mirrored.
	Mirrors []Arrival
	// DeadMirrors are the mirrors whose requests do not arrive, with the reason.
	DeadMirrors []string
	// DeadEnds are configured paths that do not reach a pod. If the caller's proxy has outlier
	// detection for the destination, the shares are those after the ejection of the dead ends of
	// the same priority. Otherwise dead ends keep their shares.
	DeadEnds []DeadEnd
	// LoopRisks are gateways to which another gateway would forward if all better endpoints failed.
	LoopRisks []string
	// Undecided lists configuration that the trace does not support. Tests must treat it as a
	// failure.
	Undecided []string
}

// Arrival is one path to one pod.
type Arrival struct {
	// Priority of the endpoint at the caller's proxy, 0 first. Share of the calls, 0 to 1, that
	// take this path while all endpoints of the priority are healthy and no endpoint of a better
	// priority is. The shares of a destination of a route add up to its weight in each priority.
	Priority int
	Share    float64
	Cluster  string
	Pod      string
	// Port of the pod.
	Port int
	// External is the address and port of an endpoint that is not a pod of the scenario. Cluster
	// and Pod are then empty.
	External string
	// Via lists the clusters of the gateways passed. More than one is a loop or a detour.
	Via []string
	// SNI at the last gateway, "" for a direct call. With External: the SNI of TLS that the sidecar
	// originates.
	SNI string
	// Identity is the SPIFFE ID that the pod's proxy sees, "" for plain text.
	Identity string
	// Denied is the policy that denies the call at the pod, "" if it is allowed.
	Denied string
	// DryRunDenied is the dry-run policy that would deny the call.
	DryRunDenied string
	// Rejected is the reason if mTLS fails, "" otherwise.
	Rejected string
}

// DeadEnd is one path that does not reach a pod.
type DeadEnd struct {
	Priority int
	Share    float64
	// Address of the last endpoint. Via lists the clusters of the gateways passed.
	Address string
	Via     []string
	Reason  string
}
