//! Replies as providers were seen to send them, by name. The texts hold
//! `{resets_at}`, `{resets_in}` and `{model}`, filled in when they are sent.

use crate::reply::Reply;

/// Seconds until the resets that the recorded replies speak of.
const RESETS_IN: i64 = 17_778;

struct Entry {
    name: &'static str,
    status: u16,
    content_type: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

/// The names that [`crate::Fault::named`] knows.
pub fn names() -> Vec<&'static str> {
    ENTRIES.iter().map(|entry| entry.name).collect()
}

/// The recorded reply of that name.
pub(crate) fn reply(name: &str, model: &str, now: i64) -> Option<Reply> {
    let entry = ENTRIES.iter().find(|entry| entry.name == name)?;
    let fill = |text: &str| {
        text.replace("{resets_at}", &now.saturating_add(RESETS_IN).to_string())
            .replace("{resets_in}", &RESETS_IN.to_string())
            .replace("{model}", model)
    };
    let mut reply = Reply::bytes(entry.status, entry.content_type, fill(entry.body));
    for (header, value) in entry.headers {
        reply.add(header, &fill(value));
    }
    Some(reply)
}

const fn json(name: &'static str, status: u16, body: &'static str) -> Entry {
    with(name, status, &[], body)
}

const fn with(
    name: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Entry {
    Entry { name, status, content_type: "application/json", headers, body }
}

const CODEX_FULL: &[(&str, &str)] = &[
    ("x-codex-active-limit", "codex"),
    ("x-codex-plan-type", "plus"),
    ("x-codex-primary-used-percent", "100"),
    ("x-codex-primary-window-minutes", "300"),
    ("x-codex-primary-reset-after-seconds", "{resets_in}"),
    ("x-codex-primary-reset-at", "{resets_at}"),
    ("x-codex-credits-has-credits", "False"),
];

const CLAUDE_FULL: &[(&str, &str)] = &[
    ("retry-after", "{resets_in}"),
    ("x-should-retry", "false"),
    ("anthropic-ratelimit-unified-status", "rejected"),
    ("anthropic-ratelimit-unified-reset", "{resets_at}"),
    ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
    ("anthropic-ratelimit-unified-5h-status", "rejected"),
    ("anthropic-ratelimit-unified-5h-reset", "{resets_at}"),
    ("anthropic-ratelimit-unified-5h-utilization", "1.0"),
    ("anthropic-ratelimit-unified-7d-status", "allowed"),
    ("anthropic-ratelimit-unified-7d-utilization", "0.4"),
];

const CLAUDE_MODEL_FULL: &[(&str, &str)] = &[
    ("anthropic-ratelimit-unified-status", "rejected"),
    ("anthropic-ratelimit-unified-7d_oi-status", "rejected"),
    ("anthropic-ratelimit-unified-7d_oi-reset", "{resets_at}"),
    ("anthropic-ratelimit-unified-5h-status", "allowed"),
    ("anthropic-ratelimit-unified-7d-status", "allowed"),
];

const CHALLENGE: &[(&str, &str)] =
    &[("server", "cloudflare"), ("cf-mitigated", "challenge"), ("cf-ray", "8f0e1d2c3b4a5968-FRA")];

const ENTRIES: &[Entry] = &[
    // ChatGPT backend.
    json(
        "model_not_supported",
        400,
        r#"{"detail":"The '{model}' model is not supported when using Codex with a ChatGPT account."}"#,
    ),
    json(
        "unsupported_value",
        400,
        r#"{"error":{"message":"Unsupported value: 'none' is not supported with the '{model}' model. Supported values are: 'low', 'medium', and 'high'.","type":"invalid_request_error","param":"reasoning.effort","code":"unsupported_value"}}"#,
    ),
    json(
        "invalid_encrypted_content",
        400,
        r#"{"error":{"message":"The encrypted content gAAA… could not be verified. Reason: Encrypted content organization_id did not match the target organization.","type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#,
    ),
    json(
        "context_length_exceeded",
        400,
        r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
    ),
    json(
        "previous_response_not_found",
        400,
        r#"{"error":{"message":"Previous response with id 'resp_x' not found.","type":"invalid_request_error","param":"previous_response_id","code":"previous_response_not_found"}}"#,
    ),
    json(
        "websocket_connection_limit_reached",
        400,
        r#"{"error":{"message":"Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.","type":"invalid_request_error","param":null,"code":"websocket_connection_limit_reached"}}"#,
    ),
    json(
        "token_expired",
        401,
        r#"{"error":{"message":"Provided authentication token is expired. Please try signing in again.","type":null,"code":"token_expired","param":null},"status":401}"#,
    ),
    json(
        "token_invalidated",
        401,
        r#"{"error":{"message":"Your authentication token has been invalidated. Please try signing in again.","type":"invalid_request_error","code":"token_invalidated","param":null},"status":401}"#,
    ),
    with(
        "unauthorized_detail",
        401,
        &[
            ("x-openai-authorization-error", "unauthorized"),
            ("x-error-json", "eyJlcnJvciI6eyJjb2RlIjoidG9rZW5fZXhwaXJlZCJ9fQ=="),
        ],
        r#"{"detail":"Unauthorized"}"#,
    ),
    json(
        "account_deactivated",
        401,
        r#"{"error":{"message":"Your OpenAI account has been deactivated, please check your email for more information.","type":"invalid_request_error","code":"account_deactivated","param":null},"status":401}"#,
    ),
    json("deactivated_workspace", 402, r#"{"detail":{"code":"deactivated_workspace"}}"#),
    json(
        "workspace_disabled",
        403,
        r#"{"error":{"message":"This workspace has been disabled.","type":"invalid_request_error","param":null,"code":"workspace_disabled"}}"#,
    ),
    Entry {
        name: "cloudflare_challenge",
        status: 403,
        content_type: "text/html; charset=UTF-8",
        headers: CHALLENGE,
        body: "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><script src=\"/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1\"></script>Cloudflare</body></html>",
    },
    with(
        "usage_limit_reached",
        429,
        CODEX_FULL,
        r#"{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","plan_type":"plus","resets_at":{resets_at},"eligible_promo":null,"resets_in_seconds":{resets_in}}}"#,
    ),
    json(
        "usage_not_included",
        429,
        r#"{"error":{"type":"usage_not_included","message":"Your plan does not include this model.","plan_type":"free"}}"#,
    ),
    json(
        "model_at_capacity",
        503,
        r#"{"error":{"message":"Selected model is at capacity. Please try a different model."}}"#,
    ),
    json(
        "server_is_overloaded",
        503,
        r#"{"error":{"message":"Our servers are currently overloaded. Please try again later.","type":"service_unavailable_error","param":null,"code":"server_is_overloaded"}}"#,
    ),
    json(
        "slow_down",
        503,
        r#"{"error":{"message":"Slow down.","type":"service_unavailable_error","param":null,"code":"slow_down"}}"#,
    ),
    Entry {
        name: "bad_gateway_html",
        status: 502,
        content_type: "text/html",
        headers: &[("server", "cloudflare")],
        body: "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>",
    },
    json(
        "server_error",
        500,
        r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}"#,
    ),
    // 200 that is none.
    json(
        "error_with_200",
        200,
        r#"{"error":{"message":"The usage limit has been reached","type":"usage_limit_reached","param":null,"code":"usage_limit_reached"}}"#,
    ),
    // OpenAI API keys.
    json(
        "invalid_api_key",
        401,
        r#"{"error":{"message":"Incorrect API key provided: sk-…. You can find your API key at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
    ),
    with(
        "rate_limit_exceeded",
        429,
        &[
            ("retry-after", "12"),
            ("retry-after-ms", "11054"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "11.054s"),
        ],
        r#"{"error":{"message":"Rate limit reached for {model} in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 11.054s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
    ),
    json(
        "insufficient_quota",
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
    ),
    json(
        "credit_balance_exhausted",
        429,
        r#"{"error":{"message":"Your credit balance is exhausted.","type":"insufficient_quota","param":null,"code":"credit_balance_exhausted"}}"#,
    ),
    json(
        "project_spend_limit_exceeded",
        429,
        r#"{"error":{"message":"Project spend limit exceeded.","type":"insufficient_quota","param":null,"code":"project_spend_limit_exceeded"}}"#,
    ),
    json(
        "organization_spend_limit_exceeded",
        429,
        r#"{"error":{"message":"Organization spend limit exceeded.","type":"insufficient_quota","param":null,"code":"organization_spend_limit_exceeded"}}"#,
    ),
    json(
        "model_not_found",
        404,
        r#"{"error":{"message":"The model `{model}` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
    ),
    json(
        "unsupported_country",
        403,
        r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#,
    ),
    // Anthropic.
    with(
        "claude_five_hour_rejected",
        429,
        CLAUDE_FULL,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit. Please try again later."},"request_id":"req_fake"}"#,
    ),
    with(
        "claude_model_window_rejected",
        429,
        CLAUDE_MODEL_FULL,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit. Please try again later."},"request_id":"req_fake"}"#,
    ),
    with(
        "claude_bare_429",
        429,
        &[("x-should-retry", "true")],
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Error"},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_spend_limit",
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Spend limit reached.","details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_fake"}"#,
    ),
    with(
        "claude_ramp_limit",
        429,
        &[("retry-after", "30")],
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down your ramp.","details":{"error_code":"ramp_limit_exceeded"}},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_organization_on_hold",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This organization is on hold.","details":{"error_code":"organization_on_hold","appeal_url":"https://example.test/appeal"}},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_organization_disabled",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This organization has been disabled."},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_not_claude_code",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This credential is only authorized for use with Claude Code and cannot be used for other API requests."},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_prompt_too_long",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_token_expired",
        401,
        r#"{"type":"error","error":{"type":"authentication_error","message":"OAuth token has expired. Please obtain a new token or refresh your existing token."},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_billing",
        402,
        r#"{"type":"error","error":{"type":"billing_error","message":"Your credit balance is too low."},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_permission",
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"Your account does not have access to {model}."},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_model_not_found",
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"model: {model}"},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_thread_not_found",
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"Thread not found.","details":{"error_code":"thread_not_found"}},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_too_large",
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_api_error",
        500,
        r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"},"request_id":"req_fake"}"#,
    ),
    json(
        "claude_overloaded",
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_fake"}"#,
    ),
    // Google.
    json(
        "google_rate_limit",
        429,
        r#"{"error":{"code":429,"message":"Rate limit exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"cloudcode-pa.googleapis.com","metadata":{"model":"{model}"}},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.07s"}]}}"#,
    ),
    json(
        "google_daily_quota",
        429,
        r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#,
    ),
    json(
        "google_quota_exhausted",
        429,
        r#"{"error":{"code":429,"message":"Quota exhausted","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED","domain":"cloudcode-pa.googleapis.com","metadata":{"model":"{model}","quotaResetDelay":"3600s"}}]}}"#,
    ),
    json(
        "google_capacity",
        429,
        r#"{"error":{"code":429,"message":"No capacity available for model {model}","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MODEL_CAPACITY_EXHAUSTED","domain":"cloudcode-pa.googleapis.com","metadata":{"model":"{model}"}}]}}"#,
    ),
    json(
        "google_validation_required",
        403,
        r#"{"error":{"code":403,"message":"Verify your account to continue.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"VALIDATION_REQUIRED","domain":"cloudcode-pa.googleapis.com","metadata":{}}]}}"#,
    ),
    json(
        "google_unauthenticated",
        401,
        r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}"#,
    ),
    json(
        "google_unavailable",
        503,
        r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
    ),
    // Token endpoints.
    json(
        "refresh_token_reused",
        401,
        r#"{"error":{"message":"Your refresh token has already been used to generate a new access token. Please try signing in again.","type":"invalid_request_error","param":null,"code":"refresh_token_reused"}}"#,
    ),
    json(
        "invalid_grant",
        400,
        r#"{"error":"invalid_grant","error_description":"Refresh token not found or invalid"}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Content;
    use std::collections::BTreeSet;

    #[test]
    fn every_recorded_reply_has_its_own_name_and_a_body_that_parses() {
        let distinct: BTreeSet<_> = names().into_iter().collect();
        assert_eq!(distinct.len(), ENTRIES.len());
        for entry in ENTRIES {
            let reply = reply(entry.name, "gpt-5.1", 1_000).expect("known");
            let Content::Whole(body) = &reply.content else {
                panic!("{} is streamed", entry.name);
            };
            let text = String::from_utf8_lossy(body);
            assert!(!text.contains("{resets") && !text.contains("{model}"), "{}: {text}", entry.name);
            if entry.content_type == "application/json" {
                assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok(), "{}: {text}", entry.name);
            }
        }
        assert!(reply("no_such_reply", "", 0).is_none());
    }
}
