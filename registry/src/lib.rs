//! What a node knows for sure.
