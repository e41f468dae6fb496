package readmodels

import (
	"errors"
	"iter"

	"strandline/domain"
	"strandline/readmodels/sqlite"
)

// Row is the present row of a query.
type Row = sqlite.Row

// Tx is a transaction on the file of a read model, of Update or of View. It ends with the function that it was given to,
// and begins with the first statement: a transaction that nobody uses costs nothing.
// Statements are prepared once for each connection and text, so their texts should be constants.
type Tx struct {
	conn  *sqlite.Conn
	begin string // the statement that begins it, empty once it has begun

	version int
}

// Version is that of the schema of the file: an earlier one than the program's while that one is being built.
func (tx *Tx) Version() int { return tx.version }

// Exec runs a statement that returns no rows. Arguments are nil, bool, int, int64, float64, string or []byte; a nil
// []byte is NULL.
func (tx *Tx) Exec(query string, args ...any) error {
	if err := tx.start(); err != nil {
		return err
	}
	return tx.conn.Exec(query, args...)
}

// Query yields the rows of a statement, with arguments as for Exec. After an error it ends.
func (tx *Tx) Query(query string, args ...any) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := tx.start(); err != nil {
			yield(Row{}, err)
			return
		}
		tx.conn.Query(query, args...)(yield)
	}
}

func (tx *Tx) start() error {
	if tx.begin == "" {
		return nil
	}
	begin := tx.begin
	tx.begin = ""
	return tx.conn.Exec(begin)
}

// Changes counts the rows that the last statement inserted, changed or deleted.
func (tx *Tx) Changes() int { return tx.conn.Changes() }

// ErrDamaged is for read models that find in their file what they cannot have written. It counts as damage.
var ErrDamaged = errors.New("the read model's file is damaged")

// IsDamage tells whether err says that the file is not, or not any more, a sound database.
func IsDamage(err error) bool { return errors.Is(err, ErrDamaged) || sqlite.IsDamage(err) }

// IsEnvironment tells whether err lies with the machine and not with what was asked: no space, a failed read or write, a
// damaged file. The same may succeed later.
func IsEnvironment(err error) bool { return IsDamage(err) || sqlite.IsEnvironment(err) }

// Parked is an event that a projection could not apply, kept until somebody looks into it.
type Parked struct {
	Position domain.Position
	Stream   string
	Type     string
	Reason   string
}

// Park writes down an event that could not be applied.
func (tx *Tx) Park(p Parked) error {
	return tx.Exec("INSERT INTO parked (position, stream, type, reason) VALUES (?, ?, ?, ?)",
		p.Position.String(), p.Stream, p.Type, p.Reason)
}

// Attempt runs write so that it leaves nothing behind if it fails, without ending the transaction.
func (tx *Tx) Attempt(write func() error) error {
	if err := tx.Exec("SAVEPOINT attempt"); err != nil {
		return err
	}
	failed := write()
	if failed != nil {
		if err := tx.Exec("ROLLBACK TO attempt"); err != nil {
			return err
		}
	}
	if err := tx.Exec("RELEASE attempt"); err != nil {
		return err
	}
	return failed
}
