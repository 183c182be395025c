//! Event streams, which some servers send although none was requested.

/// The parts of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Data of the events, in order.
    pub events: Vec<String>,
    /// Comments and other fields, which belong to no answer and are searched like the rest of a body.
    pub rest: Vec<String>,
}

/// Splits a stream into its events. `None` if the text is no stream. The last event may lack its empty line.
pub(crate) fn events(text: &str) -> Option<Stream> {
    let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
    let is_field = |line: &str| ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| line.starts_with(field));
    if !is_field(text) {
        return None;
    }
    let (mut events, mut rest, mut data) = (Vec::new(), Vec::new(), None::<String>);
    for line in text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
        if line.is_empty() {
            events.extend(data.take());
            continue;
        }
        let Some(said) = line.strip_prefix("data:") else {
            rest.push(line.to_owned());
            continue;
        };
        let said = said.strip_prefix(' ').unwrap_or(said);
        match &mut data {
            // Some servers leave out the empty lines and send one value per line. An event of several lines is not
            // parsed again for each line.
            Some(before) if !before.contains('\n') && is_whole(before) => events.extend(data.replace(said.to_owned())),
            Some(before) => {
                before.push('\n');
                before.push_str(said);
            }
            None => data = Some(said.to_owned()),
        }
    }
    events.extend(data);
    events.retain(|event| !event.trim().is_empty());
    Some(Stream { events, rest })
}

fn is_whole(data: &str) -> bool {
    super::json::Node::read(data).is_ok() || data.trim() == DONE
}

/// The data of the event that ends a stream.
pub(crate) const DONE: &str = "[DONE]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_their_line_ends() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                [": ping", "event: x", "data: {\"a\":", "data:1}", "", "id: 7", "data:{}", "", "data: [DONE]", ""];
            let text = format!("\u{feff}\n{}", text.join(end));
            let stream = events(&text).expect("a stream");
            assert_eq!(stream.events, ["{\"a\":\n1}", "{}", "[DONE]"], "{end:?}");
            assert_eq!(stream.rest, [": ping", "event: x", "id: 7"]);
        }
        assert_eq!(
            events("data: {}\ndata: {\"b\":2}\ndata: [DONE]").expect("a stream").events,
            ["{}", "{\"b\":2}", "[DONE]"]
        );
        assert_eq!(events("data: {\"cut").expect("a stream").events, ["{\"cut"]);
        assert_eq!(events("{\"data:\": 1}"), None);
        assert_eq!(events(""), None);
    }
}
