//! Reports: pure functions from a run report to bytes, one file a format.

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

/// The JSON schema of the run report, version 1, for those who read it with other programs.
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

/// The style sheet of the pages.
pub(crate) const fn page_style() -> &'static str {
    html::STYLE
}

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// For CI systems.
    Junit,
    /// The run report itself, version 1.
    Json,
    /// For code scanning.
    Sarif,
    /// For people: one page.
    Html,
    /// For a job summary.
    Markdown,
    /// Annotations of a GitHub workflow.
    Github,
    /// For spreadsheets.
    Csv,
    /// The test anything protocol, 14.
    Tap,
    /// An endpoint for shields.io.
    Badge,
    /// Lines of `key=value`, for the outputs of a workflow's step.
    Outputs,
}

impl ReportFormat {
    /// All of them.
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

    /// Its name on the command line.
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

    /// The format of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Where it goes when no path is given.
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

    /// Renders a report; `places` says where canaries stand in the configuration.
    ///
    /// # Errors
    /// When what was written cannot be read back.
    pub fn render(self, report: &RunReport, places: &SourceMap) -> Result<Vec<u8>, JunitError> {
        Ok(match self {
            Self::Junit => return junit::render(report, places),
            Self::Json => {
                // Room at once: a full one would be copied into one of twice the size.
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
