//! Uniform and normal random numbers from a ChaCha20 stream.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use blabbermouth_core::canary::below;

/// Returns a uniform number in `0..1`, of 53 bits.
pub(super) fn uniform(stream: &mut ChaCha20Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Puts a list into a random order; all orders are equally likely.
pub(super) fn shuffle<T>(list: &mut [T], stream: &mut ChaCha20Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(stream, last as u64 + 1) as usize);
    }
}

/// Standard normal numbers, by the method of Box and Muller (1958).
#[derive(Debug)]
pub(super) struct Normal {
    stream: ChaCha20Rng,
    spare: Option<f64>,
}

impl Normal {
    pub(super) fn new(stream: ChaCha20Rng) -> Self {
        Self { stream, spare: None }
    }

    pub(super) fn draw(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - uniform(&mut self.stream)).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * uniform(&mut self.stream)).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// Returns half the sum of four normal numbers, which is standard normal too. The floating-point
    /// digits of the result do not identify the numbers drawn, as those of a single one can (Holohan
    /// and Braghin 2021, "Secure random sampling in differential privacy").
    pub(super) fn draw_guarded(&mut self) -> f64 {
        (self.draw() + self.draw() + self.draw() + self.draw()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut normal = Normal::new(ChaCha20Rng::seed_from_u64(1));
        for guarded in [false, true] {
            let all: Vec<f64> =
                (0..200_000).map(|_| if guarded { normal.draw_guarded() } else { normal.draw() }).collect();
            let moment = |k: i32| all.iter().map(|x| x.powi(k)).sum::<f64>() / all.len() as f64;
            assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02, "{} {}", moment(1), moment(2));
            assert!((moment(4) - 3.0).abs() < 0.1, "{}", moment(4));
        }
    }

    #[test]
    fn every_order_comes_as_often() {
        let mut stream = ChaCha20Rng::seed_from_u64(2);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..6000 {
            let mut list = [0, 1, 2];
            shuffle(&mut list, &mut stream);
            *counts.entry(list).or_insert(0) += 1;
        }
        assert!(counts.len() == 6 && counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }
}
