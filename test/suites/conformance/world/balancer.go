package world

// LoadBalancer is an address of its own in front of the ready pods of one Kubernetes Service: what Pod.Service names in Namespace. It takes the
// Service's ports.
type LoadBalancer struct {
	Cluster, Address, Namespace, Service string
}
