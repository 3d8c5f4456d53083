//! A webhook: a signed request to whoever should know.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use ureq::Agent;

use super::kinds::Work;
use crate::error::{BoxError, ConfigError};

/// An attempt that was abandoned ends by itself, at the latest, after this.
const LONGEST: Duration = Duration::from_secs(30);

/// Posts to an address, as JSON, when a rollout is rolled back or when there is an alert. Feature `webhook`.
///
/// Of a rollback the body has the fields `rollout`, `version`, `seq`, `key`, `attempt`, `recovered`,
/// `cause`, `explanation`, `weight_ppm`, and, for `canary` and `baseline`, `calls` and `failed`. Of an alert
/// it has `key`, `subject`, `state`, `severity`, `text`, `runbook`, `at`, `times`, `left_out` and `attempt`:
/// see [`Message`](crate::notify::Message). The header `Idempotency-Key` has the key, which is the same on
/// each attempt. Any status from 200 to 299 is success. A redirect isn't followed and is a failure: a
/// secret must not go where somebody else sends it.
///
/// ```no_run
/// use seawall::rollout::{RolloutConfig, Webhook};
///
/// # fn main() -> Result<(), seawall::ConfigError> {
/// let deploys = Webhook::new("https://deploys.example.com/rollbacks")?.signed_by("DEPLOYS_SECRET")?;
/// let config = RolloutConfig::new("payments").hook(deploys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Webhook {
    name: String,
    url: String,
    agent: Agent,
    proof: Proof,
}

/// How it shows who it is.
#[derive(Clone)]
enum Proof {
    None,
    Bearer(String),
    Hmac(String),
}

impl Webhook {
    /// Posts to `url`, which begins with `https://`, or with `http://` on this machine.
    ///
    /// # Errors
    /// [`ConfigError`] if it begins otherwise.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        let url = url.into();
        let local = is_local(&url);
        if !(url.starts_with("https://") || local) {
            return Err(ConfigError::new("url", &url, "https, or http on this machine"));
        }
        let mut agent = Agent::config_builder()
            .https_only(!local)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(LONGEST));
        if local {
            agent = agent.proxy(None);
        }
        let name = "webhook".to_owned();
        Ok(Self { name, url, agent: agent.build().into(), proof: Proof::None })
    }

    /// Its name in what is told. Default `webhook`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends the token that the environment variable `variable` has: `Authorization: Bearer ...`.
    ///
    /// # Errors
    /// [`ConfigError`] if it isn't set, is empty, or no header may hold it.
    pub fn bearer(mut self, variable: &'static str) -> Result<Self, ConfigError> {
        self.proof = Proof::Bearer(secret(variable)?);
        Ok(self)
    }

    /// Signs the body with the secret that the environment variable `variable` has:
    /// `Seawall-Signature: sha256=` and the HMAC-SHA256 of the body (RFC 2104), in hexadecimal.
    ///
    /// # Errors
    /// [`ConfigError`] if it isn't set or is empty.
    pub fn signed_by(mut self, variable: &'static str) -> Result<Self, ConfigError> {
        self.proof = Proof::Hmac(secret(variable)?);
        Ok(self)
    }

    /// Posts `body`.
    pub(crate) fn with(&self, key: Arc<str>, body: String) -> Work {
        let webhook = self.clone();
        Work::Blocking(Box::new(move |_| webhook.post(&key, &body)))
    }

    fn post(&self, key: &str, body: &str) -> Result<(), BoxError> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", key);
        match &self.proof {
            Proof::None => {}
            Proof::Bearer(token) => {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            Proof::Hmac(secret) => {
                let signature = signature(secret.as_bytes(), body.as_bytes());
                request = request.header("Seawall-Signature", signature);
            }
        }
        let status = request.send(body)?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            300..=399 => Err(format!("{status}: redirects are not followed").into()),
            _ => Err(status.to_string().into()),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the secret nor what an address may hold of one.
        let proof = match self.proof {
            Proof::None => "none",
            Proof::Bearer(_) => "bearer",
            Proof::Hmac(_) => "hmac",
        };
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("proof", &proof)
            .finish_non_exhaustive()
    }
}

fn secret(variable: &'static str) -> Result<String, ConfigError> {
    let fits = |secret: &String| !secret.is_empty() && !secret.contains(char::is_control);
    let found = env::var(variable).ok().map(|secret| secret.trim_end().to_owned());
    found.filter(fits).ok_or_else(|| {
        ConfigError::new("secret", variable, "the name of a variable that holds a secret")
    })
}

/// Plain `http` to this machine, and to nothing that only begins like it.
fn is_local(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = match authority.strip_prefix("[::1]") {
        Some(port) => return port.is_empty() || port.starts_with(':'),
        None => authority.split(':').next().unwrap_or(authority),
    };
    matches!(host, "localhost" | "127.0.0.1") && !authority.contains('@')
}

fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    digest.iter().fold("sha256=".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for url in ["http://127.0.0.1:80/x", "http://localhost", "http://[::1]:1/", "https://x"] {
            assert!(Webhook::new(url).is_ok(), "{url}");
        }
        for url in [
            "http://example.com",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com/",
            "http://[::1].example.com/",
            "ftp://localhost",
            "",
        ] {
            assert_eq!(Webhook::new(url).unwrap_err().field(), "url", "{url}");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_is_a_config_error_and_one_that_is_does_not_show() {
        let webhook = || Webhook::new("https://example.com/token-in-path").unwrap();
        let missing = webhook().signed_by("SEAWALL_TEST_SURELY_NOT_SET").unwrap_err();
        assert_eq!(missing.field(), "secret");
        let found = webhook().bearer("CARGO_PKG_NAME").unwrap();
        let shown = format!("{found:?}");
        assert!(!shown.contains("seawall\"") && !shown.contains("token"), "{shown}");
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_hmac_sha256() {
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
