//! Picking one of the logits: the same one on every system, so its own exponentials are not used.

use weft_protocol::infer::Sampling;

use super::constraint::Constraint;

/// Share of the probability that may stay unlooked at when a constraint makes each look dear.
const UNSEEN: f64 = 1e-5;

/// Picks a token; of equals the one with the lower id comes first.
pub(super) fn pick(
    logits: &[f32],
    sampling: &Sampling,
    position: u64,
    constraint: Option<&Constraint<'_>>,
) -> Option<u32> {
    let temperature = f64::from(sampling.temperature.get());
    if temperature <= 0.0 {
        return greedy(logits, constraint);
    }
    let shares = shares(logits, temperature, sampling, constraint)?;
    let mut left = uniform(sampling.seed, position);
    for (id, share) in &shares {
        left -= share;
        if left < 0.0 {
            return Some(*id);
        }
    }
    shares.last().map(|(id, _)| *id)
}

/// Candidates with their shares of what is left after all cuts, by id: an order that does not depend on how a
/// processor rounds.
pub(super) fn shares(
    logits: &[f32],
    temperature: f64,
    sampling: &Sampling,
    constraint: Option<&Constraint<'_>>,
) -> Option<Vec<(u32, f64)>> {
    let mut candidates = candidates(logits, temperature, sampling, constraint)?;
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let top_p = f64::from(sampling.top_p.get());
    if top_p < 1.0 {
        let mut sum = 0.0;
        let len = candidates
            .iter()
            .position(|(_, weight)| {
                sum += weight / total;
                sum >= top_p
            })
            .map_or(candidates.len(), |at| at + 1);
        candidates.truncate(len.max(1));
    }
    let min_p = f64::from(sampling.min_p.get());
    if min_p > 0.0 {
        let least = candidates[0].1 * min_p;
        let len = candidates.partition_point(|(_, weight)| *weight >= least);
        candidates.truncate(len.max(1));
    }
    candidates.sort_unstable_by_key(|(id, _)| *id);
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut candidates {
        *weight /= total;
    }
    Some(candidates)
}

pub(super) fn greedy(logits: &[f32], constraint: Option<&Constraint<'_>>) -> Option<u32> {
    let best = |allowed: &dyn Fn(u32) -> bool| {
        let mut best: Option<(u32, f32)> = None;
        for (id, logit) in (0..).zip(logits.iter().copied()) {
            if best.is_none_or(|(_, other)| logit > other) && allowed(id) {
                best = Some((id, logit));
            }
        }
        best.map(|(id, _)| id)
    };
    let Some(constraint) = constraint else {
        return best(&|_| true);
    };
    // The likeliest of all nearly always fits: look at that one before anything dearer.
    let first = best(&|_| true)?;
    if constraint.allows(first) {
        return Some(first);
    }
    let mut order = sorted(logits);
    order.retain(|(_, logit)| logit.is_finite());
    order
        .into_iter()
        .map(|(id, _)| id)
        .find(|id| constraint.allows(*id))
}

fn sorted(logits: &[f32]) -> Vec<(u32, f32)> {
    let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    order.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order
}

/// Candidates with their weights, the heaviest first.
pub(super) fn candidates(
    logits: &[f32],
    temperature: f64,
    sampling: &Sampling,
    constraint: Option<&Constraint<'_>>,
) -> Option<Vec<(u32, f64)>> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !most.is_finite() {
        return None;
    }
    let weight = |logit: f32| libm::exp(f64::from(logit - most) / temperature);
    let count = match sampling.top_k as usize {
        0 => usize::MAX,
        count => count,
    };
    let mut order = if count < logits.len() && constraint.is_none() {
        super::likeliest(logits, count)
    } else {
        sorted(logits)
    };
    order.retain(|(_, logit)| logit.is_finite());
    let Some(constraint) = constraint else {
        order.truncate(count);
        let weighed = order.into_iter().map(|(id, logit)| (id, weight(logit)));
        return Some(weighed.collect());
    };
    let mut unseen: f64 = order.iter().map(|(_, logit)| weight(*logit)).sum();
    let mut kept = Vec::new();
    let mut sum = 0.0;
    for (id, logit) in order {
        let weight = weight(logit);
        if constraint.allows(id) {
            kept.push((id, weight));
            sum += weight;
        }
        unseen -= weight;
        if kept.len() >= count || (sum > 0.0 && unseen < sum * UNSEEN) {
            break;
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// Logarithm of the sum of all exponentials.
pub(super) fn log_total(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|logit| libm::exp(f64::from(logit - most)))
        .sum();
    most + libm::log(sum) as f32
}

/// A number in `0..1` from a seed and a position.
pub(super) fn uniform(seed: u64, position: u64) -> f64 {
    // Twice through the finaliser of SplitMix64, so that neighbouring seeds and positions have nothing in common.
    let mixed = mix(mix(seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(position));
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::uniform;

    #[test]
    fn draws_are_even_and_follow_from_seed_and_position() {
        let mut counts = [0_u32; 10];
        for seed in 0..100 {
            for position in 0..100 {
                let drawn = uniform(seed, position);
                assert_eq!(drawn.to_bits(), uniform(seed, position).to_bits());
                counts[(drawn * 10.0) as usize] += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
    }
}
