use crate::config::Webhook;
use crate::upstream::{Connector, Failure, Upstream, failure, target};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// For the address to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Posts events.
pub(super) struct WebhookClient {
    client: Client<Connector, Full<Bytes>>,
}

impl WebhookClient {
    /// Connects as `upstream` does.
    pub(super) fn like(upstream: &Upstream) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_max_idle_per_host(0)
            .build(upstream.connector());
        Self { client }
    }

    /// Posts `json` once. Only the status of the answer is looked at; a redirect is not followed. The error names the
    /// host and not the rest of the address, which may hold a key.
    pub(super) async fn post(&self, webhook: &Webhook, json: String) -> Result<(), String> {
        let origin = webhook.origin();
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            target(origin, webhook.path().clone()).map_err(|_| format!("{origin} cannot be called"))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(reply)) if reply.status().is_success() => Ok(()),
            Ok(Ok(reply)) => Err(format!("{origin} answered {}", reply.status().as_u16())),
            Ok(Err(error)) => Err(match failure(&error) {
                Failure::Lost(why) | Failure::NotSent(_, why) | Failure::Unprocessed(why) => {
                    format!("{origin}: {why}")
                }
            }),
            Err(_) => Err(format!("{origin} did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}
