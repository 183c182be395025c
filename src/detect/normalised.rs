//! Letters and digits only, in one form.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters of other scripts that look like a Latin one: pairs of look-alike and Latin.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu";

static LATIN: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters: Vec<char> = LOOK_ALIKES.chars().collect();
    letters.as_chunks().0.iter().map(|[like, latin]| (*like, *latin)).collect()
});

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
    let mut normal = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = push_ascii(&mut normal, &mut rest) {
        // One character at a time: the order of marks is all that would differ, and they are dropped.
        for c in std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)) {
            let mut push = |c: char| normal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            if c.is_ascii() {
                if c.is_ascii_alphanumeric() {
                    push(c.to_ascii_lowercase());
                }
            } else if let Some(latin) = LATIN.get(&c) {
                push(*latin);
            } else if c.is_alphanumeric() {
                c.to_lowercase().filter(|c| c.is_alphanumeric()).for_each(push);
            }
        }
    }
    String::from_utf8(normal).expect("letters and digits")
}

/// Adds what counts up to the next character beyond ASCII, and takes that as well.
fn push_ascii(normal: &mut Vec<u8>, rest: &mut &str) -> Option<char> {
    let end = if rest.is_ascii() { None } else { rest.bytes().position(|byte| !byte.is_ascii()) };
    let (ascii, others) = rest.split_at(end.unwrap_or(rest.len()));
    // As many bytes as a byte counts: no place is out of bounds.
    for chunk in ascii.as_bytes().chunks(STEP) {
        // Without a branch: each byte is written, and the next one over it unless it counts.
        let mut kept = [0; 256];
        let mut count = 0u8;
        let mut push = |byte: u8| {
            let byte = ASCII[usize::from(byte)];
            kept[usize::from(count)] = byte;
            count += u8::from(byte != 0);
        };
        let (eights, rest) = chunk.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in eights {
            push(*a);
            push(*b);
            push(*c);
            push(*d);
            push(*e);
            push(*f);
            push(*g);
            push(*h);
        }
        rest.iter().for_each(|byte| push(*byte));
        normal.extend_from_slice(&kept[..usize::from(count)]);
    }
    let mut others = others.chars();
    let first = others.next();
    *rest = others.as_str();
    first
}

/// Bytes that are looked at together; eight at a time.
const STEP: usize = 248;
