use super::*;
use crate::{
    id::ObjectId,
    infer::{Constraint, Prompt, Real, Sampled},
};

const NOW: Timestamp = Timestamp(1_000_000);

fn parties() -> Parties {
    Parties {
        node: NodeId::new([1; 32]),
        asker: NodeId::new([2; 32]),
        model: ModelId {
            revision: ObjectId::new([3; 32]),
            file: None,
        },
        now: NOW,
    }
}

fn question() -> Generate {
    Generate {
        resume: vec![7, 8],
        tokens_max: Some(5),
        stop: vec!["END".to_owned()],
        ..Generate::greedy(Prompt::Tokens { ids: vec![1] })
    }
}

fn tokens(text: &str, ids: &[u32]) -> Event {
    Event::Tokens {
        text: text.to_owned(),
        tokens: ids
            .iter()
            .map(|id| Sampled {
                id: *id,
                logprob: None,
                bytes: Vec::new(),
                top: Vec::new(),
            })
            .collect(),
    }
}

fn done(finish: Finish, answer_tokens: u32) -> Event {
    Event::Done {
        finish,
        usage: Usage {
            prompt_tokens: 1,
            answer_tokens,
            ..Usage::default()
        },
        fingerprints: fingerprint_positions(answer_tokens)
            .map(|position| Fingerprint {
                position,
                top: vec![(7, Real::ZERO)],
            })
            .collect(),
    }
}

/// What both hear.
fn heard(question: &Generate, events: &[Event]) -> Account {
    let mut account = Account::new(question);
    account.note(&Event::Started {
        prompt_tokens: 1,
        cached_tokens: 0,
        prompt_hash: [4; 32],
    });
    for event in events {
        account.note(event);
    }
    account
}

fn whole() -> Account {
    let events = [
        tokens("he", &[9]),
        tokens("llo", &[10]),
        done(Finish::Stop, 4),
    ];
    heard(&question(), &events)
}

fn signed(account: Account) -> Receipt {
    let numerics = Numerics {
        weights: "F32".to_owned(),
        kernel_class: "plain".to_owned(),
    };
    account
        .receipt(parties(), "weft", numerics)
        .expect("the answer has an end")
}

#[test]
fn a_receipt_of_what_both_heard_is_right_however_it_was_cut_into_messages() {
    let receipt = signed(whole());
    assert_eq!((receipt.answer_tokens, receipt.resumed_tokens), (4, 2));
    let joined = [tokens("hello", &[9, 10]), done(Finish::Stop, 4)];
    let account = heard(&question(), &joined);
    assert_eq!(account.check(&receipt, &parties()), Ok(()));
}

#[test]
fn whatever_the_asker_knows_must_be_in_the_receipt() {
    let refused = |wanted: Contradiction, change: fn(&mut Receipt)| {
        let mut receipt = signed(whole());
        change(&mut receipt);
        assert_eq!(whole().check(&receipt, &parties()), Err(wanted));
    };
    refused(Contradiction::Parties, |r| r.node = r.asker);
    refused(Contradiction::Parties, |r| r.asker = r.node);
    refused(Contradiction::Parties, |r| {
        r.revision = ObjectId::new([9; 32]);
    });
    refused(Contradiction::Prompt, |r| r.prompt_hash = [9; 32]);
    refused(Contradiction::Answer, |r| r.answer_hash = [9; 32]);
    refused(Contradiction::Answer, |r| r.answer_tokens = 3);
    // Who says that all tokens were given has none of his own held against him.
    refused(Contradiction::Resumed, |r| r.resumed_tokens = 4);
    refused(Contradiction::Resumed, |r| r.resumed_tokens = 0);
    refused(Contradiction::Asked, |r| {
        r.sampling.temperature = Real::new(9.0);
    });
    // Who says that it had to be JSON has its tokens held against other ones.
    refused(Contradiction::Asked, |r| {
        r.terms_hash = Generate {
            constraint: Some(Constraint::Json),
            ..question()
        }
        .terms()
        .hash();
    });
    refused(Contradiction::Text, |r| r.text_hash = [9; 32]);
    refused(Contradiction::Finish, |r| r.finish = Finish::Length);
    refused(Contradiction::Usage, |r| r.prompt_tokens = 2);
    refused(Contradiction::Issued, |r| {
        r.issued = NOW.plus(limits::CLOCK_SKEW_MAX * 2);
    });
}

#[test]
fn a_text_that_the_host_did_not_sign_is_noticed_by_who_read_it() {
    let receipt = signed(whole());
    let events = [tokens("hullo", &[9, 10]), done(Finish::Stop, 4)];
    let read = heard(&question(), &events);
    assert_eq!(read.check(&receipt, &parties()), Err(Contradiction::Text));
}

#[test]
fn an_end_that_cannot_be_is_none() {
    let ends = |question: &Generate, more: &[u32], finish: Finish| {
        let len = u32::try_from(question.resume.len() + more.len()).unwrap();
        let account = heard(question, &[tokens("a", more), done(finish, len)]);
        account.check(&signed(account.clone()), &parties()).is_ok()
    };
    let whole = question();
    assert!(ends(&whole, &[1], Finish::Stop));
    assert!(ends(&whole, &[1, 2, 3], Finish::Length));
    // The host's own limit, or its context.
    assert!(ends(&whole, &[1], Finish::Length));
    assert!(!ends(&whole, &[1], Finish::Cancelled));
    assert!(!ends(&whole, &[1, 2, 3, 4], Finish::Length), "too long");
    let endless = Generate {
        ignore_end: true,
        stop: vec![String::new()],
        ..question()
    };
    assert!(!ends(&endless, &[1], Finish::Stop), "nothing stops it");
    let fresh = Generate {
        resume: Vec::new(),
        ..question()
    };
    for finish in [Finish::Stop, Finish::Length] {
        assert!(!ends(&fresh, &[], finish), "nothing was said");
    }
    let none = Generate {
        tokens_max: Some(0),
        ..fresh
    };
    assert!(ends(&none, &[], Finish::Length), "nothing was asked for");
}

#[test]
fn there_is_no_receipt_without_an_end_or_with_fingerprints_left_out() {
    let numerics = Numerics {
        weights: "F32".to_owned(),
        kernel_class: "plain".to_owned(),
    };
    let begun = heard(&question(), &[tokens("a", &[1])]);
    let right = signed(whole());
    assert_eq!(
        begun.check(&right, &parties()),
        Err(Contradiction::Unfinished)
    );
    assert_eq!(begun.receipt(parties(), "weft", numerics.clone()), None);
    let mut silent = whole();
    silent.note(&Event::Done {
        finish: Finish::Stop,
        usage: Usage::default(),
        fingerprints: Vec::new(),
    });
    assert_eq!(silent.receipt(parties(), "weft", numerics), None);
}

#[test]
fn nobody_is_told_more_than_he_asked_for() {
    let limited = question();
    let unlimited = Generate {
        tokens_max: None,
        ..question()
    };
    for (question, ids, text, too_long) in [
        (&limited, 3, 3, false),
        (&limited, 4, 4, true),
        (&limited, 3, 1 << 20, true),
        (&unlimited, 1 << 19, 1 << 20, false),
        (&unlimited, 1 << 20, 1 << 20, true),
    ] {
        let told = tokens(&"x".repeat(text), &vec![9; ids]);
        assert_eq!(
            heard(question, &[told]).is_too_long(),
            too_long,
            "{ids} {text}"
        );
    }
}

#[test]
fn who_was_given_a_whole_answer_has_nothing_to_sign() {
    let adds = |question: &Generate, ids: &[u32]| {
        let account = heard(question, &[tokens("", ids), done(Finish::Stop, 2)]);
        account.was_complete()
    };
    assert!(adds(&question(), &[]));
    assert!(!adds(&question(), &[9]));
    let fresh = Generate {
        resume: Vec::new(),
        ..question()
    };
    assert!(!adds(&fresh, &[]));
}
