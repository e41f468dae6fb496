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

// manifests are the documents of a file, by kind and name, each with what Kubernetes needs of all.
func manifests(t *testing.T, name string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, d := range documentsIn(t, name) {
		kind, _ := d["kind"].(string)
		named, _ := orNone(d["metadata"])["name"].(string)
		if d["apiVersion"] == nil || kind == "" || named == "" || d["spec"] == nil && d["data"] == nil {
			t.Errorf("%s: %s %s lacks apiVersion, kind, name or content", name, kind, named)
		}
		all[kind+" "+named] = d
	}
	return all
}

// workload holds what runs pods against what Kubernetes and the server need, and returns the arguments of its container.
func workload(t *testing.T, where string, d map[string]any) []any {
	t.Helper()
	spec := orNone(d["spec"])
	template := orNone(spec["template"])
	labels := orNone(orNone(template["metadata"])["labels"])
	selector := orNone(orNone(spec["selector"])["matchLabels"])
	if len(selector) == 0 || !within(selector, labels) {
		t.Errorf("%s: selector %v does not find %v", where, selector, labels)
	}
	pod := orNone(template["spec"])
	container := pod["containers"].([]any)[0].(map[string]any)
	if image, _ := container["image"].(string); !pinned.MatchString(image) || strings.HasSuffix(image, ":local") {
		t.Errorf("%s: image %q is not pinned", where, image)
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if container[probe] == nil {
			t.Errorf("%s: there is no %s", where, probe)
		}
	}
	volumes := map[any]bool{}
	for _, v := range listOf(pod["volumes"]) {
		volumes[orNone(v)["name"]] = true
	}
	for _, v := range listOf(spec["volumeClaimTemplates"]) {
		volumes[orNone(orNone(v)["metadata"])["name"]] = true
	}
	for _, mount := range listOf(container["volumeMounts"]) {
		if name := orNone(mount)["name"]; !volumes[name] {
			t.Errorf("%s: volume %v is not declared", where, name)
		}
	}
	args := listOf(container["args"])
	served(t, where, args)
	return args
}

func listOf(v any) []any {
	l, _ := v.([]any)
	return l
}

// within tells whether labels has all that selector asks for.
func within(selector, labels map[string]any) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// TestKubernetes holds the manifests of one node against what Kubernetes needs of them.
func TestKubernetes(t *testing.T) {
	all := manifests(t, "../deploy/kubernetes.yaml")
	set := all["StatefulSet strandline"]
	workload(t, "kubernetes.yaml", set)
	labels := orNone(orNone(orNone(orNone(set["spec"])["template"])["metadata"])["labels"])
	if selector := orNone(orNone(all["Service strandline"]["spec"])["selector"]); len(selector) == 0 || !within(selector, labels) {
		t.Errorf("the service selects %v, and the pods are %v", selector, labels)
	}
}

// TestKubernetesByRole holds the manifests of many processes against what Kubernetes and each role need.
func TestKubernetesByRole(t *testing.T) {
	const file = "kubernetes-roles.yaml"
	all := manifests(t, "../deploy/"+file)
	settings := orNone(all["ConfigMap strandline"]["data"])
	replicas := map[string]any{}
	for name, d := range all {
		kind, _, _ := strings.Cut(name, " ")
		if kind != "StatefulSet" && kind != "Deployment" {
			continue
		}
		args := workload(t, file+", "+name, d)
		container := listOf(orNone(orNone(orNone(d["spec"])["template"])["spec"])["containers"])[0]
		if orNone(container)["envFrom"] != nil {
			for variable, value := range settings {
				flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, environmentPrefix)), "_", "-")
				args = append(args, "--"+flag+"="+value.(string))
			}
			served(t, file+", ConfigMap for "+name, args)
		}
		does, err := rolesOf(args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, role := range does {
			replicas[role] = orNone(d["spec"])["replicas"]
		}
		if selector := orNone(orNone(all["Service strandline"]["spec"])["selector"]); does.has(roleAPI) !=
			within(selector, orNone(orNone(orNone(orNone(d["spec"])["template"])["metadata"])["labels"])) {
			t.Errorf("the service selects %v", selector)
		}
	}
	for _, role := range []string{roleAPI, roleProject, roleRelay} {
		if replicas[role] != 2 {
			t.Errorf("%v processes have the role %s, want 2", replicas[role], role)
		}
	}
	if modes := listOf(orNone(all["PersistentVolumeClaim strandline-keys"]["spec"])["accessModes"]); len(modes) != 1 || modes[0] != "ReadWriteMany" {
		t.Errorf("the keys are shared by %v", modes)
	}
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
