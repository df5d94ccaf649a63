use super::App;
use crate::config::{Config, Loaded, Problem, Sources};
use crate::engine::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long a person's change is waited for: as long as a caller waits for its own to be durable. Longer, and a disk that
/// answers no more would keep the daemon from hearing any signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the configuration again. Settings and presets hold from the next request on; what is fixed at the start
/// (addresses, directories, TLS, bounds) is named if it differs. A bad configuration changes nothing.
pub(super) async fn reload(app: &App, sources: &Sources) {
    // A person's change ends first: it is checked with the layers that it was begun with.
    let _alone = tokio::select! {
        alone = app.retuning.acquire() => alone,
        () = app.clock.sleep_until(app.clock.now().after(PATIENCE)) => {
            tracing::error!(
                "the configuration was not reloaded: a change of settings waits for the disk; send SIGHUP again"
            );
            return;
        }
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
    tell(&warnings);
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

/// What is odd, in the log.
pub(super) fn tell(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(%warning, "the configuration");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::bench::Bench;
    use std::fs;

    /// PRX-6 ADM-5: a reload waits for a change that is being written, but not for ever, and then changes nothing.
    #[tokio::test]
    async fn a_reload_gives_up_on_a_change_that_waits_for_the_disk() {
        let bench = Bench::new().await;
        let (app, sources) = (Arc::clone(&bench.app), bench.sources());
        let file = app.config.load().config_file.clone();
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(&file, "[rotation]\nmax_attempts = 2\n").expect("a file");
        let attempts = || app.state.snapshot().settings.max_attempts;
        let before = attempts();
        let stuck = app.retuning.acquire().await.expect("it is free");
        let reloading = tokio::spawn({
            let (app, sources) = (Arc::clone(&app), sources.clone());
            async move { reload(&app, &sources).await }
        });
        bench.asleep().await;
        bench.clock.advance(PATIENCE);
        reloading.await.expect("it ends");
        assert_eq!(attempts(), before);
        drop(stuck);
        reload(&app, &sources).await;
        assert_ne!(attempts(), before);
    }
}
