package figure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Child is a child process of a benchmark. Its memory is measured without that of the benchmark.
type Child func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error

// Serve returns a child that decodes a JSON request from stdin and encodes the response on stdout.
func Serve[Request, Response any](serve func(ctx context.Context, request Request, log io.Writer) (Response, error)) Child {
	return func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
		var request Request
		if err := json.NewDecoder(stdin).Decode(&request); err != nil {
			return err
		}
		response, err := serve(ctx, request, stderr)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(response)
	}
}

// Ask runs this program as the named child with a request. stderr receives the log of the child.
func Ask[Request, Response any](ctx context.Context, child string, request Request, stderr io.Writer) (response Response, err error) {
	program, err := os.Executable()
	if err != nil {
		return response, err
	}
	input, err := json.Marshal(request)
	if err != nil {
		return response, err
	}
	cmd := exec.CommandContext(ctx, program, child)
	cmd.Env = append(os.Environ(), MemoryLimit)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), stderr
	output, err := cmd.Output()
	if err != nil {
		return response, fmt.Errorf("child process %s: %w", child, errors.Join(context.Cause(ctx), err))
	}
	err = json.Unmarshal(output, &response)
	return response, err
}

// MemoryLimit is the environment variable that config/manager sets for the controller.
const MemoryLimit = "GOMEMLIMIT=800MiB"
