package lamp

import (
	"strandline/commands"
	"strandline/domain/registry"
	"strandline/transport/rest"
)

// add adds an object under the one that the path names, under a fresh id.
func (c *call) add(kind registry.Kind, attributes registry.Attributes) (id string, receipt commands.Receipt, err error) {
	id, err = rest.DrawFree(c.Bus.IDs(c.Meta), kind, func(id string) (err error) {
		receipt, err = c.carryOut(registry.Add{
			Key: id, Kind: kind, ID: id, Parent: c.object.ID, ParentKind: c.object.Kind, Attributes: attributes,
		})
		return err
	})
	return id, receipt, err
}
