use super::*;
use crate::model::{
    AliasText, Clamp, CooldownSource, CredentialKind, FaultClass, HeaderMatch, HeaderTest, LimitHeaders,
    Measure, Origin, Param, PathMap, PrefixMatch, ResetFormat, Route, Rule, Scope, StatusSet, TokenFormat,
    TokenSource,
};
use std::time::Duration;

#[test]
fn every_embedded_preset_is_named_after_its_id() {
    let all = load(&[]).expect("presets");
    let ids: Vec<_> = all.iter().map(|provider| provider.id.as_str()).collect();
    let names: Vec<_> = embedded().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, names);
    for (id, text) in embedded() {
        assert_eq!(parse(id, text).expect("a preset").id.as_str(), *id);
    }
}

/// ROU-2
#[test]
fn the_embedded_presets_claim_the_bare_paths_of_the_clients() {
    let routes: Vec<_> = load(&[])
        .expect("presets")
        .into_iter()
        .flat_map(|provider| {
            let id = provider.id.as_str().to_owned();
            provider.routes.into_iter().map(move |route| {
                let header = route.header.map(|name| name.as_str().to_owned());
                let unless = route.unless.map(|id| id.as_str().to_owned());
                (id.clone(), route.prefix, header, unless)
            })
        })
        .collect();
    let row = |id: &str, prefix: &str, header: Option<&str>, unless: Option<&str>| {
        (id.to_owned(), prefix.to_owned(), header.map(str::to_owned), unless.map(str::to_owned))
    };
    assert_eq!(
        routes,
        [
            row("anthropic", "/v1/messages", None, None),
            row("anthropic", "/v1", Some("anthropic-version"), None),
            row("codex", "/backend-api/codex", None, None),
            row("codex", "/v1/responses", None, Some("openai")),
            row("codex", "/v1/models", None, Some("openai")),
            row("gemini", "/v1beta", None, None),
            row("openai", "/v1", None, None),
        ]
    );
}

#[test]
fn every_template_becomes_a_provider_in_five_lines_and_so_does_the_example_in_its_head() {
    for (name, text) in templates() {
        let example: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("#   "))
            .map(|line| format!("{line}\n"))
            .collect();
        let provider =
            parse("example.toml", &example).unwrap_or_else(|error| panic!("the example of {name}: {error}"));
        assert_eq!(provider.id.as_str(), "example");
        for other in other_examples(text) {
            let text = format!("id = \"x\"\nextends = \"{name}\"\norigin = \"https://x.example\"\n{other}");
            let provider = parse("example.toml", &text).unwrap_or_else(|error| panic!("{other}{error}"));
            assert!(provider.grants_by_itself(), "{other}");
        }
        let mut short = format!("id = \"x\"\nextends = \"{name}\"\norigin = \"https://api.example.com\"\n");
        if *name == "oauth2" {
            short += "token.url = \"https://example.com/token\"\ntoken.client_id = \"c\"\n";
        }
        parse("x.toml", &short).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_key_of_a_preset_is_read() {
    let provider = parse("x.toml", WHOLE).expect("a preset");
    assert_eq!(provider.id.as_str(), "x");
    assert_eq!(provider.name, "Example");
    assert_eq!(provider.origin, Origin::parse("https://api.example.com:8443").expect("an origin"));
    assert_eq!(provider.base, "/v2");
    assert!(provider.subscription);
    assert_eq!(provider.session_headers, ["x-conversation"]);
    assert_eq!(provider.strip, ["x-org"]);
    assert_eq!(provider.strip_query, ["key"]);
    let map = |from: &str, to: &str| PathMap { from: from.to_owned(), to: to.to_owned() };
    assert_eq!(provider.maps, [map("/v1", ""), map("/old", "/new")]);
    let route = Route {
        prefix: "/x/y".to_owned(),
        header: Some("x-version".parse().expect("a name")),
        unless: Some("openai".parse().expect("an id")),
    };
    assert_eq!(provider.routes, [route]);
    let inject = &provider.inject[&CredentialKind::Oauth];
    assert_eq!(inject.set.len(), 2);
    assert_eq!(inject.append.len(), 1);
    assert_eq!(inject.strip, ["x-api-key"]);
    let token = provider.endpoint().expect("an endpoint");
    assert_eq!(token.origin.to_string(), "https://auth.example.com");
    assert_eq!((token.path.as_str(), token.format), ("/oauth/token", TokenFormat::Json));
    assert_eq!(token.client_id, "public");
    assert_eq!(token.params, [("scope".to_owned(), Param::Text(AliasText::new("api")))]);
    let limit = LimitHeaders {
        window: "day".into(),
        minutes: None,
        measure: Measure::UsedPercent("x-used".parse().expect("a name")),
        resets: Some(("x-reset".parse().expect("a name"), ResetFormat::Rfc3339)),
        spent: Some(("x-state".parse().expect("a name"), "spent".to_owned())),
    };
    assert_eq!(provider.limits, [limit]);
    let own = provider.rules.iter().find(|rule| *rule.name == *"spent");
    assert_eq!(own, Some(&whole_rule()));
}

#[test]
fn a_safe_path_is_whole_or_a_prefix_or_has_one_star() {
    let provider = parse("x.toml", WHOLE).expect("a preset");
    let cases = [
        ("/infer", true),
        ("/infer/more", false),
        ("/embed/all", true),
        ("/models/m:generate", true),
        ("/models/a/b:generate", false),
        ("/models/:generate", false),
        ("/models/m:batch", false),
        ("/", false),
    ];
    for (path, safe) in cases {
        assert_eq!(provider.replays(path), safe, "{path}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line_its_value_and_what_is_allowed() {
    let cases = [
        ("statuss = 1", 4, "unknown field `statuss`"),
        ("origin = \"ftp://x\"", 4, "https://"),
        ("base = \"v1\"", 4, "\"v1\" is not a path"),
        ("subscription = \"yes\"", 4, "expected a boolean"),
        ("strip = [\"a b\"]", 4, "\"a b\" is not a header name"),
        ("replay_safe = [\"/a*/b*\"]", 4, "not a path"),
        ("dialect = \"soap\"", 4, "`generate-content`, `messages`"),
        ("extends = \"nothing\"", 4, "nothing to extend; there are anthropic"),
        ("[inject.cookie]", 4, "`api-key`, `bearer`"),
        ("[inject.oauth]\nset = { a = \"{token}\" }", 5, "{access} or {account}"),
        ("[inject.oauth]\nset = { a = \"b\" }", 4, "{access}"),
        ("[inject.oauth]\nset = { \"a b\" = \"{access}\" }", 5, "not a header name"),
        ("[token]\nurl = \"https://x\"", 5, "not a URL such as"),
        ("[[map]]\nfrom = \"/a/\"\nto = \"\"", 5, "not a path"),
        ("[[limit]]\nwindow = \"w\"", 4, "measured in one way"),
        ("a = ", 4, "string values must be quoted"),
    ];
    for (lines, line, said) in cases {
        refused(lines, line, said);
    }
}

#[test]
fn a_wrong_rule_is_refused_where_it_is_wrong() {
    let cases = [
        ("[[rule]]\nname = \"a\"", 4, "missing field"),
        ("[[rule]]\nstatus = 200", 5, "within 400-599"),
        ("[[rule]]\nstatus = true", 5, "a status such as 429"),
        ("[[rule]]\nstatus = []", 5, "at least one status"),
        ("[[rule]]\nstatus = [\"504-500\"]", 5, "\"504-500\""),
        ("[[rule]]\nclass = \"broken\"", 5, "`affinity-fault`"),
        ("[[rule]]\nscope = \"me\"", 5, "`account-model`"),
        ("[[rule]]\ncooldown = [\"soon\"]", 5, "retry-after, limit-windows"),
        ("[[rule]]\ncooldown = [\"body:/a:weeks\"]", 5, "epoch-seconds"),
        ("[[rule]]\ncooldown = [\"day-end:Mars\"]", 5, "POSIX time zone"),
        ("[[rule]]\notherwise = \"5 minutes\"", 5, "\"5 minutes\" is not a wait"),
        ("[[rule]]\notherwise = \"9000d\"", 5, "at most 366d"),
        (&rule_with("name = \"No\""), 5, "not a rule's name"),
        (&rule_with("class = \"unreachable\""), 6, "no reply"),
        (&rule_with("scope = \"request\""), 7, "cannot blame \"request\"; allowed: account, account-model"),
        (&rule_with("status = 400"), 7, "add codes, headers or body"),
        (&rule_with("codes = [\"\"]"), 9, "matches too much"),
        (&rule_with("codes = [\"a*b\"]"), 9, "only at an end"),
        (&rule_with("at_least = \"2h\"\nat_most = \"1h\""), 10, "shorter than at_least"),
        (&rule_with("headers = [{ name = \"a\" }]"), 9, "one of: is ="),
        (&rule_with("headers = [{ name = \"a b\", is = \"absent\" }]"), 9, "not a header name"),
    ];
    for (lines, line, said) in cases {
        refused(lines, line, said);
    }
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    let base = "id = \"x\"\norigin = \"https://x.example\"\ndialect = \"responses\"\n";
    let oauth = "[inject.oauth]\nset = { authorization = \"Bearer {access}\" }\n";
    let cases = [
        (String::new(), "id is missing"),
        ("id = \"x\"".to_owned(), "origin is missing"),
        (base.replace("dialect", "#"), "dialect is missing"),
        (base.to_owned(), "inject is missing"),
        (format!("{base}{oauth}"), "token is missing"),
        (format!("{base}{oauth}[token]\nformat = \"form\""), "token.url is missing"),
        (format!("{base}{oauth}[token]\nurl = \"https://x.example/t\""), "token.format is missing"),
        (
            format!("{base}{oauth}[token]\nurl = \"https://x.example/t\"\nformat = \"form\""),
            "token.client_id is missing",
        ),
    ];
    for (text, said) in cases {
        let error = parse("x.toml", &text).expect_err(said);
        assert_eq!(error.line(), None);
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("x.toml: {said}; for example ")), "{shown}");
    }
}

#[test]
fn an_error_shows_the_line_and_points_at_the_value() {
    let text = "id = \"x\"\n[[rule]]\nscope = \"acount\"\n";
    let shown = parse("my.toml", text).expect_err("a typo").to_string();
    let (message, picture) = shown.split_once('\n').expect("a picture");
    assert!(
        message.starts_with("my.toml:3:9: unknown variant `acount`, expected one of `account`"),
        "{message}"
    );
    assert_eq!(picture, "  |\n3 | scope = \"acount\"\n  |         ^^^^^^^^");
}

/// OBS-3
#[test]
fn a_line_that_may_hold_a_secret_is_not_shown() {
    let lines = [
        "origin = \"https://user:canary@x.example\"",
        "token.params = { client_secret = 1, b = \"canary\" }",
    ];
    for line in lines {
        let error = parse("x.toml", line).expect_err(line);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        assert_eq!(error.line(), Some(1));
    }
}

#[test]
fn a_file_of_the_users_replaces_the_preset_of_its_id_or_adds_one() {
    let own = "id = \"openai\"\nextends = \"openai-compatible\"\norigin = \"https://openai.example\"";
    let new = "id = \"mine\"\nextends = \"openai\"\norigin = \"https://mine.example\"";
    let all = load(&files(&[("a.toml", own), ("b.toml", new)])).expect("presets");
    let find = |id: &str| all.iter().find(|provider| provider.id.as_str() == id).expect(id);
    assert_eq!(all.len(), embedded().len() + 1);
    assert_eq!(find("openai").origin.to_string(), "https://openai.example");
    assert_eq!(find("openai").routes, []);
    assert_eq!(find("openai").name, "openai");
    assert_eq!(find("mine").rules, find("openai").rules);
    assert_eq!(find("mine").routes, find("openai").routes, "the user's own openai is what it extends");
}

#[test]
fn a_file_that_extends_its_own_id_changes_what_it_says_and_keeps_the_rest() {
    let own = "id = \"codex\"\nextends = \"codex\"\norigin = \"http://127.0.0.1:9\"\n\
               [token]\nurl = \"http://127.0.0.1:9/oauth/token\"\n\
               [[rule]]\nname = \"mine\"\nstatus = 429\ncodes = [\"usage_limit_reached\"]\n\
               class = \"quota-window\"\nscope = \"account\"\notherwise = \"1h\"\n";
    let all = load(&files(&[("codex.toml", own)])).expect("presets");
    let changed = all.iter().find(|provider| provider.id.as_str() == "codex").expect("codex");
    let (id, text) = embedded()[1];
    let mut expected = parse(id, text).expect("a preset");
    let mine = changed.rules.iter().position(|rule| *rule.name == *"mine").expect("the rule");
    let before = expected.rules.iter().position(|rule| *rule.name == *"plan-model");
    assert_eq!(Some(mine), before, "after the common rules, before the inherited ones");
    expected.origin = Origin::parse("http://127.0.0.1:9").expect("an origin");
    let Some(TokenSource::Endpoint(token)) = &mut expected.token else { panic!("an endpoint") };
    token.origin = expected.origin.clone();
    token.path = "/oauth/token".to_owned();
    expected.rules.insert(mine, changed.rules[mine].clone());
    assert_eq!(*changed, expected);
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let x = "id = \"x\"\nextends = \"bearer\"\norigin = \"https://x.example\"\n";
    let circle = |id: &str, base: &str| format!("id = \"{id}\"\nextends = \"{base}\"\n");
    let cases = [
        (
            vec![("a.toml", x.to_owned()), ("b.toml", x.to_owned())],
            "b.toml: the id \"x\" is that of a.toml already",
        ),
        (
            vec![("a.toml", format!("{x}[[route]]\nprefix = \"/v1\"\n"))],
            "a.toml: the bare path \"/v1\" belongs to \"openai\" already",
        ),
        (
            vec![("a.toml", format!("{x}[[route]]\nprefix = \"/y\"\nunless = \"nobody\"\n"))],
            "a.toml: route \"/y\": there is no provider \"nobody\"",
        ),
        (
            vec![("a.toml", circle("a", "b")), ("b.toml", circle("b", "a"))],
            "a.toml: extends goes round in a circle, or deeper than 8 files",
        ),
        (vec![("a.toml", circle("a", "a"))], "a.toml:2:11: \"a\" is nothing to extend"),
        (vec![("a.toml", "name = \"A\"".to_owned())], "a.toml: id is missing"),
        (vec![("a.toml", format!("{x}{RULE}{RULE}"))], "a.toml: two rules are named \"r\""),
        (vec![("a.toml", format!("# {}", "x".repeat(300_000)))], "a.toml: a preset has at most 262144 bytes"),
    ];
    for (files, said) in cases {
        let files: Vec<_> = files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let error = load(&files).expect_err(said).to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

/// The examples that are marked with `#:`, each of adjacent lines.
fn other_examples(text: &str) -> Vec<String> {
    let lines: Vec<Option<&str>> = text.lines().map(|line| line.strip_prefix("#: ")).collect();
    let blocks = lines.split(Option::is_none).filter(|block| !block.is_empty());
    blocks.map(|block| block.iter().flatten().map(|line| format!("{line}\n")).collect()).collect()
}

/// `lines` after three others are refused in line `line`, in words for people.
fn refused(lines: &str, line: usize, said: &str) {
    let text = format!("id = \"x\"\nname = \"X\"\n\n{lines}\n");
    let error = parse("x.toml", &text).expect_err(lines);
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("x.toml:{line}:")), "{lines}\n{shown}");
    assert!(shown.contains(said), "{lines}\n{shown}");
    assert!(shown.contains('^'), "{lines}\n{shown}");
    for word in ["Raw", "Text<", "Spanned", "struct", "u16", "i64"] {
        assert!(!shown.contains(word), "{shown}");
    }
}

const RULE: &str = "[[rule]]\nname = \"r\"\nclass = \"rate-short\"\nscope = \"account\"\nstatus = 429\n";

/// A rule on lines 4 to 8, in which `line` replaces the line of its key, or follows as the ninth.
fn rule_with(line: &str) -> String {
    let key = line.split(' ').next().unwrap_or_default();
    let mut lines: Vec<&str> = RULE.lines().collect();
    match lines.iter().position(|old| old.starts_with(&format!("{key} "))) {
        Some(at) => lines[at] = line,
        None => lines.push(line),
    }
    lines.join("\n")
}

fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    list.iter().map(own).collect()
}

const WHOLE: &str = r#"
id = "x"
name = "Example"
origin = "https://api.example.com:8443"
base = "/v2"
dialect = "messages"
subscription = true
session_headers = ["x-conversation"]
replay_safe = ["/infer", "/embed/", "/models/*:generate"]
strip = ["x-org", "x-org"]
strip_query = ["key"]

[[map]]
from = "/v1"
to = ""

[[map]]
from = "/old"
to = "/new"

[[route]]
prefix = "/x/y"
header = "x-version"
unless = "openai"

[inject.oauth]
set = { authorization = "Bearer {access}", x-org = "{account}" }
append = { x-beta = "oauth" }
strip = ["x-api-key"]

[token]
url = "https://auth.example.com/oauth/token"
format = "json"
client_id = "public"
headers = { x-beta = "oauth" }
params = { scope = "api" }

[[limit]]
window = "day"
used_percent = "x-used"
resets = { header = "x-reset", format = "rfc3339" }
spent = { header = "x-state", is = "spent" }

[[rule]]
name = "spent"
status = [402, "429-430"]
codes = ["Quota_*"]
headers = [
  { name = "X-State", one_of = ["Spent"] },
  { name = "x-other-*", is = "absent" },
  { name = "x-kind", contains = "day" },
]
body = ["Come back"]
class = "quota-window"
scope = "quota-group"
cooldown = ["body:/a/*/b:duration", "header:x-reset:rfc3339", "retry-after", "limit-windows", "message-wait", "month-end"]
otherwise = "2h"
at_least = "90s"
at_most = "1d"
"#;

fn whole_rule() -> Rule {
    let header = |name: &str, prefix, test| HeaderMatch { name: name.into(), prefix, test };
    Rule {
        name: "spent".into(),
        status: StatusSet(vec![(402, 402), (429, 430)]),
        codes: vec!["quota_*".into()],
        headers: vec![
            header("x-state", PrefixMatch::Exact, HeaderTest::OneOf(vec!["spent".into()])),
            header("x-other-", PrefixMatch::Prefix, HeaderTest::Absent),
            header("x-kind", PrefixMatch::Exact, HeaderTest::Contains("day".into())),
        ],
        body: vec!["come back".into()],
        class: FaultClass::QuotaWindow,
        scope: Scope::QuotaGroup,
        cooldown: vec![
            CooldownSource::Body { pointer: "/a/*/b".into(), format: ResetFormat::Duration },
            CooldownSource::Header { name: "x-reset".parse().expect("a name"), format: ResetFormat::Rfc3339 },
            CooldownSource::RetryAfter,
            CooldownSource::LimitWindows,
            CooldownSource::MessageWait,
            CooldownSource::MonthEnd,
        ],
        otherwise: Some(Duration::from_secs(7200)),
        clamp: Clamp { least: Duration::from_secs(90), most: Duration::from_secs(86_400) },
    }
}
