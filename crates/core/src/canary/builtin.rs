//! The built-in spaces.

use std::sync::{Arc, LazyLock};

use super::space::{Part, SpaceError};

/// Names of the built-in spaces, for error messages.
pub(crate) const KNOWN: &str = "digits(N), hex(N), alphanumeric(N), words(N), uuid, email, phone, card, openai-key, \
                                github-token, disease, name, names, given-name, coined-name";

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

type List = LazyLock<Arc<Vec<String>>>;

static WORDS: List = LazyLock::new(|| lines(include_str!("lists/words.txt")));
static GIVEN_NAMES: List = LazyLock::new(|| lines(include_str!("lists/given-names.txt")));
static SURNAMES: List = LazyLock::new(|| {
    let (first, second) = (include_str!("lists/surname-first.txt"), include_str!("lists/surname-second.txt"));
    let mut names: Vec<String> =
        first.lines().flat_map(|head| second.lines().map(move |tail| format!("{head}{tail}"))).collect();
    // Four names arise in two ways. A list must hold each name once, or the size of its space would be wrong.
    names.sort_unstable();
    names.dedup();
    Arc::new(names)
});

/// Invented first and second names, as in `Marin`: five letters each, so that no name is a prefix of another.
static COINED_NAMES: List = LazyLock::new(|| {
    cross(&[
        &split("B D F G H J K L M N P R S T V W"),
        &split("a e i o u"),
        &split("b d f g k l m n r s t v z"),
        &split("a e i o u"),
        &split("l m n r s t"),
    ])
});

/// The morphemes of a fictional disease: `Pyro` + `drac` + `on` + `osis`. The first three have a
/// fixed length each, so that every name has exactly one parse.
static DISEASE_HEADS: List = LazyLock::new(|| {
    cross(&[
        &split("B C D F G H J K L M N P R S T V W Z"),
        &split("a e i u y"),
        &split("b d f g k l m n r s t v x z"),
        &["o"],
    ])
});
static DISEASE_ROOTS: List = LazyLock::new(|| {
    cross(&[
        &split("bl br cl cr dr fl fr gn gw gr kr kl pl pr sk sl sm sp tr vr"),
        &split("a e i o u"),
        &split("b c d f g k l m p r t x"),
    ])
});
static DISEASE_JOINTS: List = LazyLock::new(|| cross(&[&split("a e i o"), &split("d l m n r t v x")]));
static DISEASE_TAILS: List = LazyLock::new(|| {
    lines(
        "osis\nitis\nemia\noma\nalgia\nopathy\niasis\nectasia\nuria\noplegia\nodynia\normia\nismus\nytosis\nopenia\nolysis\norrhea\naxia\nynia\nanthia\nultia\n",
    )
});

fn lines(text: &str) -> Arc<Vec<String>> {
    Arc::new(text.lines().map(str::to_owned).collect())
}

fn split(text: &'static str) -> Vec<&'static str> {
    text.split(' ').collect()
}

/// Returns every concatenation of one piece of each column.
fn cross(columns: &[&[&str]]) -> Arc<Vec<String>> {
    let mut all = vec![String::new()];
    for column in columns {
        all = all.iter().flat_map(|head| column.iter().map(move |piece| format!("{head}{piece}"))).collect();
    }
    Arc::new(all)
}

fn chars(alphabet: &'static str, count: usize) -> Part {
    Part::Chars { alphabet, count }
}

fn choice(list: &List) -> Part {
    Part::Choice(Arc::clone(list))
}

fn literal(text: &str) -> Part {
    Part::Literal(text.to_owned())
}

/// Returns the parts of the built-in space that `expression` names.
pub(super) fn parts(expression: &str) -> Result<Vec<Part>, SpaceError> {
    let (name, length) = match expression.split_once('(') {
        None => (expression, None),
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').and_then(|n| n.trim().parse::<usize>().ok());
            let length = inner.filter(|n| (1..=128).contains(n));
            (name, Some(length.ok_or_else(|| SpaceError::Length { expression: expression.to_owned() })?))
        }
    };
    let sized = || length.ok_or_else(|| SpaceError::Length { expression: expression.to_owned() });
    let parts = match name {
        "digits" => vec![chars(DIGITS, sized()?)],
        "hex" => vec![chars(HEX, sized()?)],
        "alphanumeric" => vec![chars(ALPHANUMERIC, sized()?)],
        "words" => joined(sized()?, || choice(&WORDS), "-"),
        _ if length.is_some() => {
            return Err(SpaceError::Unknown { name: expression.to_owned() });
        }
        // UUID version 4: one digit is always 4, and the variant digit is one of four.
        "uuid" => vec![
            chars(HEX, 8),
            literal("-"),
            chars(HEX, 4),
            literal("-4"),
            chars(HEX, 3),
            literal("-"),
            chars("89ab", 1),
            chars(HEX, 3),
            literal("-"),
            chars(HEX, 12),
        ],
        // RFC 2606 reserves these domains for examples, so that no address is a real mailbox.
        "email" => vec![
            choice(&WORDS),
            literal("."),
            choice(&WORDS),
            chars(DIGITS, 3),
            literal("@example."),
            Part::Choice(lines("com\nnet\norg")),
        ],
        // +999 is assigned to no country.
        "phone" => {
            vec![literal("+999 "), chars(DIGITS, 3), literal(" "), chars(DIGITS, 3), literal(" "), chars(DIGITS, 4)]
        }
        // Numbers that begin with 9999 belong to no issuer.
        "card" => vec![literal("9999"), chars(DIGITS, 11), Part::Luhn],
        "openai-key" => vec![literal("sk-"), chars(ALPHANUMERIC, 48)],
        "github-token" => vec![literal("ghp_"), chars(ALPHANUMERIC, 36)],
        "disease" => {
            vec![choice(&DISEASE_HEADS), choice(&DISEASE_ROOTS), choice(&DISEASE_JOINTS), choice(&DISEASE_TAILS)]
        }
        "name" => vec![choice(&SURNAMES)],
        "names" => joined(2, || choice(&SURNAMES), "-"),
        "given-name" => vec![choice(&GIVEN_NAMES)],
        "coined-name" => vec![choice(&COINED_NAMES)],
        _ => {
            return Err(SpaceError::Unknown { name: expression.to_owned() });
        }
    };
    Ok(parts)
}

fn joined(count: usize, part: impl Fn() -> Part, separator: &str) -> Vec<Part> {
    let mut parts = Vec::with_capacity(2 * count - 1);
    for index in 0..count {
        if index > 0 {
            parts.push(literal(separator));
        }
        parts.push(part());
    }
    parts
}
