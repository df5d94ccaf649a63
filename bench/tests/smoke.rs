//! Every kind of load, for a blink, through the floor and the raw forwarder to the mock upstream. Nothing here is timed: it shows that the
//! harness measures what it says.
use http::HeaderValue;
use rota_bench::floor::{self, Bearers};
use rota_bench::load::{self, Length, Paced, Plan, Report, Session};
use rota_bench::raw;
use rota_bench::upstream::{self, LEAST_EVENT, Manner, Steps};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

#[test]
fn every_request_of_a_closed_load_is_answered_whole() {
    for world in [World::start("fresh"), World::raw()] {
        let report = world.closed(&world.plan("/v1/responses?bytes=2048", 4, None), 40);
        assert_eq!(counts(&report), (40, 0, 0));
        assert!(report.p99 >= report.p50 && report.p50 >= report.first_p50, "{report:?}");
    }
}

/// The harness keeps its connections from one visit to the next.
#[test]
fn clients_that_were_answered_ask_again_on_the_same_connections() {
    let world = World::start("fresh");
    let plan = world.plan("/v1/responses?bytes=2048", 4, None);
    let reports = world.runtime.block_on(async {
        let mut clients = load::connect(&plan).await?;
        let mut reports = Vec::new();
        for _ in 0..3 {
            let report = load::closed(&plan, &mut clients, Length::Requests(10), Paced::default()).await?;
            reports.push((counts(&report), clients.len()));
        }
        Ok::<_, load::LoadError>(reports)
    });
    assert_eq!(reports.expect("reports"), [((10, 0, 0), 4); 3]);
}

#[test]
fn a_body_of_a_megabyte_goes_through() {
    for world in [World::start("fresh"), World::raw()] {
        let plan = Plan { body: 1 << 20, ..world.plan("/v1/responses?bytes=2048", 2, None) };
        assert_eq!(counts(&world.closed(&plan, 6)), (6, 0, 0));
    }
}

#[test]
fn every_event_of_every_stream_is_counted_and_its_way_is_timed() {
    let (floor, raw) = (World::start("fresh"), World::raw());
    for (world, pause) in [(&floor, "0"), (&floor, "1"), (&floor, "step"), (&raw, "0"), (&raw, "step")] {
        let target = format!("/v1/responses?events=20&size={LEAST_EVENT}&pause={pause}");
        let report = world.closed(&world.plan(&target, 2, Some(LEAST_EVENT)), 4);
        assert_eq!(counts(&report), (4, 0, 80), "pause={pause}");
        assert!(report.event_p99 >= report.event_p50 && report.event_p50 > 0.0, "{report:?}");
    }
}

#[test]
fn a_spent_bearer_is_turned_away_and_told_as_such() {
    let world = World::start("spent-1");
    let clients = world.runtime.block_on(load::connect(&world.plan("/v1/responses", 1, None)));
    assert_eq!(
        clients.err().map(|error| error.to_string()),
        Some(format!("{}: the first request was answered 429", world.proxy))
    );
}

/// How the harness finds out that a forwarder has come up.
#[test]
fn a_client_that_asks_once_sees_the_connections_end() {
    for world in [World::start("fresh"), World::raw()] {
        let mut stream = TcpStream::connect(world.proxy).expect("a connection");
        let request = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a guard");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the end");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\"}"), "{reply}");
    }
}

#[test]
fn the_floor_with_a_second_bearer_asks_once_more_and_only_after_a_429() {
    for first in ["spent-1", "fresh"] {
        let world = World::start_with(first, Some("fresh"));
        let plan = Plan { body: 200 << 10, ..world.plan("/v1/responses?bytes=2048", 2, None) };
        assert_eq!(counts(&world.closed(&plan, 6)), (6, 0, 0), "{first}");
    }
}

#[test]
fn a_server_that_refuses_answers_everything_429() {
    let runtime = runtime();
    let turned = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("an address");
        tokio::spawn(upstream::refuse(listener));
        let plan = Plan {
            to,
            target: "/v1/responses".to_owned(),
            connections: 1,
            body: 1024,
            event: None,
            session: Session::Named,
        };
        load::connect(&plan).await.map(drop)
    });
    assert!(matches!(turned, Err(load::LoadError::Turned(_, 429))), "{turned:?}");
}

#[test]
fn a_load_at_a_fixed_rate_asks_as_often_as_it_says() {
    let world = World::start("fresh");
    let mut readied = 0;
    let plan = world.plan("/v1/responses?bytes=256", 4, None);
    let report = load::rate(&plan, 4000.0, 0.05, || readied += 1).expect("a report");
    assert_eq!((counts(&report), readied), ((200, 0, 0), 1));
}

#[test]
fn idle_streams_are_held_open() {
    let world = World::start("fresh");
    let plan = world.plan(&format!("/v1/responses?events=2&size={LEAST_EVENT}&pause=600000"), 8, None);
    let held = world.runtime.block_on(async {
        let clients = load::connect(&plan).await?;
        load::idle(&plan, clients).await
    });
    assert_eq!(held.expect("streams").len(), 8);
}

/// Upstream and a forwarder, on threads of their own.
struct World {
    proxy: SocketAddr,
    steps: Steps,
    runtime: Runtime,
}

impl World {
    /// Behind the floor.
    fn start(bearer: &str) -> Self {
        Self::start_with(bearer, None)
    }

    fn start_with(first: &str, then: Option<&str>) -> Self {
        let bearer = |token: &str| HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
        let bearers = Bearers { first: bearer(first), then: then.map(bearer) };
        let (upstream, steps) = upstream();
        let (told, floor) = mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                told.send(listener.local_addr().expect("an address")).expect("a listener");
                floor::serve_locally(listener, upstream, bearers).await
            })
        });
        Self { proxy: floor.recv().expect("an address"), steps, runtime: runtime() }
    }

    /// Behind the raw forwarder.
    fn raw() -> Self {
        let (upstream, steps) = upstream();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = listener.local_addr().expect("an address");
        std::thread::spawn(move || raw::serve(listener, upstream, "fresh"));
        Self { proxy, steps, runtime: runtime() }
    }

    fn plan(&self, target: &str, connections: usize, event: Option<usize>) -> Plan {
        let target = target.to_owned();
        Plan { to: self.proxy, target, connections, body: 1024, event, session: Session::Named }
    }

    fn closed(&self, plan: &Plan, requests: u64) -> Report {
        self.runtime
            .block_on(async {
                let mut clients = load::connect(plan).await?;
                let paced = Paced { steps: Some(self.steps.clone()), pause: None };
                load::closed(plan, &mut clients, Length::Requests(requests), paced).await
            })
            .expect("a report")
    }
}

fn upstream() -> (SocketAddr, Steps) {
    let (steps, (told, upstream)) = (Steps::default(), mpsc::channel());
    let served = steps.clone();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            told.send(upstream.local_addr().expect("an address")).expect("a listener");
            upstream::serve(upstream, Manner::Prompt(served)).await
        })
    });
    (upstream.recv().expect("an address"), steps)
}

fn counts(report: &Report) -> (u64, u64, u64) {
    (report.requests, report.failed, report.events)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
