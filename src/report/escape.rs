//! Escapers for all output formats.

use std::borrow::Cow;

use blabbermouth_core::text::invisible::is_unseen;

/// Cleans text for XML 1.0 and the readers of JUnit files:
/// - Control characters, characters that XML does not allow, and marks that change the direction of writing become
///   U+FFFD.
/// - Line ends become `\n`.
/// - The openings of GitLab attachments and of workflow commands, and `]]>`, are broken.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::xml_text("a\u{1b}b ##[x] [[ATTACHMENT|y]]"), "a\u{fffd}b # #[x] [ [ATTACHMENT|y]]");
/// ```
#[must_use]
pub fn xml_text(text: &str) -> String {
    let clean: String = text
        .replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            // Marks that change the direction of writing could make a line read as another.
            '\u{61c}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            // U+009B and others start a sequence for a terminal.
            '\u{7f}'..='\u{9f}' => '\u{fffd}',
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => c,
            '\r' => '\n',
            _ => '\u{fffd}',
        })
        .collect();
    open_nothing(&clean).replace("]]>", "]] >")
}

/// Breaks the openings of GitLab attachments and of workflow commands. A text without any is not copied.
pub(super) fn open_nothing(text: &str) -> Cow<'_, str> {
    const OPENINGS: [(&str, &str); 2] = [("[[ATTACHMENT|", "[ [ATTACHMENT|"), ("##[", "# #[")];
    OPENINGS.iter().fold(Cow::Borrowed(text), |text, (opening, broken)| match text.contains(opening) {
        true => Cow::Owned(text.replace(opening, broken)),
        false => text,
    })
}

/// Escapes text for a terminal: control characters, invisible characters, and marks that change the direction of
/// writing.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::terminal("a\u{1b}[2J\u{202e}b\n"), "a\\u{1b}[2J\\u{202e}b\\u{a}");
/// ```
#[must_use]
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    // Some runners accept a command anywhere in a line.
    out.replace("##[", "# #[")
}

/// Escapes one of several lines for a terminal, so that it does not start with a workflow command.
fn line(text: &str) -> String {
    let clean = terminal(text);
    let said = clean.trim_start();
    match said.strip_prefix("::") {
        Some(rest) => format!("{}: :{rest}", &clean[..clean.len() - said.len()]),
        None => clean,
    }
}

/// Escapes several lines for a terminal, each as [`terminal`] does; none of them is a workflow command.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::lines("a\u{1b}\n ::error::b"), "a\\u{1b}\n : :error::b");
/// ```
#[must_use]
pub fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Escapes an error or a warning for a terminal, as [`lines`] does. All lines but the first are indented, so that text
/// of a file or a service does not look like a message of this program.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::message("no\nerror: b\n  mend it"), "no\n  error: b\n  mend it");
/// ```
#[must_use]
pub fn message(text: &str) -> String {
    let mut all = text.lines().map(line);
    let first = all.next().unwrap_or_default();
    all.fold(first, |all, line| {
        let indent = if line.starts_with("  ") { "" } else { "  " };
        format!("{all}\n{indent}{line}")
    })
}

/// Escapes text for a cell of a Markdown table: no markup, link or line break remains.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::markdown_cell("a|b <i>`c`"), r"a\|b \<i\>\`c\`");
/// ```
#[must_use]
pub fn markdown_cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in xml_text(text).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            // A reader of Markdown removes a backslash before ASCII punctuation.
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '!' | '|' | '~' | '&' | '$' | '@' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    // Text that looks like an address would become a link.
    out.replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

/// Escapes text for the message of a workflow command.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::workflow_data("50%\n::error::x"), "50%25%0A::error::x");
/// ```
#[must_use]
pub fn workflow_data(text: &str) -> String {
    xml_text(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes text for a property of a workflow command.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::workflow_property("a:b,c"), "a%3Ab%2Cc");
/// ```
#[must_use]
pub fn workflow_property(text: &str) -> String {
    workflow_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Escapes text for a CSV cell, so that no spreadsheet takes it for a formula. The CSV writer adds quotes.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::csv_cell("=1+1"), "'=1+1");
/// ```
#[must_use]
pub fn csv_cell(text: &str) -> String {
    let clean = xml_text(text);
    let formula = clean.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if formula || clean.starts_with('\t') { format!("'{clean}") } else { clean }
}

/// Escapes text for HTML elements and quoted attributes.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::html("<b title='x'>&"), "&lt;b title=&#39;x&#39;&gt;&amp;");
/// ```
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in xml_text(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
