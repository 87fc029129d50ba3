package akamai

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// signedBytes is how much of a body the signature covers.
const signedBytes = 128 << 10

// Credentials are those of an Akamai API client, as its .edgerc file has them.
type Credentials struct {
	Host         string // akab-….luna.akamaiapis.net
	ClientToken  string
	ClientSecret string
	AccessToken  string
}

// authorization is the request's Authorization header by Akamai's EdgeGrid
// scheme, EG1-HMAC-SHA256 (techdocs.akamai.com, "Authenticate with EdgeGrid"):
// a key for this timestamp is derived from the client secret, and signs
// method, scheme, host, path, a POST's body and the header's own fields. No
// other header is signed, since Fast Purge asks for none.
func (c Credentials) authorization(request *http.Request, body []byte, at time.Time, nonce string, mostSigned int) string {
	timestamp := at.UTC().Format("20060102T15:04:05+0000")
	fields := "EG1-HMAC-SHA256 client_token=" + c.ClientToken + ";access_token=" + c.AccessToken +
		";timestamp=" + timestamp + ";nonce=" + nonce + ";"
	content := ""
	if request.Method == http.MethodPost && len(body) > 0 {
		sum := sha256.Sum256(body[:min(len(body), mostSigned)])
		content = base64.StdEncoding.EncodeToString(sum[:])
	}
	const signedHeaders = ""
	signed := strings.Join([]string{
		request.Method, request.URL.Scheme, strings.ToLower(request.URL.Host), request.URL.RequestURI(), signedHeaders, content, fields,
	}, "\t")
	key := seal(c.ClientSecret, timestamp)
	return fields + "signature=" + seal(key, signed)
}

func seal(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// newNonce is a text that no other request carries.
func newNonce() string { return rand.Text() }
