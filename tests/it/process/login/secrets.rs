use super::super::secrets::{Out, files, leaks};
use super::*;
use fake_upstream::fingerprint;

/// Words shorter than this are no code and no verifier: the fake's codes have 27 characters.
const SHORTEST: usize = 27;

/// OBS-3, REN-5: codes, states, verifiers and tokens of every way to sign in, and then a search for them in all that
/// came out at the most talkative level.
#[test]
fn no_secret_of_a_login_comes_out_of_anything() {
    for daemon in [false, true] {
        let fake = provider();
        let mut place = home(&fake);
        place.set("ROTA_LOG", "trace");
        let running = daemon.then(|| place.serve());
        let mut life = Life::default();
        life.browse(&place, "one", "chat", "a");
        life.browse(&place, "two", "acme", "b");
        // Another identity, and somebody who refuses.
        life.browse(&place, "one", "chat", "b");
        life.browse(&place, "no", "chat", "no");
        life.paste(&place, "three", "a");
        let typing = Signing::start(&place, &["four", "--provider", "acme", "--device"]);
        assert!(fake.upstream.approve_device(&typing.code(), "b"));
        life.told("four", typing.ended());
        for args in [&["status"][..], &["accounts", "--json"], &["config", "explain"], &["store", "verify"]] {
            life.told(&args.join(" "), place.rota(args));
        }
        let Life { mut out, mut codes, states } = life;
        assert_eq!((codes.len(), states.len()), (4, 5));
        for account in ["a", "b"] {
            fake.upstream.account(account, |account| {
                codes.extend(account.access_tokens.iter().map(|token| token.token.clone()));
                codes.extend(account.refresh_tokens.iter().map(|token| token.token.clone()));
            });
        }
        // The owner is shown the address, and the `state` in it; nobody else is.
        let log = running.map(Daemon::stop).unwrap_or_default();
        let mut quiet = Out::from([("log".to_owned(), log.into_bytes())]);
        files(&place, &mut quiet);
        assert!(quiet.contains_key("file state/rota/state.json"), "there is something to search");
        assert_eq!(leaks(&quiet, &states), Vec::<String>::new());
        out.extend(quiet);
        assert_eq!(leaks(&out, &codes), Vec::<String>::new());
        assert_eq!(hashed(&out, &fake), Vec::<String>::new());
        let seeded = Out::from([("x".to_owned(), codes.join(" ").into_bytes())]);
        assert!(!leaks(&seeded, &codes[..1]).is_empty());
        assert!(!hashed(&seeded, &fake).is_empty());
    }
}

/// What took part, and what came out.
#[derive(Default)]
struct Life {
    out: Out,
    codes: Vec<String>,
    states: Vec<String>,
}

impl Life {
    fn told(&mut self, name: &str, ran: Ran) {
        let text = format!("{}{}", ran.out, ran.err);
        self.out.entry(name.to_owned()).or_default().extend(text.into_bytes());
    }

    /// Signs in as `account`, after an answer with another's state.
    fn browse(&mut self, place: &Place, alias: &str, provider: &str, account: &str) {
        let signing = Signing::start(place, &[alias, "--provider", provider, "--json"]);
        let back = self.visit(&signing.address("/oauth/authorize?"), account);
        go(&with_field(&back, "state", Some("wrong")));
        go(&back);
        self.told(alias, signing.ended());
    }

    /// The same with an address that is pasted.
    fn paste(&mut self, place: &Place, alias: &str, account: &str) {
        let mut signing = Signing::start(place, &[alias, "--provider", "claude", "--no-browser"]);
        let back = self.visit(&signing.address("/oauth/authorize?"), account);
        signing.types(&with_field(&back, "state", Some("wrong")));
        signing.types(&back);
        self.told(alias, signing.ended());
    }

    fn visit(&mut self, page: &str, account: &str) -> String {
        let back = visit(page, account);
        self.states.push(field(page, "state").to_owned());
        self.codes.extend(back.contains("code=").then(|| field(&back, "code").to_owned()));
        back
    }
}

/// Words of the output that are a code, a verifier or a device code, of which only fingerprints are known here.
fn hashed(out: &Out, fake: &Fake) -> Vec<String> {
    let requests = fake.upstream.requests();
    let secrets = requests.iter().flat_map(|request| {
        ["code", "code_verifier", "device_code"].into_iter().filter_map(|name| request.parameters.get(name))
    });
    let secrets: Vec<&String> = secrets.collect();
    assert!(secrets.len() > 3, "{secrets:?}");
    let mut found = Vec::new();
    for (name, bytes) in out {
        let text = String::from_utf8_lossy(bytes);
        let words = text.split(|char: char| !char.is_ascii_alphanumeric() && !"-._~".contains(char));
        let words = words.filter(|word| word.len() >= SHORTEST && secrets.contains(&&fingerprint(word)));
        found.extend(words.map(|word| format!("{name}: {word}")));
    }
    found
}
