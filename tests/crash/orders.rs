//! What a process of the harness is told, and the marks by which `strace` sees where its work begins and ends.

/// Asked for at the beginning of the work.
pub(crate) const BEGIN: &str = "/rota-crash-begin";
/// Asked for at its end.
pub(crate) const END: &str = "/rota-crash-end";

/// What this process is to do, and where or how, if it is a driver.
#[expect(clippy::disallowed_methods, reason = "orders of the harness to its own child")]
pub(crate) fn orders() -> Option<(String, String)> {
    let orders = std::env::var("ROTA_CRASH_DRIVER").ok()?;
    let (name, how) = orders.split_once(':')?;
    Some((name.to_owned(), how.to_owned()))
}
