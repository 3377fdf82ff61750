//! All classes of instructions against each other, to the last bit.

use proptest::prelude::*;

use super::{Chance, KINDS, blocks, multiply};
use crate::{
    Attention, Keep, Packed, Pool, Query, ROUNDING,
    attention::attend_with,
    elements,
    lanes::{Class, fused, with_lanes},
};

/// Bits, all numbers that are none being the same.
fn bits(floats: &[f32]) -> Vec<u32> {
    let bits = |x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    floats.iter().map(bits).collect()
}

/// Numbers as models have them, and now and then one of the kinds that go wrong first.
fn strange(chance: &mut Chance, count: usize, wildness: u64) -> Vec<f32> {
    let one = |chance: &mut Chance| {
        let usual = chance.float();
        match chance.bits() % 400 {
            0 => 0.0,
            1 => -0.0,
            2 => usual * f32::MIN_POSITIVE,
            3 => f32::from_bits(chance.bits() as u32 & 0x807f_ffff),
            4 => usual * 1e-20,
            5 => usual * 1e4,
            6 if wildness > 0 => usual * 1e37,
            7 if wildness > 1 => f32::INFINITY,
            8 if wildness > 1 => f32::NAN,
            _ => usual,
        }
    };
    let mut floats: Vec<f32> = (0..count).map(|_| one(chance)).collect();
    // Blocks with nothing but the smallest numbers there are.
    for block in floats.chunks_mut(32) {
        if chance.bits().is_multiple_of(8) {
            let size = [1e-30, 2e-37, 1e-38, 3e-45][chance.bits() as usize % 4];
            block.iter_mut().for_each(|x| *x *= size);
        }
    }
    floats
}

/// Calls for all classes and compares what comes of it.
fn same(what: &str, compute: impl Fn(Class) -> Vec<f32>) -> Vec<f32> {
    let all = Class::all();
    let first = compute(all[0]);
    for class in &all[1..] {
        let other = bits(&compute(*class));
        for (at, (ours, theirs)) in bits(&first).into_iter().zip(other).enumerate() {
            let (a, b) = (f32::from_bits(ours), f32::from_bits(theirs));
            assert_eq!(ours, theirs, "{what}, {class:?}, {at}: {a:e} is {b:e}");
        }
    }
    first
}

fn products(rows: usize, blocks: usize, count: usize, seed: u64, wildness: u64) -> Vec<f32> {
    let mut all = Vec::new();
    for kind in KINDS {
        let mut chance = Chance(seed);
        let blocks = if kind.is_float() { 7 * blocks } else { blocks };
        let columns = kind.block().0 * blocks;
        let file = blocks::file(kind, rows * blocks, &mut chance);
        let packed = Packed::new(&Pool::new(1), kind, rows, columns, &file).unwrap();
        let x = strange(&mut chance, count * columns, wildness);
        let bias = strange(&mut chance, rows, wildness);
        all.extend(same(&format!("{kind:?}"), |class| {
            multiply(class, 2, &packed, &x, &bias)
        }));
    }
    all
}

fn attended(
    (heads, group, head_len): (usize, usize, usize),
    (before, new): (usize, usize),
    (cap, window): (Option<f32>, Option<usize>),
    seed: u64,
    wildness: u64,
) -> Vec<f32> {
    let mut chance = Chance(seed);
    let len = (before + new) * heads * head_len;
    let mut keep = Keep::new(heads, head_len);
    let keys = strange(&mut chance, len, wildness);
    keep.push(0, &keys, &strange(&mut chance, len, wildness));
    let queries = strange(&mut chance, new * heads * group * head_len, wildness);
    let attention = Attention {
        heads: heads * group,
        scale: 0.7,
        cap,
        window,
    };
    same("attention", |class| {
        let mut to = vec![0.0; queries.len()];
        let query = Query {
            keep: &keep,
            before,
            queries: &queries,
            to: &mut to,
        };
        attend_with(class, &Pool::new(2), &attention, &mut [query]);
        to
    })
}

fn one_by_one(x: &[f32], cap: f32) -> Vec<f32> {
    let mut all = Vec::new();
    let weights: Vec<f32> = x.iter().rev().copied().collect();
    all.extend(same("a norm", |class| {
        let mut to = vec![0.0; x.len()];
        // SAFETY: the class is one of this processor.
        unsafe {
            use elements::rms;
            with_lanes!(class, rms::<_>(
                x: &[f32] = x, weights: &[f32] = &weights, epsilon: f32 = 1e-6, to: &mut [f32] = &mut to,
            ));
        }
        to
    }));
    let changed = |what, change: &dyn Fn(Class, &mut [f32])| {
        same(what, |class| {
            let mut to = x.to_vec();
            change(class, &mut to);
            to
        })
    };
    use elements::{CAP, GELU, SILU, each};
    all.extend(changed("SiLU", &|class, x| {
        // SAFETY: the class is one of this processor.
        unsafe { with_lanes!(class, each::<_, SILU>(x: &mut [f32] = x, cap: f32 = cap)) }
    }));
    all.extend(changed("GELU", &|class, x| {
        // SAFETY: the class is one of this processor.
        unsafe { with_lanes!(class, each::<_, GELU>(x: &mut [f32] = x, cap: f32 = cap)) }
    }));
    all.extend(changed("a cap", &|class, x| {
        // SAFETY: the class is one of this processor.
        unsafe { with_lanes!(class, each::<_, CAP>(x: &mut [f32] = x, cap: f32 = cap)) }
    }));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_are_the_same(
        rows in 1_usize..70,
        blocks in 1_usize..5,
        count in 1_usize..20,
        seed: u64,
        wildness in 0_u64..3,
    ) {
        products(rows, blocks, count, seed, wildness);
    }

    #[test]
    fn attention_is_the_same(
        heads in (1_usize..3, 1_usize..6, 1_usize..40),
        tokens in (0_usize..150, 1_usize..20),
        cap in prop::option::of(1.0_f32..20.0),
        window in prop::option::of(1_usize..100),
        seed: u64,
        wildness in 0_u64..3,
    ) {
        attended(heads, tokens, (cap, window), seed, wildness);
    }

    #[test]
    fn elements_are_the_same(
        count in 1_usize..200,
        cap in 0.5_f32..50.0,
        size in 0.1_f32..40.0,
        seed: u64,
        wildness in 0_u64..3,
    ) {
        let mut x = strange(&mut Chance(seed), count, wildness);
        x.iter_mut().for_each(|x| *x *= size);
        one_by_one(&x, cap);
    }
}

#[test]
fn what_is_rounded_once_without_an_instruction_for_it_is_what_the_library_says() {
    let mut chance = Chance(7);
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        1e-45,
        -1e-45,
        1.000_000_1,
        16_777_215.0,
    ];
    let check = |a: f32, b: f32, c: f32| {
        let theirs = bits(&[a.mul_add(b, c)]);
        let mut others = [1.0; 16];
        others[5] = a;
        let (one, all) = (
            fused::by_odd(a, b, c),
            fused::plain(others, [b; 16], [c; 16]),
        );
        assert_eq!(bits(&[one]), theirs, "{a:e} · {b:e} + {c:e}");
        assert_eq!(
            bits(&all[5..6]),
            theirs,
            "{a:e} · {b:e} + {c:e}, of sixteen"
        );
    };
    for a in special {
        for b in special {
            special.into_iter().for_each(|c| check(a, b, c));
        }
    }
    for round in 0..2_000_000_u32 {
        let mut any = || f32::from_bits(chance.bits() as u32);
        let (a, b, c) = (any(), any(), any());
        check(a, b, c);
        // Exponents near each other, and products that are nearly taken away again.
        let near = |x: f32, spread: u32| {
            f32::from_bits(x.to_bits() & 0x807f_ffff | (100 + x.to_bits() % spread) << 23)
        };
        let (a, b) = (near(a, 40), near(b, 40));
        check(a, b, near(c, 60));
        let off = f32::from_bits((-a * b).to_bits() ^ (round & 1));
        check(a, b, off);
        // Products with few bits fall on the middle between two floats; what is tiny decides.
        let few = |x: f32| f32::from_bits(x.to_bits() & 0xffff_f000);
        let tiny = f32::from_bits(near(c, 30).to_bits() - (60 << 23));
        check(few(a), few(b), tiny);
        check(
            1.0 + f32::from(round as u16) * f32::EPSILON,
            1.0 + f32::EPSILON,
            tiny,
        );
        // So does what is left below the smallest numbers.
        check(few(a) * 1e-19, few(b) * 1e-19, few(c) * f32::MIN_POSITIVE);
    }
}

/// What any processor computes, whatever it is: if this becomes red, [`ROUNDING`] needs another number.
#[test]
fn the_name_of_the_rounding_stands_for_these_bits() {
    let mut all = products(33, 3, 11, 1, 0);
    let heads = (2, 3, 20);
    for (cap, window) in [(None, None), (Some(5.0), Some(40))] {
        all.extend(attended(heads, (70, 9), (cap, window), 2, 0));
    }
    let mut x = strange(&mut Chance(3), 1_001, 0);
    x.iter_mut().for_each(|x| *x *= 9.0);
    all.extend(one_by_one(&x, 3.0));
    let mut more = x.clone();
    elements::gelu(&mut more);
    all.extend(&more);
    elements::softmax(&mut more);
    all.extend(&more);
    elements::layer_norm(&x.clone(), &more, &x.clone(), 1e-5, &mut x);
    all.extend(&x);
    let hash = bits(&all)
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, bits| {
            (hash ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3)
        });
    assert_eq!((ROUNDING, hash), ("weft-2", 17_088_335_457_836_888_220));
}
