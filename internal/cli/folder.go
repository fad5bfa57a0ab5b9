package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// folderMark begins every file that render writes into a folder. It is how a later run knows what it may replace or
// remove; the cluster and the service follow it.
const folderMark = "# Written by isthmus render, which replaces and removes it. "

// folderChanges counts what became of the files of a folder.
type folderChanges struct {
	folder                    string
	wrote, unchanged, removed int
}

func (c folderChanges) String() string {
	return fmt.Sprintf("%s: %d written, %d unchanged, %d removed", c.folder, c.wrote, c.unchanged, c.removed)
}

// writeFolder makes the folder hold one file for each resource, and none that an earlier run for the same cluster and
// service left. A file that it did not write stops it before anything is changed.
func writeFolder(folder, cluster, service string, resources []render.Resource) (folderChanges, error) {
	changes := folderChanges{folder: folder}
	want := make(map[string][]byte, len(resources))
	for _, r := range resources {
		data, err := yaml.Marshal(r.Rendered)
		if err != nil {
			return changes, fmt.Errorf("writing %s as YAML: %w", r.Key, err)
		}
		want[fileOf(r.Key)] = append([]byte(header(cluster, r.Service)), data...)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return changes, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return changes, err
	}
	defer func() { _ = root.Close() }()
	there, err := written(root, cluster, want)
	if err != nil {
		return changes, fmt.Errorf("the folder %s %w; nothing was written", folder, err)
	}
	for file, data := range want {
		if bytes.Equal(there[file], data) {
			changes.unchanged++
			continue
		}
		if err := errors.Join(root.MkdirAll(path.Dir(file), 0o755), root.WriteFile(file, data, 0o644)); err != nil {
			return changes, err
		}
		changes.wrote++
	}
	for file, data := range there {
		if _, keep := want[file]; keep || service != "" && !bytes.HasPrefix(data, []byte(header(cluster, service))) {
			continue
		}
		if err := root.Remove(file); err != nil {
			return changes, err
		}
		changes.removed++
		// A folder that is not empty stays.
		_ = root.Remove(path.Dir(file))
		_ = root.Remove(path.Dir(path.Dir(file)))
	}
	return changes, nil
}

// header is the first line of a file.
func header(cluster, service string) string {
	line := folderMark + "Cluster " + cluster
	if service != "" {
		line += ", service " + service
	}
	return line + ".\n"
}

// longestName is what file systems commonly take, in bytes, less the suffix.
const longestName = 255 - len(".yaml")

// fileOf is where a resource lies in the folder.
func fileOf(key render.Key) string {
	return path.Join(key.Kind, key.Namespace, key.Name[:min(len(key.Name), longestName)]+".yaml")
}

// written are the files that earlier runs for the cluster wrote. It fails where one of ours would replace a file of
// anyone else, or the folder belongs to another cluster.
func written(root *os.Root, cluster string, want map[string][]byte) (map[string][]byte, error) {
	there := map[string][]byte{}
	for _, kind := range istio.Kinds {
		files, err := fs.Glob(root.FS(), kind.Kind+"/*/*.yaml")
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := regular(root, file)
			if err != nil {
				return nil, err
			}
			of := clusterOf(data)
			if of != "" && of != cluster {
				return nil, fmt.Errorf("holds the resources of cluster %s (%s is one); give each cluster a folder of its own", of, file)
			}
			if of != "" {
				there[file] = data
			}
		}
	}
	var foreign []string
	for file := range want {
		if _, ours := there[file]; ours {
			continue
		}
		if _, err := root.Lstat(file); err == nil {
			foreign = append(foreign, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		return nil, fmt.Errorf("holds %s, not written by isthmus render; move it away, or name another folder", strings.Join(foreign, ", "))
	}
	return there, nil
}

// regular is the content of a regular file, nil of anything else.
func regular(root *os.Root, file string) ([]byte, error) {
	info, err := root.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return root.ReadFile(file)
}

// clusterOf reads the header of a file, "" if it has none of ours.
func clusterOf(data []byte) string {
	rest, ours := bytes.CutPrefix(data, []byte(folderMark+"Cluster "))
	if !ours {
		return ""
	}
	line, _, _ := strings.Cut(string(rest), "\n")
	cluster, _, _ := strings.Cut(strings.TrimSuffix(line, "."), ",")
	return cluster
}
