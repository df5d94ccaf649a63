//! `[token]` and `[login]`: every key, every layer over another, every mistake.
use super::parse;
use crate::model::{
    AliasText, BrowserFlow, DeviceFlow, Endpoint, Grant, LoginFlows, Loopback, Origin, Param, Provider,
    TokenCommand, TokenEndpoint, TokenFormat, TokenSource,
};
use std::time::Duration;

#[test]
fn the_embedded_logins_are_those_of_their_clients() {
    let codex = embedded("codex");
    let scope = "openid profile email offline_access";
    let browser = BrowserFlow {
        authorize: url("https://auth.openai.com", "/oauth/authorize"),
        scope: scope.to_owned(),
        params: pairs(&[
            ("codex_cli_simplified_flow", "true"),
            ("id_token_add_organizations", "true"),
            ("originator", "rota"),
        ]),
        loopback: Some(Loopback {
            host: "localhost".to_owned(),
            ports: vec![1455, 1457],
            path: "/auth/callback".to_owned(),
        }),
        paste: None,
        state_in_exchange: false,
    };
    let device = DeviceFlow::Code {
        start: url("https://auth.openai.com", "/api/accounts/deviceauth/usercode"),
        poll: url("https://auth.openai.com", "/api/accounts/deviceauth/token"),
        page: "https://auth.openai.com/codex/device".to_owned(),
        redirect: "https://auth.openai.com/deviceauth/callback".to_owned(),
    };
    assert_eq!(
        codex.login.as_ref().map(sorted),
        Some(LoginFlows { browser: Some(browser), device: Some(device) })
    );
    let token = codex.endpoint().expect("an endpoint");
    assert_eq!((token.format, token.code_format), (TokenFormat::Json, Some(TokenFormat::Form)));

    let claude = embedded("anthropic");
    let browser = BrowserFlow {
        authorize: url("https://claude.ai", "/oauth/authorize"),
        scope: "user:profile user:inference user:sessions:claude_code user:mcp_servers user:file_upload"
            .to_owned(),
        params: pairs(&[("code", "true")]),
        loopback: Some(Loopback {
            host: "localhost".to_owned(),
            ports: vec![54545],
            path: "/callback".to_owned(),
        }),
        paste: Some("https://platform.claude.com/oauth/code/callback".to_owned()),
        state_in_exchange: true,
    };
    assert_eq!(claude.login, Some(LoginFlows { browser: Some(browser), device: None }));
    let token = claude.endpoint().expect("an endpoint");
    assert_eq!((token.format, token.code_format), (TokenFormat::Json, None));
}

#[test]
fn every_key_of_a_token_endpoint_is_read() {
    let provider = oauth2(
        "[token]\nurl = \"https://sts.example/token\"\nformat = \"json\"\ncode_format = \"form\"\nclient_id = \"c\"\n\
         grant = \"token-exchange\"\nheaders = { x-a = \"b\" }\n[token.params]\naudience = \"api\"\n\
         actor_token = { exec = [\"/bin/actor\", \"{alias}\"] }\nclient_secret = { env = \"SECRET_{alias}\" }\n\
         subject_token = { file = \"/run/tokens/{alias}\" }\n",
    );
    let mut endpoint = provider.endpoint().expect("an endpoint").clone();
    endpoint.params.sort_by(|a, b| a.0.cmp(&b.0));
    let param = |name: &str, param: Param| (name.to_owned(), param);
    let expected = TokenEndpoint {
        origin: origin("https://sts.example"),
        path: "/token".to_owned(),
        format: TokenFormat::Json,
        code_format: Some(TokenFormat::Form),
        client_id: "c".to_owned(),
        grant: Grant::TokenExchange,
        headers: vec![("x-a".parse().expect("a name"), "b".parse().expect("a value"))],
        params: vec![
            param("actor_token", Param::Exec(vec![AliasText::new("/bin/actor"), AliasText::new("{alias}")])),
            param("audience", Param::Text(AliasText::new("api"))),
            param("client_secret", Param::Env(AliasText::new("SECRET_{alias}"))),
            param("subject_token", Param::File(AliasText::new("/run/tokens/{alias}"))),
        ],
    };
    assert_eq!(endpoint, expected);
}

#[test]
fn every_grant_has_a_name_and_only_a_refresh_token_needs_a_client() {
    for (name, grant) in [
        ("client-credentials", Grant::ClientCredentials),
        ("jwt-bearer", Grant::JwtBearer),
        ("token-exchange", Grant::TokenExchange),
    ] {
        let provider = oauth2(&format!("[token]\nurl = \"https://a.example/t\"\ngrant = \"{name}\"\n"));
        let endpoint = provider.endpoint().expect("an endpoint");
        assert_eq!((endpoint.grant, endpoint.client_id.as_str()), (grant, ""));
        assert!(provider.grants_by_itself());
    }
    let refused =
        parse("x.toml", &with_head("[token]\nurl = \"https://a.example/t\"\ngrant = \"refresh-token\"\n"));
    assert!(refused.expect_err("no client").to_string().contains("token.client_id is missing"));
}

#[test]
fn a_program_is_a_source_of_tokens() {
    let words = |list: &[&str]| list.iter().map(|word| AliasText::new(*word)).collect();
    for (text, timeout, lifetime) in [
        ("token = { exec = [\"print-token\", \"{alias}\"] }\n", 10, 600),
        ("[token]\nexec = [\"print-token\", \"{alias}\"]\ntimeout = \"2m\"\nlifetime = \"1h\"\n", 120, 3600),
    ] {
        let expected = TokenCommand {
            argv: words(&["print-token", "{alias}"]),
            timeout: Duration::from_secs(timeout),
            lifetime: Duration::from_secs(lifetime),
        };
        let provider = oauth2(text);
        assert_eq!(provider.token, Some(TokenSource::Command(expected)), "{text}");
        assert_eq!(provider.login, None);
    }
}

#[test]
fn a_program_replaces_an_endpoint_and_its_logins_and_an_endpoint_a_program() {
    let program = "id = \"x\"\nextends = \"codex\"\ntoken = { exec = [\"/bin/print\"] }\n";
    let programmed = parse("x.toml", program).expect("a preset");
    assert!(matches!(programmed.token, Some(TokenSource::Command(_))) && programmed.login.is_none());
    let back = "id = \"y\"\nextends = \"x\"\n[token]\nurl = \"https://a.example/t\"\nformat = \"form\"\nclient_id = \"c\"\n";
    let files =
        [("x.toml", program), ("y.toml", back)].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let all = super::load(&files).expect("presets");
    let back = all.iter().find(|provider| provider.id.as_str() == "y").expect("y");
    assert_eq!(back.endpoint().map(|endpoint| endpoint.client_id.as_str()), Some("c"));
    assert_eq!(back.login, None);
}

#[test]
fn a_layer_changes_the_keys_it_names_and_no_others() {
    let own = "id = \"codex\"\nextends = \"codex\"\n[login]\nscope = \"openid\"\n[login.browser]\nports = []\n\
               [login.device]\npage = \"https://auth.example/device\"\n[token]\nparams = { audience = \"a\" }\n";
    let changed = parse("x.toml", own).expect("a preset");
    let mut expected = embedded("codex");
    let Some(LoginFlows { browser: Some(browser), device: Some(DeviceFlow::Code { page, .. }) }) =
        &mut expected.login
    else {
        panic!("both flows");
    };
    browser.scope = "openid".to_owned();
    if let Some(loopback) = &mut browser.loopback {
        loopback.ports.clear();
    }
    *page = "https://auth.example/device".to_owned();
    let Some(TokenSource::Endpoint(endpoint)) = &mut expected.token else { panic!("an endpoint") };
    endpoint.params = vec![("audience".to_owned(), Param::Text(AliasText::new("a")))];
    assert_eq!(changed, expected);

    let other = "id = \"codex\"\nextends = \"codex\"\n[login.device]\nkind = \"standard\"\nurl = \"https://a.example/d\"\n";
    let login = parse("x.toml", other).expect("a preset").login.expect("flows");
    let device = DeviceFlow::Standard {
        start: url("https://a.example", "/d"),
        scope: "openid profile email offline_access".to_owned(),
        format: TokenFormat::Form,
        pkce: false,
        params: Vec::new(),
    };
    assert_eq!(login.device, Some(device), "another kind of flow takes nothing over");
}

#[test]
fn every_key_of_a_login_is_read_and_the_rest_has_a_default() {
    let table: [(&str, BrowserFlow); 3] = [
        ("", BrowserFlow { loopback: Some(loopback("localhost", &[], "/callback")), ..flow() }),
        (
            "paste = \"https://A.example:443/code?x=1\"",
            BrowserFlow { paste: Some("https://A.example:443/code?x=1".to_owned()), ..flow() },
        ),
        (
            "scope = \"own\"\nparams = { prompt = \"login\" }\nhost = \"127.0.0.1\"\nports = [9, 8]\npath = \"/a/b\"\n\
             paste = \"https://a.example/code\"\nstate_in_exchange = true",
            BrowserFlow {
                scope: "own".to_owned(),
                params: pairs(&[("prompt", "login")]),
                loopback: Some(loopback("127.0.0.1", &[9, 8], "/a/b")),
                paste: Some("https://a.example/code".to_owned()),
                state_in_exchange: true,
                ..flow()
            },
        ),
    ];
    for (keys, expected) in table {
        let text = format!(
            "{ENDPOINT}[login]\nscope = \"shared\"\n[login.browser]\nauthorize_url = \"https://a.example/authorize?a=b\"\n{keys}\n"
        );
        assert_eq!(oauth2(&text).login, Some(LoginFlows { browser: Some(expected), device: None }), "{keys}");
    }
    let text = format!(
        "{ENDPOINT}[login.device]\nkind = \"standard\"\nurl = \"https://a.example/device\"\nscope = \"s\"\n\
         format = \"json\"\npkce = true\nparams = {{ audience = \"x\" }}\n"
    );
    let device = DeviceFlow::Standard {
        start: url("https://a.example", "/device"),
        scope: "s".to_owned(),
        format: TokenFormat::Json,
        pkce: true,
        params: pairs(&[("audience", "x")]),
    };
    assert_eq!(oauth2(&text).login, Some(LoginFlows { browser: None, device: Some(device) }));
}

#[test]
fn what_is_wrong_with_a_login_or_a_token_is_named_with_its_line() {
    let cases = [
        ("token = { url = \"https://a.example/t\", exec = [\"x\"] }", 4, "leave one of the two out"),
        ("token.exec = \"print-token\"", 4, "no shell that would split"),
        ("token.exec = []", 4, "of 1 to 64 words"),
        ("token.exec = [\"\"]", 4, "of 1 to 64 words"),
        ("token.exec = [1]", 4, "a word of a command line"),
        ("[token]\nexec = [\"x\"]\ntimeout = \"3m\"", 6, "at least 1s, at most 120s"),
        ("[token]\nexec = [\"x\"]\nlifetime = \"0s\"", 6, "at least 1s"),
        ("[token]\ngrant = \"password\"", 5, "`client-credentials`"),
        ("[token]\nparams = \"a\"", 5, "a table of parameters"),
        ("[token.params]\na = 1", 5, "{ env = \"NAME\" }"),
        ("[token.params]\na = { var = \"X\" }", 5, "{ env = \"NAME\" }"),
        ("[token.params]\na = { env = \"X\", file = \"/y\" }", 5, "a parameter is one of"),
        ("[token.params]\na = { env = \"A=B\" }", 5, "not the name of a variable"),
        ("[token.params]\na = { file = \"y\" }", 5, "not a path from / on"),
        ("[token.params]\na = { file = \"/y/{alais}\" }", 5, "not a path from / on"),
        ("[token.params]\ngrant_type = \"x\"", 5, "rota itself sets grant_type"),
        ("[login]\nscopes = \"a\"", 5, "unknown field `scopes`"),
        ("[login.browser]\nauthorize_url = \"https://a.example\"", 5, "not the URL of a page"),
        ("[login.browser]\nhost = \"example.com\"", 5, "\"localhost\" or \"127.0.0.1\""),
        ("[login.browser]\nports = [0]", 5, "1 to 65535"),
        ("[login.browser]\nports = [70000]", 5, "1 to 65535"),
        ("[login.browser]\nports = [\"a\"]", 5, "a port: 1 to 65535"),
        ("[login.browser]\nports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", 5, "at most 16 ports"),
        ("[login.browser]\npath = \"\"", 5, "not a path such as \"/auth/callback\""),
        ("[login.browser]\nparams = { state = \"x\" }", 5, "rota itself sets state"),
        ("[login.device]\nkind = \"other\"", 5, "`code` or `standard`"),
        (
            "[login.device]\nurl = \"https://a.example/d\"\npage = \"https://a.example/p\"",
            4,
            "kind = \"code\" has",
        ),
        ("[login.device]\nkind = \"code\"\npkce = true", 4, "kind = \"standard\" has"),
        ("[login.device]\nurl = \"https://a.example/d?x=1\"", 5, "not a URL such as"),
        ("[login]\nscope = \"a\"\n[token]\nexec = [\"x\"]", 4, "nobody signs in"),
    ];
    for (lines, line, said) in cases {
        let text = format!("id = \"x\"\nname = \"X\"\n\n{lines}\n");
        let shown = parse("x.toml", &text).expect_err(lines).to_string();
        assert!(shown.starts_with(&format!("x.toml:{line}:")), "{lines}\n{shown}");
        assert!(shown.contains(said), "{lines}\n{shown}");
        for word in ["Raw", "Text<", "Spanned", "struct", "u16"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}

#[test]
fn what_a_login_or_a_token_lacks_is_named_with_an_example() {
    let cases = [
        ("[token]\ntimeout = \"5s\"\n".to_owned(), "token.exec is missing"),
        (format!("{ENDPOINT}[login]\nscope = \"a\"\n"), "login.browser is missing"),
        (format!("{ENDPOINT}[login.browser]\nhost = \"localhost\"\n"), "login.browser.authorize_url is missing"),
        (format!("{ENDPOINT}[login.device]\npkce = true\n"), "login.device.url is missing"),
        (format!("{ENDPOINT}[login.device]\npage = \"https://a.example/p\"\n"), "login.device.start_url is missing"),
        (
            "[token]\nurl = \"https://a.example/t\"\ngrant = \"jwt-bearer\"\n[login.device]\nurl = \"https://a.example/d\"\n"
                .to_owned(),
            "token.client_id is missing",
        ),
    ];
    for (text, said) in cases {
        let shown = parse("x.toml", &with_head(&text)).expect_err(said).to_string();
        assert!(shown.starts_with(&format!("x.toml: {said}; for example ")), "{shown}");
    }
    let keyed = "id = \"x\"\nextends = \"bearer\"\norigin = \"https://x.example\"\n[login.device]\nurl = \"https://a.example/d\"\n";
    let shown = parse("x.toml", keyed).expect_err("no endpoint").to_string();
    assert!(shown.starts_with("x.toml: token is missing"), "{shown}");
}

/// OBS-3
#[test]
fn a_secret_among_the_parameters_is_in_no_error() {
    for lines in [
        "[token.params]\nclient_secret = [\"canary\"]",
        "[token.params]\nsubject_token = { text = \"canary\" }",
        "[token]\nparams = { key = \"canary\", grant_type = \"x\" }",
        "[token]\nexec = \"print --key canary\"",
        "[token]\nexec = [\"print\", \"canary\", 7]",
        "[token]\nurl = \"https://me:canary@a.example/t\"",
        "[token]\nparams = \"canary\"",
        "[token]\nparams = { assertion = { exec = \"canary\" } }",
    ] {
        let text = format!("id = \"x\"\n{lines}\n");
        let error = parse("x.toml", &text).expect_err(lines);
        assert!(!format!("{error} {error:?}").contains("canary"), "{lines}\n{error}");
    }
}

/// OBS-3
#[test]
fn a_preset_with_a_secret_in_it_does_not_show_it() {
    let provider = oauth2(
        "[token]\nurl = \"https://a.example/t\"\nclient_id = \"c\"\nparams = { client_secret = \"canary\", \
         assertion = { exec = [\"sign\", \"canary\"] } }\n",
    );
    let shown = format!("{provider:?} {:#?}", provider.token);
    assert!(shown.contains("[REDACTED]") && shown.contains("sign") && !shown.contains("canary"), "{shown}");
}

const ENDPOINT: &str = "[token]\nurl = \"https://a.example/t\"\nclient_id = \"c\"\n";

fn with_head(text: &str) -> String {
    let top = "id = \"x\"\nextends = \"oauth2\"\norigin = \"https://x.example\"\n";
    format!("{top}{text}")
}

fn oauth2(text: &str) -> Provider {
    parse("x.toml", &with_head(text)).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn embedded(id: &str) -> Provider {
    let (_, text) = super::embedded().iter().find(|(name, _)| *name == id).expect(id);
    parse(id, text).expect("a preset")
}

fn origin(text: &str) -> Origin {
    Origin::parse(text).expect("an origin")
}

fn url(at: &str, path: &str) -> Endpoint {
    Endpoint { origin: origin(at), path: path.to_owned() }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn loopback(host: &str, ports: &[u16], path: &str) -> Loopback {
    Loopback { host: host.to_owned(), ports: ports.to_vec(), path: path.to_owned() }
}

fn flow() -> BrowserFlow {
    BrowserFlow {
        authorize: url("https://a.example", "/authorize?a=b"),
        scope: "shared".to_owned(),
        params: Vec::new(),
        loopback: None,
        paste: None,
        state_in_exchange: false,
    }
}

/// With its parameters in an order that does not hang on the parser's.
fn sorted(login: &LoginFlows) -> LoginFlows {
    let mut login = login.clone();
    if let Some(browser) = &mut login.browser {
        browser.params.sort();
    }
    login
}
