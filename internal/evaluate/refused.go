package evaluate

import (
	"path"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// refusals sees to what is in the repository and must not be read. What may hold services is taken as a file that cannot be parsed, all else is
// told.
func (r *run) refusals() {
	r.aside = nil
	for p, refusal := range r.snap.Rejected {
		switch {
		case strings.HasSuffix(p, ".cue"):
			if readByCUE(p) || isOfModules(p) {
				r.infos[p] = fileInfo{Findings: manifest.Findings{refusal.Finding}}
			}
		case !refusal.Link:
			r.aside = append(r.aside, refusal.Finding)
		case r.leadsToFile(p, refusal.Target):
			// Neither plain CUE nor Isthmus has any use for it.
		default:
			r.infos[p] = fileInfo{Findings: manifest.Findings{refusal.Finding}}
		}
	}
	slices.SortFunc(r.aside, func(a, b manifest.Finding) int { return strings.Compare(a.File, b.File) })
}

// leadsToFile tells whether a link leads to a file of the repository that is not of CUE, and takes the place of no folder.
func (r *run) leadsToFile(p, target string) bool {
	to := path.Join(path.Dir(p), target)
	_, ok := r.snap.Files[to]
	return ok && !path.IsAbs(target) && !strings.HasSuffix(to, ".cue") && !r.wasService(p) && !r.wasShared(p)
}

func isOfModules(p string) bool { return strings.HasPrefix(p, "cue.mod/") || p == "cue.mod" }

// covers tells whether a file that cannot be read is another one, or what stands where its folder was.
func covers(broken, p string) bool { return broken == p || strings.HasPrefix(p, broken+"/") }

// unreadOf is what keeps a file from being read.
func (s *split) unreadOf(p string) manifest.Findings {
	if found := s.broken[p]; found != nil || len(s.broken) == 0 {
		return found
	}
	for at := path.Dir(p); at != "."; at = path.Dir(at) {
		if found := s.broken[at]; found != nil {
			return found
		}
	}
	return nil
}
