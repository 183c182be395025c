//! `blabbermouth plant`.

use std::path::Path;

use crate::config::{Config, is_ci};
use crate::exit::ExitCode;
use crate::harness::SessionError;
use crate::run::design;
use crate::store::{Pending, open_data, remove};
use blabbermouth_core::canary::{Arm, DrawPlan, Key, Manifest};
use blabbermouth_core::dataset::{PlantOptions, PlantSummary, Rows, plant};
use blabbermouth_core::verdict::Test;

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
    if let Some(format) = &args.format {
        config.dataset.format.clone_from(format);
    }
    if let Some(fields) = &args.fields {
        config.dataset.fields.clone_from(fields);
    }
    // Only the file's own settings are checked: the workflow, not a pull request, sets the environment.
    if is_ci(super::environment) {
        let found = Config::load(Some(&args.config), |_| None).map_err(config_failure)?.leaves_its_folder();
        if !found.is_empty() {
            return Err(SessionError::Rerouted { path: args.config.display().to_string(), found }.into());
        }
    }
    let manifest = folder.join(&config.manifest.path);
    if manifest.exists() && !args.force {
        let path = manifest.display();
        return Err(Failure::new(
            ExitCode::Config,
            format!("{path} is there already; a model trained on it could no longer be tested. --force replaces it"),
        ));
    }
    let data = Data::get(&wanted, output)?;
    let summary = plant_files(&config, &folder, &data, args.skip_invalid)?;
    describe(&summary, &config, &folder, output);
    Ok(ExitCode::Clean)
}

/// Plants canaries, and writes the training file, the validation file and the manifest, or none of them.
pub(crate) fn plant_files(config: &Config, folder: &Path, data: &Data, skip: bool) -> Result<PlantSummary, Failure> {
    let spaces = config.spaces(folder).map_err(config_failure)?;
    let templates = config.templates(&spaces).map_err(config_failure)?;
    let samples = (config.probe.samples > 0).then_some(config.probe.samples);
    let (design, _) = design(
        &templates,
        &config.strategies().map_err(config_failure)?,
        config.verdict.policy(),
        config.canaries.planted.max(1),
        samples,
        &config.detect.detectors,
        config.probe.references,
    )
    .map_err(config_failure)?;
    // For the count-rank test, held-out secrets are values of planted ones.
    let small = templates.iter().zip(&design.tests).filter(|(_, (test, _))| *test == Test::CountRank);
    let matched = small.map(|(template, _)| template.name().to_owned()).collect();
    let c = &config.canaries;
    let plan = DrawPlan { templates, planted: c.planted, held_out: c.held_out, copies: c.copies.clone(), matched };
    let key = std::env::var("BLABBERMOUTH_KEY").ok().map(|k| Key::from_text(&k)).transpose().map_err(config_failure)?;
    let (mut manifest, drawn) = Manifest::create(plan, &spaces, key, None).map_err(config_failure)?;
    let canaries: Vec<_> = drawn
        .canaries
        .iter()
        .filter(|canary| canary.arm == Arm::Planted)
        .map(|canary| (canary.chat(&drawn.templates[canary.template]), canary.copies))
        .collect();
    let rows = count_rows(&data.path)?;
    let paths = [&config.dataset.training, &config.dataset.validation, &config.manifest.path].map(|p| folder.join(p));
    // All three files are opened before anything is read, so that an unwritable path is found first.
    let [mut training, mut validation, mut record] = [
        Pending::create(&paths[0], false).map_err(config_failure)?,
        Pending::create(&paths[1], false).map_err(config_failure)?,
        Pending::create(&paths[2], false).map_err(config_failure)?,
    ];
    let options = PlantOptions {
        file: &data.name,
        format: config.format().map_err(config_failure)?,
        rows,
        validation_share: config.dataset.validation_share,
        skip_invalid: skip,
        canaries: &canaries,
    };
    let summary = {
        let mut out = std::io::BufWriter::with_capacity(1 << 16, training.writer());
        let mut aside = std::io::BufWriter::with_capacity(1 << 16, validation.writer());
        let summary = plant(
            open_data(&data.path).map_err(config_failure)?,
            &mut out,
            &mut aside,
            &options,
            &drawn.key,
            &manifest.nonce,
        )
        .map_err(config_failure)?;
        std::io::Write::flush(&mut out).and_then(|()| std::io::Write::flush(&mut aside)).map_err(config_failure)?;
        summary
    };
    manifest.training_file = Some(config.dataset.training.display().to_string());
    manifest.seal(&drawn.key);
    std::io::Write::write_all(record.writer(), manifest.to_json().as_bytes()).map_err(config_failure)?;
    // Removes an older training file first: the new manifest could not judge a model trained on it.
    remove(&paths[0]).map_err(config_failure)?;
    // Writes the manifest before the training file: without it, no model trained on the file could be judged.
    record.persist().map_err(config_failure)?;
    training.persist().map_err(config_failure)?;
    validation.persist().map_err(config_failure)?;
    Ok(summary)
}

fn count_rows(data: &Path) -> Result<u64, Failure> {
    let mut rows = Rows::new(open_data(data).map_err(config_failure)?);
    let (mut row, mut count) = (Vec::new(), 0);
    while rows.next_into(&mut row).map_err(config_failure)?.is_some() {
        count += 1;
    }
    Ok(count)
}

pub(crate) fn describe(summary: &PlantSummary, config: &Config, folder: &Path, output: &Output) {
    let show = |path: &Path| folder.join(path).display().to_string();
    output.step(&format!(
        "planted    {} canaries in {} rows, {} held out; among {} rows of yours, {} for validation",
        config.canaries.planted,
        summary.canary_rows,
        config.canaries.held_out,
        summary.training_rows,
        summary.validation_rows
    ));
    output.step(&format!("training   {} (about {} tokens)", show(&config.dataset.training), summary.tokens));
    output.step(&format!("validation {}", show(&config.dataset.validation)));
    output.step(&format!("manifest   {}", show(&config.manifest.path)));
    if summary.too_long > 0 {
        output.warning(&format!(
            "{} rows have more than 65,536 tokens by estimate: the provider cuts their ends",
            summary.too_long
        ));
    }
    if summary.skipped > 0 {
        output.warning(&format!("{} broken rows were left out", summary.skipped));
        for fault in &summary.faults {
            output.warning(&format!("line {}: {}", fault.line, fault.reason));
        }
    }
}
