package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// canary is a word that no program would write by itself. Whatever a client can choose has it somewhere.
const canary = "Kanarienvogel"

// TestDrillCanary plants a word in everything that a client can choose, and looks for it where nothing of a client's may
// be readable: in the log, the keys and whatever else lies in the data folder beside the read models, and in what the
// server logs; before and after a kill, plain and in the usual disguises.
func TestDrillCanary(t *testing.T) {
	data := t.TempDir()
	s := startNode(t, data, withEnv("STRANDLINE_ROOT_KEY="+canary+"root", "STRANDLINE_ROOT_SECRET="+canary+"rootsecret"))
	plant(t, s)
	searchIn(t, s, "while it runs")
	s.kill()
	s = startNode(t, data)
	searchIn(t, s, "after a kill")
	s.stop(t)
	searchIn(t, s, "after a stop")
}

// plant sends the word in every field of every kind of request.
func plant(t *testing.T, s *server) {
	t.Helper()
	who := canary + "root:" + canary + "rootsecret"
	ask := func(method, path, body string) string {
		status, answer := s.as(t, who, method, path, body,
			"User-Agent", canary+"agent", "Strandline-Reason", canary+"reason", "Strandline-Api-Key", canary+"apikey",
			"Idempotency-Key", canary+method+path)
		if status >= 500 {
			t.Errorf("%s %s: %d %s", method, path, status, answer)
		}
		id, _ := createdID(answer) // of objects only
		return id
	}
	name := `{"name":"` + canary + `name"}`
	r := ask("POST", "/researcher", name)
	study := ask("POST", "/researcher/"+r+"/study", name)
	p := ask("POST", "/study/"+study+"/participant", `{"study_code":"`+canary+`code"}`)
	activity := ask("POST", "/study/"+study+"/activity",
		`{"spec":"`+canary+`spec","name":"`+canary+`name","category":["`+canary+`"],"settings":{"`+canary+`key":"`+canary+`"},"schedule":[{"time":"`+canary+`"}]}`)
	ask("PUT", "/activity/"+activity, `{"name":"`+canary+`other"}`)
	ask("POST", "/study/"+study+"/sensor", `{"spec":"`+canary+`spec","name":"`+canary+`name","settings":"`+canary+`"}`)
	ask("POST", "/activity_spec", `{"name":"`+canary+`.activity","description":"`+canary+`"}`)
	ask("PUT", "/activity_spec/"+canary+".activity", `{"description":"`+canary+`2"}`)
	ask("POST", "/sensor_spec", `{"name":"`+canary+`.sensor","settings_schema":{"`+canary+`":1}}`)
	ask("DELETE", "/sensor_spec/"+canary+".sensor", "")
	ask("POST", "/type/"+p+"/credential", `{"origin":"`+p+`","access_key":"`+canary+`key","secret_key":"`+canary+`secret","description":"`+canary+`"}`)
	ask("PUT", "/type/"+p+"/credential/"+canary+"key", `{"secret_key":"`+canary+`secret2"}`)
	ask("POST", "/participant/"+p+"/sensor_event", `{"timestamp":1,"sensor":"`+canary+`.series","data":{"`+canary+`":"`+canary+`"}}`)
	ask("POST", "/participant/"+p+"/sensor_event", `[`+strings.Repeat(`{"timestamp":2,"sensor":"`+canary+`.series","data":"`+canary+`"},`, 200)+`{"timestamp":3,"sensor":"x","data":0}]`)
	ask("POST", "/participant/"+p+"/activity_event",
		`{"timestamp":1,"duration":2,"activity":"`+canary+`","static_data":{"a":"`+canary+`"},"temporal_slices":[{"item":"`+canary+`","value":1,"type":"`+canary+`","duration":1,"level":1}]}`)
	ask("DELETE", "/participant/"+p+"/sensor_event?origin="+canary+".series&from=0&to=2", "")
	ask("PUT", "/type/"+p+"/attachment/"+canary+"key/me", `"`+canary+`value"`)
	ask("PUT", "/type/"+p+"/attachment/"+canary+"large/me", `"`+strings.Repeat(canary, 60_000)+`"`)
	ask("PUT", "/type/"+r+"/attachment/"+canary+"key/"+canary+"target", `1`)
	ask("PUT", "/type/"+p+"/attachment/"+canary+"key/me", `null`)
	ask("GET", "/participant/"+canary+"id", "")
	ask("GET", "/type/"+canary+"id/attachment/"+canary+"key?"+canary+"="+canary, "")
	ask("GET", "/"+canary+"path/"+canary, "")
	ask("GET", "/strandline/v1/"+canary+"?after="+canary, "")
	ask("GET", "/strandline/v1/events?after="+canary, "")
	ask("POST", "/strandline/v1/projections/"+canary+"/rebuild", "")
	ask("POST", "/researcher", `{"name":"`+canary)
	ask("DELETE", "/activity/"+activity, "")
	s.as(t, canary+"stranger:"+canary+"guess", "GET", "/researcher", "")
	s.as(t, canary+"key:"+canary+"secret2", "GET", "/participant/me", "")
	if _, answer := s.as(t, canary+"key:"+canary+"secret2", "GET", "/type/me/attachment/"+canary+"large", ""); !strings.Contains(answer, canary) {
		t.Error("the word was not planted: a tag with it cannot be read back")
	}
}

// searchIn looks for the word in the data folder, but for the read models, and in what the server has logged.
func searchIn(t *testing.T, s *server, when string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(s.data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry != nil && entry.Name() == "readmodels" {
				return fs.SkipDir
			}
			return err
		}
		files++
		if found := disguised(name); found != "" {
			t.Errorf("%s: a client's word is in the name %s, %s", when, name, found)
		}
		content, err := os.ReadFile(name)
		if found := disguised(string(content)); found != "" {
			t.Errorf("%s: a client's word is readable in %s, %s", when, name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 4 {
		t.Errorf("%s: only %d files were looked at", when, files)
	}
	if found := disguised(s.log.String()); found != "" {
		t.Errorf("%s: a client's word is in the server's log, %s:\n%s", when, found, s.log)
	}
}

// disguised says in which form text has the word, empty if it has it in none.
func disguised(text string) string {
	var wide bytes.Buffer
	for _, unit := range utf16.Encode([]rune(canary)) {
		wide.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	for form, word := range map[string]string{
		"plain": canary, "in lower case": strings.ToLower(canary), "in upper case": strings.ToUpper(canary),
		"in hexadecimal": hex.EncodeToString([]byte(canary)), "in UTF-16": wide.String(),
		"in base64":          base64.StdEncoding.EncodeToString([]byte(canary))[:16],
		"in base64, shifted": base64.StdEncoding.EncodeToString([]byte("x" + canary))[4:16],
	} {
		if strings.Contains(text, word) {
			return form
		}
	}
	return ""
}
