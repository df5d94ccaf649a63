//! Usage windows: what a request spends, what the headers of each provider say
//! about it, and the refusal when nothing is left. Time is a parameter.

use serde_json::json;

use crate::account::{Account, Window};
use crate::dates::{rfc3339, short_duration};
use crate::errors;
use crate::reply::Reply;

/// Length of the short window in seconds.
pub(crate) const FIVE_HOURS: i64 = 5 * 3600;
/// Length of the long window in seconds.
pub(crate) const SEVEN_DAYS: i64 = 7 * 86_400;
/// Requests an API key may make per window, as shown in headers, when the
/// account has no quota of its own.
const SHOWN_LIMIT: u32 = 10_000;

/// The family of limit headers and refusals of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meter {
    /// An API key at Anthropic.
    AnthropicKey,
    /// A Claude subscription.
    ClaudeToken,
    /// A ChatGPT login.
    Codex,
    /// Google says nothing on success.
    Gemini,
    /// An API key at OpenAI.
    OpenAiKey,
}

/// Opens the windows whose reset has come.
pub(crate) fn roll(account: &mut Account, now: i64) {
    if roll_window(&mut account.five_hour, FIVE_HOURS, now)
        && let Some(quota) = &mut account.quota
    {
        quota.left = quota.limit;
    }
    roll_window(&mut account.seven_day, SEVEN_DAYS, now);
}

/// Takes one request from the account; `false` when none is left.
pub(crate) fn spend(account: &mut Account, now: i64) -> bool {
    roll(account, now);
    if account.five_hour.is_full(now) || account.seven_day.is_full(now) {
        return false;
    }
    let Some(quota) = &mut account.quota else {
        return true;
    };
    let Some(left) = quota.left.checked_sub(1) else {
        account.five_hour.used_percent = 100.0;
        return false;
    };
    quota.left = left;
    let limit = f64::from(quota.limit.max(1));
    account.five_hour.used_percent = 100.0 * (limit - f64::from(left)) / limit;
    true
}

/// The answer when nothing is left, with the headers that say so.
pub(crate) fn refusal(account: &Account, meter: Meter, now: i64) -> Reply {
    let resets_at = blocked_until(account, now);
    let wait = resets_at.saturating_sub(now).max(0);
    let mut reply = match meter {
        Meter::AnthropicKey => {
            errors::anthropic(429, "This request would exceed your organization's rate limit.")
                .with("retry-after", wait.to_string())
        }
        Meter::ClaudeToken => errors::anthropic(
            429,
            "This request would exceed your account's rate limit. Please try again later.",
        )
        .with("retry-after", wait.to_string())
        .with("x-should-retry", "false"),
        Meter::Codex => Reply::json(
            429,
            &json!({"error": {
                "type": "usage_limit_reached",
                "message": "The usage limit has been reached",
                "plan_type": account.plan,
                "resets_at": resets_at,
                "eligible_promo": null,
                "resets_in_seconds": wait,
            }}),
        )
        .with("x-codex-rate-limit-reached-type", "rate_limit_reached"),
        Meter::Gemini => google_quota(wait),
        Meter::OpenAiKey => {
            let words =
                format!("Rate limit reached for requests. Please try again in {}.", short_duration(wait));
            errors::openai(429, "rate_limit_exceeded", &words).with("retry-after", wait.to_string())
        }
    };
    headers(account, meter, now, &mut reply);
    reply
}

/// Puts the limit headers of the provider on a reply.
pub(crate) fn headers(account: &Account, meter: Meter, now: i64, reply: &mut Reply) {
    match meter {
        Meter::AnthropicKey => anthropic_key_headers(account, now, reply),
        Meter::ClaudeToken => claude_headers(account, now, reply),
        Meter::Codex => codex_headers(account, now, reply),
        Meter::Gemini => {}
        Meter::OpenAiKey => openai_headers(account, now, reply),
    }
}

fn codex_headers(account: &Account, now: i64, reply: &mut Reply) {
    reply.set("x-codex-plan-type", &account.plan);
    reply.set("x-codex-active-limit", "codex");
    reply.set("x-codex-credits-has-credits", "False");
    reply.set("x-codex-credits-unlimited", "False");
    let windows =
        [("primary", &account.five_hour, FIVE_HOURS), ("secondary", &account.seven_day, SEVEN_DAYS)];
    for (name, window, length) in windows {
        let resets_at = window.resets_at.unwrap_or(now);
        let after = resets_at.saturating_sub(now).max(0);
        reply.set(&format!("x-codex-{name}-used-percent"), &percent(window.used_percent));
        reply.set(&format!("x-codex-{name}-window-minutes"), &(length / 60).to_string());
        reply.set(&format!("x-codex-{name}-reset-at"), &resets_at.to_string());
        reply.set(&format!("x-codex-{name}-reset-after-seconds"), &after.to_string());
    }
}

fn claude_headers(account: &Account, now: i64, reply: &mut Reply) {
    let full = account.five_hour.is_full(now) || account.seven_day.is_full(now);
    let windows = [("5h", &account.five_hour), ("7d", &account.seven_day)];
    let worst = if account.seven_day.used_percent > account.five_hour.used_percent { 1 } else { 0 };
    let claim = if worst == 1 { "seven_day" } else { "five_hour" };
    let reset = windows.get(worst).and_then(|(_, window)| window.resets_at).unwrap_or(now);
    reply.set(
        "anthropic-ratelimit-unified-status",
        status(full, windows.iter().map(|pair| pair.1.used_percent)),
    );
    reply.set("anthropic-ratelimit-unified-reset", &reset.to_string());
    reply.set("anthropic-ratelimit-unified-representative-claim", claim);
    for (name, window) in windows {
        let state = status(window.is_full(now), [window.used_percent].into_iter());
        let used = window.used_percent / 100.0;
        reply.set(&format!("anthropic-ratelimit-unified-{name}-status"), state);
        reply.set(
            &format!("anthropic-ratelimit-unified-{name}-reset"),
            &window.resets_at.unwrap_or(now).to_string(),
        );
        reply.set(&format!("anthropic-ratelimit-unified-{name}-utilization"), &format!("{used:.2}"));
    }
}

fn anthropic_key_headers(account: &Account, now: i64, reply: &mut Reply) {
    let (limit, left) = shown_requests(account, now);
    reply.set("anthropic-ratelimit-requests-limit", &limit.to_string());
    reply.set("anthropic-ratelimit-requests-remaining", &left.to_string());
    reply.set("anthropic-ratelimit-requests-reset", &rfc3339(blocked_until(account, now)));
}

fn openai_headers(account: &Account, now: i64, reply: &mut Reply) {
    let (limit, left) = shown_requests(account, now);
    let wait = blocked_until(account, now).saturating_sub(now);
    reply.set("x-ratelimit-limit-requests", &limit.to_string());
    reply.set("x-ratelimit-remaining-requests", &left.to_string());
    reply.set("x-ratelimit-reset-requests", &short_duration(wait));
    reply.set("openai-organization", &account.org_id);
    reply.set("openai-processing-ms", "1");
}

fn google_quota(wait: i64) -> Reply {
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED",
         "domain": "generativelanguage.googleapis.com", "metadata": {"quotaResetDelay": format!("{wait}s")}},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{wait}s")},
    ]);
    errors::google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)
}

fn shown_requests(account: &Account, now: i64) -> (u32, u32) {
    let full = account.five_hour.is_full(now) || account.seven_day.is_full(now);
    let (limit, left) =
        account.quota.as_ref().map_or((SHOWN_LIMIT, SHOWN_LIMIT), |quota| (quota.limit, quota.left));
    (limit, if full { 0 } else { left })
}

/// The latest reset among the full windows, else that of the short one.
fn blocked_until(account: &Account, now: i64) -> i64 {
    [&account.five_hour, &account.seven_day]
        .into_iter()
        .filter(|window| window.is_full(now))
        .filter_map(|window| window.resets_at)
        .max()
        .or(account.five_hour.resets_at)
        .unwrap_or(now)
}

fn status(full: bool, used: impl Iterator<Item = f64>) -> &'static str {
    if full {
        return "rejected";
    }
    if used.fold(0.0, f64::max) >= 80.0 { "allowed_warning" } else { "allowed" }
}

fn percent(used: f64) -> String {
    format!("{}", (used * 100.0).round() / 100.0)
}

fn roll_window(window: &mut Window, length: i64, now: i64) -> bool {
    let Some(resets_at) = window.resets_at else {
        return false;
    };
    if resets_at > now {
        return false;
    }
    let windows_gone = now.saturating_sub(resets_at) / length + 1;
    window.resets_at = Some(resets_at.saturating_add(windows_gone.saturating_mul(length)));
    window.used_percent = 0.0;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_spent_refused_and_comes_back_at_the_reset() {
        let mut account = settled(Account::new("a").quota(2).five_hour(0.0, 100));
        assert_eq!(
            [spend(&mut account, 0), spend(&mut account, 1), spend(&mut account, 2)],
            [true, true, false]
        );
        assert!((account.five_hour.used_percent - 100.0).abs() < f64::EPSILON);
        assert!(!spend(&mut account, 99));
        assert!(spend(&mut account, 100));
        assert_eq!(account.five_hour.resets_at, Some(100 + FIVE_HOURS));
    }

    #[test]
    fn the_refusal_names_the_latest_reset_of_the_full_windows() {
        let account = settled(Account::new("a").five_hour(100.0, 60).seven_day(100.0, 600));
        let reply = refusal(&account, Meter::Codex, 0);
        assert_eq!(header(&reply, "x-codex-secondary-reset-after-seconds"), "600");
        let crate::reply::Content::Whole(body) = &reply.content else {
            panic!("a refusal has a body");
        };
        let body: serde_json::Value = serde_json::from_slice(body).expect("json");
        assert_eq!(body["error"]["resets_at"], 600);
        assert_eq!(header(&refusal(&account, Meter::OpenAiKey, 0), "x-ratelimit-reset-requests"), "10m0s");
        assert_eq!(
            header(&refusal(&account, Meter::ClaudeToken, 0), "anthropic-ratelimit-unified-5h-status"),
            "rejected"
        );
        assert_eq!(
            header(&refusal(&account, Meter::AnthropicKey, 0), "anthropic-ratelimit-requests-reset"),
            "1970-01-01T00:10:00Z"
        );
    }

    fn settled(mut account: Account) -> Account {
        account.settle(0);
        account
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
        reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
