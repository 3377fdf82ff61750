//! The process: frames in, frames out.

mod frames;
mod prepare;
mod threads;

use std::{
    io::{self, BufReader, BufWriter, Write as _},
    sync::mpsc,
    thread,
};

use frames::{read, write};
pub(crate) use prepare::work;
pub(crate) use threads::{pool, settle};
use weft_protocol::infer::{FromEngine, Refusal};

use crate::{
    Options,
    batch::{Batch, Command, Teller, Watch, guarded},
    model,
};

/// Events on their way out. A node that reads slowly slows the model down rather than filling memory.
const EVENTS_MAX: usize = 256;
/// Commands on their way in; more wait in the pipe.
const COMMANDS_MAX: usize = 64;

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The model could not be loaded; the node was told.
    #[error(transparent)]
    Unloadable(#[from] Refusal),
    /// The pipes broke.
    #[error("the pipe to the node broke: {0}")]
    Pipe(#[from] io::Error),
}

/// Loads the model and serves jobs on standard input and output, until the input ends.
///
/// # Errors
/// If the model cannot be loaded, which the node is told as well.
pub fn run(options: &Options) -> Result<(), Ended> {
    settle(options.threads)?;
    let mut output = BufWriter::new(io::stdout());
    let model = match guarded(|| model::load(options)) {
        Ok(model) => model,
        Err(refusal) => {
            write(&mut output, &FromEngine::Unloadable(refusal.clone()))?;
            output.flush()?;
            return Err(refusal.into());
        }
    };
    write(&mut output, &FromEngine::Ready(model.description.clone()))?;
    output.flush()?;
    let texts = model.texts.clone();
    let context = model.description.context_len as usize;
    let (teller, events) = mpsc::sync_channel(EVENTS_MAX);
    let (commander, commands) = mpsc::sync_channel(COMMANDS_MAX);
    let teller = Teller(teller);
    let writer = thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || tell_all(&mut output, &events))?;
    let batch = Batch::new(model, options.parallel, teller.clone());
    let watch = batch.watch();
    let reader = thread::Builder::new()
        .name("commands".to_owned())
        .spawn(move || hear_all((&texts, context), &commander, &watch, &teller))?;
    batch.run(&commands);
    // The input has ended, or cannot be understood; whatever is still to be told is told.
    let heard = reader.join().unwrap_or(Ok(()));
    let told = writer.join().unwrap_or(Ok(()));
    heard.and(told).map_err(Ended::Pipe)
}

fn tell_all(
    output: &mut BufWriter<io::Stdout>,
    events: &mpsc::Receiver<FromEngine>,
) -> io::Result<()> {
    while let Ok(event) = events.recv() {
        write(output, &event)?;
        // What a pass has told of several answers goes in one piece.
        for event in events.try_iter() {
            write(output, &event)?;
        }
        output.flush()?;
    }
    Ok(())
}

fn hear_all(
    (texts, context): (&model::Texts, usize),
    commander: &mpsc::SyncSender<Command>,
    watch: &Watch,
    teller: &Teller,
) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin());
    while let Some(frame) = read(&mut input)? {
        let Some(command) = prepare::prepare(frame, texts, context, teller) else {
            continue;
        };
        let news = command.news();
        if commander.send(command).is_err() {
            break;
        }
        // Only now, so that whoever is interrupted finds the reason.
        watch.hear(news);
    }
    Ok(())
}
