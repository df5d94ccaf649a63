//! Usage and profile pages of subscriptions. They cost no quota.

use serde_json::{Map, Value, json};

use crate::account::{Account, Window};
use crate::conversation::Turn;
use crate::dates::rfc3339;
use crate::errors;
use crate::limits::{FIVE_HOURS, SEVEN_DAYS, roll};
use crate::reply::Reply;
use crate::script::ClaudeUsage;

/// Answers `/backend-api/wham/usage`.
pub(crate) fn codex(turn: Turn<'_>) -> Reply {
    let now = turn.now;
    let Some(account) = rolled(turn) else {
        return errors::detail(401, "Unauthorized");
    };
    let full = account.five_hour.is_full(now) || account.seven_day.is_full(now);
    let reached = if full { json!({"type": "rate_limit_reached"}) } else { Value::Null };
    Reply::json(
        200,
        &json!({
            "plan_type": account.plan,
            "rate_limit": {
                "allowed": !full, "limit_reached": full,
                "primary_window": codex_window(&account.five_hour, FIVE_HOURS, now),
                "secondary_window": codex_window(&account.seven_day, SEVEN_DAYS, now),
            },
            "credits": {"has_credits": false, "unlimited": false, "balance": null},
            "rate_limit_reached_type": reached,
            "rate_limit_reset_credits": {"available_count": account.reset_credits},
        }),
    )
}

/// Answers `…/rate-limit-reset-credits/consume`: a credit opens the short window.
pub(crate) fn consume_reset_credit(turn: Turn<'_>) -> Reply {
    let now = turn.now;
    let Some(account) = turn.world.accounts.get_mut(turn.caller.place) else {
        return errors::detail(401, "Unauthorized");
    };
    roll(account, now);
    let answer =
        |code: &str, windows: u32| Reply::json(200, &json!({"code": code, "windows_reset": windows}));
    if !account.five_hour.is_full(now) {
        return answer("nothing_to_reset", 0);
    }
    let Some(left) = account.reset_credits.checked_sub(1) else {
        return answer("no_credit", 0);
    };
    account.reset_credits = left;
    account.five_hour =
        Window { used_percent: 0.0, resets_at: Some(now.saturating_add(FIVE_HOURS)), resets_in: None };
    if let Some(quota) = &mut account.quota {
        quota.left = quota.limit;
    }
    answer("reset", 1)
}

/// Answers `/api/oauth/usage`. The resets differ from call to call by up to two
/// seconds, as they do at the real one.
pub(crate) fn claude(turn: Turn<'_>) -> Reply {
    let now = turn.now;
    let form = turn.world.script.claude_usage;
    let jitter = i64::try_from(turn.world.serial() % 5).unwrap_or_default() - 2;
    let Some(account) = rolled(turn) else {
        return errors::anthropic(401, "Invalid bearer token");
    };
    let resets_at = |window: &Window| rfc3339(window.resets_at.unwrap_or(now).saturating_add(jitter));
    let mut body = Map::new();
    if form != ClaudeUsage::Limits {
        let window =
            |window: &Window| json!({"utilization": window.used_percent, "resets_at": resets_at(window)});
        body.insert("five_hour".into(), window(&account.five_hour));
        body.insert("seven_day".into(), window(&account.seven_day));
        for absent in ["seven_day_opus", "seven_day_sonnet", "seven_day_oauth_apps"] {
            body.insert(absent.into(), Value::Null);
        }
        body.insert(
            "extra_usage".into(),
            json!({"is_enabled": false, "monthly_limit": null, "used_credits": null}),
        );
    }
    if form != ClaudeUsage::Fields {
        let limits =
            [("session", &account.five_hour), ("weekly_all", &account.seven_day)].map(|(kind, window)| {
                let severity = if window.used_percent >= 80.0 { "warning" } else { "normal" };
                json!({"kind": kind, "group": kind, "percent": window.used_percent, "severity": severity,
                "resets_at": resets_at(window), "scope": null, "is_active": true})
            });
        body.insert("limits".into(), json!(limits));
    }
    Reply::json(200, &Value::Object(body))
}

/// Answers `/api/oauth/profile`.
pub(crate) fn profile(turn: Turn<'_>) -> Reply {
    let Some(account) = rolled(turn) else {
        return errors::anthropic(401, "Invalid bearer token");
    };
    let email = format!("{}@example.test", account.user_id);
    Reply::json(
        200,
        &json!({
            "account": {"uuid": account.user_id, "email": email, "display_name": account.id},
            "organization": {"uuid": account.org_id, "name": account.org_id,
                "organization_type": format!("claude_{}", account.plan), "rate_limit_tier": "default_claude_max_5x"},
        }),
    )
}

fn rolled(turn: Turn<'_>) -> Option<Account> {
    let account = turn.world.accounts.get_mut(turn.caller.place)?;
    roll(account, turn.now);
    Some(account.clone())
}

fn codex_window(window: &Window, length: i64, now: i64) -> Value {
    let resets_at = window.resets_at.unwrap_or(now);
    json!({"used_percent": window.used_percent, "limit_window_seconds": length, "reset_at": resets_at,
        "reset_after_seconds": resets_at.saturating_sub(now).max(0)})
}
