//! Lines about the pace of a run: how long it will take, and where it is.

use std::time::{Duration, Instant};

/// Time after which the duration of a run is estimated.
const MEASURED: Duration = Duration::from_secs(5);
/// Runs that are shorter need no estimate.
const LONG: Duration = Duration::from_secs(30);
/// Time between two lines where no bar shows the progress.
const BETWEEN: Duration = Duration::from_secs(60);

/// Counts the samples of a run.
#[derive(Debug, Default)]
pub(crate) struct RunPace {
    /// Samples that are planned.
    pub(crate) planned: u64,
    done: u64,
    /// Time of the first samples, and their number: those of an interrupted run come at once.
    begun: Option<(Instant, u64)>,
    is_estimated: bool,
    told: Option<Instant>,
}

impl RunPace {
    /// Adds samples, and gives a line that is due: one estimate, then one a minute if `is_told_each_minute`.
    pub(crate) fn add(&mut self, samples: u64, is_told_each_minute: bool) -> Option<String> {
        self.add_at(samples, is_told_each_minute, Instant::now())
    }

    fn add_at(&mut self, samples: u64, is_told_each_minute: bool, now: Instant) -> Option<String> {
        self.done += samples;
        let (begun, before) = *self.begun.get_or_insert((now, self.done));
        let (elapsed, fresh) = (now.duration_since(begun), self.done - before);
        if elapsed < MEASURED || fresh == 0 {
            return None;
        }
        let rate = fresh as f64 / elapsed.as_secs_f64();
        let left = Duration::from_secs_f64(self.planned.saturating_sub(self.done) as f64 / rate);
        if !self.is_estimated {
            self.is_estimated = true;
            self.told = Some(now);
            return (left >= LONG)
                .then(|| format!("pace       {rate:.0} answers a second, at most {} left", words(left)));
        }
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= BETWEEN);
        if !is_told_each_minute || !is_due || self.done >= self.planned {
            return None;
        }
        self.told = Some(now);
        Some(format!(
            "progress   {} of at most {} answers, {rate:.0} a second, at most {} left",
            self.done,
            self.planned,
            words(left)
        ))
    }
}

/// A duration as people say it.
fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..90 => format!("{seconds} seconds"),
        90..5400 => format!("{} minutes", (seconds + 30) / 60),
        _ => format!("{:.1} hours", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_tells_its_pace_and_then_a_line_a_minute() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = RunPace { planned: 18_000, ..RunPace::default() };
        assert_eq!(pace.add_at(1000, true, start), None);
        assert_eq!(pace.add_at(10, true, after(1)), None);
        let line = pace.add_at(290, true, after(10)).expect("an estimate");
        assert_eq!(line, "pace       30 answers a second, at most 9 minutes left");
        assert_eq!(pace.add_at(30, true, after(60)), None);
        let line = pace.add_at(1670, true, after(70)).expect("a minute later");
        assert!(line.starts_with("progress   3000 of at most 18000 answers, 29 a second"), "{line}");
        assert_eq!(pace.add_at(30, false, after(200)), None);
        let mut short = RunPace { planned: 100, ..RunPace::default() };
        assert_eq!([short.add_at(1, true, start), short.add_at(90, true, after(6))], [None, None]);
    }
}
