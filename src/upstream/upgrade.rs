//! A request that asks the upstream to leave HTTP (RFC 9110 §7.8), on a connection of its own.
use super::connect::Connector;
use super::outbound::OutboundBody;
use super::{HEAD_BYTES, OutboundRequest, Sent, Upstream};
use crate::engine::Phase;
use crate::model::{Credential, Provider};
use http::{StatusCode, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;

/// The longest a server takes to say whether it will: no model thinks before that.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of it.
pub enum Upgrade {
    /// The connection is ours, and speaks what was asked for.
    Done(response::Parts, TokioIo<Upgraded>),
    /// It was not granted, or not even asked for.
    Not(Sent),
}

impl Upstream {
    /// As [`send`](Self::send), for a request whose headers ask for an upgrade.
    pub async fn upgrade(
        &self,
        provider: &Provider,
        credential: &Credential,
        request: OutboundRequest,
    ) -> Upgrade {
        let patience = self.first_byte.min(PATIENCE);
        let sent = self.transmit(&self.upgrading, patience, provider, credential, request).await;
        let Sent::Replied(mut reply) = sent else {
            return Upgrade::Not(sent);
        };
        if reply.head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Upgrade::Not(Sent::Replied(reply));
        }
        let Some(granted) = reply.head.extensions.remove::<OnUpgrade>() else {
            return lost();
        };
        match granted.await {
            Ok(connection) => Upgrade::Done(reply.head, TokioIo::new(connection)),
            Err(_) => lost(),
        }
    }
}

fn lost() -> Upgrade {
    Upgrade::Not(Sent::Lost(Phase::Head, "the connection was lost as it changed its protocol".into()))
}

/// Keeps no connection: each belongs to one conversation.
pub(super) fn client(connector: Connector) -> Client<Connector, OutboundBody> {
    Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(HEAD_BYTES as usize)
        .timer(TokioTimer::new())
        .build(connector)
}
