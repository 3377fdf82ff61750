//! What is computed number by number.

use crate::lanes::{Class, Lanes, array, exp, tanh, with_lanes};

/// What [`each`] makes of a number.
pub(crate) const SILU: u8 = 0;
pub(crate) const GELU: u8 = 1;
pub(crate) const CAP: u8 = 2;

/// Brings a row to the length one per number and multiplies it with `weights`.
///
/// # Panics
/// If the three have different lengths.
pub fn rms_norm(x: &[f32], weights: &[f32], epsilon: f32, to: &mut [f32]) {
    assert!(x.len() == weights.len() && x.len() == to.len(), "lengths");
    // SAFETY: the class is one of this processor.
    unsafe {
        with_lanes!(Class::here(), rms::<_>(
            x: &[f32] = x,
            weights: &[f32] = weights,
            epsilon: f32 = epsilon,
            to: &mut [f32] = to,
        ));
    }
}

/// The same by mean and variance, and adds `bias`.
///
/// # Panics
/// If the four have different lengths.
pub fn layer_norm(x: &[f32], weights: &[f32], bias: &[f32], epsilon: f32, to: &mut [f32]) {
    assert!(x.len() == weights.len() && x.len() == bias.len(), "lengths");
    assert_eq!(x.len(), to.len(), "lengths");
    let len = x.len() as f32;
    let mean = x.iter().sum::<f32>() / len;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / len;
    let factor = 1.0 / (variance + epsilon).sqrt();
    for (at, to) in to.iter_mut().enumerate() {
        *to = (x[at] - mean) * factor * weights[at] + bias[at];
    }
}

/// Replaces each number `x` by `x / (1 + exp(-factor · x))`: SiLU where the factor is one.
pub fn sigmoid_linear(x: &mut [f32]) {
    // SAFETY: the class is one of this processor.
    unsafe {
        with_lanes!(Class::here(), each::<_, SILU>(x: &mut [f32] = x, cap: f32 = 0.0));
    }
}

/// GELU, approximated by a hyperbolic tangent.
pub fn gelu_tanh(x: &mut [f32]) {
    // SAFETY: the class is one of this processor.
    unsafe {
        with_lanes!(Class::here(), each::<_, GELU>(x: &mut [f32] = x, cap: f32 = 0.0));
    }
}

/// GELU, by the error function itself.
pub fn gelu(x: &mut [f32]) {
    for x in x {
        *x *= 0.5 * (1.0 + libm::erff(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// Replaces each number `x` by `cap × tanh(x / cap)`.
pub fn cap(x: &mut [f32], cap: f32) {
    // SAFETY: the class is one of this processor.
    unsafe {
        with_lanes!(Class::here(), each::<_, CAP>(x: &mut [f32] = x, cap: f32 = cap));
    }
}

/// Replaces each number by its share of all their exponentials.
pub fn softmax(x: &mut [f32]) {
    let larger = |most: f32, x: &f32| if *x > most { *x } else { most };
    let most = x.iter().fold(f32::NEG_INFINITY, larger);
    let mut sum = 0.0;
    for x in &mut *x {
        *x = libm::expf(*x - most);
        sum += *x;
    }
    x.iter_mut().for_each(|x| *x /= sum);
}

/// Multiplies each number with its counterpart.
///
/// # Panics
/// If there are more or fewer of them.
pub fn multiply(x: &mut [f32], with: &[f32]) {
    assert_eq!(x.len(), with.len(), "lengths");
    for (x, with) in x.iter_mut().zip(with) {
        *x *= with;
    }
}

/// Adds to each number its counterpart.
///
/// # Panics
/// If there are more or fewer of them.
pub fn add(x: &mut [f32], with: &[f32]) {
    assert_eq!(x.len(), with.len(), "lengths");
    for (x, with) in x.iter_mut().zip(with) {
        *x += with;
    }
}

#[inline(always)]
pub(crate) unsafe fn rms<L: Lanes>(x: &[f32], weights: &[f32], epsilon: f32, to: &mut [f32]) {
    let (whole, rest) = x.as_chunks::<16>();
    // SAFETY: all pointers are to sixteen floats.
    unsafe {
        let mut squares = L::float(0.0);
        for x in whole {
            let x = L::load(x.as_ptr());
            squares = L::fma(x, x, squares);
        }
        let mut sum: f32 = array::<L>(squares).iter().sum();
        sum += rest.iter().map(|x| x * x).sum::<f32>();
        let factor = 1.0 / (sum / x.len() as f32 + epsilon).sqrt();
        let factors = L::float(factor);
        let at = whole.len() * 16;
        let to_whole = to.as_chunks_mut::<16>().0;
        for ((x, weights), to) in whole.iter().zip(weights.as_chunks::<16>().0).zip(to_whole) {
            let x = L::mul(L::load(x.as_ptr()), factors);
            L::store(L::mul(x, L::load(weights.as_ptr())), to.as_mut_ptr());
        }
        for at in at..x.len() {
            to[at] = x[at] * factor * weights[at];
        }
    }
}

/// Replaces each number by what a curve makes of it. Which one is a constant and no closure, because functions that have
/// not the caller's instructions could call those, but not contain them.
#[inline(always)]
pub(crate) unsafe fn each<L: Lanes, const CURVE: u8>(x: &mut [f32], cap: f32) {
    // SAFETY: all pointers are to sixteen floats.
    unsafe {
        let cap = L::float(cap);
        let (whole, rest) = x.as_chunks_mut::<16>();
        for x in whole {
            let value = curve::<L, CURVE>(L::load(x.as_ptr()), cap);
            L::store(value, x.as_mut_ptr());
        }
        if !rest.is_empty() {
            let mut last = [0.0; 16];
            last[..rest.len()].copy_from_slice(rest);
            let values = array::<L>(curve::<L, CURVE>(L::load(last.as_ptr()), cap));
            rest.copy_from_slice(&values[..rest.len()]);
        }
    }
}

#[inline(always)]
unsafe fn curve<L: Lanes, const CURVE: u8>(x: L::Floats, cap: L::Floats) -> L::Floats {
    // SAFETY: arithmetic only.
    unsafe {
        let power = match CURVE {
            CAP => return L::mul(tanh::<L>(L::div(x, cap)), cap),
            GELU => {
                // x · (1 + tanh(u)) / 2 is x / (1 + exp(-2u)), u = sqrt(2/π) · (x + 0.044715 · x³).
                let cube = L::mul(L::mul(x, x), x);
                let inner = L::fma(cube, L::float(0.044_715), x);
                L::mul(inner, L::float(-1.595_769))
            }
            _ => L::sub(L::float(0.0), x),
        };
        L::div(x, L::add(L::float(1.0), exp::<L>(power)))
    }
}
