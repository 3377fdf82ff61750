//! The jobs of one flow.

use super::JobId;

/// One transfer inside a flow, in terms of `Flow::served`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) start: f64,
    pub(super) next: f64,
    pub(super) step: f64,
    pub(super) end: f64,
}

/// The jobs of a flow: mostly one.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    first: Option<Job>,
    more: Vec<Job>,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.first.iter().chain(&self.more)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.first.iter_mut().chain(&mut self.more)
    }

    pub(super) fn push(&mut self, job: Job) {
        if self.first.is_none() {
            self.first = Some(job);
        } else {
            self.more.push(job);
        }
    }

    /// Takes a job out; the others keep their order.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Job> {
        if self.first.is_some_and(|job| job.id == id) {
            let next = (!self.more.is_empty()).then(|| self.more.remove(0));
            return std::mem::replace(&mut self.first, next);
        }
        let at = self.more.iter().position(|job| job.id == id)?;
        Some(self.more.remove(at))
    }
}
