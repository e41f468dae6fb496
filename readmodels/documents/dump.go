package documents

import (
	"errors"
	"io"

	"strandline/readmodels"
)

// Dump writes all objects by kind and id, then all attachments by owner, target and key, as JSON lines.
func Dump(tx *readmodels.Tx, w io.Writer) error {
	return errors.Join(
		readmodels.DumpTable(tx, w, []string{"kind", "id", "parent", "created", "revised", "revision", "body"},
			"SELECT kind, id, parent, created, revised, revision, body FROM object ORDER BY kind, id"),
		readmodels.DumpTable(tx, w, []string{"owner", "target", "key", "position", "revision", "value"},
			"SELECT owner, target, key, position, revision, value FROM attachment ORDER BY owner, target, key"),
	)
}
