//! Parser messages without values from the parsed file.

/// Describes a TOML error with its line and column, both from 1 and where known. The line itself is not quoted, since
/// it may hold a secret.
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

/// Returns a parser message without the values that it quotes: a wrong file may hold a key or a row of the training
/// data. The name of an unknown field stays if it looks like a field name, as in `max-bond`, because the user needs it
/// to find the fault.
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

/// Replaces the content of each `string "…"` by an ellipsis.
fn without_strings(message: &str) -> String {
    let mut parts = message.split("string \"");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("string \"…\"");
        // The quoted text ends at the first quotation mark that is not escaped by a backslash.
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
