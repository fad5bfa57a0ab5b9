package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// fromDir reads a directory with the default limits.
func fromDir(dir string, limits Limits) (*Snapshot, error) {
	return FromDir(context.Background(), dir, limits)
}

// findings returns the messages of an error by file, with line and column if it has them.
func findings(err error) map[string]string {
	var fs manifest.Findings
	errors.As(err, &fs)
	got := map[string]string{}
	for _, f := range fs {
		at := f.File
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
		}
		got[at] = f.Message
	}
	return got
}

// rejections returns the messages of rejected entries, like findings.
func rejections(s *Snapshot) map[string]string {
	var all manifest.Findings
	for _, r := range s.Rejected {
		all = append(all, r.Finding)
	}
	return findings(all)
}

func TestRejectedContent(t *testing.T) {
	t.Parallel()
	big := make([]byte, 12_000_000)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		limits Limits
		make   func(t *testing.T, s *server)
		// whole: the whole commit is rejected.
		whole bool
		want  map[string][]string
	}{
		"Symlinks": {
			reason: "the error has every link and its target",
			make: func(t *testing.T, s *server) {
				for name, to := range map[string]string{"a.cue": "mesh.cue", "services/passwd": "/etc/passwd", "cycle": "."} {
					if err := os.Symlink(to, filepath.Join(s.clone, name)); err != nil {
						t.Fatal(err)
					}
				}
			},
			want: map[string][]string{
				"a.cue":           {`symbolic link to "mesh.cue"`, "commit a copy"},
				"services/passwd": {`"/etc/passwd"`},
				"cycle":           {"symbolic link"},
			},
		},
		"Submodules": {
			reason: "nested repositories in two places, and a link",
			make: func(t *testing.T, s *server) {
				for _, name := range []string{"lib", "services/lib"} {
					s.run("", "init", "-q", filepath.Join(s.clone, name))
					s.write(name+"/x.cue", "package x\n")
					s.run(filepath.Join(s.clone, name), "add", "-A")
					s.run(filepath.Join(s.clone, name), "commit", "-q", "-m", "x")
				}
				if err := os.Symlink("mesh.cue", filepath.Join(s.clone, "link")); err != nil {
					t.Fatal(err)
				}
			},
			want: map[string][]string{"lib": {"submodule", "commit the files themselves"}, "services/lib": {"submodule"}, "link": {"symbolic link"}},
		},
		"LargeFile": {
			reason: "path, size and limit",
			make:   func(t *testing.T, s *server) { s.write("services/dump.sql", string(big)) },
			want:   map[string][]string{"services/dump.sql": {"11.4 MiB", "4 MiB"}},
		},
		"LargeFilesAsDeltas": {
			reason: "Git sends one file as the delta of another",
			make: func(t *testing.T, s *server) {
				s.write("a.bin", string(big[:6<<20]))
				s.write("b.bin", string(big[:6<<20])+"and more")
				s.write("c.bin", string(big[:3<<20]))
			},
			want: map[string][]string{"a.bin": {"6 MiB"}, "b.bin": {"6.0 MiB"}},
		},
		"Total": {
			reason: "many small files", whole: true,
			limits: Limits{MaxTotalBytes: 1 << 20},
			make: func(t *testing.T, s *server) {
				for i := range 12 {
					s.write(fmt.Sprintf("x%02d", i), string(big[i*100_000:(i+1)*100_000]))
				}
			},
			want: map[string][]string{"x10": {"1 MiB"}},
		},
		"Count": {
			reason: "too many files", whole: true,
			limits: Limits{MaxFiles: 10},
			make: func(t *testing.T, s *server) {
				for i := range 12 {
					s.write(fmt.Sprintf("x%02d", i), "")
				}
			},
			want: map[string][]string{"x08": {"more than 10 files"}},
		},
		"NotUTF8": {
			reason: "the error has line, column and offset of the first invalid byte",
			make: func(t *testing.T, s *server) {
				s.write("services/latin.cue", "package config\n// caf\xe9 au lait\n// \xff\n")
				s.write("logo.png", "\x89PNG\xff")
			},
			want: map[string][]string{"services/latin.cue:2:7": {"not UTF-8", "0xe9", "offset 21"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.seed()
			tc.make(t, s)
			hash := s.push("main", "Bad content")
			g := newGit(t, Options{URL: s.startHTTP(), Limits: tc.limits})
			snapshot, fromGit := fetch(t, g, "")
			directory, fromDirectory := fromDir(s.clone, tc.limits)
			for where, read := range map[string]error{"commit": fromGit, "directory": fromDirectory} {
				got := findings(read)
				if tc.whole {
					wantError(t, read, ContentRefused)
				} else if read != nil {
					t.Fatalf("%s, %s: the whole commit is rejected: %v", where, tc.reason, read)
				}
				if !tc.whole {
					got = rejections(map[string]*Snapshot{"commit": snapshot, "directory": directory}[where])
				}
				if len(got) != len(tc.want) {
					t.Errorf("%s, %s: findings %v, want %d", where, tc.reason, got, len(tc.want))
				}
				for at, texts := range tc.want {
					for _, text := range texts {
						if !strings.Contains(got[at], text) {
							t.Errorf("%s, %s: finding for %s is %q, want %q in it; all: %v", where, tc.reason, at, got[at], text, got)
						}
					}
				}
			}
			packs := s.packs.Load()
			again, err := fetch(t, g, "")
			if tc.whole {
				if !strings.Contains(fromGit.Error(), hash) {
					t.Errorf("the error does not contain the commit: %v", fromGit)
				}
				wantRevision(t, fromGit, "main@sha1:"+hash, "")
				if err == nil || err.Error() != fromGit.Error() {
					t.Errorf("the second error differs: %v", err)
				}
			} else if d := cmp.Diff(snapshot, again); d != "" || len(snapshot.Files) < 2 || snapshot.Commit != hash {
				t.Errorf("other files are missing, or differ in a second fetch: %s", d)
			}
			if s.packs.Load() != packs {
				t.Error("a rejected commit was transferred again")
			}
			s.run(s.clone, "rm", "-rqf", "--cached", ".")
			s.run(s.clone, "reset", "-q", "--hard", "HEAD~1")
			s.run(s.clone, "clean", "-qffdx")
			fixed := s.push("main", "Fixed")
			if got := mustFetch(t, g); got.Commit != fixed {
				t.Errorf("after the fix: %s, want %s", got.Commit, fixed)
			}
		})
	}
}

// wantRevision checks the commit of an error, and the previous commit of a rewritten branch.
func wantRevision(t *testing.T, err error, revision, rewrittenFrom string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Revision != revision || e.RewrittenFrom != rewrittenFrom {
		t.Errorf("the error has revision %q, rewrittenFrom %q, want %q, %q: %v", e.Revision, e.RewrittenFrom, revision, rewrittenFrom, err)
	}
}

func TestRejectedCommitReportsRewrittenHistory(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	first := s.push("main", "First")
	s.write("mesh.cue", "package config\n// second\n")
	second := s.push("main", "Second")
	g := newGit(t, Options{URL: s.startHTTP(), Limits: Limits{MaxFiles: 4}})
	mustFetch(t, g)
	s.run(s.clone, "reset", "-q", "--hard", first)
	for i := range 4 {
		s.write(fmt.Sprintf("services/%d.cue", i), "package config\n")
	}
	bad := s.push("main", "Too much, and without the second")
	_, err := fetch(t, g, "")
	wantError(t, err, ContentRefused)
	wantRevision(t, err, "main@sha1:"+bad, second)
}

func TestEmptyTree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.push("main", "Nothing")
	_, err := fetch(t, newGit(t, Options{URL: s.startHTTP()}), "")
	wantError(t, err, ContentRefused, hash, "no files", "isthmus init")
	wantRevision(t, err, "main@sha1:"+hash, "")
	_, err = fromDir(t.TempDir(), Limits{})
	wantError(t, err, ContentRefused, "no files")
}

func TestRepositoryOverTheLimitOutsideThePath(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for i := range 30 {
		noise := make([]byte, 100_000)
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		s.write(fmt.Sprintf("other/%d", i), string(noise))
	}
	s.write("mesh/mesh.cue", "package config\n")
	large := s.push("main", "A large repository")
	url := s.startHTTP()
	g := newGit(t, Options{URL: url, Path: "mesh", Limits: Limits{MaxTotalBytes: 1 << 20}})
	_, err := fetch(t, g, "")
	wantError(t, err, ContentRefused, "outside the path", "2 MiB")
	wantRevision(t, err, "main@sha1:"+large, "")
	packs := s.packs.Load()
	_, err = fetch(t, g, "")
	wantError(t, err, ContentRefused, "outside the path", "2 MiB")
	if s.packs.Load() != packs {
		t.Error("a too large repository was transferred again")
	}
	mustFetch(t, newGit(t, Options{URL: url, Path: "mesh", Limits: Limits{MaxTotalBytes: 2 << 20}}))
	for i := range 30 {
		s.write(fmt.Sprintf("other/%d", i), fmt.Sprint(i, strings.Repeat(" ", 100_000)))
	}
	s.push("main", "Little on the wire, much in memory")
	_, err = fetch(t, newGit(t, Options{URL: url, Path: "mesh", Limits: Limits{MaxTotalBytes: 1 << 20}}), "")
	wantError(t, err, ContentRefused, "outside the path", "2 MiB")
	s.run(s.clone, "rm", "-rq", "other")
	small := s.push("main", "Remove large files")
	if got := mustFetch(t, g); got.Commit != small {
		t.Errorf("after removing the large files: %s, want %s", got.Commit, small)
	}
	s.run(s.clone, "reset", "-q", "--hard", "HEAD~1")
	s.push("main", "Large again")
	// Outside the path, files over the limit for one file are skipped and do not count.
	mustFetch(t, newGit(t, Options{URL: url, Path: "mesh", Limits: Limits{MaxTotalBytes: 1600 << 10, MaxFileBytes: 50_000}}))
}

func TestDirectoryEqualsCommit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.seed()
	s.write("cue.mod/module.cue", "module: \"example.com/mesh@v0\"\n")
	s.write("empty", "")
	s.write("binary", "\x00\xff\r\n")
	s.write(".github/workflows/vet.yaml", "on: push\n")
	s.write("names/with space ü.cue", "package config\n")
	if err := os.Chmod(filepath.Join(s.clone, "binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.push("main", "All sorts of files")
	commit := mustFetch(t, newGit(t, Options{URL: s.startHTTP()}))
	directory, err := fromDir(s.clone, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(commit.Files) != 7 {
		t.Errorf("%d files, want 7: %v", len(commit.Files), commit.Paths())
	}
	if diff := cmp.Diff(commit.Files, directory.Files); diff != "" {
		t.Errorf("files (-commit +directory):\n%s", diff)
	}
	if directory.Revision != "" || directory.Commit != "" {
		t.Errorf("a directory has revision %q, commit %q", directory.Revision, directory.Commit)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := FromDir(ctx, s.clone, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled FromDir returned %v", err)
	}
	_, err = fromDir(filepath.Join(s.clone, "none"), Limits{})
	wantError(t, err, ConfigurationInvalid, "none")
}

func TestDirectoryOmitsFilesIgnoredByGit(t *testing.T) {
	s := newServer(t)
	s.write("team/mesh/mesh.cue", "package config\n")
	s.write("team/mesh/services/a.cue", "package config\n")
	s.write("team/mesh/cue.mod/pkg/x/x.cue", "package x\n")
	s.write("team/mesh/cue.mod/pkg/y/y.cue", "package y\n")
	s.write("team/mesh/kept.log", "tracked, though ignored\n")
	s.write("team/mesh/important/only.tmp", "named by an exception\n")
	s.write(".gitignore", "*.log\n/team/mesh/build/\npkg/\n")
	s.write("team/.gitignore", "result\n# comment\n\n*.tmp\n")
	s.write("team/mesh/important/.gitignore", "!only.tmp\n")
	s.run(s.clone, "add", "-A")
	s.run(s.clone, "add", "-f", "team/mesh/kept.log", "team/mesh/cue.mod/pkg/x")
	s.push("main", "A repository with ignored files")
	s.write("team/mesh/new.log", "\n")
	s.write("team/mesh/build/big", strings.Repeat("x", 5<<20))
	s.write("team/mesh/services/x.tmp", "\n")
	for _, link := range []string{"team/mesh/result", "team/mesh/services/result", "team/mesh/build/link"} {
		if err := os.Symlink("/etc/passwd", filepath.Join(s.clone, link)); err != nil {
			t.Fatal(err)
		}
	}
	commit := mustFetch(t, newGit(t, Options{URL: s.startHTTP(), Path: "team/mesh"}))
	want := []string{"cue.mod/pkg/x/x.cue", "important/.gitignore", "important/only.tmp", "kept.log", "mesh.cue", "services/a.cue"}
	if diff := cmp.Diff(want, commit.Paths()); diff != "" {
		t.Fatalf("the commit has other files than this test needs (-want +got):\n%s", diff)
	}
	directory, err := fromDir(filepath.Join(s.clone, "team", "mesh"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commit.Files, directory.Files); diff != "" {
		t.Errorf("files (-commit +directory):\n%s", diff)
	}
	s.write("team/mesh/build/scratch/mesh.cue", "package config\n")
	if scratch, err := fromDir(filepath.Join(s.clone, "team", "mesh", "build", "scratch"), Limits{}); err != nil || len(scratch.Files) != 1 {
		t.Errorf("a mesh in an ignored folder: %v, %v", scratch, err)
	}
	t.Chdir(filepath.Join(s.clone, "team", "mesh"))
	if relative, err := fromDir(".", Limits{}); err != nil || !cmp.Equal(relative.Files, directory.Files) {
		t.Errorf("read as \".\": %v, %v", relative, err)
	}
}
