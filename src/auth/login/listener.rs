use super::callback::{Answer, Callback};
use super::error::LoginError;
use super::inbox::Inbox;
use super::page::Page;
use crate::model::Loopback;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time: a browser opens a few, and speaks on one.
const CONNECTIONS: usize = 16;
/// A request's head at most; a code is a few hundred bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// A connection lives no longer, whatever is sent on it.
const CONNECTION: Duration = Duration::from_secs(10);
/// The pause after the system refused a connection: it is short of something.
const BREATH: Duration = Duration::from_millis(100);
/// How often a free port is looked for that is free on both loopbacks.
const TRIES: u32 = 8;

/// Waits on this machine's loopback for the browser to come back (RFC 8252 §7.3). Dropping it closes its sockets.
pub(super) struct Callbacks {
    sockets: Vec<TcpListener>,
    place: Place,
}

/// Where the browser is told to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port`, as the browser's `Host` will say.
    authority: String,
    path: String,
}

impl Place {
    pub(super) fn new(loopback: &Loopback, port: u16) -> Self {
        Self { authority: format!("{}:{port}", loopback.host), path: loopback.path.clone() }
    }

    /// The `redirect_uri`.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }
}

impl Callbacks {
    /// Binds the first of the preset's ports that is free, on 127.0.0.1 and, where the host is `localhost`, on `::1` as
    /// well: whoever held the other loopback would be sent the code.
    pub(super) async fn bind(loopback: &Loopback) -> Result<Self, LoginError> {
        let any = [0];
        let ports = if loopback.ports.is_empty() { &any } else { loopback.ports.as_slice() };
        let mut problem = String::new();
        for port in ports {
            match bind_port(&loopback.host, *port).await {
                Ok((sockets, port)) => return Ok(Self { sockets, place: Place::new(loopback, port) }),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(LoginError::PortBusy { ports: loopback.ports.clone(), problem })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Answers browsers and puts what they bring into `inbox`. Never returns: whoever waits for the inbox drops this.
    pub(super) async fn serve(&self, inbox: Arc<Inbox>) -> Infallible {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(stream) = self.accept().await else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            // One too many is closed: idle connections must not keep the browser out.
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let (here, inbox) = (self.place.clone(), inbox.clone());
            tokio::spawn(async move {
                let _place = place;
                let _ = tokio::time::timeout(CONNECTION, converse(stream, here, inbox)).await;
            });
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|context| {
            let mut accepted = self.sockets.iter().map(|socket| socket.poll_accept(context));
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
        .map(|(stream, _)| stream)
    }
}

async fn bind_port(host: &str, port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut tries = if port == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_both(host, port).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && tries > 0 => {}
            bound => return bound,
        }
    }
}

async fn bind_both(host: &str, port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let port = four.local_addr()?.port();
    let mut sockets = vec![four];
    if host == "localhost" {
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(six) => sockets.push(six),
            // A machine without IPv6 has no `::1` for anybody to hold.
            Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((sockets, port))
}

async fn converse(stream: TcpStream, place: Place, inbox: Arc<Inbox>) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<Incoming>| {
        let page = look_at(&request.into_parts().0, &place, &inbox);
        async move { Ok::<Response<Full<Bytes>>, Infallible>(page.response()) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// What a request comes to. A wrong or missing `state` ends nothing: anybody's page can make a browser ask here.
fn look_at(head: &Parts, place: &Place, inbox: &Inbox) -> Page {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let is_ours =
        hosts.next().is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(place.authority.as_bytes()));
    if !is_ours || hosts.next().is_some() || head.uri.authority().is_some() {
        return Page::Nothing(StatusCode::MISDIRECTED_REQUEST);
    }
    if head.uri.path() != place.path {
        return Page::Nothing(StatusCode::NOT_FOUND);
    }
    if head.method != Method::GET {
        return Page::Nothing(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(callback) = head.uri.query().and_then(Callback::of_query) else {
        return Page::Unexpected;
    };
    let told = match &callback.answer {
        Answer::Code(_) => Page::Received,
        Answer::Refused(error) if error == Answer::DENIED => Page::Denied,
        Answer::Refused(_) => Page::Refused,
    };
    match inbox.deliver(callback) {
        Ok(()) => told,
        Err(_) => Page::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use http_body_util::BodyExt;

    /// REN-5
    #[test]
    fn only_the_redirection_itself_is_answered_and_only_with_the_right_state() {
        let table = [
            ("GET", "/cb?code=c&state=s", &["localhost:1455"][..], 200),
            ("GET", "/cb?code=c&state=s", &["LOCALHOST:1455"], 200),
            ("GET", "/cb?error=access_denied&state=s", &["localhost:1455"], 200),
            ("GET", "/cb?error=server_error&state=s", &["localhost:1455"], 200),
            ("GET", "/cb?code=c&state=t", &["localhost:1455"], 400),
            ("GET", "/cb?code=c", &["localhost:1455"], 400),
            ("GET", "/cb?error=access_denied", &["localhost:1455"], 400),
            ("GET", "/cb?code=c&state=s&state=s", &["localhost:1455"], 400),
            ("GET", "/cb?code=%ff&state=s", &["localhost:1455"], 400),
            ("GET", "/cb", &["localhost:1455"], 400),
            ("GET", "/cb/?code=c&state=s", &["localhost:1455"], 404),
            ("GET", "/?code=c&state=s", &["localhost:1455"], 404),
            ("GET", "/favicon.ico", &["localhost:1455"], 404),
            ("HEAD", "/cb?code=c&state=s", &["localhost:1455"], 405),
            ("POST", "/cb?code=c&state=s", &["localhost:1455"], 405),
            ("GET", "/cb?code=c&state=s", &["localhost:1457"], 421),
            ("GET", "/cb?code=c&state=s", &["evil.example:1455"], 421),
            ("GET", "/cb?code=c&state=s", &["localhost"], 421),
            ("GET", "/cb?code=c&state=s", &[], 421),
            ("GET", "/cb?code=c&state=s", &["localhost:1455", "localhost:1455"], 421),
            ("GET", "http://localhost:1455/cb?code=c&state=s", &["localhost:1455"], 421),
        ];
        for (method, target, hosts, expected) in table {
            let (inbox, mut answer) = Inbox::new(Secret::new("s"));
            let page = look_at(&head(method, target, hosts), &place(), &inbox);
            assert_eq!(page.response().status().as_u16(), expected, "{method} {target} {hosts:?}");
            assert_eq!(answer.try_recv().is_ok(), expected == 200, "{method} {target} {hosts:?}");
        }
    }

    /// REN-5, OBS-3
    #[tokio::test]
    async fn a_page_shows_nothing_of_the_request_and_is_kept_by_nobody() {
        for query in ["code=canary&state=s", "error=canary&state=s", "code=canary&state=canary"] {
            let (inbox, _answer) = Inbox::new(Secret::new("s"));
            let target = format!("/cb?{query}");
            let page = look_at(&head("GET", &target, &["localhost:1455"]), &place(), &inbox).response();
            let header = |name| page.headers().get(name).and_then(|value| value.to_str().ok()).unwrap();
            assert_eq!(header(header::CACHE_CONTROL), "no-store");
            assert_eq!(header(header::REFERRER_POLICY), "no-referrer");
            assert!(header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none';"));
            let shown = format!("{page:?}");
            let body = page.into_body().collect().await.unwrap().to_bytes();
            let shown = shown + str::from_utf8(&body).unwrap();
            assert!(!shown.contains("canary") && !shown.contains("http"), "{shown}");
        }
    }

    fn place() -> Place {
        let loopback =
            Loopback { host: "localhost".to_owned(), ports: vec![1455, 1457], path: "/cb".to_owned() };
        Place::new(&loopback, 1455)
    }

    fn head(method: &str, target: &str, hosts: &[&str]) -> Parts {
        let request = Request::builder().method(method).uri(target);
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        request.body(()).unwrap().into_parts().0
    }
}
