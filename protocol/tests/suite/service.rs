//! The machine, driven by hand: every commit, answer and tick comes exactly when a test says so.

mod cleaning;
mod following;
mod heads;
mod hosting;
mod node;
mod publishing;
mod resolving;
