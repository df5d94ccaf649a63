//! Nouns: what an account, a provider, a limit, a setting is. Plain values that the engine decides on; no I/O,
//! no clock, no lock, no logging, and nothing here knows how a value is stored or shown.
mod account;
mod audit;
mod breaker;
mod conversation;
mod credential;
mod fault;
mod few;
mod health;
mod ident;
mod index;
mod job;
mod key;
mod limits;
mod login;
mod marker;
mod provider;
mod rule;
mod secret;
mod session;
mod settings;
mod snapshot;
mod time;
mod token;
mod usage;

pub use account::{Account, Actor, Switch, Weight};
pub use audit::{AuditAction, AuditEntry, AuditTrail, Note};
pub use breaker::{Breaker, BreakerState};
pub use conversation::{
    Conversation, EventRules, InnerField, LimitEvent, LostReply, OnOwnerLost, SessionField,
};
pub use credential::{Credential, CredentialKind, CredentialState, Identity, Renewal};
pub use fault::{FaultClass, Reason, Scope};
pub use few::Few;
pub use health::{Cooling, CoolingSource, Health};
pub use ident::{AccountId, Alias, BadIdent, KeyName, ModelName, ProviderId, RequestId};
pub use index::{Index, May, Roster, Standing};
pub use job::JobState;
pub use key::{Beyond, ClientKey, KeyDigest, KeyPath, KeyScope};
pub use limits::{LimitSample, LimitSource, LimitStatus, LimitWindow, Limits};
pub use login::{BrowserFlow, DeviceFlow, Endpoint, LoginFlows, Loopback};
pub use marker::{MarkerClass, MarkerEnding, MarkerField, MarkerFields, MarkerKey, RarePair};
pub use provider::{
    Dialect, HeaderField, HeaderTemplate, Injection, LimitHeaders, Measure, Origin, PathMap, Provider,
    ResetFormat, Route,
};
pub use rule::{Clamp, CooldownSource, HeaderMatch, HeaderTest, PrefixMatch, Rule, StatusSet};
pub use secret::{BadToken, Secret};
pub use session::SessionKey;
pub use settings::{Affinity, Effort, Force, ModelProbes, Preset, Probing, Settings, Strategy, Thresholds};
pub use snapshot::{NO_BREAKER, Snapshot};
pub use time::Time;
pub use token::{AliasText, Grant, Param, TokenCommand, TokenEndpoint, TokenFormat, TokenSource};
pub use usage::{ModelProbe, UsageEndpoint, UsageMeasure, UsageWindow};
