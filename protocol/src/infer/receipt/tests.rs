use proptest::prelude::*;

use super::*;

fn receipt(resumed: u32, answer: u32) -> Receipt {
    let fingerprints = fingerprint_positions(answer).map(|position| Fingerprint {
        position,
        top: (0..8)
            .map(|id| {
                (
                    id + position,
                    Real::new(-(f32::from(u8::try_from(id).unwrap()))),
                )
            })
            .collect(),
    });
    Receipt {
        node: node(1),
        asker: node(2),
        revision: ObjectId::new([3; 32]),
        file: None,
        engine: "weft 1".to_owned(),
        numerics: Numerics {
            weights: "BF16".to_owned(),
            kernel_class: "plain".to_owned(),
        },
        prompt_hash: [4; 32],
        prompt_tokens: 9,
        answer_hash: [5; 32],
        answer_tokens: answer,
        resumed_tokens: resumed,
        sampling: Sampling::greedy(),
        terms_hash: [6; 32],
        finish: Finish::Stop,
        fingerprints: fingerprints.collect(),
        prompt_millis: 6,
        answer_millis: 7,
        issued: Timestamp(8),
        text_hash: [7; 32],
    }
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}
fn node(n: u8) -> NodeId {
    NodeId::new(key(n).public().0)
}

const NET: NetworkId = NetworkId(7);

#[test]
fn only_the_node_that_answered_can_sign_for_it() {
    let receipt = receipt(0, 70);
    let envelope = receipt.sign(NET, &key(1));
    assert_eq!(Receipt::open(NET, &envelope), Ok(receipt.clone()));
    assert_eq!(receipt.id(), envelope.id::<Receipt>());
    for wrong in [
        Receipt::open(NetworkId::MAIN, &envelope),
        Receipt::open(NET, &receipt.sign(NET, &key(2))),
    ] {
        let error = Unsigned::Signature(EnvelopeError::WrongSignature(0));
        assert_eq!(wrong, Err(error));
    }
}

#[test]
fn fingerprints_stand_at_the_first_token_and_each_32nd() {
    let at = |answer| fingerprint_positions(answer).collect::<Vec<_>>();
    assert_eq!(at(0), [0; 0]);
    assert_eq!(at(1), [0]);
    assert_eq!(at(64), [0, 32]);
    assert_eq!(at(65), [0, 32, 64]);
}

#[test]
fn a_receipt_that_leaves_something_out_is_none() {
    let refused = |change: fn(&mut Receipt)| {
        let mut receipt = receipt(5, 100);
        assert_eq!(receipt.validate(), Ok(()));
        change(&mut receipt);
        assert!(codec::decode_object::<Receipt>(&codec::encode(&receipt)).is_err());
    };
    refused(|r| {
        r.fingerprints.remove(1);
    });
    refused(|r| r.fingerprints.clear());
    refused(|r| r.fingerprints.swap(0, 1));
    refused(|r| r.fingerprints[2].top.clear());
    refused(|r| r.fingerprints[2].top.swap(0, 7));
    refused(|r| r.fingerprints[2].top[1] = r.fingerprints[2].top[0]);
    refused(|r| r.resumed_tokens = 101);
    refused(|r| r.engine = "w\u{1b}".to_owned());
    refused(|r| r.numerics.weights = "x".repeat(limits::NUMERICS_LEN_MAX + 1));
    refused(|r| {
        r.sampling.logit_bias = vec![(1, Real::ZERO); limits::LOGIT_BIAS_MAX + 1];
    });
}

#[test]
fn nobody_complains_about_itself() {
    let complaint = Complaint {
        complainant: node(2),
        node: node(1),
        receipt: receipt(0, 1).id(),
        revision: ObjectId::new([3; 32]),
        fault: Fault::Logits,
        position: 32,
        difference: Real::new(1.5),
        tolerance: Real::new(0.1),
        auditor: node(3),
        numerics: receipt(0, 1).numerics,
        issued: Timestamp(9),
    };
    let envelope = complaint.sign(NET, &key(2));
    assert_eq!(Complaint::open(NET, &envelope), Ok(complaint.clone()));
    assert!(Complaint::open(NET, &complaint.sign(NET, &key(3))).is_err());
    let itself = Complaint {
        auditor: node(1),
        ..complaint
    };
    assert!(Complaint::open(NET, &itself.sign(NET, &key(2))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn receipts_round_trip_and_no_changed_one_verifies(
        resumed in 0_u32..200, more in 0_u32..200, at: proptest::sample::Index, mask in 1_u8..
    ) {
        let receipt = receipt(resumed, resumed + more);
        let envelope = receipt.sign(NET, &key(1));
        let mut bytes = codec::encode(&envelope);
        let back = codec::decode::<Envelope>(&bytes, bytes.len()).expect("it was just written");
        prop_assert_eq!(Receipt::open(NET, &back), Ok(receipt));
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let changed = codec::decode::<Envelope>(&bytes, bytes.len());
        prop_assert!(changed.is_err() || Receipt::open(NET, &changed.unwrap()).is_err());
    }

    #[test]
    fn the_longest_receipt_fits(bias in 0_usize..=limits::LOGIT_BIAS_MAX) {
        let answer = u32::try_from(limits::FINGERPRINTS_MAX).unwrap() * Fingerprint::EVERY;
        let mut longest = receipt(0, answer);
        longest.sampling.logit_bias = vec![(u32::MAX, Real::new(-1.0)); bias];
        for print in &mut longest.fingerprints {
            for (at, (id, logit)) in print.top.iter_mut().enumerate() {
                *id = u32::MAX - u32::try_from(at).unwrap();
                *logit = Real::new(-1.0);
            }
        }
        let body = codec::encode(&longest);
        prop_assert_eq!(codec::decode_object(&body), Ok(longest));
    }
}
