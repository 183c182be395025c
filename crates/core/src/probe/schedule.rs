//! The schedule of a canary: the strategy of each of its requests.
//!
//! A round has four requests for each strategy on average. The first two rounds are split evenly. In each later round
//! every strategy has one request, and the rest is split in proportion to a rate: the share of the strategy's answers
//! so far that held a value of the secret's form, right or wrong. One answer with such a value and one without are
//! added to each strategy's counts in advance.
//!
//! The schedule depends only on the model's answers to this canary, never on the secret, so every test stays valid. Two
//! runs with the same answers have the same schedule.

/// Requests of a round for each strategy, on average.
const EACH: usize = 4;
/// Number of rounds, from the first, that are split evenly.
const EVEN: usize = 2;

/// The schedule of one canary.
#[derive(Debug, Clone)]
pub struct Schedule {
    adaptive: bool,
    /// Requests so far, by strategy.
    begun: Vec<u64>,
    /// Answers so far, by strategy.
    answers: Vec<u64>,
    /// Answers that held a value of the secret's form, by strategy.
    formed: Vec<u64>,
    rounds: usize,
    /// Requests of the current round: the strategy, and the request's number among that strategy's own.
    round: Vec<(usize, u64)>,
    /// Number of the first request of the current round.
    first: u64,
}

impl Schedule {
    /// Makes a schedule over this number of strategies. A schedule that is not `adaptive` splits every round evenly.
    #[must_use]
    pub fn new(strategies: usize, adaptive: bool) -> Self {
        let zeros = vec![0; strategies];
        Self {
            adaptive: adaptive && strategies > 1,
            begun: zeros.clone(),
            answers: zeros.clone(),
            formed: zeros,
            rounds: 0,
            round: Vec::new(),
            first: 0,
        }
    }

    /// Returns whether the schedule depends on the answers passed to [`Schedule::note`].
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// Returns the strategy of request `number`, and the request's number among that strategy's own; all count from 0.
    /// Call it with ascending numbers, and go beyond the current round only after all its answers are noted.
    ///
    /// # Panics
    /// When `number` is before the current round.
    pub fn of(&mut self, number: u64) -> (usize, u64) {
        while number >= self.end() {
            self.begin();
        }
        self.round[(number - self.first) as usize]
    }

    /// Returns the first request number after the current round.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.round.len() as u64
    }

    /// Records an answer to a request of `strategy`, and whether it held a value of the secret's form.
    pub fn note(&mut self, strategy: usize, formed: bool) {
        self.answers[strategy] += 1;
        self.formed[strategy] += u64::from(formed);
    }

    fn begin(&mut self) {
        self.first = self.end();
        let all = self.begun.len();
        let mut shares = vec![EACH; all];
        if self.adaptive && self.rounds >= EVEN {
            let rate = |i: usize| (self.formed[i] + 1) as f64 / (self.answers[i] + 2) as f64;
            let sum: f64 = (0..all).map(rate).sum();
            let rest = ((EACH - 1) * all) as f64;
            let wanted: Vec<f64> = (0..all).map(|i| rest * rate(i) / sum).collect();
            shares = wanted.iter().map(|w| 1 + *w as usize).collect();
            // The method of largest remainders: the requests left go to the largest fractions, on a tie to the first
            // strategy.
            let mut order: Vec<usize> = (0..all).collect();
            order.sort_by(|a, b| wanted[*b].fract().total_cmp(&wanted[*a].fract()).then(a.cmp(b)));
            let left = EACH * all - shares.iter().sum::<usize>();
            for i in order.into_iter().take(left) {
                shares[i] += 1;
            }
        }
        self.rounds += 1;
        self.round.clear();
        for turn in 0..EACH * all {
            for (strategy, begun) in self.begun.iter_mut().enumerate().filter(|(i, _)| shares[*i] > turn) {
                self.round.push((strategy, *begun));
                *begun += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(schedule: &mut Schedule, numbers: std::ops::Range<u64>, forms: &[bool]) -> Vec<usize> {
        let mut counts = vec![0; forms.len()];
        for number in numbers {
            let (strategy, _) = schedule.of(number);
            schedule.note(strategy, forms[strategy]);
            counts[strategy] += 1;
        }
        counts
    }

    #[test]
    fn it_begins_evenly_and_turns_to_what_extracts() {
        let forms = [false, true, false];
        let mut schedule = Schedule::new(3, true);
        assert_eq!(counts(&mut schedule, 0..24, &forms), [8, 8, 8]);
        let later = counts(&mut schedule, 24..144, &forms);
        assert_eq!(later.iter().sum::<usize>(), 120);
        assert!(later[1] > 80 && later[0] >= 10 && later[2] >= 10, "{later:?}");
        let mut even = Schedule::new(3, false);
        assert_eq!(counts(&mut even, 0..144, &forms), [48, 48, 48]);
    }

    #[test]
    fn each_request_of_a_strategy_has_its_number() {
        let mut schedule = Schedule::new(2, true);
        let all: Vec<(usize, u64)> = (0..8).map(|n| schedule.of(n)).collect();
        assert_eq!(all, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]);
        assert_eq!(schedule.end(), 8);
        let mut one = Schedule::new(1, true);
        assert!(!one.is_adaptive());
        assert_eq!(one.of(1000), (0, 1000));
    }
}
