//! A fine-tuning: the texts and the learning rate of each step, and resume.
//!
//! Each epoch, or with privacy each step, draws from its own random streams. So a fine-tuning that resumes from a saved
//! state takes exactly the steps of an uninterrupted one.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::checkpoint::{Weights, WeightsError};
use super::model::Text;
use super::noise::shuffle;
use super::train::{Diverged, Noise, PrivateNoise, Trainer, poisson_sample};

/// Share of the steps over which the learning rate rises, without privacy.
const WARM_UP: f64 = 0.05;
/// Share of the steps after which the learning rate falls, with privacy: no later step corrects the noise of the last
/// ones.
const FALL: f64 = 0.5;
/// Weight decay, without privacy.
const DECAY: f32 = 0.01;

/// Settings of differential privacy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Privacy {
    /// Maximum L2 norm of the gradient of one unit.
    pub clip: f32,
    /// Noise multiplier: standard deviation of the noise, in multiples of `clip`.
    pub multiplier: f64,
}

/// Settings of a fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainConfig {
    /// Number of passes over all units.
    pub epochs: u32,
    /// Number of units of each step; on average with privacy.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Clips gradients by unit, adds noise, and samples the units of each step at random; `None` for no privacy.
    pub privacy: Option<Privacy>,
}

impl TrainConfig {
    /// Returns the number of steps over this number of units.
    ///
    /// ```
    /// use blabbermouth_lm::TrainConfig;
    /// let course = TrainConfig { epochs: 3, batch: 16, rate: 1e-3, privacy: None };
    /// assert_eq!(course.steps(100), 21);
    /// ```
    #[must_use]
    pub fn steps(&self, units: usize) -> u64 {
        let (epochs, batch) = (u64::from(self.epochs), self.batch.max(1) as u64);
        match self.privacy {
            None => epochs * (units as u64).div_ceil(batch),
            Some(_) => (epochs * units as u64).div_ceil(batch),
        }
    }

    /// Returns the probability with which a step has a given unit, with privacy.
    #[must_use]
    pub fn sampling_rate(&self, units: usize) -> f64 {
        (self.batch as f64 / units.max(1) as f64).min(1.0)
    }

    /// Returns the learning rate of the step with this number, from 0: a warm-up and a linear decay; with privacy, a
    /// constant rate and then a linear decay.
    fn rate_at(&self, step: u64, steps: u64) -> f32 {
        let done = step as f64 / steps.max(1) as f64;
        if self.privacy.is_some() {
            return (self.rate * ((1.0 - done) / (1.0 - FALL)).min(1.0)) as f32;
        }
        (self.rate * (((step + 1) as f64) / (WARM_UP * steps as f64).max(1.0)).min(1.0).min(1.0 - done)) as f32
    }
}

/// Result of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Number of the step, from 1.
    pub step: u64,
    /// Number of steps in all.
    pub steps: u64,
    /// Mean loss per training target before the step, in nats; `None` if no unit was drawn.
    pub loss: Option<f64>,
    /// The epoch that ended with this step, from 1; `None` if none did.
    pub epoch: Option<u32>,
}

/// A fine-tuning in progress.
#[derive(Debug)]
pub struct FineTune {
    course: TrainConfig,
    units: Vec<Vec<Text>>,
    trainer: Trainer,
    seed: [u8; 32],
    /// Number of steps taken.
    done: u64,
    /// Order of the units in the current epoch, without privacy; empty until it is drawn.
    order: Vec<usize>,
}

impl FineTune {
    /// Starts from weights. A unit is one or more texts; without privacy each text becomes a unit of its own.
    /// `seed` determines the order of the texts. With privacy it determines the units of each step and the noise, and
    /// must be secret.
    #[must_use]
    pub fn begin(weights: Weights, units: Vec<Vec<Text>>, course: TrainConfig, seed: [u8; 32], threads: usize) -> Self {
        let units = match course.privacy {
            Some(_) => units,
            None => units.into_iter().flatten().map(|text| vec![text]).collect(),
        };
        Self { trainer: Trainer::new(weights, threads), course, units, seed, done: 0, order: Vec::new() }
    }

    /// Resumes from the state that [`FineTune::save`] returned, with the same units, settings and seed.
    ///
    /// # Errors
    /// When the state is damaged or of another model.
    pub fn resume(&mut self, saved: &[u8]) -> Result<(), WeightsError> {
        self.done = self.trainer.restore(saved)?;
        self.order.clear();
        Ok(())
    }

    /// Returns the state that the next steps depend on, without units, settings and seed.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.trainer.save(self.done)
    }

    /// Returns the number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Returns the number of steps in all.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.course.steps(self.units.len())
    }

    /// Returns a random stream of the seed, by number.
    fn stream(&self, number: u64) -> ChaCha20Rng {
        let mut stream = ChaCha20Rng::from_seed(self.seed);
        stream.set_stream(number);
        stream
    }

    /// Takes the next step; returns `None` when all are taken.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite; the weights are then those of the step before.
    pub fn advance(&mut self) -> Result<Option<Step>, Diverged> {
        let (steps, step) = (self.steps(), self.done);
        if step >= steps {
            return Ok(None);
        }
        let rate = self.course.rate_at(step, steps);
        let loss = match self.course.privacy {
            None => Some(self.plain(step, rate)?),
            Some(privacy) => self.private(step, rate, privacy)?,
        };
        self.done = step + 1;
        // An epoch ends with the step that completes its share of all steps: with privacy, units have no order.
        let ended = |step: u64| step * u64::from(self.course.epochs) / steps;
        let epoch = (ended(step + 1) > ended(step)).then(|| ended(step + 1) as u32);
        Ok(Some(Step { step: step + 1, steps, loss, epoch }))
    }

    /// Takes a step over the next units of the epoch's random order.
    fn plain(&mut self, step: u64, rate: f32) -> Result<f64, Diverged> {
        let batch = self.course.batch.max(1);
        let of_epoch = self.units.len().div_ceil(batch) as u64;
        let (epoch, place) = (step / of_epoch, (step % of_epoch) as usize);
        if place == 0 || self.order.is_empty() {
            self.order = (0..self.units.len()).collect();
            let mut stream = self.stream(epoch);
            shuffle(&mut self.order, &mut stream);
        }
        let drawn = self.order.iter().skip(place * batch).take(batch);
        let texts: Vec<&Text> = drawn.flat_map(|unit| &self.units[*unit]).collect();
        self.trainer.learn(&texts, rate, DECAY)
    }

    /// Takes a private step over units that are sampled at random, with streams of its own for the sample and the
    /// noise.
    fn private(&mut self, step: u64, rate: f32, privacy: Privacy) -> Result<Option<f64>, Diverged> {
        let sampling = self.course.sampling_rate(self.units.len());
        let drawn = poisson_sample(self.units.len(), sampling, &mut self.stream(2 * step));
        let mut noise = PrivateNoise::new(self.stream(2 * step + 1));
        let texts: Vec<Vec<&Text>> = drawn.iter().map(|unit| self.units[*unit].iter().collect()).collect();
        let units: Vec<&[&Text]> = texts.iter().map(Vec::as_slice).collect();
        let expected = sampling * self.units.len() as f64;
        let settings = Noise { clip: privacy.clip, multiplier: privacy.multiplier, expected };
        let loss = self.trainer.learn_privately(&units, &settings, &mut noise, rate)?;
        Ok((!units.is_empty()).then_some(loss))
    }

    /// Returns the weights to keep; see [`Trainer::kept`].
    #[must_use]
    pub fn weights(&self) -> Weights {
        self.trainer.kept()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    const SHAPE: Shape = Shape { vocabulary: 40, width: 16, layers: 2, heads: 2, hidden: 24, context: 16 };

    fn units() -> Vec<Vec<Text>> {
        let row = |n: u32| Text { tokens: (0..8).map(|i| (n * 7 + i * n) % 40).collect(), counts: vec![true; 8] };
        (1..12).map(|n| vec![row(n); 1 + (n % 2) as usize]).collect()
    }

    fn course(private: bool) -> TrainConfig {
        let privacy = private.then_some(Privacy { clip: 0.5, multiplier: 0.6 });
        TrainConfig { epochs: 4, batch: 4, rate: 5e-3, privacy }
    }

    fn begin(private: bool) -> FineTune {
        FineTune::begin(Weights::random(SHAPE, 1), units(), course(private), [7; 32], 2)
    }

    #[test]
    fn a_course_that_goes_on_ends_where_an_undisturbed_one_does() {
        for private in [false, true] {
            let mut whole = begin(private);
            let mut epochs = Vec::new();
            let mut saved = None;
            while let Some(step) = whole.advance().expect("a number") {
                epochs.extend(step.epoch);
                if step.step == 7 {
                    saved = Some(whole.save());
                }
            }
            assert_eq!(epochs, [1, 2, 3, 4]);
            let mut resumed = begin(private);
            resumed.resume(&saved.expect("more than seven steps")).expect("sound");
            let mut rest = 0;
            while resumed.advance().expect("a number").is_some() {
                rest += 1;
            }
            assert_eq!(rest, whole.steps() - 7);
            assert_eq!(resumed.weights(), whole.weights(), "{private}");
        }
    }

    #[test]
    fn every_text_is_learned_from_once_an_epoch() {
        let mut training = begin(false);
        let all = training.units();
        assert_eq!((all, training.steps()), (17, 4 * 5));
        training.advance().expect("a number");
        let mut order = training.order.clone();
        order.sort_unstable();
        assert_eq!(order, (0..all).collect::<Vec<_>>());
        // With privacy the texts of a unit stay together.
        assert_eq!(begin(true).units(), 11);
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let course = course(false);
        let rates: Vec<f32> = (0..100).map(|step| course.rate_at(step, 100)).collect();
        assert!(rates[0] < rates[3] && rates[4] > rates[50] && rates[99] > 0.0 && rates[99] < 1e-4);
        assert!(rates.iter().all(|rate| *rate <= 5e-3));
        let private = TrainConfig { privacy: Some(Privacy { clip: 1.0, multiplier: 1.0 }), ..course };
        let rates: Vec<f32> = (0..100).map(|step| private.rate_at(step, 100)).collect();
        assert!(rates[..50].iter().all(|rate| *rate == 5e-3) && rates[75] < 2.6e-3 && rates[99] > 0.0);
    }

    #[test]
    fn damaged_states_are_refused() {
        let mut training = begin(true);
        training.advance().expect("a number");
        let saved = training.save();
        assert!(training.resume(&saved[..saved.len() - 3]).is_err());
        assert!(training.resume(b"{}").is_err());
        let other = Shape { width: 32, ..SHAPE };
        let mut other = FineTune::begin(Weights::random(other, 1), units(), course(true), [7; 32], 1);
        assert!(other.resume(&saved).is_err());
    }
}
