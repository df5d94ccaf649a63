use super::place::{Daemon, Fake, Place};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Short, for every run; each is a start, a change, traffic and a SIGKILL.
const ROUNDS: usize = 50;

/// STO-7, PL1: killed the moment after a change was acknowledged, with traffic under way, rota has it when it
/// comes back.
#[test]
fn killed_right_after_an_acknowledged_change_nothing_is_lost() {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let mut wanted = BTreeMap::from([("work".to_owned(), true), ("home".to_owned(), true)]);
    for round in 0..ROUNDS {
        let daemon = place.serve();
        assert_eq!(switches(&place, &daemon), wanted, "round {round}");
        let reply = daemon.ask("/openai/v1/responses");
        assert_eq!(reply.status, 200, "round {round}: {reply:?}");
        let over = AtomicBool::new(false);
        let proxy = daemon.proxy();
        std::thread::scope(|scope| {
            let busy = || {
                while !over.load(Ordering::Relaxed) {
                    traffic(proxy);
                }
            };
            scope.spawn(busy);
            // Also where this fails, or the traffic would not end.
            let _over = Over(&over);
            change(&place, &daemon, round, &mut wanted);
            daemon.kill();
        });
    }
    assert_eq!(place.rota(&["store", "verify"]).code, Some(0));
    let keys = place.rota(&["store", "export", "--secrets"]).out;
    for key in ["sk-a", "sk-b", "sk-round-0", "sk-round-48"] {
        assert!(keys.contains(&format!("\"{key}\"")), "{key} is lost");
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An addition, a switch off, a switch on or a removal; acknowledged.
fn change(place: &Place, daemon: &Daemon, round: usize, wanted: &mut BTreeMap<String, bool>) {
    let alias = format!("r{}", round / 4 * 4);
    let (method, path, body) = match round % 4 {
        0 => {
            let body = json!({"alias": alias, "provider": "gemini", "secret": format!("sk-round-{round}")});
            ("POST", "/api/accounts".to_owned(), body)
        }
        1 => ("PUT", format!("/api/accounts/{alias}/enabled"), json!({"enabled": false, "force": true})),
        2 => ("PUT", format!("/api/accounts/{alias}/enabled"), json!({"enabled": true})),
        _ if round < 4 => ("PUT", "/api/accounts/home/enabled".to_owned(), json!({"enabled": false})),
        _ => ("DELETE", format!("/api/accounts/{alias}"), json!({"force": true})),
    };
    let reply = place.admin(daemon, method, &path).json(body).send();
    assert!((200..300).contains(&reply.status), "round {round}: {reply:?}");
    match round % 4 {
        0 | 2 => wanted.insert(alias, true),
        1 => wanted.insert(alias, false),
        _ if round < 4 => wanted.insert("home".to_owned(), false),
        _ => wanted.remove(&alias),
    };
}

/// A request that may meet the end of the server.
fn traffic(proxy: std::net::SocketAddr) {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(proxy) else {
        return;
    };
    let request = format!(
        "POST /openai/v1/embeddings HTTP/1.1\r\nhost: {proxy}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
}

fn switches(place: &Place, daemon: &Daemon) -> BTreeMap<String, bool> {
    let body: Value = place.admin(daemon, "GET", "/api/accounts").send().json();
    let all = body["accounts"].as_array().expect("a list").iter();
    all.map(|account| {
        let alias = account["alias"].as_str().expect("a name").to_owned();
        (alias, account["enabled"] == json!(true))
    })
    .collect()
}
