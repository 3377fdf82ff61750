//! Receipts of answers, and complaints about them.

use weft_protocol::{
    codec,
    id::NodeId,
    infer::{
        Complaint, Constraint, Fingerprint, Finish, Generate, Numerics, Prompt, Real, Receipt,
        Sampling, Terms,
        receipt::{Fault, Unsigned, answer_hash, fingerprint_positions},
    },
    sign::Envelope,
};

use super::file::{Vector, VectorFile};
use crate::fixture::{NET, NOW, id, key, sign};

/// The node that answers, the one that asked, and the one that checks.
const HOST: u8 = 40;
const ASKER: u8 = 41;
const AUDITOR: u8 = 42;

fn node(n: u8) -> NodeId {
    NodeId::new(key(n).0)
}

fn numerics() -> Numerics {
    Numerics {
        weights: "Q8_0".to_owned(),
        kernel_class: "avx2".to_owned(),
    }
}

fn receipt(resumed: u32, answer: u32) -> Receipt {
    let tokens: Vec<u32> = (100..).take(answer as usize).collect();
    let fingerprints = fingerprint_positions(answer).map(|position| Fingerprint {
        position,
        top: [(100 + position, 12.5), (7, 3.25), (9, 3.25), (0, -1.0)]
            .map(|(id, logit)| (id, Real::new(logit)))
            .to_vec(),
    });
    Receipt {
        node: node(HOST),
        asker: node(ASKER),
        revision: id(30),
        file: Some("model.Q8_0.gguf".parse().expect("a valid path")),
        engine: "weft 1.0".to_owned(),
        numerics: numerics(),
        prompt_hash: answer_hash(&[1, 2, 3]),
        prompt_tokens: 3,
        answer_hash: answer_hash(&tokens),
        answer_tokens: answer,
        resumed_tokens: resumed,
        sampling: Sampling::greedy(),
        terms_hash: Generate::greedy(Prompt::Tokens { ids: vec![] })
            .terms()
            .hash(),
        finish: Finish::Stop,
        fingerprints: fingerprints.collect(),
        prompt_millis: 21,
        answer_millis: 345,
        issued: NOW,
        text_hash: *blake3::hash(b"Hello.").as_bytes(),
    }
}

fn receipt_vector(name: &str, comment: &str, envelope: &Envelope) -> Vector {
    Vector::new("receipt", name, comment, codec::encode(envelope)).with("network", NET.0)
}

fn accept(name: &str, comment: &str, receipt: &Receipt) -> Vector {
    let envelope = sign(receipt, &[(0, HOST)]);
    receipt_vector(name, comment, &envelope)
        .with("id", receipt.id())
        .with("node", receipt.node)
        .with("fingerprints", receipt.fingerprints.len())
        .valid(Receipt::open(NET, &envelope).map(|_| ()))
}

fn refuse(name: &str, comment: &str, envelope: &Envelope) -> Vector {
    let verdict: Result<Receipt, Unsigned> = Receipt::open(NET, envelope);
    receipt_vector(name, comment, envelope).invalid(verdict.map(|_| ()))
}

fn broken(name: &str, comment: &str, change: impl FnOnce(&mut Receipt)) -> Vector {
    let mut receipt = receipt(0, 70);
    change(&mut receipt);
    refuse(name, comment, &sign(&receipt, &[(0, HOST)]))
}

pub(super) fn receipt_file() -> VectorFile {
    let terms = Terms {
        tokens_max: Some(33),
        constraint: Some(Constraint::Json),
        stop: vec!["\n".to_owned()],
        ignore_end: false,
    };
    let drawn = Receipt {
        sampling: Sampling {
            temperature: Real::new(0.7),
            top_k: 40,
            top_p: Real::new(0.95),
            logit_bias: vec![(5, Real::new(-100.0))],
            seed: u64::MAX,
            ..Sampling::greedy()
        },
        file: None,
        terms_hash: terms.hash(),
        finish: Finish::Length,
        ..receipt(0, 33)
    };
    VectorFile {
        name: "receipt",
        about: "Signed receipts of answers: one envelope each.",
        vectors: vec![
            accept("greedy", "Three fingerprints.", &receipt(0, 70)),
            accept("drawn", "Drawn with a temperature.", &drawn),
            accept("resumed", "Begun by another host.", &receipt(31, 70)),
            accept("empty", "The model had nothing to say.", &receipt(0, 0)),
            refuse(
                "of_another_node",
                "Signed by who asked.",
                &sign(&receipt(0, 70), &[(0, ASKER)]),
            ),
            refuse("unsigned", "Signed by nobody.", &sign(&receipt(0, 70), &[])),
            refuse(
                "signed_twice",
                "A second signature, by a key that has no place.",
                &sign(&receipt(0, 70), &[(0, HOST), (1, ASKER)]),
            ),
            broken("fingerprint_missing", "The second is left out.", |r| {
                r.fingerprints.remove(1);
            }),
            broken("fingerprint_elsewhere", "At the 31st token.", |r| {
                r.fingerprints[1].position = 31;
            }),
            broken("fingerprint_empty", "No logits.", |r| {
                r.fingerprints[0].top.clear();
            }),
            broken("fingerprint_unsorted", "A rising logit.", |r| {
                r.fingerprints[0].top.swap(0, 1);
            }),
            broken("fingerprint_twice", "One token twice.", |r| {
                r.fingerprints[0].top[2].0 = 7;
            }),
            broken("too_many_logits", "Nine logits.", |r| {
                r.fingerprints[0].top = (0..9).map(|n| (n, Real::ZERO)).collect();
            }),
            broken("resumed_beyond", "More given than there is.", |r| {
                r.resumed_tokens = 71;
            }),
            broken("hidden_text", "A name that clears a terminal.", |r| {
                r.engine = "weft\u{1b}[2J".to_owned();
            }),
        ],
    }
}

fn complaint() -> Complaint {
    Complaint {
        complainant: node(ASKER),
        node: node(HOST),
        receipt: receipt(0, 70).id(),
        revision: id(30),
        fault: Fault::Logits,
        position: 32,
        difference: Real::new(1.5),
        tolerance: Real::new(0.35),
        auditor: node(AUDITOR),
        numerics: numerics(),
        issued: NOW,
    }
}

fn complaint_vector(
    name: &str,
    comment: &str,
    signer: u8,
    change: impl FnOnce(&mut Complaint),
) -> (Vector, Result<Complaint, Unsigned>) {
    let mut complaint = complaint();
    change(&mut complaint);
    let envelope = sign(&complaint, &[(0, signer)]);
    let vector = Vector::new("complaint", name, comment, codec::encode(&envelope));
    let verdict = Complaint::open(NET, &envelope);
    (vector.with("network", NET.0), verdict)
}

pub(super) fn complaint_file() -> VectorFile {
    let accept = |name, comment, change: fn(&mut Complaint)| {
        let (vector, verdict) = complaint_vector(name, comment, ASKER, change);
        vector
            .with("complainant", node(ASKER))
            .with("node", node(HOST))
            .valid(verdict.map(|_| ()))
    };
    let refuse = |name, comment, signer, change: fn(&mut Complaint)| {
        let (vector, verdict) = complaint_vector(name, comment, signer, change);
        vector.invalid(verdict.map(|_| ()))
    };
    VectorFile {
        name: "complaint",
        about: "Signed complaints about receipts: one envelope each.",
        vectors: vec![
            accept("logits", "A third node computed other logits.", |_| {}),
            accept("by_oneself", "The asker computed it again.", |c| {
                c.auditor = c.complainant;
                c.fault = Fault::Token;
            }),
            accept("text", "The text is not that of the tokens.", |c| {
                c.fault = Fault::Text;
            }),
            accept("finish", "Nothing ends the answer there.", |c| {
                c.fault = Fault::Finish;
            }),
            refuse("of_another_node", "Signed by the auditor.", AUDITOR, |_| {}),
            refuse("about_oneself", "The complainant is the host.", HOST, |c| {
                c.complainant = c.node;
            }),
            refuse("host_as_witness", "The auditor is the host.", ASKER, |c| {
                c.auditor = c.node;
            }),
        ],
    }
}
