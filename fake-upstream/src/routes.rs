//! Which endpoint a path names. Paths are exact, so that a proxy that doubles
//! or drops a prefix gets the 404 that the real service would give.

use http::Method;

use crate::login::Vendor;

/// Prefixes under which OpenAI-compatible endpoints are served: as in
/// `OPENAI_BASE_URL` with and without `/v1`, and as OpenRouter does.
const OPENAI_PREFIXES: [&str; 3] = ["/v1", "/api/v1", ""];
const CODEX_PREFIX: &str = "/backend-api/codex";
const GEMINI_PREFIXES: [&str; 2] = ["/v1beta", "/v1alpha"];

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Behind the check of a credential.
    Api(Api),
    /// Open to everybody.
    Door(Door),
}

/// An endpoint that wants a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    ClaudeProfile,
    ClaudeUsage,
    CodexUsage,
    Compact(Provider),
    ContainerCreate,
    CountTokens,
    Embeddings,
    FileUpload,
    FileOf(String),
    Gemini {
        model: String,
        verb: Verb,
    },
    Messages,
    Models(Provider),
    ResetCredit,
    Responses(Provider),
    /// The handshake of a WebSocket.
    Socket(Provider),
}

/// An endpoint that wants none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Authorize,
    DeviceAuthorization,
    DeviceCode,
    DevicePage,
    DeviceToken,
    /// A handshake where there are no WebSockets.
    NoSocket,
    PastePage,
    Probe,
    Revoke,
    Token(Vendor),
    Unknown,
}

/// Whose rules for credentials, errors and limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Anthropic,
    ChatGpt,
    Gemini,
    OpenAi,
}

/// What is asked of a Gemini model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Count,
    Generate,
    Stream,
}

impl Route {
    /// Where a method and path lead; `anthropic` says that the request has the
    /// `anthropic-version` header, which tells the two `/v1/models`.
    pub(crate) fn of(method: &Method, path: &str, anthropic: bool) -> Self {
        match Door::of(method, path) {
            Some(door) => Self::Door(door),
            None => Api::of(method, path, anthropic).map_or(Self::Door(Door::Unknown), Self::Api),
        }
    }

    /// Where the handshake of a WebSocket leads: to the path of a Responses
    /// endpoint, and nowhere else.
    pub(crate) fn of_handshake(method: &Method, path: &str) -> Self {
        match (method, Self::of(&Method::POST, path, false)) {
            (&Method::GET, Self::Api(Api::Responses(provider))) => Self::Api(Api::Socket(provider)),
            _ => Self::Door(Door::NoSocket),
        }
    }

    /// Whose rules hold there.
    pub(crate) fn provider(&self) -> Option<Provider> {
        match self {
            Self::Api(api) => Some(api.provider()),
            Self::Door(_) => None,
        }
    }
}

impl Door {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let get = *method == Method::GET;
        let post = *method == Method::POST;
        match path {
            "/" if get || *method == Method::HEAD => Some(Self::Probe),
            "/oauth/authorize" if get => Some(Self::Authorize),
            "/oauth/token" if post => Some(Self::Token(Vendor::OpenAi)),
            "/v1/oauth/token" if post => Some(Self::Token(Vendor::Anthropic)),
            "/token" if post => Some(Self::Token(Vendor::Generic)),
            "/oauth/revoke" if post => Some(Self::Revoke),
            "/oauth/code/callback" if get => Some(Self::PastePage),
            "/oauth/device/code" if post => Some(Self::DeviceAuthorization),
            "/device" if get => Some(Self::DevicePage),
            "/api/accounts/deviceauth/usercode" if post => Some(Self::DeviceCode),
            "/api/accounts/deviceauth/token" if post => Some(Self::DeviceToken),
            _ => None,
        }
    }
}

impl Api {
    fn of(method: &Method, path: &str, anthropic: bool) -> Option<Self> {
        let get = *method == Method::GET;
        let post = *method == Method::POST;
        match path {
            "/backend-api/wham/usage" | "/api/codex/usage" if get => Some(Self::CodexUsage),
            "/backend-api/wham/rate-limit-reset-credits/consume" if post => Some(Self::ResetCredit),
            "/api/oauth/usage" if get => Some(Self::ClaudeUsage),
            "/api/oauth/profile" if get => Some(Self::ClaudeProfile),
            "/v1/messages" if post => Some(Self::Messages),
            "/v1/messages/count_tokens" if post => Some(Self::CountTokens),
            "/v1/models" if get && anthropic => Some(Self::Models(Provider::Anthropic)),
            "/v1/containers" if post => Some(Self::ContainerCreate),
            "/v1/files" if post => Some(Self::FileUpload),
            _ => Self::by_prefix(method, path),
        }
    }

    fn by_prefix(method: &Method, path: &str) -> Option<Self> {
        if let Some(id) = path.strip_prefix("/v1/files/") {
            let known = *method == Method::GET || *method == Method::DELETE;
            return (known && !id.contains('/')).then(|| Self::FileOf(id.to_owned()));
        }
        if let Some(rest) = path.strip_prefix(CODEX_PREFIX) {
            return Self::openai(method, rest, Provider::ChatGpt);
        }
        if let Some(rest) = GEMINI_PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)) {
            return Self::gemini(method, rest);
        }
        OPENAI_PREFIXES
            .iter()
            .filter_map(|prefix| path.strip_prefix(prefix))
            .find_map(|rest| Self::openai(method, rest, Provider::OpenAi))
    }

    fn openai(method: &Method, rest: &str, provider: Provider) -> Option<Self> {
        let post = *method == Method::POST;
        match rest {
            "/responses" if post => Some(Self::Responses(provider)),
            "/responses/compact" if post => Some(Self::Compact(provider)),
            "/models" if *method == Method::GET => Some(Self::Models(provider)),
            "/chat/completions" if post && provider == Provider::OpenAi => Some(Self::Chat),
            "/embeddings" if post && provider == Provider::OpenAi => Some(Self::Embeddings),
            _ => None,
        }
    }

    fn gemini(method: &Method, rest: &str) -> Option<Self> {
        if rest == "/models" && *method == Method::GET {
            return Some(Self::Models(Provider::Gemini));
        }
        let (model, verb) = rest.strip_prefix("/models/")?.split_once(':')?;
        let verb = match verb {
            "countTokens" => Verb::Count,
            "generateContent" => Verb::Generate,
            "streamGenerateContent" => Verb::Stream,
            _ => return None,
        };
        (*method == Method::POST).then(|| Self::Gemini { model: model.to_owned(), verb })
    }

    /// Whose credential the endpoint wants.
    pub(crate) fn provider(&self) -> Provider {
        match self {
            Self::Chat | Self::ContainerCreate | Self::Embeddings | Self::FileOf(_) | Self::FileUpload => {
                Provider::OpenAi
            }
            Self::ClaudeProfile | Self::ClaudeUsage | Self::CountTokens | Self::Messages => {
                Provider::Anthropic
            }
            Self::CodexUsage | Self::ResetCredit => Provider::ChatGpt,
            Self::Compact(provider)
            | Self::Models(provider)
            | Self::Responses(provider)
            | Self::Socket(provider) => *provider,
            Self::Gemini { .. } => Provider::Gemini,
        }
    }

    /// Whether a request to it spends quota.
    pub(crate) fn is_metered(&self) -> bool {
        match self {
            Self::Chat | Self::Compact(_) | Self::Embeddings | Self::Messages | Self::Responses(_) => true,
            Self::Gemini { verb, .. } => *verb != Verb::Count,
            Self::ClaudeProfile
            | Self::ClaudeUsage
            | Self::CodexUsage
            | Self::ContainerCreate
            | Self::CountTokens
            | Self::FileOf(_)
            | Self::FileUpload
            | Self::Models(_)
            | Self::ResetCredit
            | Self::Socket(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_endpoints_and_nothing_else_does() {
        let of = |method: &Method, path| Route::of(method, path, false);
        let gemini = |verb| Route::Api(Api::Gemini { model: "gemini-2.5-pro".into(), verb });
        let unknown = Route::Door(Door::Unknown);
        let rows = [
            ("/v1/responses", Route::Api(Api::Responses(Provider::OpenAi))),
            ("/responses", Route::Api(Api::Responses(Provider::OpenAi))),
            ("/backend-api/codex/responses", Route::Api(Api::Responses(Provider::ChatGpt))),
            ("/api/v1/chat/completions", Route::Api(Api::Chat)),
            ("/v1/messages", Route::Api(Api::Messages)),
            ("/v1/files", Route::Api(Api::FileUpload)),
            ("/v1/oauth/token", Route::Door(Door::Token(Vendor::Anthropic))),
            ("/v1beta/models/gemini-2.5-pro:generateContent", gemini(Verb::Generate)),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", gemini(Verb::Stream)),
            ("/v1/v1/responses", unknown.clone()),
            ("/openai/v1/responses", unknown.clone()),
            ("/messages", unknown.clone()),
            ("/backend-api/codex/chat/completions", unknown.clone()),
            ("/v1beta/models/gemini-2.5-pro", unknown.clone()),
        ];
        for (path, route) in rows {
            assert_eq!(of(&Method::POST, path), route, "{path}");
            assert_eq!(of(&Method::GET, path), unknown, "GET {path}");
        }
        assert_eq!(Route::of(&Method::GET, "/v1/models", true), Route::Api(Api::Models(Provider::Anthropic)));
        let handshake = |path| Route::of_handshake(&Method::GET, path);
        assert_eq!(handshake("/v1/responses"), Route::Api(Api::Socket(Provider::OpenAi)));
        assert_eq!(handshake("/backend-api/codex/responses"), Route::Api(Api::Socket(Provider::ChatGpt)));
        assert_eq!(handshake("/v1/messages"), Route::Door(Door::NoSocket));
        assert_eq!(Route::of_handshake(&Method::POST, "/v1/responses"), Route::Door(Door::NoSocket));
        assert_eq!(of(&Method::GET, "/models"), Route::Api(Api::Models(Provider::OpenAi)));
        assert_eq!(of(&Method::GET, "/v1/files/file-1"), Route::Api(Api::FileOf("file-1".into())));
    }
}
