//! What parsers say of a file, without what stands in it.

/// What is wrong with a TOML file, and in which line; the line itself may hold anything, and is not quoted.
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let message = without_values(error.message());
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            format!("line {}, column {column}: {message}", before.matches('\n').count() + 1)
        }
        None => message,
    }
}

/// A message of a parser without the texts that it quotes: a wrong file may hold a key, or a row of the training data. A
/// name of a field that looks like one, as in `max-bond`, stays: it is what the user looks for.
#[must_use]
pub fn without_values(message: &str) -> String {
    let plain = without_strings(message);
    for (what, is_name) in [("unknown variant `", false), ("unknown field `", true)] {
        let Some(begin) = plain.find(what).map(|at| at + what.len()) else { continue };
        let end = plain[begin..].find("`, ").map_or(plain.len(), |at| begin + at);
        let name = &plain[begin..end];
        let is_plausible = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b"-_".contains(&b));
        if !(is_name && is_plausible) {
            return format!("{}…{}", &plain[..begin], &plain[end..]);
        }
    }
    plain
}

/// Without quoted strings.
fn without_strings(message: &str) -> String {
    let mut parts = message.split("string \"");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("string \"…\"");
        // The end of the quoted text: a quotation mark without a backslash before it.
        let mut escaped = false;
        let end = part.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        plain.push_str(end.map_or("", |(at, _)| &part[at + 1..]));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_quotes_is_left_out() {
        let message = r#"invalid type: string "sk-\"live", expected u32, then string "x" at line 3"#;
        assert_eq!(without_values(message), r#"invalid type: string "…", expected u32, then string "…" at line 3"#);
        assert_eq!(without_values("missing field"), "missing field");
        let variant = "unknown variant `sk-live`, expected one of `quick`, `standard`";
        assert_eq!(without_values(variant), "unknown variant `…`, expected one of `quick`, `standard`");
        let field = "unknown field `max-bond`, expected `max-bound`";
        assert_eq!(without_values(field), field);
        let key = "unknown field `sk-live-0123456789`, expected `max-bound`";
        assert_eq!(without_values(key), "unknown field `…`, expected `max-bound`");
        assert_eq!(without_values("string \"never ends"), "string \"…\"");
        let text = "a = 1\nb = sk-live\n";
        let error = toml::from_str::<toml::Table>(text).expect_err("no TOML");
        let said = toml_fault(text, &error);
        assert!(said.starts_with("line 2, column ") && !said.contains("sk-live"), "{said}");
    }
}
