//! Threads that compute together.
//!
//! Work comes in hundreds of small pieces a second, each a few microseconds long. So a thread without work looks for
//! more for a moment before it sleeps, and nobody waits for a thread that came too late for any.

use std::{
    cell::UnsafeCell,
    fmt,
    hint::spin_loop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

/// Looks for work before a thread sleeps: some tens of microseconds.
const LOOKS: u32 = 4_000;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// Threads that compute together; the one that asks is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by whoever shares out work.
    busy: Mutex<()>,
}

struct Shared {
    /// Odd while there is work to join; a new number each time.
    round: AtomicU64,
    /// Threads that look at the work, or are about to find that there is none.
    inside: AtomicUsize,
    /// The next unit that nobody has taken.
    next: AtomicUsize,
    work: UnsafeCell<Option<(Task<'static>, usize)>>,
    panicked: AtomicBool,
    ended: AtomicBool,
    asleep: AtomicUsize,
    door: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `work` is written only while `round` is even and `inside` is zero, and read only by threads that are counted
// in `inside` and saw an odd `round` after that. All of these are sequentially consistent, so that a writer that sees
// zero after it made the round even knows that whoever comes later sees the even round.
unsafe impl Sync for Shared {}
// SAFETY: a task is `Sync`, so that a reference to it may move.
unsafe impl Send for Shared {}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .finish()
    }
}

impl Pool {
    /// As many threads, the asking one included. Fewer if the system gives no more.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            round: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            door: Mutex::new(()),
            wake: Condvar::new(),
        });
        let worker = |_| {
            let shared = shared.clone();
            let named = thread::Builder::new().name("compute".to_owned());
            named.spawn(move || shared.serve()).ok()
        };
        let workers = (1..threads).filter_map(worker).collect();
        Self {
            workers,
            shared,
            busy: Mutex::new(()),
        }
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with each number below `units` once, on whichever thread is free.
    ///
    /// # Panics
    /// If the task did.
    pub fn run(&self, units: usize, task: &(dyn Fn(usize) + Sync)) {
        // Who asks from within a task, or while others do, computes alone.
        let alone = units <= 1 || self.workers.is_empty();
        let Some(_busy) = (!alone).then(|| self.busy.try_lock().ok()).flatten() else {
            (0..units).for_each(task);
            return;
        };
        let shared = &*self.shared;
        // SAFETY: the lifetime is forgotten for as long as this function runs: `close`, called before it returns and
        // when it panics, waits until no thread is inside, and those that come later find an even round.
        let forgotten: Task<'static> = unsafe { std::mem::transmute::<Task<'_>, _>(task) };
        // SAFETY: see `Shared`; the round is even and nobody is inside, because the last `close` waited for it.
        unsafe { *shared.work.get() = Some((forgotten, units)) };
        shared.next.store(0, SeqCst);
        shared.round.fetch_add(1, SeqCst);
        let open = Open(shared);
        if shared.asleep.load(SeqCst) > 0 {
            drop(shared.door.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        shared.take_all(task, units);
        drop(open);
        assert!(
            !shared.panicked.swap(false, SeqCst),
            "a computing thread panicked"
        );
    }
}

impl Pool {
    /// Calls `task` with each row of `len` numbers and its index, on whichever thread is free.
    pub fn rows(&self, data: &mut [f32], len: usize, task: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        // Fewer are computed sooner than shared out.
        const SOME: usize = 16;
        let count = data.len() / len.max(1);
        let shares = Shares::new(data);
        let some = |unit: usize| {
            for row in unit * SOME..((unit + 1) * SOME).min(count) {
                // SAFETY: each row is one unit's, and the slice is borrowed until all are done.
                task(row, unsafe { shares.part(row * len, len) });
            }
        };
        self.run(count.div_ceil(SOME), &some);
    }
}

/// Work that can be joined until this is dropped.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.round.fetch_add(1, SeqCst);
        let mut looks = 0_u32;
        while self.0.inside.load(SeqCst) > 0 {
            looks += 1;
            if looks.is_multiple_of(LOOKS) {
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

impl Shared {
    fn take_all(&self, task: Task<'_>, units: usize) {
        loop {
            let unit = self.next.fetch_add(1, SeqCst);
            if unit >= units {
                return;
            }
            task(unit);
        }
    }

    fn is_open(&self) -> bool {
        !self.round.load(SeqCst).is_multiple_of(2)
    }

    fn serve(&self) {
        let mut done = 0;
        let mut looks = 0;
        while !self.ended.load(SeqCst) {
            let round = self.round.load(SeqCst);
            if round.is_multiple_of(2) || round == done {
                looks += 1;
                if looks < LOOKS {
                    spin_loop();
                } else {
                    self.sleep(done);
                    looks = 0;
                }
                continue;
            }
            self.inside.fetch_add(1, SeqCst);
            if self.is_open() {
                // SAFETY: see `Shared`; this thread is counted and saw an odd round after that.
                let work = unsafe { *self.work.get() };
                if let Some((task, units)) = work
                    && catch_unwind(AssertUnwindSafe(|| self.take_all(task, units))).is_err()
                {
                    self.panicked.store(true, SeqCst);
                }
            }
            self.inside.fetch_sub(1, SeqCst);
            // Should it have been a later round, that one is looked at once more, which does no harm.
            done = round;
            looks = 0;
        }
    }

    /// Sleeps until there is work that is not that of the round `done`.
    fn sleep(&self, done: u64) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, SeqCst);
        loop {
            let round = self.round.load(SeqCst);
            let work = !round.is_multiple_of(2) && round != done;
            if work || self.ended.load(SeqCst) {
                break;
            }
            door = self.wake.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        drop(
            self.shared
                .door
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // It catches what it does; there is nothing to tell.
            let _ = worker.join();
        }
    }
}

/// A slice that several threads write to, each to elements of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares<T>(*mut T, usize);

// SAFETY: every use says that it writes to elements that no other thread touches.
unsafe impl<T: Send> Sync for Shares<T> {}
// SAFETY: the same.
unsafe impl<T: Send> Send for Shares<T> {}

impl<T> Shares<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr(), slice.len())
    }

    /// Some of its elements.
    ///
    /// # Safety
    /// The slice must still be borrowed by the caller, and nobody else may have any of these elements meanwhile.
    #[expect(
        clippy::mut_from_ref,
        reason = "that they are disjoint is the caller's word"
    )]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.1 && len <= self.1 - start, "within the slice");
        // SAFETY: within the slice, and the rest is the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}
