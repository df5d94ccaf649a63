//! Changes over rota's admin API at a fixed rate: an account is switched off and on again, each time durably.
use crate::clock::{Moment, sleep_until};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The account that is switched; the others serve.
const ALIAS: &str = "third";

/// A thread that makes changes until it is stopped.
#[derive(Debug)]
pub struct Changes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Changes {
    /// Makes so many changes a second to the rota whose files are in `home`, or fewer where they take longer.
    pub fn start(home: &Path, per_second: f64) -> io::Result<Self> {
        let info: serde_json::Value = serde_json::from_slice(&fs::read(home.join("server.json"))?)?;
        let admin = info["admin"].as_str().and_then(|text| text.parse().ok());
        let admin: SocketAddr =
            admin.ok_or_else(|| io::Error::other("rota does not say where its admin API is"))?;
        let token = fs::read_to_string(home.join("state").join("admin-token"))?.trim().to_owned();
        let stream = TcpStream::connect(admin)?;
        stream.set_nodelay(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let gap = Duration::from_secs_f64(1.0 / per_second);
        let thread = std::thread::spawn(move || {
            let (mut made, mut next) = (0, Moment::now());
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut writer = stream;
            while !told.load(Ordering::Relaxed) {
                let body = if made % 2 == 0 { r#"{"enabled":false}"# } else { r#"{"enabled":true}"# };
                writer.write_all(request(admin, &token, body).as_bytes())?;
                answered(&mut reader)?;
                made += 1;
                next = next.after(gap);
                sleep_until(next);
            }
            Ok(made)
        });
        Ok(Self { stop, thread })
    }

    /// How many were made and acknowledged.
    pub fn stop(self) -> io::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the thread that makes changes ended early"))?
    }
}

fn request(admin: SocketAddr, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "PUT /api/accounts/{ALIAS}/enabled HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Reads one reply, which must be a 200 with a length.
fn answered(reader: &mut impl BufRead) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    });
    let Some(length) = length.filter(|_| head.starts_with("HTTP/1.1 200")) else {
        return Err(io::Error::other(format!(
            "a change was answered `{}`",
            head.lines().next().unwrap_or_default()
        )));
    };
    io::copy(&mut reader.by_ref().take(length), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_counted_only_where_it_was_acknowledged() {
        let mut good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest".as_bytes();
        answered(&mut good).expect("acknowledged");
        assert_eq!(good, b"rest");
        let refused = answered(&mut "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n".as_bytes());
        assert_eq!(
            refused.map_err(|error| error.to_string()),
            Err("a change was answered `HTTP/1.1 409 Conflict`".to_owned())
        );
        assert!(answered(&mut "HTTP/1.1 200 OK\r\n".as_bytes()).is_err());
    }
}
