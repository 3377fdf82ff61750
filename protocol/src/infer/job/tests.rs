use super::*;

fn terms(tokens_max: Option<u32>, constraint: Option<Constraint>) -> Terms {
    Terms {
        tokens_max,
        constraint,
        stop: vec!["\n".to_owned()],
        ignore_end: false,
    }
}

#[test]
fn terms_have_one_form_and_leave_nothing_out() {
    let encoded = |terms: &Terms| data_encoding::HEXLOWER.encode(&codec::encode(terms));
    // [null, null, ["\n"], false]
    assert_eq!(encoded(&terms(None, None)), "84f6f681610af4");
    // [33, [0, []], ["\n"], false]
    let json = terms(Some(33), Some(Constraint::Json));
    assert_eq!(encoded(&json), "84182182008081610af4");
    // [33, [1, ["{}"]], ["\n"], false]
    let schema = terms(Some(33), Some(Constraint::Schema("{}".to_owned())));
    assert_eq!(encoded(&schema), "841821820181627b7d81610af4");
    assert_eq!(json.hash(), *blake3::hash(&codec::encode(&json)).as_bytes());
}

#[test]
fn an_answer_is_said_to_answer_the_question_that_was_asked() {
    let asked = Generate {
        tokens_max: Some(9),
        stop: vec!["a".to_owned()],
        ignore_end: true,
        constraint: Some(Constraint::Json),
        resume: vec![4, 5],
        ..Generate::greedy(Prompt::Tokens { ids: vec![1] })
    };
    let said = Said {
        sampling: asked.sampling.clone(),
        terms: asked.terms(),
        resumed_tokens: 2,
    };
    let prompt = asked.prompt.clone();
    assert_eq!(said.question(prompt.clone(), &[4, 5, 6]), Some(asked));
    assert_eq!(said.question(prompt, &[4]), None);
}
