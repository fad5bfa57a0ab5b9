package apiserver

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

// Kubectl returns the path of kubectl: the one in KUBEBUILDER_ASSETS, or else the one that build.sh
// builds.
func Kubectl(ctx context.Context) (string, error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		if path, err := exec.LookPath(filepath.Join(assets, "kubectl")); err == nil {
			return path, nil
		}
	}
	folder, err := testcluster.Build(ctx, "kubectl")
	return filepath.Join(folder, "kubectl"), err
}
