//! A faithful fake of the APIs that rota fronts: OpenAI Responses and chat,
//! Anthropic Messages, Gemini, their usage pages and their token endpoints.
//! Accounts come from a [`Script`], failures from [`Fault`]s, and everything
//! that arrived can be read back from the [`Recorder`]. It keeps no secret of
//! anybody: every credential it knows was written into its script or minted by
//! itself. Nothing of rota lives here, and rota's own code may not lean on it
//! outside tests and the demonstration.
//!
//! ```
//! use fake_upstream::{Account, FakeUpstream, Fault, Script};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let script = Script::new()
//!     .account(Account::new("a").api_key("sk-a").quota(1))
//!     .account(Account::new("b").api_key("sk-b"));
//! let fake = FakeUpstream::start(script).await.unwrap();
//! fake.set_fault(Fault::named("claude_overloaded").path("/v1/messages").times(2));
//! // … send requests to `fake.origin()`, then:
//! assert_eq!(fake.accounts_served("/v1/responses"), Vec::<String>::new());
//! # });
//! ```

mod account;
mod ask;
mod assertions;
mod auth;
mod authorize;
mod body;
mod catalogue;
mod chat;
mod clock;
mod coding;
mod control;
mod conversation;
mod dates;
mod device;
mod errors;
mod event;
mod fault;
mod fault_table;
mod fault_words;
mod files;
mod frames;
mod gate;
mod gemini;
mod handler;
mod handshake;
mod hub;
mod ledger;
mod limits;
mod login;
mod messages;
mod models;
mod parameters;
mod payload;
mod recorder;
mod reply;
mod responses;
mod responses_input;
mod routes;
mod script;
mod seal;
mod serve;
mod server;
mod shape;
mod socket;
mod socket_turn;
mod thinking;
mod token;
mod upload;
mod upstream;
mod usage;
mod wire;
mod world;

pub use account::{AccessToken, Account, Quota, RefreshState, RefreshToken, TokenPolicy, Window};
pub use assertions::{Assertions, Rule, Stay, Violation};
pub use catalogue::names as catalogue_names;
pub use clock::Clock;
pub use coding::Coding;
pub use fault::{Action, Ending, Fault, Payload, When};
pub use gate::Gate;
pub use ledger::{Ledger, TokenUse};
pub use login::{Login, Vendor};
pub use recorder::{Outcome, Recorded, Recorder, Slot, Traffic};
pub use script::{BadScript, ClaudeUsage, DevicePolicy, Script, SocketPolicy, ToolCall};
pub use seal::fingerprint;
pub use server::Server;
pub use upstream::FakeUpstream;
