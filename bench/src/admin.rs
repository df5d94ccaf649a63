//! Durable changes at a fixed rate, beside requests: over rota's admin API an account is switched off and on again; for
//! what such a rate costs at least, a process of its own does to the disk what a change does to it. Each is a process
//! that says a line for each change, until it is killed.
use crate::clock::{Moment, sleep_until};
use crate::proxies::{Binaries, Place};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The account that is switched; the others serve.
const ALIAS: &str = "third";
/// Files that a change replaces, and how long each is: the state and the trail of changes.
const FILES: [(&str, usize); 2] = [("one", 2048), ("other", 16 * 1024)];

/// A process that makes changes. Dropping it ends it.
#[derive(Debug)]
pub struct Beside(Child);

impl Beside {
    /// Starts `rota-bench` with these arguments on its processors.
    pub fn start(binaries: &Binaries, place: Place, arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", place.cores]).arg(&binaries.bench).args(arguments);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
    }

    /// Ends it. How many changes it has made.
    pub fn end(mut self) -> io::Result<usize> {
        self.0.kill()?;
        let mut said = String::new();
        if let Some(mut out) = self.0.stdout.take() {
            out.read_to_string(&mut said)?;
        }
        Ok(said.lines().count())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Changes the rota whose files are in `home`, so many times a second or less where it takes longer, for ever.
pub fn change(home: &Path, per_second: f64) -> io::Result<()> {
    let info: serde_json::Value = serde_json::from_slice(&fs::read(home.join("server.json"))?)?;
    let admin = info["admin"].as_str().and_then(|text| text.parse().ok());
    let admin: SocketAddr =
        admin.ok_or_else(|| io::Error::other("rota does not say where its admin API is"))?;
    let token = fs::read_to_string(home.join("state").join("admin-token"))?.trim().to_owned();
    let mut writer = TcpStream::connect(admin)?;
    writer.set_nodelay(true)?;
    let mut reader = BufReader::new(writer.try_clone()?);
    let mut made = 0_u64;
    each(per_second, || {
        made += 1;
        writer.write_all(request(admin, &token, made.is_multiple_of(2)).as_bytes())?;
        match answered(&mut reader)? {
            200 => Ok(()),
            // Somebody before may have left it like this.
            409 if made == 1 => Ok(()),
            status => Err(io::Error::other(format!("a change was answered {status}"))),
        }
    })
}

/// Replaces files in `dir` durably, so many times a second or less where it takes longer, for ever.
pub fn sync(dir: &Path, per_second: f64) -> io::Result<()> {
    each(per_second, || FILES.iter().try_for_each(|(name, length)| replace(dir, name, *length)))
}

fn each(per_second: f64, mut change: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let gap = Duration::from_secs_f64(1.0 / per_second);
    let (mut out, mut next) = (io::stdout().lock(), Moment::now());
    loop {
        change()?;
        out.write_all(b"made\n")?;
        next = next.after(gap);
        sleep_until(next);
    }
}

/// A new file in place of the one with this name, once it would survive a power cut.
fn replace(dir: &Path, name: &str, length: usize) -> io::Result<()> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let mut file = fs::File::create(&new)?;
    file.write_all(&vec![b' '; length])?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    fs::File::open(dir)?.sync_all()
}

fn request(admin: SocketAddr, token: &str, on: bool) -> String {
    let body = format!("{{\"enabled\":{on}}}");
    let length = body.len();
    format!(
        "PUT /api/accounts/{ALIAS}/enabled HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Reads one reply, which must have a length: its status.
fn answered(reader: &mut impl BufRead) -> io::Result<u16> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    });
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let (Some(length), Some(status)) = (length, status) else {
        return Err(io::Error::other(format!("a change was answered `{}`", head.trim_end())));
    };
    io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_to_its_end_and_tells_its_status() {
        let mut good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest".as_bytes();
        assert_eq!(answered(&mut good).expect("a status"), 200);
        assert_eq!(good, b"rest");
        let refused = answered(&mut "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n".as_bytes());
        assert_eq!(refused.expect("a status"), 409);
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n", "gone\r\ncontent-length: 0\r\n\r\n"] {
            assert!(answered(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_replaces_a_file_is_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        for length in [5, 3] {
            replace(dir.path(), "one", length).expect("replaced");
        }
        assert_eq!(fs::read(dir.path().join("one")).expect("a file"), b"   ");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }
}
