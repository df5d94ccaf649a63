//! The admin API against a model of it: whatever is asked in whatever order, and however often the process is killed in
//! between, each answer and what is shown afterwards are what a few lines of plain code say.
use super::place::{Daemon, Fake, Place};
use super::talk::Reply;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ALIASES: [&str; 4] = ["a", "b", "c", "d"];
const PROVIDERS: [&str; 2] = ["openai", "gemini"];
const PRESETS: [(&str, u64, u64); 3] =
    [("aggressive", 20, 40), ("balanced", 10, 30), ("conservative", 5, 20)];

/// What is asked.
#[derive(Clone, Debug)]
enum Ask {
    Add(usize, usize),
    Clear,
    Force(usize),
    Kill,
    Label(usize, u8),
    Preset(usize),
    Remove(usize, Last),
    Rename(usize, usize),
    Reset,
    Settings { critical: Option<u64>, low: Option<u64> },
    Switch(usize, Switch, Last),
    Weigh(usize, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Off,
    On,
}

/// May it be the last enabled one of its provider?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Keep,
    Override,
}

/// What there should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    accounts: BTreeMap<String, Account>,
    force: Option<String>,
    kept: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Account {
    provider: &'static str,
    switch: Switch,
    weight: f64,
    notes: String,
}

/// A status, and the code of an error.
type Told = (u16, &'static str);

impl Model {
    /// What the answer is; where it is a success, the model is what there should be then.
    fn ask(&mut self, ask: &Ask) -> Told {
        match ask {
            Ask::Add(alias, provider) => self.add(ALIASES[*alias], PROVIDERS[*provider]),
            Ask::Clear => self.force.take().map_or((409, "NO_FORCE_ACTIVE"), |_| (200, "")),
            Ask::Force(alias) => self.force(ALIASES[*alias]),
            Ask::Kill => (0, ""),
            Ask::Label(alias, number) => self.label(ALIASES[*alias], &number.to_string()),
            Ask::Preset(preset) => self.preset(*preset),
            Ask::Remove(alias, last) => self.remove(ALIASES[*alias], *last),
            Ask::Rename(alias, other) => self.rename(ALIASES[*alias], ALIASES[*other]),
            Ask::Reset => {
                self.kept.clear();
                (200, "")
            }
            Ask::Settings { critical, low } => self.set(*critical, *low),
            Ask::Switch(alias, to, last) => self.switch(ALIASES[*alias], *to, *last),
            Ask::Weigh(alias, number) => self.weigh(ALIASES[*alias], f64::from(*number) / 4.0),
        }
    }

    fn add(&mut self, alias: &str, provider: &'static str) -> Told {
        if self.accounts.contains_key(alias) {
            return (409, "ALIAS_TAKEN");
        }
        let account = Account { provider, switch: Switch::On, weight: 1.0, notes: String::new() };
        self.accounts.insert(alias.to_owned(), account);
        (201, "")
    }

    fn force(&mut self, alias: &str) -> Told {
        match self.accounts.get(alias).map(|account| account.switch) {
            None => (404, "ACCOUNT_NOT_FOUND"),
            Some(Switch::Off) => (409, "ACCOUNT_DISABLED"),
            Some(Switch::On) => {
                self.force = Some(alias.to_owned());
                (200, "")
            }
        }
    }

    fn label(&mut self, alias: &str, notes: &str) -> Told {
        match self.accounts.get_mut(alias) {
            None => (404, "ACCOUNT_NOT_FOUND"),
            Some(account) if account.notes == notes => (409, "ALREADY_IN_STATE"),
            Some(account) => {
                notes.clone_into(&mut account.notes);
                (200, "")
            }
        }
    }

    fn weigh(&mut self, alias: &str, weight: f64) -> Told {
        match self.accounts.get_mut(alias) {
            None => (404, "ACCOUNT_NOT_FOUND"),
            Some(_) if weight <= 0.0 || weight > 1.0 => (400, "INVALID_REQUEST"),
            Some(account) if account.weight == weight => (409, "ALREADY_IN_STATE"),
            Some(account) => {
                account.weight = weight;
                (200, "")
            }
        }
    }

    fn rename(&mut self, alias: &str, other: &str) -> Told {
        if !self.accounts.contains_key(alias) {
            return (404, "ACCOUNT_NOT_FOUND");
        }
        if alias == other {
            return (409, "ALREADY_IN_STATE");
        }
        if self.accounts.contains_key(other) {
            return (409, "ALIAS_TAKEN");
        }
        let account = self.accounts.remove(alias).expect("it is there");
        self.accounts.insert(other.to_owned(), account);
        if self.force.as_deref() == Some(alias) {
            self.force = Some(other.to_owned());
        }
        (200, "")
    }

    fn remove(&mut self, alias: &str, last: Last) -> Told {
        let Some(account) = self.accounts.get(alias) else {
            return (404, "ACCOUNT_NOT_FOUND");
        };
        if account.switch == Switch::On && self.is_last(alias) && last == Last::Keep {
            return (409, "LAST_ENABLED");
        }
        self.accounts.remove(alias);
        self.force.take_if(|forced| forced == alias);
        (204, "")
    }

    fn switch(&mut self, alias: &str, to: Switch, last: Last) -> Told {
        match self.accounts.get(alias) {
            None => return (404, "ACCOUNT_NOT_FOUND"),
            Some(account) if account.switch == to => return (409, "ALREADY_IN_STATE"),
            Some(_) if to == Switch::Off && self.is_last(alias) && last == Last::Keep => {
                return (409, "LAST_ENABLED");
            }
            Some(_) => {}
        }
        self.accounts.get_mut(alias).expect("it is there").switch = to;
        self.force.take_if(|forced| forced == alias && to == Switch::Off);
        (200, "")
    }

    /// No other account of its provider is on.
    fn is_last(&self, alias: &str) -> bool {
        let provider = self.accounts[alias].provider;
        !self.accounts.iter().any(|(other, account)| {
            other != alias && account.provider == provider && account.switch == Switch::On
        })
    }

    fn set(&mut self, critical: Option<u64>, low: Option<u64>) -> Told {
        let mut wanted = self.kept.clone();
        wanted.extend(critical.map(|value| ("critical", value)));
        wanted.extend(low.map(|value| ("low", value)));
        let [critical, low] = thresholds(&wanted);
        if critical > 99 || low > 100 || critical >= low {
            return (400, "INVALID_REQUEST");
        }
        self.kept = wanted;
        (200, "")
    }

    fn preset(&mut self, preset: usize) -> Told {
        let (name, critical, low) = PRESETS[preset];
        self.kept = [("critical", critical), ("low", low)].into();
        if name == "balanced" {
            self.accounts.values_mut().for_each(|account| account.weight = 1.0);
        }
        (200, "")
    }

    /// As the API shows it.
    fn shown(&self) -> Value {
        let accounts = self.accounts.iter().map(|(alias, account)| {
            let Account { provider, switch, weight, notes } = account;
            json!([alias, provider, *switch == Switch::On, weight, notes])
        });
        json!({"accounts": accounts.collect::<Vec<_>>(), "force": self.force, "thresholds": thresholds(&self.kept)})
    }
}

fn thresholds(kept: &BTreeMap<&'static str, u64>) -> [u64; 2] {
    [("critical", 10), ("low", 30)].map(|(key, default)| kept.get(key).copied().unwrap_or(default))
}

fn ask() -> impl proptest::strategy::Strategy<Value = Ask> {
    let alias = || 0..ALIASES.len();
    let last = || prop_oneof![Just(Last::Keep), Just(Last::Override)];
    let percent = || prop::option::of(prop_oneof![0u64..102, Just(15), Just(25)]);
    prop_oneof![
        5 => (alias(), 0..PROVIDERS.len()).prop_map(|(alias, provider)| Ask::Add(alias, provider)),
        1 => Just(Ask::Clear),
        3 => alias().prop_map(Ask::Force),
        1 => Just(Ask::Kill),
        2 => (alias(), 0u8..3).prop_map(|(alias, number)| Ask::Label(alias, number)),
        1 => (0..PRESETS.len()).prop_map(Ask::Preset),
        2 => (alias(), last()).prop_map(|(alias, last)| Ask::Remove(alias, last)),
        2 => (alias(), alias()).prop_map(|(alias, other)| Ask::Rename(alias, other)),
        1 => Just(Ask::Reset),
        2 => (percent(), percent()).prop_map(|(critical, low)| Ask::Settings { critical, low }),
        4 => (alias(), prop_oneof![Just(Switch::Off), Just(Switch::On)], last())
            .prop_map(|(alias, to, last)| Ask::Switch(alias, to, last)),
        2 => (alias(), 0u8..6).prop_map(|(alias, number)| Ask::Weigh(alias, number)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// ADM-1 ADM-2 ADM-4 ADM-5 FRC-1 FRC-3 STO-7
    #[test]
    fn the_admin_api_is_what_its_model_says_also_after_kills(asks in prop::collection::vec(ask(), 1..40)) {
        let fake = Fake::keys(&ALIASES);
        let place = Place::before(&fake);
        let mut daemon = place.serve();
        let mut model = Model::default();
        for (number, ask) in asks.iter().enumerate() {
            let before = model.clone();
            let expected = model.ask(ask);
            if matches!(ask, Ask::Kill) {
                daemon.kill();
                daemon = place.serve();
            } else {
                let reply = put(&place, &daemon, ask);
                let code = if reply.status < 300 { String::new() } else { reply.code() };
                prop_assert_eq!((reply.status, code.as_str()), expected, "{} {:?} of {:?}", number, ask, before);
            }
            prop_assert_eq!(shown(&place, &daemon), model.shown(), "{} {:?} of {:?}", number, ask, before);
        }
    }
}

/// Asks it.
fn put(place: &Place, daemon: &Daemon, ask: &Ask) -> Reply {
    let force = |last: Last| last == Last::Override;
    let (method, path, body) = match ask {
        Ask::Add(alias, provider) => {
            let secret = format!("sk-{}", ALIASES[*alias]);
            let body = json!({"alias": ALIASES[*alias], "provider": PROVIDERS[*provider], "secret": secret});
            ("POST", "/api/accounts".to_owned(), body)
        }
        Ask::Clear => ("POST", "/api/force/clear".to_owned(), Value::Null),
        Ask::Force(alias) => ("POST", "/api/force".to_owned(), json!({"alias": ALIASES[*alias]})),
        Ask::Kill => unreachable!("it is no request"),
        Ask::Label(alias, number) => ("PATCH", account(*alias), json!({"notes": number.to_string()})),
        Ask::Preset(preset) => {
            ("POST", "/api/settings/preset".to_owned(), json!({"name": PRESETS[*preset].0}))
        }
        Ask::Remove(alias, last) => ("DELETE", account(*alias), json!({"force": force(*last)})),
        Ask::Rename(alias, other) => ("PATCH", account(*alias), json!({"alias": ALIASES[*other]})),
        Ask::Reset => ("POST", "/api/settings/reset".to_owned(), json!({})),
        Ask::Settings { critical, low } => {
            let named = [("critical", critical), ("rotation.low", low)].into_iter();
            let settings: BTreeMap<&str, u64> =
                named.filter_map(|(key, value)| Some((key, (*value)?))).collect();
            ("PUT", "/api/settings".to_owned(), json!({"settings": settings}))
        }
        Ask::Switch(alias, to, last) => {
            let body = json!({"enabled": *to == Switch::On, "force": force(*last)});
            ("PUT", format!("{}/enabled", account(*alias)), body)
        }
        Ask::Weigh(alias, number) => ("PATCH", account(*alias), json!({"weight": f64::from(*number) / 4.0})),
    };
    let talk = place.admin(daemon, method, &path);
    if body.is_null() { talk.send() } else { talk.json(body).send() }
}

fn account(alias: usize) -> String {
    format!("/api/accounts/{}", ALIASES[alias])
}

/// What the API shows of that which the model has.
fn shown(place: &Place, daemon: &Daemon) -> Value {
    let get = |path: &str| place.admin(daemon, "GET", path).send().json();
    let accounts = get("/api/accounts");
    let mut accounts: Vec<Value> = accounts["accounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| json!([one["alias"], one["provider"], one["enabled"], one["weight"], one["notes"]]))
        .collect();
    accounts.sort_by_key(|account| account[0].to_string());
    let settings = get("/api/settings");
    let value = |key: &str| {
        let all = settings["settings"].as_array().expect("a list");
        all.iter().find(|one| one["key"] == key).expect("a setting")["value"].clone()
    };
    json!({
        "accounts": accounts,
        "force": get("/api/force")["force"]["alias"],
        "thresholds": [value("rotation.critical"), value("rotation.low")],
    })
}
