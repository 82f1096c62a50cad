package config

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/backstaydb/backstay/internal/schedule"
)

// Schema is the JSON schema (draft 2020-12) of the file, for editors; it is published as
// docs/reference/backstay.schema.json.
func Schema() []byte {
	root := schemaOf(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = Name
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: the schema of a fixed type does not marshal: %v", err))
	}
	return append(out, '\n')
}

func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[Size]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": `^[0-9.]+ ?([kKMGT]i?)?B?$`}
	case t == reflect.TypeFor[Span]():
		return map[string]any{"type": "string", "pattern": `^[0-9]+ ?(ms|[wdhms])$`}
	case t == reflect.TypeFor[schedule.Expr](), t == reflect.TypeFor[schedule.Windows]():
		return map[string]any{"type": "string"}
	case t == reflect.TypeFor[Date]():
		return map[string]any{"type": "string", "format": "date"}
	case t == reflect.TypeFor[Drill](), t == reflect.TypeFor[Failover]():
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, structSchema(t)}}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Kind() == reflect.Int:
		return map[string]any{"type": "integer", "minimum": 0}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Struct:
		out := structSchema(t)
		if t == reflect.TypeFor[Source]() {
			out["anyOf"] = []any{map[string]any{"required": []string{"repositories"}}, map[string]any{"required": []string{"class"}}}
		}
		return out
	case t.Kind() == reflect.Map:
		names := map[string]any{"pattern": validNames.String(), "maxLength": 64}
		return map[string]any{"type": []string{"object", "null"}, "propertyNames": names, "additionalProperties": schemaOf(t.Elem())}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem()), "minItems": 1, "uniqueItems": true}
	}
	return map[string]any{"type": "string"}
}

func structSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for f := range fieldsOf(t) {
		s := schemaOf(f.typ)
		if f.doc != "" {
			s["description"] = f.doc
		}
		if items, ok := s["items"].(map[string]any); ok && len(f.enum) > 0 {
			items["enum"] = f.enum
		} else if len(f.enum) > 0 {
			s["enum"] = f.enum
		}
		if f.required {
			required = append(required, f.name)
		}
		properties[f.name] = s
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
