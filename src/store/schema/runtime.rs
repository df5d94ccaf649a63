//! `runtime/<id>`: what serving taught us of one account. It may be up to five seconds old after a crash, and an
//! account without it starts as one of which nothing is known.
use super::fields::{BadField, Fields, Object};
use crate::model::{
    Account, Cooling, CoolingSource, CredentialState, FaultClass, Health, LimitSample, LimitSource,
    LimitWindow, Limits, ModelName, Renewal, Time,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a runtime record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct Runtime {
    pub(in crate::store) limits: Limits,
    pub(in crate::store) health: Health,
    pub(in crate::store) renewal: Renewal,
    pub(in crate::store) refused: Option<Refused>,
}

/// That the provider refused a credential for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Refused {
    pub(in crate::store) since: Time,
    pub(in crate::store) detail: String,
    /// Which; a newer credential is not meant.
    pub(in crate::store) version: u64,
}

impl Runtime {
    /// What is to be kept of `account`.
    pub(in crate::store) fn of(account: &Account) -> Self {
        let refused = match &account.credential {
            CredentialState::NeedsReauth { since, detail, refused } => {
                Some(Refused { since: *since, detail: detail.clone(), version: refused.version })
            }
            CredentialState::Usable(_) | CredentialState::Missing { .. } => None,
        };
        Self {
            limits: account.limits.clone(),
            health: account.health.clone(),
            renewal: account.renewal,
            refused,
        }
    }

    /// Takes a runtime record's fields.
    pub(in crate::store) fn take(fields: &mut Fields) -> Result<Self, BadField> {
        Ok(Self {
            limits: take_limits(fields)?,
            health: take_health(fields)?,
            renewal: Renewal {
                failures: fields.get("renewalFailures")?.unwrap_or_default(),
                not_before: fields.get("renewalNotBefore")?,
            },
            refused: take_refused(fields)?,
        })
    }

    /// The fields, over those that this program does not know.
    pub(in crate::store) fn give(&self, extra: &Map<String, Value>) -> Object {
        let Self { limits, health, renewal, refused } = self;
        let models = health.models.iter();
        let models = models.map(|(model, rest)| (model.as_str().to_owned(), give_cooling(rest).into()));
        let models: Map<String, Value> = models.collect();
        let history = limits.history.iter().map(|sample| give_sample(sample).into());
        let history: Vec<Value> = history.collect();
        let object = Object::over(extra)
            .put("rateLimits", limits.latest.as_ref().map(give_sample))
            .set("rateLimitHistory", history)
            .set("limitStatus", limits.status.as_str())
            .put("limitError", limits.error.clone())
            .time("lastLimitProbeAt", limits.latest.as_ref().map(|sample| sample.at))
            .time("lastLimitErrorAt", limits.failed)
            .set("strikes", health.strikes)
            .set("streak", health.streak)
            .put("cooldown", health.cooling.as_ref().map(give_cooling))
            .put("modelCooldowns", (!models.is_empty()).then_some(models))
            .set("renewalFailures", renewal.failures)
            .time("renewalNotBefore", renewal.not_before);
        match refused {
            Some(Refused { since, detail, version }) => object
                .set("authInvalid", true)
                .time("authInvalidatedAt", Some(*since))
                .set("authInvalidReason", detail.clone())
                .set("authInvalidVersion", *version),
            None => object,
        }
    }
}

fn take_refused(fields: &mut Fields) -> Result<Option<Refused>, BadField> {
    let since: Option<Time> = fields.get("authInvalidatedAt")?;
    let detail: Option<String> = fields.get("authInvalidReason")?;
    let version: Option<u64> = fields.get("authInvalidVersion")?;
    let invalid = fields.get("authInvalid")?.unwrap_or(false);
    Ok(invalid.then(|| Refused {
        since: since.unwrap_or_default(),
        detail: detail.unwrap_or_else(|| "the provider refused it".to_owned()),
        version: version.unwrap_or(1),
    }))
}

fn take_limits(fields: &mut Fields) -> Result<Limits, BadField> {
    let latest = fields.get::<Map<_, _>>("rateLimits")?;
    let latest =
        latest.map(|sample| take_sample(sample).map_err(|bad| bad.within("rateLimits"))).transpose()?;
    let history: Vec<Value> = fields.get("rateLimitHistory")?.unwrap_or_default();
    let from = history.len().saturating_sub(Limits::HISTORY);
    let history = history.into_iter().enumerate().skip(from).map(|(at, sample)| {
        let sample = Fields::of(sample).and_then(|sample| take_sample(sample.rest()));
        sample.map_err(|bad| bad.within(&format!("rateLimitHistory[{at}]")))
    });
    let _: Option<Time> = fields.get("lastLimitProbeAt")?;
    Ok(Limits {
        latest,
        history: history.collect::<Result<_, _>>()?,
        status: fields.get("limitStatus")?.unwrap_or_default(),
        error: fields.get("limitError")?,
        failed: fields.get("lastLimitErrorAt")?,
    })
}

fn take_sample(sample: Map<String, Value>) -> Result<LimitSample, BadField> {
    let mut fields = Fields::of(sample.into())?;
    let model: Option<String> = fields.get("model")?;
    let response = fields.get("responseId")?;
    let endpoint = fields.get("endpoint")?;
    let source = match fields.need::<String>("source")?.as_str() {
        "headers" => LimitSource::Headers { model, response },
        "probe" => LimitSource::Probe {
            model: model.ok_or_else(|| BadField::new("model", "is missing; a probe asks a model"))?,
            response,
        },
        "usage" => LimitSource::Usage { endpoint },
        _ => return Err(BadField::new("source", "must be headers, probe or usage")),
    };
    let windows: Vec<Value> = fields.need("windows")?;
    Ok(LimitSample {
        at: fields.need("at")?,
        source,
        windows: windows.into_iter().map(take_window).collect::<Result<_, _>>()?,
    })
}

fn take_window(window: Value) -> Result<LimitWindow, BadField> {
    let mut fields = Fields::of(window)?;
    let remaining: f64 = fields.need("remaining")?;
    if !(0.0..=100.0).contains(&remaining) {
        return Err(BadField::new("remaining", format!("is {remaining}; it must be 0 to 100")));
    }
    Ok(LimitWindow { name: fields.need::<String>("name")?.into(), remaining, resets: fields.get("resetAt")? })
}

fn give_sample(sample: &LimitSample) -> Object {
    let windows = sample.windows.iter().map(|window| {
        Object::default()
            .set("name", window.name.as_ref())
            .set("remaining", window.remaining)
            .time("resetAt", window.resets)
            .into()
    });
    let windows: Vec<Value> = windows.collect();
    let source = &sample.source;
    Object::default()
        .time("at", Some(sample.at))
        .set("source", source.kind())
        .put("model", source.model().map(str::to_owned))
        .put("endpoint", source.endpoint().map(str::to_owned))
        .put("responseId", source.response().map(str::to_owned))
        .set("windows", windows)
}

fn take_health(fields: &mut Fields) -> Result<Health, BadField> {
    let cooling = fields.get::<Map<_, _>>("cooldown")?;
    let cooling =
        cooling.map(|cooling| take_cooling(cooling).map_err(|bad| bad.within("cooldown"))).transpose()?;
    let mut models = BTreeMap::new();
    let given: Map<String, Value> = fields.get("modelCooldowns")?.unwrap_or_default();
    for (name, cooling) in given.into_iter().take(Health::MODELS) {
        let within = |bad: BadField| bad.within("modelCooldowns");
        let model = ModelName::try_from(name).map_err(|bad| within(BadField::new("key", bad.to_string())))?;
        let cooling = Fields::of(cooling).and_then(|cooling| take_cooling(cooling.rest()));
        models.insert(model, cooling.map_err(within)?);
    }
    Ok(Health {
        strikes: fields.get("strikes")?.unwrap_or_default(),
        streak: fields.get("streak")?.unwrap_or_default(),
        cooling,
        models,
    })
}

fn take_cooling(cooling: Map<String, Value>) -> Result<Cooling, BadField> {
    let mut fields = Fields::of(cooling.into())?;
    let class: FaultClass = fields.need("reason")?;
    let source: CoolingSource = fields.need("source")?;
    Ok(Cooling { until: fields.need("until")?, class, source, since: fields.need("since")? })
}

fn give_cooling(cooling: &Cooling) -> Object {
    Object::default()
        .time("until", Some(cooling.until))
        .set("reason", cooling.class.as_str())
        .set("source", cooling.source.as_str())
        .time("since", Some(cooling.since))
}
