package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// documents reads all YAML documents of a file.
func documentsIn(t *testing.T, name string) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var one map[string]any
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, one)
	}
}

// pinned is an image with a version of its own, not one that moves.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:(local|[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*)$`)

// served holds the arguments of a container against what `serve` takes.
func served(t *testing.T, where string, args []any) {
	t.Helper()
	if len(args) == 0 || args[0] != "serve" {
		t.Errorf("%s: runs %v, want serve", where, args)
		return
	}
	serve := newServe(streams{io.Discard, io.Discard})
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg.(string), "--"), "=")
		f := serve.Flags().Lookup(name)
		if f == nil {
			t.Errorf("%s: serve has no flag --%s", where, name)
			continue
		}
		if err := f.Value.Set(value); err != nil {
			t.Errorf("%s: --%s: %v", where, name, err)
		}
	}
}

// TestCompose holds docker-compose.yml against what it may name: pinned images, health checks, volumes and secrets that are
// declared, and flags that there are.
func TestCompose(t *testing.T) {
	file := documentsIn(t, "../../docker-compose.yml")[0]
	declared := func(kind, name string) {
		if _, ok := file[kind].(map[string]any)[name]; !ok {
			t.Errorf("%s %q is not declared", kind, name)
		}
	}
	services := file["services"].(map[string]any)
	for name, v := range services {
		s := v.(map[string]any)
		if image, _ := s["image"].(string); !pinned.MatchString(image) {
			t.Errorf("%s: image %q is not pinned", name, image)
		}
		if s["healthcheck"] == nil {
			t.Errorf("%s has no health check", name)
		}
		for on := range orNone(s["depends_on"]) {
			if services[on] == nil {
				t.Errorf("%s depends on %s, which is not there", name, on)
			}
		}
		volumes, _ := s["volumes"].([]any)
		for _, volume := range volumes {
			from, _, _ := strings.Cut(volume.(string), ":")
			declared("volumes", from)
		}
		secrets, _ := s["secrets"].([]any)
		for _, secret := range secrets {
			declared("secrets", secret.(string))
		}
	}
	roles := map[string]int{}
	for name, v := range services {
		args, ours := v.(map[string]any)["command"].([]any)
		if !ours || v.(map[string]any)["image"] != "strandline:local" {
			continue
		}
		served(t, "docker-compose.yml, "+name, args)
		does, err := rolesOf(args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, role := range does {
			roles[role]++
		}
	}
	if roles[roleAPI] < 2 || roles[roleRelay] == 0 || roles[roleProject] == 0 {
		t.Errorf("the processes have the roles %v", roles)
	}
}

// rolesOf are the roles of a process with some arguments, if it can have them.
func rolesOf(args []any) (duties, error) {
	var o serve
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	o.flags(flags)
	var words []string
	for _, arg := range args[1:] {
		words = append(words, arg.(string))
	}
	if err := flags.Parse(words); err != nil {
		return nil, err
	}
	return o.does(slog.New(slog.DiscardHandler))
}

func orNone(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// TestKubernetes holds the manifests against what Kubernetes needs of them.
func TestKubernetes(t *testing.T) {
	kinds := map[string]map[string]any{}
	for _, d := range documentsIn(t, "../deploy/kubernetes.yaml") {
		kind, _ := d["kind"].(string)
		if d["apiVersion"] == nil || orNone(d["metadata"])["name"] == nil || d["spec"] == nil {
			t.Errorf("%s lacks apiVersion, name or spec", kind)
		}
		kinds[kind] = d
	}
	spec := orNone(kinds["StatefulSet"]["spec"])
	labels := orNone(orNone(orNone(spec["template"])["metadata"])["labels"])
	for _, selector := range []map[string]any{orNone(orNone(spec["selector"])["matchLabels"]), orNone(orNone(kinds["Service"]["spec"])["selector"])} {
		if len(selector) == 0 || selector["app"] != labels["app"] {
			t.Errorf("selector %v does not find %v", selector, labels)
		}
	}
	pod := orNone(orNone(spec["template"])["spec"])
	container := pod["containers"].([]any)[0].(map[string]any)
	if image, _ := container["image"].(string); !pinned.MatchString(image) || strings.HasSuffix(image, ":local") {
		t.Errorf("image %q is not pinned", image)
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if container[probe] == nil {
			t.Errorf("there is no %s", probe)
		}
	}
	served(t, "kubernetes.yaml", container["args"].([]any))
}

// TestDockerfile holds the image's command against what `serve` takes.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var args []any
	for _, line := range strings.Split(string(text), "\n") {
		if list, ok := strings.CutPrefix(line, "CMD "); ok {
			if err := yaml.Unmarshal([]byte(list), &args); err != nil {
				t.Fatal(err)
			}
		}
	}
	var joined []any
	for i := 0; i < len(args); i++ {
		if name, ok := args[i].(string); ok && strings.HasPrefix(name, "--") && i+1 < len(args) {
			joined = append(joined, name+"="+args[i+1].(string))
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	served(t, "Dockerfile", joined)
	if !strings.Contains(string(text), "FROM scratch") || !strings.Contains(string(text), "USER 65532") {
		t.Error("the image is not from scratch, or runs as root")
	}
}
