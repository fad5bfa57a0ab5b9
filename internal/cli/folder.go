package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
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

// folderPlan is what a cluster's part of the folder holds of ours, and what it shall hold.
type folderPlan struct {
	// below is where the part lies in the folder, "." if it is the whole.
	below, cluster string
	want, there    map[string][]byte
}

// writeFolder makes the folder hold one file for each resource of the cluster, and none that an earlier run for the same
// cluster and service left. A file that it did not write stops it before anything is changed.
func writeFolder(folder, service string, of rendered) (folderChanges, error) {
	return changeFolder(folder, service, func(base *os.Root) ([]folderPlan, error) {
		plan, err := planFolder(base, folder, ".", of)
		return []folderPlan{plan}, err
	})
}

// writeFolders does so for every cluster of the inventory, each in a folder of its own below, and clears the folders of
// clusters that have left the inventory.
func writeFolders(folder, service string, all []rendered) (folderChanges, error) {
	return changeFolder(folder, service, func(base *os.Root) ([]folderPlan, error) {
		var plans []folderPlan
		known := map[string]bool{}
		for _, of := range all {
			known[of.cluster] = true
			plan, err := planFolder(base, folder, of.cluster, of)
			if err != nil {
				return nil, err
			}
			plans = append(plans, plan)
		}
		entries, err := fs.ReadDir(base.FS(), ".")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() || known[e.Name()] {
				continue
			}
			// What does not hold that cluster's files alone is someone else's, and none of our business.
			if plan, err := planFolder(base, folder, e.Name(), rendered{cluster: e.Name()}); err == nil {
				plans = append(plans, plan)
			}
		}
		return plans, nil
	})
}

// changeFolder makes all plans before it carries out the first.
func changeFolder(folder, service string, planned func(*os.Root) ([]folderPlan, error)) (folderChanges, error) {
	changes := folderChanges{folder: folder}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return changes, err
	}
	base, err := os.OpenRoot(folder)
	if err != nil {
		return changes, err
	}
	defer func() { _ = base.Close() }()
	plans, err := planned(base)
	if err != nil {
		return changes, err
	}
	for _, plan := range plans {
		if err := plan.carryOut(base, service, &changes); err != nil {
			return changes, err
		}
	}
	return changes, nil
}

func planFolder(base *os.Root, folder, below string, of rendered) (folderPlan, error) {
	plan := folderPlan{below: below, cluster: of.cluster, want: make(map[string][]byte, len(of.resources))}
	for _, r := range of.resources {
		data, err := yaml.Marshal(r.Rendered())
		if err != nil {
			return plan, fmt.Errorf("writing %s as YAML: %w", r.Key, err)
		}
		plan.want[fileOf(r.Key)] = append([]byte(header(of.cluster, r.Service)), data...)
	}
	root, err := base.OpenRoot(below)
	if errors.Is(err, fs.ErrNotExist) {
		return plan, nil
	}
	if err != nil {
		return plan, fmt.Errorf("opening the folder %s: %w; nothing was written", filepath.Join(folder, below), err)
	}
	defer func() { _ = root.Close() }()
	plan.there, err = written(root, of.cluster, plan.want)
	if err != nil {
		return plan, fmt.Errorf("the folder %s %w; nothing was written", filepath.Join(folder, below), err)
	}
	return plan, nil
}

func (p folderPlan) carryOut(base *os.Root, service string, changes *folderChanges) error {
	if len(p.want)+len(p.there) == 0 {
		return nil
	}
	if err := base.MkdirAll(p.below, 0o755); err != nil {
		return err
	}
	root, err := base.OpenRoot(p.below)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for file, data := range p.want {
		if bytes.Equal(p.there[file], data) {
			changes.unchanged++
			continue
		}
		if err := errors.Join(root.MkdirAll(path.Dir(file), 0o755), root.WriteFile(file, data, 0o644)); err != nil {
			return err
		}
		changes.wrote++
	}
	for file, data := range p.there {
		if _, keep := p.want[file]; keep || service != "" && !bytes.HasPrefix(data, []byte(header(p.cluster, service))) {
			continue
		}
		if err := root.Remove(file); err != nil {
			return err
		}
		changes.removed++
		// A folder that is not empty stays.
		_ = root.Remove(path.Dir(file))
		_ = root.Remove(path.Dir(path.Dir(file)))
	}
	if len(p.want) == 0 && p.below != "." {
		_ = base.Remove(p.below)
	}
	return nil
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
