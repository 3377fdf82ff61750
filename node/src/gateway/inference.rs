//! `POST /`: vectors of texts for Hugging Face's `InferenceClient`, which knows a server by its address alone.
//!
//! The client writes what text-embeddings-inference reads: `{"inputs": …}` to the very URL that it was given. So the
//! model stands in that URL (`http://127.0.0.1:4780/?model=PUBLISHER/NAME`), or is the only one that there is. What the
//! client says to a server that generates text is refused here: for text it knows the endpoint of OpenAI as well.

use axum::{body::Body, http::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use weft_protocol::infer::{Embed, Job, Text};

use super::{
    ask::{self, Fault},
    openai,
};
use crate::operations::Operations;

/// Texts of one request, as elsewhere on this port.
const INPUTS_MAX: usize = 2_048;

/// What stands behind the `?` of the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    model: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    inputs: Value,
    model: Option<String>,
    normalize: Option<bool>,
    truncate: Option<bool>,
    truncation_direction: Option<String>,
    prompt_name: Option<String>,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
    /// Of a request for text.
    parameters: Option<Value>,
    stream: Option<bool>,
}

/// The vectors of the texts, also where there is one text: a list of lists.
pub(super) async fn vectors(
    operations: &Operations,
    headers: &HeaderMap,
    address: Address,
    body: Body,
) -> Result<Value, Fault> {
    let request: Request = ask::read(body).await?;
    let inputs = inputs(&request)?;
    let name = address.model.or_else(|| request.model.clone());
    let name = name.unwrap_or_default();
    let found = ask::model(operations, &name).await;
    let model = found.map_err(|fault| match name.is_empty() {
        true => Fault::invalid(
            "not exactly one model is here: say which behind the address, /?model=PUBLISHER/NAME",
        )
        .at("model"),
        false => fault,
    })?;
    let job = Job::Embed(Embed {
        inputs,
        truncate: request.truncate.unwrap_or(false),
    });
    let question = ask::question(&model, job, ask::caller(headers), None);
    let (vectors, _) = ask::ask(operations, question).await?.vectors().await?;
    let vectors = vectors.into_iter().map(|vector| {
        let mut vector = openai::shorten(vector, request.dimensions)?;
        if request.normalize == Some(true) {
            openai::normalise(&mut vector);
        }
        Ok(Value::from(vector))
    });
    vectors.collect()
}

/// One text or several; whatever else is asked for is done or refused.
fn inputs(request: &Request) -> Result<Vec<Text>, Fault> {
    if request.parameters.is_some() || request.stream == Some(true) {
        let message = "this address makes vectors; for text, ask for a chat or at /v1/completions";
        return Err(Fault::unsupported(message));
    }
    let refusals = [
        (
            request.normalize == Some(false),
            "normalize",
            "vectors are as long as their model makes them",
        ),
        (
            request.prompt_name.is_some(),
            "prompt_name",
            "prompts by name are not supported; write them before the text",
        ),
        (
            (request.truncation_direction.as_ref())
                .is_some_and(|direction| direction.eq_ignore_ascii_case("left")),
            "truncation_direction",
            "texts are cut at their end",
        ),
        (
            request.encoding_format.as_deref() == Some("base64"),
            "encoding_format",
            "vectors come as numbers here, as base64 from /v1/embeddings",
        ),
    ];
    for (is_asked, field, message) in refusals {
        if is_asked {
            return Err(Fault::unsupported(message).at(field));
        }
    }
    let wrong = || Fault::invalid("`inputs` is neither text nor a list of texts").at("inputs");
    let list = match &request.inputs {
        Value::String(text) => return Ok(vec![Text::Plain(text.clone())]),
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(wrong()),
    };
    if list.len() > INPUTS_MAX {
        let message = format!("there are {} texts, more than {INPUTS_MAX}", list.len());
        return Err(Fault::invalid(message).at("inputs"));
    }
    let texts = list
        .iter()
        .map(|text| text.as_str().map(|text| Text::Plain(text.to_owned())));
    texts.collect::<Option<_>>().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(request: Value) -> Request {
        serde_json::from_value(request).unwrap()
    }

    fn read(text: Value) -> Result<Vec<Text>, Fault> {
        inputs(&request(text))
    }

    #[test]
    fn one_text_or_several_are_read() {
        let text = |text: &str| Text::Plain(text.to_owned());
        assert_eq!(read(json!({ "inputs": "a" })), Ok(vec![text("a")]));
        let several =
            json!({ "inputs": ["a", "b"], "truncate": true, "truncation_direction": "right" });
        assert_eq!(read(several), Ok(vec![text("a"), text("b")]));
        for bad in [
            json!(null),
            json!([]),
            json!([1]),
            json!({"source_sentence": "a"}),
        ] {
            assert!(read(json!({ "inputs": bad })).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (field, value) in [
            ("normalize", json!(false)),
            ("prompt_name", json!("query")),
            ("truncation_direction", json!("Left")),
            ("encoding_format", json!("base64")),
        ] {
            let fault = read(json!({ "inputs": "a", field: value })).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(field));
        }
        assert!(read(json!({ "inputs": "a", "parameters": {} })).is_err());
        assert!(read(json!({ "inputs": "a", "stream": true })).is_err());
    }
}
