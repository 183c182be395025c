//! Characters that are invisible, or that make one line look like another.

/// Returns whether a character controls a terminal, ends a line, changes the text direction, or has no width.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Maximum length of foreign text in a message, in characters.
const MOST: usize = 400;

/// Returns the first 400 characters of foreign text as one line, with a space for each unseen character.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_says_is_one_line_that_is_seen() {
        let said = "no\u{1b}[2J\r\n::error::x \u{9b}\u{202e}gnp\u{200b}\u{feff}\u{2028}\u{2066}.";
        assert_eq!(one_line(said), "no [2J  ::error::x   gnp    .");
        assert_eq!(one_line(&"\u{e9}".repeat(1000)), "\u{e9}".repeat(MOST));
    }
}
