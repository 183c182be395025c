//! Secrets spelled out: words for letters and digits, lists, and parts.

pub(super) const LANGUAGES: [(&str, &str); 16] = [
    ("french", "zéro un deux trois quatre cinq six sept huit neuf"),
    ("spanish", "cero uno dos tres cuatro cinco seis siete ocho nueve"),
    ("italian", "zero uno due tre quattro cinque sei sette otto nove"),
    ("portuguese", "zero um dois três quatro cinco seis sete oito nove"),
    ("dutch", "nul een twee drie vier vijf zes zeven acht negen"),
    ("polish", "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć"),
    ("russian", "ноль один два три четыре пять шесть семь восемь девять"),
    ("ukrainian", "нуль один два три чотири п'ять шість сім вісім дев'ять"),
    ("pinyin", "líng yī èr sān sì wǔ liù qī bā jiǔ"),
    ("romaji", "zero ichi ni san yon go roku nana hachi kyuu"),
    ("kana", "ゼロ いち に さん よん ご ろく なな はち きゅう"),
    ("hindi", "शून्य एक दो तीन चार पाँच छह सात आठ नौ"),
    ("hindi-romanized", "shunya ek do teen char paanch chhah saat aath nau"),
    ("indonesian", "nol satu dua tiga empat lima enam tujuh delapan sembilan"),
    ("chinese", "〇 一 二 三 四 五 六 七 八 九"),
    ("chinese-financial", "零 壹 贰 叁 肆 伍 陆 柒 捌 玖"),
];

/// Replaces each digit by its word in a language.
pub(super) fn in_language(text: &str, name: &str) -> String {
    let words = LANGUAGES.iter().find(|(known, _)| *known == name).map_or("", |(_, words)| words);
    let word = |c: char| match c.to_digit(10).and_then(|digit| words.split(' ').nth(digit as usize)) {
        Some(word) => format!(" {word} "),
        None => c.to_string(),
    };
    text.chars().map(word).collect()
}

pub(super) const ABLE: &str = "Able Baker Charlie Dog Easy Fox George How Item Jig King Love Mike Nan Oboe Peter Queen Roger Sugar \
                               Tare Uncle Victor William X-ray Yoke Zebra";
pub(super) const RAF: &str = "Ace Beer Charlie Don Edward Freddie George Harry Ink Johnnie King London Monkey Nuts Orange Pip Queen \
                              Robert Sugar Toc Uncle Vic William X-ray Yorker Zebra";
pub(super) const GERMAN: &str = "Anton Berta Cäsar Dora Emil Friedrich Gustav Heinrich Ida Julius Kaufmann Ludwig Martha Nordpol Otto \
                                 Paula Quelle Richard Samuel Theodor Ulrich Viktor Wilhelm Xanthippe Ypsilon Zacharias";
pub(super) const NAMES: &str = "Adam Betty Carl Diana Eric Fiona Greta Henry Irene James Karen Laura Martin Nora Olga Peter Quentin \
                                Rosa Steven Tina Ursula Vera Walter Xaver Yvonne Zoe";

/// The word for a letter in a spelling alphabet; `None` if `c` is no ASCII letter.
pub(super) fn word_for(c: char, alphabet: &str) -> Option<String> {
    let at = (c.to_ascii_lowercase() as usize).checked_sub('a' as usize).filter(|at| *at < 26)?;
    alphabet.split(' ').nth(at).map(str::to_owned)
}

/// Spells a text in the words of an alphabet, with words for its digits.
pub(super) fn in_alphabet(text: &str, alphabet: &str, digits: &[&str; 10]) -> String {
    let word = |c: char| match c.to_digit(10) {
        Some(digit) => digits[digit as usize].to_owned(),
        None => word_for(c, alphabet).unwrap_or_else(|| c.to_string()),
    };
    text.chars().map(word).collect::<Vec<_>>().join(" ")
}

/// Spells each letter as in `P as in Peter`.
pub(super) fn explained(text: &str, between: &str) -> String {
    let item = |c: char| match word_for(c, NAMES) {
        Some(word) => format!("{c} {between} {word}"),
        None => c.to_string(),
    };
    text.chars().map(item).collect::<Vec<_>>().join(", ")
}

/// Replaces punctuation by words.
pub(super) fn signs(text: &str) -> String {
    let word = |c: char| match c {
        '.' => " dot ".to_owned(),
        '@' => " at ".to_owned(),
        '-' => " dash ".to_owned(),
        '_' => " underscore ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(word).collect()
}

/// Spells each letter as in `capital P small y`.
pub(super) fn cases(text: &str) -> String {
    let item = |c: char| match c {
        'A'..='Z' => format!("capital {c}"),
        'a'..='z' => format!("small {c}"),
        c => c.to_string(),
    };
    text.chars().map(item).collect::<Vec<_>>().join(" ")
}

/// Formats each character with its number from 1.
pub(super) fn lines(text: &str, between: &str, make: impl Fn(usize, char) -> String) -> String {
    let made: Vec<String> = text.chars().enumerate().map(|(at, c)| make(at + 1, c)).collect();
    format!("\n{}\n", made.join(between))
}

/// Splits a text into at most `count` parts of about the same length.
pub(super) fn parts(text: &str, count: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(letters.len().div_ceil(count).max(1)).map(|part| part.iter().collect()).collect()
}

/// Formats each part with its number from 1; `backward` reverses the order.
pub(super) fn labelled(text: &str, count: usize, backward: bool, make: impl Fn(usize, &str) -> String) -> String {
    let mut made: Vec<String> = parts(text, count).iter().enumerate().map(|(at, part)| make(at + 1, part)).collect();
    if backward {
        made.reverse();
    }
    made.join(", ")
}
