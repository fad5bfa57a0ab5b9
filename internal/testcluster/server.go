package testcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// startTimeout is generous: on two busy cores an API server has taken 20 seconds to be ready.
const startTimeout = 2 * time.Minute

// errEnded is returned if a server ends instead of getting ready.
var errEnded = errors.New("the process has ended")

// Server is etcd or a kube-apiserver. It keeps its address, data and keys when it is started again.
type Server struct {
	path, log         string
	args, environment []string
	// ready returns nil if the server answers.
	ready   func(context.Context) error
	process *Process
}

// Start starts the process and waits until it answers. The server must not run.
func (s *Server) Start(ctx context.Context) error {
	process, err := StartProcess(s.path, s.args, s.environment, s.log)
	if err != nil {
		return err
	}
	s.process = process
	var last error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := process.Err(); err != nil {
			return false, fmt.Errorf("%w: %w", errEnded, err)
		}
		last = s.ready(ctx)
		return last == nil, nil
	})
	if err != nil {
		err = fmt.Errorf("starting %s: %w\n%s", s.path, errors.Join(err, last), process.LogTail())
		return errors.Join(err, process.Kill())
	}
	return nil
}

// Kill ends the process at once, and returns when it has ended.
func (s *Server) Kill() error { return s.process.Kill() }

// start starts a server at a free port of the loopback interface. It tries again if the server
// ends, because another process may have taken the port.
func start(ctx context.Context, configure func(address string) (*Server, error)) (*Server, error) {
	var errs []error
	for range 3 {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		server, err := configure(address)
		if err != nil {
			return nil, err
		}
		if err = server.Start(ctx); err == nil {
			return server, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, errEnded) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
