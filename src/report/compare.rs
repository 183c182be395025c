//! Compares two or more runs in one HTML page.

use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::copies::Copies;
use super::escape::html;
use super::html::STYLE;
use blabbermouth_core::verdict::RunReport;

/// A run in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared<'a> {
    /// Name that distinguishes the run.
    pub name: &'a str,
    /// Report of the run.
    pub report: &'a RunReport,
    /// Label and value of each figure; all runs have the same labels.
    pub figures: Vec<(&'a str, String)>,
    /// Path of the run's own page, relative to this one.
    pub page: String,
}

/// Renders a page with the figures of all runs, and the leak rate by copies of each. No secret, no script.
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

/// Plots the share of leaked canaries by copies.
fn curve(out: &mut String, run: &Compared<'_>) {
    let points = Copies::groups(run.report.canaries.iter());
    let most = points.last().map_or(1, |group| group.copies).max(1);
    // Logarithmic scale: 0, 1, 3, 7 … copies at equal distances.
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
    for group in &points {
        let at = x(group.copies);
        if let Some((share, low, high)) = group.share() {
            let _ = write!(line, "{at:.1},{:.1} ", y(share));
            let _ = write!(
                out,
                "<line class=\"interval\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><circle class=\"point\" \
                 cx=\"{at:.1}\" cy=\"{:.1}\" r=\"5\"/>",
                y(low),
                y(high),
                y(share)
            );
        }
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"195\" text-anchor=\"middle\">{}</text>", group.copies);
    }
    let _ = write!(
        out,
        "<polyline class=\"grid\" fill=\"none\" points=\"{}\"/><text x=\"330\" y=\"214\" text-anchor=\"middle\">copies in the training \
         file</text>\n</svg>\n</figure>\n",
        line.trim_end()
    );
    Copies::table(out, &points);
    out.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use blabbermouth_core::verdict::RunReport;

    #[test]
    fn names_are_escaped_and_every_run_has_its_curve() {
        let text = include_str!("../../testdata/report-v1.json");
        let report: RunReport = serde_json::from_str(text).expect("a report");
        let run = |name| Compared { name, report: &report, figures: vec![("a<b", "1".into())], page: "a.html".into() };
        let page = String::from_utf8(comparison(&[run("one"), run("<script>")])).expect("UTF-8");
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;") && page.contains("a&lt;b"));
        assert_eq!(page.matches("<polyline").count(), 2);
    }
}
