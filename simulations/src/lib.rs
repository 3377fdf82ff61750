//! weft-simulations
