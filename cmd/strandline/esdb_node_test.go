package main_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestEventStoreNodeClient drives the door with EventStoreDB's unmodified client for Node, over TLS, and once more after
// the server has been killed.
func TestEventStoreNodeClient(t *testing.T) {
	client := installPackages(t, "esdb-client", "@eventstore/db-client")
	data, address := t.TempDir(), freeAddress(t)
	s := startNode(t, data, withArgs("--esdb-listen", address))
	study := newStudy(t, s, 1)
	if status, body := s.as(t, rootKey+":"+rootSecret, "POST", "/participant/"+study.participants[0]+"/credential",
		fmt.Sprintf(`{"origin":%q,"access_key":"p","secret_key":"sp","description":"x"}`, study.participants[0])); status != 200 {
		t.Fatalf("make a credential: %d %s", status, body)
	}
	driveEsdb(t, client, s, address, "live")
	s.kill()
	s = startNode(t, data, withArgs("--esdb-listen", address))
	driveEsdb(t, client, s, address, "look")
}

// driveEsdb runs a phase of the client's life.mjs.
func driveEsdb(t *testing.T, client string, s *server, address, phase string) {
	t.Helper()
	script := filepath.Join(client, "life.mjs") // beside node_modules, where its imports are looked for
	copyFile(t, filepath.Join("testdata", "esdb-client", "life.mjs"), script)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	node := exec.CommandContext(ctx, "node", script, phase)
	node.Env = append(os.Environ(), "SERVER="+address, "CA="+filepath.Join(s.data, "tls", "ca.pem"),
		"ROOT="+url.QueryEscape(rootKey)+":"+url.QueryEscape(rootSecret), "OTHER=p:sp")
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", phase, err, out, s.log)
	}
}
