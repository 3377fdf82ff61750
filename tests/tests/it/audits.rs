//! Receipts of a real engine, honest and not, under audit.
//!
//! `WEFT_TEST_RECEIPTS=200` checks as many answers of each kind instead of a few, and prints how far they lie apart:
//! that is where the tolerances come from.
#![expect(
    clippy::print_stderr,
    reason = "the figures are what the long form is for"
)]

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use weft_protocol::{
    id::{NodeId, ObjectId},
    infer::{
        Event, Fingerprint, Finish, Generate, Job, Numerics, Prompt, Real, Receipt, Sampling,
        Score,
        audit::{self, Evidence, Verdict},
        receipt::{answer_hash, fingerprint_positions},
    },
    time::Timestamp,
};
use weft_tests::engine::Engine;

/// Tokens of an answer.
const LEN: u32 = 64;

/// One answer and what was signed about it.
#[derive(Debug, Clone)]
struct Answer {
    receipt: Receipt,
    prompt: Prompt,
    tokens: Vec<u32>,
}

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

fn sampling(n: usize) -> Sampling {
    if n.is_multiple_of(2) {
        return Sampling::greedy();
    }
    Sampling {
        temperature: Real::new(0.8),
        top_p: Real::new(0.95),
        seed: n as u64,
        ..Sampling::greedy()
    }
}

fn numerics(engine: &Engine) -> Numerics {
    Numerics {
        weights: engine.description.quantization.clone(),
        kernel_class: engine.description.kernel_class.clone(),
    }
}

/// Answers with receipts as a host signs them.
fn answers(engine: &mut Engine, prompts: &[Prompt]) -> Result<Vec<Answer>> {
    let job = |(n, prompt): (usize, &Prompt)| {
        Job::Generate(Generate {
            sampling: sampling(n),
            tokens_max: Some(LEN),
            ignore_end: true,
            fingerprint_every: Fingerprint::EVERY,
            ..Generate::greedy(prompt.clone())
        })
    };
    let jobs: Vec<Job> = prompts.iter().enumerate().map(job).collect();
    let heard = engine.all(&jobs)?;
    let numerics = numerics(engine);
    let mut answers = Vec::new();
    for ((n, events), prompt) in heard.into_iter().enumerate().zip(prompts) {
        let (mut tokens, mut hash, mut prints, mut prompt_tokens) =
            (Vec::new(), None, Vec::new(), 0);
        for event in events {
            match event {
                Event::Started {
                    prompt_hash,
                    prompt_tokens: count,
                    ..
                } => {
                    (hash, prompt_tokens) = (Some(prompt_hash), count);
                }
                Event::Tokens { tokens: more, .. } => tokens.extend(more.iter().map(|t| t.id)),
                Event::Done { fingerprints, .. } => prints = fingerprints,
                other => anyhow::bail!("{other:?}"),
            }
        }
        let len = u32::try_from(tokens.len())?;
        prints.retain(|print| print.position < len);
        ensure!(
            fingerprint_positions(len).eq(prints.iter().map(|p| p.position)),
            "{prints:?}"
        );
        answers.push(Answer {
            receipt: Receipt {
                node: NodeId::new([1; 32]),
                asker: NodeId::new([2; 32]),
                revision: ObjectId::new([3; 32]),
                file: None,
                engine: "weft".to_owned(),
                numerics: numerics.clone(),
                prompt_hash: hash.context("it began")?,
                prompt_tokens,
                answer_hash: answer_hash(&tokens),
                answer_tokens: len,
                resumed_tokens: 0,
                sampling: sampling(n),
                constrained: 0,
                finish: Finish::Length,
                fingerprints: prints,
                prompt_millis: 0,
                answer_millis: 0,
                issued: Timestamp(0),
            },
            prompt: prompt.clone(),
            tokens,
        });
    }
    Ok(answers)
}

/// What an auditor with this engine says of each.
fn audit(engine: &mut Engine, answers: &[Answer]) -> Result<Vec<(Verdict, Spread)>> {
    let job = |answer: &Answer| {
        Job::Score(Score {
            prompt: answer.prompt.clone(),
            answer: answer.tokens.clone(),
            fingerprint_every: 1,
            sampling: Some(answer.receipt.sampling.clone()),
        })
    };
    let jobs: Vec<Job> = answers.iter().map(job).collect();
    let numerics = numerics(engine);
    let mut verdicts = Vec::new();
    for (events, answer) in engine.all(&jobs)?.into_iter().zip(answers) {
        let Some(Event::Scored {
            fingerprints,
            prompt_hash,
            gaps,
        }) = events.into_iter().next_back()
        else {
            anyhow::bail!("no score");
        };
        let evidence = Evidence {
            answer: &answer.tokens,
            prompt_hash,
            fingerprints: &fingerprints,
            gaps: &gaps,
            numerics: &numerics,
        };
        let spread = Spread::of(&answer.receipt.fingerprints, &fingerprints, &gaps);
        verdicts.push((audit::judge(&answer.receipt, &evidence), spread));
    }
    Ok(verdicts)
}

/// How far an answer and an auditor lie apart.
#[derive(Debug, Clone, Copy)]
struct Spread {
    /// Of a single logit.
    logit: f32,
    /// The root of the mean of squares.
    mean: f32,
    /// Of a token from what its logits allow.
    gap: f32,
}

impl Spread {
    fn of(signed: &[Fingerprint], own: &[Fingerprint], gaps: &[Real]) -> Self {
        let (mut largest, mut squares, mut count) = (0.0_f32, 0.0_f32, 0.0_f32);
        for print in signed {
            let found = own.iter().find(|own| own.position == print.position);
            for (id, a) in &print.top {
                let b = found.and_then(|own| own.top.iter().find(|(other, _)| other == id));
                let difference = b.map_or(0.0, |(_, b)| (a.get() - b.get()).abs());
                largest = largest.max(difference);
                squares += difference * difference;
                count += 1.0;
            }
        }
        Self {
            logit: largest,
            mean: (squares / count.max(1.0)).sqrt(),
            gap: gaps.iter().fold(0.0, |most, gap| most.max(gap.get())),
        }
    }
}

fn caught(verdicts: &[(Verdict, Spread)]) -> usize {
    let differs = |(verdict, _): &&(Verdict, Spread)| matches!(verdict, Verdict::Differs(_));
    verdicts.iter().filter(differs).count()
}

/// Least, median and largest of something.
fn range(verdicts: &[(Verdict, Spread)], pick: fn(&Spread) -> f32) -> String {
    let mut all: Vec<f32> = verdicts.iter().map(|(_, spread)| pick(spread)).collect();
    all.sort_by(f32::total_cmp);
    let at = |n: usize| all.get(n).copied().unwrap_or(0.0);
    let (least, median, most) = (at(0), at(all.len() / 2), at(all.len().saturating_sub(1)));
    format!("{least:.5} / {median:.5} / {most:.5}")
}

/// A row of the table in `docs/performance.md`.
fn tell(what: &str, verdicts: &[(Verdict, Spread)]) {
    eprintln!(
        "| {what} | {} of {} | {} | {} | {} |",
        caught(verdicts),
        verdicts.len(),
        range(verdicts, |spread| spread.logit),
        range(verdicts, |spread| spread.mean),
        range(verdicts, |spread| spread.gap),
    );
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

#[derive(Debug, Default)]
struct Found {
    honest: Vec<(String, Vec<(Verdict, Spread)>)>,
    cheats: Vec<(String, Vec<(Verdict, Spread)>)>,
}

impl Found {
    fn honest(&mut self, what: String, verdicts: Vec<(Verdict, Spread)>) {
        tell(&what, &verdicts);
        self.honest.push((what, verdicts));
    }

    fn cheat(&mut self, what: String, verdicts: Vec<(Verdict, Spread)>) {
        tell(&what, &verdicts);
        self.cheats.push((what, verdicts));
    }

    fn check(&self) -> Result<()> {
        for (what, verdicts) in &self.honest {
            for (verdict, spread) in verdicts {
                let agrees = matches!(verdict, Verdict::Agrees(_));
                ensure!(agrees, "{what}: {verdict:?} {spread:?}");
            }
        }
        for (what, verdicts) in &self.cheats {
            let (caught, all) = (caught(verdicts), verdicts.len());
            ensure!(
                caught * 100 >= all * 99,
                "{what}: {caught} of {all}: {verdicts:?}"
            );
        }
        Ok(())
    }
}

#[test]
fn honest_receipts_hold_and_cheats_do_not() -> Result<()> {
    let count = std::env::var("WEFT_TEST_RECEIPTS").map_or(Ok(4), |text| text.parse())?;
    let asked = texts(count);
    let formats = ["", "wren-3m.Q8_0.gguf", "wren-3m.Q4_K_M.gguf"];
    let mut found = Found::default();
    let (mut served, mut strange) = (Vec::new(), Vec::new());
    eprintln!("| receipts | differ | a logit: least / median / most | mean | gap |");
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

        // A token that somebody changed before the answer was told.
        let mut edited = answers.clone();
        for (n, answer) in edited.iter_mut().enumerate() {
            let at = n * 7 % answer.tokens.len();
            answer.tokens[at] = answer.tokens[at] % 1_000 + 17;
            answer.receipt.answer_hash = answer_hash(&answer.tokens);
        }
        found.cheat(format!("edited, {weights}"), audit(&mut one, &edited)?);

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
            cut.prompt = honest.prompt.clone();
            cut.receipt.prompt_hash = honest.receipt.prompt_hash;
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
        for (_, class, auditor) in strange.iter_mut().filter(|(own, ..)| *own == claimed) {
            let what = format!("{what}, checked with {class}");
            found.cheat(what, audit(auditor, &answers)?);
        }
        found.cheat(what, audit(&mut served[dear].1, &answers)?);
    }
    found.check()
}

fn weights(answers: &[Answer]) -> &str {
    &answers[0].receipt.numerics.weights
}

/// Lets answers claim the numerics of others.
fn claim(answers: &mut [Answer], others: &[Answer]) {
    for (answer, other) in answers.iter_mut().zip(others) {
        answer.receipt.numerics = other.receipt.numerics.clone();
        answer.receipt.prompt_hash = other.receipt.prompt_hash;
    }
}
