//! The configuration as a whole: layers, errors, explanations.
use super::setting::Shape;
use super::*;
use crate::model::Effort;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// PRX-5
#[test]
fn without_a_file_and_an_environment_everything_has_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let loaded = load(&world(dir.path(), "", &[])).unwrap();
    assert_eq!(loaded.warnings, []);
    let secs = Duration::from_secs;
    assert_eq!(
        loaded.config,
        Config {
            listen: vec![Listen::Both(7682)],
            admin_socket: None,
            admin_listen: Loopback::new("127.0.0.1:7683".parse().unwrap()).unwrap(),
            client_keys: vec![],
            require_client_key: false,
            allowed_hosts: vec![],
            allowed_origins: vec![],
            allowed_uids: vec![],
            settings: Settings::default(),
            providers: loaded.config.providers.clone(),
            timeouts: Timeouts {
                connect: secs(5),
                first_byte: secs(290),
                stream_idle: secs(300),
                keep_alive: Some(secs(60)),
                header_read: secs(120),
                body_idle: secs(60),
                token: secs(60),
                probe: secs(10),
                websocket_ping: secs(30),
                websocket_pong: secs(10),
                drain: secs(30),
                affinity_idle: secs(3600),
                affinity_lifetime: secs(86_400),
                run_idle: Duration::from_secs(300),
                run_lifetime: Duration::from_secs(3600),
                run_command: Duration::from_secs(300),
            },
            limits: Bounds {
                head_bytes: 64 * 1024,
                replay_bytes: 32 * 1024 * 1024,
                replay_total: 256 * 1024 * 1024,
                connections: 2048,
                workers: 0,
                sessions: 10_000,
                decisions: 1000,
            },
            state_dir: dir.path().join(".local/state/rota"),
            config_file: dir.path().join(".config/rota/rota.toml"),
            tls_roots: TlsRoots::Auto,
            ssl_cert_file: None,
            ssl_cert_dir: None,
            proxy_env: ProxyEnv::default(),
            encryption: Encryption::Off { key: None },
            log: LogConfig { filter: "info".to_owned(), format: LogFormat::Auto },
            notify: Notify { env: [("HOME", dir.path().display().to_string())].into(), ..Notify::default() },
            decision_headers: true,
            features: Features::default(),
        }
    );
}

/// LIM-5: the three names of one setting; rota's own go before another program's.
#[test]
fn the_effort_of_a_probe_is_what_the_environment_says() {
    let (own, long, other) = ("ROTA_PROBE_EFFORT", "ROTA_PROBE__EFFORT", "OPENCODE_MULTI_AUTH_PROBE_EFFORT");
    for (env, effort) in [
        (&[][..], Effort::Low),
        (&[(own, "high")], Effort::High),
        (&[(long, "minimal")], Effort::Minimal),
        (&[(other, "none")], Effort::None),
        (&[(other, "high"), (own, "xhigh")], Effort::Xhigh),
        (&[(other, "high"), (long, "medium")], Effort::Medium),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let loaded = load(&world(dir.path(), "", env)).unwrap();
        assert_eq!(loaded.config.settings.probing.effort, effort, "{env:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = load(&world(dir.path(), "", &[(other, "loud")])).err().expect("refused").to_string();
    assert!(error.contains(other) && error.contains("\"xhigh\""), "{error}");
}

/// ADM-5
#[test]
fn a_higher_layer_wins_key_by_key_and_the_explanation_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[rotation]\nstrategy = \"random\"\nlow = 40\n";
    let mut sources = world(dir.path(), file, &[("ROTA_ROTATION__STRATEGY", "least-used")]);
    sources.persisted = toml::from_str(
        "[rotation]\nstrategy = \"fill-first\"\nlow = 50\ncritical = 5\nnovelty = 1\n[log]\nlevel = \"trace\"\n",
    )
    .ok();
    let loaded = load(&sources).unwrap();
    let settings = &loaded.config.settings;
    assert_eq!(settings.strategy, crate::model::Strategy::LeastUsed);
    assert_eq!(settings.thresholds, Thresholds::new(5, 40).unwrap());
    assert_eq!(loaded.config.log.filter, "info");
    let warned: Vec<&str> = loaded.warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(warned, ["log.level", "rotation.novelty"]);

    let path = loaded.config.config_file.display().to_string();
    let wide = path.len();
    let text = [
        "rotation.strategy = \"least-used\"".to_owned(),
        format!("  env       {:wide$}  \"least-used\"   ← in force", "ROTA_ROTATION__STRATEGY"),
        format!("  file      {path}  \"random\""),
        format!("  settings  {:wide$}  \"fill-first\"", "(in the store)"),
        format!("  default   {:wide$}  \"round-robin\"", ""),
    ];
    assert_eq!(loaded.explain("strategy").unwrap().to_string(), text.join("\n"));
    let patience = loaded.explain("rotation.patience").unwrap();
    assert_eq!(patience.value, "\"60s\"");
    assert!(patience.rows[3].in_force && patience.rows[0].value.is_none());
    assert_eq!(loaded.explain_all().len(), table::ALL.len());
    assert_eq!(
        loaded.explain("strategi").unwrap_err().to_string(),
        "error: there is no setting \"strategi\"\n  did you mean `rotation.strategy`?"
    );
}

/// ADM-5
#[test]
fn the_documented_defaults_are_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let none = load(&world(dir.path(), "", &[])).unwrap().config;
    for text in [reference(), template()] {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = world(dir.path(), &text, &[]);
        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.warnings, []);
        sources.env.clear();
        let config = Config {
            state_dir: none.state_dir.clone(),
            config_file: none.config_file.clone(),
            notify: Notify { env: none.notify.env.clone(), ..loaded.config.notify },
            ..loaded.config
        };
        assert_eq!(config, none);
    }
}

/// ADM-5
#[test]
fn every_setting_can_be_set_in_the_environment_and_a_bad_value_names_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    for setting in table::ALL {
        let about = setting.about();
        let variable = about.variable();
        let problems = errors(&world(dir.path(), "", &[(&variable, "?")]));
        let [problem] = &problems[..] else {
            panic!("{variable}: {problems:?}");
        };
        assert_eq!(problem.key, about.key);
        assert_eq!(problem.place, Place::Variable(variable));
        assert!(!problem.help.is_empty(), "{problem}");
        let names_the_value = about.shape == Shape::Secrets || problem.what.contains("\"?\"");
        assert!(names_the_value, "{problem}");
    }
}

/// STO-4
#[test]
fn encryption_wants_one_key_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let read = |env: &[(&str, &str)]| {
        load(&world(dir.path(), "", env))
            .map(|loaded| loaded.config.encryption)
            .map_err(|error| error.to_string())
    };
    let on = ("ROTA_ENCRYPTION__MODE", "on");
    let file = ("ROTA_ENCRYPTION__KEY_FILE", "/etc/rota/key");
    let name = ("ROTA_ENCRYPTION__KEY_CREDENTIAL", "rota.key");
    let command = ("ROTA_ENCRYPTION__KEY_COMMAND", "/bin/pass,show,rota");
    let handed = ("CREDENTIALS_DIRECTORY", "/run/credentials/rota");
    let key = KeySource::File("/etc/rota/key".into());
    assert_eq!(read(&[file]), Ok(Encryption::Off { key: Some(key.clone()) }));
    assert_eq!(read(&[file, on]), Ok(Encryption::On { key }));
    for (env, dir) in [(&[on, name][..], None), (&[on, name, handed], Some(handed.1.into()))] {
        let key = KeySource::Credential { name: "rota.key".to_owned(), dir };
        assert_eq!(read(env), Ok(Encryption::On { key }));
    }
    let argv = ["/bin/pass", "show", "rota"].map(str::to_owned).to_vec();
    assert_eq!(read(&[on, command]), Ok(Encryption::On { key: KeySource::Command(argv) }));
    let refused = [
        (&[on][..], "encryption.mode", "no key is named"),
        (&[on, file, name], "encryption.key_credential", "`encryption.key_file` names a key, too"),
    ];
    for (env, key, why) in refused {
        let error = read(env).unwrap_err();
        assert!(error.contains(key) && error.contains(why), "{error}");
    }
}

/// ADM-5
#[test]
fn the_environment_reads_every_kind_of_value() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "0123456789abcdef\n\n fedcba9876543210 \n").unwrap();
    let env = [
        ("ROTA_LISTEN", "127.0.0.1:0"),
        ("ROTA_ADMIN_LISTEN", "[::1]:0"),
        ("ROTA_STATE_DIR", "/srv/rota"),
        ("ROTA_LOG", "warn,rota::proxy=debug"),
        ("ROTA_LOG__FORMAT", "json"),
        ("ROTA_HEADERS__DECISION", "false"),
        ("ROTA_ROTATION__MAX_ATTEMPTS", "5"),
        ("ROTA_ROTATION__IN_FLIGHT_CAP", "8"),
        ("ROTA_LIMITS__REPLAY_BYTES", "1MiB"),
        ("ROTA_LIMITS__HEAD_BYTES", "65536"),
        ("ROTA_TIMEOUTS__DRAIN", "0s"),
        ("ROTA_ALLOWED_HOSTS", "rota.test, other.test:80"),
        ("ROTA_ALLOWED_UIDS", "0,1000"),
        ("ROTA_CLIENT_KEYS_FILE", &keys.display().to_string()),
        ("ROTA_ROTATION__PATIENCE", ""),
        ("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:3128"),
        ("no_proxy", "localhost"),
        ("SSL_CERT_FILE", "/etc/ca.pem"),
    ];
    let config = load(&world(dir.path(), "", &env)).unwrap().config;
    let default = load(&world(dir.path(), "", &[])).unwrap().config;
    let expected = Config {
        listen: vec![Listen::Both(0)],
        admin_listen: Loopback::new("[::1]:0".parse().unwrap()).unwrap(),
        state_dir: "/srv/rota".into(),
        log: LogConfig { filter: "warn,rota::proxy=debug".to_owned(), format: LogFormat::Json },
        decision_headers: false,
        settings: Settings { max_attempts: 5, in_flight_cap: Some(8), ..Settings::default() },
        limits: Bounds { replay_bytes: 1024 * 1024, ..default.limits },
        timeouts: Timeouts { drain: Duration::ZERO, ..default.timeouts },
        allowed_hosts: vec!["rota.test".to_owned(), "other.test:80".to_owned()],
        allowed_uids: vec![0, 1000],
        client_keys: vec![Secret::new("0123456789abcdef"), Secret::new("fedcba9876543210")],
        proxy_env: ProxyEnv {
            all: None,
            https: Some("http://user:hunter2@127.0.0.1:3128".to_owned()),
            exempt: Some("localhost".to_owned()),
        },
        ssl_cert_file: Some("/etc/ca.pem".into()),
        ..default
    };
    assert_eq!(config, expected);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn an_error_shows_the_place_what_is_allowed_and_what_was_meant() {
    for (file, error) in ERRORS {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(message(&world(dir.path(), file, &[])), *error, "{file}");
    }
}

/// A file, and the whole of what is said about it.
const ERRORS: &[(&str, &str)] = &[
    (
        "[rotation]\nstrategy = \"weighted\"\n",
        "error: rotation.strategy: \"weighted\" is not one of its values\n  in FILE, line 2, column 12\n  |\n\
             2 | strategy = \"weighted\"\n  |            ^^^^^^^^^^\n  allowed: \"fill-first\", \"least-used\", \"random\", \
             \"reset-first\", \"round-robin\", \"weighted-round-robin\"\n  did you mean \"weighted-round-robin\"?",
    ),
    (
        "[timeouts]\nfirst_byte = 290\n",
        "error: timeouts.first_byte: 290 is not a duration\n  in FILE, line 2, column 14\n  |\n\
             2 | first_byte = 290\n  |              ^^^\n  allowed: a number and a unit, such as \"250ms\", \"30s\", \
             \"5m\" or \"24h\", from 1s to 1h",
    ),
    (
        "limits.head_bytes = \"1KiB\" # small\n",
        "error: limits.head_bytes: \"1KiB\" is out of range\n  in FILE, line 1, column 21\n  |\n\
             1 | limits.head_bytes = \"1KiB\"\n  |                     ^^^^^^\n  allowed: from 8KiB to 1MiB",
    ),
    (
        "[rotation]\nstratgy = \"random\"\n",
        "error: rotation.stratgy: there is no such setting\n  in FILE, line 2, column 1\n  |\n2 | stratgy = \"…\"\n  \
             | ^^^^^^^\n  did you mean `rotation.strategy`?",
    ),
    (
        "strategy = \"random\"\n",
        "error: strategy: there is no such setting\n  in FILE, line 1, column 1\n  |\n1 | strategy = \"…\"\n  \
             | ^^^^^^^^\n  did you mean `strategy` in the section [rotation]?",
    ),
    (
        "[log]\nlisten = \"127.0.0.1:1\"\n",
        "error: log.listen: there is no such setting\n  in FILE, line 2, column 1\n  |\n2 | listen = \"…\"\n  \
             | ^^^^^^\n  did you mean `listen` at the top of the file, before any section?",
    ),
    (
        "[zebra]\n",
        "error: zebra: there is no such setting\n  in FILE, line 1, column 2\n  |\n1 | [zebra]\n  |  ^^^^^\n  \
             `rota config explain` lists all settings",
    ),
    (
        "log = \"debug\"\n",
        "error: log: this is a section\n  in FILE, line 1, column 7\n  |\n1 | log = \"debug\"\n  |       ^^^^^^^\n  \
             write it as [log]",
    ),
    (
        "route = 1\n",
        "error: route: this is not a list of routes\n  in FILE, line 1, column 9\n  |\n1 | route = 1\n  \
             |         ^\n  write it as [[route]]",
    ),
    (
        "listen = \"0.0.0.0:7682\"\n",
        "error: listen: \"0.0.0.0:7682\" can be reached from other machines (NON_LOOPBACK_BIND)\n  \
             in FILE, line 1, column 10\n  |\n1 | listen = \"0.0.0.0:7682\"\n  |          ^^^^^^^^^^^^^^\n  \
             allowed: a loopback address and a port, such as \"127.0.0.1:7682\" (port 0 takes a free one); for a \
             container see `container_bind`",
    ),
    (
        "[log]\nlevel = debug\n",
        "error: rota.toml: string values must be quoted, expected literal string\n  in FILE, line 2, column 9\n  \
             |\n2 | level = debug\n  |         ^^^^^",
    ),
    (
        "[rotation]\nlow = 10\n",
        "error: rotation.low: `critical` is 10 and `low` is 10\n  in FILE, line 2, column 7\n  |\n2 | low = 10\n  \
             |       ^^\n  `critical` must be below `low`",
    ),
    (
        "limits.replay_total = 1024\n",
        "error: limits.replay_total: `replay_bytes` is 33554432 bytes and `replay_total` is 1024\n  \
             in FILE, line 1, column 23\n  |\n1 | limits.replay_total = 1024\n  |                       ^^^^\n  \
             `replay_total` must not be below `replay_bytes`",
    ),
    (
        "timeouts.affinity_idle = \"25h\"\n",
        "error: timeouts.affinity_idle: `affinity_idle` is 25h and `affinity_lifetime` is 1d\n  \
             in FILE, line 1, column 26\n  |\n1 | timeouts.affinity_idle = \"25h\"\n  |                          ^^^^^\n  \
             `affinity_idle` must be below `affinity_lifetime`",
    ),
    (
        "admin_listen = \"127.0.0.1:7682\"\n",
        "error: admin_listen: \"127.0.0.1:7682\" is an address of the proxy too\n  in FILE, line 1, column 16\n  \
             |\n1 | admin_listen = \"127.0.0.1:7682\"\n  |                ^^^^^^^^^^^^^^^^\n  \
             give the admin API a port of its own",
    ),
];

#[test]
fn a_variable_that_means_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (
            ("ROTA_STRATEGY", "random"),
            "error: ROTA_STRATEGY: there is no such variable\n  did you mean ROTA_ROTATION__STRATEGY?",
        ),
        (
            ("ROTA_ROTATION_STRATEGY", "random"),
            "error: ROTA_ROTATION_STRATEGY: there is no such variable\n  did you mean ROTA_ROTATION__STRATEGY?",
        ),
        (("ROTA_CONFG", "/x"), "error: ROTA_CONFG: there is no such variable\n  did you mean ROTA_CONFIG?"),
        (
            ("ROTA_ZZZ", "1"),
            "error: ROTA_ZZZ: there is no such variable\n  unset it, or see docs/CONFIGURATION.md for all variables",
        ),
        (
            ("ROTA_LISTEN_FILE", "/x"),
            "error: ROTA_LISTEN_FILE: there is no such variable\n  unset it, or see docs/CONFIGURATION.md for all variables",
        ),
    ];
    for (variable, error) in cases {
        assert_eq!(message(&world(dir.path(), "", &[variable])), error);
    }
    let twice = [("ROTA_LOG", "info"), ("ROTA_LOG__LEVEL", "debug")];
    assert_eq!(
        message(&world(dir.path(), "", &twice)),
        "error: ROTA_LOG__LEVEL: ROTA_LOG says the same thing\n  set one of the two"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = "listn = 1\nlisten = \"0.0.0.0:1\"\n[log]\nlevel = \"loud\"\n";
    let sources = world(dir.path(), file, &[("ROTA_ROTATION__LOW", "101")]);
    let problems = errors(&sources);
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["listn", "listen", "rotation.low", "log.level"]);
    assert_eq!(load(&sources).err().unwrap().code(), Code::NonLoopbackBind);
    assert_eq!(Config::check(&sources), problems);
}

/// OBS-3
#[test]
fn no_error_and_no_explanation_shows_a_client_key() {
    const KEY: &str = "canary-0123456789";
    let files = [
        format!("client_keys = [\"{KEY}\", 1]"),
        format!("client_keys = [{KEY}]"),
        format!("client_keys = {KEY}"),
        format!("client_keys = \"{KEY}"),
        format!("client_keys = \"{KEY}\""),
        format!("client_keys = [\"\"\"\n{KEY} x\"\"\"]"),
        format!("client_key = [\"{KEY}\"]"),
        format!("clientkeys = {KEY}"),
        format!("[log]\nclient_keys = [\"{KEY}\"]"),
        format!("log = {{ client_keys = [\"{KEY}\"], levl = 1 }}"),
        format!("# client_keys = [\"{KEY}\"]\nlistn = 1 # {KEY}"),
        format!("client_keys = [\"{KEY}\", \"{KEY} \"]"),
    ];
    for file in files {
        let dir = tempfile::tempdir().unwrap();
        let error = message(&world(dir.path(), &file, &[]));
        assert!(!error.contains("canary"), "{file}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = message(&world(dir.path(), "", &[("ROTA_CLIENT_KEYS", "canary short,x")]));
    assert!(!error.contains("canary"), "{error}");
    let loaded = load(&world(dir.path(), "", &[("ROTA_CLIENT_KEYS", KEY)])).unwrap();
    let shown = loaded.explain("client_keys").unwrap().to_string();
    assert!(shown.contains("[REDACTED] (1)") && !shown.contains("canary"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("canary"));
}

#[test]
fn a_file_that_was_named_must_exist_and_be_readable_text() {
    let dir = tempfile::tempdir().unwrap();
    let named = |path: &Path| Sources { file: Some(path.to_owned()), ..world(dir.path(), "", &[]) };
    let missing = dir.path().join("missing.toml");
    assert_eq!(
        message(&named(&missing)),
        format!(
            "error: missing.toml: there is no such file\n  in {}\n  `rota config path` shows where it would be found \
             without being named",
            missing.display()
        )
    );
    let by_variable = [("ROTA_CONFIG", missing.to_str().unwrap())];
    assert_eq!(errors(&world(dir.path(), "", &by_variable)).len(), 1);
    assert_eq!(errors(&named(dir.path())).len(), 1, "a directory");
    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(errors(&named(&binary)).len(), 1, "not UTF-8");
    let huge = dir.path().join("huge.toml");
    let more = usize::try_from(file::MOST_FILE_BYTES).unwrap() + 1;
    std::fs::write(&huge, vec![b'#'; more]).unwrap();
    assert_eq!(errors(&named(&huge)).len(), 1, "too large");
}

/// ROU-1
#[test]
fn a_preset_of_ones_own_is_a_provider_and_a_bad_one_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let sources = world(dir.path(), "", &[("ROTA_PROVIDERS__MY_OWN__ORIGIN", "http://127.0.0.1:9")]);
    let presets = sources.providers_dir();
    std::fs::create_dir_all(&presets).unwrap();
    let mine = "id = \"my-own\"\nname = \"Mine\"\norigin = \"https://api.example\"\ndialect = \"responses\"\n\
                [inject.api-key]\nset = { authorization = \"Bearer {access}\" }\n";
    std::fs::write(presets.join("mine.toml"), mine).unwrap();
    std::fs::write(presets.join("notes.txt"), "no preset").unwrap();
    let config = load(&sources).unwrap().config;
    let mine = config.providers.iter().find(|provider| provider.id.as_str() == "my-own").unwrap();
    assert_eq!(mine.origin.to_string(), "http://127.0.0.1:9");

    let broken = presets.join("zz.toml");
    std::fs::write(&broken, "id = ").unwrap();
    let problems = errors(&sources);
    let [problem] = &problems[..] else {
        panic!("{problems:?}");
    };
    assert!(problem.what.contains(&broken.display().to_string()), "{problem}");
}

/// PRX-3
#[test]
fn a_container_listens_on_its_own_address_only_with_both_consents() {
    let dir = tempfile::tempdir().unwrap();
    let key = ("ROTA_CLIENT_KEYS", "0123456789abcdef");
    let bind = ("ROTA_CONTAINER_BIND", "0.0.0.0:7682");
    let consent = ("ROTA_ALLOW_NON_LOOPBACK", "1");
    for env in [
        vec![bind],
        vec![bind, key],
        vec![bind, consent],
        vec![bind, key, ("ROTA_ALLOW_NON_LOOPBACK", "yes")],
    ] {
        let error = load(&world(dir.path(), "", &env)).err().unwrap();
        assert_eq!(error.code(), Code::NonLoopbackBind, "{env:?}");
    }
    let loaded = load(&world(dir.path(), "", &[bind, key, consent])).unwrap();
    let address = "0.0.0.0:7682".parse().unwrap();
    assert_eq!(loaded.config.listen, [Listen::Container(address)]);
    assert_eq!(loaded.warnings[0].help, ["publish the port to loopback only: -p 127.0.0.1:7682:7682"]);
    let admin = ("ROTA_ADMIN_LISTEN", "0.0.0.0:0");
    let error = load(&world(dir.path(), "", &[bind, key, consent, admin])).err();
    assert_eq!(error.unwrap().code(), Code::NonLoopbackBind);
}

/// PRX-5
#[test]
fn what_is_odd_but_possible_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = "client_keys = [\"0123456789abcdef\"]\n[timeouts]\nfirst_byte = \"10m\"\n";
    let sources = world(dir.path(), file, &[]);
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(sources.config_file(), mode(0o644)).unwrap();
    let warned = |sources: &Sources| {
        let loaded = load(sources).unwrap();
        let keys = loaded.warnings.into_iter().map(|warning| warning.key);
        keys.collect::<Vec<_>>()
    };
    assert_eq!(warned(&sources), ["timeouts.first_byte", "client_keys"]);
    std::fs::set_permissions(sources.config_file(), mode(0o600)).unwrap();
    assert_eq!(warned(&sources), ["timeouts.first_byte"]);
}

/// ADM-5
#[test]
fn the_command_line_goes_before_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ROTA_LISTEN", "127.0.0.1:1"), ("ROTA_STATE_DIR", "/srv/a")];
    let sources = world(dir.path(), "", &env)
        .with(None, Some("/srv/b".into()))
        .with_addresses(Some("127.0.0.1:2".to_owned()), None);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.listen, [Listen::Both(2)]);
    assert_eq!(loaded.config.state_dir, Path::new("/srv/b"));
    let row = loaded.explain("listen").unwrap().rows.remove(0);
    assert_eq!((row.layer, row.place.as_str(), row.in_force), ("option", "--listen", true));
    let wrong = sources.with_addresses(None, Some("0.0.0.0:1".to_owned()));
    assert_eq!(message(&wrong).lines().nth(1).unwrap(), "  in the option --admin-listen");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(\\[?[a-z_.]{0,12}\\]? ?=? ?[\"\\[{]?[a-z0-9:. ]{0,12}[\"\\]}]?\n){0,6}") {
        let mut problems = Vec::new();
        file::FileLayer::parse(Path::new("rota.toml"), text, &mut problems);
        for problem in problems {
            proptest::prop_assert!(!problem.to_string().is_empty());
        }
    }
}

/// A machine whose home is `home`, with `file` as its configuration unless that is empty.
fn world(home: &Path, file: &str, env: &[(&str, &str)]) -> Sources {
    let dir = home.join(".config/rota");
    if !file.is_empty() {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("rota.toml"), file).unwrap();
    }
    let own = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let mut env: BTreeMap<String, String> = own.collect();
    env.insert("HOME".to_owned(), home.display().to_string());
    Sources { env, ..Sources::default() }
}

fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    Config::load(sources)
}

fn errors(sources: &Sources) -> Vec<Problem> {
    let error = load(sources).err();
    error.map_or_else(Vec::new, |error| error.problems().to_vec())
}

fn message(sources: &Sources) -> String {
    let error = load(sources).err().expect("it is refused");
    let file = sources.config_file().display().to_string();
    error.to_string().replace(&format!("in {file}, line"), "in FILE, line")
}
