//! Other ways to the admin API than a token that a person copies to a loopback port: the page's ticket, the Unix socket.
use super::place::Place;
use super::talk::{Reply, Talk};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

/// ADM-1, PRX-3: the page gets the token for a ticket, once; nobody else does.
#[test]
fn the_dashboards_address_opens_the_page_once() {
    let place = Place::new();
    let daemon = place.serve();
    let ran = place.rota(&["dashboard", "--no-browser"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let start = format!("http://{}/#ticket=", daemon.admin());
    let ticket = ran.out.trim().strip_prefix(&start).unwrap_or_else(|| panic!("{ran:?}"));
    let own = format!("http://{}", daemon.admin());
    let redeem = |origin: Option<&str>, ticket: &str| {
        let talk = Talk::to(daemon.admin(), "POST", "/api/handover/redeem").described();
        let talk = match origin {
            Some(origin) => talk.header("origin", origin),
            None => talk,
        };
        talk.json(json!({"ticket": ticket})).send()
    };
    assert_eq!(redeem(Some("http://127.0.0.1:1"), ticket).code(), "ORIGIN_NOT_ALLOWED");
    assert_eq!(redeem(None, ticket).code(), "ORIGIN_NOT_ALLOWED");
    let guess = redeem(Some(&own), &ticket[1..]);
    assert_eq!((guess.status, guess.code().as_str()), (403, "TICKET_UNKNOWN"));
    let given = redeem(Some(&own), ticket);
    assert_eq!((given.status, &given.json()["token"]), (200, &json!(place.token())), "{given:?}");
    assert_eq!(redeem(Some(&own), ticket).code(), "TICKET_UNKNOWN", "it was used");
    let without = Talk::to(daemon.admin(), "POST", "/api/handover").send();
    assert_eq!(without.status, 401, "a ticket is for whoever has the token");
    for secret in [ticket, &place.token()] {
        assert!(!daemon.log().contains(secret), "the log holds a secret");
    }
    let idle = Place::new().rota(&["dashboard", "--no-browser"]);
    assert_eq!(idle.code, Some(3), "{idle:?}");
}

/// PRX-3, L10: the whole API on a socket that its owner only can open, with the token as everywhere.
#[test]
fn a_unix_socket_is_a_door_like_the_other() {
    let mut place = Place::new();
    let path = place.path("run/admin.sock");
    place.set("ROTA_ADMIN_SOCKET", path.display());
    place.file("run/kept", 0o600, "");
    let stale = std::os::unix::net::UnixListener::bind(&path).expect("one that a killed rota has left");
    drop(stale);
    let daemon = place.serve();
    let mode = fs::symlink_metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let ask = |host: &str, token: &str| {
        let mut stream = UnixStream::connect(&path).expect("a connection");
        let head = format!(
            "GET /api/accounts HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("taken");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).expect("an answer");
        Reply::of(&text)
    };
    let token = place.token();
    let port = daemon.admin().port();
    for (host, token, status) in [
        ("localhost", token.as_str(), 200),
        (&format!("127.0.0.1:{port}"), token.as_str(), 200),
        ("localhost", "wrong", 401),
        ("evil.example", token.as_str(), 421),
    ] {
        assert_eq!(ask(host, token).status, status, "{host}");
    }

    let socket = path.display().to_string();
    let shown = place.json(&["--socket", &socket, "accounts"]);
    assert_eq!(shown, json!({"accounts": []}));
    let ran = place.rota(&["--socket", &socket, "dashboard"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains(&format!("UNIX-CONNECT:{socket}")), "{ran:?}");
    assert!(ran.err.contains(&format!("TCP-LISTEN:{port},bind=127.0.0.1")), "{ran:?}");
    assert!(ran.out.starts_with(&format!("http://127.0.0.1:{port}/#ticket=")), "{ran:?}");
    let gone = place.rota(&["--socket", &format!("{socket}.not"), "accounts"]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
    daemon.stop();
    assert!(!path.exists(), "the file goes with the daemon");
}

/// PRX-3, L10: rota does not start with a socket that somebody else could put theirs in the place of.
#[test]
fn a_socket_that_is_not_safe_is_no_socket() {
    let mut place = Place::new();
    place.file("open/kept", 0o600, "");
    fs::set_permissions(place.path("open"), fs::Permissions::from_mode(0o777)).expect("a mode");
    place.set("ROTA_ADMIN_SOCKET", place.path("open/admin.sock").display());
    let ran = place.serve_in_vain(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("chmod 700"), "{ran:?}");
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("home/link")).expect("a link");
    place.set("ROTA_ADMIN_SOCKET", place.path("home/link").display());
    let ran = place.serve_in_vain(&[]);
    assert!(ran.err.contains("is no socket"), "{ran:?}");
    assert!(!place.path("elsewhere").exists());
}
