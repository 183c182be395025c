//! Parsers for the output of the escapers, by the rules of the real readers.

use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::events::Event;

/// Whether a character moves the cursor, changes how a line reads, or is invisible.
pub(super) fn moves(c: char) -> bool {
    let unseen = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    c.is_control() || unseen || c == '\u{feff}'
}

/// Undoes the Unicode escapes of terminal text.
pub(super) fn unescaped_unicode(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("\\u{") {
        let known = after.split_once('}').and_then(|(digits, tail)| {
            Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?.to_string(), tail))
        });
        let (said, tail) = known.unwrap_or_else(|| ("\\u{".to_owned(), after));
        out = out + before + &said;
        rest = tail;
    }
    out + rest
}

/// Undoes percent escapes as the GitHub runner does: the percent sign last.
pub(super) fn unescaped_percent(text: &str, property: bool) -> String {
    let text = text.replace("%0D", "\r").replace("%0A", "\n");
    let text = if property { text.replace("%3A", ":").replace("%2C", ",") } else { text };
    text.replace("%25", "%")
}

/// Parses a workflow command as the runner does, into its properties and its message.
pub(super) fn command(line: &str) -> (BTreeMap<String, String>, String) {
    let (head, message) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).expect("a command");
    let (_, properties) = head.split_once(' ').expect("properties");
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a name and a value");
        (name.to_owned(), unescaped_percent(value, true))
    };
    (properties.split(',').map(pair).collect(), unescaped_percent(message, false))
}

/// Characters with a meaning in a Markdown cell, unless a backslash precedes them.
pub(super) const MARKUP: &str = "`*_{}[]<>#!|~&$@";

/// Splits a line into cells: a backslash escapes punctuation, a bar without one ends a cell.
pub(super) fn cells(line: &str, markup: &str) -> Vec<String> {
    let (mut cells, mut chars) = (vec![String::new()], line.chars().peekable());
    while let Some(c) = chars.next() {
        let cell = cells.last_mut().expect("one at least");
        match c {
            '\\' => cell.push(chars.next_if(char::is_ascii_punctuation).expect("a backslash escapes something")),
            '|' if markup.contains('|') => cells.push(String::new()),
            c if markup.contains(c) => panic!("{c:?} is not escaped: {line}"),
            c => cell.push(c),
        }
    }
    cells
}

/// Undoes the five entities. No other entity and no bare ampersand may occur.
fn unescaped_html(text: &str) -> String {
    let mut parts = text.split('&');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let (name, after) = part.split_once(';').expect("an ampersand begins an entity");
        let known = [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("#39", "'")];
        out + known.iter().find(|(entity, _)| *entity == name).expect("one of five").1 + after
    })
}

/// The tags without attribute values, and all texts: a strict parser of the HTML subset that reports use.
pub(super) fn page(html: &str) -> (Vec<String>, Vec<String>) {
    let (mut tags, mut texts, mut rest) = (Vec::new(), Vec::new(), html);
    while let Some((text, after)) = rest.split_once('<') {
        texts.extend((!text.is_empty()).then(|| unescaped_html(text)));
        let (tag, next) = after.split_once('>').expect("a tag has an end");
        let outside: Vec<&str> = tag.split('"').step_by(2).collect();
        assert!(tag.matches('"').count() % 2 == 0 && outside.concat().is_ascii(), "{tag}");
        tag.split('"').skip(1).step_by(2).for_each(|value| drop(unescaped_html(value)));
        let raw = ["script", "style"].into_iter().find(|name| tag == *name);
        rest = raw.map_or(next, |name| &next[next.find(&format!("</{name}>")).expect("it ends")..]);
        tags.push(outside.concat());
    }
    (tags, texts)
}

/// Attributes and text.
type Element = (BTreeMap<String, String>, String);

/// The properties and test cases of a JUnit file: their attributes with those of nested elements, and their texts.
pub(super) fn elements(xml: &str) -> Vec<Element> {
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().enable_all_checks(true);
    let decoder = reader.decoder();
    let (mut all, mut inside) = (Vec::<Element>::new(), false);
    loop {
        let event = reader.read_event().expect("well formed");
        let opens = matches!(event, Event::Start(_));
        let said = match event {
            Event::Eof => return all,
            Event::Start(start) | Event::Empty(start) => {
                let name = start.name();
                inside = opens && [&b"failure"[..], b"error", b"skipped"].contains(&name.as_ref());
                if [&b"testcase"[..], b"property"].contains(&name.as_ref()) {
                    all.push(Default::default());
                }
                for attribute in start.attributes() {
                    let attribute = attribute.expect("an attribute");
                    assert!(!attribute.value.contains(&b'<'), "XML has no `<` in an attribute");
                    let value = attribute.decoded_and_normalized_value(XmlVersion::Explicit1_0, decoder).expect("text");
                    let key = String::from_utf8(attribute.key.as_ref().to_vec()).expect("a name");
                    if let Some((attributes, _)) = all.last_mut() {
                        attributes.insert(key, value.into_owned());
                    }
                }
                continue;
            }
            Event::Text(said) if inside => said.xml10_content().expect("text").into_owned(),
            Event::CData(said) if inside => said.xml10_content().expect("text").into_owned(),
            Event::GeneralRef(name) if inside => {
                let name = name.decode().expect("a name").into_owned();
                quick_xml::escape::unescape(&format!("&{name};")).expect("known").into_owned()
            }
            Event::End(_) => {
                inside = false;
                continue;
            }
            _ => continue,
        };
        all.last_mut().expect("an element").1.push_str(&said);
    }
}
