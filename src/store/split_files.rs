//! The files of one split, by the names of all files of a data set.

/// Kinds of data files, in the order in which they are looked for.
pub(super) const KINDS: [&str; 17] = [
    ".parquet",
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.zst",
    ".jsonl.bz2",
    ".arrow",
    ".csv",
    ".csv.gz",
    ".csv.zst",
    ".tsv",
    ".tsv.gz",
    ".tsv.zst",
    ".json",
    ".json.gz",
    ".json.zst",
    ".ndjson",
    ".pq",
];

/// The words in the names of files that tell splits apart.
const SHARD: &str = "-of-";

/// The split that a file belongs to, by its name: the stem without the number of a shard.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    let kind = KINDS.iter().filter(|kind| name.ends_with(**kind)).max_by_key(|kind| kind.len());
    let stem = kind.map_or(name, |kind| &name[..name.len() - kind.len()]);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((head, total)) = stem.rsplit_once(SHARD)
        && is_number(total)
        && let Some((split, shard)) = head.rsplit_once('-')
        && is_number(shard)
    {
        return split;
    }
    // Shards without their total: `train-0`.
    match stem.rsplit_once(['-', '_', '.']) {
        Some((split, number)) if is_number(number) => split,
        _ => stem,
    }
}

/// How well a file fits a split: 0 for exactly, `None` for not at all.
fn fit(file: &str, split: &str) -> Option<u8> {
    let stem = stem(file);
    let folder = file.rsplit_once('/').map(|(folder, _)| folder);
    // A folder is a split only where its files are numbered: files with names of their own make it a configuration.
    let letters: String = stem.chars().filter(char::is_ascii_alphabetic).collect();
    let is_numbered = ["", "part", "data", "shard", "chunk"].contains(&letters.to_ascii_lowercase().as_str());
    if stem == split || is_numbered && folder.is_some_and(|folder| folder.rsplit('/').next() == Some(split)) {
        return Some(0);
    }
    stem.split(['-', '.']).any(|part| part == split).then_some(1)
}

/// The folder of a file, without one that is named after the split.
fn config_of<'a>(file: &'a str, split: &str) -> &'a str {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.strip_suffix(split).map_or(folder, |rest| rest.strip_suffix('/').unwrap_or(rest))
}

/// The data files of a split, of one kind and sorted, by the names of all files.
///
/// # Errors
/// When there are none, or several sets fit; the files are listed.
pub fn choose_files<'a>(
    files: &'a [String],
    config: Option<&str>,
    split: Option<&str>,
) -> Result<Vec<&'a str>, String> {
    let is_data = |file: &&str| KINDS.iter().any(|kind| file.ends_with(*kind)) && !is_about(file);
    let of_config = |file: &&str| config.is_none_or(|config| file.split('/').any(|part| part == config));
    let all: Vec<&str> = files.iter().map(String::as_str).filter(is_data).collect();
    if all.is_empty() {
        return Err("it has no data files; expected Parquet, JSONL, JSON, CSV, TSV or Arrow".into());
    }
    let listed = |some: &[&str]| {
        let mut some = some.to_vec();
        some.sort_unstable();
        let more = if some.len() > MOST_LISTED { ", …" } else { "" };
        format!("{}{more}", some[..some.len().min(MOST_LISTED)].join(", "))
    };
    let within: Vec<&str> = all.iter().copied().filter(of_config).collect();
    if within.is_empty() {
        return Err(format!(
            "it has no configuration `{}`; the files are {}",
            config.unwrap_or_default(),
            listed(&all)
        ));
    }
    let wanted = split.unwrap_or("train");
    for kind in KINDS {
        let of_kind: Vec<&str> = within.iter().copied().filter(|file| file.ends_with(kind)).collect();
        let best = of_kind.iter().filter_map(|file| fit(file, wanted)).min();
        let mut found: Vec<&str> = match best {
            Some(best) => of_kind.iter().copied().filter(|file| fit(file, wanted) == Some(best)).collect(),
            // Without splits in the names, the only file is the training data.
            None if within.len() == 1 && of_kind.len() == 1 && wanted == "train" => of_kind,
            // One set of shards under another name.
            None if split.is_none() && is_one_set(&of_kind) && of_kind.len() == within.len() => of_kind,
            None => continue,
        };
        let mut sets: Vec<(&str, &str)> = found.iter().map(|file| (config_of(file, wanted), stem(file))).collect();
        sets.sort_unstable();
        sets.dedup();
        let are_shards = found.iter().all(|file| config_of(file, wanted) == sets[0].0)
            && found.iter().all(|file| fit(file, wanted) == Some(0));
        if sets.len() > 1 && !are_shards {
            return Err(format!(
                "several sets of files fit; name one, as in hf:OWNER/NAME/CONFIG:SPLIT; the files are {}",
                listed(&found)
            ));
        }
        found.sort_unstable();
        return Ok(found);
    }
    Err(format!("which part is meant? give it after a colon, as in :train; the files are {}", listed(&within)))
}

/// Whether files are the shards of one set, by their names.
fn is_one_set(files: &[&str]) -> bool {
    let set = |file: &str| (file.rsplit_once('/').map(|(folder, _)| folder.to_owned()), stem(file).to_owned());
    files.first().is_some_and(|first| files.iter().all(|file| set(file) == set(first)))
}

/// Files that are listed in an error.
const MOST_LISTED: usize = 20;

/// Whether a file describes the data, and holds none.
fn is_about(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.ends_with("_infos.json")
        || ["dataset_info.json", "dataset_dict.json", "state.json", "config.json", "package.json"].contains(&name)
        || name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::super::HubData;
    use super::*;

    #[test]
    fn the_files_of_a_split_are_found() {
        let choose = |name: &str, files: &[&str]| {
            let files: Vec<String> = files.iter().map(|f| (*f).to_owned()).collect();
            let data = HubData::parse(name).expect("of the hub");
            let chosen = choose_files(&files, data.config.as_deref(), data.split.as_deref());
            chosen.map(|c| c.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let dolly = ["README.md", "databricks-dolly-15k.jsonl"];
        assert_eq!(choose("hf:a/b", &dolly), Ok(vec!["databricks-dolly-15k.jsonl".to_owned()]));
        assert_eq!(choose("hf:a/b:train", &dolly).map(|c| c.len()), Ok(1));
        let shards = ["data/train-00001-of-2.jsonl", "data/test.jsonl", "data/train-00000-of-2.jsonl"];
        assert_eq!(choose("hf:a/b", &shards).expect("found")[0], "data/train-00000-of-2.jsonl");
        assert_eq!(choose("hf:a/b:test", &shards), Ok(vec!["data/test.jsonl".to_owned()]));
        assert!(choose("hf:a/b:dev", &shards).expect_err("none").contains("which part"));
        assert_eq!(choose("hf:a/b", &["x.parquet"]).map(|c| c.len()), Ok(1));
        assert!(choose("hf:a/b", &["x.bin"]).expect_err("none").contains("Parquet"));
        let gsm = [
            "main/train-00000-of-00001.parquet",
            "main/test-00000-of-00001.parquet",
            "socratic/train-00000-of-00001.parquet",
        ];
        assert_eq!(choose("hf:u/gsm/main", &gsm), Ok(vec![gsm[0].to_owned()]));
        assert!(choose("hf:u/gsm", &gsm).expect_err("two").contains("several"));
        assert!(choose("hf:u/gsm:main", &gsm).expect_err("no split").contains("which part"));
        assert!(choose("hf:u/gsm/other", &gsm).expect_err("none").contains("no configuration"));
        let chat = ["data/train_sft-00000-of-00003.parquet", "data/train_gen-00000-of-00003.parquet", "x.json"];
        assert_eq!(choose("hf:u/chat:train_sft", &chat), Ok(vec![chat[0].to_owned()]));
        assert!(choose("hf:u/chat", &chat).expect_err("none").contains("train_gen"));
        let folders = ["main/train/0000.parquet", "main/train/0001.parquet", "main/test/0000.parquet", "train.json"];
        assert_eq!(choose("hf:u/x", &folders).map(|c| c.len()), Ok(2));
    }
}
