//! Kernels of all classes that this processor has, against plain sums in 64 bits.

mod blocks;
mod filed;
mod same;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use crate::{
    Attention, Form, Keep, Kind, Packed, Pool, Product, Query, Rows, attention::attend_with,
    elements, lanes::Class, product::product_with,
};

const KINDS: [Kind; 9] = [
    Kind::F32,
    Kind::F16,
    Kind::BF16,
    Kind::Q4_0,
    Kind::Q5_0,
    Kind::Q8_0,
    Kind::Q4K,
    Kind::Q5K,
    Kind::Q6K,
];

/// Numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let value = self.0;
        (value ^ (value >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
    }

    fn float(&mut self) -> f32 {
        (self.bits() % 20_001) as f32 / 10_000.0 - 1.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

fn multiply(class: Class, threads: usize, packed: &Packed, x: &[f32], bias: &[f32]) -> Vec<f32> {
    let pool = Pool::new(threads);
    let (count, columns) = (x.len() / packed.columns(), packed.columns());
    let mut rows = Rows::default();
    let form = Form::of([packed]);
    // What was there before must not matter.
    rows.set_with(class, &pool, form, (count + 3, columns + 64), |_, to| {
        to.fill(9.0);
    });
    rows.set_with(class, &pool, form, (count, columns), |row, to| {
        to.copy_from_slice(&x[row * columns..(row + 1) * columns]);
    });
    let mut to = vec![1.0; count * packed.rows()];
    let product = Product {
        weights: packed,
        bias: Some(bias),
        to: &mut to,
        add: true,
    };
    product_with(class, &pool, &rows, &mut [product]);
    to
}

/// What bytes make of a row: each 32 numbers are multiples of a 127th of the largest.
fn rounded(x: &[f32]) -> Vec<f64> {
    let block = |block: &[f32]| {
        let largest = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let bytes = block.iter().map(|x| (x * inverse).round_ties_even());
        bytes
            .map(|byte| f64::from(byte) * f64::from(scale))
            .collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(block).collect()
}

fn check(kind: Kind, rows: usize, blocks: usize, count: usize, seed: u64) {
    let mut chance = Chance(seed);
    let (block, _) = kind.block();
    let columns = block * blocks;
    let file = blocks::file(kind, rows * blocks, &mut chance);
    let weights = blocks::floats(kind, &file);
    let pool = Pool::new(2);
    let packed = Packed::new(&pool, kind, rows, columns, &file).unwrap();
    let x = chance.floats(count * columns);
    let bias = chance.floats(rows);
    for class in Class::all() {
        let ours = multiply(class, 2, &packed, &x, &bias);
        for (row, x) in x.chunks(columns).enumerate() {
            let seen: Vec<f64> = if kind.is_float() {
                x.iter().map(|x| f64::from(*x)).collect()
            } else {
                rounded(x)
            };
            for at in 0..rows {
                let weights = &weights[at * columns..(at + 1) * columns];
                let terms = weights.iter().zip(&seen).map(|(w, x)| f64::from(*w) * x);
                let (sum, size) =
                    terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let expected = sum + f64::from(bias[at]) + 1.0;
                let got = f64::from(ours[row * rows + at]);
                assert!(
                    (got - expected).abs() <= 3e-6 * (size + 2.0),
                    "{kind:?} {class:?}: {got} for {expected} at {row}, {at}"
                );
            }
            // One by one, on one thread: the same to the last bit.
            let alone = multiply(class, 1, &packed, x, &bias);
            assert_eq!(
                alone,
                ours[row * rows..(row + 1) * rows],
                "{kind:?} {class:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn products_are_what_sums_in_64_bits_say(
        rows in 1_usize..70,
        blocks in 1_usize..5,
        count in 1_usize..20,
        seed: u64,
    ) {
        for kind in KINDS {
            let blocks = if kind.is_float() { 7 * blocks } else { blocks };
            check(kind, rows, blocks, count, seed);
        }
    }

    #[test]
    fn attention_is_what_sums_in_64_bits_say(
        heads_kv in 1_usize..3,
        group in 1_usize..6,
        head_len in 1_usize..40,
        before in 0_usize..150,
        new in 1_usize..20,
        window in prop::option::of(1_usize..100),
        cap in prop::option::of(1.0_f32..20.0),
        seed: u64,
    ) {
        attention(heads_kv, group, head_len, before, new, window, cap, seed);
    }
}

#[expect(clippy::too_many_arguments, reason = "a case of a property")]
fn attention(
    heads_kv: usize,
    group: usize,
    head_len: usize,
    before: usize,
    new: usize,
    window: Option<usize>,
    cap: Option<f32>,
    seed: u64,
) {
    let mut chance = Chance(seed);
    let heads = heads_kv * group;
    let all = before + new;
    let keys = chance.floats(all * heads_kv * head_len);
    let values = chance.floats(all * heads_kv * head_len);
    let queries = chance.floats(new * heads * head_len);
    let attention = Attention {
        heads,
        scale: 0.7,
        cap,
        window,
    };
    let mut keep = Keep::new(heads_kv, head_len);
    let split = before * heads_kv * head_len;
    keep.push(0, &keys[..split], &values[..split]);
    // What is pushed twice is forgotten once.
    keep.push(before, &values[split..], &keys[split..]);
    let mut keep = keep.first(all);
    keep.push(before, &keys[split..], &values[split..]);
    for class in Class::all() {
        let run = |threads, before, queries: &[f32]| {
            let mut to = vec![0.0; queries.len()];
            let query = Query {
                keep: &keep,
                before,
                queries,
                to: &mut to,
            };
            attend_with(class, &Pool::new(threads), &attention, &mut [query]);
            to
        };
        let ours = run(2, before, &queries);
        for token in 0..new {
            let position = before + token;
            let first = (position + 1).saturating_sub(window.unwrap_or(usize::MAX));
            let own = token * heads * head_len..(token + 1) * heads * head_len;
            for head in 0..heads {
                let key_head = head / group;
                let query = &queries[own.clone()][head * head_len..][..head_len];
                let at = |of: &[f32], token: usize, column: usize| {
                    f64::from(of[(token * heads_kv + key_head) * head_len + column])
                };
                let scores: Vec<f64> = (first..=position)
                    .map(|token| {
                        let columns = query.iter().enumerate();
                        let sum: f64 = columns
                            .map(|(c, x)| f64::from(*x) * at(&keys, token, c))
                            .sum();
                        let score = sum * 0.7;
                        cap.map_or(score, |cap| {
                            (score / f64::from(cap)).tanh() * f64::from(cap)
                        })
                        .exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for column in 0..head_len {
                    let tokens = (first..=position).zip(&scores);
                    let sum: f64 = tokens
                        .map(|(token, s)| s * at(&values, token, column))
                        .sum();
                    let got = f64::from(ours[own.start + head * head_len + column]);
                    assert!(
                        (got - sum / total).abs() < 2e-5,
                        "{class:?}: {got} for {}",
                        sum / total
                    );
                }
            }
            let alone = run(1, position, &queries[own.clone()]);
            assert_eq!(alone, ours[own], "{class:?}");
        }
    }
}

#[test]
fn matrices_of_another_size_are_refused() {
    let pool = Pool::new(1);
    assert!(Packed::new(&pool, Kind::Q8_0, 2, 32, &[0; 67]).is_none());
    assert!(Packed::new(&pool, Kind::Q8_0, 2, 33, &[0; 68]).is_none());
    assert!(Packed::new(&pool, Kind::Q8_0, 0, 32, &[]).is_none());
    assert!(Packed::new(&pool, Kind::Q8_0, usize::MAX, 32, &[0; 68]).is_none());
    assert!(Packed::new(&pool, Kind::Q8_0, 2, 32, &[0; 68]).is_some());
}

#[test]
fn elements_are_what_64_bits_say() {
    let mut x = Chance(5).floats(77);
    for x in &mut x {
        *x *= 12.0;
    }
    let near = |ours: &[f32], theirs: &dyn Fn(f64) -> f64| {
        for (ours, x) in ours.iter().zip(&x) {
            let expected = theirs(f64::from(*x));
            assert!(
                (f64::from(*ours) - expected).abs() < 2e-6 * (1.0 + expected.abs()),
                "{x}"
            );
        }
    };
    let mut ours = x.clone();
    elements::sigmoid_linear(&mut ours);
    near(&ours, &|x| x / (1.0 + (-x).exp()));
    let mut ours = x.clone();
    elements::gelu_tanh(&mut ours);
    near(&ours, &|x| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        0.5 * x * (1.0 + inner.tanh())
    });
    let mut ours = x.clone();
    elements::rms_norm(&x, &[1.0; 77], 1e-5, &mut ours);
    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 77.0;
    near(&ours, &|x| x / (mean + 1e-5).sqrt());
}

#[test]
fn every_unit_is_computed_once_and_panics_are_told() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let pool = Pool::new(4);
    for units in [0, 1, 2, 3, 100, 1_000] {
        let seen: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
        pool.run(units, &|unit| {
            seen[unit].fetch_add(1, SeqCst);
        });
        assert!(seen.iter().all(|seen| seen.load(SeqCst) == 1));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.run(64, &|unit| assert!(unit != 40));
    }));
    assert!(panicked.is_err());
    let count = AtomicUsize::new(0);
    pool.run(64, &|_| {
        // From within a task, the task's own thread computes.
        pool.run(2, &|_| {
            count.fetch_add(1, SeqCst);
        });
    });
    assert_eq!(count.load(SeqCst), 128);
}
