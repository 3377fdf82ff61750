//! What every form of the registry must do, and what only the one on disk can show.
#![cfg(test)]

mod conformance;
mod failures;
mod samples;

#[cfg(feature = "rocks")]
mod crash;
#[cfg(feature = "rocks")]
mod rocks;
