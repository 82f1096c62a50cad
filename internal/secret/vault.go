package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// fromVault reads a field of a secret by HTTP (Vault's API, "KV secrets engine", versions 1 and 2).
func fromVault(ctx context.Context, reference string) (string, error) {
	path, field, ok := strings.Cut(reference, "#")
	if !ok || path == "" || field == "" {
		return "", errors.New("it needs a path and a field, as in vault:secret/data/backstay#slack")
	}
	address, token := os.Getenv("VAULT_ADDR"), os.Getenv("VAULT_TOKEN")
	if address == "" || token == "" {
		return "", errors.New("VAULT_ADDR and VAULT_TOKEN are not both in the environment")
	}
	where, err := url.JoinPath(address, "v1", path)
	if err != nil {
		return "", errors.New("VAULT_ADDR is no URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return "", errors.New("VAULT_ADDR is no URL")
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	if space := os.Getenv("VAULT_NAMESPACE"); space != "" {
		req.Header.Set("X-Vault-Namespace", space)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the vault: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the vault answered %s", resp.Status)
	}
	return vaultField(io.LimitReader(resp.Body, limit), field)
}

// vaultField takes a field out of an answer: version 2 has the secret in data.data, version 1 in data.
func vaultField(r io.Reader, field string) (string, error) {
	var answer struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return "", errors.New("the vault's answer cannot be read")
	}
	fields := answer.Data
	if inner, ok := fields["data"]; ok && fields["metadata"] != nil {
		fields = nil
		if err := json.Unmarshal(inner, &fields); err != nil {
			return "", errors.New("the vault's answer cannot be read")
		}
	}
	var value string
	if err := json.Unmarshal(fields[field], &value); err != nil {
		return "", fmt.Errorf("the secret has no text in field %q", field)
	}
	return value, nil
}
