package trace

// Call is one request as an application makes it.
type Call struct {
	// From is the pod that calls, by cluster and pod name; a public gateway is "cluster" and "public".
	Cluster, Pod string
	// Host and Port are what the application dials; Address is the IP it resolved Host to ("" if it does not matter).
	Host    string
	Port    int
	Address string
	// Protocol is HTTP, TCP or TLS.
	Protocol string
	// Method, Path and Headers are of an HTTP request; SNI of a TLS call, by default Host.
	Method, Path string
	Headers      map[string]string
	SNI          string
}

// Result is where a call ends, by Istio's own translation.
type Result struct {
	// Arrivals are the pods that the call may reach, best priority first, sorted. A call without a single arrival and without an
	// answer fails. Those that are refused on arrival (Denied, Rejected) are among them.
	Arrivals []Arrival
	// Answer is what the caller's proxy answers by itself ("redirect 301 https://x", "response 503", "fault abort 500", ""). Shares of arrivals and
	// answer may stand beside each other.
	Answer string
	// AnswerShare is the part of the calls that get Answer.
	AnswerShare float64
	// Error is how a call fails that reaches nobody: "no endpoints", "no route", "denied at POD by policy", "identity PRINCIPAL not accepted", "unknown SNI at GATEWAY".
	Error string
	// Passthrough: the call left the mesh, unencrypted by us, to wherever the application dialled.
	Passthrough bool
	// Timeout, Retries, ... as the route has them, in Istio's words; for a person and for comparison. Keys: timeout, retries.attempts,
	// retries.perTryTimeout, retries.retryOn, rewrite.uri, rewrite.authority, fault.delay, fault.abort, corsPolicy, headers.request.set.NAME,
	// headers.request.add.NAME, headers.request.remove.NAME and the same for response.
	Policy map[string]string
	// Mirrors are where copies go; Share is the part of the calls that is copied.
	Mirrors []Arrival
	// DeadEnds are ways that the configuration offers and that reach nobody. Where the caller's proxy has outlier detection for the
	// destination, the arrivals' shares are those after it ejected the dead ends of the same priority; otherwise dead ends keep their shares.
	DeadEnds []DeadEnd
	// Escapes are gateways that a gateway would forward to if everything better failed: how loops arise.
	Escapes []string
	// Undecided are hops that the trace could not decide; a test treats any as a failure.
	Undecided []string
}

// Arrival is one way to one pod.
type Arrival struct {
	// Priority is that of the endpoint at the caller's proxy, 0 first; Share is the part of the calls, 0 to 1, that take this way while all of
	// its priority is healthy and no better one is (shares of one route's destination and priority add up to that destination's weight).
	Priority int
	Share    float64
	Cluster  string
	Pod      string
	// Port is the pod's.
	Port int
	// External is the address and port of an endpoint that is no pod of the world; Cluster and Pod are then empty.
	External string
	// Via are the gateways passed, "cluster" names; more than one is a loop or a detour.
	Via []string
	// SNI is what the last gateway was asked for, "" for a direct call; with External, the server name of TLS that the sidecar originates.
	SNI string
	// Identity is the SPIFFE ID that the pod's proxy sees; "" is plain text.
	Identity string
	// Denied names the policy that refuses the call at the pod, "" for let in.
	Denied string
	// DryRunDenied names a policy in dry-run that would refuse it.
	DryRunDenied string
	// Rejected says why mTLS fails: whose identity is not accepted by whom; "" for fine.
	Rejected string
}

// DeadEnd is one way that ends before a pod.
type DeadEnd struct {
	Priority int
	Share    float64
	// Address is where it leads as the caller's proxy sees it, Via the gateways passed.
	Address string
	Via     []string
	Reason  string
}
