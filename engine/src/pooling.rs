//! The vectors of a text's tokens into one.

use std::path::Path;

use candle_core::{Device, Tensor};
use weft_protocol::infer::Refusal;

use crate::{
    refusal::{Result, unsupported},
    weights::json,
};

/// How one vector is made, as the files of sentence encoders say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pooling {
    pub(crate) way: Way,
    /// Brought to length one.
    pub(crate) normalised: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Mean,
    First,
    Last,
    Max,
}

impl Pooling {
    /// What is done where no file says anything.
    pub(crate) const USUAL: Self = Self {
        way: Way::Mean,
        normalised: false,
    };

    /// Reads `modules.json` and what it names.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Refusal> {
        let Some(modules) = json(folder, "modules.json")? else {
            return Ok(Self::USUAL);
        };
        let mut pooling = Self::USUAL;
        for module in modules.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Normalize" => pooling.normalised = true,
                "Pooling" => {
                    let path = module["path"].as_str().unwrap_or_default();
                    if !path.is_empty() && !path.contains(['.', '/', '\\']) {
                        pooling.way = way(&folder.join(path))?;
                    }
                }
                other => {
                    return Err(unsupported(format!(
                        "the step `{other}` of a sentence encoder is not supported; supported are Pooling and Normalize"
                    )));
                }
            }
        }
        Ok(pooling)
    }

    /// One vector for the rows of `x`.
    pub(crate) fn pool(&self, x: &Tensor) -> Result<Vec<f32>> {
        let rows = x.dim(0)?;
        let pooled = match self.way {
            Way::Mean => x.mean(0)?,
            Way::First => x.get(0)?,
            Way::Last => x.get(rows - 1)?,
            Way::Max => x.max(0)?,
        };
        let mut vector: Vec<f32> = pooled.to_device(&Device::Cpu)?.to_vec1()?;
        if self.normalised {
            let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            let len = squares.sqrt().max(1e-12);
            for x in &mut vector {
                *x = (f64::from(*x) / len) as f32;
            }
        }
        Ok(vector)
    }
}

fn way(folder: &Path) -> Result<Way, Refusal> {
    let told = json(folder, "config.json")?.unwrap_or_default();
    let chosen = |key: &str| told[key].as_bool() == Some(true);
    Ok(if chosen("pooling_mode_cls_token") {
        Way::First
    } else if chosen("pooling_mode_lasttoken") {
        Way::Last
    } else if chosen("pooling_mode_max_tokens") {
        Way::Max
    } else {
        Way::Mean
    })
}
