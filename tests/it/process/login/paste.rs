use super::*;

/// REN-5: the page that shows `code#state`, and the endpoint that wants the state back.
#[test]
fn a_pasted_code_signs_in_where_no_browser_is() {
    let fake = provider();
    let place = home(&fake);
    for (daemon, alias) in [(false, "work"), (true, "home")] {
        let running = daemon.then(|| place.serve());
        let mut signing = Signing::start(&place, &[alias, "--provider", "claude", "--no-browser"]);
        let page = signing.address("/oauth/authorize?");
        assert_eq!(field(&page, "code"), "true");
        let shown = page_text(&visit(&page, "b"));
        let (code, state) = shown.split_once('#').expect("code#state");
        assert_eq!(state, field(&page, "state"));
        signing.types(&shown);
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.contains(&format!("✔ {alias} "))), (Some(0), true), "{ran:?}");
        let requests = fake.upstream.requests();
        let trade = requests.iter().rfind(|request| request.path == "/v1/oauth/token").expect("a trade");
        for (name, value) in [("code", code), ("state", state)] {
            assert_eq!(trade.parameters[name], fake_upstream::fingerprint(value), "{name}");
        }
        drop(running);
    }
}

/// REN-5: where no page shows the code, the address of the page that failed is pasted.
#[test]
fn a_pasted_address_signs_in_where_no_page_shows_the_code() {
    for id in ["chat", "acme"] {
        let fake = provider();
        let place = home(&fake);
        let mut signing = Signing::start(&place, &["work", "--provider", id, "--no-browser"]);
        let back = visit(&signing.address("/oauth/authorize?"), "a");
        signing.types(&back);
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.contains("✔ work ")), (Some(0), true), "{id}: {ran:?}");
    }
}

/// REN-5: what is pasted wrongly can be pasted again, and is never repeated.
#[test]
fn a_wrong_paste_is_told_and_can_be_mended() {
    let fake = provider();
    let place = home(&fake);
    let mut signing = Signing::start(&place, &["work", "--provider", "claude", "--no-browser"]);
    let page = signing.address("/oauth/authorize?");
    let shown = page_text(&visit(&page, "a"));
    let (code, state) = shown.split_once('#').expect("code#state");
    for wrong in [code, &format!("{code}#wrong"), &format!("{code}#")] {
        signing.types(wrong);
    }
    signing.err.wait(|said| said.matches("[LOGIN_STATE_MISMATCH]").count() == 3);
    signing.types("http://localhost/callback?nothing=here");
    signing.says("[INVALID_REQUEST]");
    assert!(!fake.upstream.requests().iter().any(|request| request.path == "/v1/oauth/token"));
    signing.types(&format!("{code}&{state}"));
    let ran = signing.ended();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains(code), "{}", ran.err);
}

/// REN-5: a person who refuses pastes that, too.
#[test]
fn a_pasted_refusal_and_an_ended_input_leave_all_as_it_was() {
    let fake = provider();
    let place = home(&fake);
    let mut refusing = Signing::start(&place, &["work", "--provider", "acme", "--no-browser"]);
    let back = visit(&refusing.address("/oauth/authorize?"), "no");
    refusing.types(&back);
    let ran = refusing.ended();
    assert_eq!((ran.code, ran.err.contains("[LOGIN_DENIED]")), (Some(5), true), "{ran:?}");
    let mut silent = Signing::start(&place, &["work", "--provider", "acme", "--no-browser"]);
    silent.address("/oauth/authorize?");
    silent.hangs_up();
    let ran = silent.ended();
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("ended before anything was pasted") && ran.err.contains("no account was added"));
    assert_eq!(aliases(&place), Vec::<String>::new());
}

/// What the provider's page shows, to be copied.
fn page_text(address: &str) -> String {
    let page = go(address).body;
    let shown = page.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).expect("a code");
    shown.0.to_owned()
}
