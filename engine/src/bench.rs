//! How fast a model reads and writes, measured as llama.cpp's own tool does: one prompt of random tokens, and single
//! tokens after an empty context.

use std::{io::Write, time::Instant};

use crate::{
    Options,
    decoder::{Cache, Chunk, Decoder},
    model::{self, Network},
    process::{Ended, settle},
    refusal::{OrRefuse, Result, unsupported},
};

const PROMPT_LEN: usize = 512;
const ANSWER_LEN: usize = 48;
const REPEATS: usize = 3;

/// Measures a model and writes what was seen, a line each.
///
/// # Errors
/// If it cannot be loaded or computed.
pub fn run(options: &Options, output: &mut impl Write) -> Result<(), Ended> {
    settle(options.threads)?;
    let start = Instant::now();
    let model = model::load(options)?;
    writeln!(output, "load {:.3} s", start.elapsed().as_secs_f64())?;
    let Network::Decoder { decoder, .. } = &model.network else {
        return Err(unsupported("only models that continue text are measured").into());
    };
    let vocabulary = decoder.config().vocabulary;
    // Any ids will do.
    let ids: Vec<u32> = (0..PROMPT_LEN)
        .map(|at| ((at * 7919 + 13) % vocabulary) as u32)
        .collect();
    let mut least = [f64::INFINITY; 3];
    for _ in 0..=REPEATS {
        let seconds = [
            prompt(decoder, &ids).or_failed("the model")?,
            answers(decoder, &ids, 1).or_failed("the model")?,
            answers(decoder, &ids, options.parallel).or_failed("the model")?,
        ];
        for (least, seconds) in least.iter_mut().zip(seconds) {
            *least = least.min(seconds);
        }
    }
    let [read, one, many] = least;
    writeln!(output, "prefill {:.1} tokens/s", PROMPT_LEN as f64 / read)?;
    writeln!(output, "decode {:.1} tokens/s", ANSWER_LEN as f64 / one)?;
    let all = ANSWER_LEN * options.parallel;
    writeln!(
        output,
        "decode of {} {:.1} tokens/s",
        options.parallel,
        all as f64 / many
    )?;
    Ok(())
}

/// Seconds to read a prompt.
fn prompt(decoder: &Decoder, ids: &[u32]) -> Result<f64> {
    let mut cache = Cache::new(decoder.shape())?;
    let start = Instant::now();
    decoder.forward(&mut [Chunk {
        cache: &mut cache,
        tokens: ids,
        wanted: vec![ids.len() - 1],
    }])?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds to write several answers side by side.
fn answers(decoder: &Decoder, ids: &[u32], count: usize) -> Result<f64> {
    let mut caches = (0..count)
        .map(|_| Cache::new(decoder.shape()))
        .collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for id in &ids[..ANSWER_LEN] {
        let mut chunks: Vec<Chunk<'_>> = caches
            .iter_mut()
            .map(|cache| Chunk {
                cache,
                tokens: std::slice::from_ref(id),
                wanted: vec![0],
            })
            .collect();
        decoder.forward(&mut chunks)?;
    }
    Ok(start.elapsed().as_secs_f64())
}
