//! What the process gives up at its start, because its memory holds tokens.
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump is written, and no other process of the same user reads this one's memory or environment. Where the
/// kernel refuses, rota runs all the same; what is returned says what is weaker for it.
pub fn harden() -> Vec<String> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let core = setrlimit(Resource::Core, none).err();
    let memory = set_dumpable_behavior(DumpableBehavior::NotDumpable).err();
    let core = core.map(|error| format!("a crash could write tokens to a core dump: {error}"));
    let memory = memory.map(|error| format!("other processes of this user can read rota's memory: {error}"));
    core.into_iter().chain(memory).collect()
}
