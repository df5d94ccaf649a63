//! What single values cannot tell: settings that contradict each other (errors) or are probably not meant (warnings).
use super::layers::Layers;
use super::listen::Listen;
use super::problem::{Place, Problem};
use super::table;
use super::value::{Bad, duration_text};
use super::{Config, Timeouts};
use std::time::Duration;

/// After this long without a reply, clients give up by themselves.
const CLIENTS_GIVE_UP: Duration = Duration::from_secs(300);

/// Looks at the values as a whole.
pub(super) fn check(config: &Config, layers: &Layers, problems: &mut Vec<Problem>) {
    timeouts(&config.timeouts, layers, problems);
    limits(config, layers, problems);
    listeners(config, layers, problems);
    if let Some(problem) = readable_keys(config, layers) {
        problems.push(problem);
    }
}

fn timeouts(timeouts: &Timeouts, layers: &Layers, problems: &mut Vec<Problem>) {
    let Timeouts { connect, first_byte, affinity_idle, affinity_lifetime, run_idle, run_lifetime, .. } =
        *timeouts;
    if connect >= first_byte {
        problems.push(layers.error(
            either(layers, table::CONNECT.about.key, table::FIRST_BYTE.about.key),
            above("connect", connect, "first_byte", first_byte),
        ));
    }
    if affinity_idle > affinity_lifetime {
        problems.push(layers.error(
            either(layers, table::AFFINITY_IDLE.about.key, table::AFFINITY_LIFETIME.about.key),
            above("affinity_idle", affinity_idle, "affinity_lifetime", affinity_lifetime),
        ));
    }
    if run_idle > run_lifetime {
        problems.push(layers.error(
            either(layers, table::RUN_IDLE.about.key, table::RUN_LIFETIME.about.key),
            above("run_idle", run_idle, "run_lifetime", run_lifetime),
        ));
    }
    if first_byte >= CLIENTS_GIVE_UP {
        let bad = Bad::new(
            format!("most clients give up after 300s, before {} are over", duration_text(first_byte)),
            "stay below \"300s\", so that they get a readable answer",
        );
        problems.push(layers.warning(table::FIRST_BYTE.about.key, bad));
    }
}

fn above(name: &str, value: Duration, limit: &str, most: Duration) -> Bad {
    Bad::new(
        format!("`{name}` is {} and `{limit}` is {}", duration_text(value), duration_text(most)),
        format!("`{name}` must be below `{limit}`"),
    )
}

fn limits(config: &Config, layers: &Layers, problems: &mut Vec<Problem>) {
    let limits = &config.limits;
    if limits.replay_bytes > limits.replay_total {
        let bad = Bad::new(
            format!(
                "`replay_bytes` is {} bytes and `replay_total` is {}",
                limits.replay_bytes, limits.replay_total
            ),
            "`replay_total` must not be below `replay_bytes`",
        );
        let (one, all) = (table::REPLAY_BYTES.about.key, table::REPLAY_TOTAL.about.key);
        problems.push(layers.error(either(layers, all, one), bad));
    }
}

fn listeners(config: &Config, layers: &Layers, problems: &mut Vec<Problem>) {
    let admin = config.admin_listen.address();
    let same = |listen: &&Listen| {
        let addresses = listen.addresses().into_iter();
        admin.port() != 0
            && addresses
                .filter(|address| address.port() == admin.port())
                .any(|address| address == admin || address.ip().is_unspecified())
    };
    if config.listen.iter().any(|listen| same(&listen)) {
        let bad = Bad::new(
            format!("\"{admin}\" is an address of the proxy too"),
            "give the admin API a port of its own",
        );
        problems.push(layers.error(table::ADMIN_LISTEN.about.key, bad));
    }
    for listen in &config.listen {
        if let Listen::Container(address) = listen {
            let port = address.port();
            let bad = Bad::new(
                "whoever reaches this container can reach the proxy",
                format!("publish the port to loopback only: -p 127.0.0.1:{port}:{port}"),
            );
            problems.push(layers.warning(table::CONTAINER_BIND.about.key, bad));
        }
    }
}

/// Of the two settings that contradict each other, the one that somebody wrote.
fn either<'a>(layers: &Layers, first: &'a str, second: &'a str) -> &'a str {
    match layers.in_force(first) {
        Some(_) => first,
        None => second,
    }
}

/// Keys in a file that other users of the machine can read.
fn readable_keys(config: &Config, layers: &Layers) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt;
    let secret = [table::CLIENT_KEYS.about.key, table::NOTIFY_WEBHOOKS.about.key];
    let key = secret.into_iter().find(|key| {
        let leaf = layers.file.leaves.get(*key);
        leaf.is_some_and(|leaf| !leaf.value.as_array().is_some_and(Vec::is_empty))
    })?;
    let mode = std::fs::metadata(&config.config_file).ok()?.permissions().mode();
    let bad = Bad::new(
        format!("other users can read this file (mode {:04o}), and it holds keys", mode & 0o7777),
        format!("run: chmod 600 {}", config.config_file.display()),
    );
    (mode & 0o077 != 0).then(|| Problem::warning(key, bad, Place::File(config.config_file.clone())))
}
