package main_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"strandline/readmodels/documents/couch/pouchtest"
)

// gets asks for every document in every way there is, and returns status, entity tag and body by what was asked.
func gets(t *testing.T, s *server, made study) map[string]string {
	t.Helper()
	all := map[string]string{}
	get := func(path string) {
		t.Helper()
		status, body, header, err := s.try(root, "GET", path, "")
		if err != nil {
			t.Fatal(err)
		}
		tag := header.Get("ETag")
		all[path] = fmt.Sprint(status, tag, body)
		if tag != "" {
			status, _, _, err := s.try(root, "GET", path, "", "If-None-Match", tag)
			all[path+", unless it is the same"] = fmt.Sprint(status, err)
		}
	}
	for _, kind := range []string{"researcher", "study", "participant", "activity", "sensor"} {
		get("/" + kind)
		get("/strandline/v1/documents/" + kind)
		get("/strandline/v1/documents/" + kind + "?limit=1")
		get("/study/" + made.id + "/" + kind)
		get("/researcher/" + made.researcher + "/" + kind)
		get("/participant/" + made.participants[0] + "/" + kind)
	}
	for _, id := range []string{"researcher/" + made.researcher, "study/" + made.id, "participant/" + made.participants[0]} {
		_, bare, _ := strings.Cut(id, "/")
		get("/" + id)
		get("/strandline/v1/documents/" + id)
		get("/type/" + bare + "/attachment")
		for _, name := range append(strangeNames, "large", "gone", "none") {
			get("/type/" + bare + "/attachment/" + url.PathEscape(name))
		}
	}
	for _, path := range []string{"/researcher/" + made.researcher + "/_lookup/participant", "/researcher/" + made.researcher + "/_lookup/activity",
		"/activity_spec", "/sensor_spec", "/sensor_spec/lamp.steps", "/activity_spec/" + url.PathEscape(strangeSpec)} {
		get(path)
	}
	return all
}

// strangeNames are names of attachments, as clients may choose them.
var strangeNames = []string{"drill", "_id", "_design", "a.b", "é漢\U0001f600", "a b+c,d", strings.Repeat("x", 250), "to"}

const strangeSpec = "_y é,-~"

// fillDocuments makes a study with documents of all kinds, some of them strange.
func fillDocuments(t *testing.T, s *server) study {
	t.Helper()
	made := newStudy(t, s, 2)
	must := func(method, path, body string) {
		t.Helper()
		if status, answer := s.as(t, root, method, path, body); status != 200 {
			t.Fatalf("%s %.80s: %d %s", method, path, status, answer)
		}
	}
	activity := s.create(t, "/study/"+made.id+"/activity", `{"name":"a","spec":"lamp.survey","settings":{"_id":1.50,"z":"\u0000<é>","deep":`+
		strings.Repeat("[", 40)+strings.Repeat("]", 40)+`},"schedule":[]}`)
	s.create(t, "/study/"+made.id+"/sensor", `{"name":"s","spec":"lamp.steps","settings":{}}`)
	must("PUT", "/activity/"+activity, `{"name":"b"}`)
	must("POST", "/activity_spec", `{"name":"`+strangeSpec+`","settings_schema":{"a":1}}`)
	for i, name := range strangeNames {
		must("PUT", "/type/"+made.participants[0]+"/attachment/"+url.PathEscape(name)+"/me", fmt.Sprintf(`{"_rev":%d.0}`, i))
		must("PUT", "/type/"+made.id+"/attachment/"+url.PathEscape(name)+"/"+made.participants[0], `"`+strings.Repeat("long é ", 10_000)+`"`)
	}
	must("PUT", "/type/"+made.researcher+"/attachment/large/me", `"`+strings.Repeat("0123456789abcdef", 2<<16)+`"`)
	must("PUT", "/type/"+made.researcher+"/attachment/gone/me", `1`)
	must("PUT", "/type/"+made.researcher+"/attachment/gone/me", `null`)
	return made
}

// TestCouchDB has every route answer from CouchDB as it does from the data folder, with the password in a file, and
// commands for stopped servers find what is there.
func TestCouchDB(t *testing.T) {
	couch := pouchtest.InMemory(t)
	data, secret := t.TempDir(), filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(pouchtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startNode(t, data, withEnv("STRANDLINE_COUCHDB=http://"+pouchtest.User+"@"+couch.Address+"/strandline", "STRANDLINE_COUCHDB_PASSWORD_FILE="+secret))
	made := fillDocuments(t, s)
	s.changesIfMatch(t, "/strandline/v1/documents/study/"+made.id)
	elsewhere := gets(t, s, made)
	if code := s.stop(t); code != 0 || strings.Contains(s.log.String(), pouchtest.Password) {
		t.Errorf("stopped with %d; the log says\n%s", code, s.log)
	}
	if files, _ := filepath.Glob(filepath.Join(data, "readmodels", "documents*")); len(files) > 0 {
		t.Errorf("the data folder holds documents, too: %v", files)
	}
	examineStopped(t, data, couch.URL("strandline"))
	s = startNode(t, data)
	here := gets(t, s, made)
	for path, want := range here {
		if got := elsewhere[path]; got != want {
			t.Errorf("GET %s\nfrom CouchDB:  %.300s\nfrom a folder: %.300s", path, got, want)
		}
	}
	s.stop(t)
	t.Logf("%d answers are those from the data folder", len(here))
}

// changesIfMatch changes a document that is the same as before, and not one that is not.
func (s *server) changesIfMatch(t *testing.T, path string) {
	t.Helper()
	_, _, header, err := s.try(root, "GET", path, "")
	tag := header.Get("ETag")
	if err != nil || tag == "" {
		t.Fatalf("GET %s: no ETag, %v", path, err)
	}
	for _, want := range []int{200, 412} {
		if status, answer := s.as(t, root, "PUT", path, `{"name":"changed"}`, "If-Match", tag); status != want {
			t.Errorf("PUT %s with the ETag: %d %s, want %d", path, status, answer, want)
		}
	}
}

// projected is a projection as it is listed.
type projected struct {
	Name       string
	Checkpoint string
	Lag        uint64 `json:"lag_events"`
	Stalled    string
}

// examineStopped lists, rebuilds and dumps the documents of a stopped server in CouchDB.
func examineStopped(t *testing.T, data, couch string) {
	t.Helper()
	project := func(args ...string) string {
		t.Helper()
		out, messages, code := command(t, append(append([]string{"projection"}, args...), "--data", data, "--couchdb", couch)...)
		if code != 0 || strings.Contains(messages, pouchtest.Password) {
			t.Fatalf("projection %s: %d %s", args, code, messages)
		}
		return out
	}
	kept := project("dump", "documents")
	var listed []projected
	err := json.Unmarshal([]byte(project("list", "--json")), &listed)
	if err != nil || len(listed) != 4 || listed[2].Name != "documents" || listed[2].Lag != 0 || listed[2].Checkpoint != listed[3].Checkpoint {
		t.Errorf("projection list: %+v, %v", listed, err)
	}
	project("rebuild", "documents")
	if again := project("dump", "documents"); again != kept || kept == "" {
		t.Errorf("after a rebuild documents are another %d bytes than %d before", len(again), len(kept))
	}
	if out, _, _ := command(t, "doctor", "--data", data, "--couchdb", couch); !strings.Contains(out, "checked  documents in CouchDB, up to position "+listed[2].Checkpoint+"\n") ||
		strings.Contains(out, pouchtest.Password) {
		t.Errorf("doctor says\n%s", out)
	}
	out, messages, code := command(t, "projection", "dump", "documents", "--data", data)
	if code != 0 || out != kept {
		t.Errorf("CouchDB holds %d bytes, and the log makes %d of it: %s", len(kept), len(out), messages)
	}
}

// TestDrillCouchDB kills and stops CouchDB and kills the server under load, again and again. Whatever was answered is found
// again, once, and CouchDB holds what the log makes of it.
func TestDrillCouchDB(t *testing.T) {
	couch := pouchtest.OnDisk(t)
	data := t.TempDir()
	flags := withArgs("--couchdb", couch.URL("drill"))
	s := startNode(t, data, flags)
	made := newStudy(t, s, 4)
	var promised promises
	moment, away := time.Duration(pick(400, 10_000))*time.Millisecond, int64(0)
	loaded := func(disturb func()) {
		var group sync.WaitGroup
		for i, p := range made.participants {
			group.Go(func() { promised.load(s, i, p) })
		}
		time.Sleep(moment)
		disturb()
		time.Sleep(moment)
		s.kill()
		group.Wait()
		s = startNode(t, data, flags)
	}
	for range pick(2, 20) {
		loaded(func() {
			couch.Kill()
			before := promised.next.Load()
			time.Sleep(2 * moment)
			away += promised.next.Load() - before
			couch.Start(t)
		})
		loaded(func() {
			goOn := couch.Pause()
			time.Sleep(moment)
			goOn()
		})
	}
	if away == 0 {
		t.Error("nothing was written while CouchDB was away")
	}
	s.caughtUp(t, "documents")
	promised.checkPlans(t, s)
	promised.checkAll(t, s, made)
	if code := s.stop(t); code != 0 {
		t.Errorf("stopped with %d: %s", code, s.log)
	}
	examineStopped(t, data, couch.URL("drill"))
	t.Logf("%d events, %d researchers and %d tags answered, all found; %d requests while CouchDB was away",
		promised.count(), len(promised.researchers), promised.tags.Load(), away)
}

// TestCouchDBAway starts a server whose CouchDB is nowhere: what needs no documents is served, what does is told to come
// back later, and once CouchDB is there all is.
func TestCouchDBAway(t *testing.T) {
	couch := pouchtest.InMemory(t)
	couch.Kill()
	s := startNode(t, t.TempDir(), withArgs("--couchdb", couch.URL("late")))
	made := newStudy(t, s, 1)
	began := time.Now()
	if status, answer := s.as(t, root, "POST", "/participant/"+made.participants[0]+"/sensor_event", reading(5)); status != 200 {
		t.Errorf("POST sensor_event: %d %s", status, answer)
	}
	if times := s.times(t, made.participants[0]); times[5] != 1 {
		t.Errorf("samples are %v", times)
	}
	for _, path := range []string{"/study/" + made.id, "/strandline/v1/documents/study/" + made.id, "/type/" + made.id + "/attachment"} {
		if status, answer := s.as(t, root, "GET", path, ""); status != 503 || strings.Contains(answer, pouchtest.Password) {
			t.Errorf("GET %s: %d %s, want 503", path, status, answer)
		}
	}
	if out, _, code := command(t, "doctor", "--data", s.data, "--couchdb", couch.URL("late")); code != 1 || !strings.Contains(out, "documents cannot be kept: ") || strings.Contains(out, pouchtest.Password) {
		t.Errorf("doctor: %d\n%s", code, out)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("this took %s", took)
	}
	status, answer := s.as(t, "", "GET", "/readyz", "")
	if status != 503 || !strings.Contains(answer, `"part":"documents"`) || !strings.Contains(answer, "CouchDB: connection refused") {
		t.Errorf("/readyz: %d %s; want that CouchDB is away", status, answer)
	}
	couch.Start(t)
	s.caughtUp(t, "documents")
	if status, answer := s.as(t, root, "GET", "/study/"+made.id, ""); status != 200 || !strings.Contains(answer, `"drill"`) {
		t.Errorf("GET /study once CouchDB is there: %d %s", status, answer)
	}
	if status, answer := s.as(t, "", "GET", "/readyz", ""); status != 200 {
		t.Errorf("/readyz: %d %s", status, answer)
	}
	if code := s.stop(t); code != 0 || strings.Contains(s.log.String(), pouchtest.Password) || !strings.Contains(s.log.String(), "CouchDB") {
		t.Errorf("stopped with %d; the log says\n%s", code, s.log)
	}
}

// TestCouchDBAddress has the password shown to nobody, and what is no address refused without repeating it.
func TestCouchDBAddress(t *testing.T) {
	out, _, code := command(t, "config", "print", "--couchdb", "http://u:pass-word@127.0.0.1:5984/p")
	if code != 0 || strings.Contains(out, "pass-word") || !strings.Contains(out, "http://u:********@127.0.0.1:5984/p") {
		t.Errorf("config print: %d %s", code, out)
	}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("pass-word"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--couchdb", "redis://u:pass-word@127.0.0.1:1/p"}, {"--couchdb", "http://u:pass-word@127.0.0.1:1"}, {"--couchdb", "http://u:pass-word@127.0.0.1:1/UP"},
		{"--couchdb", "http://u:pass-word@127.0.0.1:1/p", "--couchdb-password-file", secret},
		{"--couchdb", "http://127.0.0.1:1/p", "--couchdb-password-file", secret},
		{"--couchdb", "http://u@127.0.0.1:1/p", "--couchdb-password", "pass-word"},
	} {
		_, messages, code := command(t, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, args...)...)
		if code != 2 || strings.Contains(messages, "pass-word") || !strings.Contains(messages, "ouchdb") && !strings.Contains(messages, "COUCHDB") {
			t.Errorf("serve %s: %d %s", args, code, messages)
		}
	}
}
