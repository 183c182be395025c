//! Letters and digits only, in one form.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters of other scripts that look like a Latin one: pairs of look-alike and Latin.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu";

/// Reduces a text to what detection compares: compatibility decomposition (NFKD), marks and
/// everything but letters and digits dropped, look-alikes of other scripts turned into Latin
/// letters, lower case.
///
/// No two ASCII letters or digits are merged except by case, so that the number of secrets behind
/// one normalised text stays known.
///
/// ```
/// assert_eq!(blabbermouth::detect::normalise("AC-00 41"), "ac0041");
/// ```
#[must_use]
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.is_ascii() {
        out.extend(text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| char::from(b.to_ascii_lowercase())));
        return out;
    }
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)) {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                out.push(c.to_ascii_lowercase());
            }
        } else if let Some(latin) = look_alike(c) {
            out.push(latin);
        } else if c.is_alphanumeric() {
            out.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
        }
    }
    out
}

fn look_alike(c: char) -> Option<char> {
    let mut pairs = LOOK_ALIKES.chars();
    while let (Some(like), Some(latin)) = (pairs.next(), pairs.next()) {
        if like == c {
            return Some(latin);
        }
    }
    None
}
