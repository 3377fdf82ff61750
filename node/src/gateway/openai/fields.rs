//! Fields that requests for text share, read strictly and brought into the terms of a job.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use weft_protocol::{
    infer::{Constraint, Real, Sampling},
    limits,
};

use crate::{config::KeepAlive, gateway::ask::Fault, infer::Keep};

/// Answers to one prompt at most.
pub(super) const ANSWERS_MAX: u32 = 16;
/// Texts that end an answer at most.
const STOPS_MAX: usize = 16;
/// Tokens that are biased at most.
const BIASES_MAX: usize = limits::LOGIT_BIAS_MAX;

/// How an answer shall be drawn. `null` is as good as absent everywhere.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<u32>,
    pub(super) min_p: Option<f32>,
    pub(super) repetition_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) logit_bias: Option<BTreeMap<String, f32>>,
    pub(super) seed: Option<i64>,
    pub(super) stop: Option<Value>,
    pub(super) n: Option<u32>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) keep_alive: Option<Value>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

impl Fields {
    /// Whether the answer comes in parts.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether the last part tells what it took.
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    /// How many answers.
    pub(super) fn answers(&self) -> Result<u32, Fault> {
        let n = self.n.unwrap_or(1);
        if (1..=ANSWERS_MAX).contains(&n) {
            return Ok(n);
        }
        Err(Fault::invalid(format!("`n` is {n}, not between 1 and {ANSWERS_MAX}")).at("n"))
    }

    /// How tokens are drawn.
    pub(super) fn sampling(&self) -> Result<Sampling, Fault> {
        let range = |name: &'static str, value: Option<f32>, usual, low, high| {
            let value = value.unwrap_or(usual);
            if (low..=high).contains(&value) {
                return Ok(Real::new(value));
            }
            let message = format!("`{name}` is {value}, not between {low} and {high}");
            Err(Fault::invalid(message).at(name))
        };
        let logit_bias = self.logit_bias.iter().flatten().map(|(token, bias)| {
            let token = token.parse().map_err(|_| {
                Fault::invalid(format!("`{token}` is not a token id")).at("logit_bias")
            })?;
            Ok::<_, Fault>((token, range("logit_bias", Some(*bias), 0.0, -100.0, 100.0)?))
        });
        let logit_bias: Vec<(u32, Real)> = logit_bias.collect::<Result<_, Fault>>()?;
        if logit_bias.len() > BIASES_MAX {
            let message = format!("more than {BIASES_MAX} tokens are biased");
            return Err(Fault::invalid(message).at("logit_bias"));
        }
        Ok(Sampling {
            temperature: range("temperature", self.temperature, 1.0, 0.0, 2.0)?,
            top_k: self.top_k.unwrap_or(0),
            top_p: range("top_p", self.top_p, 1.0, 0.0, 1.0)?,
            min_p: range("min_p", self.min_p, 0.0, 0.0, 1.0)?,
            repetition_penalty: range(
                "repetition_penalty",
                self.repetition_penalty,
                1.0,
                0.01,
                10.0,
            )?,
            presence_penalty: range("presence_penalty", self.presence_penalty, 0.0, -2.0, 2.0)?,
            frequency_penalty: range("frequency_penalty", self.frequency_penalty, 0.0, -2.0, 2.0)?,
            logit_bias,
            seed: self
                .seed
                .map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
            ..Sampling::greedy()
        })
    }

    /// Texts that end the answer.
    pub(super) fn stops(&self) -> Result<Vec<String>, Fault> {
        stops(self.stop.as_ref())
    }

    /// How long the model stays afterwards: Ollama's field, understood here too.
    pub(super) fn keep(&self) -> Result<Option<Keep>, Fault> {
        keep(self.keep_alive.as_ref())
    }
}

/// Reads one text or a list of them.
pub(in crate::gateway) fn stops(stop: Option<&Value>) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::invalid("`stop` is neither text nor a list of texts").at("stop");
    let stops: Vec<String> = match stop {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(stops)) => {
            let texts = stops.iter().map(|stop| stop.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong)?
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(wrong()),
    };
    if stops.len() > STOPS_MAX {
        let message = format!(
            "there are {} stop texts, more than {STOPS_MAX}",
            stops.len()
        );
        return Err(Fault::invalid(message).at("stop"));
    }
    Ok(stops.into_iter().filter(|stop| !stop.is_empty()).collect())
}

/// Reads a time that a model stays: `5m`, seconds, or a negative number.
pub(in crate::gateway) fn keep(value: Option<&Value>) -> Result<Option<Keep>, Fault> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(Fault::invalid("`keep_alive` is not a time").at("keep_alive"));
        }
    };
    let keep: KeepAlive = text
        .parse()
        .map_err(|error: String| Fault::invalid(error).at("keep_alive"))?;
    Ok(Some(keep.0))
}

/// What the answer has to be.
pub(super) fn constraint(format: Option<&Value>) -> Result<Option<Constraint>, Fault> {
    let Some(format) = format.filter(|format| !format.is_null()) else {
        return Ok(None);
    };
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Constraint::Json)),
        Some("json_schema") => match &format["json_schema"]["schema"] {
            schema @ Value::Object(_) => Ok(Some(Constraint::Schema(schema.to_string()))),
            _ => Err(Fault::invalid("there is no schema").at("response_format.json_schema.schema")),
        },
        _ => {
            let message = "`response_format.type` is none of text, json_object and json_schema";
            Err(Fault::invalid(message).at("response_format.type"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nulls_are_as_good_as_absent() {
        let fields = fields(json!({
            "temperature": null, "top_p": null, "stop": null, "seed": null, "n": null,
            "logit_bias": null, "stream": null, "stream_options": null, "user": "x",
        }));
        assert_eq!(fields.sampling().unwrap().temperature, Real::new(1.0));
        assert_eq!(fields.answers(), Ok(1));
        assert_eq!(fields.stops(), Ok(Vec::new()));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for (value, param) in [
            (json!({"temperature": 3}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"presence_penalty": 5}), "presence_penalty"),
            (json!({"logit_bias": {"x": 1}}), "logit_bias"),
            (json!({"logit_bias": {"1": 101}}), "logit_bias"),
        ] {
            let fault = fields(value).sampling().unwrap_err();
            assert_eq!((fault.status, fault.param.as_deref()), (400, Some(param)));
        }
        assert!(fields(json!({"n": 0})).answers().is_err());
        assert!(fields(json!({"n": 1000})).answers().is_err());
        assert!(fields(json!({"stop": 5})).stops().is_err());
        assert!(fields(json!({"stop": ["a", 5]})).stops().is_err());
    }

    #[test]
    fn formats_become_constraints() {
        let read = |value| constraint(Some(&value));
        assert_eq!(read(json!({"type": "text"})), Ok(None));
        assert_eq!(
            read(json!({"type": "json_object"})),
            Ok(Some(Constraint::Json))
        );
        let schema = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}});
        let expected = Constraint::Schema(r#"{"type":"object"}"#.to_owned());
        assert_eq!(read(schema), Ok(Some(expected)));
        assert!(read(json!({"type": "json_schema"})).is_err());
        assert!(read(json!({"type": "yaml"})).is_err());
    }

    #[test]
    fn times_to_stay_are_read() {
        assert_eq!(
            keep(Some(&json!("5m"))),
            Ok(Some(Keep::For(std::time::Duration::from_secs(300))))
        );
        assert_eq!(keep(Some(&json!(-1))), Ok(Some(Keep::Forever)));
        assert_eq!(
            keep(Some(&json!(0))),
            Ok(Some(Keep::For(std::time::Duration::ZERO)))
        );
        assert!(keep(Some(&json!("soon"))).is_err());
    }
}
