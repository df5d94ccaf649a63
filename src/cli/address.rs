//! Where rota listens, or would, as programs have to be told.
use super::api::{Daemon, runtime, succeed};
use super::{CliError, Exit, Setup};
use crate::app::ServerInfo;
use crate::clients::base;
use crate::config::Config;
use crate::store::{FileBackend, keeps_client_keys};
use http::Method;
use rustix::process::{Pid, test_kill_process};
use std::time::Duration;

/// How long a shell that starts may wait for rota's word.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where rota is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What stands for `{base}` in the table of clients.
    pub(super) base: String,
    /// Whether one runs there.
    pub(super) runs: Runs,
    /// Whether clients need a key: by its own word where it runs, else by the configuration and the store.
    pub(super) keyed: Keyed,
}

/// Whether a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    No,
    Yes,
}

/// Whether a rota runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    No,
    Yes,
}

impl Address {
    /// The running rota's; else the one that is configured. It keeps no lock and waits for nobody for long, for it may be
    /// asked whenever a shell starts.
    pub(super) fn find(setup: &Setup) -> Result<Self, CliError> {
        let config = Config::load(&setup.sources)?.config;
        let kept = FileBackend::existing(&config.state_dir).is_ok_and(|backend| keeps_client_keys(&backend));
        let asks = config.require_client_key || !config.client_keys.is_empty() || kept;
        let keyed = if asks { Keyed::Yes } else { Keyed::No };
        if let Some(info) = ServerInfo::read(&config.state_dir).filter(|info| is_alive(info.pid)) {
            let keyed = asked(setup, &config).unwrap_or(keyed);
            return Ok(Self { base: base(info.proxy), runs: Runs::Yes, keyed });
        }
        let configured = config.listen.first().and_then(|listen| listen.addresses().first().copied());
        match configured.filter(|address| address.port() != 0) {
            Some(address) => Ok(Self { base: base(address), runs: Runs::No, keyed }),
            None => Err(CliError {
                exit: Exit::NotRunning,
                message: "rota takes any free port (`listen` has port 0), so where it listens is not known before it \
                          runs; start it with `rota serve`"
                    .to_owned(),
            }),
        }
    }
}

/// What a running rota says of keys; none where it says nothing in time.
fn asked(setup: &Setup, config: &Config) -> Option<Keyed> {
    let asked = async {
        let daemon = Daemon::find(setup, config).await.ok()??;
        let keys = daemon.ask(Method::GET, "/api/keys", None).await.and_then(succeed).ok()?;
        keys["required"].as_bool()
    };
    let required = runtime().ok()?.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    required.ok()?.map(|required| if required { Keyed::Yes } else { Keyed::No })
}

/// True while there is such a process.
pub(super) fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}
