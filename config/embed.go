// Package config embeds the manifests of an installation: the CRD and the roles of the controller.
package config

import _ "embed"

// CRD is the CustomResourceDefinition of MeshSync, as YAML.
//
//go:embed crd/bases/isthmus.dev_meshsyncs.yaml
var CRD []byte

// Roles has the ClusterRole and the Role of the controller, as YAML documents.
//
//go:embed rbac/role.yaml
var Roles []byte
