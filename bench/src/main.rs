//! Parses the arguments and does one thing: serves as upstream or floor, loads, or measures.
use clap::{Args, Parser, Subcommand};
use http::HeaderValue;
use rota_bench::admin;
use rota_bench::baseline::{Baseline, BaselineError, Cost};
use rota_bench::callgrind;
use rota_bench::counts::{COUNTS, CountError};
use rota_bench::engine_loop::{Asked, Pool, PoolError};
use rota_bench::load::{self, Length, LoadError, Paced, Plan, Report, Session};
use rota_bench::proxies::{Binaries, REFUSING};
use rota_bench::run::{Effort, RunError, run};
use rota_bench::upstream::{Manner, Steps};
use rota_bench::{floor, raw, report, stats, upstream};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What rota costs beside nginx, haproxy and a bare forwarder
#[derive(Parser)]
#[command(name = "rota-bench")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Switch an account of a rota off and on over its admin API, until killed
    Changes {
        /// The directory with the rota's `server.json` and state
        #[arg(long)]
        home: PathBuf,
        /// Changes a second
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
    },
    /// Count instructions and allocations with valgrind
    Counts(CountsArguments),
    /// Ask a function of the engine, to be counted
    Engine {
        /// Which
        asked: String,
        /// Accounts in the pool
        #[arg(long, default_value_t = 2)]
        accounts: u32,
        /// How often
        #[arg(long, default_value_t = 1000)]
        times: u64,
    },
    /// Serve as the bare forwarder, until killed; the first line printed is the address
    Floor(FloorArguments),
    /// Load a proxy and print what was measured, as JSON
    Load(LoadArguments),
    /// Serve as the raw forwarder, until killed; the first line printed is the address
    Raw(ForwardArguments),
    /// Measure all proxies in turn and print the tables
    Run(RunArguments),
    /// Make changes durable beside a proxy: two small files a change, until killed
    Syncs {
        /// Where
        #[arg(long)]
        dir: PathBuf,
        /// Changes a second
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
    },
    /// Serve as the mock upstream, until killed; the first line printed is the address
    Upstream {
        /// Where to listen; at 127.0.0.2, same port, everything is answered 429
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
struct FloorArguments {
    #[command(flatten)]
    forward: ForwardArguments,
    /// What is put into the authorization header once more, where the first is answered 429
    #[arg(long)]
    then: Option<String>,
}

#[derive(Args)]
struct ForwardArguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The upstream
    #[arg(long)]
    to: SocketAddr,
    /// What is put into the authorization header
    #[arg(long, default_value = "fresh")]
    bearer: String,
    /// Threads, each with a listener and a pool of its own
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct LoadArguments {
    /// The proxy
    #[arg(long)]
    to: SocketAddr,
    /// Path and query; the mock upstream answers `?bytes=N` and `?events=N&size=S&pause=MS`
    #[arg(long, default_value = "/v1/responses?bytes=2048")]
    target: String,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Bytes of a request's body
    #[arg(long, default_value_t = 1024)]
    body: usize,
    /// Bytes of an event, where replies are streams
    #[arg(long)]
    event: Option<usize>,
    /// Name no conversation in requests
    #[arg(long)]
    nameless: bool,
    /// Requests over all connections
    #[arg(long, conflicts_with = "seconds")]
    requests: Option<u64>,
    /// Seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests a second, at fixed moments, instead of one after the other
    #[arg(long)]
    rate: Option<f64>,
    /// Begin streams and hold them until a line comes on standard input
    #[arg(long)]
    idle: bool,
    /// Print `ready` once connected, and do it, and tell, for each line on standard input (at a rate: for the first)
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
struct RunArguments {
    /// Only this row; `cpu`: all that are processor time (repeatable)
    #[arg(long)]
    only: Vec<String>,
    /// How often upstream and proxies are started anew, and every row is measured
    #[arg(long, default_value_t = 5)]
    sittings: usize,
    /// How long a sitting visits each proxy for each row, in many short turns
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measure everything so often, and tell how far the runs are apart
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Go on with each row of processor time until rota's figure is certain to so many percent (standard error), for ten times
    /// as many sittings at most: on a busy machine, 1 is what three runs need to agree within 5 %
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sure: Option<f64>,
    /// Put the table of the goals into this file, between its marks
    #[arg(long, value_name = "MARKDOWN")]
    write: Option<PathBuf>,
    /// The rota to measure [default: beside this program]
    #[arg(long)]
    rota: Option<PathBuf>,
}

#[derive(Args)]
struct CountsArguments {
    /// Only this (repeatable)
    #[arg(long)]
    only: Vec<String>,
    /// Fail where one costs more than this baseline and its margin allow
    #[arg(long, value_name = "BASELINE")]
    gate: Option<PathBuf>,
    /// Write what was counted as the new baseline
    #[arg(long, value_name = "BASELINE", conflicts_with = "gate")]
    write: Option<PathBuf>,
    /// Tell where the instructions go
    #[arg(long)]
    profile: bool,
    /// Count everything so often, and tell how far the counts are apart; the first is what is compared or written
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// The rota to count [default: beside this program]
    #[arg(long)]
    rota: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error(transparent)]
    Count(#[from] CountError),
    #[error("{0}")]
    Costlier(String),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("`{0}` is no function of the engine's; there are: {1}")]
    Unknown(String, String),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Run(#[from] RunError),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Task::Changes { home, rate } => admin::change(&home, rate).map_err(Failed::from),
        Task::Counts(arguments) => count(&arguments),
        Task::Engine { asked, accounts, times } => loop_engine(&asked, accounts, times),
        Task::Floor(arguments) => forward(&arguments),
        Task::Load(arguments) => measure(&arguments),
        Task::Raw(arguments) => forward_raw(&arguments),
        Task::Run(arguments) => compare(arguments),
        Task::Syncs { dir, rate } => admin::sync(&dir, rate).map_err(Failed::from),
        Task::Upstream { listen } => answer(listen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: RunArguments) -> Result<(), Failed> {
    let RunArguments { only, sittings, seconds, repeat, sure, write, rota } = arguments;
    let effort = Effort { sittings, seconds, only, repeat, sure };
    let goals = run(&binaries(rota)?, &effort, &mut io::stdout())?;
    Ok(write.map_or(Ok(()), |file| report::put(&goals, &file))?)
}

fn percent(text: &str) -> Result<f64, String> {
    let known = text.parse().ok().filter(|percent| (0.1..=100.0).contains(percent));
    known.ok_or_else(|| "it is a number of percent from 0.1 to 100".to_owned())
}

fn binaries(rota: Option<PathBuf>) -> io::Result<Binaries> {
    let bench = std::env::current_exe()?;
    let rota = rota.unwrap_or_else(|| bench.with_file_name("rota"));
    Ok(Binaries { bench, rota })
}

/// Counts, tells, and compares or writes.
fn count(arguments: &CountsArguments) -> Result<(), Failed> {
    let binaries = binaries(arguments.rota.clone())?;
    let known = arguments.gate.as_deref().map(Baseline::read).transpose()?;
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let (mut counted, mut costlier) = (Baseline::default(), Vec::new());
    for count in COUNTS.iter().filter(|count| wanted(count.name)) {
        let profile = count.measure(&binaries)?;
        let cost = Cost::of(&profile);
        let mut instructions = vec![cost.instructions];
        for _ in 1..arguments.repeat {
            instructions.push(Cost::of(&count.measure(&binaries)?).instructions);
        }
        let before = known.as_ref().and_then(|known| known.cost(count.name));
        let verdict = cost.against(before);
        let apart = if let [_, _, ..] = instructions.as_slice() {
            format!(", {:.2} % apart", stats::apart(&instructions) * 100.0)
        } else {
            String::new()
        };
        tell(&format!("{:<20} {cost}  {verdict}{apart}", count.name))?;
        if arguments.profile {
            tell(&callgrind::told(&profile))?;
        }
        if verdict.is_costlier() {
            costlier.push(count.name);
        }
        counted.note(count.name, cost);
    }
    if let Some(file) = &arguments.write {
        counted.write(file)?;
    }
    if known.is_some() && !costlier.is_empty() {
        return Err(Failed::Costlier(format!(
            "{} costs more than bench/baseline.toml allows; make it cheaper, or move the baseline with a reason: make perf-baseline",
            costlier.join(", ")
        )));
    }
    Ok(())
}

fn loop_engine(asked: &str, accounts: u32, times: u64) -> Result<(), Failed> {
    let Some(asked) = Asked::ALL.into_iter().find(|known| known.name() == asked) else {
        let names: Vec<&str> = Asked::ALL.iter().map(|known| known.name()).collect();
        return Err(Failed::Unknown(asked.to_owned(), names.join(", ")));
    };
    let found = Pool::new(accounts)?.ask(asked, times);
    Ok(tell(&format!("{found} of {times} found somebody"))?)
}

fn answer(listen: SocketAddr) -> Result<(), Failed> {
    Ok(runtime()?.block_on(async {
        let listener = shared(listen)?;
        let address = listener.local_addr()?;
        tokio::spawn(upstream::refuse(shared((REFUSING, address.port()).into())?));
        tell(&address.to_string())?;
        upstream::serve(listener, Manner::Prompt(Steps::default())).await
    })?)
}

/// One runtime a thread; they share nothing but the port.
fn forward(arguments: &FloorArguments) -> Result<(), Failed> {
    let bearer = |token: &String| HeaderValue::try_from(format!("Bearer {token}")).map_err(io::Error::other);
    let then = arguments.then.as_ref().map(bearer).transpose()?;
    let arguments = &arguments.forward;
    let bearers = floor::Bearers { first: bearer(&arguments.bearer)?, then };
    let first = runtime()?;
    let listener = first.block_on(async { shared(arguments.listen) })?;
    let address = listener.local_addr()?;
    for _ in 1..arguments.threads {
        let (to, bearers) = (arguments.to, bearers.clone());
        std::thread::spawn(move || {
            let next = runtime()?;
            let listener = next.block_on(async { shared(address) })?;
            next.block_on(floor::serve_locally(listener, to, bearers))
        });
    }
    tell(&address.to_string())?;
    Ok(first.block_on(floor::serve_locally(listener, arguments.to, bearers))?)
}

/// The same, raw.
fn forward_raw(arguments: &ForwardArguments) -> Result<(), Failed> {
    // Sockets are made by the runtime, and used without it.
    let made = runtime()?;
    let listen = |address| made.block_on(async { shared(address)?.into_std() });
    let listener = listen(arguments.listen)?;
    let address = listener.local_addr()?;
    for _ in 1..arguments.threads {
        let (to, bearer, next) = (arguments.to, arguments.bearer.clone(), listen(address)?);
        std::thread::spawn(move || raw::serve(next, to, &bearer));
    }
    tell(&address.to_string())?;
    Ok(raw::serve(listener, arguments.to, &arguments.bearer)?)
}

fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

fn measure(arguments: &LoadArguments) -> Result<(), Failed> {
    let plan = Plan {
        to: arguments.to,
        target: arguments.target.clone(),
        connections: arguments.connections,
        body: arguments.body,
        event: arguments.event,
        session: if arguments.nameless { Session::Nameless } else { Session::Named },
    };
    let length = arguments.requests.map_or(Length::Seconds(arguments.seconds), Length::Requests);
    if let Some(rate) = arguments.rate {
        let ready = || if arguments.wait { tell("ready").and_then(|()| told_to_go()) } else { Ok(true) };
        return tell_report(&load::rate(&plan, rate, arguments.seconds, || drop(ready()))?);
    }
    let runtime = runtime()?;
    let mut clients = runtime.block_on(load::connect(&plan))?;
    if arguments.idle {
        let held = runtime.block_on(load::idle(&plan, clients))?;
        tell("ready")?;
        told_to_go()?;
        drop(held);
        return Ok(());
    }
    let mut once =
        || tell_report(&runtime.block_on(load::closed(&plan, &mut clients, length, Paced::default()))?);
    if !arguments.wait {
        return once();
    }
    tell("ready")?;
    while told_to_go()? {
        once()?;
    }
    Ok(())
}

fn tell_report(report: &Report) -> Result<(), Failed> {
    Ok(tell(&serde_json::to_string(report).map_err(io::Error::other)?)?)
}

/// Whether a line came, and not the end.
fn told_to_go() -> io::Result<bool> {
    io::stdin().read_line(&mut String::new()).map(|length| length > 0)
}

fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
