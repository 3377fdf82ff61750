//! Vectors for texts, one text after the other.

use weft_protocol::infer::{Event, Rank, Real, Refusal};

use crate::{
    decoder::{Cache, Chunk},
    model::Network,
    refusal::OrRefuse,
};

/// Texts of which some have their vector.
#[derive(Debug)]
pub(super) struct Embedding {
    job: u64,
    rank: Rank,
    texts: Vec<Vec<u32>>,
    vectors: Vec<Vec<Real>>,
}

impl Embedding {
    pub(super) fn new(job: u64, rank: Rank, texts: Vec<Vec<u32>>) -> Self {
        Self {
            job,
            rank,
            texts,
            vectors: Vec::new(),
        }
    }

    pub(super) fn job(&self) -> u64 {
        self.job
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    pub(super) fn set_rank(&mut self, rank: Rank) {
        self.rank = rank;
    }

    /// Computes the next vector. Returns the answer when there is none left.
    pub(super) fn advance(&mut self, network: &Network) -> Result<Option<Event>, Refusal> {
        if let Some(text) = self.texts.get(self.vectors.len()) {
            let vector = match network {
                Network::Encoder(encoder) => encoder.vector(text),
                Network::Decoder { decoder, pooling } => {
                    let mut cache = Cache::new(decoder.shape()).or_failed("memory")?;
                    let mut chunk = [Chunk {
                        cache: &mut cache,
                        tokens: text,
                        wanted: (0..text.len()).collect(),
                    }];
                    decoder.hidden(&mut chunk).and_then(|hidden| match hidden {
                        None => Ok(Vec::new()),
                        Some(hidden) => pooling.pool(&hidden),
                    })
                }
            };
            let vector = vector.or_failed("the model")?;
            self.vectors
                .push(vector.into_iter().map(Real::new).collect());
        }
        if self.vectors.len() < self.texts.len() {
            return Ok(None);
        }
        let prompt_tokens = self.texts.iter().map(Vec::len).sum::<usize>() as u32;
        Ok(Some(Event::Embedded {
            vectors: std::mem::take(&mut self.vectors),
            prompt_tokens,
        }))
    }
}
