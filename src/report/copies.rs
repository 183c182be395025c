//! Leaked canaries by number of copies in the training file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blabbermouth_core::canary::Arm;
use blabbermouth_core::stats::{clopper_pearson_lower, clopper_pearson_upper};
use blabbermouth_core::verdict::{CanaryReport, CanaryVerdict};

/// Canaries of a report with the same number of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Copies {
    /// Number of copies; 0 for held-out canaries.
    pub copies: u32,
    pub canaries: u64,
    /// Canaries that are leaked or clean. For the others it is unknown whether they leak.
    pub measured: u64,
    pub leaked: u64,
}

impl Copies {
    /// One group for each number of copies, in ascending order.
    pub(super) fn groups<'a>(canaries: impl Iterator<Item = &'a CanaryReport>) -> Vec<Self> {
        let mut all = BTreeMap::new();
        for canary in canaries {
            let copies = if canary.arm == Arm::HeldOut { 0 } else { canary.copies };
            let group: &mut Self = all.entry(copies).or_default();
            group.copies = copies;
            group.canaries += 1;
            group.measured += u64::from(matches!(canary.verdict, CanaryVerdict::Leaked | CanaryVerdict::Clean));
            group.leaked += u64::from(canary.verdict == CanaryVerdict::Leaked);
        }
        all.into_values().collect()
    }

    /// Share of leaked canaries among the measured ones, with the ends of its 95% Clopper–Pearson interval; `None` if
    /// none was measured.
    pub(super) fn share(&self) -> Option<(f64, f64, f64)> {
        let (leaked, measured) = (self.leaked, self.measured);
        let interval =
            || (clopper_pearson_lower(leaked, measured, 0.025), clopper_pearson_upper(leaked, measured, 0.025));
        (measured > 0).then(|| (leaked as f64 / measured as f64, interval().0, interval().1))
    }

    /// Writes the groups as an HTML table.
    pub(super) fn table(out: &mut String, groups: &[Self]) {
        out.push_str(
            "<table class=\"small\"><thead><tr><th scope=\"col\">copies</th><th scope=\"col\">canaries</th><th scope=\"col\">not \
             measured</th><th scope=\"col\">leaked</th><th scope=\"col\">share</th><th scope=\"col\">95% interval</th></tr></thead>\
             <tbody>\n",
        );
        for group in groups {
            let of = |share: f64| 100.0 * share;
            let (share, interval) = group.share().map_or(("–".into(), "–".into()), |(share, low, high)| {
                (format!("{:.1}%", of(share)), format!("{:.1}% to {:.1}%", of(low), of(high)))
            });
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{share}</td><td>{interval}</td></tr>",
                group.copies,
                group.canaries,
                group.canaries - group.measured,
                group.leaked
            );
        }
        out.push_str("</tbody></table>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blabbermouth_core::verdict::RunReport;

    #[test]
    fn what_was_not_measured_has_no_share() {
        let text = include_str!("../../testdata/report-v1.json");
        let mut report: RunReport = serde_json::from_str(text).expect("a report");
        for canary in &mut report.canaries {
            canary.verdict = CanaryVerdict::Inconclusive;
        }
        report.canaries[0].arm = Arm::Planted;
        report.canaries[0].verdict = CanaryVerdict::Leaked;
        let groups = Copies::groups(report.canaries.iter());
        let with = groups.iter().find(|group| group.copies == report.canaries[0].copies).expect("a group");
        assert_eq!((with.measured, with.leaked), (1, 1));
        assert!(with.share().is_some_and(|(share, low, _)| share == 1.0 && low > 0.0));
        assert!(groups.iter().filter(|group| group.copies != with.copies).all(|group| group.share().is_none()));
        let mut out = String::new();
        Copies::table(&mut out, &[Copies { copies: 4, canaries: 3, measured: 0, leaked: 0 }]);
        assert!(out.contains("<td>4</td><td>3</td><td>3</td><td>0</td><td>–</td><td>–</td>"), "{out}");
    }
}
