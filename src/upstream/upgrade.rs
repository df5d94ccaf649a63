//! A request that asks the upstream to leave HTTP (RFC 9110 §7.8), on a connection of its own.
use super::connect::Connector;
use super::fault::of_exchange;
use super::outbound::OutboundBody;
use super::source::Source;
use super::{
    Failure, HEAD_BYTES, OutboundRequest, Sent, Upstream, dress, no_connection, origin_form, streamed,
};
use crate::engine::Phase;
use crate::model::{Credential, Origin, Provider};
use http::{Request, StatusCode, response};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::pin::pin;
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
        let upload = request.body.progress();
        let request = match dress(provider, credential, request) {
            Ok(request) => origin_form(request, &provider.origin),
            Err(why) => return Upgrade::Not(Sent::NotSent(Phase::Connect, why)),
        };
        let exchange = pin!(exchange(self.upgrading.clone(), &provider.origin, request));
        let sent = self.answered(exchange, self.first_byte.min(PATIENCE), upload).await;
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

/// Over a connection of its own, which belongs to one conversation and has a task of its own.
async fn exchange(
    connector: Connector,
    origin: &Origin,
    request: Request<OutboundBody>,
) -> Result<(response::Parts, Source), Failure> {
    let stream = connector.open(origin).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES as usize).writev(false);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(|_| no_connection())?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(|error| of_exchange(&error))?;
    streamed(response)
}
