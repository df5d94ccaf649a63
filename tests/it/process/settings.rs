//! What may change while rota runs: its layers, what fixes it, and what becomes of it over the ends of the process.
use super::place::{Daemon, Fake, Place};
use super::talk::{Reply, Talk};
use fake_upstream::Fault;
use rota::clock::Clock;
use rota::store::{FileBackend, Store};
use serde_json::{Value, json};
use std::sync::Arc;

const SETTINGS: &str = "/api/settings";

/// ADM-5: default, kept, file, environment, each key for itself; what is kept outlives a kill, and a reload of the file
/// moves what it says and nothing else.
#[test]
fn a_setting_is_what_its_highest_layer_says_over_restarts_and_reloads() {
    let fake = Fake::keys(&["a"]);
    let mut place = Place::before(&fake);
    place.set("ROTA_ROTATION__AFFINITY", "none");
    place.config(&format!("{}[rotation]\npatience = \"30s\"\n", fake.config()));
    let daemon = place.serve();
    let changed =
        put(&place, &daemon, json!({"rotation.low": 25, "rotation.critical": 5, "strategy": "random"}));
    assert_eq!(changed.status, 200, "{changed:?}");
    let told = |place: &Place| -> Vec<[String; 3]> {
        let all = settings(place);
        [
            "rotation.affinity",
            "rotation.low",
            "rotation.patience",
            "rotation.strategy",
            "rotation.max_attempts",
        ]
        .map(|key| {
            let one = all.iter().find(|one| one["key"] == key).expect("the setting");
            [word(&one["value"]), word(&one["origin"]), word(&one["lockedBy"])]
        })
        .into()
    };
    let file = place.path("config/rota/rota.toml").display().to_string();
    let expected = [
        ["none", "environment", "ROTA_ROTATION__AFFINITY"],
        ["25", "settings", ""],
        ["30s", "file", &file],
        ["random", "settings", ""],
        ["3", "default", ""],
    ]
    .map(|one| one.map(str::to_owned));
    assert_eq!(told(&place), expected);
    assert_eq!(place.json(&["status"])["strategy"], "random");
    daemon.kill();
    assert_eq!(told(&place), expected, "without a daemon");
    let daemon = place.serve();
    assert_eq!(told(&place), expected);
    place.config(&format!("{}[rotation]\nlow = 50\n", fake.config()));
    daemon.signal("HUP");
    daemon.wrote("the configuration was reloaded");
    let [_, low, patience, strategy, _]: [[String; 3]; 5] = told(&place).try_into().expect("five");
    assert_eq!(low, ["50".to_owned(), "file".to_owned(), file]);
    assert_eq!(patience, ["60s", "default", ""].map(str::to_owned));
    assert_eq!(strategy[0], "random", "a reload forgets nothing that is kept");
    let explained = place.rota(&["config", "explain", "low"]).out;
    assert!(explained.contains("settings") && explained.contains("25"), "{explained}");
    assert_eq!(explained.lines().filter(|line| line.contains("in force")).count(), 1, "{explained}");
}

/// ADM-5, ADM-2: all of it or nothing; the field, the value, the constraint, and who fixes what is fixed.
#[test]
fn a_change_that_does_not_fit_changes_nothing_and_says_why() {
    let (_fake, place, daemon) = fixed();
    let before = settings(&place);
    for (body, status, code, field, told) in [
        (json!({"rotation.low": 101}), 400, "INVALID_REQUEST", "rotation.low", "0 to 100"),
        (json!({"strategy": "random", "low": 8}), 400, "INVALID_REQUEST", "rotation.low", "`critical` is 10"),
        (json!({"low": 20, "critical": 20}), 400, "INVALID_REQUEST", "rotation.critical", "must be below"),
        (json!({"low": "many"}), 400, "INVALID_REQUEST", "rotation.low", "0 to 100"),
        (json!({"low": null}), 400, "INVALID_REQUEST", "low", "must be a text"),
        (json!({"low": 1.5}), 400, "INVALID_REQUEST", "low", "must be a text"),
        (json!({"stratgy": "random"}), 400, "INVALID_REQUEST", "stratgy", "did you mean"),
        (json!({"listen": "0.0.0.0:1"}), 400, "INVALID_REQUEST", "listen", "rota settings"),
        (
            json!({"low": 20, "affinity": "session"}),
            409,
            "SETTING_LOCKED",
            "rotation.affinity",
            "ROTA_ROTATION__",
        ),
        (json!({"low": 20, "patience": "9s"}), 409, "SETTING_LOCKED", "rotation.patience", "rota.toml"),
    ] {
        let reply = put(&place, &daemon, body.clone());
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}: {reply:?}");
        let error = reply.json()["error"].clone();
        assert_eq!(error["details"]["field"], field, "{body}: {error}");
        assert!(word(&error["message"]).contains(told), "{body}: {error}");
    }
    let locked = put(&place, &daemon, json!({"affinity": "session"})).json();
    assert_eq!(locked["error"]["details"]["lockedBy"], "ROTA_ROTATION__AFFINITY");
    let keys = json!({"keys": ["affinity"]});
    let reset = place.admin(&daemon, "POST", "/api/settings/reset").json(keys).send();
    assert_eq!(reset.code(), "SETTING_LOCKED");
    assert_eq!(settings(&place), before);
}

/// SEL-7: each preset by its name; a dry run writes nothing; `balanced` gives every account the same weight.
#[test]
fn a_preset_is_what_its_dry_run_said() {
    let (_fake, place, daemon) = fixed();
    place.rota(&["weight", "work", "0.5"]);
    let post = |query: &str, name: &str| {
        let path = format!("/api/settings/preset{query}");
        place.admin(&daemon, "POST", &path).json(json!({"name": name})).send()
    };
    for (name, low, critical) in [("conservative", 20, 5), ("aggressive", 40, 20), ("balanced", 30, 10)] {
        let before = settings(&place);
        let plan = post("?dryRun=true", name).json();
        assert_eq!(settings(&place), before, "{name}");
        assert_eq!(post("", name).status, 200);
        let values = ["low", "critical"].map(|key| value(&place, key));
        assert_eq!(values, [json!(low), json!(critical)], "{name}");
        let keys: Vec<String> =
            plan["changes"].as_array().expect("a list").iter().map(|change| word(&change["key"])).collect();
        let weight = (name == "balanced").then(|| "accounts.work.weight".to_owned());
        let expected: Vec<String> =
            ["rotation.low", "rotation.critical"].map(str::to_owned).into_iter().chain(weight).collect();
        assert_eq!(keys, expected, "{name}");
    }
    assert_eq!(place.json(&["accounts"])["accounts"][0]["weight"], 1.0);
    assert_eq!(post("", "daring").code(), "INVALID_REQUEST");
    let audit = place.json(&["audit", "-n", "3"])["entries"].clone();
    let told: Vec<[String; 4]> = audit
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| ["action", "target", "before", "after"].map(|name| word(&entry[name])))
        .collect();
    let expected = [
        ["setting.changed", "rotation.critical", "20", "10"],
        ["setting.changed", "rotation.low", "40", "30"],
        ["account.weight", "work", "0.5", "1"],
    ];
    assert_eq!(told, expected.map(|entry| entry.map(str::to_owned)));
}

/// ADM-5: the command line says what the API says, asks before it resets, and dries.
#[test]
fn settings_are_changed_and_reset_by_commands() {
    let (_fake, place, _daemon) = fixed();
    let ran = place.rota(&["settings", "set", "low=20", "strategy=fill-first"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("rotation.low  30 → 20"), "{ran:?}");
    let dry = place.rota(&["settings", "preset", "conservative", "--dry-run"]);
    assert!(dry.out.contains("rotation.critical  10 → 5") && dry.out.contains("nothing written"), "{dry:?}");
    assert_eq!(value(&place, "critical"), 10);
    let shown = place.rota(&["settings"]).out;
    assert!(shown.contains("rotation.strategy") && shown.contains("fill-first"), "{shown}");
    assert!(shown.contains("locked by ROTA_ROTATION__AFFINITY"), "{shown}");
    let one = place.rota(&["settings", "get", "low"]).out;
    assert!(one.contains("settings    20   <- in force") && one.contains("default     30"), "{one}");
    let asks = place.rota(&["settings", "reset"]);
    assert_eq!(asks.code, Some(1));
    assert!(asks.err.contains("--yes"), "{asks:?}");
    assert_eq!(place.rota(&["settings", "reset", "low", "--yes"]).code, Some(0));
    assert_eq!((value(&place, "low"), value(&place, "strategy")), (json!(30), json!("fill-first")));
    assert_eq!(place.rota(&["settings", "reset", "--yes"]).code, Some(0));
    assert_eq!(value(&place, "strategy"), "round-robin");
    let wrong = place.rota(&["settings", "set", "affinity=session"]);
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.err.contains("SETTING_LOCKED") && wrong.err.contains("ROTA_ROTATION__AFFINITY"),
        "{wrong:?}"
    );
}

/// ADM-4, ADM-5: changes that fit each by itself and contradict each other are never both made.
#[test]
fn settings_that_are_changed_at_once_never_contradict_each_other() {
    let (_fake, place, daemon) = fixed();
    for round in 0..4 {
        let bodies = [json!({"low": 15}), json!({"critical": 25})];
        let told: Vec<Reply> = std::thread::scope(|scope| {
            let ask = |body: &Value| put(&place, &daemon, body.clone());
            let runs: Vec<_> =
                bodies.iter().cycle().take(8).map(|body| scope.spawn(move || ask(body))).collect();
            runs.into_iter().map(|run| run.join().expect("a run")).collect()
        });
        for reply in &told {
            let code = if reply.status == 200 { String::new() } else { reply.code() };
            assert!(["", "INVALID_REQUEST", "UPDATE_IN_PROGRESS"].contains(&code.as_str()), "{reply:?}");
        }
        assert!(told.iter().any(|reply| reply.status == 200), "{round}: {told:?}");
        let [low, critical] = ["low", "critical"].map(|key| value(&place, key).as_u64().expect("a number"));
        assert!(critical < low, "{critical} {low}");
        assert_eq!(place.rota(&["settings", "reset", "--yes"]).code, Some(0));
    }
}

/// ADM-5: what is kept yields to the file, with a warning at the start and at a reload, and `reset` takes it away with no
/// daemon there.
#[test]
fn rota_starts_with_a_kept_setting_that_contradicts_its_file() {
    let (fake, place, daemon) = fixed();
    assert_eq!(put(&place, &daemon, json!({"critical": 25})).status, 200);
    place.config(&format!("{}[rotation]\nlow = 20\n", fake.config()));
    daemon.signal("HUP");
    let told = daemon.wrote("the configuration was reloaded");
    assert!(told.contains("`critical` is 25 and `low` is 20"), "{told}");
    assert_eq!(["critical", "low"].map(|key| value(&place, key)), [json!(10), json!(20)]);
    daemon.stop();
    let daemon = place.serve();
    assert!(daemon.log().contains("`critical` is 25 and `low` is 20"), "{}", daemon.log());
    assert_eq!(["critical", "low"].map(|key| value(&place, key)), [json!(10), json!(20)]);
    let doctor = |place: &Place| place.json(&["doctor"]).to_string();
    assert!(doctor(&place).contains("`critical` is 25"), "{}", doctor(&place));
    daemon.stop();
    left_out(&place, "rotation.critical");
}

/// ADM-5: the same for a value that this version cannot read.
#[test]
fn rota_starts_with_a_kept_setting_that_it_cannot_read() {
    let (_fake, place, daemon) = fixed();
    daemon.stop();
    keep(&place, "[rotation]\nstrategy = \"novel\"\nlow = 50");
    let daemon = place.serve();
    assert!(daemon.log().contains("novel"), "{}", daemon.log());
    assert_eq!(["strategy", "low"].map(|key| value(&place, key)), [json!("round-robin"), json!(50)]);
    daemon.stop();
    left_out(&place, "rotation.strategy");
    keep(&place, "[rotation]\nstrategy = \"novel\"");
    let daemon = place.serve();
    assert_eq!(put(&place, &daemon, json!({"low": 60})).status, 200);
    let doctor = place.json(&["doctor"]).to_string();
    assert!(!doctor.contains("novel"), "any change takes it away: {doctor}");
}

/// ADM-6, ADM-5: off unless somebody asks; changed with the token only, and locked where the environment decides; a
/// request under way does not notice.
#[test]
fn a_feature_is_off_until_it_is_asked_for_and_disturbs_no_request() {
    let (fake, mut place, daemon) = fixed();
    let path = "/api/settings/feature-flags";
    let flags = |daemon: &Daemon, place: &Place| place.admin(daemon, "GET", path).send().json();
    assert_eq!(flags(&daemon, &place), json!({"antigravity": false}));
    let stranger = Talk::to(daemon.admin(), "PUT", path).json(json!({"antigravity": true})).send();
    assert_eq!((stranger.status, stranger.code().as_str()), (401, "UNAUTHORIZED"));
    let gate = fake.upstream.gate("g");
    fake.upstream.set_fault(Fault::none().stall_head("g").once());
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(|| daemon.ask("/openai/v1/responses"));
        fake.wait(gate.arrived(1));
        let on = place.admin(&daemon, "PUT", path).json(json!({"antigravity": true})).send();
        assert_eq!((on.status, on.json()), (200, json!({"antigravity": true})));
        gate.release();
        asking.join().expect("an answer")
    });
    assert_eq!((reply.status, reply.cut), (200, false), "{reply:?}");
    daemon.kill();
    let daemon = place.serve();
    assert_eq!(flags(&daemon, &place), json!({"antigravity": true}));
    daemon.stop();
    place.set("ROTA_FEATURES__ANTIGRAVITY", "false");
    let daemon = place.serve();
    assert_eq!(flags(&daemon, &place), json!({"antigravity": false}));
    let locked = place.admin(&daemon, "PUT", path).json(json!({"antigravity": true})).send();
    assert_eq!((locked.status, locked.code().as_str()), (409, "SETTING_LOCKED"));
}

/// One account, with the affinity fixed by the environment and the patience by the file.
fn fixed() -> (Fake, Place, Daemon) {
    let fake = Fake::keys(&["a"]);
    let mut place = Place::before(&fake);
    place.set("ROTA_ROTATION__AFFINITY", "none");
    place.config(&format!("{}[rotation]\npatience = \"30s\"\n", fake.config()));
    place.add("work", "openai", "sk-a");
    let daemon = place.serve();
    (fake, place, daemon)
}

/// `rota config check` warns of the kept `key`, until `rota settings reset` has taken it away without a daemon.
fn left_out(place: &Place, key: &str) {
    let checked = place.rota(&["config", "check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.out.contains(&format!("warning: {key}")), "{checked:?}");
    assert!(checked.out.contains("in the settings that the store keeps"), "{checked:?}");
    assert_eq!(place.rota(&["settings", "reset", "--yes"]).code, Some(0));
    let all = settings(place);
    assert!(all.iter().all(|one| one["layers"]["settings"].is_null()), "{all:?}");
    let checked = place.rota(&["config", "check"]);
    assert!(!checked.out.contains("warning"), "{checked:?}");
}

/// What another version of rota may have kept.
fn keep(place: &Place, settings: &str) {
    let backend = FileBackend::create(&place.state()).expect("the store");
    let providers = ["openai".parse().expect("a provider")].into();
    let opened = Store::open(Arc::new(backend), &providers, Clock::System.now()).expect("it opens");
    opened.store.set_settings(&settings.parse().expect("TOML")).expect("it is kept");
}

fn put(place: &Place, daemon: &Daemon, settings: Value) -> Reply {
    place.admin(daemon, "PUT", SETTINGS).json(json!({"settings": settings})).send()
}

fn settings(place: &Place) -> Vec<Value> {
    place.json(&["settings"])["settings"].as_array().expect("a list").clone()
}

fn value(place: &Place, name: &str) -> Value {
    place.json(&["settings", "get", name])["value"].clone()
}

fn word(value: &Value) -> String {
    if value.is_null() {
        String::new()
    } else {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
}
