package v1alpha1

// Conditions of a MeshSync beside Flux's Ready, Reconciling, Stalled and Healthy.
const (
	// SourceVerifiedCondition is True if the signature of the fetched commit was verified, False if it
	// could not be, and absent if spec.source.verify is.
	SourceVerifiedCondition = "SourceVerified"
	// PreflightCondition is True if this cluster is as the repository takes it to be: it has the kinds, the controller has the rights, no other Gateway
	// serves hosts of ours, and the gateway has the address of the inventory. Only what would leave half of a mesh holds a commit.
	PreflightCondition = "Preflight"
)

// Reasons of the conditions of a MeshSync. Those of Flux (ReconciliationSucceeded, Progressing,
// ProgressingWithRetry, Suspended) mean what they mean there.
const (
	// ReasonObserved: spec.mode is Observe, and the plan was made and not carried out.
	ReasonObserved = "Observed"
	// ReasonFetchFailed: the commit could not be fetched, or does not exist (yet); it is tried again.
	ReasonFetchFailed = "FetchFailed"
	// ReasonSourceInvalid: the URL, the ref or a Secret cannot work as it is written.
	ReasonSourceInvalid = "SourceInvalid"
	// ReasonAuthenticationFailed: the Git server refused the credentials, or its identity is not the one expected.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonVerificationFailed: the commit or tag is not signed by a trusted key.
	ReasonVerificationFailed = "VerificationFailed"
	// ReasonContentRefused: the commit holds something that a mesh repository must not hold, such as a symbolic link.
	ReasonContentRefused = "ContentRefused"
	// ReasonInvalidContent: the manifests, the inventory or a setting are wrong; status.errors says where.
	ReasonInvalidContent = "InvalidContent"
	// ReasonEvaluationFailed: the commit could not be evaluated, for a reason that is not in the commit; it is tried again.
	ReasonEvaluationFailed = "EvaluationFailed"
	// ReasonUnknownCluster: spec.cluster is not in the inventory of the mesh repository.
	ReasonUnknownCluster = "UnknownCluster"
	// ReasonWrongCluster: the inventory's uid of the cluster is not that of this cluster.
	ReasonWrongCluster = "WrongCluster"
	// ReasonAnotherMeshSync: an older MeshSync manages this cluster already.
	ReasonAnotherMeshSync = "AnotherMeshSync"
	// ReasonKindUnavailable: a managed kind cannot be listed and watched, since its CRD is missing or the controller may not.
	ReasonKindUnavailable = "KindUnavailable"
	// ReasonPermissionDenied: the controller lacks rights that the commit takes; nothing of it is applied.
	ReasonPermissionDenied = "PermissionDenied"
	// ReasonApplyFailed: something could not be written; nothing was pruned, and it is tried again.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonRefused: some objects of the bundle exist and belong to somebody else; all others are applied.
	ReasonRefused = "ResourcesRefused"
	// ReasonServicesFrozen: some services are broken and kept as they were when they were good last; all others are applied.
	ReasonServicesFrozen = "ServicesFrozen"
	// ReasonAcknowledged is that of an event: what was held passes, since a person lets it.
	ReasonAcknowledged = "Acknowledged"
	// ReasonFight is that of an event: somebody changes an object as often as it is put right.
	ReasonFight = "Fight"
	// ReasonIstioRefuses is that of Healthy: istiod says in the status of an object that it does not pass validation.
	ReasonIstioRefuses = "IstioRefuses"
	// ReasonRoutingDeferred: all is applied but for what newly leads to other clusters, which have a while to offer it.
	ReasonRoutingDeferred = "RoutingDeferred"
	// ReasonTimeout: the run did not end within spec.timeout.
	ReasonTimeout = "Timeout"
	// ReasonInternal: a defect of the controller.
	ReasonInternal = "InternalError"

	// ReasonHistoryRewritten is the reason of the event that reports a branch whose history was rewritten.
	ReasonHistoryRewritten = "HistoryRewritten"
	// ReasonDriftCorrected is the reason of the event that reports objects which somebody changed and which were put right.
	ReasonDriftCorrected = "DriftCorrected"
)
