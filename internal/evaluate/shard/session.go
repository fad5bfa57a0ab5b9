package shard

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Session is what the stages of one evaluation share: the snapshot, the child processes and the
// results of earlier evaluations. [Session.Close] ends the child processes.
type Session struct {
	Snapshot *source.Snapshot
	// Cluster is the cluster to render for; "" renders nothing.
	Cluster string
	Limits  limits.Limits
	Memory  *Memory
	// Work counts what was computed.
	Work Work

	pool *sandbox.Pool
	// mu guards the session, and the state of a stage, while batches run at the same time.
	mu sync.Mutex
}

// Work counts what an evaluation computed and did not find in its memory.
type Work struct {
	// Calls to child processes; files parsed, services evaluated and services rendered in them.
	Calls, Parsed, Evaluated, Rendered int
	// Unsharded: the repository was evaluated in one piece.
	Unsharded bool
}

// NewSession starts an evaluation.
func NewSession(snap *source.Snapshot, cluster string, l limits.Limits, m *Memory) *Session {
	return &Session{Snapshot: snap, Cluster: cluster, Limits: l, Memory: m, pool: sandbox.NewPool(l.Shard(), limits.Workers)}
}

// Close ends the child processes.
func (s *Session) Close() { s.pool.Close() }

// countCall counts a call while other batches run.
func (s *Session) countCall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Work.Calls++
}

func (s *Session) key(kind string, parts ...[]byte) cache.Key { return s.Memory.key(kind, parts...) }

func (s *Session) hash(path string) []byte { return []byte(s.Snapshot.Files[path].Hash) }

// manifestCluster is the cluster that manifests are evaluated for: "" if they do not depend on it.
func (s *Session) manifestCluster(p *Partition) string {
	if p.ReadsCluster {
		return s.Cluster
	}
	return ""
}

// sharedExceeded is the finding for values that all services share.
func sharedExceeded(p *Partition, limit *sandbox.LimitError) manifest.Findings {
	what := fmt.Sprintf("evaluating the shared files (%s)", strings.Join(p.Shared, ", "))
	return manifest.Findings{{Message: limits.ExceededMessage(what, limit)}}
}

// addFinding appends a finding that is not in the list yet.
func addFinding(to manifest.Findings, f manifest.Finding) manifest.Findings {
	if slices.Contains(to, f) {
		return to
	}
	return append(to, f)
}
