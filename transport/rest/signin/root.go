package signin

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"strandline/commands"
	"strandline/domain/account"
	"strandline/transport/rest"
)

// CredentialID is the id of the credential with an access key: the keyed hash of it, so that the name of its stream
// gives nothing away.
func CredentialID(keys rest.Hasher, accessKey string) string {
	sum := keys.Hash("access-key", accessKey)
	return hex.EncodeToString(sum[:])
}

// Root makes a credential of the installation itself, as the system. It is for an installation that has none yet;
// a live credential with the access key is the error of account.
func Root(ctx context.Context, bus *commands.Bus, keys rest.Hasher, meta commands.Meta, accessKey, secret string) (commands.Receipt, error) {
	return bus.Do(ctx, bus.System(), meta, account.Issue{
		ID:          CredentialID(keys, accessKey),
		AccessKey:   accessKey,
		SecretHash:  Hash(secret),
		Description: json.RawMessage(`"System Administrator Credential"`),
	})
}
