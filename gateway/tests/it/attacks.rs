//! Known attacks on tokens: RFC 8725, the OWASP list, and what became a CVE elsewhere. Each is tried as a login and as an
//! access token, beside a login that is good, and none reaches a service.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use common::wire::id::{ProductId, Ticket};
use common::wire::token::{IDENTITY_TYPE, PASS_TYPE, Role};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use testkit::issuers::Issuers;

use crate::gate::Gate;

const ME: &str = "/api/users/me";
const PAGE: &str = "/api/products/7";

/// One kind of token, and who signs it.
struct Forger {
    header: Value,
    claims: Value,
    key: EncodingKey,
    /// The public key, as bytes and as it is published.
    public: (Vec<u8>, String),
    good: String,
}

fn encoded(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

impl Forger {
    fn new(file: &std::path::Path, good: String, public: &str) -> Self {
        let part = |number: usize| {
            let text = BASE64.decode(good.split('.').nth(number).unwrap()).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let key = EncodingKey::from_ed_pem(&std::fs::read(file).unwrap()).unwrap();
        let public = (BASE64.decode(public).unwrap(), public.to_owned());
        Self { header: part(0), claims: part(1), key, public, good }
    }

    /// Signed with the issuer's own key, whatever the header and the claims say.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_text(&header.to_string(), &claims.to_string())
    }

    fn signed_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    fn header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.signed(&header, &self.claims)
    }

    fn without_header(&self, name: &str) -> String {
        let mut header = self.header.clone();
        header.as_object_mut().unwrap().remove(name);
        self.signed(&header, &self.claims)
    }

    fn claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        self.signed(&self.header, &claims)
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        self.signed(&self.header, &claims)
    }

    /// Signed as HS256 with a "secret" that everybody knows.
    fn confused(&self, secret: &[u8], name: &str) -> String {
        let mut header = self.header.clone();
        header["alg"] = json!(name);
        let message = format!("{}.{}", encoded(&header), encoded(&self.claims));
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    fn unsigned(&self, alg: &str) -> String {
        let mut header = self.header.clone();
        header["alg"] = json!(alg);
        format!("{}.{}.", encoded(&header), encoded(&self.claims))
    }

    /// What is wrong with whatever signs, is named or has a shape it should not have.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let [head, claims, signature]: [&str; 3] =
            self.good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let other = Issuers::new();
        let foreign = other.identity.jwks().keys[0].clone();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": foreign.x});
        let der = [&[48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0][..], &self.public.0].concat();
        vec![
            ("alg none", self.unsigned("none")),
            ("alg None", self.unsigned("None")),
            ("alg NONE", self.unsigned("NONE")),
            ("alg nOnE", self.unsigned("nOnE")),
            ("alg empty", self.unsigned("")),
            ("alg none with the good signature", format!("{}{signature}", self.unsigned("none"))),
            ("alg null", self.header("alg", Value::Null)),
            ("alg a list", self.header("alg", json!(["EdDSA", "none"]))),
            ("alg missing", self.without_header("alg")),
            ("alg ES256 over an Ed25519 signature", self.header("alg", json!("ES256"))),
            ("alg RS256 over an Ed25519 signature", self.header("alg", json!("RS256"))),
            ("alg in small letters", self.header("alg", json!("eddsa"))),
            ("HS256 with the public key's bytes", self.confused(&self.public.0, "HS256")),
            ("HS256 with the published text", self.confused(self.public.1.as_bytes(), "HS256")),
            ("HS256 with the public key as DER", self.confused(&der, "HS256")),
            ("HS256 with an empty secret", self.confused(b"", "HS256")),
            ("EdDSA that is an HMAC of the public key", self.confused(&self.public.0, "EdDSA")),
            ("no kid", self.without_header("kid")),
            ("kid null", self.header("kid", Value::Null)),
            ("kid a number", self.header("kid", json!(1))),
            ("kid a path", self.header("kid", json!("../../../../dev/null"))),
            ("kid SQL", self.header("kid", json!("x' UNION SELECT 'key"))),
            ("kid an address", self.header("kid", json!("http://127.0.0.1:1/keys"))),
            ("kid of another issuer's key", self.header("kid", json!(foreign.kid))),
            ("jwk in the header", self.header("jwk", jwk)),
            ("jku in the header", self.header("jku", json!("http://127.0.0.1:1/jwks.json"))),
            ("x5u in the header", self.header("x5u", json!("http://127.0.0.1:1/cert.pem"))),
            ("x5c in the header", self.header("x5c", json!(["MII"]))),
            ("crit", self.header("crit", json!(["exp"]))),
            ("crit that nobody knows", self.header("crit", json!(["b64"]))),
            ("a compressed body", self.header("zip", json!("DEF"))),
            ("an encrypted body", self.header("enc", json!("A256GCM"))),
            ("another typ", self.header("typ", json!("JWT"))),
            ("typ missing", self.without_header("typ")),
            ("typ with its media type's tree", self.header("typ", json!("application/at+jwt"))),
            ("no signature", format!("{head}.{claims}.")),
            ("two parts", format!("{head}.{claims}")),
            ("four parts", format!("{}.x", self.good)),
            ("five parts", format!("{}.x.x", self.good)),
            ("a signature of zeros", format!("{head}.{claims}.{}", BASE64.encode([0; 64]))),
            ("half a signature", format!("{head}.{claims}.{}", &signature[..43])),
            ("a longer signature", format!("{}AAAA", self.good)),
            ("padding", format!("{}=", self.good)),
            ("other characters of base64", self.good.replace('_', "/").replace('-', "+") + "+"),
            ("a foreign key's signature", resigned(&other.identity_key_file, head, claims)),
            ("a header that is no JSON", self.signed_text("alg", &self.claims.to_string())),
            ("a header of JSON that is no object", self.signed_text("[]", &self.claims.to_string())),
            ("claims that are no JSON", self.signed_text(&self.header.to_string(), "sub")),
            ("a token in a token", self.signed_text(&self.header.to_string(), &self.good)),
            ("too long", self.header("pad", json!("a".repeat(8_192)))),
            ("dots alone", "..".to_owned()),
        ]
    }

    /// What is wrong with the claims, though the issuer signed them.
    fn claims(&self, now: i64) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("exp as text", self.claim("exp", json!((now + 900).to_string()))),
            ("exp with a fraction", self.claim("exp", json!(now as f64 + 900.5))),
            ("exp huge", self.claim("exp", json!(1e300))),
            ("exp beyond 64 bits", self.claim("exp", json!(u64::MAX))),
            ("exp negative", self.claim("exp", json!(-1))),
            ("exp zero", self.claim("exp", json!(0))),
            ("exp null", self.claim("exp", Value::Null)),
            ("exp true", self.claim("exp", json!(true))),
            ("exp a list", self.claim("exp", json!([now + 900]))),
            ("expired", self.claim("exp", json!(now - 6))),
            ("nbf as text", self.claim("nbf", json!(now.to_string()))),
            ("nbf null", self.claim("nbf", Value::Null)),
            ("not yet", self.claim("nbf", json!(now + 60))),
            ("iss a list", self.claim("iss", json!([self.claims["iss"], "x"]))),
            ("another iss", self.claim("iss", json!("https://evil.example"))),
            ("iss of the gateway", self.claim("iss", json!("astraphe-gateway"))),
            ("another aud", self.claim("aud", json!("someone"))),
            ("aud of the inside", self.claim("aud", json!("astraphe-inside"))),
            ("aud empty", self.claim("aud", json!([]))),
            ("sub a number", self.claim("sub", json!(42))),
            ("sub no number", self.claim("sub", json!("42 or 1=1"))),
            ("sub with a zero byte", self.claim("sub", json!("42\0"))),
            ("sid no id", self.claim("sid", json!("x"))),
            ("claims in another case", self.signed(&self.header, &shouted(&self.claims))),
        ];
        for name in ["iss", "aud", "sub", "exp", "nbf", "sid"] {
            all.push((name, self.without(name)));
        }
        let twice =
            self.claims.to_string().replacen('{', &format!("{{\"sub\":\"1\",\"exp\":{},", now + 900), 1);
        all.push(("sub and exp twice", self.signed_text(&self.header.to_string(), &twice)));
        all
    }
}

fn resigned(file: &std::path::Path, head: &str, claims: &str) -> String {
    let key = EncodingKey::from_ed_pem(&std::fs::read(file).unwrap()).unwrap();
    let message = format!("{head}.{claims}");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn shouted(claims: &Value) -> Value {
    claims.as_object().unwrap().iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect()
}

#[tokio::test]
async fn no_forged_login_gets_in() {
    let gate = Gate::start().await.knowing().await;
    let good = gate.claims(Role::Customer);
    let public = gate.issuers.identity.jwks().keys[0].x.clone();
    let forger = Forger::new(&gate.issuers.identity_key_file, gate.token(&good), &public);
    // The forger itself can make a good one.
    let again = forger.signed(&forger.header, &forger.claims);
    gate.http.login(&again).get(ME).await.unwrap().expect(200);
    gate.log.clear();

    let queue = &gate.issuers.pass;
    let mut attacks = forger.headers();
    attacks.extend(forger.claims(gate.clock.now_s()));
    attacks.extend([
        ("signed by the queue", queue.sign(&good, IDENTITY_TYPE).unwrap()),
        ("an access token", gate.pass(&good, 7)),
        ("an access token that says at+jwt", {
            let pass = Issuers::pass_claims(&good, ProductId(7), Ticket(3));
            queue.sign(&pass, IDENTITY_TYPE).unwrap()
        }),
        ("an assertion", gate.verifier.assert(&good, &[]).unwrap()),
        ("a service's assertion", gate.verifier.assert_service().unwrap()),
        ("role SERVICE", forger.claim("role", json!("SERVICE"))),
        ("a role that nobody has", forger.claim("role", json!("ROOT"))),
        ("a list of roles", forger.claim("role", json!(["CUSTOMER", "ADMIN"]))),
        ("no role", forger.without("role")),
    ]);
    assert!(attacks.len() >= 80, "{}", attacks.len());
    for (what, token) in &attacks {
        let answer = gate.http.with("authorization", format!("Bearer {token}")).get(ME).await.unwrap();
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.problem(401, "invalid-token");
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn no_forged_pass_gets_in() {
    let gate = Gate::start().await.knowing().await;
    let login = gate.claims(Role::Customer);
    let http = gate.http.login(&gate.token(&login));
    let public = gate.issuers.pass.jwks().keys[0].x.clone();
    let forger = Forger::new(&gate.issuers.pass_key_file, gate.pass(&login, 7), &public);
    let again = forger.signed(&forger.header, &forger.claims);
    http.pass(&again).get(PAGE).await.unwrap().expect(200);
    gate.log.clear();

    let (now, user) = (gate.clock.now_s(), &gate.issuers.identity);
    let good = Issuers::pass_claims(&login, ProductId(7), Ticket(3));
    let mut attacks = forger.headers();
    attacks.extend(forger.claims(now));
    attacks.extend([
        ("signed by the user service", user.sign(&good, PASS_TYPE).unwrap()),
        ("the login", gate.token(&login)),
        ("the login that says pass+jwt", user.sign(&login, PASS_TYPE).unwrap()),
        ("an assertion", gate.verifier.assert(&login, std::slice::from_ref(&good)).unwrap()),
        ("another user's", forger.claim("sub", json!("43"))),
        ("another login's", forger.claim("sid", json!("0190a000-0000-7000-8000-000000000000"))),
        ("pid as text", forger.claim("pid", json!("7"))),
        ("pid a list", forger.claim("pid", json!([7, 8]))),
        ("no pid", forger.without("pid")),
        ("no jti", forger.without("jti")),
        ("no epoch", forger.without("epoch")),
        ("no ticket", forger.without("tkt")),
        ("after its admission", forger.claim("exp", json!(now - 5))),
    ]);
    assert!(attacks.len() >= 80, "{}", attacks.len());
    for (what, token) in &attacks {
        let answer = http.pass(token).get(PAGE).await.unwrap();
        assert_eq!(answer.status, 403, "{what}: {}", answer.body);
        answer.problem(403, "invalid-access-token");
    }
    http.pass(&gate.pass(&login, 8)).get(PAGE).await.unwrap().problem(403, "access-token-required");
    assert!(gate.log.all().is_empty());
}
