//! How far numbers may lie apart.

use crate::infer::Numerics;

/// How much is let pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of a single logit.
    pub logit: f32,
    /// Of the root of the mean of squares.
    pub mean: f32,
}

/// What agrees, and what differs. Between both nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// What is nearer than this agrees.
    pub near: Tolerance,
    /// What is further than this differs.
    pub far: Tolerance,
}

/// How the names of our own kernels' classes begin. `weft-2` computes the same bits on every processor; what began with
/// `weft-1/` went on with the instructions, and two that differed in these differed in bits.
const EXACT: &str = "weft-";

impl Tolerance {
    /// Whether kernels of this class compute each number in the same order of steps, whatever else they compute beside it.
    pub fn is_exact(kernel_class: &str) -> bool {
        kernel_class.starts_with(EXACT)
    }
}

impl Bounds {
    /// Between a receipt and an auditor. The auditor's weights count: it read them from the file, the receipt only
    /// claims them. It only claims its kernels, too: another class never lets agree what lower precision would bring about.
    pub fn between(receipt: &Numerics, auditor: &Numerics) -> Self {
        let tolerance = |logit, mean| Tolerance { logit, mean };
        let one = |logit, mean| Self {
            near: tolerance(logit, mean),
            far: tolerance(logit, mean),
        };
        let same = receipt.kernel_class == auditor.kernel_class;
        let whole = matches!(auditor.weights.as_str(), "F32" | "F16" | "BF16");
        let exact = Tolerance::is_exact(&auditor.kernel_class);
        match (whole, same) {
            (true, true) => one(0.002, 0.0005),
            (true, false) => one(0.01, 0.003),
            (false, true) if exact => one(0.01, 0.003),
            // The pass has another shape, and an activation falls to another step now and then.
            (false, true) => one(0.08, 0.027),
            // Honest ones of two classes lie from 0.014 to 0.105, lower precision from 0.031 on: most of both is in
            // between, where only an auditor of the same class can tell. Nothing honest was ever beyond.
            (false, false) => Self {
                near: tolerance(0.08, 0.025),
                far: tolerance(0.5, 0.2),
            },
        }
    }
}
