use super::ApiError;
use super::extract::{Asked, Asker, Given, GivenOr};
use super::shape::PresetName;
use crate::app::App;
use crate::config::{Antigravity, Config, SettingChange, Tunable, Tuned};
use crate::engine::{Command, Weights};
use crate::model::{Actor, AuditAction, Note, Preset, Snapshot, Weight};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether something is only to be looked at.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Dry {
    /// Nothing is written; the answer says what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What a change is answered with: the settings, or, of a dry run, what would change.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    Page(SettingsView),
    Plan(Plan),
}

/// `GET /api/settings`
#[derive(Serialize, JsonSchema)]
pub(super) struct SettingsView {
    settings: Vec<SettingView>,
    presets: Vec<PresetView>,
}

/// One setting that may change while rota runs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SettingView {
    /// As in rota.toml, with its section.
    key: &'static str,
    /// What is in force.
    value: Value,
    default: Value,
    /// Which layer decides: `default`, `settings`, `file`, `environment`.
    origin: &'static str,
    /// The file or the environment decides, and this API cannot.
    locked: bool,
    /// The variable, option or file.
    locked_by: Option<String>,
    layers: Layers,
    constraint: String,
    description: &'static str,
}

/// What each layer says, the lowest first; null is nothing.
#[derive(Serialize, JsonSchema)]
struct Layers {
    default: Value,
    settings: Option<Value>,
    file: Option<Value>,
    environment: Option<Value>,
}

/// Several settings by one name.
#[derive(Serialize, JsonSchema)]
struct PresetView {
    name: &'static str,
    description: &'static str,
    values: BTreeMap<&'static str, u8>,
}

/// What would change.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plan {
    changes: Vec<ChangeView>,
}

#[derive(Serialize, JsonSchema)]
struct ChangeView {
    /// A setting, or `accounts.ALIAS.weight`.
    key: String,
    before: Value,
    after: Value,
}

/// `GET /api/settings`
pub(super) async fn show(State(app): State<Arc<App>>) -> Json<SettingsView> {
    Json(SettingsView::of(&app))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with settings, which has a value for each key")]
pub(super) struct SetSettings {
    settings: BTreeMap<String, Value>,
}

/// `PUT /api/settings`: all or nothing; what is not named stays as it is.
pub(super) async fn set(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Asked(dry): Asked<Dry>,
    Given(set): Given<SetSettings>,
) -> Result<Json<Answer>, ApiError> {
    let mut changes = Vec::new();
    for (key, value) in set.settings {
        let Some(read) = toml_of(&value) else {
            return Err(ApiError::invalid(&key, "must be a text, a whole number, true or false"));
        };
        changes.push((key, Some(read)));
    }
    let tune = begin(&app)?;
    let tuned = tune.app.tuning.load().change(&app.store.settings(), &changes)?;
    tune.end(tuned, Weights::Keep, &dry, by).await
}

/// Which settings; none is all of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object, optionally with keys")]
pub(super) struct ResetSettings {
    keys: Option<Vec<String>>,
}

/// `POST /api/settings/reset`: keeps no settings, or not these, so that the layers beneath decide.
pub(super) async fn reset(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Asked(dry): Asked<Dry>,
    GivenOr(reset): GivenOr<ResetSettings>,
) -> Result<Json<Answer>, ApiError> {
    let tune = begin(&app)?;
    let (tuning, kept) = (tune.app.tuning.load(), app.store.settings());
    let tuned = match reset.keys {
        Some(keys) => {
            let changes: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
            tuning.change(&kept, &changes)?
        }
        None => tuning.reset(&kept)?,
    };
    tune.end(tuned, Weights::Keep, &dry, by).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with name")]
pub(super) struct TakePreset {
    #[schemars(with = "PresetName")]
    name: String,
}

/// `POST /api/settings/preset` (SEL-7)
pub(super) async fn preset(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Asked(dry): Asked<Dry>,
    Given(take): Given<TakePreset>,
) -> Result<Json<Answer>, ApiError> {
    let Some(preset) = Preset::ALL.into_iter().find(|preset| preset.as_str() == take.name) else {
        let names = Preset::ALL.map(Preset::as_str).join(", ");
        return Err(ApiError::invalid("name", format!("must be one of {names}")));
    };
    let values = thresholds(preset).into_iter();
    let changes: Vec<_> =
        values.map(|(key, value)| (key.to_owned(), Some(i64::from(value).into()))).collect();
    let tune = begin(&app)?;
    let tuned = tune.app.tuning.load().change(&app.store.settings(), &changes)?;
    let weights = if preset.equal_weights() { Weights::Equal } else { Weights::Keep };
    tune.end(tuned, weights, &dry, by).await
}

/// Features that are off until somebody asks for them.
#[derive(Serialize, JsonSchema)]
pub(super) struct FlagsView {
    antigravity: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with antigravity")]
pub(super) struct SetFlags {
    antigravity: bool,
}

/// `GET /api/settings/feature-flags`
pub(super) async fn flags(State(app): State<Arc<App>>) -> Json<FlagsView> {
    Json(FlagsView::of(&app.config.load()))
}

/// `PUT /api/settings/feature-flags`: from the next request on; none under way is touched (ADM-6).
pub(super) async fn set_flags(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Given(set): Given<SetFlags>,
) -> Result<Json<FlagsView>, ApiError> {
    let changes = [("features.antigravity".to_owned(), Some(set.antigravity.into()))];
    let tune = begin(&app)?;
    let tuned = tune.app.tuning.load().change(&app.store.settings(), &changes)?;
    let Json(_) = tune.end(tuned, Weights::Keep, &Dry { dry_run: false }, by).await?;
    Ok(Json(FlagsView::of(&app.config.load())))
}

/// A change of settings from its beginning until it is durable: there is one at a time, or two that fit each by itself
/// could contradict each other together.
struct Tune<'a> {
    app: &'a App,
    _alone: tokio::sync::SemaphorePermit<'a>,
}

fn begin(app: &App) -> Result<Tune<'_>, ApiError> {
    let alone = app.retuning.try_acquire().map_err(|_| ApiError::settings_in_progress())?;
    Ok(Tune { app, _alone: alone })
}

impl Tune<'_> {
    /// Durable first, then in force: a start never finds less than what was acknowledged.
    async fn end(
        self,
        tuned: Tuned,
        weights: Weights,
        dry: &Dry,
        by: Actor,
    ) -> Result<Json<Answer>, ApiError> {
        let app = self.app;
        if dry.dry_run {
            return Ok(Json(Answer::Plan(Plan::of(&tuned, weights, &app.state.snapshot()))));
        }
        let warnings = tuned.remaining(&app.warnings.load());
        let Tuned { kept, settings, features, changes } = tuned;
        let store = Arc::clone(&app.store);
        let kept = tokio::task::spawn_blocking(move || store.set_settings(&kept)).await;
        kept.map_err(|_| ApiError::internal())?.map_err(|error| ApiError::not_kept(&error))?;
        let told = changes.iter().map(note).collect();
        // Whoever began with the configuration that was in force keeps it to the end.
        let config = app.config.load_full();
        app.config.store(Arc::new(Config { settings: settings.clone(), features, ..Config::clone(&config) }));
        app.warnings.store(Arc::new(warnings));
        app.state.commit_by(Command::Tuned { settings, told, weights }, by).await?;
        Ok(Json(Answer::Page(SettingsView::of(app))))
    }
}

fn note(change: &SettingChange) -> Note {
    let (before, after) = (plain(&change.before), plain(&change.after));
    Note::new(AuditAction::SettingChanged, change.key).between(Some(before), Some(after))
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn thresholds(preset: Preset) -> BTreeMap<&'static str, u8> {
    let thresholds = preset.thresholds();
    [("rotation.critical", thresholds.critical()), ("rotation.low", thresholds.low())].into()
}

/// A value as TOML has it; none for what no setting can be.
fn toml_of(value: &Value) -> Option<toml::Value> {
    match value {
        Value::Bool(flag) => Some((*flag).into()),
        Value::Number(number) => number.as_i64().map(Into::into),
        Value::String(text) => Some(text.clone().into()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

fn json_of(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

impl SettingsView {
    fn of(app: &App) -> Self {
        let tunables = app.tuning.load().view(&app.store.settings());
        Self {
            settings: tunables.iter().map(SettingView::of).collect(),
            presets: Preset::ALL.into_iter().map(PresetView::of).collect(),
        }
    }
}

impl SettingView {
    fn of(one: &Tunable) -> Self {
        Self {
            key: one.key,
            value: json_of(&one.value),
            default: json_of(&one.default),
            origin: one.origin.as_str(),
            locked: one.locked_by.is_some(),
            locked_by: one.locked_by.clone(),
            layers: Layers {
                default: json_of(&one.default),
                settings: one.settings.as_ref().map(json_of),
                file: one.file.as_ref().map(json_of),
                environment: one.environment.as_ref().map(json_of),
            },
            constraint: one.constraint.clone(),
            description: one.description,
        }
    }
}

impl PresetView {
    fn of(preset: Preset) -> Self {
        let description = match preset {
            Preset::Aggressive => "higher thresholds: an account leaves early, and keeps a reserve",
            Preset::Balanced => "the defaults, and the same weight for every account",
            Preset::Conservative => "lower thresholds: an account stays longest",
        };
        Self { name: preset.as_str(), description, values: thresholds(preset) }
    }
}

impl FlagsView {
    fn of(config: &Config) -> Self {
        Self { antigravity: config.features.antigravity != Antigravity::Off }
    }
}

impl Plan {
    fn of(tuned: &Tuned, weights: Weights, world: &Snapshot) -> Self {
        let settings = tuned.changes.iter().map(|change| ChangeView {
            key: change.key.to_owned(),
            before: json_of(&change.before),
            after: json_of(&change.after),
        });
        let unequal = world.accounts.iter().filter(|account| account.weight != Weight::FULL);
        let weights = unequal.filter(|_| weights == Weights::Equal).map(|account| ChangeView {
            key: format!("accounts.{}.weight", account.alias),
            before: account.weight.share().into(),
            after: Weight::FULL.share().into(),
        });
        Self { changes: settings.chain(weights).collect() }
    }
}
