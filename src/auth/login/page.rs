use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// What a page may do: nothing. Neither scripts nor anything from elsewhere, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What the browser is shown when it comes back. None of it comes from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The person said no.
    Denied,
    /// rota has what it needs.
    Received,
    /// The provider gave no code.
    Refused,
    /// Not an answer to a sign-in that waits here.
    Unexpected,
    /// Another path, host or method.
    Nothing(StatusCode),
}

impl Page {
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Received => (
                StatusCode::OK,
                "rota has received the sign-in",
                "It is being finished now; the terminal or the dashboard says how it ended. You may close this window.",
            ),
            Self::Denied => (
                StatusCode::OK,
                "The sign-in was turned down",
                "Nothing was changed. You may close this window.",
            ),
            Self::Refused => (
                StatusCode::OK,
                "The provider gave no sign-in",
                "Nothing was changed; the terminal or the dashboard says why. You may close this window.",
            ),
            Self::Unexpected => (
                StatusCode::BAD_REQUEST,
                "This is not a sign-in that rota waits for",
                "Nothing was changed. Begin again with `rota login`, and use the address it shows.",
            ),
            Self::Nothing(status) => {
                (status, "There is nothing here", "rota waits for a sign-in, and for no more.")
            }
        }
    }

    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let (status, title, text) = self.words();
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}}</style>\
             </head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        );
        let mut response = Response::new(Full::from(html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
