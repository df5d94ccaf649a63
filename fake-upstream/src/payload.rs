//! How the bytes of a fault are written in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::fault::Payload;

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => json!({"base64": B64.encode(&self.0)}).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Value::String(text) = value {
            return Ok(Self(Bytes::from(text)));
        }
        let coded = value
            .as_object()
            .filter(|map| map.len() == 1)
            .and_then(|map| map.get("base64"))
            .and_then(Value::as_str);
        let Some(coded) = coded else {
            return Ok(Self(Bytes::from(value.to_string())));
        };
        let bytes = B64.decode(coded).map_err(|error| D::Error::custom(format!("base64: {error}")))?;
        Ok(Self(Bytes::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn a_payload_is_text_or_base64_or_json_itself() {
        let parsed = |text: &str| serde_json::from_str::<Payload>(text).map(|payload| payload.0);
        assert_eq!(parsed("\"hi\"").expect("text"), "hi");
        assert_eq!(parsed("{\"base64\":\"AP8=\"}").expect("base64"), &b"\x00\xff"[..]);
        assert_eq!(parsed("{\"error\":1}").expect("json"), "{\"error\":1}");
        assert!(parsed("{\"base64\":\"*\"}").is_err());
    }

    #[test]
    fn a_fault_survives_the_way_through_json() {
        let fault = Fault::reply(429, "{}")
            .header("retry-after", "5")
            .cut_body(3, crate::fault::Ending::Reset)
            .account("a")
            .once();
        let text = serde_json::to_string(&fault).expect("to json");
        assert_eq!(serde_json::from_str::<Fault>(&text).expect("from json"), fault);
        assert!(serde_json::from_str::<Fault>("{\"wehn\":{}}").is_err());
    }
}
