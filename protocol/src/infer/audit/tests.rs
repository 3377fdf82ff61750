use proptest::prelude::*;

use super::*;
use crate::{
    id::{NodeId, ObjectId},
    infer::{Constraint, Ended, Generate, Prompt, Real, Sampling, receipt::fingerprint_positions},
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
        terms_hash: TERMS,
        finish: Finish::Length,
        fingerprints: prints.collect(),
        prompt_millis: 0,
        answer_millis: 0,
        issued: Timestamp(0),
        text_hash: TEXT,
    };
    let own = (0..len).map(|at| logits(at, 0.0)).collect();
    (receipt, answer, own)
}

const TERMS: [u8; 32] = [5; 32];
const TEXT: [u8; 32] = [6; 32];

/// By how much each token is not the likeliest, which is the one with the number of its place.
fn gaps(answer: &[u32]) -> Vec<Real> {
    let gap = |(at, token): (u32, &u32)| f32::from(u8::try_from(token.abs_diff(at)).unwrap());
    (0..).zip(answer).map(gap).map(Real::new).collect()
}

/// What an auditor says who finds nothing wrong with text and end.
fn evidence<'a>(
    answer: &'a [u32],
    own: &'a [Fingerprint],
    gaps: &'a [Real],
    auditor: &'a Numerics,
) -> Evidence<'a> {
    let ended = Ended {
        tokens: u32::try_from(answer.len()).unwrap(),
        finish: Finish::Length,
    };
    Evidence {
        answer,
        terms_hash: TERMS,
        prompt_hash: [4; 32],
        prompt_tokens: 3,
        fingerprints: own,
        gaps,
        retold: Some(Retold {
            text_hash: TEXT,
            ended: Some(ended),
        }),
        numerics: auditor,
    }
}

fn verdict(receipt: &Receipt, answer: &[u32], own: &[Fingerprint], auditor: &Numerics) -> Verdict {
    judge(receipt, &evidence(answer, own, &gaps(answer), auditor))
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
fn other_logits_are_noticed() {
    let (mut receipt, answer, own) = case(70, 0.0);
    receipt.fingerprints[1] = logits(32, 0.3);
    let same = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&same), Some((Fault::Logits, 32)));
}

#[test]
fn logits_that_were_left_out_are_noticed() {
    let (mut receipt, answer, own) = case(70, 0.0);
    receipt.fingerprints[1].top.truncate(1);
    let few = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&few), Some((Fault::Logits, 32)));
}

/// Quantized weights, computed by two classes of kernels, or said to be: all logits this far apart.
fn by_other_kernels(shift: f32) -> Verdict {
    let (mut receipt, answer, own) = case(70, shift);
    receipt.numerics = numerics("Q8_0", "candle-0.11/x");
    verdict(&receipt, &answer, &own, &numerics("Q8_0", "weft-2"))
}

#[test]
fn another_class_agrees_where_it_is_near_and_differs_where_it_is_far() {
    for near in [0.0, 0.0216, 0.024] {
        let verdict = by_other_kernels(near);
        assert!(matches!(verdict, Verdict::Agrees(_)), "{near}: {verdict:?}");
    }
    assert_eq!(
        fault(&by_other_kernels(0.21)),
        Some((Fault::Logits, 0)),
        "the mean is too large"
    );
}

#[test]
fn what_lower_precision_explains_as_well_as_another_class_is_neither_right_nor_wrong() {
    // From 0.0311 on Q4_K_M passes for Q8_0; honest ones of two classes lie up to 0.105 apart.
    for between in [0.026, 0.0311, 0.105, 0.19] {
        let wanted = "candle-0.11/x".to_owned();
        assert_eq!(
            by_other_kernels(between),
            Verdict::Unchecked(Unchecked::OtherKernels { wanted })
        );
    }
}

#[test]
fn names_of_classes_say_how_near_logits_must_be() {
    let means = |receipt: &str, auditor: &str| {
        let (receipt, auditor) = (numerics("Q8_0", receipt), numerics("Q8_0", auditor));
        let bounds = Bounds::between(&receipt, &auditor);
        (bounds.near.mean, bounds.far.mean)
    };
    let old = ["weft-1/x86_64-avx512vnni", "weft-1/portable"];
    let candle = "candle-0.11/x86_64-avx2";
    let others = (0.025, 0.2);
    // One for all processors.
    assert_eq!(means("weft-2", "weft-2"), (0.003, 0.003));
    // As they were.
    assert_eq!(means(old[0], old[0]), (0.003, 0.003));
    assert_eq!(means(old[0], old[1]), others);
    assert_eq!(means(candle, candle), (0.027, 0.027));
    assert_eq!(means(candle, "candle-0.11/cuda"), others);
    // Some matrices by candle: as far apart as with all of them.
    let some = "candle-0.11+weft-2/x86_64-avx2";
    assert_eq!(means(some, some), (0.027, 0.027));
    for other in [old[0], candle, some] {
        assert_eq!(means("weft-2", other), others);
        assert_eq!(means(other, "weft-2"), others);
    }
}

#[test]
fn another_type_of_weights_than_the_auditors_is_a_lie() {
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
    let counted = Receipt {
        prompt_tokens: 4,
        ..receipt.clone()
    };
    let counted = verdict(&counted, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&counted), Some((Fault::Prompt, 0)));
    receipt.prompt_hash = [9; 32];
    let prompt = verdict(&receipt, &answer, &own, &receipt.numerics);
    assert_eq!(fault(&prompt), Some((Fault::Prompt, 0)));
}

#[test]
fn gaps_decide_and_an_auditor_who_leaves_them_out_says_nothing() {
    let (mut receipt, answer, own) = case(40, 0.0);
    receipt.sampling.temperature = Real::new(0.7);
    let judge_gaps =
        |gaps: &[Real]| judge(&receipt, &evidence(&answer, &own, gaps, &receipt.numerics));
    let mut gaps = vec![Real::ZERO; 40];
    assert!(matches!(judge_gaps(&gaps), Verdict::Agrees(m) if m.tokens == 40));
    let silent = Verdict::Unchecked(Unchecked::Silent(39));
    assert_eq!(judge_gaps(&gaps[1..]), silent);
    gaps[17] = Real::new(0.2);
    assert_eq!(fault(&judge_gaps(&gaps)), Some((Fault::Token, 17)));
}

#[test]
fn a_token_that_was_cut_off_is_held_against_how_unsure_the_cut_is() {
    let (mut receipt, answer, own) = case(40, 0.0);
    receipt.sampling.temperature = Real::new(0.7);
    receipt.numerics = numerics("Q8_0", "candle-0.11/x");
    let by = |class: &str, beyond: f32| {
        let mut gaps = vec![Real::ZERO; 40];
        gaps[17] = Real::new(1.0 + beyond);
        let auditor = numerics("Q8_0", class);
        judge(&receipt, &evidence(&answer, &own, &gaps, &auditor))
    };
    let caught = Some((Fault::Token, 17));
    assert!(matches!(by("candle-0.11/x", 0.05), Verdict::Agrees(_)));
    assert_eq!(fault(&by("candle-0.11/x", 0.1)), caught);
    assert!(matches!(by("weft-2", 0.05), Verdict::Agrees(_)));
    let unsure = by("weft-2", 0.1);
    assert!(
        matches!(unsure, Verdict::Unchecked(Unchecked::OtherKernels { .. })),
        "{unsure:?}"
    );
    assert_eq!(fault(&by("weft-2", 0.6)), caught);
}

#[test]
fn a_text_of_other_tokens_is_noticed_and_so_is_an_end_where_there_is_none() {
    let (receipt, answer, own) = case(40, 0.0);
    let gaps = gaps(&answer);
    let right = evidence(&answer, &own, &gaps, &receipt.numerics);
    let reads = |text_hash, ended: Option<(u32, Finish)>, claimed| {
        let ended = ended.map(|(tokens, finish)| Ended { tokens, finish });
        let evidence = Evidence {
            retold: Some(Retold { text_hash, ended }),
            ..right
        };
        let receipt = Receipt {
            finish: claimed,
            ..receipt.clone()
        };
        judge(&receipt, &evidence)
    };
    let (stop, length) = (Finish::Stop, Finish::Length);
    for finish in [stop, length] {
        let honest = reads(TEXT, Some((40, finish)), finish);
        assert!(matches!(honest, Verdict::Agrees(_)), "{honest:?}");
    }
    let text = reads([9; 32], Some((40, stop)), stop);
    assert_eq!(fault(&text), Some((Fault::Text, 0)));
    for (ended, claimed, at) in [
        // Cut short, as if the model had had nothing more to say.
        (None, stop, 40),
        (Some((40, length)), stop, 40),
        (Some((40, stop)), length, 40),
        // It went on behind its end.
        (Some((30, stop)), stop, 30),
        (Some((30, stop)), length, 30),
    ] {
        let verdict = reads(TEXT, ended, claimed);
        assert_eq!(fault(&verdict), Some((Fault::Finish, at)), "{ended:?}");
    }
    // Said to be cut short, by who may have limits of his own.
    let broken_off = reads(TEXT, None, length);
    assert_eq!(
        broken_off,
        Verdict::Unchecked(Unchecked::BrokenOff),
        "all else is right"
    );
    let text = reads([9; 32], None, length);
    assert_eq!(fault(&text), Some((Fault::Text, 0)));
    let unread = Evidence {
        retold: None,
        ..right
    };
    assert_eq!(
        judge(&receipt, &unread),
        Verdict::Unchecked(Unchecked::Unread)
    );
}

#[test]
fn other_terms_than_those_of_the_receipt_are_nobodys_fault() {
    let (receipt, answer, own) = case(5, 0.0);
    let gaps = gaps(&answer);
    let asked = Generate::greedy(Prompt::Tokens { ids: vec![1] });
    let json = Generate {
        constraint: Some(Constraint::Json),
        ..asked.clone()
    };
    let stop = Generate {
        stop: vec!["a".to_owned()],
        ..asked.clone()
    };
    let hashes = [asked, json, stop].map(|ask| ask.terms().hash());
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
    let other = Evidence {
        terms_hash: hashes[0],
        ..evidence(&answer, &own, &gaps, &receipt.numerics)
    };
    assert_eq!(
        judge(&receipt, &other),
        Verdict::Unchecked(Unchecked::OtherAnswer)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn noise_within_half_the_tolerance_never_accuses(len in 1_u32..120, seed: u64) {
        let (mut receipt, answer, own) = case(len, 0.0);
        let mut rng = fastrand::Rng::with_seed(seed);
        let tolerance = Bounds::between(&receipt.numerics, &receipt.numerics).near;
        for print in &mut receipt.fingerprints {
            for (_, logit) in &mut print.top {
                *logit = Real::new(logit.get() + (rng.f32() - 0.5) * tolerance.mean);
            }
        }
        let verdict = verdict(&receipt, &answer, &own, &receipt.numerics);
        prop_assert!(matches!(verdict, Verdict::Agrees(_)), "{:?}", verdict);
    }
}
