//! The webhook, on loopback.

use std::time::Duration;

use seawall::audit::Step;
use seawall::rollout::{Phase, Webhook};

use super::hooks::{drive_to_the_end, in_real_time, started};
use super::loopback::server;

#[test]
fn a_webhook_is_signed_tried_again_and_knows_its_key() {
    let (url, serving) = server(vec!["503 Busy", "204 Done"]);
    // A variable that every test run has.
    let webhook = Webhook::new(url).unwrap().signed_by("CARGO_PKG_NAME").unwrap();
    let (rollout, _, log) = started(|config| config.hook(webhook));
    rollout.abort("alice", "wrong \"balances\"").unwrap();
    in_real_time(drive_to_the_end(&rollout));
    assert_eq!(rollout.snapshot().phase, Phase::RolledBack, "{}", log.text());
    let asked = serving.join().unwrap();
    for (asked, attempt) in asked.iter().zip(1..) {
        let (head, body) = asked.split_once("\n\n").or(asked.split_once("\n{")).unwrap();
        assert!(head.starts_with("post /rollbacks http/1.1"), "{head}");
        assert!(head.contains("idempotency-key: deploy-1:1"), "{head}");
        assert!(head.contains("seawall-signature: sha256="), "{head}");
        assert!(body.contains(&format!(r#""key":"deploy-1:1","attempt":{attempt}"#)), "{body}");
        assert!(body.contains(r#"alice: wrong \"balances\""#), "{body}");
    }
    assert_eq!(asked.len(), 2);
}

#[test]
fn a_redirect_is_not_followed_and_a_bearer_token_goes_nowhere_else() {
    let (elsewhere, _listening) = server(vec![]);
    let redirect: &'static str =
        Box::leak(format!("307 Elsewhere\r\nLocation: {elsewhere}").into_boxed_str());
    let (url, serving) = server(vec![redirect]);
    let webhook = Webhook::new(url).unwrap().bearer("CARGO_PKG_NAME").unwrap();
    let (rollout, _, log) = started(|config| {
        config.hook_retries(0).hook_time_limit(Duration::from_secs(5)).hook(webhook)
    });
    rollout.abort("alice", "bad").unwrap();
    in_real_time(drive_to_the_end(&rollout));
    assert_eq!(log.steps().last(), Some(&Step::RolledBack { failed_hooks: 1 }));
    assert!(log.text().contains("redirects are not followed"), "{}", log.text());
    assert!(serving.join().unwrap()[0].contains("authorization: bearer seawall"));
}
