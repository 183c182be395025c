//! `blabbermouth plant`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::config::{CanariesSection, Config, is_ci};
use crate::exit::ExitCode;
use crate::harness::SessionError;
use crate::run::design;
use crate::store::{self, Pending, open_data, remove};
use blabbermouth_core::canary::{Arm, DrawPlan, Drawn, Key, Manifest, PlantedRows};
use blabbermouth_core::dataset::{PlantFiles, PlantOptions, PlantSummary, Target, plant, survey};
use blabbermouth_core::shape::{Layout, Shape};
use blabbermouth_core::verdict::{Test, USUAL_PLANTED};

use super::args::PlantArgs;
use super::data::Data;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &PlantArgs, output: &Output) -> Result<ExitCode, Failure> {
    let mut config = Config::load(Some(&args.config), super::environment).map_err(config_failure)?;
    let folder = args.config.parent().map(Path::to_owned).unwrap_or_default();
    let wanted = match &args.dataset {
        Some(dataset) => dataset.clone(),
        None if config.dataset.path.to_string_lossy().starts_with("hf:") => config.dataset.path.clone(),
        None => folder.join(&config.dataset.path),
    };
    let d = &mut config.dataset;
    if let Some(format) = &args.format {
        d.format.clone_from(format);
    }
    if let Some(fields) = &args.fields {
        d.fields.clone_from(fields);
    }
    if let Some(encoding) = &args.encoding {
        d.encoding.clone_from(encoding);
    }
    config.check().map_err(config_failure)?;
    if is_ci(super::environment) {
        let found = Config::load(Some(&args.config), |_| None).map_err(config_failure)?.leaves_its_folder();
        if !found.is_empty() {
            return Err(SessionError::Rerouted { path: args.config.display().to_string(), found }.into());
        }
        output.warning(
            "each planting draws new canaries: a model that was trained before can no longer be tested by its manifest; plant once, and \
             commit the manifest",
        );
    }
    let manifest = folder.join(&config.manifest.path);
    if manifest.exists() && !args.force {
        let path = manifest.display();
        return Err(Failure::new(
            ExitCode::Config,
            format!("{path} is there already; a model trained on it could no longer be tested. --force replaces it"),
        ));
    }
    check_paths(&config, &folder, &wanted, args.twin)?;
    let data = Data::get(&wanted, &config, &folder, args.skip_invalid, output)?;
    let planted =
        plant_files(&config, &folder, &data, PlantFlags { skip_invalid: args.skip_invalid, twin: args.twin })?;
    for note in &data.notes {
        output.step(&format!("read       {note}"));
    }
    describe(&planted, &config, &folder, output);
    Ok(ExitCode::Clean)
}

/// Refuses to write a file over the rows, or over another file that is written.
fn check_paths(config: &Config, folder: &Path, data: &Path, twin: bool) -> Result<(), Failure> {
    let d = &config.dataset;
    let mut paths = vec![
        ("dataset.training", folder.join(&d.training)),
        ("dataset.validation", folder.join(&d.validation)),
        ("manifest.path", folder.join(&config.manifest.path)),
    ];
    paths.extend(twin.then(|| ("dataset.twin", folder.join(&d.twin))));
    // A file that is not there yet is known by its folder.
    let whole = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(parent.canonicalize().ok()?.join(path.file_name()?))
        })
    };
    let fault = |name: &str, other: &str, path: &Path| {
        let path = path.display();
        let text = format!("{path}: `{name}` and {other} are one file, which would be written over: set another path");
        Err(Failure::new(ExitCode::Config, text))
    };
    for (index, (name, path)) in paths.iter().enumerate() {
        let Some(path) = whole(path) else { continue };
        if whole(data).as_ref() == Some(&path) {
            return fault(name, "the rows", &path);
        }
        // Without a manifest, nothing there was written by an earlier planting.
        let is_of_rows = whole(data).is_some_and(|data| data.is_dir() && path.parent() == Some(data.as_path()));
        if is_of_rows && path.exists() && !folder.join(&config.manifest.path).exists() {
            return fault(name, "a file of the data set's folder", &path);
        }
        if let Some((other, _)) = paths[..index].iter().find(|(_, other)| whole(other).as_ref() == Some(&path)) {
            return fault(name, &format!("`{other}`"), &path);
        }
    }
    Ok(())
}

/// Flags of the command line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PlantFlags {
    pub(crate) skip_invalid: bool,
    /// Whether the same rows are written without canaries, too.
    pub(crate) twin: bool,
}

/// What was planted, and what the user has to know of it.
pub(crate) struct Planted {
    pub(crate) summary: PlantSummary,
    /// Number of planted canaries.
    pub(crate) canaries: usize,
    notes: Vec<String>,
    warnings: Vec<String>,
    has_twin: bool,
    unit: &'static str,
}

/// The canaries of a planting, and the form of their rows.
struct Draw {
    manifest: Manifest,
    drawn: Drawn,
    /// Rows without line breaks, with their copies.
    rows: Vec<(Vec<u8>, u32)>,
}

/// Plants canaries, and writes the training file, the validation file and the manifest, or none of them.
pub(crate) fn plant_files(config: &Config, folder: &Path, data: &Data, flags: PlantFlags) -> Result<Planted, Failure> {
    let fields = config.fields().map_err(config_failure)?;
    let open = || open_data(&data.path).map_err(config_failure);
    // Read before anything is replaced, so that a fault in it loses nothing.
    let info = (config.dataset.format == "llama-factory").then(|| info_beside(&folder.join(&config.dataset.training)));
    let info = info.transpose()?;
    let survey = survey(open()?, &data.name, data.unit, fields.as_ref()).map_err(config_failure)?;
    let target = config.target().map_err(config_failure)?;
    let shape = target.map_or_else(|| survey.shape.clone(), |target| target.shape_for(&survey.shape));
    let mut planted = Planted {
        summary: PlantSummary::default(),
        canaries: 0,
        notes: Vec::new(),
        warnings: Vec::new(),
        has_twin: flags.twin,
        unit: data.unit,
    };
    let d = &config.dataset;
    let Draw { mut manifest, drawn, rows } = draw(config, folder, &shape, survey.rows, &mut planted)?;
    check_share(config, &rows, survey.rows, &mut planted)?;
    let options = PlantOptions {
        file: &data.name,
        unit: data.unit,
        survey: &survey,
        target,
        is_for_service: config.trains_at_openai(),
        validation_share: d.validation_share,
        skip_invalid: flags.skip_invalid,
        canaries: &rows,
    };
    // All files are begun before anything is written, so that an unwritable place is found first.
    let begin = |path: &Path| Pending::create(&folder.join(path), false).map_err(config_failure);
    let [mut training, mut validation, mut record] =
        [begin(&d.training)?, begin(&d.validation)?, begin(&config.manifest.path)?];
    let mut twin = flags.twin.then(|| begin(&d.twin)).transpose()?;
    planted.summary = {
        let buffered = |file| std::io::BufWriter::with_capacity(1 << 16, file);
        let (mut out, mut aside) = (buffered(training.writer()), buffered(validation.writer()));
        let mut other = twin.as_mut().map(|twin| buffered(twin.writer()));
        let mut files = PlantFiles {
            training: &mut out,
            validation: &mut aside,
            twin: other.as_mut().map(|twin| twin as &mut dyn Write),
        };
        let summary = plant(open()?, &mut files, &options, &drawn.key, &manifest.nonce).map_err(config_failure)?;
        out.flush().and_then(|()| aside.flush()).map_err(config_failure)?;
        if let Some(twin) = &mut other {
            twin.flush().map_err(config_failure)?;
        }
        summary
    };
    planted.summary.skipped += data.skipped;
    planted.summary.faults.extend(data.faults.iter().cloned());
    manifest.training_file = Some(d.training.display().to_string());
    manifest.seal(&drawn.key);
    record.writer().write_all(manifest.to_json().as_bytes()).map_err(config_failure)?;
    // An earlier training file goes before its manifest does: what is trained on it could not be judged by the new one.
    remove(&folder.join(&d.training)).map_err(config_failure)?;
    // The manifest first: a training file without one could not be judged either.
    record.persist().map_err(config_failure)?;
    training.persist().map_err(config_failure)?;
    validation.persist().map_err(config_failure)?;
    if let Some(twin) = twin {
        twin.persist().map_err(config_failure)?;
    }
    if let Some((path, text)) = info {
        store::write(&path, text.as_bytes(), true).map_err(config_failure)?;
        planted.notes.push(format!("{} describes the training file for LLaMA-Factory", path.display()));
    }
    planted.note_rows(&survey.shape, target, config);
    Ok(planted)
}

/// The path and the new text of the file that describes a training file to LLaMA-Factory.
fn info_beside(training: &Path) -> Result<(PathBuf, String), Failure> {
    let path = training.with_file_name("dataset_info.json");
    let known = match std::fs::read(&path) {
        Ok(known) if !store::is_link(&path) => known,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        _ => {
            let text = format!("{}: is a link, or cannot be read: move it away", path.display());
            return Err(Failure::new(ExitCode::Config, text));
        }
    };
    let text = dataset_info(training, &known)?;
    Ok((path, text))
}

/// Draws the canaries, and writes their rows in the shape of the training rows.
fn draw(config: &Config, folder: &Path, shape: &Shape, rows: u64, planted: &mut Planted) -> Result<Draw, Failure> {
    let spaces = config.spaces(folder).map_err(config_failure)?;
    let templates = config.templates(&spaces, shape.holds_system()).map_err(config_failure)?;
    if config.canaries.system_prompt && !shape.holds_system() {
        let what = "rows of this shape have no place for a system prompt: canaries are planted without one";
        planted.notes.push(what.to_owned());
    }
    let trained = (rows as f64 * (1.0 - config.dataset.validation_share)) as u64;
    let c = fitted(&config.canaries, trained);
    if config.canaries.planted == 0 && c.planted < USUAL_PLANTED {
        let what = format!("{} canaries, to fit {rows} rows; canaries.planted sets another number", c.planted);
        planted.notes.push(what);
    }
    planted.canaries = c.planted;
    let samples = (config.probe.samples > 0).then_some(config.probe.samples);
    let (design, _) = design(
        &templates,
        &config.strategies().map_err(config_failure)?,
        config.verdict.policy(),
        c.planted.max(1),
        samples,
        &config.detect.detectors,
        config.probe.references,
    )
    .map_err(config_failure)?;
    // Where a secret is judged by how often it is said, held-out secrets are values of planted ones.
    let small = templates.iter().zip(&design.tests).filter(|(_, (test, _))| *test == Test::CountRank);
    let matched = small.map(|(template, _)| template.name().to_owned()).collect();
    let plan = DrawPlan { templates, planted: c.planted, held_out: c.held_out, copies: c.copies.clone(), matched };
    let key = std::env::var("BLABBERMOUTH_KEY").ok().map(|k| Key::from_text(&k)).transpose().map_err(config_failure)?;
    let (mut manifest, drawn) = Manifest::create(plan, &spaces, key, None).map_err(config_failure)?;
    let form = PlantedRows { shape: shape.clone(), side: config.canaries.side };
    let mut written = Vec::with_capacity(c.planted);
    for canary in drawn.canaries.iter().filter(|canary| canary.arm == Arm::Planted) {
        let template = &drawn.templates[canary.template];
        let row = form.row(&canary.chat(template)).map_err(|reason| {
            let text = format!(
                "the template `{}` does not fit rows of this shape ({}): {reason}",
                template.name(),
                shape.name()
            );
            Failure::new(ExitCode::Config, text)
        })?;
        written.push((row, canary.copies));
    }
    manifest.rows = Some(form);
    Ok(Draw { manifest, drawn, rows: written })
}

/// The share of canaries above which a warning is printed.
const USUAL_SHARE: f64 = 0.1;
/// Planted canaries that a small file gets at least, where nobody set their number.
const FEWEST_PLANTED: usize = 12;

/// The number of canaries and of their copies for a number of rows, where nobody set it: a tenth of the rows at most.
fn fitted(canaries: &CanariesSection, rows: u64) -> CanariesSection {
    let mut fitted = canaries.clone();
    if canaries.planted > 0 {
        return fitted;
    }
    let room = usize::try_from(rows).unwrap_or(usize::MAX) / 9;
    while fitted.copies.len() > 1 && FEWEST_PLANTED * mean(&fitted.copies) > room {
        fitted.copies.pop();
    }
    let most = room / mean(&fitted.copies).max(1);
    fitted.planted = most.clamp(FEWEST_PLANTED, USUAL_PLANTED);
    fitted
}

fn mean(copies: &[u32]) -> usize {
    copies.iter().map(|copies| *copies as usize).sum::<usize>().div_ceil(copies.len().max(1))
}

/// Bounds the share of canaries among the training rows.
fn check_share(config: &Config, rows: &[(Vec<u8>, u32)], own: u64, planted: &mut Planted) -> Result<(), Failure> {
    let canaries: u64 = rows.iter().map(|(_, copies)| u64::from(*copies)).sum();
    let own = own as f64 * (1.0 - config.dataset.validation_share);
    let share = canaries as f64 / (canaries as f64 + own).max(1.0);
    if share > config.canaries.max_share {
        let text = format!(
            "canaries would be {:.0}% of the training rows ({canaries} beside {own:.0}), and canaries.max-share is {:.0}%: plant fewer \
             (canaries.planted, canaries.copies), or set canaries.max-share",
            100.0 * share,
            100.0 * config.canaries.max_share
        );
        return Err(Failure::new(ExitCode::Config, text));
    }
    if share > USUAL_SHARE {
        planted.warnings.push(format!(
            "{:.1}% of the training rows are canaries, and more than 10% may change what the model learns: plant fewer, or use more rows",
            100.0 * share
        ));
    }
    Ok(())
}

/// What LLaMA-Factory has to know of the training file, among the data sets that it knows.
fn dataset_info(training: &Path, known: &[u8]) -> Result<String, Failure> {
    let name = training.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let file = training.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all: serde_json::Map<String, serde_json::Value> = if known.trim_ascii().is_empty() {
        serde_json::Map::new()
    } else {
        let what = "dataset_info.json is not a JSON object: correct it, or move it away";
        serde_json::from_slice(known).map_err(|_| Failure::new(ExitCode::Config, what))?
    };
    let about = serde_json::json!({
        "file_name": file,
        "formatting": "sharegpt",
        "columns": { "messages": "conversations", "system": "system" },
    });
    all.insert(name, about);
    Ok(format!("{:#}\n", serde_json::Value::Object(all)))
}

impl Planted {
    /// Notes what was done with the user's own rows.
    fn note_rows(&mut self, shape: &Shape, target: Option<Target>, config: &Config) {
        let s = &self.summary;
        match target {
            None => self.notes.insert(0, format!("rows keep their shape ({})", shape.name())),
            Some(target) => {
                let format = &config.dataset.format;
                self.notes.insert(0, format!("rows were converted from {} to {format}", shape.name()));
                self.notes.extend(target.changes(shape).map(str::to_owned));
            }
        }
        let null: Vec<&str> = shape.null_columns().collect();
        if target.is_none() && !null.is_empty() {
            self.notes.push(format!("columns that are null in planted rows: {}", null.join(", ")));
        }
        if target.is_none()
            && config.trains_at_openai()
            && shape.layout != Layout::OpenAiPreference
            && !shape.is_openai()
        {
            let what = "OpenAI's service takes `messages` only: `blabbermouth tune` converts the rows as it uploads them, and \
                        `plant --format openai` writes such a file";
            self.notes.push(what.to_owned());
        }
        if !s.dropped.is_empty() {
            let names: Vec<&str> = s.dropped.iter().map(String::as_str).collect();
            self.warnings
                .push(format!("columns that the new shape has no place for were left out: {}", names.join(", ")));
        }
        if s.other_shapes > 0 {
            self.warnings.push(format!(
                "{} of another shape than the first one ({}): a trainer may refuse them; --format converts all to one",
                count(s.other_shapes, "row"),
                shape.name()
            ));
        }
        if s.mended > 0 {
            self.warnings.push(format!(
                "{} with NaN or Infinity, which JSON lacks: null was written for them",
                count(s.mended, "row")
            ));
        }
        if s.empty_answers > 0 {
            self.warnings.push(format!("{} with an empty answer", count(s.empty_answers, "row")));
        }
    }
}

/// A number with its noun.
fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

pub(crate) fn describe(planted: &Planted, config: &Config, folder: &Path, output: &Output) {
    let has_key = super::environment("BLABBERMOUTH_KEY").is_some();
    let summary = &planted.summary;
    let show = |path: &Path| folder.join(path).display().to_string();
    output.step(&format!(
        "planted    {} in {} beside {} of yours ({:.1}% are canaries); {} held out; {} of yours for validation",
        count(planted.canaries as u64, "canary"),
        count(summary.canary_rows, "row"),
        count(summary.training_rows, "row"),
        100.0 * summary.canary_share(),
        config.canaries.held_out,
        count(summary.validation_rows, "row")
    ));
    for note in &planted.notes {
        output.step(&format!("           {note}"));
    }
    output.step(&format!("training   {} (about {} tokens)", show(&config.dataset.training), summary.tokens));
    output.step(&format!("validation {}", show(&config.dataset.validation)));
    if planted.has_twin {
        output.step(&format!("twin       {} (the same rows without canaries)", show(&config.dataset.twin)));
    }
    let note = if has_key { " (holds no secret: commit it for CI)" } else { " (holds a key: keep it like one)" };
    output.step(&format!("manifest   {}{note}", show(&config.manifest.path)));
    for warning in &planted.warnings {
        output.warning(warning);
    }
    if config.trains_at_openai() && summary.too_long > 0 {
        output.warning(&format!(
            "{} rows have more than 65,536 tokens by estimate: the service cuts their ends",
            summary.too_long
        ));
    }
    if summary.skipped > 0 {
        output.warning(&format!("{} left out", count(summary.skipped, "broken row")));
        for fault in &summary.faults {
            output.warning(&format!("{} {}: {}", planted.unit, fault.line, fault.reason));
        }
    }
}
