//! Training steps: AdamW (Loshchilov and Hutter 2019), and DP-SGD (Abadi et al. 2016) with Adam's steps.

use rand_chacha::ChaCha20Rng;

use super::checkpoint::{Packed, Weights, WeightsError, pack};
use super::gradient::{Gradients, Sum};
use super::model::Text;
use super::noise::{Normal, uniform};

const BETA1: f32 = 0.9;
const ADAM_EPSILON: f32 = 1e-8;
/// Maximum L2 norm of a gradient without privacy; longer ones are scaled down to this norm.
const LONGEST: f32 = 1.0;
/// Decay of the running mean of the weights, which are the weights to keep with privacy.
const AVERAGE: f32 = 0.95;

/// Parameters of a private step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Maximum L2 norm of the gradient of one unit.
    pub clip: f32,
    /// Noise multiplier: standard deviation of the noise, in multiples of `clip`.
    pub multiplier: f64,
    /// Expected number of units of a step.
    pub expected: f64,
}

/// Weights in training, with the state of the optimizer.
#[derive(Debug)]
pub struct Trainer {
    /// The current weights.
    pub weights: Weights,
    gradients: Gradients,
    /// Gradient of the current step, `[weights]`.
    gradient: Vec<f32>,
    /// Running mean of the gradient (first moment of Adam), `[weights]`.
    mean: Vec<f32>,
    /// Running mean of the squared gradient (second moment of Adam), `[weights]`.
    square: Vec<f32>,
    steps: i32,
    /// Running mean of the weights, `[weights]`; `None` before the first private step.
    average: Option<Vec<f32>>,
}

/// The loss or the gradient is not finite; the step was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the loss is no number any more: the learning rate is too high; the weights are those of the step before")]
pub struct Diverged;

impl Trainer {
    /// Makes a trainer that starts from `weights`, with this number of threads; at most 8 are used.
    #[must_use]
    pub fn new(weights: Weights, threads: usize) -> Self {
        let zeros = || vec![0.0; weights.values.len()];
        Self {
            gradients: Gradients::new(weights.shape, threads),
            gradient: zeros(),
            mean: zeros(),
            square: zeros(),
            steps: 0,
            average: None,
            weights,
        }
    }

    /// Takes a step of AdamW with learning rate `rate` and weight decay `decay`. Returns the mean loss per training
    /// target before the step, in nats.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite; the weights are then unchanged.
    pub fn learn(&mut self, texts: &[&Text], rate: f32, decay: f32) -> Result<f64, Diverged> {
        let units: Vec<&[&Text]> = texts.chunks(1).collect();
        let loss = self.gradients.sum(&self.weights.values, &units, Sum::Mean, &mut self.gradient);
        let length = super::layers::dot(&self.gradient, &self.gradient).sqrt();
        if !loss.is_finite() || !length.is_finite() {
            return Err(Diverged);
        }
        if length > LONGEST {
            self.gradient.iter_mut().for_each(|g| *g *= LONGEST / length);
        }
        self.step(rate, decay, 0.98);
        Ok(loss)
    }

    /// Takes a private step with learning rate `rate` on the units that were drawn, which may be none. Returns the mean
    /// loss per training target before the step, in nats. The loss is not private.
    ///
    /// The embedding is not trained: most tokens are in few rows, so their steps would be mostly noise.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite; the weights are then unchanged.
    pub fn learn_privately(
        &mut self,
        units: &[&[&Text]],
        noise: &Noise,
        normal: &mut PrivateNoise,
        rate: f32,
    ) -> Result<f64, Diverged> {
        let how = Sum::Clipped(noise.clip);
        let loss = self.gradients.sum(&self.weights.values, units, how, &mut self.gradient);
        let deviation = noise.multiplier * f64::from(noise.clip);
        // The last digits of a sum depend on the terms that were added up, and could reveal them (Mironov 2012). So the
        // noisy sum is rounded to a grid that is far coarser than these digits.
        let grid = deviation * 2.0f64.powi(-12);
        let learns = self.weights.shape.spans().embedding.end..;
        for g in &mut self.gradient[learns.clone()] {
            let noisy = f64::from(*g) + deviation * normal.0.draw_guarded();
            let rounded = if grid > 0.0 { (noisy / grid).round() * grid } else { noisy };
            *g = (rounded / noise.expected) as f32;
        }
        if !loss.is_finite() || self.gradient.iter().any(|g| !g.is_finite()) {
            return Err(Diverged);
        }
        self.step(rate, 0.0, 0.99);
        let average = self.average.get_or_insert_with(|| self.weights.values.clone());
        for (average, now) in average[learns.clone()].iter_mut().zip(&self.weights.values[learns]) {
            *average = AVERAGE * *average + (1.0 - AVERAGE) * now;
        }
        Ok(loss)
    }

    /// Updates the weights by AdamW from the gradient.
    fn step(&mut self, rate: f32, decay: f32, beta2: f32) {
        self.steps += 1;
        let (first, second) = (1.0 - BETA1.powi(self.steps), 1.0 - beta2.powi(self.steps));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((w, g), (mean, square)) in self.weights.values.iter_mut().zip(&self.gradient).zip(moments) {
            *mean = BETA1 * *mean + (1.0 - BETA1) * g;
            *square = beta2 * *square + (1.0 - beta2) * g * g;
            *w -= rate * (*mean / first / ((*square / second).sqrt() + ADAM_EPSILON) + decay * *w);
        }
    }

    /// Returns the mean loss per training target, in nats, without a step.
    pub fn loss(&mut self, texts: &[&Text]) -> f64 {
        self.gradients.loss(&self.weights.values, texts)
    }

    /// Returns the weights to keep: the running mean after private steps, otherwise the current weights.
    #[must_use]
    pub fn kept(&self) -> Weights {
        let values = self.average.as_ref().unwrap_or(&self.weights.values).clone();
        Weights { shape: self.weights.shape, values }
    }

    /// Returns the state that the next steps depend on, after `done` steps, as a safetensors file.
    #[must_use]
    pub fn save(&self, done: u64) -> Vec<u8> {
        let average = self.average.iter().map(|average| ("average", average));
        let parts = [("weights", &self.weights.values), ("mean", &self.mean), ("square", &self.square)];
        let notes = [("done", done.to_string()), ("steps", self.steps.to_string())];
        pack(parts.into_iter().chain(average), notes)
    }

    /// Restores the state that [`Trainer::save`] returned. Returns its number of steps done.
    ///
    /// # Errors
    /// When the state is damaged or of another model. The trainer is then unchanged, unless the step count is too
    /// large.
    pub fn restore(&mut self, saved: &[u8]) -> Result<u64, WeightsError> {
        let state = Packed::open(saved, self.weights.values.len())?;
        let (weights, mean, square) = (state.part("weights")?, state.part("mean")?, state.part("square")?);
        let average = if state.has("average") { Some(state.part("average")?) } else { None };
        let (done, steps) = (state.note("done")?, state.note("steps")?);
        (self.weights.values, self.mean, self.square, self.average) = (weights, mean, square, average);
        self.steps = i32::try_from(steps).map_err(|_| WeightsError::Damaged("too many steps".into()))?;
        Ok(done)
    }
}

/// The noise of private steps.
#[derive(Debug)]
pub struct PrivateNoise(Normal);

impl PrivateNoise {
    /// Makes noise from a stream, which must be secret from everybody who sees the weights.
    #[must_use]
    pub fn new(stream: ChaCha20Rng) -> Self {
        Self(Normal::new(stream))
    }
}

/// Returns the indices of the units of a step: each of `count` units with probability `rate`, independently of the
/// others (Poisson sampling).
pub fn poisson_sample(count: usize, rate: f64, stream: &mut ChaCha20Rng) -> Vec<usize> {
    (0..count).filter(|_| uniform(stream) < rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use rand_chacha::rand_core::SeedableRng;

    const SHAPE: Shape = Shape { vocabulary: 40, width: 16, layers: 2, heads: 2, hidden: 24, context: 16 };

    fn rows() -> Vec<Text> {
        let row = |n: u32| Text { tokens: (0..8).map(|i| (n * 7 + i * n) % 40).collect(), counts: vec![true; 8] };
        (1..20).map(row).collect()
    }

    fn trained(threads: usize, private: bool) -> (Weights, f64) {
        let rows = rows();
        let all: Vec<&Text> = rows.iter().collect();
        let mut trainer = Trainer::new(Weights::random(SHAPE, 1), threads);
        let mut stream = ChaCha20Rng::seed_from_u64(5);
        let mut normal = PrivateNoise::new(ChaCha20Rng::seed_from_u64(6));
        let noise = Noise { clip: 0.5, multiplier: 0.8, expected: 9.5 };
        for _ in 0..60 {
            if private {
                let drawn = poisson_sample(all.len(), 0.5, &mut stream);
                let units: Vec<&[&Text]> = drawn.iter().map(|i| std::slice::from_ref(&all[*i])).collect();
                trainer.learn_privately(&units, &noise, &mut normal, 3e-3).expect("a number");
            } else {
                trainer.learn(&all, 1e-2, 0.01).expect("a number");
            }
        }
        let loss = trainer.loss(&all);
        (trainer.kept(), loss)
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        for private in [false, true] {
            let (one, loss) = trained(1, private);
            assert!(loss < if private { 3.6 } else { 0.5 }, "{loss}");
            assert!([2, 4].iter().all(|threads| trained(*threads, private).0 == one), "{private}");
            let embedding = SHAPE.spans().embedding;
            let stayed = one.values[embedding.clone()] == Weights::random(SHAPE, 1).values[embedding];
            assert_eq!(stayed, private);
        }
    }

    #[test]
    fn no_unit_moves_the_sum_by_more_than_the_clip() {
        let rows = rows();
        let weights = Weights::random(SHAPE, 1);
        let mut gradients = Gradients::new(SHAPE, 2);
        let all: Vec<&Text> = rows.iter().collect();
        let units: Vec<&[&Text]> = all.chunks(3).collect();
        let (mut with, mut without) = (vec![0.0; SHAPE.weights()], vec![0.0; SHAPE.weights()]);
        for clip in [0.1, 100.0] {
            gradients.sum(&weights.values, &units, Sum::Clipped(clip), &mut with);
            gradients.sum(&weights.values, &units[..units.len() - 1], Sum::Clipped(clip), &mut without);
            let apart: f32 = with.iter().zip(&without).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            assert!(apart <= clip * 1.0001 && (clip > 1.0 || apart > clip * 0.999), "{apart} for {clip}");
        }
    }

    #[test]
    fn a_training_that_fails_keeps_the_weights_before() {
        let rows = rows();
        let mut trainer = Trainer::new(Weights::random(SHAPE, 1), 1);
        trainer.weights.values[7 * 16] = f32::NAN;
        let before = trainer.weights.values.clone();
        let all: Vec<&Text> = rows.iter().collect();
        assert_eq!(trainer.learn(&all, 1e-2, 0.0), Err(Diverged));
        assert!(trainer.weights.values.iter().zip(&before).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn sampling_draws_each_by_itself() {
        let mut stream = ChaCha20Rng::seed_from_u64(3);
        let counts: Vec<usize> = (0..2000).map(|_| poisson_sample(50, 0.1, &mut stream).len()).collect();
        let mean = counts.iter().sum::<usize>() as f64 / 2000.0;
        let variance = counts.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 5.0).abs() < 0.2 && (variance - 4.5).abs() < 0.5, "{mean} {variance}");
    }
}
