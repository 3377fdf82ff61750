//! An engine without a node: `weft engine`, spoken to over its pipes.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use weft_protocol::{
    infer::{Description, Event, FromEngine, Job, Rank, ToEngine},
    wire::{self, Message as _},
};

use crate::program;

/// Jobs side by side.
const SLOTS: usize = 8;

/// A running engine; killed when dropped.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    /// What it said of the model.
    pub description: Description,
    next: u64,
}

impl Engine {
    /// Loads a model with so many threads.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn start(model: &Path, threads: usize) -> Result<Self> {
        Self::start_with(model, threads, "")
    }

    /// The same with kernels of other instructions, if this processor has them.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn start_with(model: &Path, threads: usize, kernels: &str) -> Result<Self> {
        let mut child = Command::new(program::binary()?)
            .arg("engine")
            .arg(model)
            .args(["--parallel", &SLOTS.to_string()])
            .args(["--threads", &threads.to_string()])
            .env("WEFT_KERNELS", kernels)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match read(&mut child)? {
            FromEngine::Ready(description) => Ok(Self {
                child,
                description,
                next: 0,
            }),
            other => bail!("the engine does not load `{}`: {other:?}", model.display()),
        }
    }

    /// Does jobs, several side by side; answers with the events of each, in order.
    ///
    /// # Errors
    /// When the engine ends.
    pub fn all(&mut self, jobs: &[Job]) -> Result<Vec<Vec<Event>>> {
        let mut answers = Vec::new();
        for jobs in jobs.chunks(SLOTS) {
            let mut heard: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
            for job in jobs {
                self.next += 1;
                heard.insert(self.next, Vec::new());
                self.write(&ToEngine::Start {
                    rank: Rank::Own,
                    job: self.next,
                    what: Box::new(job.clone()),
                })?;
            }
            let is_over = |events: &Vec<Event>| {
                !matches!(
                    events.last(),
                    None | Some(Event::Started { .. } | Event::Tokens { .. })
                )
            };
            while !heard.values().all(is_over) {
                let FromEngine::Event { job, event } = read(&mut self.child)? else {
                    bail!("the engine loads again");
                };
                heard.get_mut(&job).context("another job")?.push(event);
            }
            answers.extend(heard.into_values());
        }
        Ok(answers)
    }

    fn write(&mut self, message: &ToEngine) -> Result<()> {
        let bytes = wire::encode(message);
        let input = self.child.stdin.as_mut().context("a pipe")?;
        input.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        input.write_all(&bytes)?;
        input.flush()?;
        Ok(())
    }
}

fn read(child: &mut Child) -> Result<FromEngine> {
    let output = child.stdout.as_mut().context("a pipe")?;
    let mut len = [0; 4];
    output.read_exact(&mut len).context("the engine ended")?;
    let len = u32::from_le_bytes(len) as usize;
    ensure!(len <= FromEngine::LEN_MAX, "a frame of {len} bytes");
    let mut bytes = vec![0; len];
    output.read_exact(&mut bytes)?;
    Ok(wire::decode(&bytes)?)
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
