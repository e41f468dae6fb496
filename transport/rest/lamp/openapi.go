package lamp

import (
	"encoding/json"
	"regexp"
	"strings"

	"strandline/transport/rest"
)

// viewAPI shows the OpenAPI document, without an envelope (contract, section 8.3).
func viewAPI(c *call) (rest.Answer, error) {
	return rest.Answer{Status: 200, Body: c.about}, nil
}

// Of OpenAPI 3, no more than the document uses.
type (
	apiDocument struct {
		OpenAPI    string                             `json:"openapi"`
		Info       map[string]string                  `json:"info"`
		Paths      map[string]map[string]apiOperation `json:"paths"`
		Components map[string]any                     `json:"components"`
		Security   []map[string][]string              `json:"security"`
	}
	apiOperation struct {
		OperationID string                 `json:"operationId"`
		Parameters  []apiParameter         `json:"parameters,omitempty"`
		Body        *apiContent            `json:"requestBody,omitempty"`
		Responses   map[string]apiContent  `json:"responses"`
		Security    *[]map[string][]string `json:"security,omitempty"`
	}
	apiParameter struct {
		Name     string         `json:"name"`
		In       string         `json:"in"`
		Required bool           `json:"required,omitempty"`
		Schema   map[string]any `json:"schema"`
	}
	apiContent struct {
		Description string         `json:"description,omitempty"`
		Content     map[string]any `json:"content,omitempty"`
	}
)

// describe writes the OpenAPI document of the routes.
func describe(routes []*route) []byte {
	paths := map[string]map[string]apiOperation{}
	for _, r := range routes {
		path := r.template()
		if paths[path] == nil {
			paths[path] = map[string]apiOperation{}
		}
		paths[path][strings.ToLower(r.method)] = r.operation()
	}
	document, err := json.Marshal(apiDocument{
		OpenAPI: "3.0.3",
		Info:    map[string]string{"title": "LAMP protocol of Strandline", "version": "1.0.0"},
		Paths:   paths,
		Components: map[string]any{"securitySchemes": map[string]any{
			"Authorization": map[string]string{"type": "http", "scheme": "basic"},
		}},
		Security: []map[string][]string{{"Authorization": {}}},
	})
	if err != nil {
		panic(err) // strings and maps of strings always have a JSON form
	}
	return document
}

// operation describes a route.
func (r *route) operation() apiOperation {
	anyJSON := map[string]any{"application/json": map[string]any{"schema": map[string]any{}}}
	o := apiOperation{
		OperationID: strings.ToLower(r.method) + " " + r.template(),
		Parameters:  r.parameters(),
		Responses: map[string]apiContent{
			"200":     {Description: "{\"data\": …}", Content: anyJSON},
			"default": {Description: "{\"error\": \"code\"}", Content: anyJSON},
		},
	}
	if r.open {
		o.Security = &[]map[string][]string{}
	}
	if r.method == "POST" || r.method == "PUT" {
		o.Body = &apiContent{Content: anyJSON}
	}
	return o
}

var pathParameter = regexp.MustCompile(`\{([a-z_]+)\}`)

func (r *route) parameters() []apiParameter {
	text := map[string]any{"type": "string"}
	var all []apiParameter
	for _, found := range pathParameter.FindAllStringSubmatch(r.template(), -1) {
		schema := text
		if found[1] == "kind" {
			schema = map[string]any{"type": "string", "enum": strings.Split(strings.Trim(strings.TrimPrefix(kindWords, "{kind:"), "}"), "|")}
		}
		all = append(all, apiParameter{Name: found[1], In: "path", Required: true, Schema: schema})
	}
	for _, name := range r.query() {
		all = append(all, apiParameter{Name: name, In: "query", Schema: text})
	}
	return all
}

// query names the query parameters that a route looks at.
func (r *route) query() []string {
	switch {
	case r.method == "GET" && strings.HasSuffix(r.path, "/sensor_event"):
		return []string{"origin", "from", "to", "limit"}
	case r.method == "GET" && strings.HasSuffix(r.path, "/activity_event"):
		return []string{"origin", "from", "to", "limit", "ignore_binary"}
	case r.method == "DELETE" && strings.HasSuffix(r.path, "_event"):
		return []string{"origin", "from", "to"}
	case strings.Contains(r.path, "/_lookup/"):
		return []string{"study_id"}
	case r.method == "GET" && (strings.HasSuffix(r.path, "/activity") || strings.HasSuffix(r.path, "/sensor")):
		return []string{"ignore_binary"}
	}
	return nil
}
