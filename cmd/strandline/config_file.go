package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// largestFile bounds a file of settings. It is read as a tree of nodes, in which nothing refers to anything else, so that
// it takes memory in proportion.
const largestFile = 64 << 10

// fromFile fills the settings that neither a flag nor the environment has given from the file that --config names.
func fromFile(flags *pflag.FlagSet) error {
	name := flags.Lookup(configFlag).Value.String()
	if name == "" {
		return nil
	}
	content, err := readBounded(name)
	if err != nil {
		return fmt.Errorf("--%s: %w", configFlag, err)
	}
	return fillSettings(flags, name, content)
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err == nil && len(content) > largestFile {
		err = fmt.Errorf("%s has more than %d KiB, which no settings need", name, largestFile>>10)
	}
	return content, err
}

// fillSettings fills the settings from a file's content.
func fillSettings(flags *pflag.FlagSet, file string, content []byte) error {
	root, err := parse(file, content)
	if err != nil || root == nil {
		return err
	}
	first := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d", file, key.Line)
		f := flags.Lookup(key.Value)
		if f == nil || !isSetting(f) {
			return fmt.Errorf("%s: %s: there is no such setting%s", where, clipped(key.Value), suggestion(key.Value, settingsOf(flags)))
		}
		if line, twice := first[f.Name]; twice {
			return fmt.Errorf("%s: %s is set in line %d already", where, f.Name, line)
		}
		first[f.Name] = key.Line
		if err := fillOne(flags, f, where, value); err != nil {
			return err
		}
	}
	return nil
}

// fillOne gives one setting its value, unless a flag or the environment has done so. A wrong value is an error anyway.
func fillOne(flags *pflag.FlagSet, f *pflag.Flag, where string, value *yaml.Node) error {
	texts, ok := textsOf(f, value)
	if !ok {
		return fmt.Errorf("%s: %s: expected %s, and there is %s", where, f.Name, expected(f), described(f, value))
	}
	if f.Changed {
		return nil
	}
	if err := set(flags, f, byFile(where), texts...); err != nil {
		return fmt.Errorf("%s: %s: expected %s, and there is %s", where, f.Name, expected(f), described(f, value))
	}
	return nil
}

// parse reads a file as one mapping; nil if there is nothing in it.
func parse(file string, content []byte) (*yaml.Node, error) {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	err := documents.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = documents.Decode(&more); err == nil {
			return nil, fmt.Errorf("%s:%d: a second document begins: settings are one", file, more.Line)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, inLine(file, err)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected lines such as listen: 127.0.0.1:8080", file, root.Line)
	}
	return root, nil
}

// lineOf finds the line that an error of the YAML library speaks of.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func inLine(file string, err error) error {
	text := err.Error()
	found := lineOf.FindStringSubmatch(text)
	if found == nil {
		return fmt.Errorf("%s is not YAML: %w", file, err)
	}
	if found[1] != "" {
		file += ":" + found[1]
	}
	return fmt.Errorf("%s: this is not YAML: %s", file, text[len(found[0]):])
}

// textsOf is what a node says, as a flag would be given it; false if it is of another type than the setting.
func textsOf(f *pflag.Flag, n *yaml.Node) ([]string, bool) {
	if _, isList := f.Value.(pflag.SliceValue); isList && n.Kind == yaml.SequenceNode {
		texts := []string{}
		for _, entry := range n.Content {
			if entry.Kind != yaml.ScalarNode || entry.Tag == "!!null" {
				return nil, false
			}
			texts = append(texts, entry.Value)
		}
		return texts, true
	}
	if n.Kind != yaml.ScalarNode || !fits(kindOf(f), n.ShortTag()) {
		return nil, false
	}
	return []string{n.Value}, true
}

// fits tells whether a scalar with a tag is good for a kind of setting.
func fits(kind, tag string) bool {
	switch kind {
	case "bool":
		return tag == "!!bool"
	case "int":
		return tag == "!!int"
	case "float":
		return tag == "!!int" || tag == "!!float"
	}
	switch tag { // anything that is written as a word is a text
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		return true
	}
	return false
}

// kindOf is the type of a setting without the number of its bits.
func kindOf(f *pflag.Flag) string {
	switch kind := strings.TrimRight(f.Value.Type(), "0123456789"); kind {
	case "uint", "count":
		return "int"
	default:
		return kind
	}
}

// expected says what a setting takes.
func expected(f *pflag.Flag) string {
	if _, list := f.Value.(pflag.SliceValue); list {
		return "a list"
	}
	switch kindOf(f) {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "float":
		return "a number"
	case "duration":
		return "a duration such as 1m30s"
	}
	return "a text"
}

// described says what stands in the place of a value. Secrets are not repeated.
func described(f *pflag.Flag, n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "a reference, which settings have not"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	case isSecret(f):
		return "something else"
	}
	return fmt.Sprintf("%q", clipped(n.Value))
}

// clipped is a text at a length that fits into a message.
func clipped(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

func settingsOf(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if isSetting(f) {
			names = append(names, f.Name)
		}
	})
	return names
}
