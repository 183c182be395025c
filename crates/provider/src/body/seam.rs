//! Secrets that are split over several choices.

use std::borrow::Cow;

use blabbermouth_core::chat::Completion;

/// Bytes at either end of a choice that are joined with other choices: more than a secret, even in a disguise.
const SEAM: usize = 128;

/// Adds the contents of all choices, joined in order and in reverse order, so that a secret split over choices is
/// found. Long contents are joined by their ends only, so that they are not searched three times.
pub(crate) fn join(completions: &mut [Completion]) {
    if completions.iter().filter(|completion| !completion.text.is_empty()).count() < 2 {
        return;
    }
    let ends: Vec<Cow<'_, str>> = completions.iter().map(|completion| ends(&completion.text)).collect();
    let (ahead, back) = (ends.concat(), ends.iter().rev().map(Cow::as_ref).collect::<String>());
    add_line(&mut completions[0].beside, &ahead);
    add_line(&mut completions[0].beside, &back);
}

/// A text without its middle, if that is long.
fn ends(text: &str) -> Cow<'_, str> {
    if text.len() <= 2 * SEAM {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (text.floor_char_boundary(SEAM), text.ceil_char_boundary(text.len() - SEAM));
    Cow::Owned(format!("{}\n{}", &text[..head], &text[tail..]))
}

pub(crate) fn add_line(all: &mut String, text: &str) {
    if !all.is_empty() && !text.is_empty() {
        all.push('\n');
    }
    all.push_str(text);
}
