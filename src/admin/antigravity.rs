use super::ApiError;
use super::view::Stamp;
use crate::antigravity::{PanelAccount, Unread, load};
use crate::app::App;
use crate::config::Antigravity;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `GET /api/antigravity`
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PanelView {
    now: Stamp,
    /// The file that was read, if rota knows where its user's home is.
    file: Option<String>,
    /// Why there is nothing to show.
    problem: Option<String>,
    accounts: Vec<PanelAccountView>,
}

/// One account of the plugin's. It is none of rota's.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PanelAccountView {
    email: Option<String>,
    enabled: bool,
    active: bool,
    needs_verification: bool,
    last_used_at: Option<Stamp>,
    cooling_until: Option<Stamp>,
    cooling_reason: Option<String>,
    /// Quotas that are spent, by the plugin's name for them, and when each fills up.
    spent_until: BTreeMap<String, Stamp>,
}

/// `GET /api/antigravity`, which there is only while the feature is on: what the plugin's file says now.
pub(super) async fn panel(State(app): State<Arc<App>>) -> Result<Json<PanelView>, ApiError> {
    let now = Stamp::from(app.clock.now());
    let file = match &app.config.load().features.antigravity {
        // Switched off since the request came.
        Antigravity::Off => None,
        Antigravity::On { file } => file.clone(),
    };
    let Some(file) = file else {
        let problem = Some("rota knows no home in which to look for the plugin's file".to_owned());
        return Ok(Json(PanelView { now, file: None, problem, accounts: Vec::new() }));
    };
    let shown = file.display().to_string();
    let read: Result<Vec<PanelAccount>, Unread> =
        tokio::task::spawn_blocking(move || load(&file)).await.map_err(|_| ApiError::internal())?;
    let (accounts, problem) = match read {
        Ok(accounts) => (accounts, None),
        Err(unread) => (Vec::new(), Some(unread.to_string())),
    };
    let accounts = accounts.into_iter().map(PanelAccountView::from).collect();
    Ok(Json(PanelView { now, file: Some(shown), problem, accounts }))
}

impl From<PanelAccount> for PanelAccountView {
    fn from(account: PanelAccount) -> Self {
        let spent = account.spent.into_iter();
        Self {
            email: account.email,
            enabled: account.enabled,
            active: account.active,
            needs_verification: account.needs_verification,
            last_used_at: account.last_used.map(Stamp::from),
            cooling_until: account.cooling_until.map(Stamp::from),
            cooling_reason: account.cooling_reason,
            spent_until: spent.map(|(name, at)| (name, Stamp::from(at))).collect(),
        }
    }
}
