//! Gradients of many texts on several threads, with the same bits for any number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::Shape;
use super::layers::dot;
use super::model::{Embedding, Network, Text};

/// Maximum number of groups of units. One thread sums each group, and the groups are added in their order. The number
/// of groups depends on the number of units only: otherwise the rounding would depend on the number of threads.
const GROUPS: usize = 8;
/// Units for each group, up to [`GROUPS`] groups. Fewer units are not worth a group, which costs a pass over all
/// weights.
const EACH: usize = 4;
/// Maximum number of tokens of texts that run together; a longer text runs alone.
const TOGETHER: usize = 1024;

/// Buffers of one thread.
#[derive(Debug)]
struct Worker {
    network: Network,
    /// Gradient of one unit, `[weights]`.
    one: Vec<f32>,
}

/// Sum of the gradients, `[weights]`, and of the losses of one group, in nats.
#[derive(Debug)]
struct Group {
    gradient: Vec<f32>,
    loss: f64,
}

/// Buffers of all threads and groups.
#[derive(Debug)]
pub(super) struct Gradients {
    workers: Vec<Worker>,
    groups: Vec<Mutex<Group>>,
}

/// The way in which the gradients of units are combined.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sum {
    /// The gradient of the mean loss per training target: all targets count equally.
    Mean,
    /// The sum over the units of the gradient of each unit's mean loss, clipped to this L2 norm, without that of the
    /// embedding.
    Clipped(f32),
}

impl Gradients {
    pub(super) fn new(shape: Shape, threads: usize) -> Self {
        let worker = |_| Worker { network: Network::new(shape), one: vec![0.0; shape.weights()] };
        let group = |_| Mutex::new(Group { gradient: vec![0.0; shape.weights()], loss: 0.0 });
        Self { workers: (0..threads.clamp(1, GROUPS)).map(worker).collect(), groups: (0..GROUPS).map(group).collect() }
    }

    /// Writes the combined gradient of units of texts to `into`, `[weights]`. Returns the mean loss per training
    /// target, in nats. `weights` is `[weights]`.
    pub(super) fn sum(&mut self, weights: &[f32], units: &[&[&Text]], how: Sum, into: &mut [f32]) -> f64 {
        let counted = |texts: &[&Text]| texts.iter().map(|text| text.counted()).sum::<usize>();
        let all = units.iter().map(|unit| counted(unit)).sum::<usize>();
        let next = AtomicUsize::new(0);
        let groups = &self.groups[..units.len().div_ceil(EACH).min(GROUPS)];
        std::thread::scope(|scope| {
            for worker in &mut self.workers {
                let next = &next;
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(group) = groups.get(index) else { break };
                        let mut group = group.lock().expect("no thread panics while it holds a group");
                        group.gradient.fill(0.0);
                        group.loss = 0.0;
                        let own = units.iter().skip(index).step_by(groups.len());
                        match how {
                            Sum::Mean => worker.mean(weights, own.flat_map(|u| u.iter()), all, &mut group),
                            Sum::Clipped(most) => {
                                for unit in own {
                                    worker.clipped(weights, unit, counted(unit), most, &mut group);
                                }
                            }
                        }
                    }
                });
            }
        });
        into.fill(0.0);
        let mut loss = 0.0;
        for group in groups {
            let group = group.lock().expect("no thread panicked");
            into.iter_mut().zip(&group.gradient).for_each(|(into, from)| *into += from);
            loss += group.loss;
        }
        loss / all.max(1) as f64
    }

    /// Returns the mean loss per training target, in nats, without gradients. `weights` is `[weights]`.
    pub(super) fn loss(&mut self, weights: &[f32], texts: &[&Text]) -> f64 {
        let network = &mut self.workers[0].network;
        let (mut sum, mut count) = (0.0, 0);
        for text in texts {
            let found = network.forward(weights, &[text]);
            sum -= found.iter().map(|x| f64::from(*x)).sum::<f64>();
            count += found.len();
        }
        sum / count.max(1) as f64
    }
}

impl Worker {
    /// Adds the gradient of the texts' summed loss to the group, divided by `all`, the number of targets of all units.
    fn mean<'a>(&mut self, weights: &[f32], texts: impl Iterator<Item = &'a &'a Text>, all: usize, group: &mut Group) {
        let mut together: Vec<&Text> = Vec::new();
        let mut tokens = 0;
        let mut run = |together: &mut Vec<&Text>| {
            let found = self.network.forward(weights, together);
            group.loss -= found.iter().map(|x| f64::from(*x)).sum::<f64>();
            self.network.backward(weights, together, 1.0 / all.max(1) as f32, Embedding::Learns, &mut group.gradient);
            together.clear();
        };
        for text in texts {
            if !together.is_empty() && tokens + text.tokens.len() > TOGETHER {
                run(&mut together);
                tokens = 0;
            }
            tokens += text.tokens.len();
            together.push(text);
        }
        if !together.is_empty() {
            run(&mut together);
        }
    }

    /// Adds the gradient of the unit's mean loss, clipped to the L2 norm `most`, to the group.
    fn clipped(&mut self, weights: &[f32], unit: &[&Text], counted: usize, most: f32, group: &mut Group) {
        if counted == 0 {
            return;
        }
        self.one.fill(0.0);
        for text in unit {
            let found = self.network.forward(weights, &[text]);
            group.loss -= found.iter().map(|x| f64::from(*x)).sum::<f64>();
            self.network.backward(weights, &[text], 1.0 / counted as f32, Embedding::Stays, &mut self.one);
        }
        let length = dot(&self.one, &self.one).sqrt();
        // A gradient that is not finite cannot be clipped, so it is left out to keep the bound.
        if !length.is_finite() {
            return;
        }
        let scale = if length > most { most / length } else { 1.0 };
        group.gradient.iter_mut().zip(&self.one).for_each(|(into, from)| *into += scale * from);
    }
}
