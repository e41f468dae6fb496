package lamp

import (
	"errors"
	"net/http"

	"strandline/commands"
	"strandline/domain"
	"strandline/transport/rest"
)

// mayBeAgain tells whether the request can be the repetition of one that was carried out (decision 8). If what it names
// is not there, gone is set, and the command is not given to the bus but asked about.
func (c *call) mayBeAgain() bool {
	method := c.Request().Method
	return c.Meta.IdempotencyKey != "" && method != http.MethodGet && method != http.MethodHead
}

// carryOut gives a command to the bus. Where what it is about is gone, it finds out what came of it before.
func (c *call) carryOut(cmd domain.Command) (commands.Receipt, error) {
	if c.gone == nil {
		return c.Bus.Do(c.Lasting(), c.permit, c.Meta, cmd)
	}
	receipt, found, err := c.Bus.Earlier(c.Lasting(), c.Meta, cmd)
	if err == nil && !found {
		err = c.gone
	}
	c.told = err == nil
	return receipt, err
}

// again passes an answer on, unless what the request is about is gone: then only the repetition of a request that was
// carried out before is answered as it was then, and the same key with another request is told so.
func (c *call) again(answer rest.Answer, err error) (rest.Answer, error) {
	var mismatch *commands.IdempotencyMismatchError
	switch {
	case c.gone == nil, c.told, errors.As(err, &mismatch), errors.Is(err, domain.ErrUnavailable):
		return answer, err
	}
	return rest.Answer{}, c.gone
}
