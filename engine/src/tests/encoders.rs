//! Encoders against transformers, on tiny models as in `architectures`.
//!
//! Their families differ in names, in the position that they count from, and in whether there are segments.

use serde_json::Value;

use super::architectures::{fixture, write};
use crate::{
    encoder::{Config, Encoder, weights},
    model,
    pooling::{Pooling, Way},
    weights::Target,
};

fn vector(folder: &std::path::Path, described: &Value, way: Way, ids: &[u32]) -> Vec<f32> {
    let config = Config::of_folder(described, folder).unwrap();
    let weights = weights(folder, Target::Here).unwrap();
    let pooling = Pooling {
        way,
        normalised: false,
    };
    let encoder = Encoder::load(&config, &weights, pooling).unwrap();
    encoder.vector(ids).unwrap()
}

fn check(name: &str) {
    let fixture = fixture(name);
    let folder = tempfile::tempdir().unwrap();
    write(&fixture, folder.path());
    let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
    for (way, expected) in [(Way::First, "first"), (Way::Mean, "mean")] {
        let ours = vector(folder.path(), &fixture["config"], way, &tokens);
        let theirs: Vec<f32> = serde_json::from_value(fixture[expected].clone()).unwrap();
        assert_eq!(ours.len(), theirs.len());
        let pairs = ours.iter().zip(&theirs);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            difference < 1e-4,
            "{name}, {expected}: off by {difference}\n{ours:?}\n{theirs:?}"
        );
    }
    // The way that a user's model takes is the same, and says what it is.
    let model = model::load(&crate::Options::new(folder.path())).unwrap();
    let kind = fixture["config"]["model_type"].as_str().unwrap();
    assert_eq!(model.description.architecture, kind);
}

macro_rules! families {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )* };
}

families!(bert, roberta, xlm_roberta, camembert, distilbert);
