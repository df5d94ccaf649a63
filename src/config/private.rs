//! Files that hold a secret: read only if nobody else can.
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A larger file holds more than a secret.
const MOST_BYTES: u64 = 64 * 1024;

/// The text of a file that holds a secret, at most 64 KiB.
///
/// # Errors
/// It cannot be read, is larger, is not UTF-8, belongs to another user, or users other than its owner can read or change
/// it; the error says what to do, and never what the file holds.
pub fn read_private(file: &Path) -> io::Result<String> {
    let opened = File::open(file)?;
    let about = opened.metadata()?;
    let (owner, me) = (about.uid(), rustix::process::geteuid().as_raw());
    if !may_own(owner, me) {
        let message =
            format!("it belongs to another user ({owner}); make it yours: chown {me} {}", file.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mode = about.mode();
    if mode & 0o077 != 0 {
        let message = format!(
            "other users can read or change it (mode {:04o}); run: chmod 600 {}",
            mode & 0o7777,
            file.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut text = String::new();
    opened.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let message = format!("it is larger than a secret can be ({MOST_BYTES} bytes)");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

/// Whoever owns a file can change it. Root can anyway, and as root every user's files are read: those of a container in its
/// volume.
fn may_own(owner: u32, me: u32) -> bool {
    owner == me || owner == 0 || me == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    /// STO-4
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        write(&file, "canary\n").unwrap();
        for (mode, read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            match read_private(&file) {
                Ok(text) => assert!(read && text == "canary\n"),
                Err(error) => {
                    assert!(!read && error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    /// STO-4
    #[test]
    fn a_secret_is_read_from_a_file_of_ones_own_or_of_roots_and_by_root() {
        for (owner, me, allowed) in [(7, 7, true), (0, 7, true), (0, 0, true), (8, 7, false), (7, 0, true)] {
            assert_eq!(may_own(owner, me), allowed, "{owner} {me}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let most = usize::try_from(MOST_BYTES).unwrap();
        let contents = [vec![b'x'; most + 1], vec![0xff, b'c', b'a', b'n']];
        for (at, content) in contents.iter().enumerate() {
            let file = dir.path().join(at.to_string());
            write(&file, content).unwrap();
            set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            let error = read_private(&file).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        let missing = read_private(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
