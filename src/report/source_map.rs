//! Maps canaries to lines of the configuration, for reports.

use std::collections::BTreeMap;

/// Name of the configuration file in reports, and the lines of its templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceMap {
    file: Option<String>,
    lines: BTreeMap<String, usize>,
    canaries: usize,
}

impl SourceMap {
    /// Reads the text of a configuration; `file` is its path below the root of the repository.
    ///
    /// The line of a canary is the line of its template, the first of these that exists:
    /// - the `name` in its own table
    /// - its name in `canaries.templates`
    /// - the table `[canaries]`
    /// - line 1
    ///
    /// ```
    /// use blabbermouth::report::SourceMap;
    /// let places = SourceMap::of("gate/b.toml", "[canaries]\nplanted = 5\n\n[[template]]\nname = \"badge\"\n");
    /// assert_eq!((places.line("badge"), places.line("other")), (5, 1));
    /// ```
    #[must_use]
    pub fn of(file: &str, text: &str) -> Self {
        let (mut lines, mut canaries, mut table) = (BTreeMap::new(), 1, String::new());
        let mut listed = false;
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.starts_with('[') && line.ends_with(']') {
                table = line.trim_matches(['[', ']']).trim().to_owned();
                listed = false;
                if table == "canaries" {
                    canaries = number;
                }
                continue;
            }
            let quoted =
                |text: &str| -> Vec<String> { text.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
            if table == "template" && line.starts_with("name") {
                if let Some(name) = quoted(line).first() {
                    lines.insert(name.clone(), number);
                }
            } else if table == "canaries" && (listed || line.starts_with("templates")) {
                for name in quoted(line) {
                    lines.entry(name).or_insert(number);
                }
                listed = !line.contains(']');
            }
        }
        Self { file: Some(file.replace('\\', "/")), lines, canaries }
    }

    /// Name of the file; `known` if none was read.
    pub(super) fn file<'a>(&'a self, known: &'a str) -> &'a str {
        self.file.as_deref().unwrap_or(known)
    }

    /// The line of a template, from 1.
    #[must_use]
    pub fn line(&self, template: &str) -> usize {
        self.lines.get(template).copied().unwrap_or(self.canaries).max(1)
    }
}
