use super::ApiError;
use super::accounts::{group_of, named, notes_of, one, tags_of, weight_of};
use super::extract::{Asker, Given, Named};
use super::shape::{Label, Labels, Note, Share};
use super::view::AccountView;
use crate::app::App;
use crate::engine::{Command, Edit};
use crate::model::{AccountId, Alias};
use crate::state::Change;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

/// What is to be changed; what is left out stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object with one or more of alias, weight, tags, notes, quotaGroup"
)]
pub(super) struct EditAccount {
    /// Its new name.
    #[schemars(with = "Option<Alias>")]
    alias: Option<String>,
    /// Its share under the weighted strategy: above 0, at most 1.
    #[schemars(with = "Option<Share>")]
    weight: Option<f64>,
    #[schemars(with = "Option<Labels>")]
    tags: Option<Vec<String>>,
    #[schemars(with = "Option<Note>")]
    notes: Option<String>,
    /// Null takes it out of its group.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Label>")]
    quota_group: Option<Option<String>>,
}

/// Null is something that was given, and not the same as nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl EditAccount {
    fn read(self) -> Result<Edit, ApiError> {
        let alias = self.alias.map(Alias::try_from).transpose();
        Ok(Edit {
            alias: alias.map_err(|bad| ApiError::invalid("alias", bad))?,
            weight: self.weight.map(weight_of).transpose()?,
            tags: self.tags.map(tags_of).transpose()?,
            notes: self.notes.map(notes_of).transpose()?,
            quota_group: match self.quota_group {
                Some(Some(group)) => Some(Some(group_of(group)?)),
                Some(None) => Some(None),
                None => None,
            },
        })
    }
}

/// `PATCH /api/accounts/{alias}`: all of it or nothing; 200 with the account under its name of now. Its sessions, limits,
/// credential, rests and force stay with it.
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Named(alias): Named,
    Asker(by): Asker,
    Given(edit): Given<EditAccount>,
) -> Result<Json<AccountView>, ApiError> {
    let (alias, _change) = begin(&app, &alias)?;
    let edit = edit.read()?;
    let after = edit.alias.clone().unwrap_or_else(|| alias.clone());
    if edit == Edit::default() {
        let constraint = "give at least one of alias, weight, tags, notes, quotaGroup";
        return Err(ApiError::invalid("body", constraint));
    }
    let command = Command::AccountEdited { alias, edit: Box::new(edit) };
    let world = app.state.commit_by(command, by).await?;
    Ok(Json(one(&app, &world, &after)?))
}

/// The account called `alias`, to be changed by nobody else until the guard is dropped: of a form that was sent twice,
/// one wins (ADM-4).
pub(super) fn begin(app: &App, alias: &str) -> Result<(Alias, Change), ApiError> {
    let world = app.state.snapshot();
    let alias = named(&world, alias)?;
    let id = world.by_alias(&alias).map_or(AccountId(0), |account| account.id);
    let change = app.state.change(id).ok_or_else(|| ApiError::in_progress(&alias))?;
    Ok((alias, change))
}
