//! Letters and digits only, in one form.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters of other scripts that look like a Latin one: pairs of look-alike and Latin.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu";

/// Letters in lower case and digits as they are, 0 for the rest.
const ASCII: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

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
    if text.is_ascii() {
        // Without a branch: each byte is written, and the next one over it unless it counts.
        let mut kept = vec![0; text.len()];
        let mut count = 0;
        for byte in text.bytes() {
            let normal = ASCII[usize::from(byte)];
            kept[count] = normal;
            count += usize::from(normal != 0);
        }
        kept.truncate(count);
        return String::from_utf8(kept).expect("letters and digits");
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            push_ascii(&mut out, c);
            continue;
        }
        // One character at a time: the order of marks is all that would differ, and they are dropped.
        for c in std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)) {
            if c.is_ascii() {
                push_ascii(&mut out, c);
            } else if let Some(latin) = look_alike(c) {
                out.push(latin);
            } else if c.is_alphanumeric() {
                out.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
            }
        }
    }
    out
}

fn push_ascii(out: &mut String, c: char) {
    let normal = ASCII[c as usize];
    if normal != 0 {
        out.push(char::from(normal));
    }
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
