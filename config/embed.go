// Package config carries what an installation needs, the CRD and the roles of the controller, inside the isthmus command.
package config

import _ "embed" // for the directives below

// CRD is the CustomResourceDefinition of MeshSync, as YAML.
//
//go:embed crd/bases/isthmus.dev_meshsyncs.yaml
var CRD []byte

// Roles are the ClusterRole and the Role of the controller, as YAML documents.
//
//go:embed rbac/role.yaml
var Roles []byte
