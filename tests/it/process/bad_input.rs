use super::place::Place;
use super::talk::Talk;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What was met, and the words that say it: exit code 78, nothing started.
#[test]
fn a_configuration_with_a_mistake_names_the_line_and_the_way_out() {
    for (text, told) in [
        (
            "[rotation]\nstrategy = \"weighted\"\n",
            &["line 2", "strategy = \"weighted\"", "^^^^", "did you mean \"weighted-round-robin\"?"][..],
        ),
        ("[rotation]\nstratgy = \"random\"\n", &["line 2", "stratgy", "^^^", "did you mean"]),
        ("[rotation\n", &["line 1", "^"]),
        ("listen = \"0.0.0.0:7682\"\n", &["NON_LOOPBACK_BIND", "0.0.0.0:7682"]),
        ("listen = \"[::]:7682\"\n", &["NON_LOOPBACK_BIND"]),
        ("admin_listen = \"192.168.1.2:7683\"\n", &["NON_LOOPBACK_BIND", "admin_listen"]),
        ("container_bind = \"0.0.0.0:7682\"\n", &["container_bind"]),
        ("[providers.openai]\norigin = \"http://api.example\"\n", &["line 2", "origin"]),
        ("[timeouts]\nconnect = 5\n", &["line 2", "connect"]),
    ] {
        let place = Place::listening_by_file();
        place.config(text);
        for args in [&["serve"][..], &["config", "check"], &["status"]] {
            let ran = place.rota(args);
            assert_eq!((ran.code, ran.out.as_str()), (Some(78), ""), "{args:?} {text}: {ran:?}");
            for words in told {
                assert!(ran.err.contains(words), "{words:?} is not in\n{}", ran.err);
            }
        }
        assert!(!place.state().exists(), "nothing was made");
    }
}

#[test]
fn a_variable_that_means_nothing_is_refused() {
    let mut place = Place::new();
    place.set("ROTA_STRATEGY", "random");
    let ran = place.rota(&["config", "check"]);
    assert_eq!(ran.code, Some(78));
    assert!(ran.err.contains("ROTA_STRATEGY") && ran.err.contains("ROTA_ROTATION__STRATEGY"), "{}", ran.err);
}

#[test]
fn a_missing_file_is_a_first_run_unless_it_was_asked_for() {
    let place = Place::new();
    let check = place.rota(&["config", "check"]);
    assert_eq!(check.code, Some(0));
    assert!(check.out.contains("does not exist; every setting has its default"), "{}", check.out);
    let asked = place.rota(&["status", "--config", "elsewhere.toml"]);
    assert_eq!(asked.code, Some(78));
    assert!(asked.err.contains("elsewhere.toml"), "{}", asked.err);
}

#[test]
fn explain_shows_which_layer_decides() {
    let mut place = Place::new();
    place.config("[rotation]\nlow = 40\n");
    let told = |place: &Place| place.rota(&["config", "explain", "rotation.low"]).out;
    let decides = |text: &str| text.lines().find(|line| line.contains("<- in force")).map(str::to_owned);
    assert!(
        decides(&told(&place))
            .is_some_and(|line| line.trim_start().starts_with("file") && line.contains("40"))
    );
    place.set("ROTA_ROTATION__LOW", "50");
    assert!(
        decides(&told(&place)).is_some_and(|line| line.contains("ROTA_ROTATION__LOW") && line.contains("50"))
    );
    let unknown = place.rota(&["config", "explain", "rotation.lwo"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("did you mean"), "{}", unknown.err);
    assert!(place.json(&["config", "explain"])["settings"].as_array().is_some_and(|all| all.len() > 20));
}

#[test]
fn a_wrong_preset_names_its_file_and_line() {
    let place = Place::new();
    place.file(
        "config/rota/providers/mine.toml",
        0o600,
        "id = \"mine\"\nextends = \"openai-compatible\"\norigin = \"https://api.example\"\nclour = 1\n",
    );
    let ran = place.rota(&["config", "check"]);
    assert_eq!(ran.code, Some(78));
    for words in ["mine.toml:4:1", "4 | clour = 1", "expected one of `id`"] {
        assert!(ran.err.contains(words), "{words:?} is not in\n{}", ran.err);
    }
}

/// L11: a port in use is named, and no other is taken.
#[test]
fn a_port_in_use_is_named_and_no_other_is_taken() {
    for (setting, bind) in
        [("ROTA_LISTEN", "127.0.0.1:0"), ("ROTA_LISTEN", "[::1]:0"), ("ROTA_ADMIN_LISTEN", "127.0.0.1:0")]
    {
        let taken = TcpListener::bind(bind).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let mut place = Place::new();
        place.set(setting, format!("127.0.0.1:{port}"));
        let ran = place.serve_in_vain(&[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(&format!(":{port} is in use")), "{}", ran.err);
        assert!(!place.state().join("server.json").exists());
    }
}

/// STO-5: what is damaged comes back from its copy, and everybody hears of it.
#[test]
fn a_damaged_state_is_restored_from_its_copy_and_said_so() {
    let place = two_accounts();
    damage(&place.state().join("state.json"));
    let verified = place.rota(&["store", "verify"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    let daemon = place.serve();
    let log = daemon.log();
    assert!(log.contains("last-known-good") && log.contains("WARN"), "{log}");
    let status = place.rota(&["status"]);
    assert!(status.out.contains("! store: record state was damaged"), "{}", status.out);
    assert!(Talk::to(daemon.admin(), "GET", "/metrics").send().body.contains("rota_store_restores 1"));
    daemon.stop();
    assert_eq!(place.rota(&["store", "verify"]).code, Some(0));
    assert!(place.stored().keys().any(|name| name.contains("corrupt")), "the damaged file is kept");
}

/// STO-5: a command that puts a damaged record right says so, for nobody else will.
#[test]
fn a_command_that_restores_says_so_too() {
    let place = two_accounts();
    damage(&place.state().join("state.json"));
    let ran = place.rota(&["accounts"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.starts_with("warning: record state was damaged"), "{}", ran.err);
}

/// STO-5: corrupt is never empty.
#[test]
fn a_store_that_cannot_be_read_at_all_is_left_as_it_is() {
    let place = two_accounts();
    for name in ["state.json", "state.json.lkg"] {
        damage(&place.state().join(name));
    }
    let before = records(&place);
    for args in [&["serve"][..], &["status"], &["accounts", "rm", "work", "--yes"]] {
        let ran = place.rota(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("STORE_UNRECOVERABLE") && ran.err.contains("rota store"), "{}", ran.err);
    }
    let verified = place.rota(&["store", "verify"]);
    assert_eq!(verified.code, Some(1));
    assert!(
        verified.out.lines().any(|line| line.starts_with("state ") && !line.ends_with("intact")),
        "{verified:?}"
    );
    assert_eq!(records(&place), before);
}

/// STO-4, L12
#[test]
fn a_store_that_others_could_read_is_refused_with_the_command_that_mends_it() {
    for (name, mode) in [("", 0o755), ("", 0o777), ("state.json", 0o644), ("credentials", 0o750)] {
        let place = two_accounts();
        let path = place.state().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let ran = place.serve_in_vain(&[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("chmod"), "{}", ran.err);
    }
    let place = two_accounts();
    let moved = place.path("elsewhere");
    fs::rename(place.state(), &moved).expect("moved");
    symlink(&moved, place.state()).expect("a link");
    assert_eq!(place.serve_in_vain(&[]).code, Some(1));
}

/// STO-1: a newer schema is refused untouched.
#[test]
fn garbage_for_import_changes_nothing() {
    let place = two_accounts();
    let before = records(&place);
    for input in ["", "garbage", "[]", "{\"schemaVersion\": 99}", "{\"accounts\": 7}", "\u{0}\u{1}"] {
        let ran = place.rota_given(&["store", "import", "-"], input);
        assert_eq!(ran.code, Some(1), "{input:?}: {ran:?}");
        assert!(ran.err.contains("nothing was changed"), "{}", ran.err);
    }
    assert_eq!(records(&place), before);
}

#[test]
fn what_is_only_read_is_not_made() {
    let place = Place::new();
    for args in [&["store", "verify"][..], &["store", "export"], &["store", "backup", "copy"]] {
        let ran = place.rota(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("no store yet"), "{}", ran.err);
    }
    assert!(!place.state().exists() && !place.path("copy").exists());
}

/// L14: the proxy is on both loopbacks, the admin API on one, and nothing else listens on their ports.
#[test]
fn only_loopback_listens() {
    let place = Place::new();
    let daemon = place.serve();
    let ports = [daemon.proxy(), daemon.admin()].map(|address| format!("{:04X}", address.port()));
    let mut listening = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/net/{table}")).expect("the kernel's table");
        for line in table.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
            let (address, port) = local.split_once(':').unwrap_or_default();
            if state == "0A" && ports.iter().any(|own| own == port) {
                listening.push(address.to_owned());
            }
        }
    }
    assert_eq!(listening, ["0100007F", "0100007F", "00000000000000000000000001000000"]);
}

fn two_accounts() -> Place {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    place.add("home", "openai", "sk-2");
    place
}

/// The records' bytes; lock files hold notes.
fn records(place: &Place) -> Vec<(String, Vec<u8>)> {
    let files = place.stored().into_iter();
    files.filter(|(name, _)| !name.contains("lock") && !name.contains("token")).collect()
}

/// One flipped byte in the middle.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(file, bytes).expect("a file");
}

impl Place {
    /// Without the variables that would decide over the file.
    fn listening_by_file() -> Self {
        let mut place = Self::new();
        place.set("ROTA_LISTEN", "");
        place.set("ROTA_ADMIN_LISTEN", "");
        place
    }
}
