package v1alpha1

// Conditions of a MeshSync, in addition to Ready, Reconciling, Stalled and Healthy of Flux.
const (
	// SourceVerifiedCondition is True if the signature of the fetched commit is valid, False if it
	// is not, and absent without spec.source.verify.
	SourceVerifiedCondition = "SourceVerified"
	// PreflightCondition is True if the cluster fits the repository: the kinds are installed, the
	// controller has the permissions, no other Gateway serves the same hosts, and the gateway has
	// the address of the inventory. Only problems that would leave a partial mesh hold a commit.
	PreflightCondition = "Preflight"
)

// Reasons of conditions and events of a MeshSync. Reasons of Flux (ReconciliationSucceeded,
// Progressing, ProgressingWithRetry, Suspended) keep their meaning.
const (
	// ReasonObserved: spec.mode is Observe; the plan was made, but not applied.
	ReasonObserved = "Observed"
	// ReasonFetchFailed: the commit could not be fetched, or does not exist (yet). It is retried.
	ReasonFetchFailed = "FetchFailed"
	// ReasonSourceInvalid: the URL, the ref or a Secret is invalid.
	ReasonSourceInvalid = "SourceInvalid"
	// ReasonAuthenticationFailed: the Git server rejected the credentials, or has another host key
	// or certificate than expected.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonVerificationFailed: the commit or tag is not signed by a trusted key.
	ReasonVerificationFailed = "VerificationFailed"
	// ReasonContentRefused: the commit cannot be a mesh repository: it is empty or over a limit, or
	// spec.path does not exist in it.
	ReasonContentRefused = "ContentRefused"
	// ReasonInvalidContent: the manifests, the inventory or a setting are invalid; see
	// status.errors.
	ReasonInvalidContent = "InvalidContent"
	// ReasonEvaluationFailed: the evaluation failed for a reason outside of the commit. It is
	// retried.
	ReasonEvaluationFailed = "EvaluationFailed"
	// ReasonUnknownCluster: spec.cluster is not in the inventory of the mesh repository.
	ReasonUnknownCluster = "UnknownCluster"
	// ReasonWrongCluster: the inventory has another uid for this cluster.
	ReasonWrongCluster = "WrongCluster"
	// ReasonAnotherMeshSync: an older MeshSync already manages this cluster.
	ReasonAnotherMeshSync = "AnotherMeshSync"
	// ReasonKindUnavailable: a managed kind cannot be watched, because its CRD or a permission is
	// missing.
	ReasonKindUnavailable = "KindUnavailable"
	// ReasonPermissionDenied: the controller lacks permissions that the commit needs; nothing is
	// applied.
	ReasonPermissionDenied = "PermissionDenied"
	// ReasonApplyFailed: a write failed; nothing was pruned. It is retried.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonRefused: some objects belong to another owner; all others are applied.
	ReasonRefused = "ResourcesRefused"
	// ReasonServicesFrozen: some services are broken and keep their last known good manifest; all
	// others are applied.
	ReasonServicesFrozen = "ServicesFrozen"
	// ReasonAcknowledged: event; a user acknowledged a held plan, which is now applied.
	ReasonAcknowledged = "Acknowledged"
	// ReasonFight: event; another field manager keeps changing an object.
	ReasonFight = "Fight"
	// ReasonIstioRefuses: Healthy is False because the status of an object says that istiod rejects
	// it.
	ReasonIstioRefuses = "IstioRefuses"
	// ReasonRoutingDeferred: everything is applied except for routing to other clusters, which
	// waits for spec.routingDelay.
	ReasonRoutingDeferred = "RoutingDeferred"
	// ReasonTimeout: the run did not end within spec.timeout.
	ReasonTimeout = "Timeout"
	// ReasonInternal: a bug in the controller.
	ReasonInternal = "InternalError"

	// ReasonHistoryRewritten: event; the history of the branch was rewritten.
	ReasonHistoryRewritten = "HistoryRewritten"
	// ReasonDriftCorrected: event; objects that were changed outside of Git were corrected.
	ReasonDriftCorrected = "DriftCorrected"
)
