package testcluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
)

// startEtcd starts etcd with its data in the folder, and returns its URL.
func startEtcd(ctx context.Context, assets, folder string) (etcd *Server, url string, err error) {
	etcd, err = start(ctx, func(address string) (*Server, error) {
		url = "http://" + address
		name := filepath.Base(folder)
		return &Server{
			path: filepath.Join(assets, "etcd"),
			args: []string{
				"--name=" + name,
				"--data-dir=" + filepath.Join(folder, "etcd"),
				"--listen-client-urls=" + url,
				"--advertise-client-urls=" + url,
				"--listen-peer-urls=http://127.0.0.1:0",
				"--unsafe-no-fsync=true", // the data does not outlast this process
			},
			log:   filepath.Join(folder, "etcd.log"),
			ready: func(ctx context.Context) error { return etcdReady(ctx, url, name) },
		}, nil
	})
	return etcd, url, err
}

// etcdReady asks for the members, so that another etcd at this port is not mistaken for ours.
func etcdReady(ctx context.Context, url, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/cluster/member/list", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	body, err := answer(http.DefaultClient, request)
	if err == nil && !strings.Contains(body, fmt.Sprintf("%q", name)) {
		err = fmt.Errorf("the etcd at %s is another one: %s", url, body)
	}
	return err
}

// answer returns the body of a successful response.
func answer(client *http.Client, request *http.Request) (string, error) {
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", request.URL, response.Status, body)
	}
	return string(body), err
}
