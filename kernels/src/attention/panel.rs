//! Sixteen numbers of each of many rows, times one number for each.

use crate::lanes::Lanes;

/// Sums of even and of odd rows: one alone would wait for itself.
type Sums<L, const N: usize> = ([<L as Lanes>::Floats; N], [<L as Lanes>::Floats; N]);

/// What is summed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel<'a> {
    from: &'a [f32],
    stride: usize,
    count: usize,
    with: &'a [f32],
    /// From one sum's numbers to the next one's; zero where they lie side by side.
    with_stride: usize,
}

impl<'a> Panel<'a> {
    /// `with` has the numbers of all sums for each row.
    pub(super) fn of_columns(
        from: &'a [f32],
        stride: usize,
        count: usize,
        with: &'a [f32],
    ) -> Self {
        Self {
            from,
            stride,
            count,
            with,
            with_stride: 0,
        }
    }

    /// `with` has a stride of numbers for each sum.
    pub(super) fn of_rows(
        from: &'a [f32],
        stride: usize,
        count: usize,
        with: &'a [f32],
        with_stride: usize,
    ) -> Self {
        Self {
            from,
            stride,
            count,
            with,
            with_stride,
        }
    }

    #[inline(always)]
    pub(super) unsafe fn sum<L: Lanes, const N: usize>(
        self,
        before: Option<Sums<L, N>>,
    ) -> [L::Floats; N] {
        // SAFETY: the caller's.
        unsafe {
            let (mut even, odd) = self.sum_apart::<L, N>(before);
            for row in 0..N {
                even[row] = L::add(even[row], odd[row]);
            }
            even
        }
    }

    /// Sums of even and of odd rows, added to those `before`.
    #[inline(always)]
    pub(super) unsafe fn sum_apart<L: Lanes, const N: usize>(
        self,
        before: Option<Sums<L, N>>,
    ) -> Sums<L, N> {
        let (row, step) = match self.with_stride {
            0 => (1, N),
            stride => (stride, 1),
        };
        assert!(
            self.from.len() >= (self.count.max(1) - 1) * self.stride + 16,
            "rows"
        );
        assert!(
            self.with.len() > (N - 1) * row + (self.count.max(1) - 1) * step,
            "numbers"
        );
        // SAFETY: within the two slices, as was just seen.
        unsafe {
            let zeros = [L::float(0.0); N];
            let (mut even, mut odd) = before.unwrap_or((zeros, zeros));
            let (mut from, mut with) = (self.from.as_ptr(), self.with.as_ptr());
            for _ in 0..self.count / 2 {
                let (a, b) = (L::load(from), L::load(from.add(self.stride)));
                for sum in 0..N {
                    let with = with.add(sum * row);
                    even[sum] = L::fma(a, L::float(with.read()), even[sum]);
                    odd[sum] = L::fma(b, L::float(with.add(step).read()), odd[sum]);
                }
                from = from.wrapping_add(2 * self.stride);
                with = with.wrapping_add(2 * step);
            }
            if !self.count.is_multiple_of(2) {
                let last = L::load(from);
                for sum in 0..N {
                    even[sum] = L::fma(last, L::float(with.add(sum * row).read()), even[sum]);
                }
            }
            (even, odd)
        }
    }
}
