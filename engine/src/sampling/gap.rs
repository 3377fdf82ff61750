//! How far a token is from the one that is drawn: what an audit asks.

use weft_protocol::infer::Sampling;

use super::{
    constraint::Constraint,
    draw::{candidates, greedy, shares, uniform},
};

/// Errors of logits that are looked for at most: those of no two honest processors are near it.
const ERROR_MAX: f64 = 64.0;
/// Halvings of that until it is known to a hundred-thousandth.
const HALVINGS: u32 = 23;

/// How far a token is from being the one that is drawn; 0 if it is.
///
/// Without a temperature, by how much the logit of the token drawn is larger. With one, 1 and the least error of logits by
/// which it could have been drawn, neither cut off nor wholly behind the number drawn; or, where it takes none, how far that
/// number lies from the token's share of the probability, which is less than 1.
pub(super) fn gap(
    logits: &[f32],
    sampling: &Sampling,
    position: u64,
    token: u32,
    constraint: Option<&Constraint<'_>>,
) -> f32 {
    let own = logits.get(token as usize).copied();
    let Some(own) = own.filter(|logit| logit.is_finite()) else {
        return f32::MAX;
    };
    if constraint.is_some_and(|constraint| !constraint.allows(token)) {
        return f32::MAX;
    }
    let temperature = f64::from(sampling.temperature.get());
    if temperature <= 0.0 {
        let drawn = greedy(logits, constraint);
        let most = drawn.and_then(|id| logits.get(id as usize));
        return most.map_or(f32::MAX, |most| (most - own).max(0.0));
    }
    let drawn = uniform(sampling.seed, position);
    let (mut start, mut off) = (0.0, None);
    for (id, share) in shares(logits, temperature, sampling, constraint).unwrap_or_default() {
        let end = start + share;
        if id == token {
            off = Some((start - drawn).max(drawn - end).max(0.0));
            break;
        }
        start = end;
    }
    if off == Some(0.0) {
        return 0.0;
    }
    let error = Cuts::new(logits, sampling, drawn, constraint).error(own);
    match off {
        Some(off) if error <= 0.0 => off as f32,
        _ => 1.0 + error as f32,
    }
}

/// What is cut off before a draw, or not reached by it, as seen by somebody whose logits are a little off.
struct Cuts<'a> {
    sampling: &'a Sampling,
    /// The number drawn.
    drawn: f64,
    /// Logits of all that could be drawn, the largest first, and the sum of their weights up to each.
    sums: Vec<(f64, f64)>,
}

impl<'a> Cuts<'a> {
    fn new(
        logits: &[f32],
        sampling: &'a Sampling,
        drawn: f64,
        constraint: Option<&Constraint<'_>>,
    ) -> Self {
        let uncut = Sampling {
            top_k: 0,
            ..sampling.clone()
        };
        let temperature = f64::from(sampling.temperature.get());
        let all = candidates(logits, temperature, &uncut, constraint).unwrap_or_default();
        let mut sum = 0.0;
        let sums = all.into_iter().filter_map(|(id, weight)| {
            sum += weight;
            Some((f64::from(*logits.get(id as usize)?), sum))
        });
        Self {
            sums: sums.collect(),
            sampling,
            drawn,
        }
    }

    /// The least error of all logits by which a token with this one may have been drawn.
    fn error(&self, logit: f32) -> f64 {
        if self.lets_pass(f64::from(logit), 0.0) {
            return 0.0;
        }
        let (mut least, mut most) = (0.0, ERROR_MAX);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(least, most);
            match self.lets_pass(f64::from(logit), middle) {
                true => most = middle,
                false => least = middle,
            }
        }
        most
    }

    /// Whether a token may have been left, and drawn, where each logit is off by so much at most.
    fn lets_pass(&self, logit: f64, error: f64) -> bool {
        // Two logits may each be off: what is ahead by more than that is ahead for everybody.
        let slack = 2.0 * error;
        let ahead = self
            .sums
            .partition_point(|(other, _)| *other > logit + slack);
        if ahead == 0 {
            return true;
        }
        let top_k = match self.sampling.top_k as usize {
            0 => self.sums.len(),
            count => count.min(self.sums.len()),
        };
        if ahead >= top_k {
            return false;
        }
        let temperature = f64::from(self.sampling.temperature.get());
        // Each weight is off by a factor of e^(error / temperature) at most, and the odds of a part of them by twice that.
        // In logarithms: where it is cold, weights are beyond numbers.
        let odds = |part: f64, all: f64| libm::log(part) - libm::log((all - part).max(0.0));
        let odds_of = |part: f64, all: f64| odds(part, all) - slack / temperature;
        let sum = |count: usize| self.sums.get(count - 1).map_or(0.0, |(_, sum)| *sum);
        let before = sum(ahead);
        // Whatever is cut off makes the part that is ahead larger: with everything left it is smallest.
        if odds_of(before, sum(self.sums.len())) > odds(self.drawn, 1.0) {
            return false;
        }
        let first = self.sums.first().map_or(logit, |(first, _)| *first);
        let min_p = f64::from(self.sampling.min_p.get());
        if min_p > 0.0 && logit + slack < first + temperature * libm::log(min_p) {
            return false;
        }
        let top_p = f64::from(self.sampling.top_p.get());
        if top_p >= 1.0 {
            return true;
        }
        odds_of(before, sum(top_k)) < odds(top_p, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use weft_protocol::infer::Real;

    use super::*;

    fn cut(top_k: u32, top_p: f32, min_p: f32) -> Sampling {
        Sampling {
            temperature: Real::new(0.8),
            top_k,
            top_p: Real::new(top_p),
            min_p: Real::new(min_p),
            seed: 3,
            ..Sampling::greedy()
        }
    }

    /// Numbers in `0..1`.
    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut position = 0;
        move || {
            position += 1;
            uniform(seed, position) as f32
        }
    }

    #[test]
    fn whoever_is_off_by_little_never_drew_what_is_said_to_need_more() {
        for round in 0..2_000 {
            let mut number = numbers(round);
            let mut next = 5.0;
            // Near neighbours, the likeliest first.
            let own: Vec<f32> = (0..40)
                .map(|_| {
                    next -= number() * 0.4;
                    next
                })
                .collect();
            let error = 0.08 * number();
            let mut off = |logit: &f32| logit + (2.0 * number() - 1.0) * error;
            let other: Vec<f32> = own.iter().map(&mut off).collect();
            for sampling in [
                cut(7, 1.0, 0.0),
                cut(0, 0.9, 0.0),
                cut(0, 1.0, 0.1),
                cut(12, 0.95, 0.02),
            ] {
                let drawn = uniform(sampling.seed, round);
                let mut end = 0.0;
                let all = shares(&other, 0.8, &sampling, None).unwrap();
                let reached = all.into_iter().find(|(_, share)| {
                    end += share;
                    drawn < end
                });
                let Some((id, _)) = reached else { continue };
                let gap = gap(&own, &sampling, round, id, None);
                assert!(gap <= 1.0 + error + 1e-4, "{gap} {error} {sampling:?}");
            }
        }
    }

    #[test]
    fn a_token_far_behind_the_cut_is_told_to_be_far_behind() {
        let logits: Vec<f32> = (0_u8..40).map(|n| -f32::from(n)).collect();
        for (sampling, expected) in [
            (cut(5, 1.0, 0.0), 8.0),
            // What is ahead of it weighs less, too, where all logits may be off, and must not reach the number drawn.
            (cut(0, 0.9, 0.0), 5.05),
            (cut(0, 1.0, 0.1), 9.1),
        ] {
            // Both logits are off by half of the way.
            let gap = gap(&logits, &sampling, 0, 20, None) - 1.0;
            assert!((gap - expected).abs() < 0.3, "{gap} {sampling:?}");
        }
        // However cold it is, and though nothing is cut off.
        for temperature in [0.01, 0.1, 0.8] {
            let cold = Sampling {
                temperature: Real::new(temperature),
                ..cut(0, 1.0, 0.0)
            };
            let gap = gap(&logits, &cold, 0, 20, None) - 1.0;
            // Of what lies between, it is not known to whom the weight goes.
            assert!((4.9..10.1).contains(&gap), "{gap} {temperature}");
        }
        let none = gap(&logits, &cut(0, 1.0, 0.0), 0, 99, None);
        assert_eq!(none, f32::MAX, "there is no such token");
    }
}
