package documents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"strandline/domain"
	"strandline/domain/attachment"
	"strandline/domain/registry"
	"strandline/readmodels"
)

// Add writes an object, in place of any of the same kind and id.
func Add(tx *readmodels.Tx, at domain.Position, revision uint64, e registry.Added) error {
	body, err := Body(e.Attributes)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO object (kind, id, parent, created, revised, revision, body) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET parent = excluded.parent, created = excluded.created, revised = excluded.revised,
		revision = excluded.revision, body = excluded.body`,
		string(e.Kind), e.ID, e.Parent, at.String(), at.String(), int64(revision), body)
}

// Revise merges attributes over those that the object has. An object that is not there stays so.
func Revise(tx *readmodels.Tx, at domain.Position, revision uint64, e registry.Revised) error {
	d, exists, err := get(tx, e.Kind, e.ID)
	if err != nil || !exists {
		return err
	}
	body, err := Merge(d.Body, e.Attributes)
	if err != nil {
		return fmt.Errorf("revise %s %s: %w", e.Kind, e.ID, err)
	}
	return tx.Exec("UPDATE object SET revised = ?, revision = ?, body = ? WHERE kind = ? AND id = ?",
		at.String(), int64(revision), body, string(e.Kind), e.ID)
}

// Remove forgets an object.
func Remove(tx *readmodels.Tx, e registry.Removed) error {
	return tx.Exec("DELETE FROM object WHERE kind = ? AND id = ?", string(e.Kind), e.ID)
}

// Attach writes an attachment, in place of any at the same place.
func Attach(tx *readmodels.Tx, at domain.Position, revision uint64, e attachment.Set) error {
	return tx.Exec(`INSERT INTO attachment (owner, target, key, position, revision, value) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET position = excluded.position, revision = excluded.revision, value = excluded.value`,
		e.Owner, e.Target, e.Key, at.String(), int64(revision), []byte(e.Value))
}

// Clear forgets an attachment.
func Clear(tx *readmodels.Tx, e attachment.Cleared) error {
	return tx.Exec("DELETE FROM attachment WHERE owner = ? AND target = ? AND key = ?", e.Owner, e.Target, e.Key)
}

// Merge returns body, which Body or Merge has made, with attributes over those that it has.
func Merge(body []byte, attributes registry.Attributes) ([]byte, error) {
	all := registry.Attributes{}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	maps.Copy(all, attributes)
	return Body(all)
}

// Body writes attributes as a JSON object, in the order of their names. json.Marshal is not used for the values,
// because it would escape characters in them that the client did not (decision 1).
func Body(attributes registry.Attributes) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(attributes)) {
		if i > 0 {
			b.WriteByte(',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		b.Write(quoted)
		b.WriteByte(':')
		b.Write(attributes[name])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
