//! What a service manager is given, as pure text: where it goes, what is in it, and the commands that make it known.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const SOCKET: &str = include_str!("../../../packaging/service/rota.socket");
const SYSTEMD: &str = include_str!("../../../packaging/service/rota.service");
const LAUNCHD: &str = include_str!("../../../packaging/service/rota.plist");
/// What a line of the service begins with that is there for the sockets.
const WITH_SOCKET: &str = "socket| ";

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The machine's, whoever is signed in.
    System,
    /// One person's, from sign-in on.
    User,
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Launchd,
    Systemd,
}

/// Where a person's things are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) home: PathBuf,
    /// `$XDG_CONFIG_HOME`, or what stands for it.
    pub(super) config: PathBuf,
    pub(super) uid: u32,
}

/// What the service runs, and where clients reach it.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) command: Vec<String>,
    /// Those that are known before it runs; it listens on others itself.
    pub(super) addresses: Vec<SocketAddr>,
}

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitFile {
    /// Where it goes.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

/// A service that can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The service itself.
    pub(super) service: UnitFile,
    /// The sockets that its manager keeps open, where it can.
    pub(super) socket: Option<UnitFile>,
    /// Make it known, start it now and at every start.
    pub(super) install: Vec<Vec<String>>,
    /// The same where another rota runs, which has the ports and the store: it is begun, and nobody waits for it.
    pub(super) install_beside: Vec<Vec<String>>,
    /// Stop it and forget it, before its file goes.
    pub(super) uninstall: Vec<Vec<String>>,
    /// Once its file is gone.
    pub(super) gone: Vec<Vec<String>>,
    /// How it is.
    pub(super) status: Vec<String>,
}

impl Unit {
    /// The service that runs it.
    pub(super) fn new(manager: Manager, scope: Scope, places: &Places, served: &Served) -> Self {
        match manager {
            Manager::Launchd => launchd(scope, places, &served.command),
            Manager::Systemd => systemd(scope, places, served),
        }
    }

    /// What installs it, beside another rota that runs as this process, if one does.
    pub(super) fn commands(&self, other: Option<u32>) -> &[Vec<String>] {
        if other.is_some() { &self.install_beside } else { &self.install }
    }

    /// Its files.
    pub(super) fn files(&self) -> impl Iterator<Item = &UnitFile> {
        std::iter::once(&self.service).chain(&self.socket)
    }
}

fn systemd(scope: Scope, places: &Places, served: &Served) -> Unit {
    let (dir, mark, other, option) = match scope {
        Scope::System => (PathBuf::from("/etc/systemd/system"), "system| ", "user| ", "--system"),
        Scope::User => (places.config.join("systemd/user"), "user| ", "system| ", "--user"),
    };
    let words: Vec<String> = served.command.iter().map(|word| quoted(word)).collect();
    let socket = (!served.addresses.is_empty()).then(|| {
        let lines: Vec<String> =
            served.addresses.iter().map(|address| format!("ListenStream={address}")).collect();
        UnitFile { path: dir.join("rota.socket"), text: SOCKET.replace("{listen}", &lines.join("\n")) }
    });
    let without =
        |line: &&str| !line.starts_with(other) && (socket.is_some() || !line.starts_with(WITH_SOCKET));
    let bare =
        |line: &'static str| line.strip_prefix(mark).or(line.strip_prefix(WITH_SOCKET)).unwrap_or(line);
    let text: String = SYSTEMD.lines().filter(without).map(|line| format!("{}\n", bare(line))).collect();
    let units = if socket.is_some() { vec!["rota.socket", "rota.service"] } else { vec!["rota.service"] };
    let systemctl = |words: &[&str]| {
        let words = ["systemctl", option].into_iter().chain(words.iter().copied());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = |words: &[&str]| systemctl(&[words, &units].concat());
    Unit {
        service: UnitFile {
            path: dir.join("rota.service"),
            text: text.replace("{command}", &words.join(" ")),
        },
        install: vec![systemctl(&["daemon-reload"]), all(&["enable", "--now"])],
        install_beside: vec![
            systemctl(&["daemon-reload"]),
            all(&["enable"]),
            systemctl(&["start", "--no-block", "rota.service"]),
        ],
        uninstall: vec![all(&["disable", "--now"])],
        gone: vec![systemctl(&["daemon-reload"])],
        status: systemctl(&["status", "--no-pager", "rota.service"]),
        socket,
    }
}

fn launchd(scope: Scope, places: &Places, command: &[String]) -> Unit {
    let (dir, log, domain) = match scope {
        Scope::System => {
            let log = PathBuf::from("/Library/Logs/rota.log");
            (PathBuf::from("/Library/LaunchDaemons"), log, "system".to_owned())
        }
        Scope::User => {
            let log = places.home.join("Library/Logs/rota.log");
            (places.home.join("Library/LaunchAgents"), log, format!("gui/{}", places.uid))
        }
    };
    let path = dir.join("rota.plist");
    let arguments: Vec<String> =
        command.iter().map(|word| format!("    <string>{}</string>", escaped(word))).collect();
    let text = LAUNCHD.replace("{arguments}", &arguments.join("\n"));
    let launchctl = |words: &[&str]| {
        let words = std::iter::once("launchctl").chain(words.iter().copied());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let file = path.display().to_string();
    Unit {
        service: UnitFile { text: text.replace("{log}", &escaped(&shown(&log))), path },
        socket: None,
        install: vec![launchctl(&["bootstrap", &domain, &file])],
        install_beside: vec![launchctl(&["bootstrap", &domain, &file])],
        uninstall: vec![launchctl(&["bootout", &format!("{domain}/rota")])],
        gone: Vec::new(),
        status: launchctl(&["print", &format!("{domain}/rota")]),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A word of `ExecStart=`: in quotes, with what systemd would replace doubled (systemd.service(5), "Command lines").
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{word}\"")
}

fn escaped(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn places() -> Places {
        Places { home: "/home/x".into(), config: "/home/x/.config".into(), uid: 1000 }
    }

    fn unit(manager: Manager, scope: Scope) -> Unit {
        let command = ["/opt/my \"rota\"/rota", "serve", "--config", "/a&b/100%$HOME"].map(str::to_owned);
        Unit::new(manager, scope, &places(), &served(&command))
    }

    fn served(command: &[String]) -> Served {
        let addresses = ["127.0.0.1:7682", "[::1]:7682", "127.0.0.1:7683"];
        let addresses = addresses.map(|address| address.parse().expect("an address"));
        Served { command: command.to_vec(), addresses: addresses.to_vec() }
    }

    #[test]
    fn a_unit_is_told_the_program_word_by_word() {
        let of_user = unit(Manager::Systemd, Scope::User);
        assert_eq!(of_user.service.path, Path::new("/home/x/.config/systemd/user/rota.service"));
        let line = "ExecStart=\"/opt/my \\\"rota\\\"/rota\" \"serve\" \"--config\" \"/a&b/100%%$$HOME\"\n";
        assert!(of_user.service.text.contains(line), "{}", of_user.service.text);
        assert!(
            of_user.service.text.contains("\nType=notify\n")
                && of_user.service.text.contains("\nWatchdogSec=30\n")
        );
        assert_eq!(
            of_user.install[1],
            ["systemctl", "--user", "enable", "--now", "rota.socket", "rota.service"]
        );
        let beside: Vec<String> = of_user.install_beside.iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            beside,
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable rota.socket rota.service",
                "systemctl --user start --no-block rota.service",
            ]
        );
        let of_system = unit(Manager::Systemd, Scope::System);
        assert_eq!(of_system.service.path, Path::new("/etc/systemd/system/rota.service"));
        for (text, system) in [(&of_user.service.text, false), (&of_system.service.text, true)] {
            assert_eq!(text.contains("\nDynamicUser=yes\n"), system);
            assert_eq!(text.contains("\nProtectSystem=strict\n"), system);
            assert_eq!(text.contains("\nWantedBy=default.target\n"), !system);
            assert!(text.contains("\nNoNewPrivileges=yes\n"));
            assert!(text.contains("\nWants=rota.socket\n") && text.contains("\nStartLimitIntervalSec=0\n"));
            assert!(!text.contains('{') && !text.contains("user|") && !text.contains("system|"), "{text}");
        }
    }

    #[test]
    fn the_manager_keeps_the_sockets_that_are_configured() {
        let unit = unit(Manager::Systemd, Scope::User);
        let socket = unit.socket.expect("a unit");
        assert_eq!(socket.path, Path::new("/home/x/.config/systemd/user/rota.socket"));
        let lines = "\nListenStream=127.0.0.1:7682\nListenStream=[::1]:7682\nListenStream=127.0.0.1:7683\n";
        assert!(socket.text.contains(lines) && !socket.text.contains('{'), "{}", socket.text);
        let any = Served { command: vec!["rota".to_owned()], addresses: Vec::new() };
        let unit = Unit::new(Manager::Systemd, Scope::User, &places(), &any);
        assert!(unit.socket.is_none() && !unit.service.text.contains("socket"), "{}", unit.service.text);
        assert_eq!(unit.install[1], ["systemctl", "--user", "enable", "--now", "rota.service"]);
        assert_eq!(self::unit(Manager::Launchd, Scope::User).socket, None);
    }

    #[test]
    fn a_property_list_is_well_formed_text() {
        let unit = unit(Manager::Launchd, Scope::User);
        assert_eq!(unit.service.path, Path::new("/home/x/Library/LaunchAgents/rota.plist"));
        assert!(unit.service.text.contains("<string>/a&amp;b/100%$HOME</string>"), "{}", unit.service.text);
        assert!(
            unit.service.text.contains("<string>/home/x/Library/Logs/rota.log</string>")
                && !unit.service.text.contains('{')
        );
        assert_eq!(unit.uninstall[0], ["launchctl", "bootout", "gui/1000/rota"]);
        let of_system = self::unit(Manager::Launchd, Scope::System);
        assert_eq!(of_system.install[0][..3], ["launchctl", "bootstrap", "system"]);
    }

    /// Where systemd is, it reads both units itself and has nothing to say of them.
    #[test]
    fn systemd_finds_nothing_wrong_with_the_units() {
        let dir = tempfile::tempdir().expect("a directory");
        for (scope, option) in [(Scope::User, "--user"), (Scope::System, "--system")] {
            let command = ["/bin/true".to_owned(), "serve".to_owned()];
            let unit = Unit::new(Manager::Systemd, scope, &places(), &served(&command));
            let mut analyze = Command::new("systemd-analyze");
            analyze.args([option, "--man=no", "verify"]);
            for file in unit.files() {
                let place = dir.path().join(file.path.file_name().expect("a name"));
                std::fs::write(&place, &file.text).expect("a file");
                analyze.arg(&place);
            }
            analyze.env("XDG_RUNTIME_DIR", dir.path());
            let Ok(ran) = analyze.output() else {
                // Without systemd there is nobody to ask; the text is held by the tests above.
                return;
            };
            let told = String::from_utf8_lossy(&ran.stderr).into_owned();
            let wrong: Vec<&str> = told.lines().filter(|line| line.contains("rota.")).collect();
            assert_eq!(wrong, [""; 0], "{option}: {told}");
        }
    }
}
