//! The store against the reference, a model, damage, loss of power and SIGKILL.

mod copy;
mod crash;
mod damage;
mod fixture;
mod import;
mod keeping;
mod model;
mod reference;
