//! The dashboard: files that are compiled in and served as they are. They hold nothing of anybody's, so they need no
//! token; what they show comes from the API, which does. Nothing here is made at run time, and no build step makes them.
use super::{ApiError, error};
use async_compression::tokio::write::GzipEncoder;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Uri};
use tokio::io::AsyncWriteExt;

/// Everything from this origin and nothing else; no inline script or style, no string becomes a node, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of `src/admin/ui/`.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// The entries of [`FILES`], each read when rota is built.
macro_rules! files {
    ($($kind:ident $name:literal),* $(,)?) => {
        &[$(File { name: $name, kind: $kind, bytes: include_bytes!(concat!("ui/", $name)) }),*]
    };
}

/// All there are; a test compares them with the folder.
const FILES: &[File] = files![
    HTML "index.html",
    CSS "style.css",
    SVG "icon.svg",
    JS "account.js",
    JS "accounts.js",
    JS "act.js",
    JS "add.js",
    JS "api.js",
    JS "chart.js",
    JS "connect.js",
    JS "decisions.js",
    JS "dom.js",
    JS "force.js",
    JS "handover.js",
    JS "limits.js",
    JS "live.js",
    JS "main.js",
    JS "overview.js",
    JS "privacy.js",
    JS "quotas.js",
    JS "sessions.js",
    JS "settings.js",
    JS "signin.js",
    JS "words.js",
    JS "world.js",
];

/// What `/` serves.
const INDEX: &str = "index.html";

/// `GET /`
pub(super) async fn index(uri: Uri, asked: HeaderMap) -> Result<Response, ApiError> {
    serve(INDEX, uri, &asked).await
}

/// `GET /ui/{name}`
pub(super) async fn file(Path(name): Path<String>, uri: Uri, asked: HeaderMap) -> Result<Response, ApiError> {
    serve(&name, uri, &asked).await
}

async fn serve(name: &str, uri: Uri, asked: &HeaderMap) -> Result<Response, ApiError> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Err(error::no_endpoint(uri).await);
    };
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (CACHE_CONTROL, HeaderValue::from_static(kept(file))),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ]);
    if is_document(file) {
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }
    if takes_gzip(asked)
        && let Ok(packed) = gzip(file.bytes).await
    {
        return Ok((headers, [(CONTENT_ENCODING, "gzip")], packed).into_response());
    }
    Ok((headers, file.bytes).into_response())
}

/// Whether a browser shows the file as a page: those bring the policy that all they load is under. With a script or a style
/// it would say nothing, and would be a fifth of what is sent.
fn is_document(file: &File) -> bool {
    matches!(file.kind, HTML | SVG)
}

/// How long a browser keeps a file. The next version of rota may have other files under the same names; the icon alone is
/// kept, because browsers ask for it at every step.
fn kept(file: &File) -> &'static str {
    match file.kind {
        SVG => "max-age=86400",
        _ => "no-store",
    }
}

/// Every browser does, without a weight; whoever says more than its name is served plainly.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let codings = asked.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    codings.split(',').any(|coding| coding.trim() == "gzip")
}

/// A few KiB, packed in less than a millisecond: nothing worth keeping.
async fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = GzipEncoder::new(Vec::new());
    packer.write_all(bytes).await?;
    packer.shutdown().await?;
    Ok(packer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::collections::BTreeSet;

    /// What a browser fetches to show every view once.
    const MOST_BYTES: usize = 60 * 1024;

    #[tokio::test]
    async fn every_file_of_the_folder_is_served_and_all_of_them_are_small() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/ui");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there, served);
        let mut bytes = 0;
        for file in FILES {
            bytes += gzip(file.bytes).await.expect(file.name).len();
        }
        assert!(bytes <= MOST_BYTES, "the dashboard has {bytes} bytes, where {MOST_BYTES} may be");
    }

    #[tokio::test]
    async fn each_file_has_its_type_and_each_document_the_policy() {
        for known in FILES {
            let path = format!("/ui/{}", known.name);
            let response = serve(known.name, path.parse().expect("a URI"), &HeaderMap::new()).await;
            let response = response.expect(known.name);
            let header =
                |name: HeaderName| response.headers().get(name).map(|value| value.to_str().expect("text"));
            let end = known.name.rsplit('.').next().expect("an ending");
            let (kind, document) = match end {
                "css" => ("text/css; charset=utf-8", false),
                "html" => ("text/html; charset=utf-8", true),
                "js" => ("text/javascript; charset=utf-8", false),
                "svg" => ("image/svg+xml", true),
                other => panic!("no type is known for .{other}"),
            };
            assert_eq!(header(CONTENT_TYPE), Some(kind), "{}", known.name);
            assert_eq!(header(X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
            assert_eq!(header(OPENER_POLICY), document.then_some("same-origin"), "{}", known.name);
            let policy = header(CONTENT_SECURITY_POLICY).map(str::to_owned);
            assert_eq!(policy.is_some(), document, "{}", known.name);
            for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.as_ref().is_none_or(|policy| policy.contains(directive)), "{policy:?}");
            }
            assert!(policy.is_none_or(|policy| !policy.contains("unsafe")));
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, known.bytes, "{}", known.name);
        }
    }

    #[tokio::test]
    async fn who_takes_gzip_is_given_the_same_file_packed() {
        for (codings, packed) in
            [("gzip, deflate, br", true), ("br,gzip", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            let asked = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(codings))]);
            let served = serve(INDEX, "/".parse().expect("a URI"), &asked).await.expect("the page");
            assert_eq!(served.headers().contains_key(CONTENT_ENCODING), packed, "{codings}");
            let body = served.into_body().collect().await.expect("a body").to_bytes();
            let mut plain = body.to_vec();
            if packed {
                let mut reader = async_compression::tokio::bufread::GzipDecoder::new(&body[..]);
                plain.clear();
                tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut plain).await.expect("gzip");
            }
            let index = FILES.iter().find(|file| file.name == INDEX).expect("the page");
            assert_eq!(plain, index.bytes, "{codings}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_typed_404() {
        for name in ["nothing.js", "", "../ui.rs", "index.html/"] {
            let answer = serve(name, "/ui/x".parse().expect("a URI"), &HeaderMap::new()).await;
            let response = answer.expect_err(name).into_response();
            assert_eq!(response.status(), 404, "{name}");
        }
    }

    /// L8, I11: no way from a string to a script or a node, and no address but this server's own.
    #[test]
    fn the_scripts_hold_no_way_from_text_to_markup() {
        for file in FILES.iter().filter(|file| file.kind == JS || file.kind == HTML) {
            let text = std::str::from_utf8(file.bytes).expect("UTF-8");
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "localStorage.setItem('rota.token",
            ] {
                assert!(!text.contains(banned), "{} holds {banned}", file.name);
            }
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("://"), "{} names an address", file.name);
        }
    }
}
