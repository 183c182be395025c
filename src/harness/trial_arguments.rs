//! The arguments of libtest, and the trials that they select.

use std::ffi::OsString;

use libtest_mimic::{Arguments, Trial};

use super::trial;

/// Options of libtest that take a value, which is no filter.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--logfile", "--skip", "--color", "--format", "-Z"];

/// The arguments of libtest. Unlike those of libtest-mimic, they may hold several filters: a trial that fits any of them is
/// selected.
#[derive(Debug, Clone, Default)]
pub struct TrialArguments {
    arguments: Arguments,
    /// Filters, if there are several. A single one is in `arguments`.
    filters: Vec<String>,
}

impl TrialArguments {
    /// Reads the words of a command line; the first one is the program's name.
    ///
    /// # Errors
    /// One line, when no thread would run a trial. An unknown option ends the process, as in libtest.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let (mut kept, mut filters) = (Vec::new(), Vec::new());
        let (mut is_value, mut is_rest) = (true, false);
        for word in words {
            let text = word.to_string_lossy().into_owned();
            if std::mem::take(&mut is_value) || (!is_rest && text.starts_with('-') && text.len() > 1) {
                is_rest |= text == "--";
                is_value = WITH_VALUE.contains(&text.as_str());
                kept.push(word);
            } else {
                filters.push((text, word));
            }
        }
        let filters: Vec<String> = if let [_] = filters.as_slice() {
            kept.extend(filters.drain(..).map(|(_, word)| word));
            Vec::new()
        } else {
            filters.into_iter().map(|(text, _)| text).collect()
        };
        let arguments = Arguments::from_iter(kept);
        if arguments.test_threads == Some(0) {
            return Err("--test-threads is 1 or more".to_owned());
        }
        Ok(Self { arguments, filters })
    }

    /// The arguments as libtest-mimic knows them.
    #[must_use]
    pub fn libtest(&self) -> &Arguments {
        &self.arguments
    }

    /// Whether a trial of this name fits one of several filters.
    fn fits(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.arguments.exact { name == filter } else { name.contains(filter.as_str()) };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }

    /// Whether the arguments select a trial of this name and kind.
    pub(super) fn select(&self, name: &str, kind: &str) -> bool {
        let probe = trial(name, kind, || Ok(()));
        self.fits(name) && !self.arguments.is_filtered_out(&probe) && !self.arguments.is_ignored(&probe)
    }

    /// The trials that fit the filters; libtest-mimic applies all other arguments.
    pub(super) fn keep(&self, trials: Vec<Trial>) -> Vec<Trial> {
        trials.into_iter().filter(|trial| self.fits(trial.name())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<TrialArguments, String> {
        TrialArguments::parse(std::iter::once("program").chain(words.iter().copied()).map(OsString::from))
    }

    #[test]
    fn several_filters_select_what_fits_any_of_them() {
        let selects = |words: &[&str], name: &str| parsed(words).expect("sound").select(name, "planted");
        assert!(selects(&["c0001", "c0002"], "a::c0002") && !selects(&["c0001", "c0002"], "a::c0003"));
        assert!(selects(&["--skip", "c0003", "c0001", "c0002"], "a::c0001"));
        assert!(!selects(&["c0001", "--skip", "c0002", "c0002"], "a::c0002"));
        assert!(selects(&["--exact", "a", "b"], "b") && !selects(&["--exact", "a", "b"], "ab"));
        assert!(selects(&["c0001"], "a::c0001") && !selects(&["c0001"], "a::c0002") && selects(&[], "a"));
    }

    #[test]
    fn no_thread_is_refused() {
        assert!(parsed(&["--test-threads=0"]).is_err() && parsed(&["--test-threads", "0"]).is_err());
        assert!(parsed(&["--test-threads=1"]).is_ok());
    }
}
