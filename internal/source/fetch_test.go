package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/support/long"
)

func TestFetchReadsTheFilesOfTheCommit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	s.run(s.clone, "update-index", "--chmod=+x", "mesh.cue")
	hash := s.push("main", "Executable files are regular files")
	got := mustFetch(t, newGit(t, Options{URL: s.startHTTP()}))

	if diff := cmp.Diff([]string{"mesh.cue", "services/cart.cue"}, got.Paths()); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if want := "main@sha1:" + hash; got.Revision != want || got.Commit != hash {
		t.Errorf("revision %q, commit %q; want %q, %q", got.Revision, got.Commit, want, hash)
	}
	if want := s.run(s.clone, "rev-parse", "HEAD:services/cart.cue"); got.Files["services/cart.cue"].Hash != want {
		t.Errorf("hash of services/cart.cue is %q, in Git it is %q", got.Files["services/cart.cue"].Hash, want)
	}
	if got.Signer != "" || got.RewrittenFrom != "" {
		t.Errorf("signer %q, rewrittenFrom %q; want none", got.Signer, got.RewrittenFrom)
	}
}

func TestUnchangedFetchTransfersNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	g := newGit(t, Options{URL: s.startHTTP()})
	first := mustFetch(t, g)
	packs := s.packs.Load()
	for range 3 {
		if again := mustFetch(t, g); again != first {
			t.Fatal("another Snapshot without a change")
		}
	}
	if got := s.packs.Load(); got != packs {
		t.Errorf("%d packs were requested without a change", got-packs)
	}
}

func TestConcurrentFetchesShareOneSnapshot(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	g := newGit(t, Options{URL: s.startHTTP()})
	got := make([]*Snapshot, 8)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = fetch(t, g, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, one := range got {
		if one != got[0] {
			t.Error("two Snapshots of one commit")
		}
	}
	if n := s.packs.Load(); n != 1 {
		t.Errorf("%d packs were transferred, want one", n)
	}
}

func TestFetchFollowsTheRef(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.seed()
	s.run(s.clone, "tag", "v1.0.0")
	s.run(s.clone, "tag", "v1.1.0-rc.1")
	s.run(s.clone, "tag", "nonsense")
	s.write("services/pay.cue", "package config\n")
	second := s.push("main", "Second commit")
	s.run(s.clone, "tag", "-a", "-m", "annotated", "v1.2.0")
	s.run(s.clone, "tag", "v2.0.0")
	s.write("services/pay.cue", "package config\n// dev\n")
	dev := s.push("dev", "On dev")
	s.run(s.clone, "push", "-q", "--tags", "origin")
	url := s.startHTTP()

	cases := map[string]struct {
		reason   string
		ref      Ref
		commit   string
		revision string
	}{
		"None":           {"HEAD of the remote, which is main", Ref{}, second, "main@sha1:" + second},
		"Branch":         {"a branch by name", Ref{Branch: "dev"}, dev, "dev@sha1:" + dev},
		"LightTag":       {"a lightweight tag", Ref{Tag: "v1.0.0"}, first, "v1.0.0@sha1:" + first},
		"AnnotatedTag":   {"an annotated tag means its commit", Ref{Tag: "v1.2.0"}, second, "v1.2.0@sha1:" + second},
		"SemVer":         {"the highest in the range", Ref{SemVer: ">=1.0.0 <2.0.0"}, second, "v1.2.0@sha1:" + second},
		"SemVerPre":      {"a pre-release only if the range has one", Ref{SemVer: ">=1.0.0-0 <1.2.0"}, first, "v1.1.0-rc.1@sha1:" + first},
		"TagBeatsBranch": {"tag has precedence over branch, as in Flux", Ref{Branch: "dev", Tag: "v1.0.0"}, first, "v1.0.0@sha1:" + first},
		"TipCommit":      {"a commit that is the tip of a branch", Ref{Commit: dev}, dev, "sha1:" + dev},
		"OldCommit":      {"an older commit of a branch", Ref{Commit: first}, first, "sha1:" + first},
		"CommitOfBranch": {"a commit with its branch", Ref{Commit: first, Branch: "main"}, first, "sha1:" + first},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := mustFetch(t, newGit(t, Options{URL: url, Ref: tc.ref}))
			if got.Commit != tc.commit || got.Revision != tc.revision {
				t.Errorf("%s: got %s (%s), want %s (%s)", tc.reason, got.Revision, got.Commit, tc.revision, tc.commit)
			}
		})
	}
}

func TestErrorNamesTheMissingRef(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	other := strings.Repeat("0123", 10)
	s.run(s.clone, "checkout", "-q", "-b", "dev")
	dev := s.push("dev", "Only on dev")
	s.commit("Beyond dev")
	s.run(s.clone, "push", "-q", "--force", "origin", "HEAD:refs/heads/dev")
	url := s.startHTTP()
	for _, tc := range []struct {
		ref   Ref
		names []string
	}{
		{Ref{Branch: "release"}, []string{"branch release"}},
		{Ref{Tag: "v9"}, []string{"tag v9"}},
		{Ref{SemVer: ">=9"}, []string{">=9"}},
		{Ref{Commit: other}, []string{"commit " + other, "any branch"}},
		{Ref{Commit: dev, Branch: "main"}, []string{"commit " + dev, "branch main"}},
	} {
		g := newGit(t, Options{URL: url, Ref: tc.ref})
		_, err := fetch(t, g, "")
		wantError(t, err, FetchFailed, append(tc.names, url)...)
	}
	if got := mustFetch(t, newGit(t, Options{URL: url})); got.Commit != hash {
		t.Errorf("main is %s, want %s", got.Commit, hash)
	}
}

func TestPinnedCommitStaysWhileItsBranchMoves(t *testing.T) {
	t.Parallel()
	for name, config := range map[string][]string{
		"ServerRefusesHashes": nil,
		"ServerAllowsHashes":  {"config", "uploadpack.allowReachableSHA1InWant", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			hash := s.seed()
			if config != nil {
				s.run(s.bare, config...)
			}
			url := s.startHTTP()
			g := newGit(t, Options{URL: url, Ref: Ref{Commit: hash}})
			first := mustFetch(t, g)
			s.write("mesh.cue", "package config\n// moved\n")
			moved := s.push("main", "Move on")
			if again := mustFetch(t, g); again != first {
				t.Error("the pinned commit was read again")
			}
			if late := mustFetch(t, newGit(t, Options{URL: url, Ref: Ref{Commit: hash}})); late.Commit != hash || string(late.Files["mesh.cue"].Data) != "package config\n" {
				t.Errorf("fetched %s with %q", late.Commit, late.Files["mesh.cue"].Data)
			}

			follower := newGit(t, Options{URL: url})
			if got := mustFetch(t, follower); got.Commit != moved {
				t.Fatalf("main is %s, want %s", got.Commit, moved)
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			past, err := follower.FetchCommit(ctx, hash)
			if err != nil || past.Commit != hash {
				t.Errorf("FetchCommit: %v, %v", past, err)
			}
			s.git.StopHTTP()
			if again, err := fetch(t, g, ""); err != nil || again != first {
				t.Errorf("a fetched pinned commit needs the server: %v", err)
			}
		})
	}
}

func TestPathLimitsWhatIsReadAndMakesFilesRelative(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	s.write("platform/mesh/mesh.cue", "package config\n")
	s.write("platform/mesh/services/a.cue", "package config\n")
	s.write("other/video.bin", strings.Repeat("x", 5<<20))
	s.push("main", "A repository of more than a mesh")
	url := s.startHTTP()
	for _, path := range []string{"platform/mesh", "/platform/mesh/", "./platform//mesh"} {
		got := mustFetch(t, newGit(t, Options{URL: url, Path: path}))
		if diff := cmp.Diff([]string{"mesh.cue", "services/a.cue"}, got.Paths()); diff != "" {
			t.Errorf("path %q (-want +got):\n%s", path, diff)
		}
	}
	_, err := fetch(t, newGit(t, Options{URL: url, Path: "platform/meshes"}), "")
	wantError(t, err, ContentRefused, `"platform/meshes" does not exist`)
	_, err = fetch(t, newGit(t, Options{URL: url, Path: "mesh.cue/x"}), "")
	wantError(t, err, ContentRefused, "mesh.cue", "not a folder")
	_, err = New(Options{URL: url, Path: "platform/../../x"})
	wantError(t, err, ConfigurationInvalid, "leaves the repository")
}

func TestServerDownAndBack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	target := s.startHTTP()
	var down atomic.Bool
	f := front(t, target, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				http.Error(w, "maintenance <html>"+strings.Repeat("long ", 500), http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	f.Start()
	g := newGit(t, Options{URL: f.URL + "/mesh.git"})
	first := mustFetch(t, g)

	down.Store(true)
	_, err := fetch(t, g, "")
	wantError(t, err, FetchFailed, f.URL+"/mesh.git")
	if len(err.Error()) > 700 {
		t.Errorf("the error contains the whole page of the server, %d bytes", len(err.Error()))
	}
	if len(first.Files) != 2 {
		t.Error("an outage changed a returned Snapshot")
	}

	down.Store(false)
	if again := mustFetch(t, g); again != first {
		t.Error("another Snapshot after an outage without a change")
	}
	s.write("mesh.cue", "package config\n// back\n")
	hash := s.push("main", "Back")
	if got := mustFetch(t, g); got.Commit != hash || got.RewrittenFrom != "" {
		t.Errorf("got %s rewrittenFrom %q, want %s", got.Commit, got.RewrittenFrom, hash)
	}

	f.Close()
	_, err = fetch(t, g, "")
	wantError(t, err, FetchFailed, "connection refused")
}

func TestFetchWorksAfterAFailedTransfer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	target := s.startHTTP()
	var broken atomic.Bool
	f := front(t, target, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				_, _ = w.Write([]byte("0034shallow " + strings.Repeat("a", 40) + "0000" + "0008NAK\n" + "0010\x01PACK\x00\x00\x00\x02\x00"))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	f.Start()
	g := newGit(t, Options{URL: f.URL + "/mesh.git"})
	mustFetch(t, g)
	s.write("services/new.cue", "package config\n")
	hash := s.push("main", "New")
	broken.Store(true)
	if _, err := fetch(t, g, ""); err == nil {
		t.Fatal("a torn pack was accepted")
	}
	broken.Store(false)
	if got := mustFetch(t, g); got.Commit != hash || got.RewrittenFrom != "" || len(got.Files) != 3 {
		t.Errorf("after the failure: commit %s, rewrittenFrom %q, %d files", got.Commit, got.RewrittenFrom, len(got.Files))
	}
}

func TestOnlyForcePushSetsRewrittenFrom(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.seed()
			past := s.history(60)
			set := func(hash string) {
				s.run(s.clone, "push", "-q", "--force", "origin", hash+":refs/heads/main")
			}
			set(past[10])
			url := s.startHTTP()
			g := newGit(t, Options{URL: url})
			last := mustFetch(t, g).Commit

			// After this merge the old commit is not reachable through first parents.
			s.run(s.clone, "checkout", "-q", "-b", "side", past[10])
			s.write("side.cue", "package config\n")
			s.commit("Aside")
			s.run(s.clone, "merge", "-q", "-s", "ours", "-m", "Merge", past[50])
			merged := s.run(s.clone, "rev-parse", "HEAD")
			s.run(s.clone, "checkout", "-q", "--orphan", "fresh")
			s.write("fresh.cue", "package config\n")
			unrelated := s.commit("Unrelated history")

			for _, step := range []struct {
				reason, to    string
				rewrittenFrom bool
			}{
				{"one commit on", past[11], false},
				{"forty commits on", past[50], false},
				{"a merge with it as the second parent", merged, false},
				{"back to an ancestor", past[5], true},
				{"on again", past[59], false},
				{"to unrelated history", unrelated, true},
				{"from there to the old history", past[20], true},
			} {
				set(step.to)
				if restart {
					g = newGit(t, Options{URL: url})
				}
				got, err := fetch(t, g, last)
				if err != nil {
					t.Fatalf("%s: %v", step.reason, err)
				}
				want := ""
				if step.rewrittenFrom {
					want = last
				}
				if got.Commit != step.to || got.RewrittenFrom != want {
					t.Errorf("%s: commit %s, rewrittenFrom %q; want %s, %q", step.reason, got.Commit, got.RewrittenFrom, step.to, want)
				}
				last = got.Commit
			}
		})
	}
}

// history makes commits in the clone, one after the other, and returns them.
func (s *server) history(commits int) []string {
	s.t.Helper()
	var feed strings.Builder
	for i := range commits {
		fmt.Fprintf(&feed, "commit refs/heads/main\ncommitter an engineer <engineer@example.com> %d +0000\ndata 1\nx\n", 1_700_000_000+i)
		if i == 0 {
			feed.WriteString("from refs/heads/main^0\n")
		}
		text := fmt.Sprintf("package config\n// %d\n", i)
		fmt.Fprintf(&feed, "M 100644 inline mesh.cue\ndata %d\n%s\n", len(text), text)
	}
	// One process instead of three for each commit.
	s.runWith(s.clone, []byte(feed.String()), "fast-import", "--quiet")
	s.run(s.clone, "reset", "-q", "--hard", "main")
	return strings.Fields(s.run(s.clone, "rev-list", "--reverse", "-n", fmt.Sprint(commits), "main"))
}

func TestForcePushIsReportedAfterGarbageCollection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.seed()
	s.write("mesh.cue", "package config\n// soon gone\n")
	gone := s.push("main", "Soon gone")
	g := newGit(t, Options{URL: s.startHTTP()})
	mustFetch(t, g)
	s.run(s.clone, "push", "-q", "--force", "origin", first+":refs/heads/main")
	s.run(s.bare, "reflog", "expire", "--expire=now", "--all")
	s.run(s.bare, "gc", "-q", "--prune=now")
	if got := mustFetch(t, g); got.Commit != first || got.RewrittenFrom != gone {
		t.Errorf("commit %s, rewrittenFrom %q; want %s, %q", got.Commit, got.RewrittenFrom, first, gone)
	}
}

func TestManyCommitsNeedNoMoreMemoryThanOne(t *testing.T) {
	s := newServer(t)
	for i := range 50 {
		s.write(fmt.Sprintf("services/s%d.cue", i), fmt.Sprintf("package config\n// %d %s\n", i, strings.Repeat("y", 4000)))
	}
	s.seed()
	commits := long.Or(60, 200)
	var feed strings.Builder
	contents := []string{"rev-parse"}
	for i := range commits {
		contents = append(contents, fmt.Sprintf("refs/fast/c%d:services/s%d.cue", i, i%5))
		text := fmt.Sprintf("package config\n// %d %s\n", i, strings.Repeat(fmt.Sprint(i, " "), 80_000))
		fmt.Fprintf(&feed, "commit refs/fast/c%d\ncommitter an engineer <engineer@example.com> %d +0000\ndata 1\nx\n", i, 1_700_000_000+i)
		if i == 0 {
			feed.WriteString("from refs/heads/main\n")
		} else {
			fmt.Fprintf(&feed, "from refs/fast/c%d\n", i-1)
		}
		fmt.Fprintf(&feed, "M 100644 inline services/s%d.cue\ndata %d\n%s\n", i%5, len(text), text)
	}
	s.runWith(s.bare, []byte(feed.String()), "fast-import", "--quiet")

	hashes := strings.Fields(s.run(s.bare, contents...))

	g := newGit(t, Options{URL: s.startHTTP()})
	mustFetch(t, g)
	var early, late uint64
	for i := range commits {
		s.run(s.bare, "update-ref", "refs/heads/main", fmt.Sprintf("refs/fast/c%d", i))
		got := mustFetch(t, g)
		if got.RewrittenFrom != "" {
			t.Fatalf("commit %d: rewrittenFrom %s", i, got.RewrittenFrom)
		}
		// All 52 files, and the commit, the root tree and the services tree.
		if n := len(g.current.objects.byHash); n > 52+3 {
			t.Fatalf("commit %d: %d objects in memory, want those of one commit", i, n)
		}
		if got.Files[fmt.Sprintf("services/s%d.cue", i%5)].Hash != hashes[i] {
			t.Fatalf("commit %d: not the commit's content", i)
		}
		switch i {
		case 20:
			early = heap()
		case commits - 1:
			late = heap()
		}
	}
	// The commits between hold at least 9 MB of text.
	if late > early+5<<20 {
		t.Errorf("heap grew from %d to %d bytes over %d commits", early, late, commits)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestFetchReturnsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	target := s.startHTTP()
	for _, stall := range []string{"/info/refs", "/git-upload-pack"} {
		t.Run(stall, func(t *testing.T) {
			stalled, release := make(chan struct{}, 100), make(chan struct{})
			var slow atomic.Bool
			slow.Store(true)
			f := front(t, target, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if slow.Load() && strings.HasSuffix(r.URL.Path, stall) {
						// Headers first, so that the client waits in the body.
						w.WriteHeader(http.StatusOK)
						w.(http.Flusher).Flush()
						stalled <- struct{}{}
						<-release
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			f.Start()
			t.Cleanup(func() { f.CloseClientConnections() })
			g := newGit(t, Options{URL: f.URL + "/mesh.git"})
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-stalled; cancel() }()
			done := make(chan error, 1)
			go func() { _, err := g.Fetch(ctx, ""); done <- err }()
			select {
			case err := <-done:
				wantError(t, err, FetchFailed, f.URL)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the error is not a cancellation: %v", err)
				}
			case <-time.After(limit):
				t.Fatal("Fetch did not return when its context ended")
			}
			slow.Store(false)
			close(release)
			if got := mustFetch(t, g); got.Commit != hash {
				t.Errorf("after the cancellation: %s, want %s", got.Commit, hash)
			}
		})
	}
}

func TestRepositoryWithoutCommits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	g := newGit(t, Options{URL: s.startHTTP()})
	_, err := fetch(t, g, "")
	wantError(t, err, ContentRefused, "empty", "push a first commit")
	hash := s.seed()
	if got := mustFetch(t, g); got.Commit != hash {
		t.Errorf("got %s, want %s", got.Commit, hash)
	}
}

func TestRepositoryThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	url := strings.Replace(s.startHTTP(), "mesh.git", "none.git", 1)
	_, err := fetch(t, newGit(t, Options{URL: url}), "")
	wantError(t, err, FetchFailed, url, "does not exist")
}
