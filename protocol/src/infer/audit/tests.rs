use proptest::prelude::*;

use super::*;
use crate::{
    id::{NodeId, ObjectId},
    infer::{Finish, receipt::fingerprint_positions},
    time::Timestamp,
};

fn numerics(weights: &str, kernel_class: &str) -> Numerics {
    Numerics {
        weights: weights.to_owned(),
        kernel_class: kernel_class.to_owned(),
    }
}

/// Logits of a model that has learnt nothing but is sure of itself: token `position + n` at `-n`.
fn logits(position: u32, shift: f32) -> Fingerprint {
    Fingerprint {
        position,
        top: (0..8_u8)
            .map(|n| (position + u32::from(n), Real::new(shift - f32::from(n))))
            .collect(),
    }
}

fn case(len: u32, shift: f32) -> (Receipt, Vec<u32>, Vec<Fingerprint>) {
    let answer: Vec<u32> = (0..len).collect();
    let prints = fingerprint_positions(len).map(|at| logits(at, shift));
    let receipt = Receipt {
        node: NodeId::new([1; 32]),
        asker: NodeId::new([2; 32]),
        revision: ObjectId::new([3; 32]),
        file: None,
        engine: "weft".to_owned(),
        numerics: numerics("F32", "plain"),
        prompt_hash: [4; 32],
        prompt_tokens: 3,
        answer_hash: answer_hash(&answer),
        answer_tokens: len,
        resumed_tokens: 0,
        sampling: Sampling::greedy(),
        constrained: 0,
        finish: Finish::Length,
        fingerprints: prints.collect(),
        prompt_millis: 0,
        answer_millis: 0,
        issued: Timestamp(0),
    };
    let own = (0..len).map(|at| logits(at, 0.0)).collect();
    (receipt, answer, own)
}

fn verdict(receipt: &Receipt, answer: &[u32], own: &[Fingerprint], auditor: &Numerics) -> Verdict {
    let evidence = Evidence {
        answer,
        prompt_hash: [4; 32],
        fingerprints: own,
        gaps: &[],
        numerics: auditor,
    };
    judge(receipt, &evidence)
}

fn fault(verdict: &Verdict) -> Option<(Fault, u32)> {
    match verdict {
        Verdict::Differs(finding) => Some((finding.fault, finding.position)),
        Verdict::Agrees(_) | Verdict::Unchecked(_) => None,
    }
}

#[test]
fn an_honest_receipt_agrees_and_says_how_nearly() {
    let (receipt, answer, own) = case(70, 0.0001);
    match verdict(&receipt, &answer, &own, &receipt.numerics) {
        Verdict::Agrees(measured) => {
            assert!((measured.difference - 0.0001).abs() < 1e-6);
            assert_eq!((measured.logits, measured.tokens), (48, 70));
        }
        other @ (Verdict::Differs(_) | Verdict::Unchecked(_)) => panic!("{other:?}"),
    }
}

#[test]
fn other_logits_are_noticed_unless_another_class_explains_them() {
    let (mut receipt, answer, own) = case(70, 0.0);
    receipt.fingerprints[1] = logits(32, 0.3);
    let same = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&same), Some((Fault::Logits, 32)));
    receipt.numerics.weights = "Q8_0".to_owned();
    let other = numerics("Q8_0", "other");
    let verdict_of_other = verdict(&receipt, &answer, &own, &other);
    assert!(
        matches!(verdict_of_other, Verdict::Differs(_)),
        "the mean is too large"
    );
    receipt.fingerprints[1] = logits(32, 0.07);
    let near = verdict(&receipt, &answer, &own, &other);
    assert!(matches!(near, Verdict::Agrees(_)), "{near:?}");
}

#[test]
fn names_of_classes_say_how_near_logits_must_be() {
    let mean = |receipt: &str, auditor: &str| {
        let (receipt, auditor) = (numerics("Q8_0", receipt), numerics("Q8_0", auditor));
        Tolerance::between(&receipt, &auditor).mean
    };
    let old = ["weft-1/x86_64-avx512vnni", "weft-1/portable"];
    let candle = "candle-0.11/x86_64-avx2";
    // One for all processors.
    assert_eq!(mean("weft-2", "weft-2"), 0.003);
    // As they were.
    assert_eq!(mean(old[0], old[0]), 0.003);
    assert_eq!(mean(old[0], old[1]), 0.05);
    assert_eq!(mean(candle, candle), 0.027);
    assert_eq!(mean(candle, "candle-0.11/cuda"), 0.05);
    // Some matrices by candle: as far apart as with all of them.
    let some = "candle-0.11+weft-2/x86_64-avx2";
    assert_eq!(mean(some, some), 0.027);
    for other in [old[0], candle, some] {
        assert_eq!(mean("weft-2", other), 0.05);
        assert_eq!(mean(other, "weft-2"), 0.05);
    }
}

#[test]
fn a_class_or_type_that_is_only_claimed_loosens_nothing() {
    let (mut receipt, answer, own) = case(70, 0.0);
    receipt.numerics.weights = "Q4_K_M".to_owned();
    let auditor = numerics("F32", "plain");
    let claimed = verdict(&receipt, &answer, &own, &auditor);
    assert_eq!(fault(&claimed), Some((Fault::Logits, 0)));
}

#[test]
fn an_edited_token_is_noticed_wherever_it_stands() {
    for at in [0, 31, 33, 69] {
        let (mut receipt, mut answer, own) = case(70, 0.0);
        answer[at] += 1;
        receipt.answer_hash = answer_hash(&answer);
        let edited = verdict(&receipt, &answer, &own, &receipt.numerics);
        let at = u32::try_from(at).unwrap();
        assert_eq!(fault(&edited), Some((Fault::Token, at)));
    }
}

#[test]
fn tokens_that_were_given_are_not_held_against_who_went_on() {
    let (mut receipt, mut answer, own) = case(70, 0.0);
    answer[3] += 1;
    receipt.answer_hash = answer_hash(&answer);
    receipt.resumed_tokens = 4;
    let went_on = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert!(matches!(went_on, Verdict::Agrees(_)), "{went_on:?}");
}

#[test]
fn another_prompt_is_noticed_and_another_answer_is_nobodys_fault() {
    let (mut receipt, answer, own) = case(5, 0.0);
    let other = verdict(&receipt, &answer[1..], &own, &receipt.numerics);
    assert_eq!(other, Verdict::Unchecked(Unchecked::OtherAnswer));
    let silent = verdict(&receipt, &answer, &own[1..], &receipt.numerics);
    assert_eq!(silent, Verdict::Unchecked(Unchecked::Silent(0)));
    receipt.prompt_hash = [9; 32];
    let prompt = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&prompt), Some((Fault::Prompt, 0)));
}

#[test]
fn gaps_decide_where_the_auditor_tells_them() {
    let (mut receipt, answer, own) = case(40, 0.0);
    receipt.sampling.temperature = Real::new(0.7);
    let judge_gaps = |gaps: &[Real]| {
        judge(
            &receipt,
            &Evidence {
                answer: &answer,
                prompt_hash: [4; 32],
                fingerprints: &own,
                gaps,
                numerics: &receipt.numerics,
            },
        )
    };
    let mut gaps = vec![Real::ZERO; 40];
    assert!(matches!(judge_gaps(&gaps), Verdict::Agrees(m) if m.tokens == 40));
    assert!(matches!(judge_gaps(&[]), Verdict::Agrees(m) if m.tokens == 0));
    gaps[17] = Real::new(0.2);
    assert_eq!(fault(&judge_gaps(&gaps)), Some((Fault::Token, 17)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn noise_within_half_the_tolerance_never_accuses(len in 1_u32..120, seed: u64) {
        let (mut receipt, answer, own) = case(len, 0.0);
        let mut rng = fastrand::Rng::with_seed(seed);
        let tolerance = Tolerance::between(&receipt.numerics, &receipt.numerics);
        for print in &mut receipt.fingerprints {
            for (_, logit) in &mut print.top {
                *logit = Real::new(logit.get() + (rng.f32() - 0.5) * tolerance.mean);
            }
        }
        let verdict = verdict(&receipt, &answer, &own, &receipt.numerics);
        prop_assert!(matches!(verdict, Verdict::Agrees(_)), "{:?}", verdict);
    }
}
