use crate::harness::{Rota, key, raw, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// H1: a request, and the status and code it is turned away with. `HERE` is our address.
const TURNED: &[(&str, &str, &str)] = &[
    ("GET /p HTTP/1.1\r\n\r\n", "400", "BAD_HOST"),
    ("GET /p HTTP/1.0\r\n\r\n", "400", "BAD_HOST"),
    ("GET /p HTTP/1.1\r\nHost: HERE\r\nHost: HERE\r\n\r\n", "400", "BAD_HOST"),
    ("GET /p HTTP/1.1\r\nHost: evil.com\r\n\r\n", "421", "HOST_NOT_ALLOWED"),
    ("GET /p HTTP/1.1\r\nHost: localhost.\r\n\r\n", "421", "HOST_NOT_ALLOWED"),
    ("GET /p HTTP/1.1\r\nHost: user@HERE\r\n\r\n", "421", "HOST_NOT_ALLOWED"),
    ("GET /p HTTP/1.1\r\nHost: a b/c?d#e\r\n\r\n", "421", "HOST_NOT_ALLOWED"),
    ("GET /p HTTP/1.1\r\nHost: HERE\r\nOrigin: null\r\n\r\n", "403", "ORIGIN_NOT_ALLOWED"),
    ("GET /p HTTP/1.1\r\nHost: HERE\r\nOrigin: http://evil.com\r\n\r\n", "403", "ORIGIN_NOT_ALLOWED"),
    (
        "POST /p HTTP/1.1\r\nHost: HERE\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n",
        "403",
        "CROSS_SITE",
    ),
    (
        "OPTIONS /p HTTP/1.1\r\nHost: HERE\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        "403",
        "PREFLIGHT_REFUSED",
    ),
    ("CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n", "405", "CONNECT_REFUSED"),
    ("TRACE /p HTTP/1.1\r\nHost: HERE\r\n\r\n", "405", "METHOD_NOT_ALLOWED"),
    ("post /p HTTP/1.1\r\nHost: HERE\r\n\r\n", "405", "METHOD_NOT_ALLOWED"),
    ("OPTIONS * HTTP/1.1\r\nHost: HERE\r\n\r\n", "400", "BAD_TARGET"),
    ("GET http://evil.com/v1/x HTTP/1.1\r\nHost: evil.com\r\n\r\n", "403", "FOREIGN_TARGET"),
    ("GET http://a:b@evil.com/v1/x HTTP/1.1\r\nHost: evil.com\r\n\r\n", "400", "BAD_TARGET"),
    ("GET /openai/../x HTTP/1.1\r\nHost: HERE\r\n\r\n", "400", "BAD_PATH"),
    ("GET //evil.com/x HTTP/1.1\r\nHost: HERE\r\n\r\n", "400", "BAD_PATH"),
    ("GET /openai/%2e%2e/x HTTP/1.1\r\nHost: HERE\r\n\r\n", "400", "BAD_PATH"),
    ("GET /openai/caf\u{e9} HTTP/1.1\r\nHost: HERE\r\n\r\n", "400", "BAD_HEAD"),
    ("GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nX-Name: caf\u{e9}\r\n\r\n", "400", "BAD_HEADER_VALUE"),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        "AMBIGUOUS_LENGTH",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "400",
        "AMBIGUOUS_LENGTH",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "400",
        "TRANSFER_CODING",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "400",
        "TRANSFER_CODING",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        "TRANSFER_CODING",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "400",
        "TRANSFER_CODING",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "400",
        "BAD_CONTENT_LENGTH",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nContent-Length: +3\r\n\r\nabc",
        "400",
        "BAD_CONTENT_LENGTH",
    ),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nContent-Length: 3, 3\r\n\r\nabc",
        "400",
        "BAD_CONTENT_LENGTH",
    ),
    ("POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nContent-Length : 3\r\n\r\nabc", "400", "BAD_HEAD"),
    ("GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nX-A: b\r\n folded\r\n\r\n", "400", "BAD_HEAD"),
    ("GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nX-A: b\0c\r\n\r\n", "400", "BAD_HEAD"),
    ("GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nX-A: b\u{7f}c\r\n\r\n", "400", "BAD_HEAD"),
    ("GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\n: b\r\n\r\n", "400", "BAD_HEAD"),
    (
        "POST /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n",
        "417",
        "EXPECTATION_FAILED",
    ),
    (
        "GET /openai/v1/x HTTP/1.1\r\nHost: HERE\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "426",
        "UPGRADE_NOT_OFFERED",
    ),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "HTTP_VERSION"),
    ("GET /nowhere HTTP/1.1\r\nHost: HERE\r\n\r\n", "404", "NO_ROUTE"),
];

/// PRX-3, ROU-4, H1, H4: what is turned away never reaches an upstream, and opens
/// nothing to a page.
#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_reaches_nobody() {
    let (fake, rota) = stage().await;
    for (request, status, code) in TURNED {
        let request = request.replace("HERE", &rota.address.to_string());
        let latin: Vec<u8> = request.chars().map(|c| c as u8).collect();
        let mut bytes = latin;
        let at = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line") + 2;
        bytes.splice(at..at, *b"Connection: close\r\n");
        let answer = raw(rota.address, &bytes).await;
        let seen = answer.split_once(' ').map_or("", |(_, after)| after);
        assert!(seen.starts_with(status), "{request:?}: {answer}");
        assert!(answer.contains(code), "{request:?}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{request:?}");
    }
    assert_eq!(fake.recorder().total(), 0);
}

/// PRX-2, H1: odd but unambiguous requests are served, canonically framed.
#[tokio::test]
async fn an_odd_request_goes_upstream_in_one_canonical_form() {
    let odd = [
        (
            "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nContent-Length: 0002\r\n\r\n{}",
            2,
        ),
        (
            "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            2,
        ),
        ("POST /openai/v1/responses HTTP/1.1\nHost: HERE\nConnection: close\nContent-Length: 2\n\n{}", 2),
        ("POST /openai/v1/responses HTTP/1.0\r\nHost: HERE\r\nContent-Length: 2\r\n\r\n{}", 2),
        (
            "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
            2,
        ),
        (
            "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
            2,
        ),
        (
            "POST http://HERE/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            0,
        ),
    ];
    for (request, length) in odd {
        let (fake, rota) = stage().await;
        let request = request.replace("HERE", &rota.address.to_string());
        let answer = raw(rota.address, request.as_bytes()).await;
        if length == 0 {
            assert!(answer.starts_with("HTTP/1.1 403"), "our own address is no provider's: {answer}");
            continue;
        }
        assert!(answer.starts_with("HTTP/1."), "{request:?}: {answer}");
        let seen = fake.requests();
        assert_eq!(seen.len(), 1, "{request:?}: {answer}");
        let framing: Vec<_> = seen[0]
            .headers
            .iter()
            .filter(|(name, _)| {
                ["content-length", "transfer-encoding", "upgrade", "connection", "te"]
                    .contains(&name.to_ascii_lowercase().as_str())
            })
            .collect();
        let chunked = request.contains("CHUNKED");
        let expected = if chunked { ("transfer-encoding", "chunked") } else { ("content-length", "2") };
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert_eq!(framing, [&expected], "{request:?}");
        assert_eq!(seen[0].body_len, length);
    }
}

/// PRX-7
#[tokio::test]
async fn a_client_that_uses_rota_as_its_http_proxy_is_served() {
    let (fake, rota) = stage().await;
    let request = format!(
        "POST http://{}/v1/responses HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 33\r\n\r\n{{\"model\":\"gpt-5\",\"input\":\"hello\"}}",
        fake.addr(),
        fake.addr()
    );
    let answer = raw(rota.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(fake.accounts_served("/v1/responses"), ["a"]);
}

/// PRX-2, H3: a request smuggled behind an ambiguous one is never read.
#[tokio::test]
async fn nothing_behind_an_ambiguous_message_is_served() {
    let (fake, rota) = stage().await;
    let request = "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                   0\r\n\r\nPOST /openai/v1/smuggled HTTP/1.1\r\nHost: HERE\r\nContent-Length: 2\r\n\r\n{}";
    let answer = raw(rota.address, request.replace("HERE", &rota.address.to_string()).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(fake.recorder().total(), 0);
}

/// PRX-4
#[tokio::test]
async fn a_head_beyond_its_limit_is_turned_away() {
    let (fake, rota) = stage().await;
    let long = format!(
        "GET /openai/v1/x HTTP/1.1\r\nHost: {}\r\nX-Long: {}\r\n\r\n",
        rota.address,
        "x".repeat(70_000)
    );
    assert!(raw(rota.address, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = format!("GET /openai/v1/x HTTP/1.1\r\nHost: {}\r\n{many}\r\n", rota.address);
    assert!(raw(rota.address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let target =
        format!("GET /{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", "x".repeat(9000), rota.address);
    assert!(raw(rota.address, target.as_bytes()).await.starts_with("HTTP/1.1 414"));
    assert_eq!(fake.recorder().total(), 0);
}

/// H5: 100 comes when the body is wanted, and never before a refusal.
#[tokio::test]
async fn a_client_is_told_to_continue_only_when_its_body_is_wanted() {
    let (_fake, rota) = stage().await;
    let head = "POST PATH HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let head = head.replace("HERE", &rota.address.to_string());
    let mut stream = TcpStream::connect(rota.address).await.expect("rota listens");
    stream.write_all(head.replace("PATH", "/openai/v1/responses").as_bytes()).await.expect("rota reads");
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.expect("an interim reply");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    let refused = raw(rota.address, head.replace("PATH", "/nowhere").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 404"), "{refused}");
}

/// PRX-4: a head that does not come in time.
#[tokio::test]
async fn a_client_that_never_asks_is_let_go() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).set("TIMEOUTS__HEADER_READ", "1s").start().await;
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = raw(rota.address, begun.as_bytes()).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

/// PRX-4: the place of one that goes is the next one's.
#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let builder = rota(fake.origin()).account("work", "openai", key("sk-a")).set("LIMITS__CONNECTIONS", "1");
    let rota = builder.start().await;
    let ask =
        format!("GET /openai/v1/models HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive\r\n\r\n", rota.address);
    let mut first = TcpStream::connect(rota.address).await.expect("rota listens");
    first.write_all(ask.as_bytes()).await.expect("rota reads");
    let mut head = [0; 12];
    first.read_exact(&mut head).await.expect("a reply");
    let address = rota.address;
    let second =
        tokio::spawn(async move { raw(address, ask.replace("keep-alive", "close").as_bytes()).await });
    tokio::task::yield_now().await;
    assert_eq!(fake.recorder().total(), 1);
    drop(first);
    let answer = second.await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(fake.recorder().total(), 2);
}

/// PRX-3: a key that opens, and that stays here.
#[tokio::test]
async fn a_client_key_opens_and_never_goes_upstream() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let builder = rota(fake.origin()).account("work", "openai", key("sk-a"));
    let rota = builder.set("CLIENT_KEYS", "canary-client-key-1").start().await;
    let closed = rota.call("GET", "/openai/v1/models").send().await;
    assert_eq!((closed.status.as_u16(), fake.recorder().total()), (401, 0));
    let open = rota.call("GET", "/openai/v1/models").header("authorization", "Bearer canary-client-key-1");
    assert_eq!(open.send().await.status, 200);
    assert!(!fake.saw("canary"));
}

/// L9. Only root can become somebody else, so that only root sees more than itself.
#[tokio::test]
async fn another_users_process_is_turned_away_before_it_is_read() {
    let own = rustix::process::geteuid().as_raw();
    let strangers: &[u32] = if own == 0 { &[65_534, 101] } else { &[] };
    let (fake, rota) = stage().await;
    assert!(visit(&rota, own).await.starts_with("HTTP/1.1 200"));
    for stranger in strangers {
        assert_eq!(visit(&rota, *stranger).await, "", "user {stranger}");
    }
    assert_eq!(fake.recorder().total(), 1);
    let builder = crate::harness::rota(fake.origin()).account("work", "openai", key("sk-a"));
    let rota = builder.set("ALLOWED_UIDS", "65534").start().await;
    for guest in strangers.iter().filter(|uid| **uid == 65_534) {
        assert!(visit(&rota, *guest).await.starts_with("HTTP/1.1 200"), "user {guest} is allowed");
    }
}

/// What a process of `user` reads from rota.
async fn visit(rota: &Rota, user: u32) -> String {
    let (address, port) = (rota.address, rota.address.port());
    let ask =
        format!("GET /openai/v1/models HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n");
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{ask}' >&3; cat <&3");
    let mut command = tokio::process::Command::new("bash");
    let output = command.arg("-c").arg(script).uid(user).output().await.expect("a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn stage() -> (FakeUpstream, Rota) {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    (fake, rota)
}
