use super::App;
use crate::config::{Config, Loaded, Sources};
use crate::engine::Command;
use std::sync::Arc;

/// Reads the configuration again. Settings and presets hold from the next request on; what is fixed at the start
/// (addresses, directories, TLS, bounds) is named if it differs. A bad configuration changes nothing.
pub(super) async fn reload(app: &App, sources: &Sources) {
    // A person's change ends first: it is checked with the layers that it was begun with.
    let Ok(_alone) = app.retuning.acquire().await else {
        return;
    };
    let loaded = match Config::load(&sources.clone().with_persisted(app.store.settings())) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "the configuration was not reloaded; the old one stays in force");
            return;
        }
    };
    let tuning = loaded.tuning();
    let Loaded { config, warnings, .. } = loaded;
    let old = app.config.load();
    for fixed in fixed_changes(&old, &config) {
        tracing::warn!(setting = fixed, "a change of this setting needs a restart");
    }
    let providers = config.providers.iter().cloned().map(Arc::new).collect();
    let command = Command::Reconfigured { settings: config.settings.clone(), providers };
    match app.state.apply(command) {
        Ok(_) => {
            app.config.store(Arc::new(config));
            app.tuning.store(Arc::new(tuning));
            app.warnings.store(Arc::new(warnings));
            tracing::info!("the configuration was reloaded");
        }
        Err(rejection) => tracing::error!(%rejection, "the configuration was not reloaded"),
    }
}

/// Settings that differ and hold from a start on only.
fn fixed_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut note = |name, changed: bool| {
        if changed {
            names.push(name);
        }
    };
    note("listen", old.listen != new.listen);
    note("admin_listen", old.admin_listen != new.admin_listen);
    note("allowed_uids", old.allowed_uids != new.allowed_uids);
    note("admin_socket", old.admin_socket != new.admin_socket);
    note("state_dir", old.state_dir != new.state_dir);
    note("limits", old.limits != new.limits);
    note("timeouts", old.timeouts != new.timeouts);
    note("tls", old.tls_roots != new.tls_roots);
    note("encryption", old.encryption != new.encryption);
    note("log", old.log != new.log);
    names
}
