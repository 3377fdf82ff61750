//! Draws from small vocabularies.

use super::*;

fn sampler(change: impl FnOnce(&mut Sampling)) -> Sampler {
    let mut sampling = Sampling {
        temperature: Real::new(1.0),
        ..Sampling::greedy()
    };
    change(&mut sampling);
    Sampler::new(sampling, &[3, 3]).unwrap()
}

fn drawn(sampler: &mut Sampler, logits: &[f32], count: usize) -> Vec<u32> {
    (0..count)
        .map(|_| {
            let id = sampler.draw(&mut logits.to_vec(), None, None).unwrap().id;
            sampler.push(id);
            id
        })
        .collect()
}

#[test]
fn zero_temperature_takes_the_first_of_the_likeliest() {
    let mut greedy = sampler(|sampling| sampling.temperature = Real::ZERO);
    assert_eq!(drawn(&mut greedy, &[0.0, 2.0, 2.0], 3), [1, 1, 1]);
}

#[test]
fn shares_of_draws_are_those_of_the_logits() {
    let logits = [0.0, 2.0_f32.ln(), 4.0_f32.ln(), f32::NEG_INFINITY];
    let mut counts = [0; 4];
    for id in drawn(&mut sampler(|_| {}), &logits, 7_000) {
        counts[id as usize] += 1;
    }
    for (count, expected) in counts.iter().zip([1_000_i32, 2_000, 4_000, 0]) {
        assert!((count - expected).abs() < 150, "{counts:?}");
    }
}

#[test]
fn continuations_draw_the_same() {
    let logits = [0.1, 0.2, 0.3, 0.4, 0.5];
    let whole = drawn(&mut sampler(|sampling| sampling.seed = 5), &logits, 40);
    let mut again = sampler(|sampling| sampling.seed = 5);
    for id in &whole[..17] {
        again.push(*id);
    }
    assert_eq!(drawn(&mut again, &logits, 23), whole[17..]);
    let other = drawn(&mut sampler(|sampling| sampling.seed = 6), &logits, 40);
    assert_ne!(other, whole);
}

#[test]
fn candidates_are_cut_as_asked() {
    let logits = [4.0, 3.0, 2.0, 1.0, 0.0];
    let most = |change: fn(&mut Sampling)| {
        drawn(&mut sampler(change), &logits, 2_000)
            .into_iter()
            .max()
    };
    assert_eq!(most(|sampling| sampling.top_k = 2), Some(1));
    assert_eq!(most(|sampling| sampling.top_p = Real::new(0.7)), Some(1));
    assert_eq!(most(|sampling| sampling.min_p = Real::new(0.1)), Some(2));
    assert_eq!(most(|sampling| sampling.top_p = Real::ZERO), Some(0));
    assert_eq!(most(|_| {}), Some(4));
}

#[test]
fn penalties_and_biases_change_logits_and_nothing_told_of_them() {
    let check = |change: &dyn Fn(&mut Sampling), pushed: &[u32], expected: [f32; 4]| {
        let mut sampler = sampler(change);
        for id in pushed {
            sampler.push(*id);
        }
        let mut logits = [1.0, -1.0, 2.0, 4.0];
        let drawn = sampler.draw(&mut logits, Some(1), None).unwrap();
        assert_eq!(logits, expected);
        assert_eq!(drawn.top[0].0, 3);
    };
    check(&|_| {}, &[0, 1], [1.0, -1.0, 2.0, 4.0]);
    let repetition = |sampling: &mut Sampling| sampling.repetition_penalty = Real::new(2.0);
    check(&repetition, &[1, 1], [1.0, -2.0, 2.0, 2.0]);
    let recent = |sampling: &mut Sampling| {
        sampling.repetition_penalty = Real::new(2.0);
        sampling.penalty_window = 1;
    };
    check(&recent, &[1], [1.0, -2.0, 2.0, 4.0]);
    let presence = |sampling: &mut Sampling| {
        sampling.presence_penalty = Real::new(0.5);
        sampling.frequency_penalty = Real::new(1.0);
    };
    check(&presence, &[2, 2], [1.0, -1.0, -0.5, 4.0]);
    let bias = |sampling: &mut Sampling| {
        sampling.logit_bias = vec![(1, Real::new(9.0)), (99, Real::new(1.0))];
    };
    check(&bias, &[], [1.0, 8.0, 2.0, 4.0]);
}

#[test]
fn logarithms_are_those_of_probabilities() {
    let mut logits = [0.0, 3.0_f32.ln()];
    let mut greedy = sampler(|sampling| sampling.temperature = Real::ZERO);
    greedy.push(0);
    let drawn = greedy.draw(&mut logits, Some(5), None).unwrap();
    assert!((drawn.logprob.unwrap() - 0.75_f32.ln()).abs() < 1e-6);
    assert_eq!(drawn.top.len(), 2);
    assert!((drawn.top[1].1 - 0.25_f32.ln()).abs() < 1e-6);
}

#[test]
fn nonsense_is_refused() {
    for change in [
        (|sampling| sampling.temperature = Real::new(-1.0)) as fn(&mut Sampling),
        |sampling| sampling.top_p = Real::new(1.5),
        |sampling| sampling.repetition_penalty = Real::ZERO,
    ] {
        let mut sampling = Sampling::greedy();
        change(&mut sampling);
        assert!(matches!(
            Sampler::new(sampling, &[]),
            Err(Refusal::Invalid(_))
        ));
    }
}
