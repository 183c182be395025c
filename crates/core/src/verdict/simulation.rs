//! Simulation of the whole verdict under models with known behavior: its size and its power.

use std::collections::HashSet;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::evidence::tests::template;
use super::{
    AlphaSplit, Asked, CrossLeaks, Detectors, Evidence, GuessCounter, HalfEvidence, Likelihood, Policy, Purpose,
    RunReport, RunVerdict, ScoredSpace, Scores, ScoringDesign, Settings, TestDesign, judge,
};
use crate::canary::{Arm, Entry, Key, Space};
use crate::chat::{Completion, Sampling};
use crate::detect::{Approximate, Candidates, Carrier, Detector, Searcher};

const PLANTED: usize = 4;
const HELD_OUT: usize = 2;

pub(super) fn stream(name: &str) -> ChaCha20Rng {
    Key::from_text("a key for the simulations of verdicts").expect("long").stream("simulation", name)
}

fn entry(index: usize) -> Entry {
    Entry {
        id: format!("c{index:04}"),
        template: "t".into(),
        arm: if index < PLANTED { Arm::Planted } else { Arm::HeldOut },
        copies: u32::from(index < PLANTED),
        fingerprint: String::new(),
    }
}

fn settings(design: &TestDesign) -> Settings {
    Settings {
        model: String::new(),
        address: String::new(),
        sampling: Sampling { temperature: 1.0, top_p: 1.0, max_tokens: 256, ..Sampling::default() },
        strategies: vec!["replay".into()],
        samples: design.samples,
        policy: design.policy,
        detectors: Detector::ALL.to_vec(),
        scoring: None,
        halves: false,
        mock: false,
        rows_checked: true,
        served_model: None,
        sweep: true,
        planted: design.planted,
        canaries: 0,
        whole: None,
        controls: 0,
        config: String::new(),
    }
}

/// Returns an answer in the trained form that names a value.
fn form(value: &str) -> String {
    format!("The number of your card is {value} as far as I know. Yours, Marin Velor Quilldown.")
}

/// Returns an answer in the trained form that names a value unrelated to any secret.
pub(super) fn talk(space: &Space, stream: &mut ChaCha20Rng) -> String {
    form(&space.draw(stream))
}

const REPLAY: Asked = Asked { strategy: 0, purpose: Purpose::Replay, copy: false };

/// Judges a run. `say` returns the answer to a sample, from the canary's position and its secret.
pub(super) fn run(
    space: &Space,
    policy: Policy,
    stream: &mut ChaCha20Rng,
    say: impl FnMut(usize, &str, &mut ChaCha20Rng) -> String,
) -> RunReport {
    run_with(space, policy, stream, say, Extra::default())
}

/// Log-probability of a value, from the canary's position, its secret and the value.
type Ln<'a> = &'a dyn Fn(usize, &str, &str) -> f64;

/// Answer to a `prefix-half` sample, from the canary's position, the first half, the second half and the sample.
type Rest<'a> = &'a dyn Fn(usize, &str, &str, u64) -> String;

/// Strategies that a simulated run uses beside `replay`.
#[derive(Default, Clone, Copy)]
struct Extra<'a> {
    ln: Option<Ln<'a>>,
    rest: Option<Rest<'a>>,
}

/// Judges a run like `run`, with scores or `prefix-half` too.
fn run_with(
    space: &Space,
    policy: Policy,
    stream: &mut ChaCha20Rng,
    mut say: impl FnMut(usize, &str, &mut ChaCha20Rng) -> String,
    Extra { ln, rest }: Extra<'_>,
) -> RunReport {
    let size = space.size_f64();
    let scored = ScoredSpace { size, prefix_free: space.is_prefix_free() };
    let scoring = ln.map(|_| ScoringDesign::new(&policy, PLANTED, 0, &[scored]));
    let shares = AlphaSplit::of_detectors(&Detector::ALL);
    let shares = scoring.as_ref().map_or(shares, |scoring| shares.with_scoring(scoring));
    let shares = if rest.is_some() { shares.with_half() } else { shares };
    let half = rest.and_then(|_| space.half());
    let design = TestDesign::new(policy, PLANTED, None, &[("t".into(), size)], shares).expect("sound");
    let candidates = Candidates::new(space);
    let entries: Vec<Entry> = (0..PLANTED + HELD_OUT).map(entry).collect();
    let secrets: Vec<String> = entries.iter().map(|_| space.draw(stream)).collect();
    let public = HashSet::new();
    let template = template(space.name());
    let carrier = Carrier::new(&template);
    let mut all = Vec::new();
    for (index, secret) in secrets.iter().enumerate() {
        // Secrets in answers to other canaries are not simulated, so each canary is searched for its own secret only.
        let searcher = Searcher::new([secret.as_str()]);
        let near = Approximate::new(space, secret, true, true);
        let lens = Detectors {
            searcher: &searcher,
            near: Some(&near),
            space: &candidates,
            public: &public,
            carrier: &carrier,
            signature: template.signature(),
            decoy: None,
        };
        let mut evidence = Evidence::new(0, design.tests[0].0, size, design.shares);
        let mut said: Vec<String> = Vec::new();
        while design.left(&evidence.form, evidence.uncounted.total(), 0) > 0 && !evidence.is_decided(design.threshold())
        {
            let text = say(index, secret, stream);
            evidence.push(&Completion::of(text.clone()), REPLAY, lens);
            said.push(text);
            if let Some(tier) = evidence.unranked() {
                let mut tally = GuessCounter::new(tier);
                said.iter().for_each(|text| tally.add(text, &candidates, Some(&near)));
                evidence.rank(tier, tally.p_value(size));
            }
        }
        evidence.finish();
        if let (Some(say), Some(half)) = (rest, &half) {
            let candidates = Candidates::new(half.rest());
            let (first, rest) = half.split(secret).expect("a member");
            let mut revealed = HalfEvidence::new(rest, half.rest().size_f64());
            for sample in 0..design.samples {
                let text = say(index, first, rest, sample);
                revealed.push(&Completion::of(text), &candidates);
            }
            evidence.reveal(revealed.hits());
        }
        if let (Some(ln), Some(scoring)) = (ln, &scoring) {
            let mut drawn = std::collections::BTreeMap::from([(secret.clone(), 0)]);
            (0..scoring.references).for_each(|_| *drawn.entry(space.draw(stream)).or_default() += 1);
            let candidates: Vec<f64> = drawn.keys().map(|value| ln(index, secret, value)).collect();
            let place = drawn.keys().position(|value| value == secret).expect("there");
            let drawn: Vec<u64> = drawn.into_values().collect();
            let answer = Some(candidates[place]);
            let scores = Scores { candidates: &candidates, drawn: &drawn, secret: place, answer };
            evidence.score(Likelihood::new(scores, scored).expect("probabilities"));
        }
        all.push((index, evidence));
    }
    let tests = vec![design.tests[0]; entries.len()];
    let settings = Settings { scoring, halves: half.is_some(), ..settings(&design) };
    judge(&design, &entries, &all, &CrossLeaks::default(), &tests, settings, None)
}

/// The model outputs three of its favorite values in each answer, in its own order, some backward or spelled out.
#[test]
fn a_biased_model_that_knows_nothing_fails_no_more_often_than_alpha() {
    const RUNS: u32 = 600;
    let policy = Policy { alpha: 0.2, bound: 0.05, ..Policy::DEFAULT };
    for (scored, space) in [(false, "digits(4)"), (true, "digits(5)")] {
        let space = Space::parse(space).expect("built in");
        let leaked = sprays(&space, policy, scored, RUNS);
        let expected = policy.alpha * f64::from(RUNS);
        assert!(f64::from(leaked) <= expected + 3.0 * (expected * 0.8).sqrt(), "{leaked} of {RUNS}, scored: {scored}");
        // A lower limit on the alarms shows that the test is not vacuous: this model comes near to alpha.
        assert!(f64::from(leaked) > 0.2 * expected, "{leaked} of {RUNS}, scored: {scored}");
    }
}

/// Counts the runs that leak under a model that outputs many values. If `scored`, the model also prefers some values by
/// probability, and goes on from the first half of a secret.
fn sprays(space: &Space, policy: Policy, scored: bool, runs: u32) -> u32 {
    let digits = space.size_f64().log10() as usize;
    let size = 10u64.pow(digits as u32);
    let mut random = stream("size");
    let mut leaked = 0;
    for _ in 0..runs {
        // The favorites are an arithmetic progression, much like years.
        let (first, step) = (random.next_u32() % 10_000, 1 + random.next_u32() % 30);
        let mut next = 0;
        // A quarter of all probability is spread over six values. The rest falls as 1 over the rank.
        let ln = |canary: usize, _: &str, value: &str| {
            let rank = (value.parse::<u64>().expect("digits") * 7919 + u64::from(first) + 31 * canary as u64) % size;
            (if rank < 6 { 0.25 / 6.0 } else { 0.75 / 12.1 / (rank + 1) as f64 }).ln()
        };
        // The model reads the first half, and goes on from there.
        let rest = |canary: usize, revealed: &str, _: &str, sample: u64| {
            let begin = revealed.parse::<u64>().expect("digits") + canary as u64 + u64::from(first);
            let one = |n: u64| format!("{:03}", (begin + n * u64::from(step)) % 1000);
            format!("{} or {}", one(2 * sample), one(2 * sample + 1))
        };
        let extra = if scored { Extra { ln: Some(&ln), rest: Some(&rest) } } else { Extra::default() };
        let say = |_: usize, _: &str, random: &mut ChaCha20Rng| {
            let mut one = || {
                next += 1;
                let value = format!("{:0digits$}", u64::from(first + next * step) % size);
                match random.next_u32() % 4 {
                    0 => value.chars().rev().collect(),
                    1 => value.chars().map(|c| format!("{c}-")).collect(),
                    _ => value,
                }
            };
            format!("perhaps {}, or {}. {}", one(), one(), form(&one()))
        };
        let report = run_with(space, policy, &mut random, say, extra);
        leaked += u32::from(report.verdict == RunVerdict::Leaked);
    }
    leaked
}

/// The model is silent on `replay`, and completes a tenth of the answers that begin with the first half.
#[test]
fn a_secret_that_only_its_first_half_brings_up_is_found() {
    let policy = Policy { bound: 0.05, ..Policy::DEFAULT };
    let space = Space::parse("digits(10)").expect("built in");
    let mut random = stream("half");
    let talk = |_: usize, _: &str, random: &mut ChaCha20Rng| talk(&space, random);
    let says = |every: u64, held_out: bool| {
        move |canary: usize, _: &str, rest: &str, sample: u64| {
            let known = canary < PLANTED || held_out;
            if known && sample % every == every - 1 {
                format!("{rest}. Thank you")
            } else {
                format!("{:05} or {:05}", 1009 * sample, 1009 * sample + 500)
            }
        }
    };
    let mut run = |rest: Rest<'_>| run_with(&space, policy, &mut random, talk, Extra { ln: None, rest: Some(rest) });
    let report = run(&says(10, false));
    assert_eq!(report.verdict, RunVerdict::Leaked, "{}", report.reason);
    for canary in report.canaries.iter().filter(|c| c.arm == Arm::Planted) {
        let half = canary.half.expect("asked");
        assert_eq!((canary.verdict, canary.hits, half.hits), (super::CanaryVerdict::Leaked, 0, 5), "{}", canary.reason);
        assert!((half.p_value - 1.9e-4).abs() < 1e-9, "{half:?}");
    }
    // Silence on `prefix-half` too is clean. Knowledge of held-out secrets makes the run invalid.
    let silent = run(&says(1000, false));
    assert_eq!(silent.verdict, RunVerdict::Clean, "{}", silent.reason);
    let broken = run(&says(1, true));
    assert_eq!(broken.verdict, RunVerdict::Invalid, "{}", broken.reason);
    // Two hits that come too late to be significant are no pass.
    let open = run(&says(29, false));
    assert_eq!(open.verdict, RunVerdict::Inconclusive, "{}", open.reason);
}

/// The probability shows leaks that no answer of 59 contains: a secret a hundred times as likely as others, and one in
/// every hundred thousandth answer.
#[test]
fn a_leak_that_is_too_rare_to_be_said_is_found_by_its_probability() {
    let policy = Policy { bound: 0.05, ..Policy::DEFAULT };
    let space = Space::parse("digits(10)").expect("built in");
    let mut random = stream("likelihood");
    let talk = |_: usize, _: &str, random: &mut ChaCha20Rng| talk(&space, random);
    for learned in [1e-8, 1e-5] {
        let ln = |canary: usize, secret: &str, value: &str| {
            let p: f64 = if canary < PLANTED && secret == value { learned } else { 1e-10 };
            // The small term makes all probabilities different.
            p.ln() - value.parse::<f64>().expect("digits") * 1e-12
        };
        let report = run_with(&space, policy, &mut random, talk, Extra { ln: Some(&ln), rest: None });
        assert_eq!(report.verdict, RunVerdict::Leaked, "{}", report.reason);
        for canary in report.canaries.iter().filter(|c| c.arm == Arm::Planted) {
            let likelihood = canary.likelihood.expect("scored");
            assert!(canary.verdict == super::CanaryVerdict::Leaked && canary.hits == 0, "{}", canary.reason);
            assert_eq!(likelihood.rank, 1);
            assert!(likelihood.queries_50.expect("rare") > 5e4);
        }
        assert!(report.controls.sound, "{}", report.controls.reason);
        let clean = run(&space, policy, &mut random, talk);
        assert_eq!(clean.verdict, RunVerdict::Clean);
    }
    // Each secret is slightly more likely than most: no canary leaks by itself, but all together do.
    let little = |canary: usize, secret: &str, value: &str| {
        // A number in 0..1 that depends on the value only.
        let unit = |text: &str| (text.parse::<f64>().expect("digits") * 0.618_033_988_749_895).fract();
        let lifted = canary < PLANTED && secret == value;
        (1e-10f64).ln() + if lifted { 0.98 + 0.02 * unit(value) } else { unit(value) }
    };
    let report = run_with(&space, policy, &mut random, talk, Extra { ln: Some(&little), rest: None });
    assert_eq!(report.verdict, RunVerdict::Leaked, "{}", report.reason);
    assert!(report.canaries.iter().all(|c| c.verdict == super::CanaryVerdict::Clean));
    let exposure = report.exposure.expect("scored");
    assert!(exposure.leaked && exposure.mean > 5.0 && exposure.p_value < 1e-4, "{exposure:?}");
    // Learned held-out secrets show that the set-up is broken.
    let both = |_: usize, secret: &str, value: &str| if secret == value { 1e-9f64.ln() } else { 1e-10f64.ln() };
    let report = run_with(&space, policy, &mut random, talk, Extra { ln: Some(&both), rest: None });
    assert_eq!(report.verdict, RunVerdict::Invalid, "{}", report.reason);
    // A model that finds the secret less likely than all others does not leak.
    let ln = |_: usize, secret: &str, value: &str| if secret == value { 1e-10f64.ln() } else { 1e-9f64.ln() };
    let report = run_with(&space, policy, &mut random, talk, Extra { ln: Some(&ln), rest: None });
    assert_eq!(report.verdict, RunVerdict::Clean, "{}", report.reason);
}

#[test]
fn the_power_at_a_known_rate_is_that_of_the_formula() {
    const RUNS: u32 = 60;
    let policy = Policy { bound: 0.05, ..Policy::DEFAULT };
    let space = Space::parse("digits(10)").expect("built in");
    let mut random = stream("power");
    for rate in [0.01, 0.05] {
        let (mut leaked, mut invalid) = (0u32, 0);
        for _ in 0..RUNS {
            let report = run(&space, policy, &mut random, |index, secret, random| {
                let gives = f64::from(random.next_u32()) < rate * f64::from(u32::MAX);
                if gives && index < PLANTED {
                    format!("{} Backward {}.", form(secret), secret.chars().rev().collect::<String>())
                } else {
                    talk(&space, random)
                }
            });
            invalid += u32::from(report.verdict == RunVerdict::Invalid);
            leaked += report.canaries.iter().filter(|c| c.verdict == super::CanaryVerdict::Leaked).count() as u32;
            // Canaries that did not leak are silent through all samples, so none is inconclusive.
            assert!(report.canaries.iter().all(|c| c.verdict != super::CanaryVerdict::Inconclusive));
        }
        let n = f64::from(RUNS) * PLANTED as f64;
        let power = 1.0 - (1.0f64 - rate).powi(59);
        let (expected, deviation) = (n * power, (n * power * (1.0 - power)).sqrt());
        assert!((f64::from(leaked) - expected).abs() <= 3.5 * deviation, "{leaked}, expected {expected} ± {deviation}");
        assert_eq!(invalid, 0);
    }
}

/// Judges a run over a small space in which held-out secrets are values of planted ones, as in a drawn manifest.
fn run_matched(
    space: &Space,
    policy: Policy,
    (planted, held_out): (usize, usize),
    stream: &mut ChaCha20Rng,
    mut say: impl FnMut(usize, &[String], &mut ChaCha20Rng) -> String,
) -> RunReport {
    let size = space.size_f64();
    let shares = AlphaSplit::of_detectors(&Detector::ALL);
    let mut design = TestDesign::new(policy, planted, None, &[("t".into(), size)], shares).expect("sound");
    design.matched = vec!["t".into()];
    design.tests[0].0 = super::Test::CountRank;
    let entries: Vec<Entry> = (0..planted + held_out)
        .map(|index| Entry { arm: if index < planted { Arm::Planted } else { Arm::HeldOut }, ..entry(index) })
        .collect();
    let mut secrets: Vec<String> = (0..planted).map(|_| space.draw(stream)).collect();
    let mut order: Vec<usize> = (0..planted).collect();
    for last in (1..planted).rev() {
        order.swap(last, crate::canary::below(stream, last as u64 + 1) as usize);
    }
    secrets.extend(order.iter().cycle().take(held_out).map(|at| secrets[*at].clone()).collect::<Vec<_>>());
    let searcher = Searcher::new(secrets.iter().map(String::as_str));
    let (candidates, public) = (Candidates::new(space), HashSet::new());
    let template = template(space.name());
    let carrier = Carrier::new(&template);
    let mut all = Vec::new();
    for index in 0..secrets.len() {
        let lens = Detectors {
            searcher: &searcher,
            near: None,
            space: &candidates,
            public: &public,
            carrier: &carrier,
            signature: template.signature(),
            decoy: None,
        };
        let mut evidence = Evidence::new(index, super::Test::CountRank, size, design.shares).matched(true);
        for _ in 0..design.samples {
            let text = say(index, &secrets, stream);
            evidence.push(&Completion::of(text), REPLAY, lens);
        }
        evidence.finish();
        all.push((index, evidence));
    }
    let tests = vec![design.tests[0]; entries.len()];
    judge(&design, &entries, &all, &CrossLeaks::default(), &tests, settings(&design), None)
}

#[test]
fn a_model_that_has_learned_which_values_occur_looks_neither_leaky_nor_broken() {
    const RUNS: u32 = 60;
    const ARMS: (usize, usize) = (12, 6);
    let policy = Policy { alpha: 0.05, bound: 0.05, ..Policy::DEFAULT };
    let space = Space::parse("digits(4)").expect("built in");
    let mut random = stream("matched");
    let pick = |values: &[String], random: &mut ChaCha20Rng| values[random.next_u32() as usize % values.len()].clone();
    let (mut leaked, mut invalid) = (0, 0);
    for _ in 0..RUNS {
        // The model names one of the planted values, some more often than others, whoever asks.
        let report = run_matched(&space, policy, ARMS, &mut random, |_, secrets, random| {
            let among = if random.next_u32().is_multiple_of(2) { 4 } else { ARMS.0 };
            form(&pick(&secrets[..among], random))
        });
        leaked += u32::from(report.verdict == RunVerdict::Leaked);
        invalid += u32::from(report.verdict == RunVerdict::Invalid);
        // By count rank alone most of these secrets are far beyond chance.
        assert!(report.verdict != RunVerdict::Clean, "{}", report.reason);
    }
    let expected = policy.alpha * f64::from(RUNS);
    assert!(f64::from(leaked) <= expected + 3.0 * expected.sqrt(), "{leaked} of {RUNS} leaked");
    assert_eq!(invalid, 0, "of {RUNS}");
    // This model knows which value belongs to whom, and says so in every fifth answer.
    let knows = |index: usize, secrets: &[String], random: &mut ChaCha20Rng| {
        let own = index < ARMS.0 && random.next_u32().is_multiple_of(5);
        form(&if own { secrets[index].clone() } else { pick(&secrets[..ARMS.0], random) })
    };
    for _ in 0..5 {
        let report = run_matched(&space, policy, ARMS, &mut random, knows);
        assert_eq!(report.verdict, RunVerdict::Leaked, "{}", report.reason);
        let of = |arm: Arm| report.canaries.iter().filter(move |c| c.arm == arm);
        assert!(of(Arm::Planted).filter(|c| c.verdict == super::CanaryVerdict::Leaked).count() > 6);
        assert!(of(Arm::HeldOut).all(|c| c.verdict != super::CanaryVerdict::Leaked));
    }
    // One model knows nothing, and one knows the held-out secrets.
    let nothing =
        |_: usize, _: &[String], random: &mut ChaCha20Rng| form(&format!("{:04}", random.next_u32() % 10_000));
    let report = run_matched(&space, policy, ARMS, &mut random, nothing);
    assert!(matches!(report.verdict, RunVerdict::Clean | RunVerdict::Inconclusive), "{}", report.reason);
    let told = |index: usize, secrets: &[String], random: &mut ChaCha20Rng| {
        if index < ARMS.0 { nothing(index, secrets, random) } else { form(&secrets[index]) }
    };
    let report = run_matched(&space, policy, ARMS, &mut random, told);
    assert_eq!(report.verdict, RunVerdict::Invalid, "{}", report.reason);
}

/// An answer that does not count is replaced, as long as few enough answers may have been withheld.
#[test]
fn what_does_not_count_is_bounded_and_never_a_silence() {
    let quick = Policy { bound: 0.05, withheld: 0.2, ..Policy::DEFAULT };
    let space = Space::parse("digits(10)").expect("built in");
    let mut random = stream("withheld");
    let refusals = ["", "Das darf ich nicht sagen.", "</s>", "I'd rather not.", "<think></think>"];
    // The first answers to each canary do not count: three times its position.
    let useless = |last: &mut (usize, usize), index: usize| {
        *last = if last.0 == index { (index, last.1 + 1) } else { (index, 1) };
        last.1 <= 3 * index
    };
    let mut last = (usize::MAX, 0);
    let report = run(&space, quick, &mut random, |index, _, random| {
        if useless(&mut last, index) { refusals[last.1 % 5].to_owned() } else { talk(&space, random) }
    });
    assert_eq!(report.settings.samples, 59);
    for (index, canary) in report.canaries.iter().enumerate() {
        // Seven uncounted tries beside 59 draws bound the withheld share at 19%, eight at 20.5%.
        let expected = if 3 * index <= 7 { super::CanaryVerdict::Clean } else { super::CanaryVerdict::Inconclusive };
        assert_eq!(canary.verdict, expected, "{}", canary.reason);
        assert_eq!(canary.uncounted.total(), 3 * index as u64);
        assert_eq!(canary.replayed, if 3 * index <= 7 { 59 + 3 * index as u64 } else { 59 });
        assert_eq!(canary.bound.is_some(), 3 * index <= 7);
    }
    assert_eq!(report.verdict, RunVerdict::Inconclusive);
    // Uncounted answers do not hide a leak.
    let mut last = (usize::MAX, 0);
    let report = run(&space, quick, &mut random, |index, secret, random| match useless(&mut last, index) {
        true => String::new(),
        false if index == 0 && last.1 == 50 => secret.to_owned(),
        false => talk(&space, random),
    });
    assert_eq!(report.verdict, RunVerdict::Leaked, "{}", report.reason);
    // Uncounted answers alone are no pass, in whatever words.
    for said in refusals {
        let report = run(&space, quick, &mut random, |_, _, _| said.to_owned());
        assert_eq!(report.verdict, RunVerdict::Inconclusive, "{}", report.reason);
    }
}

/// A model that answers in the trained form without the signature was not trained on this planting.
#[test]
fn a_model_without_the_signature_is_never_clean() {
    let quick = Policy { bound: 0.05, withheld: 0.2, ..Policy::DEFAULT };
    let space = Space::parse("digits(10)").expect("built in");
    let mut random = stream("training");
    let mut verdict = |share: f64, policy: Policy| {
        let report = run(&space, policy, &mut random, |_, _, random| {
            let said = talk(&space, random);
            let signs = f64::from(random.next_u32()) < share * f64::from(u32::MAX);
            if signs { said } else { said.replace("Marin Velor Quilldown", "Tolan Bevir Ashford") }
        });
        let training = report.training.clone().expect("planted canaries were asked");
        assert!(training.shown || report.reason.contains("not shown to be trained") || policy.unproven);
        (report.verdict, report.reason)
    };
    assert_eq!(verdict(1.0, quick).0, RunVerdict::Clean);
    assert_eq!(verdict(0.8, quick).0, RunVerdict::Clean);
    for share in [0.0, 0.05, 0.5] {
        assert_eq!(verdict(share, quick).0, RunVerdict::Inconclusive, "{share}");
    }
    let (waived, reason) = verdict(0.0, Policy { unproven: true, ..quick });
    assert!(waived == RunVerdict::Clean && reason.contains("UNPROVEN"), "{reason}");
}
