package audit

import (
	"slices"

	"strandline/domain"
	"strandline/domain/access"
	"strandline/readmodels"
)

// Write adds an event to the record of its request, which the first event makes. What only one of the events knows (the
// sealed details, a count of rows) is taken from that one.
func Write(tx *readmodels.Tx, e domain.Recorded) error {
	request := e.Correlation
	if request.IsZero() {
		request = e.ID
	}
	d := domain.Request{}
	if e.Request != nil {
		d = *e.Request
	}
	outcome, code, rows := result(e)
	at, err := upsert(tx, `INSERT INTO request (request, time, actor, credential, api_key, dialect, command, address, agent, method,
		route, object, reason, status, subject, outcome, code, rows, events)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET
		command = coalesce(command, excluded.command), subject = coalesce(subject, excluded.subject),
		address = coalesce(address, excluded.address), agent = coalesce(agent, excluded.agent),
		method = coalesce(method, excluded.method), route = coalesce(route, excluded.route),
		object = coalesce(object, excluded.object), reason = coalesce(reason, excluded.reason),
		status = coalesce(excluded.status, status), code = coalesce(code, excluded.code),
		rows = coalesce(excluded.rows, rows), events = events || ' ' || excluded.events
		RETURNING number`,
		request[:], e.Time.UnixNano(), e.Actor, text(e.Credential), text(e.APIKey), e.Dialect, text(e.Command),
		text(d.Address), text(d.Agent), text(d.Method), text(d.Route), text(d.Object), text(d.Reason),
		number(d.Status), text(e.Subject), outcome, text(code), number(rows), e.Position.String())
	if err != nil {
		return err
	}
	return note(tx, at, e.Actor, e.Subject, d.Object)
}

// upsert runs a statement that returns one number.
func upsert(tx *readmodels.Tx, statement string, args ...any) (n int64, err error) {
	for row, err := range tx.Query(statement, args...) {
		if err != nil {
			return 0, err
		}
		n = row.Int64(0)
	}
	return n, nil
}

// note notes who is seen in the block of a record.
func note(tx *readmodels.Tx, number int64, who ...string) error {
	for i, one := range who {
		if one == "" || slices.Contains(who[:i], one) {
			continue
		}
		if err := tx.Exec("INSERT OR IGNORE INTO seen VALUES (?, ?)", number>>block, one); err != nil {
			return err
		}
	}
	return nil
}

// result is what an event says about the outcome of its request. The type alone tells, where the key is destroyed.
func result(e domain.Recorded) (outcome, code string, rows int) {
	switch event := e.Event.(type) {
	case access.Served:
		if event.Outcome != "" {
			return event.Outcome, "", event.Rows
		}
		return Served, "", event.Rows
	case access.Refused:
		return Refused, event.Code, 0
	case access.Ended:
		return Served, "", event.Rows
	case access.Flooded:
		return Flooded, "", event.Count
	}
	switch e.Type {
	case access.Served{}.EventType(), access.Ended{}.EventType():
		return Served, "", 0
	case access.Refused{}.EventType():
		return Refused, "", 0
	case access.Flooded{}.EventType():
		return Flooded, "", 0
	}
	return Done, "", 0
}

// text is s, or NULL if it is empty: a byte instead of a value.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// number is n, or NULL if it is 0.
func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}
