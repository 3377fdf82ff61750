//! One engine: a process of its own that runs one model, and the frames between it and this node.
//!
//! It is started with an empty environment and talks over its standard input and output. What it sends is bounded and
//! decoded strictly; whatever else it does ends in one [`Signal::Ended`], and the node goes on. It never outlives the
//! value that stands for it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use weft_protocol::{
    infer::{Description, Event, FromEngine, Refusal, ToEngine},
    wire::{self, Message},
};

/// Orders that wait for an engine which does not read: a start and a cancellation for each of its jobs many times.
const ORDERS_MAX: usize = 1_024;
/// What is kept of an engine's last words.
const LAST_WORDS_LEN: usize = 2_048;
/// Variables that an engine is started with if this node has them: where libraries and accelerators are.
const KEPT: [&str; 3] = ["LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "RUST_BACKTRACE"];
#[cfg(feature = "faults")]
const TEST_ENGINE: &str = "WEFT_TEST_ENGINE";

/// How engines are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This program, as an engine.
    pub(super) fn own() -> io::Result<Self> {
        #[cfg(feature = "faults")]
        if let Some(path) = env::var_os(TEST_ENGINE) {
            return Ok(Self {
                path: path.into(),
                arguments: Vec::new(),
            });
        }
        // The program that runs, even if another was installed in its place meanwhile.
        let running = Path::new("/proc/self/exe");
        let path = match fs::exists(running) {
            Ok(true) => running.to_owned(),
            _ => env::current_exe()?,
        };
        Ok(Self {
            path,
            arguments: vec!["engine".into()],
        })
    }
}

/// What an engine is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The model's file or folder.
    pub(super) model: PathBuf,
    /// Jobs side by side.
    pub(super) slots: usize,
    /// Tokens of prompt and answer at most.
    pub(super) context_max: Option<u32>,
    /// Threads that compute.
    pub(super) threads: Option<usize>,
}

/// What comes from an engine.
#[derive(Debug)]
pub(super) enum Signal {
    /// The model is loaded.
    Ready(Box<Description>),
    /// It cannot be.
    Unloadable(Refusal),
    /// A job went on.
    Event {
        /// Which.
        job: u64,
        /// How.
        event: Event,
    },
    /// The process is gone, for this reason. Nothing comes after this.
    Ended(String),
}

/// A running engine. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    orders: SyncSender<ToEngine>,
    pid: u32,
}

impl Process {
    /// Starts one; `sink` hears of it from a thread of its own.
    pub(super) fn start(
        program: &Program,
        task: &Task,
        sink: impl Fn(Signal) + Send + 'static,
    ) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).arg(&task.model);
        command.arg("--parallel").arg(task.slots.to_string());
        if let Some(context_max) = task.context_max {
            command.arg("--context").arg(context_max.to_string());
        }
        if let Some(threads) = task.threads {
            command.arg("--threads").arg(threads.to_string());
        }
        command.env_clear();
        for name in KEPT {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("all three were asked for");
        };
        let child = Arc::new(Mutex::new(child));
        let (orders, received) = sync_channel(ORDERS_MAX);
        let process = Self {
            child: Arc::clone(&child),
            orders,
            pid,
        };
        // If one of these fails, the value is dropped and the process with it.
        spawn("engine-orders", move || write_orders(stdin, &received))?;
        let words = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&words);
        let listener = spawn("engine-words", move || listen(stderr, &heard))?;
        spawn("engine-events", move || {
            let reason = read_signals(stdout, &sink);
            lock(&child).kill().ok();
            let status = lock(&child).wait();
            let _ = listener.join();
            let words = String::from_utf8_lossy(&lock(&words)).trim().to_owned();
            let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
            tracing::debug!(pid, status, words, "an engine ended");
            let last = words.lines().last().unwrap_or_default();
            let last = if last.is_empty() {
                String::new()
            } else {
                format!(": {last}")
            };
            sink(Signal::Ended(format!("{reason} ({status}){last}")));
        })?;
        Ok(process)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells it something; false if it does not listen any more.
    pub(super) fn tell(&self, order: ToEngine) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Ends it. Its jobs end with [`Signal::Ended`].
    pub(super) fn kill(&self) {
        lock(&self.child).kill().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn write_orders(stdin: ChildStdin, orders: &Receiver<ToEngine>) {
    let mut stdin = BufWriter::new(stdin);
    while let Ok(order) = orders.recv() {
        let bytes = wire::encode(&order);
        let Ok(len) = u32::try_from(bytes.len()) else {
            continue;
        };
        let written = stdin
            .write_all(&len.to_le_bytes())
            .and_then(|()| stdin.write_all(&bytes))
            .and_then(|()| stdin.flush());
        if written.is_err() {
            // It is gone, which the reader of its other end tells.
            return;
        }
    }
}

/// Reads until the process ends or sends what makes no sense; says which.
fn read_signals(stdout: ChildStdout, sink: &impl Fn(Signal)) -> String {
    let mut stdout = BufReader::new(stdout);
    loop {
        match read_frame(&mut stdout) {
            Ok(Some(FromEngine::Ready(description))) => sink(Signal::Ready(Box::new(description))),
            Ok(Some(FromEngine::Unloadable(refusal))) => sink(Signal::Unloadable(refusal)),
            Ok(Some(FromEngine::Event { job, event })) => sink(Signal::Event { job, event }),
            Ok(None) => return "the engine ended".to_owned(),
            Err(reason) => return reason,
        }
    }
}

/// One frame; `None` at the end.
fn read_frame(reader: &mut impl Read) -> Result<Option<FromEngine>, String> {
    let mut len = [0; 4];
    if reader.read_exact(&mut len).is_err() {
        return Ok(None);
    }
    let len = u64::from(u32::from_le_bytes(len));
    if len > FromEngine::LEN_MAX as u64 {
        return Err(format!("the engine sent a frame of {len} bytes"));
    }
    let mut bytes = Vec::new();
    // Grows with what arrives, not with what was promised.
    match reader.take(len).read_to_end(&mut bytes) {
        Ok(read) if read as u64 == len => {}
        _ => return Ok(None),
    }
    wire::decode(&bytes)
        .map(Some)
        .map_err(|error| format!("the engine sent what makes no sense: {error}"))
}

/// Keeps the end of what it says on its standard error.
fn listen(mut stderr: ChildStderr, heard: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1_024];
    while let Ok(len @ 1..) = stderr.read(&mut buffer) {
        let mut heard = lock(heard);
        heard.extend_from_slice(buffer.get(..len).unwrap_or_default());
        let surplus = heard.len().saturating_sub(LAST_WORDS_LEN);
        heard.drain(..surplus);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &FromEngine) -> Vec<u8> {
        let bytes = wire::encode(message);
        let len = u32::try_from(bytes.len()).unwrap();
        [&len.to_le_bytes()[..], &bytes].concat()
    }

    #[test]
    fn frames_are_read_to_the_end_and_nonsense_is_refused() {
        let gone = FromEngine::Unloadable(Refusal::Broken("x".to_owned()));
        let mut bytes = frame(&gone);
        bytes.extend(frame(&gone));
        let mut reader = &bytes[..];
        assert_eq!(read_frame(&mut reader), Ok(Some(gone.clone())));
        assert_eq!(read_frame(&mut reader), Ok(Some(gone)));
        assert_eq!(read_frame(&mut reader), Ok(None));
        // Cut short, the process died in the middle of it.
        assert_eq!(read_frame(&mut &bytes[..7]), Ok(None));
        assert!(read_frame(&mut &[255, 255, 255, 255, 0][..]).is_err());
        assert!(read_frame(&mut &[2, 0, 0, 0, 0x82, 9][..]).is_err());
    }
}
