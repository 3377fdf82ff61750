//! Matrices that stay in their file: the same as packed ones, to the last bit.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Chance, blocks, multiply};
use crate::{Kind, Packed, Pool, lanes::Class, pack::Tile};

const KINDS: [Kind; 4] = [Kind::F32, Kind::F16, Kind::BF16, Kind::Q8_0];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_stays_in_its_file_is_multiplied_as_if_it_were_packed(
        rows in 1_usize..70,
        columns in 1_usize..9,
        whole: bool,
        before in 0_usize..70,
        count in 1_usize..20,
        seed: u64,
    ) {
        for kind in KINDS {
            // Whole steps, and such that are packed after all.
            let columns = columns * if whole { 64 } else { kind.block().0 };
            check(kind, (rows, columns), before, count, seed);
        }
    }
}

fn check(kind: Kind, (rows, columns): (usize, usize), before: usize, count: usize, seed: u64) {
    let mut chance = Chance(seed);
    let matrix = blocks::file(kind, rows * columns / kind.block().0, &mut chance);
    // Wherever it lies.
    let mut file = vec![0x7f; before];
    file.extend(&matrix);
    let place = before..file.len();
    file.extend([0x7f; 5]);
    let pool = Pool::new(2);
    let packed = Packed::new(&pool, kind, rows, columns, &matrix).unwrap();
    let filed = Packed::in_file(&pool, kind, (rows, columns), Arc::new(file), place).unwrap();
    let stays = matches!(filed.tile(0), Tile::Filed(..));
    let can = rows >= 16 && columns.is_multiple_of(64) && Class::here().turns();
    assert!(stays || !can, "{kind:?} {rows} {columns}");
    let x = chance.floats(count * columns);
    let bias = chance.floats(rows);
    for class in Class::all() {
        for threads in [1, 2] {
            let bits = |matrix| -> Vec<u32> {
                let products = multiply(class, threads, matrix, &x, &bias);
                products.into_iter().map(f32::to_bits).collect()
            };
            assert_eq!(bits(&filed), bits(&packed), "{kind:?} {class:?} {count}");
        }
    }
}

#[test]
fn places_outside_a_file_are_refused() {
    let pool = Pool::new(1);
    let file = Arc::new(vec![0; 16 * 68]);
    let matrix = |place| Packed::in_file(&pool, Kind::Q8_0, (16, 64), file.clone(), place);
    assert!(matrix(0..16 * 68).is_some());
    assert!(matrix(0..16 * 68 - 1).is_none());
    assert!(matrix(1..16 * 68 + 1).is_none());
    assert!(matrix(usize::MAX - 16 * 68..usize::MAX).is_none());
}
