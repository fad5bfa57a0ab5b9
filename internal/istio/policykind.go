package istio

const AuthorizationPolicyKind = "AuthorizationPolicy"
