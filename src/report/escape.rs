//! Every escaper.

/// Text for XML 1.0 and the readers of JUnit files: characters that XML has not, and marks that turn
/// the direction of writing, become U+FFFD, line ends become `\n`, and the openings of GitLab attachments and of workflow commands are broken.
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
            // Marks that turn the direction of writing could make a line read as another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => c,
            '\r' => '\n',
            _ => '\u{fffd}',
        })
        .collect();
    clean.replace("[[ATTACHMENT|", "[ [ATTACHMENT|").replace("##[", "# #[").replace("]]>", "]] >")
}

/// Text for a terminal: control characters, and marks that turn the direction of writing, are shown
/// as escapes.
///
/// ```
/// assert_eq!(blabbermouth::report::escape::terminal("a\u{1b}[2J\u{202e}b\n"), "a\\u{1b}[2J\\u{202e}b\\u{a}");
/// ```
#[must_use]
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}
