package freeze

import (
	"path"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// AddRejected adds the rejected files of a snapshot to infos: files that may define services become
// files that cannot be parsed. It returns the findings of the other files.
func (l *LastKnownGood) AddRejected(snap *source.Snapshot, infos map[string]cueworker.FileInfo) (other manifest.Findings) {
	for p, refusal := range snap.Rejected {
		switch {
		case strings.HasSuffix(p, ".cue"):
			if cueworker.ReadByCUE(p) || isOfModules(p) {
				infos[p] = cueworker.FileInfo{Findings: manifest.Findings{refusal.Finding}}
			}
		case !refusal.Link:
			other = append(other, refusal.Finding)
		case l.leadsToFile(snap, p, refusal.Target):
			// Neither CUE nor Isthmus reads the link.
		default:
			infos[p] = cueworker.FileInfo{Findings: manifest.Findings{refusal.Finding}}
		}
	}
	slices.SortFunc(other, func(a, b manifest.Finding) int { return strings.Compare(a.File, b.File) })
	return other
}

// leadsToFile reports whether a link leads to a file of the repository that is not CUE, and is not
// in the place of an earlier folder.
func (l *LastKnownGood) leadsToFile(snap *source.Snapshot, p, target string) bool {
	to := path.Join(path.Dir(p), target)
	_, ok := snap.Files[to]
	return ok && !path.IsAbs(target) && !strings.HasSuffix(to, ".cue") && !l.wasService(p) && !l.wasShared(p)
}

// SharedUnread returns the findings of a commit in which a file cannot be parsed that all services
// may depend on: a file that was shared before, a file of a module, or a new file in the root
// folder.
func (l *LastKnownGood) SharedUnread(partition *shard.Partition) manifest.Findings {
	for p := range partition.Broken {
		inRoot := path.Dir(p) == "." && strings.HasSuffix(p, ".cue")
		if l.wasShared(p) || isOfModules(p) || inRoot && !l.wasService(p) {
			return partition.Unread()
		}
	}
	return nil
}

func isOfModules(p string) bool { return strings.HasPrefix(p, "cue.mod/") || p == "cue.mod" }

// covers reports whether an unreadable path is a file, or is in the place of a folder above it.
func covers(broken, p string) bool { return broken == p || strings.HasPrefix(p, broken+"/") }
