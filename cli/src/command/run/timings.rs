//! What an answer took, for `-v`.

use std::time::Duration;

use weft_node::api::AskResult;

use crate::{command::at_peer::Answer, context::Context, units::Span};

/// Tells what an answer took, to who wants to know.
pub(super) fn tell_timings(context: &Context, result: &AskResult) {
    if context.global().verbose > 0 {
        context.screen.talk(&timings(result));
    }
}

/// The same of a peer's answer.
pub(super) fn tell_timings_at_peer(context: &Context, answer: &Answer) {
    if context.global().verbose > 0 {
        context.screen.talk(&timings_at_peer(answer));
    }
}

fn timings(result: &AskResult) -> String {
    let rate = |tokens: u32, seconds: f64| match seconds > 0.0 {
        true => format!("{:.1} tokens/s", f64::from(tokens) / seconds),
        false => "at once".to_owned(),
    };
    let computed = result.prompt_tokens.saturating_sub(result.cached_tokens);
    format!(
        "model    {}, there after {}\nprompt   {} tokens, {} of them known, {}\nanswer   {} tokens, {}, seed {}, ended by {}",
        result.model,
        Span(Duration::from_secs_f64(result.load_seconds.clamp(0.0, 1e9))),
        result.prompt_tokens,
        result.cached_tokens,
        rate(computed, result.prompt_seconds),
        result.answer_tokens,
        rate(result.answer_tokens, result.answer_seconds),
        result.seed,
        result.finish,
    )
}

/// As this end of the line saw them.
fn timings_at_peer(answer: &Answer) -> String {
    let seconds = answer.whole.as_secs_f64().max(1e-6);
    let rate = f64::from(answer.done.answer_tokens) / seconds;
    format!(
        "prompt   {} tokens, the first word after {}\nanswer   {} tokens in {}, prompt and way included: {rate:.1} tokens/s, ended by {}",
        answer.done.prompt_tokens,
        Span(answer.first),
        answer.done.answer_tokens,
        Span(answer.whole),
        answer.done.finish,
    )
}

#[cfg(test)]
mod tests {
    use weft_node::api::AskPeersDone;

    use super::*;

    #[test]
    fn timings_of_a_peer_are_those_of_this_end() {
        let answer = Answer {
            text: String::new(),
            done: AskPeersDone {
                finish: "length".to_owned(),
                prompt_tokens: 12,
                answer_tokens: 21,
            },
            first: Duration::from_secs(1),
            whole: Duration::from_secs(3),
        };
        let text = timings_at_peer(&answer);
        assert!(text.contains("12 tokens, the first word after 1"), "{text}");
        assert!(
            text.contains("included: 7.0 tokens/s, ended by length"),
            "{text}"
        );
    }

    #[test]
    fn timings_tell_rates() {
        let result = AskResult {
            model: "alice/wren".to_owned(),
            finish: "stop".to_owned(),
            seed: 7,
            prompt_tokens: 20,
            cached_tokens: 10,
            answer_tokens: 30,
            load_seconds: 1.0,
            prompt_seconds: 0.5,
            answer_seconds: 2.0,
            ..AskResult::default()
        };
        let text = timings(&result);
        assert!(
            text.contains("20 tokens, 10 of them known, 20.0 tokens/s"),
            "{text}"
        );
        assert!(
            text.contains("30 tokens, 15.0 tokens/s, seed 7, ended by stop"),
            "{text}"
        );
    }
}
