package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// credential is what a principal signs in with, as credential files hold it: an access key with its secret, or an API key.
type credential struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Key       string `json:"key,omitempty"` // the text of an API key, as 'key create --json' prints it
}

// credentialFile is where the root credential of an empty data folder is put when nobody gave one.
const credentialFile = "root-credential.json"

// firstCredential decides on the root credential of an empty data folder: the one of the environment, else one kept in
// a file of the folder, which is made with a random secret. The secret is never printed or logged.
func firstCredential(dir string, env lookup) (credential, error) {
	given, err := environmentCredential(env, "STRANDLINE_ROOT_KEY", "STRANDLINE_ROOT_SECRET")
	if strings.Contains(given.AccessKey, ":") {
		return credential{}, exitWith(exitUsage, errors.New("STRANDLINE_ROOT_KEY has a colon, which ends an access key when it is sent: choose one without"))
	}
	if err != nil || given.AccessKey != "" {
		return given, err
	}
	name := filepath.Join(dir, credentialFile)
	kept, err := readCredential(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	made := credential{AccessKey: "admin", SecretKey: rand.Text() + rand.Text()}
	content, err := json.Marshal(made)
	if err != nil {
		return credential{}, err
	}
	return made, writeFile(name, append(content, '\n'), 0o600)
}

// environmentCredential reads a credential from two variables; the secret may stand in the file that the second's name
// with _FILE names. Neither is the zero credential, one without the other an error.
func environmentCredential(env lookup, keyName, secretName string) (credential, error) {
	key, _ := env(keyName)
	secret, err := environmentSecret(env, secretName)
	if err != nil {
		return credential{}, err
	}
	if (key == "") != (secret == "") {
		return credential{}, exitWith(exitUsage, fmt.Errorf("%s and %s (or %[2]s_FILE) go together: set both, or none", keyName, secretName))
	}
	return credential{AccessKey: key, SecretKey: secret}, nil
}

func environmentSecret(env lookup, name string) (string, error) {
	if secret, _ := env(name); secret != "" {
		return secret, nil
	}
	file, _ := env(name + "_FILE")
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", exitWith(exitUsage, fmt.Errorf("%s_FILE: %w", name, err))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// readCredential reads a credential file.
func readCredential(name string) (credential, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return credential{}, err
	}
	var c credential
	if err := json.Unmarshal(content, &c); err != nil || (c.AccessKey == "" || c.SecretKey == "") && c.Key == "" {
		return credential{}, fmt.Errorf(`%s is not a credential file: it should read {"access_key":"…","secret_key":"…"}, or {"key":"…"} with an API key`, name)
	}
	return c, nil
}
