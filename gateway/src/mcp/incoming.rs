//! A message as it comes in: read for rmcp, with the arguments of a tool call to the letter, for rmcp's own reading
//! passes numbers through binary floats and keeps one of two fields of a name.

use rmcp::model::ClientJsonRpcMessage;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::rejection::{self, Rejection};

/// A message that is one.
pub struct Incoming {
    pub message: ClientJsonRpcMessage,
    /// As rmcp can read it.
    pub text: String,
    /// The arguments of a tool call, an object as it was written.
    pub arguments: Option<String>,
}

/// Reads a message. Arguments that are an object in one JSON string, as models' hosts pass them on, are that object.
pub fn read(text: String) -> Result<Incoming, Rejection> {
    let arguments = arguments(&text);
    let text = match &arguments {
        Some(Arguments { quoted: true, .. }) => without_arguments(&text).unwrap_or(text),
        _ => text,
    };
    let message = rejection::parse(&text)?;
    Ok(Incoming { message, text, arguments: arguments.map(|arguments| arguments.object) })
}

struct Arguments {
    object: String,
    quoted: bool,
}

fn arguments(text: &str) -> Option<Arguments> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: &'a RawValue,
    }
    let written = serde_json::from_str::<Message>(text).ok()?.params.arguments.get();
    if written.starts_with('{') {
        return Some(Arguments { object: written.to_owned(), quoted: false });
    }
    let said: String = serde_json::from_str(written).ok()?;
    let object = match said.trim() {
        "" => "{}".to_owned(),
        object => object.to_owned(),
    };
    let is_object = object.starts_with('{') && serde_json::from_str::<&RawValue>(&object).is_ok();
    is_object.then_some(Arguments { object, quoted: true })
}

fn without_arguments(text: &str) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    message.get_mut("params")?.as_object_mut()?.remove("arguments");
    Some(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &str) -> Incoming {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{arguments}}}}}"#
        );
        read(text).unwrap_or_else(|rejection| panic!("{arguments}: {rejection:?}"))
    }

    #[test]
    fn arguments_are_kept_to_the_letter() {
        let written = r#"{"amount":9007199254740993.0,"amount":1e3}"#;
        assert_eq!(call(written).arguments.as_deref(), Some(written));
        assert_eq!(call("null").arguments, None);
        let quoted = serde_json::to_string(written).unwrap();
        let incoming = call(&quoted);
        assert_eq!(incoming.arguments.as_deref(), Some(written));
        assert!(!incoming.text.contains("arguments"));
        assert_eq!(call("\" {} \"").arguments.as_deref(), Some("{}"));
        assert_eq!(call("\"\"").arguments.as_deref(), Some("{}"));
    }

    #[test]
    fn a_string_that_holds_no_object_stays_what_it_is() {
        for arguments in ["\"x\"", "\"[1]\"", "\"{\"", "\"7\"", "[1]"] {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{arguments}}}}}"#
            );
            let incoming = read(text.clone()).unwrap_or_else(|rejection| panic!("{rejection:?}"));
            assert_eq!((incoming.arguments, incoming.text), (None, text));
        }
    }
}
