package documents

import (
	"context"
	"errors"
	"io"

	"strandline/readmodels"
)

// Dump writes all objects by kind and id, then all attachments by owner, target and key, as JSON lines.
func (s *Store) Dump(ctx context.Context, w io.Writer) error {
	return s.db.View(ctx, func(tx *readmodels.Tx) error {
		return errors.Join(
			readmodels.DumpTable(tx, w, []string{"kind", "id", "parent", "created", "revised", "revision", "body"},
				"SELECT kind, id, parent, created, revised, revision, body FROM object ORDER BY kind, id"),
			readmodels.DumpTable(tx, w, []string{"owner", "target", "key", "position", "revision", "value"},
				"SELECT owner, target, key, position, revision, value FROM attachment ORDER BY owner, target, key"),
		)
	})
}
