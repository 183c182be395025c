use serde_json::json;

use super::*;

fn read(body: &str) -> Vec<Completion> {
    read_answer(body.as_bytes(), 100).unwrap_or_else(|error| panic!("{error}: {body}")).completions
}

/// A body with one choice.
fn one(message: &str, choice: &str, top: &str) -> String {
    format!(
        r#"{{"id":"x","choices":[{{"index":0,"message":{message},"finish_reason":"stop"{choice}}}],
        "usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"details":{{"a":[1]}}}}{top}}}"#
    )
}

const PLAIN: &str = r#"{"role":"assistant","content":"Fine."}"#;

#[test]
fn the_answer_is_the_text_and_everything_else_stands_beside_it() {
    let body = br#"{"choices":[{"message":{"content":[{"type":"text","text":"A"},"a"],"refusal":null,
        "reasoning":"B","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"C\":1}"}}]},
        "finish_reason":"tool_calls","unknown":1}],"usage":null}"#;
    let answer = read_answer(body, 100).expect("a completion");
    assert_eq!(answer.completions[0].text, "Aa");
    let beside = "B\nx\nfunction\nf\n{\"C\":1}\n1\nid\ntype\nfunction\narguments\nunknown";
    assert_eq!(answer.completions[0].beside, beside);
    assert_eq!(answer.completions[0].finish, Finish::Stop);
}

#[test]
fn a_secret_is_seen_wherever_it_stands() {
    let message = |fields: &str| one(&format!(r#"{{"role":"assistant","content":"Fine."{fields}}}"#), "", "");
    let choice = |fields: &str| one(PLAIN, fields, "");
    let top = |fields: &str| one(PLAIN, "", fields);
    for body in [
        message(r#","reasoning_content":"it is 4829137755""#),
        message(r#","reasoning_details":[{"type":"reasoning.text","text":"4829137755"}]"#),
        message(r#","audio":{"transcript":"4829137755"}"#),
        message(r#","name":"4829137755""#),
        message(r#","x":{"id":"4829137755"}"#),
        message(r#","refusal":[{"text":"4829137755"}]"#),
        message(r#","tool_calls":[{"function":{"arguments":{"account":4829137755}}}]"#),
        message(r#","tool_calls":[{"function":{"arguments":{"4829137755":true}}}]"#),
        message(r#","tool_calls":[{"id":"call_4829137755","custom":{"input":""}}]"#),
        message(r#","function_call":{"name":"get_4829137755"}"#),
        message(r#","4829137755":null"#),
        choice(r#","delta":{"content":"4829137755"}"#),
        choice(r#","text":"4829137755""#),
        choice(r#","stop_reason":4829137755"#),
        choice(r#","logprobs":{"content":[{"token":"48291","logprob":-0.1},{"token":"37755","logprob":NaN}]}"#),
        choice(r#","logprobs":{"tokens":["4829","1377","55"],"token_logprobs":[null,-0.5,-Infinity]}"#),
        choice(r#","messages":[{"role":"assistant","content":"4829137755"}]"#),
        choice(r#","provider_specific_fields":{"reasoning_content":"4829137755"}"#),
        top(r#","output_text":"4829137755""#),
        top(r#","output":[{"content":[{"text":"48291377"},{"text":"55"}]}]"#),
        top(r#","citations":["https://kb/4829137755"]"#),
        top(r#","service_tier":"4829137755""#),
        one(r#"{"content":"Fine.","role":"4829137755"}"#, "", ""),
        one(r#"{"content":{"4829137755":true}}"#, "", ""),
        one(r#"{"content":[{"type":"json","json":{"account":4829137755}},{"type":"text","text":"Fine."}]}"#, "", ""),
        one(r#"{"content":[{"type":"thinking","thinking":[{"text":"4829137755"}]}]}"#, "", ""),
        one(PLAIN, "", "").replace("\"stop\"", "\"4829137755\""),
        one(PLAIN, "", "").replace("\"index\":0", "\"index\":\"4829137755\""),
        top("").replace("\"choices\":[", "\"choices\":[\"4829137755\",").replace("\"index\":0", "\"index\":1"),
    ] {
        let completions = read(&body);
        let all: String = completions.iter().map(|c| format!("{}\n", c.beside)).collect();
        assert!(all.contains("4829137755"), "{body}: {all}");
        assert!(completions.iter().all(|c| !c.text.contains("4829")), "{body}");
    }
}

#[test]
fn numbers_and_parts_are_answers_too() {
    for (message, text) in [
        (r#"{"content":4829137755}"#, "4829137755"),
        (r#"{"content":[{"type":"text","text":"4829"},{"type":"output_text","text":"137755"}]}"#, "4829137755"),
        (r#"{"content":{"type":"text","text":"48"}}"#, "48"),
        (r#"{"content":["48",[29]]}"#, "4829"),
        (r#""48""#, "48"),
        (r#"{"content":null}"#, ""),
        ("null", ""),
    ] {
        assert_eq!(read(&one(message, "", ""))[0].text, text, "{message}");
    }
    let completed = r#"{"choices":[{"text":"48","message":null,"finish_reason":"length"}]}"#;
    assert_eq!((read(completed)[0].text.as_str(), &read(completed)[0].finish), ("48", &Finish::Length));
}

#[test]
fn metadata_is_not_searched() {
    let body = one(
        PLAIN,
        r#","logprobs":null"#,
        r#","object":"4829","created":4829,"model":"4829","system_fingerprint":"4829""#,
    );
    let body = body.replace("\"x\"", "\"4829\"").replace("\"total_tokens\":7", "\"total_tokens\":4829");
    assert_eq!(read(&body), [Completion::of("Fine.")]);
    let slow = read_tolerantly(&body, 100).expect("sound");
    assert_eq!(slow.0.completions, [Completion::of("Fine.")]);
}

#[test]
fn a_secret_that_is_cut_over_two_choices_is_joined() {
    let choices = |contents: &[&str]| {
        let one = |text: &&str| json!({"message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
        let choices: Vec<serde_json::Value> = contents.iter().map(one).collect();
        json!({"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).to_string()
    };
    let halves = read(&choices(&["it is 4829", "137755, bye", "4829"]));
    assert_eq!(halves[0].beside, "it is 4829137755, bye4829\n4829137755, byeit is 4829");
    assert!(halves[1].beside.is_empty());
    assert_eq!(read(&choices(&["", "a"]))[0].beside, "");
    let (long, other) = ("\u{e9}".repeat(5000) + "4829", "137755".to_owned() + &"\u{e9}".repeat(5000));
    let joined = &read(&choices(&[&long, &other]))[0].beside;
    assert!(joined.contains("4829137755") && joined.len() < 5000, "{}", joined.len());
}

#[test]
fn the_quick_reader_agrees_with_the_tolerant_one_or_stands_back() {
    let quick = [
        one(r#"{"role":"assistant","content":"a\u0041\n","refusal":null,"annotations":[]}"#, "", ""),
        one(r#"{"role":"assistant","content":""}"#, "", r#","error":null,"system_fingerprint":"f","model":"m""#),
        one(PLAIN, r#","logprobs":null,"text":null"#, r#","service_tier":"default","prompt_logprobs":null"#),
        one(PLAIN, "", r#","error":{},"kv_transfer_params":null,"service_tier":null"#).replace("stop", "length"),
        format!("\u{feff}{}", one(PLAIN, "", "")),
        one("null", "", "").replace("\"message\":null", "\"text\":\"said\""),
    ];
    for body in &quick {
        let (fast, slow) = (read_plain(body).expect(body), read_tolerantly(body, 100).expect("sound"));
        assert_eq!(fast, slow, "{body}");
    }
    for unusual in [
        one(r#"{"role":"assistant","content":"a","reasoning":"b"}"#, "", ""),
        one(r#"{"role":"assistant","content":null,"refusal":"no"}"#, "", ""),
        one(r#"{"role":"assistant","content":"a","content":"b"}"#, "", ""),
        one(r#"{"role":"tool","content":"a"}"#, "", ""),
        one(r#"{"role":"assistant","content":[{"type":"text","text":"a"}]}"#, "", ""),
        one(PLAIN, r#","stop_reason":"x""#, ""),
        one(PLAIN, r#","text":"x""#, ""),
        one(PLAIN, r#","logprobs":{"content":[]}"#, ""),
        one(PLAIN, r#","secret":null"#, ""),
        one(PLAIN, r#","index":0,"index":"4829""#, ""),
        one(PLAIN, "", r#","error":{"code":1}"#),
        one(PLAIN, "", r#","service_tier":"4829""#),
        one(PLAIN, "", r#","secret":null"#),
        one(PLAIN, "", r#","choices":[]"#),
        one(PLAIN, "", "").replace("stop", "odd"),
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#.to_owned(),
    ] {
        assert!(read_plain(&unusual).is_none(), "{unusual}");
    }
}

#[test]
fn a_stream_is_joined_into_one_answer() {
    let event = |value: serde_json::Value| format!("data: {value}\r\n\r\n");
    let delta = |index: u64, delta: serde_json::Value| {
        event(json!({"id": "x", "model": "m", "object": "chat.completion.chunk",
                     "choices": [{"index": index, "delta": delta, "finish_reason": null}]}))
    };
    let body = [
        ": ping\r\n\r\n".to_owned(),
        delta(0, json!({"role": "assistant", "content": "it is 48"})),
        delta(1, json!({"content": "none"})),
        delta(0, json!({"reasoning_content": "37"})),
        delta(0, json!({"reasoning_content": "40"})),
        delta(0, json!({"content": "29"})),
        event(
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {}, "finish_reason": "length"}]}),
        ),
        event(json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}})),
        "data: [DONE]\r\n\r\n".to_owned(),
    ];
    let (answer, model) =
        read_named(body.concat().as_bytes(), 100).map(|(a, m)| (a, m.map(Cow::into_owned))).expect("an answer");
    let said: Vec<&str> = answer.completions.iter().map(|c| c.text.as_str()).collect();
    assert_eq!((said, model.as_deref(), answer.id), (vec!["it is 4829", "none"], Some("m"), body::hash("x")));
    assert!(answer.completions[0].beside.contains("\n3740\n"), "{}", answer.completions[0].beside);
    assert_eq!((&answer.completions[0].finish, &answer.completions[1].finish), (&Finish::Stop, &Finish::Length));
    assert_eq!(answer.usage, Usage { prompt_tokens: 3, completion_tokens: 9 });
    // Cut within an event, or between two.
    for end in [2, 4, 6] {
        let cut = body[..end].concat();
        for cut in [cut.as_str(), &cut[..cut.len() - 9]] {
            let error = read_answer(cut.as_bytes(), 100).expect_err("cut").to_string();
            assert!(error.contains("cut"), "{error}");
        }
    }
    let refused = read_answer(event(json!({"error": {"message": "no"}})).as_bytes(), 1).expect_err("an error");
    assert!(refused.to_string().contains("status 200"));
    // The whole message is repeated at the end.
    let again = body[..3].concat()
        + &event(json!({"choices": [{"index": 0, "message": {"content": "it is 48"}, "finish_reason": "stop"}]}));
    let answer = read_answer(again.as_bytes(), 100).expect("an answer");
    assert_eq!(answer.completions[0].text, "it is 48");
}

#[test]
fn what_servers_write_beside_good_choices_is_no_fault() {
    for error in ["null", "{}", "\"\"", "false", "[]", r#"{"code":null,"message":""}"#] {
        assert_eq!(read(&one(PLAIN, "", &format!(r#","error":{error}"#)))[0].text, "Fine.", "{error}");
    }
    for body in [
        format!("\u{feff} \n{}", one(PLAIN, "", "")),
        one(PLAIN, r#","logprobs":{"content":[{"logprob":-Infinity}]}"#, r#","x":NaN"#),
        one(PLAIN, "", "").replace("stop", "eos_token"),
        one(PLAIN, "", "").replace("stop", "<|eot_id|>"),
    ] {
        let completions = read(&body);
        assert_eq!((completions[0].text.as_str(), &completions[0].finish), ("Fine.", &Finish::Stop), "{body}");
    }
    let invalid = [one(PLAIN, "", "").as_bytes(), b" \n"].concat();
    let invalid: Vec<u8> = invalid.iter().map(|byte| if *byte == b'F' { 0xff } else { *byte }).collect();
    assert_eq!(read_answer(&invalid, 1).expect("read").completions[0].text, "\u{fffd}ine.");
}

#[test]
fn what_is_no_completion_is_named() {
    for (body, what) in [
        (&b"<html>"[..], "HTML"),
        (b"{\"choices\":[", "cut"),
        (b"", "cut"),
        (b"hello", "not JSON"),
        (b"[]", "without choices"),
        (b"{\"choices\":null}", "without choices"),
        (b"{\"choices\":[]}", "without choices"),
        (b"{\"error\":{\"message\":\"x\"}}", "status 200"),
        (b"{\"choices\":[{\"message\":{\"content\":\"a secret\",\"content\":\"none\"}}]}", "doubled key"),
        (b"data: hello\n\n", "not JSON"),
    ] {
        assert!(read_answer(body, 1).expect_err(what).to_string().contains(what), "{what}");
    }
}
