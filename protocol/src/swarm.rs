//! Which piece to ask of whom.
