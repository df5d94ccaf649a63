//! The admin API on a Unix socket, for a container whose loopback nobody else reaches: a file that only its owner can
//! open, in a directory that nobody else can change, and the kernel's word on who has opened it.
use axum::serve::Listener;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// After a failed `accept` for want of descriptors or memory: long enough for some to be given back.
const BREATH: Duration = Duration::from_millis(50);
/// Who else may write to a directory or file: its group, and everybody.
const OTHERS_WRITE: u32 = 0o022;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Its directory could be changed by somebody else, who could put a socket of theirs in its place.
    #[error(
        "other users can change {}, so the socket would not be safe there; use a directory of your own: chmod 700 {}",
        .0.display(), .0.display()
    )]
    Directory(PathBuf),
    /// Somebody listens there.
    #[error("another program listens on {}; stop it, or choose another path with `admin_socket`", .0.display())]
    InUse(PathBuf),
    /// The operating system said no.
    #[error("{} cannot be listened on (`admin_socket`): {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Its reason.
        error: io::Error,
    },
    /// Something else is there already: a file, a directory, or a link, which is never followed.
    #[error("{} is there already, and is no socket; move it away, or choose another path with `admin_socket`", .0.display())]
    NoSocket(PathBuf),
}

/// The socket. Its file goes with it.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    users: Vec<u32>,
    path: PathBuf,
    /// Device and inode of the file: what stands at `path` later may be another's.
    mark: (u64, u64),
}

impl AdminSocket {
    /// Listens at `path`, for rota's own user, root and `users`. What a rota that was killed has left there is replaced.
    ///
    /// # Errors
    /// The directory is not safe, somebody listens there, or what is there is no socket.
    pub fn bind(path: &Path, users: &[u32]) -> Result<Self, SocketError> {
        let io = |error| SocketError::Io { path: path.to_owned(), error };
        let directory = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        let own = geteuid().as_raw();
        let held = fs::metadata(directory).map_err(io)?;
        if held.mode() & OTHERS_WRITE != 0 || ![0, own].contains(&held.uid()) {
            return Err(SocketError::Directory(directory.to_owned()));
        }
        check_free(path)?;
        // It is closed to others before it has its name.
        let hidden = directory.join(format!(".{}.sock", std::process::id()));
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(io)?;
        let named = fs::set_permissions(&hidden, Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&hidden))
            .and_then(|found| fs::rename(&hidden, path).map(|()| mark(&found)));
        let mark = named.map_err(|error| {
            let _ = fs::remove_file(&hidden);
            io(error)
        })?;
        // Root opens any file, and is who reaches into a container's volume.
        let users = users.iter().copied().chain([own, 0]).collect();
        Ok(Self { listener, users, path: path.to_owned(), mark })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn admits(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| self.users.contains(&peer.uid()))
    }
}

/// Nothing is there, or a socket on which nobody listens.
fn check_free(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::Io { path: path.to_owned(), error }),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match Probe::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

fn mark(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|found| mark(&found) == self.mark);
        if own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener for AdminSocket {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.admits(&stream) => return (stream, ()),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// PRX-3, L10
    #[tokio::test]
    async fn only_its_owner_can_open_it_and_the_file_goes_with_it() {
        let dir = place();
        let path = dir.path().join("below/admin.sock");
        let socket = AdminSocket::bind(&path, &[]).expect("a socket");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a directory"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(dir.path().join("below")).expect("a directory").count(), 1);
        drop(socket);
        assert!(!path.exists());
    }

    /// PRX-3, L10
    #[tokio::test]
    async fn a_stale_one_is_replaced_and_one_that_is_listened_on_is_not() {
        let dir = place();
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("one that is left behind"));
        let first = AdminSocket::bind(&path, &[]).expect("the place of the stale one");
        let refused = AdminSocket::bind(&path, &[]).expect_err("somebody listens");
        assert!(matches!(refused, SocketError::InUse(_)), "{refused}");
        assert!(Probe::connect(&path).is_ok(), "the first still listens");
        drop(first);
    }

    /// PRX-3, L10
    #[tokio::test]
    async fn what_is_no_socket_stays_as_it_is_and_no_link_is_followed() {
        let dir = place();
        let file = dir.path().join("file");
        fs::write(&file, "kept").expect("a file");
        let link = dir.path().join("link");
        symlink(dir.path().join("elsewhere.sock"), &link).expect("a link");
        for path in [&file, &link] {
            let refused = AdminSocket::bind(path, &[]).expect_err("it is no socket");
            assert!(matches!(refused, SocketError::NoSocket(_)), "{refused}");
        }
        assert_eq!(fs::read(&file).expect("it is there"), b"kept");
        assert!(!dir.path().join("elsewhere.sock").exists());
    }

    /// PRX-3, L10
    #[tokio::test]
    async fn a_directory_that_others_can_change_is_refused() {
        let dir = place();
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("a mode");
            let refused = AdminSocket::bind(&dir.path().join("admin.sock"), &[]).expect_err("not safe");
            assert!(matches!(refused, SocketError::Directory(_)), "{mode:o}: {refused}");
        }
    }

    /// PRX-3: only the owner of a file that others may open can be somebody else.
    #[tokio::test]
    async fn a_program_of_another_user_is_closed_out() {
        let dir = place();
        let path = dir.path().join("admin.sock");
        let mut socket = AdminSocket::bind(&path, &[7]).expect("a socket");
        assert_eq!(socket.users, [7, geteuid().as_raw(), 0], "root, too, who can open any file");
        let stranger = Probe::connect(&path).expect("a connection");
        socket.users = vec![geteuid().as_raw() + 1];
        let (accepted, _) = socket.listener.accept().await.expect("a connection");
        assert!(!socket.admits(&accepted));
        socket.users = vec![geteuid().as_raw()];
        assert!(socket.admits(&accepted));
        drop(stranger);
    }

    fn place() -> TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("a mode");
        dir
    }
}
