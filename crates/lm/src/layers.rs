//! The operations of a layer, each with its backward pass. Activations are matrices with one row for each token.
//!
//! Loops over rows are compiled for several widths of SIMD vectors; one is chosen at run time. The bits of the results
//! are the same for all: sums have eight lanes whatever the width, and no product is fused with a sum.

use fearless_simd::{Level, dispatch};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::config::NORM_EPSILON;

/// Views the first `rows * columns` numbers as `[rows, columns]`: buffers may be longer.
fn view(data: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns), &data[..rows * columns]).expect("the length is rows by columns")
}

fn view_mut(data: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns), &mut data[..rows * columns]).expect("the length is rows by columns")
}

/// Computes `y = x Wᵀ`: `x` is `[n, input]`, `weights` is `[output, input]`, `y` is `[n, output]`.
pub(super) fn linear(x: &[f32], weights: &[f32], y: &mut [f32], n: usize, input: usize, output: usize) {
    general_mat_mul(1.0, &view(x, n, input), &view(weights, output, input).t(), 0.0, &mut view_mut(y, n, output));
}

/// As [`linear`], but adds the product to `y`.
pub(super) fn linear_add(x: &[f32], weights: &[f32], y: &mut [f32], n: usize, input: usize, output: usize) {
    general_mat_mul(1.0, &view(x, n, input), &view(weights, output, input).t(), 1.0, &mut view_mut(y, n, output));
}

/// Backward pass of [`linear`]: `dx = dy W`, and `dW += dyᵀ x`. Each gradient has the shape of its matrix.
#[expect(clippy::too_many_arguments, reason = "three matrices, their gradients and three sizes")]
pub(super) fn linear_back(
    dy: &[f32],
    x: &[f32],
    weights: &[f32],
    dx: &mut [f32],
    d_weights: &mut [f32],
    n: usize,
    input: usize,
    output: usize,
) {
    linear_back_input(dy, weights, dx, n, input, output);
    linear_back_weights(dy, x, d_weights, n, input, output);
}

/// One half of [`linear_back`]: `dx = dy W`. `dy` is `[n, output]`, `dx` is `[n, input]`.
pub(super) fn linear_back_input(dy: &[f32], weights: &[f32], dx: &mut [f32], n: usize, input: usize, output: usize) {
    general_mat_mul(1.0, &view(dy, n, output), &view(weights, output, input), 0.0, &mut view_mut(dx, n, input));
}

/// The other half of [`linear_back`]: `dW += dyᵀ x`. `dy` is `[n, output]`, `d_weights` is `[output, input]`.
pub(super) fn linear_back_weights(dy: &[f32], x: &[f32], d_weights: &mut [f32], n: usize, input: usize, output: usize) {
    general_mat_mul(1.0, &view(dy, n, output).t(), &view(x, n, input), 1.0, &mut view_mut(d_weights, output, input));
}

/// Divides each row of `x`, `[n, width]`, by its root mean square, and multiplies it by `gain`, `[width]`. The result
/// is `y`, `[n, width]`; the inverse roots, `[n]`, are kept for the backward pass.
pub(super) fn norm(x: &[f32], gain: &[f32], y: &mut [f32], inverse: &mut [f32]) {
    dispatch!(Level::new(), _ => {
        let width = gain.len();
        for ((x, y), inverse) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse) {
            *inverse = 1.0 / (dot(x, x) / width as f32 + NORM_EPSILON).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * *inverse * gain;
            }
        }
    })
}

/// Backward pass of [`norm`]: adds to `dx`, `[n, width]`, and to `d_gain`, `[width]`. `dy` and `x` are `[n, width]`.
pub(super) fn norm_back(dy: &[f32], x: &[f32], gain: &[f32], inverse: &[f32], dx: &mut [f32], d_gain: &mut [f32]) {
    dispatch!(Level::new(), _ => {
        let width = gain.len();
        for (((dy, x), dx), inverse) in
            dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(inverse)
        {
            let mut along = 0.0;
            for (((dy, x), gain), d_gain) in dy.iter().zip(x).zip(gain).zip(d_gain.iter_mut()) {
                *d_gain += dy * x * inverse;
                along += dy * gain * x;
            }
            let scale = along * inverse * inverse * inverse / width as f32;
            for (((dx, dy), x), gain) in dx.iter_mut().zip(dy).zip(x).zip(gain) {
                *dx += dy * gain * inverse - x * scale;
            }
        }
    })
}

/// Returns the sum of products of two vectors of equal length, in eight lanes: an order of additions that is fixed and
/// fast.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Returns e to the power of `x`, with a relative error of about 2e-7 and the same bits on every machine. The result is
/// 0 below -87, and that of 88 above 88.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.min(88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to a whole number.
    let whole = (x * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
    // ln 2 in two parts, so that the difference is exact.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    // A polynomial for e^r, where r is at most ln(2) / 2 in size.
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // 2^whole, by its exponent bits.
    let power = f32::from_bits((((whole as i32) + 127).max(0) as u32) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

/// Turns a row of logits, `[k]`, into probabilities in place. Returns the logarithm of the sum of their exponentials.
pub(super) fn softmax(row: &mut [f32]) -> f32 {
    dispatch!(Level::new(), _ => {
        let most = most(row);
        for x in row.iter_mut() {
            *x = exp(*x - most);
        }
        let sum: f32 = sum(row);
        let scale = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= scale;
        }
        most + sum.ln()
    })
}

/// Returns the largest number of a row, in lanes: with a single maximum, each comparison would wait for the one before.
#[inline(always)]
fn most(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Returns the sum of a row, in eight lanes as in [`dot`].
#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let eights = row.chunks_exact(8);
    let rest: f32 = eights.remainder().iter().sum();
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Computes `y = silu(gate) * up`, `[n, hidden]`. `gate_up` is `[n, 2 * hidden]`, with the gates first in each row.
pub(super) fn gated(gate_up: &[f32], y: &mut [f32], hidden: usize) {
    dispatch!(Level::new(), _ => {
        for (row, y) in gate_up.chunks_exact(2 * hidden).zip(y.chunks_exact_mut(hidden)) {
            let (gate, up) = row.split_at(hidden);
            for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
                *y = g / (1.0 + exp(-g)) * u;
            }
        }
    })
}

/// Backward pass of [`gated`]: `dy` is `[n, hidden]`; `gate_up` and `d_gate_up` are `[n, 2 * hidden]`.
pub(super) fn gated_back(dy: &[f32], gate_up: &[f32], d_gate_up: &mut [f32], hidden: usize) {
    dispatch!(Level::new(), _ => {
        for ((row, dy), d_row) in
            gate_up.chunks_exact(2 * hidden).zip(dy.chunks_exact(hidden)).zip(d_gate_up.chunks_exact_mut(2 * hidden))
        {
            let ((gate, up), (d_gate, d_up)) = (row.split_at(hidden), d_row.split_at_mut(hidden));
            for ((((g, u), dy), dg), du) in gate.iter().zip(up).zip(dy).zip(d_gate).zip(d_up) {
                let share = 1.0 / (1.0 + exp(-g));
                *du = dy * g * share;
                *dg = dy * u * share * (1.0 + g * (1.0 - share));
            }
        }
    })
}

/// Cosines and sines of the rotary positions, `[context, head / 2]`.
#[derive(Debug, Clone)]
pub(super) struct Rotary {
    half: usize,
    table: Vec<(f32, f32)>,
}

impl Rotary {
    pub(super) fn new(head: usize, context: usize) -> Self {
        let half = head / 2;
        let angle = |p: usize, i: usize| p as f64 * super::config::ROPE_BASE.powf(-2.0 * i as f64 / head as f64);
        let table = (0..context)
            .flat_map(|p| (0..half).map(move |i| angle(p, i)))
            .map(|a| (a.cos() as f32, a.sin() as f32))
            .collect();
        Self { half, table }
    }

    /// Rotates the heads of one token, each `[head]`, by its position. `back` rotates them the other way, as the
    /// backward pass needs.
    pub(super) fn turn(&self, heads: &mut [f32], position: usize, back: bool) {
        let turns = &self.table[position * self.half..][..self.half];
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                let sin = if back { -sin } else { *sin };
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close() {
        for step in 0..200_000 {
            let x = -86.0 + step as f32 * 0.00085;
            let (own, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((own / exact - 1.0).abs() < 3e-7, "{x}: {own} for {exact}");
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(1e9).is_finite());
    }

    /// The expected values are compiled for the narrowest vectors; the tested functions run on the widest of the
    /// machine.
    #[test]
    fn the_width_of_vectors_does_not_change_a_bit() {
        for length in 1..70 {
            let row: Vec<f32> = (0..2 * length).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 97.0).collect();
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = row.iter().map(|x| exp(x - most)).collect();
            let scale = 1.0 / sum(&powers);
            let mut found = row.clone();
            softmax(&mut found);
            assert!(found.iter().zip(&powers).all(|(a, b)| a.to_bits() == (b * scale).to_bits()), "{length}");
            let mut product = vec![0.0; length];
            gated(&row, &mut product, length);
            let (gate, up) = row.split_at(length);
            let one_by_one = gate.iter().zip(up).map(|(g, u)| g / (1.0 + exp(-g)) * u);
            assert!(product.iter().zip(one_by_one).all(|(a, b)| a.to_bits() == b.to_bits()), "{length}");
        }
    }
}
