//! What people and programs may see. No field here can hold a secret.
use super::force::{ForceEnded, ForceView};
use super::job::JobView;
use super::stats::{CapacityView, DayView};
use crate::app::App;
use crate::auth::JobReport;
use crate::engine::{Eligibility, confidence, eligibility, reason_to_sign_in};
use crate::lease::Leases;
use crate::limits::ProbeReport;
use crate::model::{
    Account, Cooling, CredentialState, JobState, LimitSource, LimitWindow, Snapshot, Switch, Time,
};
use crate::notify::remedy;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A time as RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stamp(#[schemars(extend("format" = "date-time"))] String);

impl From<Time> for Stamp {
    fn from(at: Time) -> Self {
        let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        let stamp = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        Self(stamp.to_string())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `GET /api/accounts`
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct AccountsView {
    pub(super) accounts: Vec<AccountView>,
}

impl AccountsView {
    pub(super) fn of(app: &App, world: &Snapshot) -> Self {
        let now = app.clock.now();
        let view = |account: &std::sync::Arc<Account>| {
            let view = AccountView::of(account, world, app.state.leases(), now);
            view.with_sign_in(app.logins.latest_of(&account.alias))
                .with_refresh(app.prober.report(account.id))
        };
        Self { accounts: world.accounts.iter().map(view).collect() }
    }
}

/// One account (ADM-3).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    alias: String,
    provider: String,
    enabled: bool,
    disabled_at: Option<Stamp>,
    disabled_by: Option<&'static str>,
    disable_reason: Option<String>,
    tags: Vec<String>,
    notes: String,
    weight: f64,
    quota_group: Option<String>,
    eligibility: EligibilityView,
    health: HealthView,
    limits: LimitsView,
    credential: CredentialView,
    in_flight: u32,
    last_used_at: Option<Stamp>,
    forced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reauth: Option<JobView>,
}

/// Whether a request could be given to the account now, and if not, why and until when.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EligibilityView {
    state: &'static str,
    /// In the words of FLO-7, or the class of what it rests for.
    reason: Option<&'static str>,
    until: Option<Stamp>,
    /// What a person types to mend it; none where it mends itself.
    fix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HealthView {
    strikes: u32,
    cooldown: Option<CoolingView>,
    models: BTreeMap<String, CoolingView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CoolingView {
    until: Stamp,
    why: &'static str,
    source: &'static str,
    since: Stamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LimitsView {
    windows: Vec<WindowView>,
    /// Where they come from; none while nothing was ever observed (LIM-6).
    source: Option<SourceView>,
    /// How far the latest refresh is: `idle`, `queued`, `running`, `success`, `error` or `stopped` (REN-7).
    refresh: &'static str,
    limits_confidence: &'static str,
    limit_status: &'static str,
    limit_error: Option<String>,
    last_limit_probe_at: Option<Stamp>,
    last_limit_error_at: Option<Stamp>,
}

/// Where an observation comes from.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceView {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WindowView {
    window: String,
    remaining_percent: f64,
    resets_at: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialView {
    state: &'static str,
    detail: Option<String>,
    kind: Option<&'static str>,
    version: u64,
    expires_at: Option<Stamp>,
    renews_itself: bool,
    renewal_failures: u32,
    plan: Option<String>,
    email: Option<String>,
}

impl AccountView {
    /// What may be shown of `account`.
    pub fn of(account: &Account, world: &Snapshot, leases: &Leases, now: Time) -> Self {
        let (disabled_at, disabled_by, disable_reason) = match &account.switch {
            Switch::On => (None, None, None),
            Switch::Off { at, by, reason } => (Some(Stamp::from(*at)), Some(by.as_str()), reason.clone()),
        };
        Self {
            alias: account.alias.to_string(),
            provider: account.provider.to_string(),
            enabled: account.is_on(),
            disabled_at,
            disabled_by,
            disable_reason,
            tags: account.tags.clone(),
            notes: account.notes.clone(),
            weight: account.weight.share(),
            quota_group: account.quota_group.as_deref().map(str::to_owned),
            eligibility: EligibilityView::of(account, world, now),
            health: HealthView::of(account, now),
            limits: LimitsView::of(account, now),
            credential: CredentialView::of(account),
            in_flight: leases.on_account(account.id),
            last_used_at: leases.last_used(account.id).map(Stamp::from),
            forced: world.forced(now) == Some(account.id),
            reauth: None,
        }
    }

    /// The same with the account's latest sign-in, if there is one.
    pub(super) fn with_sign_in(self, job: Option<JobReport>) -> Self {
        Self { reauth: job.map(JobView::from), ..self }
    }

    /// The same with how far the latest refresh of its limits is.
    pub(super) fn with_refresh(mut self, job: Option<ProbeReport>) -> Self {
        self.limits.refresh = job.map_or(JobState::IDLE, |job| job.state.shown_refresh());
        self
    }

    /// The account's name.
    pub fn alias(&self) -> &str {
        &self.alias
    }
}

impl EligibilityView {
    fn of(account: &Account, world: &Snapshot, now: Time) -> Self {
        let state = eligibility(account, None, &world.settings, now);
        if state != Eligibility::NeedsReauth {
            return state.into();
        }
        let provider = world.provider(&account.provider);
        Self {
            reason: Some(reason_to_sign_in(account).as_str()),
            fix: Some(remedy(account, provider.map(Arc::as_ref))),
            ..state.into()
        }
    }
}

impl From<Eligibility> for EligibilityView {
    fn from(eligibility: Eligibility) -> Self {
        let cooling = match eligibility {
            Eligibility::Cooling(cooling) | Eligibility::ModelRefused(cooling) => Some(cooling),
            Eligibility::Critical
            | Eligibility::Disabled
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::NeedsReauth
            | Eligibility::Probation => None,
        };
        Self {
            state: eligibility.as_str(),
            reason: cooling.map(|cooling| cooling.class.as_str()),
            until: cooling.map(|cooling| cooling.until.into()),
            fix: None,
        }
    }
}

impl HealthView {
    fn of(account: &Account, now: Time) -> Self {
        let models = account.health.models.iter().filter(|(_, cooling)| cooling.until > now);
        Self {
            strikes: account.health.strikes,
            cooldown: account
                .health
                .cooling
                .as_ref()
                .filter(|cooling| cooling.until > now)
                .map(CoolingView::of),
            models: models.map(|(model, cooling)| (model.to_string(), CoolingView::of(cooling))).collect(),
        }
    }
}

impl CoolingView {
    fn of(cooling: &Cooling) -> Self {
        Self {
            until: cooling.until.into(),
            why: cooling.class.as_str(),
            source: cooling.source.as_str(),
            since: cooling.since.into(),
        }
    }
}

impl LimitsView {
    fn of(account: &Account, now: Time) -> Self {
        let limits = &account.limits;
        let windows = limits.latest.iter().flat_map(|sample| &sample.windows);
        Self {
            windows: windows.map(WindowView::of).collect(),
            source: limits.latest.as_ref().map(|sample| SourceView::of(&sample.source)),
            refresh: JobState::IDLE,
            limits_confidence: confidence(limits, now).as_str(),
            limit_status: limits.status.as_str(),
            limit_error: limits.error.clone(),
            last_limit_probe_at: limits.latest.as_ref().map(|sample| sample.at.into()),
            last_limit_error_at: limits.failed.map(Stamp::from),
        }
    }
}

impl SourceView {
    pub(super) fn of(source: &LimitSource) -> Self {
        Self {
            kind: source.kind(),
            model: source.model().map(str::to_owned),
            endpoint: source.endpoint().map(str::to_owned),
            response_id: source.response().map(str::to_owned),
        }
    }
}

impl WindowView {
    pub(super) fn of(window: &LimitWindow) -> Self {
        Self {
            window: window.name.to_string(),
            remaining_percent: window.remaining,
            resets_at: window.resets.map(Stamp::from),
        }
    }
}

impl CredentialView {
    fn of(account: &Account) -> Self {
        let (state, detail) = match &account.credential {
            CredentialState::Missing { detail } => ("missing", Some(detail.clone())),
            CredentialState::NeedsReauth { detail, .. } => ("needs-reauth", Some(detail.clone())),
            CredentialState::Usable(_) => ("usable", None),
        };
        let credential = account.credential.credential();
        Self {
            state,
            detail,
            kind: credential.map(|credential| credential.kind.as_str()),
            version: account.credential.version(),
            expires_at: credential.and_then(|credential| credential.expires).map(Stamp::from),
            renews_itself: credential
                .is_some_and(|credential| credential.refresh.is_some() || credential.self_granted),
            renewal_failures: account.renewal.failures,
            plan: credential.and_then(|credential| credential.identity.plan.clone()),
            email: credential.and_then(|credential| credential.identity.email.clone()),
        }
    }
}

/// `GET /api/status`: everything `rota status` shows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// rota's version.
    pub version: &'static str,
    /// When it started.
    pub started_at: Stamp,
    /// The server's time, so that a reader can say "in 6 min".
    pub now: Stamp,
    /// Where the proxy listens.
    pub proxy: Vec<String>,
    /// Where the admin API listens.
    pub admin: Option<String>,
    /// The strategy in force.
    pub strategy: &'static str,
    /// The pin, if any.
    pub force: Option<ForceView>,
    /// The last pin, where it ended because its account could not serve: what a page tells until somebody acts.
    pub force_ended: Option<ForceEnded>,
    /// How the store is.
    pub store: StoreView,
    /// All accounts.
    pub accounts: Vec<AccountView>,
    /// What came of the requests of the last 24 hours; none where nobody serves.
    pub day: Option<DayView>,
    /// What is left in all; none where nobody serves.
    pub capacity: Option<CapacityView>,
    /// Providers whose circuit breaker is open, and until when.
    pub open_breakers: BTreeMap<String, Stamp>,
    /// Providers that are shown no login, because two were refused for good, and until when (FLO-5).
    pub cut_off: BTreeMap<String, Stamp>,
}

/// How saving goes, and what loading found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreView {
    /// Where it is.
    pub directory: String,
    /// The newest change is on disk.
    pub saved: bool,
    /// Since when it is not.
    pub unsaved_since: Option<Stamp>,
    /// What the last failed write said.
    pub last_error: Option<String>,
    /// What was damaged, restored or kept aside when the store was read.
    pub findings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AccountId, Actor, Alias, CoolingSource, Credential, CredentialKind, FaultClass, Force, Health,
        Identity, LimitSample, Limits, ProviderId, Renewal, Secret, Settings, Weight,
    };
    use serde_json::json;

    const NOW: Time = Time::from_secs(1_800_000_000);

    /// ADM-3
    #[test]
    fn a_view_shows_all_of_an_account_but_its_secrets() {
        let account = spent();
        let world = Snapshot {
            force: Some(Force { account: account.id, since: NOW, until: later(86_400), by: Actor::Admin }),
            accounts: vec![Arc::new(account.clone())],
            ..Snapshot::empty(Settings::default(), Vec::new())
        };
        let view = AccountView::of(&account, &world, &Leases::default(), NOW);
        let shown = serde_json::to_value(&view).expect("a view is JSON");
        let expected = json!({
            "alias": "work", "provider": "p", "enabled": true, "disabledAt": null, "disabledBy": null,
            "disableReason": null, "tags": ["team"], "notes": "ours", "weight": 0.5, "quotaGroup": "org",
            "eligibility": {"state": "cooling", "reason": "quota-window", "until": "2027-01-15T09:00:00Z", "fix": null},
            "health": {
                "strikes": 2,
                "cooldown": {
                    "until": "2027-01-15T09:00:00Z", "why": "quota-window", "source": "body",
                    "since": "2027-01-15T08:00:00Z",
                },
                "models": {},
            },
            "limits": {
                "windows": [{"window": "5h", "remainingPercent": 12.5, "resetsAt": "2027-01-15T09:00:00Z"}],
                "source": {"kind": "usage", "endpoint": "/usage"}, "refresh": "idle",
                "limitsConfidence": "fresh", "limitStatus": "success", "limitError": null,
                "lastLimitProbeAt": "2027-01-15T08:00:00Z", "lastLimitErrorAt": null,
            },
            "credential": {
                "state": "usable", "detail": null, "kind": "oauth", "version": 7,
                "expiresAt": "2027-01-15T10:00:00Z", "renewsItself": true, "renewalFailures": 0,
                "plan": "plus", "email": "a@example.com",
            },
            "inFlight": 0,
                "lastUsedAt": null, "forced": true,
        });
        assert_eq!(shown, expected);
        let told = format!("{shown} {view:?}");
        assert!(!told.contains("canary"), "{told}");
    }

    fn spent() -> Account {
        let rest = Cooling {
            until: later(3600),
            class: FaultClass::QuotaWindow,
            source: CoolingSource::Body,
            since: NOW,
        };
        let window = LimitWindow { name: "5h".into(), remaining: 12.5, resets: Some(later(3600)) };
        let sample = LimitSample {
            at: NOW,
            source: LimitSource::Usage { endpoint: Some("/usage".to_owned()) },
            windows: vec![window],
        };
        let credential = Credential {
            version: 7,
            kind: CredentialKind::Oauth,
            access: Secret::new("canary-access"),
            refresh: Some(Secret::new("canary-refresh")),
            self_granted: false,
            id_token: Some(Secret::new("canary-id")),
            identity: Identity {
                account: Some("org-1".to_owned()),
                user: Some("user-1".to_owned()),
                plan: Some("plus".to_owned()),
                email: Some("a@example.com".to_owned()),
            },
            issued: NOW,
            expires: Some(later(7200)),
        };
        Account {
            id: AccountId(1),
            alias: Alias::try_from("work").expect("an alias"),
            provider: ProviderId::try_from("p").expect("an id"),
            tags: vec!["team".to_owned()],
            notes: "ours".to_owned(),
            switch: Switch::On,
            weight: Weight::new(0.5).expect("a weight"),
            quota_group: Some("org".into()),
            credential: CredentialState::Usable(Arc::new(credential)),
            renewal: Renewal::default(),
            limits: Limits {
                latest: Some(sample),
                status: crate::model::LimitStatus::Success,
                ..Limits::default()
            },
            health: Health { strikes: 2, cooling: Some(rest), ..Health::default() },
        }
    }

    fn later(seconds: u64) -> Time {
        NOW.after(std::time::Duration::from_secs(seconds))
    }
}
