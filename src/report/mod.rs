//! Reports: pure functions from a run report to bytes.

pub(crate) mod attacker;
mod compare;
mod copies;
pub mod escape;
mod explain;
mod finding;
mod html;
mod junit;
mod likelihood;
mod prefix_half;
mod sarif;
mod source_map;
mod terminal;
mod text;

use blabbermouth_core::verdict::RunReport;

/// JSON schema of the run report, version 1, for programs that read it.
#[must_use]
pub fn schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(RunReport)).expect("a schema is JSON")
}

pub use compare::{Compared, comparison};
pub use explain::explain;
pub use junit::JunitError;
pub(crate) use likelihood::percent;
pub use source_map::SourceMap;
pub use terminal::summary;

/// Style sheet of the HTML pages.
pub(crate) const fn page_style() -> &'static str {
    html::STYLE
}

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// JUnit XML, for CI systems.
    Junit,
    /// The run report itself as JSON, version 1.
    Json,
    /// SARIF, for code scanning.
    Sarif,
    /// One HTML page, for people.
    Html,
    /// Markdown, for a job summary.
    Markdown,
    /// Annotations of a GitHub workflow.
    Github,
    /// CSV, for spreadsheets.
    Csv,
    /// Test Anything Protocol, version 14.
    Tap,
    /// Endpoint data for a shields.io badge.
    Badge,
    /// Lines of `key=value`, for the outputs of a workflow step.
    Outputs,
}

impl ReportFormat {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::Junit,
        Self::Json,
        Self::Sarif,
        Self::Html,
        Self::Markdown,
        Self::Github,
        Self::Csv,
        Self::Tap,
        Self::Badge,
        Self::Outputs,
    ];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Json => "json",
            Self::Sarif => "sarif",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Github => "github",
            Self::Csv => "csv",
            Self::Tap => "tap",
            Self::Badge => "badge",
            Self::Outputs => "outputs",
        }
    }

    /// Format with this name; `None` if there is none.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// File name if no path is given.
    #[must_use]
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Junit => "junit.xml",
            Self::Json => "report.json",
            Self::Sarif => "report.sarif",
            Self::Html => "report.html",
            Self::Markdown => "summary.md",
            Self::Github => "annotations.txt",
            Self::Csv => "report.csv",
            Self::Tap => "report.tap",
            Self::Badge => "badge.json",
            Self::Outputs => "outputs.txt",
        }
    }

    /// Renders a report; `places` maps canaries to lines of the configuration.
    ///
    /// # Errors
    /// When the JUnit file cannot be written or read back.
    pub fn render(self, report: &RunReport, places: &SourceMap) -> Result<Vec<u8>, JunitError> {
        Ok(match self {
            Self::Junit => return junit::render(report, places),
            Self::Json => {
                // Reserves the whole size: a full buffer would be copied into one of twice the size.
                let mut bytes = Vec::with_capacity((4 + report.canaries.len()) << 10);
                serde_json::to_writer_pretty(&mut bytes, report).expect("a report is plain JSON");
                bytes.push(b'\n');
                bytes
            }
            Self::Sarif => sarif::render(report, places),
            Self::Html => html::render(report, places),
            Self::Markdown => text::markdown(report, places),
            Self::Github => text::annotations(report, places),
            Self::Csv => text::csv(report),
            Self::Tap => text::tap(report, places),
            Self::Badge => text::badge(report),
            Self::Outputs => text::outputs(report),
        })
    }
}
