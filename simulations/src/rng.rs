//! Randomness by purpose: one stream for each subject, all from the run's seed.
//!
//! A scenario that draws one number more for its links does not shuffle the DHT's answers.

use fastrand::Rng;

/// The stream of one subject.
pub(crate) fn stream(seed: u64, subject: &str) -> Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(subject.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    Rng::with_seed(u64::from_le_bytes(bytes))
}

/// So many different members of a list, in random order; all of it if it is shorter.
pub(crate) fn sample<T: Copy>(rng: &mut Rng, list: &[T], count: usize) -> Vec<T> {
    if list.len() <= count * 3 {
        let mut all = list.to_vec();
        rng.shuffle(&mut all);
        all.truncate(count);
        return all;
    }
    let mut places = std::collections::BTreeSet::new();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let place = rng.usize(..list.len());
        if let (true, Some(member)) = (places.insert(place), list.get(place)) {
            chosen.push(*member);
        }
    }
    chosen
}
