//! The level of one line, given how fast its flows could go elsewhere.

use super::EPSILON;

/// The rate that flows get which the other end does not bound more tightly; infinite if the line is not full.
pub(super) fn level(capacity: f64, bounds: &[f64]) -> f64 {
    if bounds.is_empty() {
        return f64::INFINITY;
    }
    let mut level = capacity / bounds.len() as f64;
    loop {
        let (mut sum, mut bounded) = (0.0, 0_usize);
        for bound in bounds {
            if *bound < level {
                sum += bound;
                bounded += 1;
            }
        }
        if bounded == bounds.len() {
            return f64::INFINITY;
        }
        // What bounded flows leave raises the level, which may bound no flow less: it only ever rises.
        let next = (capacity - sum) / (bounds.len() - bounded) as f64;
        if next <= level {
            return level;
        }
        level = next;
    }
}

/// Whether two levels are the same for all that is of interest.
pub(super) fn is_close(a: f64, b: f64) -> bool {
    if a.is_infinite() || b.is_infinite() {
        return a.is_infinite() && b.is_infinite();
    }
    (a - b).abs() <= EPSILON * a.max(b)
}
