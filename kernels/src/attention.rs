//! Attention: what the tokens of a sequence take over from those before them.

mod keep;
mod panel;

use keep::KEEP;
pub use keep::Keep;
use panel::Panel;

use crate::{
    Pool,
    elements::{CAP, each},
    lanes::{Class, Lanes, array, exp, with_lanes},
    pool::Shares,
};

/// Queries that are computed together.
const SOME: usize = 8;

/// How a layer attends.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Heads of queries; each few of them share a head of keys.
    pub heads: usize,
    /// Multiplies products of queries and keys.
    pub scale: f32,
    /// `cap × tanh(x / cap)` over these products.
    pub cap: Option<f32>,
    /// How many tokens back a token sees, itself included.
    pub window: Option<usize>,
}

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Query<'a> {
    /// What the sequence keeps of this layer, the new tokens included.
    pub keep: &'a Keep,
    /// Tokens before the first new one.
    pub before: usize,
    /// New tokens × heads × head length.
    pub queries: &'a [f32],
    /// The same of what was attended to.
    pub to: &'a mut [f32],
}

/// A query that can be shared out.
struct Job<'a> {
    keep: &'a Keep,
    before: usize,
    queries: &'a [f32],
    to: Shares<f32>,
    units: usize,
}

/// Attends for all new tokens of several sequences.
///
/// # Panics
/// If lengths do not fit, or a sequence does not keep its new tokens.
pub fn attend(pool: &Pool, attention: &Attention, queries: &mut [Query<'_>]) {
    attend_with(Class::here(), pool, attention, queries);
}

pub(crate) fn attend_with(
    class: Class,
    pool: &Pool,
    attention: &Attention,
    queries: &mut [Query<'_>],
) {
    let mut head_len = 1;
    let jobs: Vec<Job<'_>> = queries
        .iter_mut()
        .map(|query| {
            head_len = query.keep.head_len();
            let token = attention.heads * head_len;
            let tokens = query.queries.len() / token;
            assert_eq!(tokens * token, query.queries.len(), "queries");
            assert_eq!(query.queries.len(), query.to.len(), "what is attended to");
            assert!(attention.heads.is_multiple_of(query.keep.heads()), "heads");
            assert!(query.before + tokens <= query.keep.room(), "tokens");
            let group = attention.heads / query.keep.heads();
            let some = (SOME / group).max(1);
            Job {
                keep: query.keep,
                before: query.before,
                queries: query.queries,
                to: Shares::new(query.to),
                units: tokens.div_ceil(some) * query.keep.heads(),
            }
        })
        .collect();
    let units = jobs.iter().map(|job| job.units).sum();
    pool.run(units, &|mut unit| {
        for job in &jobs {
            if unit < job.units {
                return one(class, attention, job, unit);
            }
            unit -= job.units;
        }
    });
}

/// One head of keys for a few tokens.
fn one(class: Class, attention: &Attention, job: &Job<'_>, unit: usize) {
    let (heads, head_len) = (job.keep.heads(), job.keep.head_len());
    let group = attention.heads / heads;
    let token = attention.heads * head_len;
    let tokens = job.queries.len() / token;
    let some = (SOME / group).max(1);
    // The last ones first, which take longest.
    let first = (tokens.div_ceil(some) - 1 - unit / heads) * some;
    let head = unit % heads;
    let rows: Vec<(usize, usize)> = (first..(first + some).min(tokens))
        .flat_map(|token| (0..group).map(move |member| (token, head * group + member)))
        .collect();
    let mut left = rows.as_slice();
    while !left.is_empty() {
        let many = [8, 4, 2, 1].into_iter().find(|n| *n <= left.len());
        let (now, later) = left.split_at(many.unwrap_or(1));
        left = later;
        // SAFETY: the class is one of this processor.
        unsafe {
            with_lanes!(class, some_rows::<_>(
                attention: &Attention = attention,
                job: &Job<'_> = job,
                head: usize = head,
                rows: &[(usize, usize)] = now,
            ));
        }
    }
}

#[inline(always)]
unsafe fn some_rows<L: Lanes>(
    attention: &Attention,
    job: &Job<'_>,
    head: usize,
    rows: &[(usize, usize)],
) {
    // SAFETY: the caller's.
    unsafe {
        match rows.len() {
            8 => exactly::<L, 8>(attention, job, head, rows),
            4 => exactly::<L, 4>(attention, job, head, rows),
            2 => exactly::<L, 2>(attention, job, head, rows),
            _ => exactly::<L, 1>(attention, job, head, rows),
        }
    }
}

/// Exactly `N` queries of one head of keys.
#[inline(always)]
unsafe fn exactly<L: Lanes, const N: usize>(
    attention: &Attention,
    job: &Job<'_>,
    head: usize,
    rows: &[(usize, usize)],
) {
    let keep = job.keep;
    let head_len = keep.head_len();
    let token_len = attention.heads * head_len;
    let place = |(token, head): (usize, usize)| token * token_len + head * head_len;
    // The first and the last token that each row sees.
    let mut seen = [(0, 0); N];
    let mut queries = vec![0.0_f32; head_len * N];
    for (row, at) in rows.iter().enumerate() {
        let position = job.before + at.0;
        let window = attention.window.unwrap_or(usize::MAX).max(1);
        seen[row] = ((position + 1).saturating_sub(window), position);
        for (column, x) in job.queries[place(*at)..][..head_len].iter().enumerate() {
            queries[column * N + row] = x * attention.scale;
        }
    }
    let start = seen.iter().map(|seen| seen.0).min().unwrap_or(0) / KEEP * KEEP;
    let end = seen.iter().map(|seen| seen.1).max().unwrap_or(0) + 1;
    let len = (end - start).next_multiple_of(16);
    let mut scores = vec![0.0_f32; len * N];
    for at in (0..len).step_by(16) {
        let keys = keep.keys(head, start + at);
        // SAFETY: keys are sixteen for each column of a head, queries `N`.
        let sums = unsafe { Panel::of_columns(keys, 16, head_len, &queries).sum::<L, N>(None) };
        for (row, sum) in sums.into_iter().enumerate() {
            // SAFETY: sixteen of a row of `len`, a multiple of sixteen.
            unsafe { L::store(sum, scores[row * len + at..][..16].as_mut_ptr()) };
        }
    }
    let mut shares = [0.0_f32; N];
    for (row, scores) in scores.chunks_exact_mut(len).enumerate() {
        let (first, last) = (seen[row].0 - start, seen[row].1 - start);
        if let Some(cap) = attention.cap {
            // SAFETY: the caller's.
            unsafe { each::<L, CAP>(scores, cap) };
        }
        // SAFETY: the caller's.
        shares[row] = 1.0 / unsafe { softmax::<L>(scores, first, last) };
    }
    for column in (0..head_len).step_by(16) {
        let mut sums = None;
        for at in (0..end - start).step_by(KEEP) {
            let count = (end - start - at).min(KEEP);
            let values = keep.values(head, start + at, column);
            let panel = Panel::of_rows(values, keep.stride(), count, &scores[at..], len);
            // SAFETY: values are `count` strides long but for the columns before, scores `N` rows of `len`.
            sums = Some(unsafe { panel.sum_apart::<L, N>(sums) });
        }
        let Some((even, odd)) = sums else { continue };
        for (row, at) in rows.iter().enumerate() {
            // SAFETY: arithmetic only.
            let sum =
                unsafe { array::<L>(L::mul(L::add(even[row], odd[row]), L::float(shares[row]))) };
            let len = (head_len - column).min(16);
            // SAFETY: a token's head is one unit's, and the slice is borrowed by the caller of `attend`.
            let to = unsafe { job.to.part(place(*at) + column, len) };
            to.copy_from_slice(&sum[..len]);
        }
    }
}

/// Euler's number to the power of each score less the largest; zero outside of `first` to `last`. Returns the sum.
#[inline(always)]
unsafe fn softmax<L: Lanes>(scores: &mut [f32], first: usize, last: usize) -> f32 {
    // Nothing outside may be the largest.
    scores[..first].fill(f32::NEG_INFINITY);
    scores[last + 1..].fill(f32::NEG_INFINITY);
    let (chunks, _) = scores.as_chunks_mut::<16>();
    // SAFETY: all pointers are to sixteen floats.
    unsafe {
        let mut most = L::float(f32::NEG_INFINITY);
        for chunk in &*chunks {
            most = L::max(most, L::load(chunk.as_ptr()));
        }
        let most = array::<L>(most)
            .into_iter()
            .fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most });
        let most = L::float(most);
        for chunk in &mut *chunks {
            let power = exp::<L>(L::sub(L::load(chunk.as_ptr()), most));
            L::store(power, chunk.as_mut_ptr());
        }
    }
    scores[..first].fill(0.0);
    scores[last + 1..].fill(0.0);
    let (chunks, _) = scores.as_chunks::<16>();
    // SAFETY: all pointers are to sixteen floats.
    unsafe {
        let mut sum = L::float(0.0);
        for chunk in chunks {
            sum = L::add(sum, L::load(chunk.as_ptr()));
        }
        array::<L>(sum).iter().sum()
    }
}
