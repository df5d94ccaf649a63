//! What rota costs, measured beside its peers: a mock upstream and a load that are much faster than any proxy, a bare
//! and a raw forwarder as floors, and a runner that visits the proxies in turn. docs/PERFORMANCE.md tells what comes of it.
//!
//! Nothing here may lean on rota's own proxy code, or a mistake would be measured against itself; only `engine_loop`
//! uses the library, because the engine's functions are what it counts.
pub mod admin;
pub mod baseline;
pub mod callgrind;
pub mod clock;
pub mod counts;
pub mod engine_loop;
pub mod floor;
pub mod load;
pub mod loading;
pub mod process;
pub mod proxies;
pub mod raw;
pub mod report;
pub mod rows;
pub mod run;
pub mod stats;
pub mod upstream;
pub mod whole;
pub mod wire;
