//! Reports: pure functions from a run report to bytes, one file a format.

pub mod escape;
mod junit;
mod terminal;

use crate::verdict::RunReport;

/// The JSON schema of the run report, version 1, for those who read it with other programs.
#[must_use]
pub fn schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(RunReport)).expect("a schema is JSON")
}

pub use junit::JunitError;
pub use terminal::summary;

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// For CI systems.
    Junit,
    /// The run report itself, version 1.
    Json,
}

impl ReportFormat {
    /// The format of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "junit" => Some(Self::Junit),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Where it goes when no path is given.
    #[must_use]
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Junit => "junit.xml",
            Self::Json => "report.json",
        }
    }

    /// Renders a report.
    ///
    /// # Errors
    /// When what was written cannot be read back.
    pub fn render(self, report: &RunReport) -> Result<Vec<u8>, JunitError> {
        match self {
            Self::Junit => junit::render(report),
            Self::Json => {
                let mut bytes = serde_json::to_vec_pretty(report).expect("a report is plain JSON");
                bytes.push(b'\n');
                Ok(bytes)
            }
        }
    }
}
