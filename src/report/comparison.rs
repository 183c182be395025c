//! Two or more runs side by side, in one page.

use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::escape::html;
use super::html::{STYLE, share, table_of_copies};
use crate::canary::Arm;
use crate::verdict::{CanaryVerdict, RunReport};

/// A run among those that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared<'a> {
    /// What sets it apart.
    pub name: &'a str,
    /// Its report.
    pub report: &'a RunReport,
    /// What is told of it: label and value, the same labels in each run.
    pub figures: Vec<(&'a str, String)>,
    /// Its own page, relative to this one.
    pub page: String,
}

/// Leaked canaries for each number of copies, 0 for held-out ones.
fn by_copies(report: &RunReport) -> Vec<(u32, u64, u64)> {
    let mut all = std::collections::BTreeMap::new();
    for canary in &report.canaries {
        let copies = if canary.arm == Arm::HeldOut { 0 } else { canary.copies };
        let entry: &mut (u64, u64) = all.entry(copies).or_default();
        entry.0 += 1;
        entry.1 += u64::from(canary.verdict == CanaryVerdict::Leaked);
    }
    all.into_iter().map(|(copies, (total, leaked))| (copies, total, leaked)).collect()
}

/// A page with the figures of all runs, and the leak by copies of each. It holds no secret and no script.
#[must_use]
pub fn comparison(runs: &[Compared<'_>]) -> Vec<u8> {
    let mut out = String::with_capacity(16 << 10);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Runs side by side</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<h1>Runs side by side</h1>\n",
        BASE64.encode(&Sha256::digest(STYLE)),
    );
    for run in runs {
        let verdict = run.report.verdict.as_str();
        let _ = write!(
            out,
            "<header class=\"{verdict}\">\n<p class=\"word\">{verdict}</p>\n<p><b>{}</b>: {}. <a href=\"{}\">Its report</a></p>\n\
             </header>\n",
            html(run.name),
            html(&run.report.reason),
            html(&run.page)
        );
    }
    out.push_str("<section>\n<h2>Figures</h2>\n<table class=\"small\"><thead><tr><td></td>");
    for run in runs {
        let _ = write!(out, "<th scope=\"col\">{}</th>", html(run.name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for (index, (label, _)) in runs.first().map(|run| run.figures.as_slice()).unwrap_or_default().iter().enumerate() {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", html(label));
        for run in runs {
            let value = run.figures.get(index).map_or("", |(_, value)| value);
            let _ = write!(out, "<td>{}</td>", html(value));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n</section>\n");
    for run in runs {
        curve(&mut out, run);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out.into_bytes()
}

/// The share of leaked canaries over the number of copies.
fn curve(out: &mut String, run: &Compared<'_>) {
    let points = by_copies(run.report);
    let most = points.last().map_or(1, |(copies, ..)| *copies).max(1);
    // 0, 1, 2, 4 … at equal distances.
    let place = |copies: u32| f64::from(copies + 1).log2() / f64::from(most + 1).log2();
    let (x, y) = (|copies: u32| 60.0 + 540.0 * place(copies), |share: f64| 170.0 - 150.0 * share);
    let name = html(run.name);
    let _ = write!(
        out,
        "<section>\n<h2>Leak by copies, {name}</h2>\n<figure>\n<svg viewBox=\"0 0 640 220\" role=\"img\" \
         aria-label=\"Share of leaked canaries by copies in the training file; the table below has the numbers\">\n"
    );
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"60\" x2=\"600\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text x=\"52\" y=\"{1:.1}\" \
             text-anchor=\"end\">{2:.0}%</text>",
            y(share),
            y(share) + 4.0,
            100.0 * share
        );
    }
    let mut line = String::new();
    for &(copies, total, leaked) in &points {
        let (share, low, high) = share(leaked, total);
        let _ = write!(line, "{:.1},{:.1} ", x(copies), y(share));
        let _ = writeln!(
            out,
            "<line class=\"interval\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/><circle class=\"point\" \
             cx=\"{0:.1}\" cy=\"{3:.1}\" r=\"5\"/><text x=\"{0:.1}\" y=\"195\" text-anchor=\"middle\">{copies}</text>",
            x(copies),
            y(low),
            y(high),
            y(share)
        );
    }
    let _ = write!(
        out,
        "<polyline class=\"grid\" fill=\"none\" points=\"{}\"/><text x=\"330\" y=\"214\" text-anchor=\"middle\">copies in the training \
         file</text>\n</svg>\n</figure>\n",
        line.trim_end()
    );
    table_of_copies(out, &points);
    out.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::RunReport;

    #[test]
    fn names_are_escaped_and_every_run_has_its_curve() {
        let text = include_str!("../../tests/data/report-v1.json");
        let report: RunReport = serde_json::from_str(text).expect("a report");
        let run = |name| Compared { name, report: &report, figures: vec![("a<b", "1".into())], page: "a.html".into() };
        let page = String::from_utf8(comparison(&[run("one"), run("<script>")])).expect("UTF-8");
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;") && page.contains("a&lt;b"));
        assert_eq!(page.matches("<polyline").count(), 2);
        let held_out = report.canaries.iter().filter(|c| c.arm == Arm::HeldOut).count() as u64;
        assert_eq!(by_copies(&report).first().map(|(copies, total, _)| (*copies, *total)), Some((0, held_out)));
    }
}
