package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// GitServer serves Git repositories over HTTP to this machine, for fetches and pushes. It must be
// stopped.
type GitServer struct {
	// URL is that of the folder of the repositories.
	URL string

	server *http.Server
	log    *os.File
}

// StartGit serves the repositories below root with `git http-backend`, the server that comes with
// git. Its errors are written to logFile.
func StartGit(ctx context.Context, root, logFile string) (*GitServer, error) {
	git, err := FindGit(ctx)
	if err != nil {
		return nil, err
	}
	file, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env: []string{
			"GIT_PROJECT_ROOT=" + root,
			"GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER=demo", // without a user there are no pushes
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		},
		Stderr: file, Logger: log.New(file, "", log.LstdFlags),
	}
	s := &GitServer{
		URL:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: withLength(backend), ReadHeaderTimeout: 10 * time.Second},
		log:    file,
	}
	go func() { _ = s.server.Serve(listener) }() // ends with Stop
	return s, nil
}

// withLength reads request bodies of unknown length first, because CGI does not support them. git
// sends such requests if they are larger than http.postBuffer (1 MiB).
func withLength(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		next.ServeHTTP(w, r)
	})
}

// Stop ends the server and its connections.
func (s *GitServer) Stop() error { return errors.Join(s.server.Close(), s.log.Close()) }

// FindGit returns the path of a git that has `git http-backend`.
func FindGit(ctx context.Context) (string, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return "", errors.New("git is not in PATH; it serves the repository")
	}
	folder, err := exec.CommandContext(ctx, git, "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("running %s --exec-path: %w", git, err)
	}
	if _, err := exec.LookPath(filepath.Join(strings.TrimSpace(string(folder)), "git-http-backend")); err != nil {
		return "", fmt.Errorf("git has no http-backend, which serves the repository (Alpine has it in the package git-daemon): %w", err)
	}
	return git, nil
}
