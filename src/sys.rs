//! What only unsafe code can do, and nothing else: the environment that the process was started with is wiped of
//! secrets, descriptors that it was started with become sockets, a thread lets others go first, code that has been run is
//! given back, and work is done with all that this processor can. Every other file of rota is safe code; the lint `unsafe_code` holds that.
#![expect(unsafe_code, reason = "the one place; each block says why it is sound")]
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::io;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that a service manager hands over (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const FIRST_HANDED: RawFd = 3;
/// What was handed over has been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    /// The environment (POSIX.1-2017, `environ`): pointers to `NAME=value`, the last one null. At the start of a process
    /// the texts lie in the block that `/proc/PID/environ` shows.
    static mut environ: *mut *mut c_char;
}

/// Overwrites the values of these variables where they lie and removes the variables: from then on neither
/// `/proc/PID/environ` nor a child's environment holds them. Names that are not set are nothing.
///
/// # Errors
/// Another thread is running, or that cannot be told; nothing was changed then. It is called first thing in `main`.
pub fn forget_variables(names: &BTreeSet<String>) -> io::Result<()> {
    let is_name = |name: &&String| !name.is_empty() && !name.contains(['=', '\0']);
    let names: Vec<&String> = names.iter().filter(is_name).collect();
    if names.is_empty() {
        return Ok(());
    }
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("other threads are running already"));
    }
    // SAFETY: this is the only thread of the process (just seen; only a thread can start another one), so that nobody
    // reads or changes the environment or follows its pointers meanwhile, and no reference into it is held: Rust's
    // accessors give copies. `environ` is null or an array that ends with null, of texts that end with a zero byte.
    // They are writable (the environment's block on the stack, or memory of `setenv`'s), and only bytes between the
    // sign `=` and the end of a text are written, as many as there are.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text: *mut c_char = *entry;
            let bytes = CStr::from_ptr(text).to_bytes();
            let name = bytes.iter().position(|byte| *byte == b'=').map(|end| (end, &bytes[..end]));
            if let Some((end, _)) = name.filter(|(_, name)| names.iter().any(|one| one.as_bytes() == *name)) {
                let length = bytes.len() - end - 1;
                std::ptr::write_bytes(text.add(end + 1), 0, length);
            }
            entry = entry.add(1);
        }
    }
    for name in names {
        // SAFETY: as above: no other thread is there to read the environment.
        #[expect(
            clippy::disallowed_methods,
            reason = "what must not be seen is taken out, once, at the start"
        )]
        unsafe {
            std::env::remove_var(name);
        }
    }
    Ok(())
}

/// The listening sockets that a service manager handed over: `count` descriptors from 3 on. No child of this process gets
/// them.
///
/// # Errors
/// One of them is not open, or is no listening TCP socket; or they were taken before.
pub fn handed_sockets(count: u16) -> io::Result<Vec<TcpListener>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("they were taken before"));
    }
    let numbers = FIRST_HANDED..FIRST_HANDED + RawFd::from(count);
    for number in numbers.clone() {
        // SAFETY: it is only asked about, here, and nothing closes it meanwhile: nobody else in this process knows of it,
        // or another thread would have to be running. Of a number that is not open the kernel says so.
        let asked = unsafe { BorrowedFd::borrow_raw(number) };
        check_listens(asked)
            .map_err(|error| io::Error::new(error.kind(), format!("descriptor {number}: {error}")))?;
        rustix::io::fcntl_setfd(asked, rustix::io::FdFlags::CLOEXEC)?;
    }
    // SAFETY: they were open when the process began, for whoever started it has said so; they listen, which nothing that
    // this process has opened itself does yet; and they are taken once.
    let owned = numbers.map(|number| TcpListener::from(unsafe { OwnedFd::from_raw_fd(number) }));
    Ok(owned.collect())
}

/// Gives the memory of this program's code back, most of which only a start runs. What is run again comes from the file, by
/// itself. Where the system is another, or refuses, nothing changes.
pub fn give_code_back() {
    #[cfg(target_os = "linux")]
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps")
        && let Some(code) = code_around(give_code_back as *const () as usize, &maps)
    {
        let (start, bytes) = (code.start as *mut std::ffi::c_void, code.len());
        // SAFETY: this is one mapping, as the kernel has just told, and nothing unmaps the program's code. It is private, of a
        // file, and not writable, so it holds what the file holds; the kernel lets nobody write to a program that runs.
        // A page that is dropped is read from there again by whoever runs into it next (MADV_DONTNEED, madvise(2)).
        let _ = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Work that wide vectors make quicker, in plain code: `run` of it, and all that it calls, is marked `#[inline(always)]`, so
/// that it is compiled once for each kind of processor.
pub trait Wide {
    /// What it comes to.
    type Told;

    /// Does it.
    fn run(self) -> Self::Told;
}

/// Does `work` with the widest vectors that this processor has (AVX2), and elsewhere with those that all of its kind have.
pub fn widely<W: Wide>(work: W) -> W::Told {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: nothing is asked of the caller but that the processor has AVX2, which it was just asked.
        return unsafe { with_avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<W: Wide>(work: W) -> W::Told {
    work.run()
}

/// The mapping of `/proc/PID/maps` (proc(5)) that holds `address`, where it is a file's code and nothing can be written to it.
#[cfg(target_os = "linux")]
fn code_around(address: usize, maps: &str) -> Option<std::ops::Range<usize>> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let is_code = fields.next() == Some("r-xp") && fields.nth(2).is_some_and(|inode| inode != "0");
        (is_code && range.contains(&address)).then_some(range)
    })
}

/// Lets other threads go before the calling one, and before those that it starts, as soon as they wake: its own turns on
/// a processor become long ones, and the scheduler lets a thread with shorter turns cut in (Linux 6.12 and later;
/// sched_setattr(2), the run time of `SCHED_OTHER`). Its share of the processor stays what it was, as do its policy and
/// its nice value. Where the system knows no such thing, nothing changes.
pub fn let_others_first() {
    // A system that refuses leaves the turns as they are, which costs nothing but time.
    #[cfg(all(target_os = "linux", any(target_arch = "aarch64", target_arch = "x86_64")))]
    let _ = turns::read().and_then(turns::lengthen);
}

/// The same for a thread that mostly waits for the disk: its nice value rises to 10, too. Without that it is owed processor
/// time for the while that it waited, and takes it in the midst of a request; with it, it is paid at once. Programs that
/// the thread starts are as nice.
pub fn let_others_go_on() {
    #[cfg(all(target_os = "linux", any(target_arch = "aarch64", target_arch = "x86_64")))]
    let _ = turns::read().and_then(|now| turns::lengthen(turns::nicer(now)));
}

/// How long a thread may run before another one of its kind has its turn, as the kernel keeps it.
#[cfg(all(target_os = "linux", any(target_arch = "aarch64", target_arch = "x86_64")))]
mod turns {
    use std::ffi::{c_int, c_long, c_uint};
    use std::io;

    /// Several times what the kernel gives by itself (0.7 to 2.8 ms, by how many processors there are), and no more than a
    /// thread that works for nobody in particular may well wait.
    const LONG: u64 = 10_000_000;
    /// A tenth of a share, where a thread of a request wants the processor at the same time.
    const NICE: i32 = 10;
    /// Policies whose threads have turns: `SCHED_OTHER`, `SCHED_BATCH` (sched(7)).
    const FAIR: [u32; 2] = [0, 3];
    /// `__NR_sched_setattr` and `__NR_sched_getattr` of the kernel's `unistd.h`.
    const NUMBERS: (c_long, c_long) = if cfg!(target_arch = "x86_64") { (314, 315) } else { (274, 275) };

    /// `struct sched_attr` in its first form (sched_setattr(2)), which every kernel since 3.14 takes.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[repr(C)]
    pub(super) struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    #[expect(clippy::cast_possible_truncation, reason = "48")]
    const SIZE: u32 = size_of::<Attributes>() as u32;

    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }

    /// The calling thread's.
    pub(super) fn read() -> io::Result<Attributes> {
        let mut read = Attributes::default();
        let (me, flags): (c_int, c_uint) = (0, 0);
        // SAFETY: the kernel writes at most `SIZE` bytes to `read`, which lives through the call and whose fields may hold
        // any bytes; the arguments have the types that sched_getattr(2) names.
        match unsafe { syscall(NUMBERS.1, me, &raw mut read, SIZE, flags) } {
            0 => Ok(read),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The same, as nice as a thread should be that waits for the disk.
    pub(super) fn nicer(now: Attributes) -> Attributes {
        Attributes { nice: now.nice.max(NICE), ..now }
    }

    /// The calling thread's turns become long, and all else as `now` says, which is read of it.
    pub(super) fn lengthen(now: Attributes) -> io::Result<()> {
        if !FAIR.contains(&now.policy) {
            return Ok(());
        }
        let next = Attributes { size: SIZE, runtime: LONG, ..now };
        let (me, flags): (c_int, c_uint) = (0, 0);
        // SAFETY: the kernel reads `SIZE` bytes of `next`, which lives through the call; the arguments have the types that
        // sched_setattr(2) names.
        match unsafe { syscall(NUMBERS.0, me, &raw const next, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_that_lets_others_first_keeps_all_but_the_length_of_its_turns() {
            let (before, told, after, child) = std::thread::spawn(|| {
                let before = read().expect("what every thread may ask");
                let told = lengthen(before);
                let child = std::thread::spawn(|| read().expect("the same")).join().expect("no panic");
                (before, told, read().expect("the same"), child)
            })
            .join()
            .expect("no panic");
            told.expect("what every thread may do");
            // Kernels before 6.12 know no such length, and say 0.
            let runtime = if before.runtime == 0 { 0 } else { LONG };
            assert_eq!(after, Attributes { runtime, ..before });
            assert_eq!(child, after, "threads that it starts are like it");
            let waiting = std::thread::spawn(|| {
                super::super::let_others_go_on();
                read().expect("the same")
            });
            let nice = before.nice.max(NICE);
            assert_eq!(waiting.join().expect("no panic"), Attributes { runtime, nice, ..before });
        }
    }
}

fn check_listens(socket: BorrowedFd<'_>) -> io::Result<()> {
    let address = rustix::net::getsockname(socket)?;
    #[cfg(not(target_vendor = "apple"))]
    let listens = rustix::net::sockopt::socket_acceptconn(socket)?;
    // The system does not say.
    #[cfg(target_vendor = "apple")]
    let listens = true;
    match std::net::SocketAddr::try_from(address) {
        Ok(_) if listens => Ok(()),
        Ok(_) | Err(_) => Err(io::Error::other("it is no listening TCP socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "looks whether it is still there")]
    fn nothing_is_touched_while_other_threads_run() {
        let (up, is_up) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            up.send(()).unwrap();
            let _ = ended.recv();
        });
        is_up.recv().unwrap();
        let before = std::env::var_os("PATH");
        let refused = forget_variables(&["PATH".to_owned()].into()).unwrap_err();
        assert_eq!(refused.to_string(), "other threads are running already");
        assert_eq!(std::env::var_os("PATH"), before);
        drop(end);
        other.join().unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn code_that_was_given_back_runs_again() {
        give_code_back();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let here = give_code_back as *const () as usize;
        assert!(code_around(here, &maps).is_some_and(|code| code.contains(&here)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_a_files_code_is_given_back() {
        let maps = "1000-2000 r--p 00000000 fe:00 7    /usr/bin/rota\n2000-5000 r-xp 00001000 fe:00 7    /usr/bin/rota\n\
                    5000-6000 rw-p 00004000 fe:00 7    /usr/bin/rota\n6000-7000 r-xp 00000000 00:00 0 \n\
                    7000-8000 rwxp 00000000 fe:00 7    /usr/bin/rota\n";
        assert_eq!(code_around(0x2000, maps), Some(0x2000..0x5000));
        assert_eq!(code_around(0x4fff, maps), Some(0x2000..0x5000));
        for other in [0x1000, 0x5000, 0x6000, 0x7000, 0x9000] {
            assert_eq!(code_around(other, maps), None, "{other:x}");
        }
        assert_eq!(code_around(0x2000, "no maps\n\n"), None);
    }

    #[test]
    fn work_comes_to_the_same_on_any_processor() {
        struct Sum<'a>(&'a [u8]);
        impl Wide for Sum<'_> {
            type Told = u64;

            #[inline(always)]
            fn run(self) -> u64 {
                self.0.iter().map(|byte| u64::from(*byte)).sum()
            }
        }
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(widely(Sum(&bytes)), Sum(&bytes).run());
    }

    #[test]
    fn no_name_is_no_work() {
        assert!(forget_variables(&BTreeSet::new()).is_ok());
        assert!(forget_variables(&[String::new(), "A=B".to_owned()].into()).is_ok());
    }
}
