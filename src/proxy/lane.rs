//! Threads that serve connections. A lane is one thread's runtime with upstream connections of its own, so that a request
//! never leaves its thread: its connection, its upload and its reply wake nobody elsewhere.
use crate::upstream::Upstream;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// See the module.
#[derive(Clone, Debug)]
pub struct Lane {
    runtime: Handle,
    upstream: Upstream,
    /// As many as there are connections, and one.
    load: Arc<()>,
}

/// One connection's place in a lane; dropping it makes the lane lighter.
#[derive(Debug)]
pub(super) struct Berth {
    pub(super) upstream: Upstream,
    _load: Arc<()>,
}

impl Lane {
    /// Serves on `runtime`, over upstream connections that nobody else uses.
    pub fn new(runtime: Handle, upstream: &Upstream) -> Self {
        Self { runtime, upstream: upstream.apart(), load: Arc::default() }
    }

    fn berth(&self) -> Berth {
        Berth { upstream: self.upstream.clone(), _load: Arc::clone(&self.load) }
    }
}

/// All lanes; there is at least one.
#[derive(Clone, Debug)]
pub struct Lanes {
    first: Lane,
    more: Vec<Lane>,
}

impl Lanes {
    /// `first` is the lane of whoever accepts connections.
    pub fn new(first: Lane, more: Vec<Lane>) -> Self {
        Self { first, more }
    }

    /// Serves a connection in the lane that has the fewest of them.
    pub(super) fn serve<F, S>(&self, stream: TcpStream, serve: F)
    where
        F: FnOnce(TcpStream, Berth) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let lane = self.more.iter().fold(&self.first, |least, lane| {
            if Arc::strong_count(&lane.load) < Arc::strong_count(&least.load) { lane } else { least }
        });
        let berth = lane.berth();
        if std::ptr::eq(lane, &raw const self.first) {
            lane.runtime.spawn(serve(stream, berth));
            return;
        }
        lane.runtime.spawn(async move {
            // A socket that cannot change its thread is closed: its client sees that, and nobody else does.
            if let Ok(stream) = moved(stream) {
                serve(stream, berth).await;
            }
        });
    }
}

/// The same socket, watched by the runtime that this is called on.
fn moved(stream: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{ProxyValues, Roots, Trust, UpstreamConfig};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::mpsc;

    #[test]
    fn connections_spread_evenly_over_threads_and_make_room_when_they_go() {
        let (one, two) = (runtime("one"), runtime("two"));
        let upstream = upstream();
        let lanes = Lanes::new(
            Lane::new(one.handle().clone(), &upstream),
            vec![Lane::new(two.handle().clone(), &upstream)],
        );
        let names = one.block_on(async move {
            let (told, mut names) = mpsc::unbounded_channel();
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let mut seen = Vec::new();
            let mut kept = Vec::new();
            for _ in 0..4 {
                kept.push(TcpStream::connect(address).await.expect("a connection"));
                seen.push(served(&lanes, &listener, &told, &mut names).await);
            }
            // The first lane's two go, and the next two come there.
            for nth in [2, 0] {
                let mut gone = kept.remove(nth);
                gone.shutdown().await.expect("closed");
                assert_eq!(gone.read(&mut [0]).await.expect("the end"), 0);
            }
            while Arc::strong_count(&lanes.first.load) > 1 {
                tokio::task::yield_now().await;
            }
            for _ in 0..2 {
                kept.push(TcpStream::connect(address).await.expect("a connection"));
                seen.push(served(&lanes, &listener, &told, &mut names).await);
            }
            seen
        });
        assert_eq!(names, ["one", "two", "one", "two", "one", "one"]);
        two.shutdown_background();
    }

    /// Who serves the next connection; it is open until its client closes it.
    async fn served(
        lanes: &Lanes,
        listener: &TcpListener,
        told: &mpsc::UnboundedSender<String>,
        names: &mut mpsc::UnboundedReceiver<String>,
    ) -> String {
        let (stream, _) = listener.accept().await.expect("a client");
        let told = told.clone();
        lanes.serve(stream, move |mut stream, berth| async move {
            let _ = told.send(std::thread::current().name().unwrap_or_default().to_owned());
            let _ = stream.read(&mut [0]).await;
            drop(stream);
            drop(berth);
        });
        names.recv().await.expect("a name")
    }

    /// One thread of that name.
    fn runtime(name: &str) -> Runtime {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        runtime.expect("a runtime")
    }

    fn upstream() -> Upstream {
        let config = UpstreamConfig {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(5),
            stream_idle: Duration::from_secs(5),
            trust: Trust { roots: Roots::Bundled, ..Trust::default() },
            proxies: ProxyValues::default(),
        };
        Upstream::new(&config).expect("an upstream")
    }
}
