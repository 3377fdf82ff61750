//! Fields that requests for text share, brought into the terms of a job. `null` is as good as absent everywhere.

use serde::Deserialize;
use serde_json::Value;
use weft_protocol::infer::{Constraint, Generate, Prompt, Real, Sampling};

use crate::{
    gateway::{ask::Fault, openai},
    infer::Keep,
};

/// The seed that means "any".
const RANDOM: i64 = -1;

/// How an answer shall be drawn. Options about machines and memory are settings here, and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) num_predict: Option<i64>,
    temperature: Option<f32>,
    top_k: Option<i64>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    repeat_last_n: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<Value>,
}

impl Options {
    /// What a model is asked. Where nothing is said, it is what Ollama takes then.
    pub(super) fn generate(
        &self,
        prompt: Prompt,
        format: Option<&Value>,
    ) -> Result<Generate, Fault> {
        let real = |value: Option<f32>, usual: f32| Real::new(value.unwrap_or(usual));
        let count = |value: Option<i64>, usual: u32| {
            value.map_or(usual, |value| u32::try_from(value).unwrap_or(0))
        };
        let tokens_max = match self.num_predict {
            // As long as the context allows.
            None | Some(i64::MIN..0) => None,
            Some(0) => {
                return Err(Fault::invalid("an answer has at least one token").at("num_predict"));
            }
            Some(count) => Some(u32::try_from(count).unwrap_or(u32::MAX)),
        };
        // Looking back at nothing is no penalty of any kind; below it, at everything, which is 0 in a job.
        let looks_back = self.repeat_last_n != Some(0);
        let penalty = |value: Option<f32>, none: f32, usual: f32| match looks_back {
            true => real(value, usual),
            false => Real::new(none),
        };
        Ok(Generate {
            sampling: Sampling {
                temperature: real(self.temperature, 0.8),
                top_k: count(self.top_k, 40),
                top_p: real(self.top_p, 0.9),
                min_p: real(self.min_p, 0.0),
                repetition_penalty: penalty(self.repeat_penalty.filter(|p| *p > 0.0), 1.0, 1.1),
                penalty_window: count(self.repeat_last_n, 64),
                presence_penalty: penalty(self.presence_penalty, 0.0, 0.0),
                frequency_penalty: penalty(self.frequency_penalty, 0.0, 0.0),
                seed: self
                    .seed
                    .filter(|seed| *seed != RANDOM)
                    .map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
                ..Sampling::greedy()
            },
            tokens_max,
            stop: openai::stops(self.stop.as_ref())?,
            constraint: constraint(format)?,
            ..Generate::greedy(prompt)
        })
    }
}

/// What the answer has to be: `"json"` or a schema.
fn constraint(format: Option<&Value>) -> Result<Option<Constraint>, Fault> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => Ok(Some(Constraint::Json)),
        Some(schema @ Value::Object(_)) => Ok(Some(Constraint::Schema(schema.to_string()))),
        Some(_) => Err(Fault::invalid("`format` is neither \"json\" nor a schema").at("format")),
    }
}

/// How long the model stays afterwards.
pub(super) fn keep(value: Option<&Value>) -> Result<Option<Keep>, Fault> {
    openai::keep(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(options: Value) -> Options {
        serde_json::from_value(options).unwrap()
    }

    fn generate(options: &Options, format: Option<&Value>) -> Result<Generate, Fault> {
        let prompt = Prompt::Tokens { ids: Vec::new() };
        options.generate(prompt, format)
    }

    #[test]
    fn options_full_of_nulls_are_as_good_as_none() {
        let nulls = json!({
            "num_predict": null, "temperature": null, "top_k": null, "top_p": null, "stop": null,
            "seed": null, "repeat_penalty": null, "num_ctx": null, "num_gpu": null,
        });
        let mut some = generate(&options(nulls), Some(&Value::Null)).unwrap();
        let none = generate(&Options::default(), None).unwrap();
        // The only thing that is drawn.
        some.sampling.seed = none.sampling.seed;
        assert_eq!(some, none);
        assert_eq!(none.sampling.temperature, Real::new(0.8));
        assert_eq!((none.sampling.top_k, none.tokens_max), (40, None));
    }

    #[test]
    fn options_are_taken_over() {
        let some =
            json!({"num_predict": 7, "seed": 3, "stop": ["a"], "temperature": 0, "top_k": -1});
        let generate = generate(&options(some), Some(&json!("json"))).unwrap();
        let generate_of = |options: &Options| self::generate(options, None).unwrap().tokens_max;
        assert_eq!(generate.tokens_max, Some(7));
        assert_eq!((generate.sampling.seed, generate.sampling.top_k), (3, 0));
        assert_eq!(generate.sampling.temperature, Real::ZERO);
        assert_eq!(generate.stop, ["a"]);
        assert_eq!(generate.constraint, Some(Constraint::Json));
        let endless = options(json!({"num_predict": -1}));
        assert_eq!(generate_of(&endless), None);
    }

    #[test]
    fn penalties_that_look_back_at_nothing_are_none() {
        let sampling = |last_n: i64| {
            let penalties = json!({
                "repeat_last_n": last_n, "repeat_penalty": 1.5, "presence_penalty": 0.5,
                "frequency_penalty": 0.25,
            });
            generate(&options(penalties), None).unwrap().sampling
        };
        let none = Sampling::greedy();
        let off = sampling(0);
        assert_eq!(off.repetition_penalty, none.repetition_penalty);
        assert_eq!(off.presence_penalty, none.presence_penalty);
        assert_eq!(off.frequency_penalty, none.frequency_penalty);
        // As far back as the context reaches, which a job says with 0.
        let whole = sampling(-1);
        assert_eq!(whole.penalty_window, 0);
        assert_eq!(whole.repetition_penalty, Real::new(1.5));
        let some = sampling(12);
        assert_eq!(
            (some.penalty_window, some.presence_penalty),
            (12, Real::new(0.5))
        );
        assert_eq!(some.frequency_penalty, Real::new(0.25));
    }

    #[test]
    fn a_seed_of_minus_one_is_any_seed() {
        let seed = |seed: i64| {
            let generate = generate(&options(json!({ "seed": seed })), None).unwrap();
            generate.sampling.seed
        };
        assert_ne!(seed(-1), seed(-1));
        assert_eq!(seed(-2), seed(-2));
        assert_eq!(seed(0), 0);
    }

    #[test]
    fn other_formats_are_refused() {
        assert!(generate(&Options::default(), Some(&json!("yaml"))).is_err());
        assert!(generate(&Options::default(), Some(&json!({"type": "object"}))).is_ok());
        assert!(generate(&Options::default(), Some(&json!(""))).is_ok());
    }
}
