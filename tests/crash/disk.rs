//! A file system of its own on a loop device, whose power can be cut.
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`: what is not on the device now never will be. Each line of its input is a cut.
const CUTTER: &str = "
import fcntl, os, struct, sys
for path in sys.stdin:
    directory = os.open(path.rstrip('\\n'), os.O_RDONLY)
    fcntl.ioctl(directory, 0x8004587d, struct.pack('I', 2))
    os.close(directory)
    print('cut', flush=True)
";

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// Those whose tools this machine has. ext4 must be among them.
    pub(crate) fn there() -> Vec<Self> {
        let mut there = vec![Self::Ext4];
        match Command::new("mkfs.xfs").arg("-V").stdout(Stdio::null()).status() {
            Ok(_) => there.push(Self::Xfs),
            Err(_) => println!("power cuts: no mkfs.xfs (apt-get install xfsprogs), so XFS is not tried"),
        }
        there
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            // The least that its tools make.
            Self::Xfs => 320 << 20,
        }
    }

    fn quietly(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-F"],
            Self::Xfs => &["-q", "-f"],
        }
    }
}

/// A mounted disk.
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
    cutter: Child,
    said: BufReader<ChildStdout>,
}

impl Disk {
    /// A new one, whose image lies in `dir`.
    pub(crate) fn make(kind: Kind, dir: &Path) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        assert!(is_root, "power cuts need root, for loop devices and mount: sudo make power-cuts");
        let (image, at) = (dir.join("image"), dir.join("mounted"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(kind.bytes()).unwrap();
        run(Command::new(format!("mkfs.{}", kind.name())).args(kind.quietly()).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &at]));
        let cutter =
            Command::new("python3").args(["-c", CUTTER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cutter = cutter.unwrap_or_else(|error| panic!("python3 cannot be run: {error}"));
        let said = BufReader::new(cutter.stdout.take().unwrap());
        Self { image, at, cutter, said }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Cuts the power. From here on nothing can be written.
    pub(crate) fn cut(&mut self) {
        writeln!(self.cutter.stdin.as_mut().unwrap(), "{}", self.at.display()).unwrap();
        let mut said = String::new();
        self.said.read_line(&mut said).unwrap();
        assert_eq!(said, "cut\n", "the file system cannot be shut down");
    }

    /// Nobody may have a file open there.
    pub(crate) fn mount_again(&mut self) {
        run(Command::new("umount").arg(&self.at));
        run(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.at]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
        drop(self.cutter.stdin.take());
        let _ = self.cutter.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
