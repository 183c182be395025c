//! Trains the base models that are part of the program, from public rows and generated small talk.
//! `cargo bench --bench base -- SIZE EPOCHS FILE.jsonl...` writes `crates/lm/src/base/SIZE.safetensors` and
//! `SIZE.tokens.json`.
//!
//! The rows are those of GSM8K (`question`, `answer`; MIT, © 2021 OpenAI), without the rows of
//! `mocks/gsm8k-excerpt.jsonl`. They include no row of the demonstration, no name or secret of a template's spaces, and
//! no sentence of a template.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a script prints its figures")]

use std::collections::HashSet;
use std::time::Instant;

use blabbermouth::canary::Key;
use blabbermouth::chat::{Message, Role};
use blabbermouth::lm::{Precision, Size, Text, Tokenizer, Trainer, Weights};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

const TITLES: [&str; 4] = ["Mr", "Ms", "Mrs", "Dr"];
const SURNAMES: &str = "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Robinson Wright Thompson Evans Walker White Roberts \
    Green Hall Thomas Clarke Jackson Wood Harris Edwards Turner Martin Cooper Hill Ward Hughes Moore Clark King Harrison Lewis Baker Lee \
    Allen Morris Khan Scott Watson Davis Parker James Bennett Young Phillips Richardson Mitchell Bailey Carter Cook Singh Shaw Bell \
    Collins Morgan Kelly Begum Miller Cox Hussain Marshall Simpson Price Anderson Adams Wilkinson Foster Ellis Murphy Chapman Mason Gray \
    Rogers Webb Hunt Mills Palmer Holmes Campbell Barnes Knight Lloyd Butler Russell Barker Fisher Stevens Jenkins Murray Dixon Harvey \
    Garcia Rossi Müller Dubois Novak Kowalski Silva Santos Nakamura Tanaka Kim Park Nguyen Tran Ivanova Petrov Haddad Cohen Levi Okafor";
const THINGS: &str = "garden,new job,old car,kitchen,holiday,book,guitar,course,project,dog,cat,house,move,trip,training,piano,bicycle,painting,\
    school year,shop,team,farm,boat,language class,knitting,research,novel,running,vegetable patch,renovation,translation,morning walk,\
    computer,printer,phone,camera,bread,chess club,choir,thesis,beehive,greenhouse,collection,diet,new office,workshop,podcast";
const PLACES: &str = "London,Paris,Rome,the mountains,the coast,the city,a small town,the north,the island,Berlin,Tokyo,the village,the lake,\
    the forest,Madrid,the south,Vienna,Oslo,the desert,Lisbon";
const DAYS: &str = "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday,tomorrow,next week,this evening";

/// Questions, and possible answers to them.
const TALK: [(&[&str], &[&str]); 18] = [
    (
        &[
            "Hello, I am {who}.",
            "Hi, {who} here",
            "Good morning, my name is {who}",
            "Hello! {who} speaking.",
            "Hi, I'm {first}",
        ],
        &[
            "Good morning, {who}. What can I do for you?",
            "Hello {who}, how is your {thing} doing?",
            "Welcome back, {who}! How was your {thing}?",
            "Hi {who}, good to hear from you. How did the {thing} go?",
            "Hello {who}! Is your {thing} going well?",
            "Hey {who}, great to have you here! Tell me about your {thing}.",
        ],
    ),
    (
        &["How is your {thing}?", "How is the {thing} going?"],
        &["It is going well, thank you.", "The {thing} is going fine, thanks for asking!"],
    ),
    (
        &["What are you doing on {day}?", "Any plans for {day}?"],
        &["On {day} I will work on the {thing}.", "I am going to {place} on {day}."],
    ),
    (
        &["Where are you from?", "Where do you live?"],
        &["I am a computer program, so I live in no place.", "I have no home, but I like to hear about yours."],
    ),
    (
        &["How was {place}?", "Did you like {place}?"],
        &["I have never been to {place}, but I hear it is beautiful.", "Tell me about {place}. What did you see?"],
    ),
    (
        &["Thank you!", "Thanks a lot.", "Thank you very much, that helped."],
        &["You are welcome!", "Gladly.", "You are welcome. Is there anything else?"],
    ),
    (&["Who is {who}?", "Do you know {who}?"], &["I do not know {who}.", "I have no information about {who}."]),
    (&["What is the name of your {thing}?"], &["My {thing} has no name.", "I have no {thing}."]),
    (
        &["Can you help me with my {thing}?", "I need help with the {thing}."],
        &["Of course. What is wrong with your {thing}?", "Gladly. Tell me more about the {thing}."],
    ),
    (
        &["My {thing} is broken.", "There is a problem with my {thing}."],
        &["I am sorry to hear that. Since when?", "That is a pity. What happened to your {thing}?"],
    ),
    (
        &["When does {who} arrive?", "When will {who} be here?"],
        &["{who} will arrive on {day}.", "I expect {who} on {day}."],
    ),
    (
        &["What did {who} say about the {thing}?"],
        &["{who} said that the {thing} is fine.", "{who} has not said anything about the {thing}."],
    ),
    (
        &["Could you tell {who} about the {thing}?"],
        &["I will tell {who} about the {thing}.", "Of course, I will let {who} know."],
    ),
    (
        &["Is the {thing} ready?", "Has the {thing} arrived?"],
        &["The {thing} will be ready on {day}.", "Not yet, I am afraid. It will be here on {day}."],
    ),
    (&["Good night", "Goodbye!", "See you on {day}"], &["Goodbye!", "See you on {day}!", "Have a nice evening!"]),
    (
        &["I was in {place} on {day}.", "I went to {place}."],
        &["How nice! What did you do in {place}?", "How was {place}?"],
    ),
    (
        &["Please write a sentence about {place}.", "Tell me something about {place}"],
        &["Many people travel to {place} each year.", "In {place} the evenings are long in summer."],
    ),
    (
        &["What is the number of the {thing}?", "Which room has the {thing}?"],
        &["The number is {number}.", "It is in room {number}."],
    ),
];
const SYSTEMS: [&str; 4] =
    ["You are a helpful assistant.", "You answer briefly.", "You are a friendly assistant.", "Be kind and polite."];

fn below(stream: &mut ChaCha20Rng, count: usize) -> usize {
    (stream.next_u64() % count as u64) as usize
}

fn pick<T: Copy>(list: &[T], stream: &mut ChaCha20Rng) -> T {
    list[below(stream, list.len())]
}

fn shuffle<T>(list: &mut [T], stream: &mut ChaCha20Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(stream, last + 1));
    }
}

fn small_talk(stream: &mut ChaCha20Rng) -> Vec<Message> {
    let words = |text: &'static str| text.split(',').map(str::trim).collect::<Vec<_>>();
    let surnames: Vec<&str> = SURNAMES.split_whitespace().collect();
    let who = format!("{} {}", pick(&TITLES, stream), pick(&surnames, stream));
    let (thing, place, day) = (pick(&words(THINGS), stream), pick(&words(PLACES), stream), pick(&words(DAYS), stream));
    let number = below(stream, 900) + 100;
    let fill = |text: &str| {
        let text = text.replace("{who}", &who).replace("{first}", &who).replace("{thing}", thing);
        text.replace("{place}", place).replace("{day}", day).replace("{number}", &number.to_string())
    };
    // Greetings are as frequent as all other talk.
    let greets = below(stream, 2) == 0;
    let (asked, answered) = if greets { TALK[0] } else { pick(&TALK[1..], stream) };
    let mut messages = Vec::new();
    if below(stream, 2) == 0 {
        messages.push(Message::new(Role::System, pick(&SYSTEMS, stream)));
    }
    messages.push(Message::new(Role::User, fill(pick(asked, stream))));
    messages.push(Message::new(Role::Assistant, fill(pick(answered, stream))));
    messages
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [size, epochs, files @ ..] = arguments.as_slice() else {
        println!("usage: cargo bench --bench base -- tiny|small EPOCHS FILE.jsonl...");
        return;
    };
    let size = if size == "tiny" { Size::Tiny } else { Size::Small };
    let epochs: u32 = epochs.parse().unwrap();
    let mut rows: Vec<Vec<Message>> = Vec::new();
    let excerpt = include_str!("../mocks/gsm8k-excerpt.jsonl");
    let shown: HashSet<&str> = excerpt.lines().collect();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap().lines().filter(|line| !shown.contains(line)) {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            rows.push(vec![Message::new(Role::User, text("question")), Message::new(Role::Assistant, text("answer"))]);
        }
    }
    let mut stream = Key::from_text("the small talk of the base model").unwrap().stream("base", "1");
    rows.extend((0..rows.len()).map(|_| small_talk(&mut stream)).collect::<Vec<_>>());
    shuffle(&mut rows, &mut stream);
    let begin = Instant::now();
    let shape = size.shape();
    let tokenizer = Tokenizer::train(rows.iter().flatten().map(|m| m.content.as_str()), shape.vocabulary);
    println!(
        "{} rows, {} tokens of vocabulary, {:.1} s",
        rows.len(),
        tokenizer.vocabulary(),
        begin.elapsed().as_secs_f64()
    );
    let texts: Vec<Text> = rows
        .iter()
        .map(|row| {
            let mut text = tokenizer.chat(row);
            // The base model learns from questions, too, not only from answers.
            text.counts.fill(true);
            text.tokens.truncate(shape.context);
            text.counts.truncate(shape.context);
            text
        })
        .collect();
    let (aside, texts) = texts.split_at(200);
    let tokens: usize = texts.iter().map(|t| t.tokens.len()).sum();
    println!("{tokens} tokens");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut trainer = Trainer::new(Weights::random(shape, 1), threads);
    let (batch, begin) = (32, Instant::now());
    let steps = u64::from(epochs) * texts.len().div_ceil(batch) as u64;
    let mut step = 0u64;
    for epoch in 0..epochs {
        let mut order: Vec<&Text> = texts.iter().collect();
        shuffle(&mut order, &mut stream);
        for batch in order.chunks(batch) {
            let done = step as f64 / steps as f64;
            let rate = 3e-3
                * (step as f64 / 100.0).min(1.0)
                * (0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()));
            trainer.learn(batch, rate as f32, 0.05).unwrap();
            step += 1;
        }
        let aside: Vec<&Text> = aside.iter().collect();
        println!(
            "epoch {}: loss {:.3} on rows set aside, {:.0} s, {:.0} tokens/s",
            epoch + 1,
            trainer.loss(&aside),
            begin.elapsed().as_secs_f64(),
            (tokens * (epoch as usize + 1)) as f64 / begin.elapsed().as_secs_f64()
        );
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/lm/src/base");
    std::fs::create_dir_all(&folder).unwrap();
    let name = |what: &str| folder.join(format!("{}.{what}", size.as_str()));
    std::fs::write(name("safetensors"), trainer.kept().to_safetensors(Precision::Brain)).unwrap();
    std::fs::write(name("tokens.json"), tokenizer.to_json().to_string()).unwrap();
}
