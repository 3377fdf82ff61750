//! `POST /v1/embeddings`.

use axum::{body::Body, http::HeaderMap};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::infer::{Embed, Job, Text};

use super::{
    completions::token_ids,
    reply::{Answer, ok},
};
use crate::{
    gateway::ask::{self, Fault},
    operations::Operations,
};

/// Texts of one request, as the API documents it.
const INPUTS_MAX: usize = 2_048;

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    input: Value,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

pub(super) async fn answer(operations: &Operations, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let is_base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let message = format!("`encoding_format` is `{other}`, neither float nor base64");
            return Err(Fault::invalid(message).at("encoding_format"));
        }
    };
    let inputs = inputs(&request.input)?;
    let name = request.model.unwrap_or_default();
    let model = ask::model(operations, &name).await?;
    let job = Job::Embed(Embed {
        inputs,
        truncate: false,
    });
    let question = ask::question(&model, job, ask::caller(headers), None);
    let (vectors, tokens) = ask::ask(operations, question).await?.vectors().await?;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| {
        let vector = shorten(vector, request.dimensions)?;
        let embedding = if is_base64 {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            BASE64.encode(&bytes).into()
        } else {
            Value::from(vector)
        };
        Ok(json!({ "object": "embedding", "index": index, "embedding": embedding }))
    });
    let data: Vec<Value> = data.collect::<Result<_, Fault>>()?;
    Ok(ok(json!({
        "object": "list",
        "data": data,
        "model": name,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

/// One text or several, as text or as token ids.
fn inputs(value: &Value) -> Result<Vec<Text>, Fault> {
    let wrong = || {
        Fault::invalid("`input` is neither text, nor token ids, nor a list of those").at("input")
    };
    let list = match value {
        Value::String(text) => return Ok(vec![Text::Plain(text.clone())]),
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(wrong()),
    };
    if list.iter().all(Value::is_number) {
        return Ok(vec![Text::Tokens(token_ids(list).ok_or_else(wrong)?)]);
    }
    if list.len() > INPUTS_MAX {
        let message = format!("there are {} texts, more than {INPUTS_MAX}", list.len());
        return Err(Fault::invalid(message).at("input"));
    }
    let inputs = list.iter().map(|one| match one {
        Value::String(text) => Some(Text::Plain(text.clone())),
        Value::Array(ids) => Some(Text::Tokens(token_ids(ids)?)),
        _ => None,
    });
    inputs.collect::<Option<_>>().ok_or_else(wrong)
}

/// The first dimensions only, at unit length again.
pub(in crate::gateway) fn shorten(
    mut vector: Vec<f32>,
    dimensions: Option<usize>,
) -> Result<Vec<f32>, Fault> {
    let Some(dimensions) = dimensions.filter(|dimensions| *dimensions != vector.len()) else {
        return Ok(vector);
    };
    if !(1..vector.len()).contains(&dimensions) {
        let message = format!(
            "`dimensions` is {dimensions}, not between 1 and {}",
            vector.len()
        );
        return Err(Fault::invalid(message).at("dimensions"));
    }
    vector.truncate(dimensions);
    normalise(&mut vector);
    Ok(vector)
}

/// Brings a vector to unit length.
pub(in crate::gateway) fn normalise(vector: &mut [f32]) {
    let len = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if len > 0.0 {
        vector.iter_mut().for_each(|value| *value /= len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_come_in_four_forms() {
        let text = |text: &str| Text::Plain(text.to_owned());
        assert_eq!(inputs(&json!("a")), Ok(vec![text("a")]));
        assert_eq!(inputs(&json!(["a", ""])), Ok(vec![text("a"), text("")]));
        assert_eq!(inputs(&json!([1, 2])), Ok(vec![Text::Tokens(vec![1, 2])]));
        assert_eq!(inputs(&json!([[1], [2]])).map(|all| all.len()), Ok(2));
        for bad in [json!(null), json!([]), json!([true]), json!(7)] {
            assert!(inputs(&bad).is_err(), "{bad}");
        }
        assert!(inputs(&vec!["a"; INPUTS_MAX + 1].into()).is_err());
    }

    #[test]
    fn shorter_vectors_have_unit_length() {
        assert_eq!(shorten(vec![3.0, 4.0, 5.0], Some(2)), Ok(vec![0.6, 0.8]));
        assert_eq!(shorten(vec![3.0], Some(1)), Ok(vec![3.0]));
        assert!(shorten(vec![3.0], Some(2)).is_err());
        assert!(shorten(vec![3.0, 4.0], Some(0)).is_err());
    }
}
