//! The data plane against itself, over real sockets on the loopback.
