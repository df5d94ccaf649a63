use crate::app::App;
use crate::auth::import::Client;
use crate::auth::{LoginFlow, ways_of};
use crate::model::Provider;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// `GET /api/providers`: what an account can be added for, and how.
#[derive(Serialize, JsonSchema)]
pub(super) struct ProvidersView {
    providers: Vec<ProviderView>,
    /// Programs whose logins can be taken over.
    programs: Vec<ProgramView>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderView {
    id: String,
    name: String,
    /// Kinds of credential that it takes.
    kinds: Vec<&'static str>,
    /// Ways to sign in, the one that is taken unless another is asked for first; none where there is no sign-in.
    flows: Vec<&'static str>,
    /// Whether tokens are granted without a login.
    grants_by_itself: bool,
}

#[derive(Serialize, JsonSchema)]
struct ProgramView {
    id: &'static str,
    name: &'static str,
}

/// `GET /api/providers`
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<ProvidersView> {
    let world = app.state.snapshot();
    let programs = Client::ALL.map(|client| ProgramView { id: client.as_str(), name: client.title() });
    Json(ProvidersView {
        providers: world.providers.iter().map(|preset| ProviderView::of(preset)).collect(),
        programs: programs.into(),
    })
}

impl ProviderView {
    fn of(preset: &Provider) -> Self {
        Self {
            id: preset.id.to_string(),
            name: preset.name.clone(),
            kinds: preset.inject.keys().map(|kind| kind.as_str()).collect(),
            flows: ways_of(preset).into_iter().map(LoginFlow::as_str).collect(),
            grants_by_itself: preset.grants_by_itself(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::world::{provider, with_login};

    #[test]
    fn a_provider_tells_which_credentials_and_which_ways_to_sign_in_it_has() {
        let plain = ProviderView {
            id: "p".to_owned(),
            name: "P".to_owned(),
            kinds: vec!["api-key", "bearer", "oauth"],
            flows: Vec::new(),
            grants_by_itself: false,
        };
        assert_eq!(ProviderView::of(&provider()), plain);
        assert_eq!(
            ProviderView::of(&with_login(provider())),
            ProviderView { flows: vec!["device"], ..plain }
        );
    }
}
