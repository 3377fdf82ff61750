//! Receipts of a real engine, honest and not, under audit.
//!
//! `WEFT_TEST_RECEIPTS=200` checks as many answers of each kind instead of a few, and prints how far they lie apart:
//! that is where the tolerances come from.
#![expect(
    clippy::print_stderr,
    reason = "the figures are what the long form is for"
)]

mod answers;
mod report;

use std::path::{Path, PathBuf};

use answers::{Answer, answers, audit};
use anyhow::{Context as _, Result, ensure};
use report::Table;
use weft_protocol::infer::{Constraint, Generate, Prompt};
use weft_tests::engine::Engine;

/// A class that no auditor here has.
const OTHER_KERNELS: &str = "candle-0.11/x86_64-avx2";

fn model(name: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/wren-3m");
    if name.is_empty() {
        data
    } else {
        data.join(name)
    }
}

fn prompts(count: usize) -> Vec<String> {
    let who = [
        "a small bird",
        "the old king",
        "Tom",
        "a girl named Lily",
        "the red fox",
        "my friend",
    ];
    let place = [
        "in the forest",
        "by the sea",
        "at home",
        "under a tree",
        "in a big city",
    ];
    let what = [
        "found a box",
        "lost the way",
        "saw a light",
        "wanted to play",
        "told a secret",
    ];
    (0..count)
        .map(|n| {
            let (who, rest) = (who[n % who.len()], n / who.len());
            let (place, rest) = (place[rest % place.len()], rest / place.len());
            let what = what[rest % what.len()];
            // Some are read in several pieces, beside others.
            let more = format!(" Every day {who} said hello to the big dog.").repeat(n % 3 / 2 * 20);
            format!(
                "Once upon a time {who} was {place} and {what}. It was day {n} of the year.{more} Then"
            )
        })
        .collect()
}

fn texts(count: usize) -> Vec<Prompt> {
    let text = |text| Prompt::Text { text, raw: false };
    prompts(count).into_iter().map(text).collect()
}

/// The model with weights of two bits less: another one that is as like it as can be.
fn other_model(folder: &Path) -> Result<()> {
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(model(name), folder.join(name))?;
    }
    let mut bytes = std::fs::read(model("model.safetensors"))?;
    let (len, _) = bytes.split_first_chunk().context("a length")?;
    let header = usize::try_from(u64::from_le_bytes(*len))?;
    // All of them are BF16, in little-endian order.
    for weight in bytes.iter_mut().skip(8 + header).step_by(2) {
        *weight &= 0b1111_1100;
    }
    std::fs::write(folder.join("model.safetensors"), bytes)?;
    Ok(())
}

#[test]
fn honest_receipts_hold_and_cheats_do_not() -> Result<()> {
    let count = std::env::var("WEFT_TEST_RECEIPTS").map_or(Ok(4), |text| text.parse())?;
    let asked = texts(count);
    let formats = ["", "wren-3m.Q8_0.gguf", "wren-3m.Q4_K_M.gguf"];
    let mut found = Table::begin();
    let (mut served, mut strange) = (Vec::new(), Vec::new());
    for name in formats {
        let mut one = Engine::start(&model(name), 1)?;
        let mut two = Engine::start(&model(name), 2)?;
        let answers = answers(&mut one, &asked)?;
        let weights = answers[0].receipt.numerics.weights.clone();
        let what = format!("honest, {weights}, 1 thread, checked with 2");
        found.honest(what, audit(&mut two, &answers)?);
        let by_two = self::answers(&mut two, &asked)?;
        let what = format!("honest, {weights}, 2 threads, checked with 1");
        found.honest(what, audit(&mut one, &by_two)?);

        // Another processor, which computes the same bits.
        for class in ["x86_64-avx2", "portable"] {
            let mut other = Engine::start_with(&model(name), 2, class)?;
            let verdicts = audit(&mut other, &answers)?;
            let apart = verdicts.iter().find(|(_, spread)| spread.logit > 0.0);
            ensure!(apart.is_none(), "{weights}, {class}: {apart:?}");
            found.honest(format!("honest, {weights}, checked with {class}"), verdicts);
            strange.push((weights.clone(), class, other));
        }

        cheat_with_words(&mut found, &mut one, &answers)?;

        // The first half of the prompt is left out, and the receipt claims that it was not.
        let half = texts(count).into_iter().map(|prompt| match prompt {
            Prompt::Text { text, .. } => Prompt::Text {
                text: text[text.len() / 2..].to_owned(),
                raw: false,
            },
            other => other,
        });
        let half: Vec<Prompt> = half.collect();
        let mut cut = self::answers(&mut two, &half)?;
        for (cut, honest) in cut.iter_mut().zip(&answers) {
            cut.claim_prompt(honest)?;
        }
        found.cheat(format!("cut context, {weights}"), audit(&mut one, &cut)?);
        served.push((answers, one));
    }
    // Lower precision than was asked for, or another model, under the name of the one that was.
    let folder = tempfile::tempdir()?;
    other_model(folder.path())?;
    let mut others: Vec<PathBuf> = vec![folder.path().to_owned()];
    others.extend(std::env::var_os("WEFT_TEST_OTHER_MODEL").map(PathBuf::from));
    for other in &others {
        let mut answers = answers(&mut Engine::start(other, 2)?, &asked)?;
        claim(&mut answers, &served[0].0);
        let what = format!("another model, as {}", weights(&served[0].0));
        found.cheat(what, audit(&mut served[0].1, &answers)?);
    }
    for (cheap, dear) in [(1, 0), (2, 0), (2, 1)] {
        let mut answers = served[cheap].0.clone();
        let claimed = weights(&served[dear].0).to_owned();
        let what = format!("{} as {claimed}", weights(&answers));
        claim(&mut answers, &served[dear].0);
        if claimed == "Q8_0" {
            // It says that it has kernels which would explain some of the difference.
            let mut lying = answers.clone();
            for answer in &mut lying {
                answer.receipt.numerics.kernel_class = OTHER_KERNELS.to_owned();
            }
            let row = audit(&mut served[dear].1, &lying)?;
            found.liar(format!("{what}, lies about its kernel class"), row);
        }
        for (_, class, auditor) in strange.iter_mut().filter(|(own, ..)| *own == claimed) {
            let what = format!("{what}, checked with {class}");
            found.cheat(what, audit(auditor, &answers)?);
        }
        found.cheat(what, audit(&mut served[dear].1, &answers)?);
    }
    found.check()
}

/// Cheats whose logits are the right ones, with what they say of them.
fn cheat_with_words(found: &mut Table, auditor: &mut Engine, answers: &[Answer]) -> Result<()> {
    let weights = weights(answers).to_owned();
    let mut row = |what: &str, change: fn(usize, &mut Answer) -> Result<()>| {
        let mut cheats = answers.to_vec();
        for (n, answer) in cheats.iter_mut().enumerate() {
            change(n, answer)?;
        }
        found.cheat(format!("{what}, {weights}"), audit(auditor, &cheats)?);
        anyhow::Ok(())
    };
    row("edited", |n, answer| answer.edit(n * 7 % 64))?;
    row("edited text", |n, answer| answer.edit_text(n * 7 % 50))?;
    row("cut short, and said to be whole", |n, answer| {
        answer.cut_short(u32::try_from(n * 7 % 50)? + 1)
    })?;
    row("edited, and said to have been given", |n, answer| {
        answer.edit(n * 7 % 64)?;
        answer.receipt.resumed_tokens = answer.receipt.answer_tokens;
        Ok(())
    })?;
    row("edited, and said to have had to be JSON", |n, answer| {
        answer.edit(n * 7 % 64)?;
        let json = Generate {
            constraint: Some(Constraint::Json),
            ..answer.asked.clone()
        };
        answer.receipt.terms_hash = json.terms().hash();
        Ok(())
    })
}

fn weights(answers: &[Answer]) -> &str {
    &answers[0].receipt.numerics.weights
}

/// Lets answers claim the numerics of others.
fn claim(answers: &mut [Answer], others: &[Answer]) {
    for (answer, other) in answers.iter_mut().zip(others) {
        answer.receipt.numerics = other.receipt.numerics.clone();
    }
}
