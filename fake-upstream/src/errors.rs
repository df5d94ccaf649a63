//! Error bodies in the shape of each provider.

use serde_json::{Value, json};

use crate::reply::Reply;

/// `{"error":{message,type,param,code}}`, the OpenAI envelope.
pub(crate) fn openai(status: u16, code: &str, message: &str) -> Reply {
    let kind = match status {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    Reply::json(status, &json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
}

/// The same with the status repeated, as the ChatGPT backend does for 401.
pub(crate) fn chatgpt(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": null, "code": code, "param": null});
    Reply::json(status, &json!({"error": error, "status": status}))
}

/// `{"detail": …}`, the other shape of the ChatGPT backend.
pub(crate) fn detail(status: u16, detail: impl Into<Value>) -> Reply {
    Reply::json(status, &json!({ "detail": detail.into() }))
}

/// `{"type":"error","error":{type,message},"request_id"}`, the Anthropic envelope.
pub(crate) fn anthropic(status: u16, message: &str) -> Reply {
    let error = json!({"type": anthropic_type(status), "message": message});
    Reply::json(status, &json!({"type": "error", "error": error, "request_id": "req_fake"}))
}

/// The same with `error.details.error_code`.
pub(crate) fn anthropic_coded(status: u16, error_code: &str, message: &str) -> Reply {
    let details = json!({"error_code": error_code});
    let error = json!({"type": anthropic_type(status), "message": message, "details": details});
    Reply::json(status, &json!({"type": "error", "error": error, "request_id": "req_fake"}))
}

/// `{"error":{code,message,status,details}}`, the Google envelope.
pub(crate) fn google(status: u16, name: &str, message: &str, details: Value) -> Reply {
    Reply::json(
        status,
        &json!({"error": {"code": status, "message": message, "status": name, "details": details}}),
    )
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
