package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/backstaydb/backstay/internal/schedule"
)

// parser holds what errors need to point into the file.
type parser struct {
	file  string
	lines []string
	root  ast.Node // nil for an empty file
}

// Parse reads and validates data; file is its name in errors.
func Parse(file string, data []byte) (*Config, error) {
	p := &parser{file: file, lines: strings.Split(string(data), "\n")}
	if err := p.parse(); err != nil {
		return nil, err
	}
	c := &Config{}
	if err := p.keys(p.root, reflect.TypeFor[Config]()); err != nil {
		return nil, err
	}
	if p.root != nil && p.root.Type() != ast.NullType && p.root.Type() != ast.CommentGroupType {
		if err := yaml.NodeToValue(p.root, c, yaml.Strict()); err != nil {
			return nil, p.wrap(err)
		}
	}
	c.inherit()
	p.clusterDefaults(c)
	if err := p.validate(c); err != nil {
		return nil, err
	}
	return c, nil
}

// parse sets root from the lines.
func (p *parser) parse() error {
	tree, err := yamlparser.ParseBytes([]byte(strings.Join(p.lines, "\n")), 0)
	if err != nil {
		return p.wrap(err)
	}
	if len(tree.Docs) > 1 && tree.Docs[1].Body != nil {
		return p.at(tree.Docs[1].Body.GetToken(), "a second document begins here; one file holds one", "remove the line ---")
	}
	if len(tree.Docs) > 0 {
		p.root = tree.Docs[0].Body
	}
	return nil
}

// wrap turns an error of the YAML library into one with a place.
func (p *parser) wrap(err error) error {
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return p.at(wrong.Token, fmt.Sprintf("%s stands where %s is wanted", words(wrong.SrcType), words(wrong.DstType)), "")
	}
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &located) {
		return p.at(located.GetToken(), mask(located.GetMessage()), "")
	}
	return &Error{File: p.file, Message: mask(err.Error())}
}

// hint is what err advises; "" if it says nothing of that.
func hint(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

// words says for people what kind of value t is.
func words(t reflect.Type) string {
	switch {
	case t == nil:
		return "nothing"
	case t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "a group of keys"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	}
	return "a number"
}

// keys walks the file beside the Go types and refuses keys that no field has.
func (p *parser) keys(n ast.Node, t reflect.Type) error {
	if a, ok := n.(*ast.AnchorNode); ok {
		n = a.Value
	}
	if n == nil {
		return nil
	}
	if text, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		if _, scalar := n.(ast.ScalarNode); scalar && n.Type() != ast.NullType {
			if err := text.UnmarshalText([]byte(n.GetToken().Value)); err != nil {
				return p.at(n.GetToken(), mask(err.Error()), hint(err))
			}
		}
		return nil
	}
	if _, scalar := n.(ast.ScalarNode); scalar && t == reflect.TypeFor[Drill]() {
		return p.keys(n, reflect.TypeFor[schedule.Expr]())
	}
	if _, scalar := n.(ast.ScalarNode); scalar && t == reflect.TypeFor[Failover]() {
		return nil // a mode, which validate looks at
	}
	switch t.Kind() {
	case reflect.Struct:
		return p.structKeys(n, t)
	case reflect.Pointer:
		return p.keys(n, t.Elem())
	case reflect.Map:
		for _, kv := range pairs(n) {
			if err := p.keys(kv.Value, t.Elem()); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if list, ok := n.(*ast.SequenceNode); ok {
			for _, v := range list.Values {
				if err := p.keys(v, t.Elem()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *parser) structKeys(n ast.Node, t reflect.Type) error {
	fields := map[string]reflect.Type{}
	var names []string
	for f := range fieldsOf(t) {
		fields[f.name] = f.typ
		names = append(names, f.name)
	}
	for _, kv := range pairs(n) {
		key := kv.Key.GetToken().Value
		typ, ok := fields[key]
		if !ok && isSecretKey(key) {
			e := p.at(kv.Key.GetToken(), fmt.Sprintf("%q: no secret stands in this file", key), secretAdvice)
			e.Excerpt = ""
			return e
		}
		if !ok {
			return p.at(kv.Key.GetToken(), fmt.Sprintf("unknown key %q", key), suggest(key, names))
		}
		if err := p.keys(kv.Value, typ); err != nil {
			return err
		}
	}
	return nil
}

// pairs lists the entries of a mapping in order; none for any other node.
func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// find gives the key token and the value at a path of keys; nil where there is none.
func (p *parser) find(path ...string) (*token.Token, ast.Node) {
	var tok *token.Token
	n := p.root
	for _, want := range path {
		next := ast.Node(nil)
		for _, kv := range pairs(n) {
			if kv.Key.GetToken().Value == want {
				tok, next = kv.Key.GetToken(), kv.Value
			}
		}
		if next == nil {
			return tok, nil
		}
		n = next
	}
	return tok, n
}
