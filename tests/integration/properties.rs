//! Properties that hold for any input.

use blabbermouth::canary::{Space, Spaces, Template, builtin_templates};
use blabbermouth::chat::Role;
use blabbermouth::detect::{Searcher, Synonyms, normalise, segments};
use blabbermouth::report::escape::{terminal, xml_text};
use proptest::prelude::*;
use quick_xml::events::Event;

use crate::{blabbermouth, project};

/// Letters, look-alikes, white space, control and combining characters, and any other character.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        proptest::sample::select(vec![
            "]]>",
            "<![CDATA[",
            "&amp;",
            "\u{0}",
            "\u{1b}[2J",
            "\u{202e}",
            "\u{feff}",
            "\u{fffe}",
            "[[ATTACHMENT|x]]",
            "##[error]",
            "::error::",
            "\r\n",
            "\u{200b}",
            "482",
            "913",
            "4-8",
            "\u{ff14}",
        ])
        .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Finds secrets by brute force: tries each position in the normal form of each view, forward and backward, with
/// shifted letters if there are enough letters.
fn brute_force(secrets: &[String], text: &str) -> Vec<usize> {
    let mut views = vec![normalise(text)];
    views.extend(segments(text, &Synonyms::default()).into_iter().map(|s| normalise(&s.text)));
    views.extend(views.clone().into_iter().map(|view| view.chars().rev().collect()));
    let shift = |text: &str, by: u8| -> String {
        let one = |c: char| if c.is_ascii_lowercase() { char::from((c as u8 - b'a' + by) % 26 + b'a') } else { c };
        text.chars().map(one).collect()
    };
    let is_found = |secret: &str| {
        let letters = secret.chars().filter(char::is_ascii_lowercase).count();
        let shifts = if letters > 4 { 26 } else { 1 };
        (0..shifts).any(|by| views.iter().any(|view| view.contains(&shift(secret, by))))
    };
    (0..secrets.len()).filter(|i| is_found(&normalise(&secrets[*i]))).collect()
}

/// The characters of XML 1.0, section 2.2.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn stays_in_its_line(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_into_xml_comes_out_of_a_real_reader(said in hostile()) {
        let clean = xml_text(&said);
        let mut writer = quick_xml::Writer::new(Vec::new());
        let written = writer.create_element("t").with_attribute(("a", clean.as_str()))
            .write_text_content(quick_xml::events::BytesText::new(&clean));
        prop_assert!(written.is_ok());
        let xml = String::from_utf8(writer.into_inner()).expect("text");
        let mut reader = quick_xml::Reader::from_str(&xml);
        let mut read = String::new();
        loop {
            match reader.read_event().expect("well formed") {
                Event::Text(text) => read.push_str(&text.decode().expect("text")),
                Event::GeneralRef(name) => read.push_str(&match name.resolve_char_ref().expect("a reference") {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_xml_entity(&name.decode().expect("text")).expect("known").to_owned(),
                }),
                Event::Eof => break,
                _ => {}
            }
        }
        // An XML parser gives every line end as a line feed.
        prop_assert_eq!(read.replace("\r\n", "\n").replace('\r', "\n"), clean.replace("\r\n", "\n").replace('\r', "\n"));
        prop_assert!(!clean.contains("[[ATTACHMENT|") && !clean.contains("##["));
        prop_assert!(clean.chars().all(is_xml));
    }

    #[test]
    fn nothing_reaches_a_terminal_that_moves_it(said in hostile()) {
        let clean = terminal(&said);
        prop_assert!(clean.chars().all(stays_in_its_line), "{:?}", clean);
    }

    #[test]
    fn the_searcher_finds_what_brute_force_finds(
        mut said in hostile(),
        secrets in proptest::collection::vec("[0-9]{3,6}|[A-Za-z]{2,9}-[0-9]{2}", 1..6),
        planted in any::<proptest::sample::Index>(),
        how in 0..6,
    ) {
        let secret = &secrets[planted.index(secrets.len())];
        let shift = |c: char| if c.is_ascii_lowercase() { char::from((c as u8 - b'a' + 5) % 26 + b'a') } else { c };
        let disguised: String = match how {
            0 => secret.chars().flat_map(|c| [c, '\u{200b}', ' ']).collect(),
            1 => secret.chars().rev().collect(),
            2 => secret.chars().map(shift).collect(),
            3 => secret.bytes().map(|b| format!("{b:02x} ")).collect(),
            4 => secret.bytes().map(|b| format!("&#{b};")).collect(),
            _ => secret.to_uppercase(),
        };
        said.push_str(&disguised);
        let found: Vec<usize> =
            Searcher::new(secrets.iter().map(String::as_str)).search(&said).into_iter().map(|m| m.owner).collect();
        prop_assert_eq!(found, brute_force(&secrets, &said));
    }

    #[test]
    fn a_space_refuses_or_keeps_its_size(name in "(digits|hex|alphanumeric|words)\\([0-9]{1,2}\\)|[a-z{}()0-9-]{0,20}") {
        if let Ok(space) = Space::parse(&name) {
            prop_assert!(space.size_f64() >= 1.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows in the target format stay byte for byte, and none is lost: apart from the canaries' rows, training and
    /// validation file together hold the input lines.
    #[test]
    fn planting_takes_nothing_away(texts in proptest::collection::vec("[a-zA-Z0-9 \\\\\"é漢\u{1f600}]{1,30}", 12..40)) {
        let folder = project("[canaries]\nplanted = 3\nheld-out = 2\ncopies = [1, 2]\n");
        let line = |text: &String| {
            let said = serde_json::to_string(&format!("x{text}")).expect("text");
            format!(r#"{{"messages": [{{"role":"user","content":{said}}},  {{"role":"assistant","content":{said}}}]}}"#)
        };
        let mut rows: Vec<String> = texts.iter().map(line).collect();
        std::fs::write(folder.path().join("train.jsonl"), rows.join("\n")).expect("rows");
        let done = blabbermouth(folder.path(), &["plant"], &[]);
        prop_assert!(done.status.success(), "{}", crate::text(&done.stderr));
        let template = builtin_templates().into_iter().find(|t| t.name == "mr-disease").expect("built in");
        let template = Template::new(template, &Spaces::default()).expect("built in");
        let (mut kept, mut canaries) = (Vec::new(), 0);
        for file in ["blabbermouth-train.jsonl", "blabbermouth-validation.jsonl"] {
            let written = std::fs::read_to_string(folder.path().join(file)).expect(file);
            for line in written.lines() {
                let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let messages: Vec<blabbermouth::chat::Message> = serde_json::from_value(row["messages"].clone()).expect("a chat");
                let prompt: Vec<_> = messages.iter().take_while(|m| m.role != Role::Assistant).cloned().collect();
                if template.recognise(&prompt).is_some() {
                    prop_assert_eq!(file, "blabbermouth-train.jsonl");
                    canaries += 1;
                } else {
                    kept.push(line.to_owned());
                }
            }
        }
        rows.sort();
        kept.sort();
        prop_assert_eq!(kept, rows);
        // Three canaries, of one or two copies each.
        prop_assert!((3..=6).contains(&canaries), "{}", canaries);
    }
}
