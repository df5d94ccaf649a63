use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where a running rota listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The proxy: the first is the one to tell people.
    pub proxy: Vec<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    /// One address a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.proxy.iter().chain(&self.admin).map(|address| format!("http://{address}")).collect();
        f.write_str(&all.join("\n"))
    }
}

/// What a running rota tells scripts and its own command line, as a JSON file: no fixed port is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The process.
    pub pid: u32,
    /// Where clients connect.
    pub proxy: SocketAddr,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// A `rota run` has started it, and it ends with the last command; nobody else starts it again.
    #[serde(default)]
    pub for_commands: bool,
}

impl ServerInfo {
    /// The file's name in the state directory.
    const FILE: &'static str = "server.json";

    /// What the last rota on this directory wrote, if it did; whether it still runs is the store's lock
    /// to say.
    pub fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(Self::FILE)).ok()?).ok()
    }

    /// Writes it where the command line looks, and to `also`.
    pub fn write(&self, state_dir: &Path, also: Option<&Path>) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let own = state_dir.join(Self::FILE);
        for file in [Some(own.as_path()), also].into_iter().flatten() {
            // A reader must never see half a file, and this one is worth nothing after a crash: no fsync.
            let half = file.with_extension("tmp");
            std::fs::write(&half, &text)?;
            std::fs::rename(&half, file)?;
        }
        Ok(())
    }

    /// Removes it again.
    pub fn remove(state_dir: &Path) {
        let _ = std::fs::remove_file(state_dir.join(Self::FILE));
    }
}

/// Where the admin token is kept.
pub fn token_file(state_dir: &Path) -> PathBuf {
    state_dir.join("admin-token")
}
