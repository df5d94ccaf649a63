use super::*;
use crate::config::reference::tests::{HOW, committed};
use crate::config::setting::Shape;
use crate::config::{Config, Sources, template};
use jsonschema::Validator;
use toml::Table;

const EXAMPLE: &str = "id = \"x\"\norigin = \"https://api.x.test\"\ndialect = \"responses\"\n\
                       [inject.api-key]\nset = { authorization = \"Bearer {access}\" }\n";

/// ADM-5
#[test]
fn the_schemas_are_written_down_as_they_are() {
    for (file, schema) in
        [("config/rota.schema.json", config_schema()), ("config/preset.schema.json", preset_schema())]
    {
        let text = format!("{schema:#}\n");
        assert_eq!(committed(file, |_| text.clone()), text, "{HOW}");
    }
}

/// ADM-5: what is shipped fits, and so does what a user is given to begin with.
#[test]
fn every_shipped_file_fits_its_schema() {
    let config = validator(&config_schema());
    let reference = include_str!("../../../config/rota.toml");
    for text in [reference, &template(), "", &uncommented()] {
        assert_eq!(wrong(&config, text), Vec::<String>::new());
    }
    let preset = validator(&preset_schema());
    let shipped = presets::embedded().iter().chain(presets::templates());
    for (name, text) in shipped {
        assert_eq!(wrong(&preset, text), Vec::<String>::new(), "{name}");
        assert!(text.starts_with("#:schema "), "{name}: an editor does not find its schema");
    }
    assert!(reference.starts_with("#:schema rota.schema.json\n"));
    assert_eq!(wrong(&preset, EXAMPLE), Vec::<String>::new());
}

/// ADM-5: a type, a name or a number that the loader refuses is refused while it is written, too.
#[test]
fn what_the_loader_refuses_the_schema_refuses() {
    let config = validator(&config_schema());
    for text in [
        "rotation = 3",
        "listen = 7682",
        "listen = []",
        "listen = [7682]",
        "admin_listen = [\"127.0.0.1:1\"]",
        "admin_listen = \"127.0.0.1\"",
        "admin_socket = \"run/rota.sock\"",
        "client_keys = \"sixteen-characters\"",
        "client_keys = [\"short\"]",
        "client_keys = [\"a key with spaces\"]",
        "require_client_key = \"yes\"",
        "allowed_hosts = [\"http://rota\"]",
        "allowed_origins = [\"rota.example\"]",
        "allowed_uids = [-1]",
        "allowed_uids = [4294967296]",
        "allowed_uids = [\"root\"]",
        "no_such = 1",
        "[rotation]\nstratgy = \"random\"",
        "[rotation]\nstrategy = \"novel\"",
        "[rotation]\nstrategy = 1",
        "[rotation]\naffinity = \"sometimes\"",
        "[rotation]\nlow = 101",
        "[rotation]\nlow = -1",
        "[rotation]\nlow = 1.5",
        "[rotation]\nlow = \"20\"",
        "[rotation]\ncritical = 100",
        "[rotation]\nmax_attempts = 0",
        "[rotation]\nmax_attempts = 17",
        "[rotation]\npatience = 60",
        "[rotation]\npatience = \"60\"",
        "[rotation]\npatience = \"a while\"",
        "[rotation]\nin_flight_cap = 65536",
        "[limits]\nhead_bytes = \"64kb\"",
        "[limits]\nhead_bytes = 1",
        "[limits]\nworkers = 65",
        "[probe]\nmodel = \"yes\"",
        "[probe]\neffort = \"much\"",
        "[notify]\nwebhooks = [\"ftp://x\"]",
        "[notify]\nwebhooks = [\"https://a/\", \"https://a/\", \"https://a/\", \"https://a/\", \"https://a/\"]",
        "[notify]\ncommand = \"notify-send\"",
        "[tls]\nroots = \"mine\"",
        "[encryption]\nmode = true",
        "[encryption]\nkey_credential = \"a/b\"",
        "[log]\nlevel = \"loud\"",
        "[log]\nformat = \"xml\"",
        "[providers.codex]\norigin = 1",
        "[providers.codex]\nkey = \"x\"",
        "[providers]\ncodex = \"x\"",
        "[[route]]\nprefix = \"/v1\"",
        "[[route]]\nprefix = \"/v1\"\nprovider = \"codex\"\nwhen = \"x\"",
        "[route]\nprefix = \"/v1\"",
    ] {
        assert!(load(text).is_err(), "the loader takes it: {text}");
        assert_ne!(wrong(&config, text), Vec::<String>::new(), "{text}");
    }
}

/// The same of presets.
#[test]
fn what_the_reader_of_presets_refuses_the_schema_refuses() {
    let preset = validator(&preset_schema());
    let rule = |rest: &str| {
        format!("[[rule]]\nname = \"r\"\nstatus = 429\nclass = \"rate-short\"\nscope = \"account\"\n{rest}")
    };
    let good = ["", &rule(""), &rule("otherwise = \"30s\""), "[login]\nscope = \"a\""];
    for more in good {
        let text = extended(more);
        assert_eq!(wrong(&preset, &text), Vec::<String>::new(), "{more}");
        assert!(!more.contains("rule") || presets::parse("x.toml", &text).is_ok(), "{more}");
    }
    for more in [
        "extends = 3".to_owned(),
        "name = 3".to_owned(),
        "subscription = \"yes\"".to_owned(),
        "colour = \"red\"".to_owned(),
        "strip = [\"two words\"]".to_owned(),
        "strip = \"x\"".to_owned(),
        "base = \"v1\"".to_owned(),
        "replay_safe = [\"search\"]".to_owned(),
        "[inject.password]\nset = { a = \"{access}\" }".to_owned(),
        "[inject.oauth]\nset = { \"a b\" = \"{access}\" }".to_owned(),
        "[inject.oauth]\nset = { a = \"{secret}\" }".to_owned(),
        "[inject.oauth]\nput = { a = \"{access}\" }".to_owned(),
        "[token]\nurl = \"auth.x.test\"".to_owned(),
        "[token]\nformat = \"xml\"".to_owned(),
        "[token]\ngrant = \"wish\"".to_owned(),
        "[token]\nparams = { grant_type = \"x\" }".to_owned(),
        "[token]\nparams = { a = { secret = \"x\" } }".to_owned(),
        "[token]\nexec = \"print-token\"".to_owned(),
        "[token]\nexec = []".to_owned(),
        "[token]\nexec = [\"/bin/x\"]\ntimeout = \"soon\"".to_owned(),
        "[login.browser]\nports = [0]".to_owned(),
        "[login.browser]\nports = [65536]".to_owned(),
        format!("[login.browser]\nports = [{}]", "1,".repeat(17)),
        "[login.browser]\nhost = \"example.com\"".to_owned(),
        "[login.browser]\nparams = { state = \"x\" }".to_owned(),
        "[login.device]\nkind = \"third\"".to_owned(),
        "[[limit]]\nwindow = 5\nused_percent = \"x-used\"".to_owned(),
        "[[limit]]\nwindow = \"5h\"\nused_percent = \"x-used\"\nresets = { header = \"x\", format = \"soon\" }".to_owned(),
        "[limits.usage]\npath = \"/u\"\nkinds = [\"cookie\"]\nwindow = []".to_owned(),
        "[conversation]\non_owner_lost = \"cry\"".to_owned(),
        "[conversation]\nlost = { status = 200, body = \"{}\" }".to_owned(),
        "[conversation]\nkeep_alive = \": ping\"".to_owned(),
        "[conversation]\nmarkers = [{ key = \"k\", least = -1, class = \"reasoning\" }]".to_owned(),
        "[conversation]\nmarkers = [{ key = \"k\", class = \"thought\" }]".to_owned(),
        rule("").replace("429", "200"),
        rule("").replace("429", "\"500-700\""),
        rule("").replace("429", "[]"),
        rule("").replace("rate-short", "bad-mood"),
        rule("").replace("rate-short", "unreachable"),
        rule("").replace("\"account\"", "\"everybody\""),
        rule("otherwise = \"soon\""),
        rule("cooldown = [\"header:x\"]"),
        rule("headers = [{ name = \"x\", is = \"there\" }]"),
        rule("codes = \"x\""),
    ] {
        let text = extended(&more);
        assert!(presets::parse("x.toml", &text).is_err(), "the reader takes it: {more}");
        assert_ne!(wrong(&preset, &text), Vec::<String>::new(), "{more}");
    }
}

/// No value that a setting takes is marked as wrong, and what is no flag, no number in range and no name of its list is.
#[test]
fn the_schema_of_a_setting_takes_all_that_its_reader_takes() {
    let texts = [
        "",
        "x",
        "off",
        "on",
        "auto",
        "system",
        "127.0.0.1:1",
        "[::1]:0",
        "localhost:7682",
        "0.0.0.0:1",
        "/a/b",
        "random",
        "session",
        "250ms",
        "1h30m",
        "1d",
        "64KiB",
        "512",
        "1GiB",
        "info,rota::proxy=debug",
        "json",
        "name.of-1",
        "sixteen-characters-and-more",
        "high",
        "none",
        "false",
        "text",
    ];
    let numbers = [-1, 0, 1, 9, 16, 17, 64, 65, 99, 100, 101, 65_535, 65_536, 100_000, 1_048_576, i64::MAX];
    let values = texts.map(toml::Value::from).into_iter().chain(numbers.map(toml::Value::from));
    let values = values.chain([true.into(), 1.5.into()]);
    let lists = ["/bin/x", "sixteen-characters-and-more", "host:80", "https://h", "127.0.0.1:1", "7"];
    let lists = lists.map(|entry| toml::Value::Array(vec![entry.into()])).into_iter();
    let all: Vec<toml::Value> = values
        .chain(lists)
        .chain([toml::Value::Array(Vec::new()), toml::Value::Array(vec![7.into()])])
        .collect();
    for setting in ALL {
        let about = setting.about();
        let schema = described(setting);
        let validator = validator(&schema);
        for value in &all {
            let fits = validator.is_valid(&serde_json::to_value(value).expect("JSON"));
            let taken = setting.check(value).is_ok();
            assert!(fits || !taken, "{}: {value} is taken and no {schema}", about.key);
            let told_whole =
                matches!(about.shape, Shape::Flag | Shape::Number) || schema.get("enum").is_some();
            assert!(!told_whole || fits == taken, "{}: {value}: {schema}", about.key);
        }
    }
}

fn extended(more: &str) -> String {
    let (before, inject) = EXAMPLE.split_once('[').expect("a table");
    match more.starts_with('[') {
        true => format!("{EXAMPLE}{more}\n"),
        false => format!("{before}{more}\n[{inject}"),
    }
}

/// `rota config template` with every line in force that is one of a setting.
fn uncommented() -> String {
    let is_setting = |line: &str| {
        line.starts_with("#[")
            || line.split_once(" = ").is_some_and(|(name, _)| {
                name.strip_prefix('#')
                    .is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            })
    };
    template()
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line }.to_owned() + "\n")
        .collect()
}

fn load(text: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rota.toml");
    std::fs::write(&path, text).expect("a file");
    let home = dir.path().display().to_string();
    let env = [("HOME", home), ("ROTA_CONFIG", path.display().to_string())];
    let env = env.map(|(name, value)| (name.to_owned(), value)).into();
    Config::load(&Sources { env, ..Sources::default() }).map(drop).map_err(|error| error.to_string())
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).expect("a schema")
}

fn wrong(validator: &Validator, text: &str) -> Vec<String> {
    let table: Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    let json = serde_json::to_value(table).expect("JSON");
    validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
