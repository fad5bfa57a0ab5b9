package apply

const policyKind = "AuthorizationPolicy"
