//! Data sets of the Hugging Face hub: `hf:OWNER/NAME[/CONFIG][@REVISION][:SPLIT]`, with a cache of its own.
//!
//! Nothing that the hub says becomes a path: a file is kept under the digest of where it came from.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::header::RANGE;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use blabbermouth_files::Pending;
use blabbermouth_provider::is_loopback;

/// Kinds of data files, in the order in which they are looked for.
const KINDS: [&str; 17] = [
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

/// The largest list of files, in bytes.
const LARGEST_LIST: usize = 64 << 20;
/// Bytes of all files of one data set: more than anybody tunes on.
const MOST_BYTES: u64 = 64 << 30;
/// So often a download that breaks off is gone on with.
const TRIES: u32 = 4;
const CONNECT: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);

/// Why a data set of the hub cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}")]
pub struct HubError {
    name: String,
    what: String,
}

/// A data set of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubData {
    /// Owner and name.
    pub repository: String,
    /// One of several configurations: a folder of files.
    pub config: Option<String>,
    /// Branch, tag or commit.
    pub revision: String,
    /// The part of the data, `train` by default.
    pub split: Option<String>,
}

/// How the hub is reached.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    /// Its address; `HF_ENDPOINT`.
    pub endpoint: Option<String>,
    /// An access token; `HF_TOKEN`.
    pub token: Option<String>,
    /// Where the cache is; `HF_HOME`.
    pub home: Option<PathBuf>,
}

impl HubData {
    /// Takes a name apart; `None` when it is none of the hub's.
    ///
    /// ```
    /// use blabbermouth::store::HubData;
    /// let data = HubData::parse("hf:databricks/databricks-dolly-15k@main:train").expect("of the hub");
    /// assert_eq!((data.repository.as_str(), data.revision.as_str()), ("databricks/databricks-dolly-15k", "main"));
    /// assert_eq!(data.split.as_deref(), Some("train"));
    /// assert!(HubData::parse("train.jsonl").is_none());
    /// ```
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("hf:")?;
        let (rest, split) = rest.split_once(':').map_or((rest, None), |(rest, split)| (rest, Some(split.to_owned())));
        let (name, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let (repository, config) = match name.match_indices('/').nth(1) {
            Some((at, _)) => (&name[..at], Some(name[at + 1..].to_owned())),
            None => (name, None),
        };
        Some(Self { repository: repository.to_owned(), config, revision: revision.to_owned(), split })
    }

    /// Fetches the files of the split, unless the cache has them. They are of one kind, and sorted.
    ///
    /// # Errors
    /// When there is no such data set or split, it is of an unknown form, or the hub cannot be reached.
    pub fn fetch(&self, hub: &Hub) -> Result<Vec<PathBuf>, HubError> {
        let fault = |what: String| HubError { name: format!("hf:{}", self.repository), what };
        self.check().map_err(fault)?;
        let client = Client::new(hub).map_err(fault)?;
        // A thread of its own: the caller may be within a runtime.
        let fetched = std::thread::scope(|scope| scope.spawn(|| client.block_on(self)).join());
        fetched.unwrap_or_else(|_| Err("the download panicked".into())).map_err(fault)
    }

    /// Whether the name can be one of the hub.
    fn check(&self) -> Result<(), String> {
        let is_word = |word: &str| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !word.is_empty() && word.len() <= 96 && word.chars().all(fine) && !word.chars().all(|c| c == '.')
        };
        let words: Vec<&str> = self.repository.split('/').collect();
        if words.len() > 2 || !words.into_iter().all(is_word) {
            return Err("expected OWNER/NAME of letters, digits and -_.".into());
        }
        if !self.config.iter().chain(&self.split).all(|name| is_word(name)) {
            return Err("expected a configuration and a split of letters, digits and -_.".into());
        }
        if !self.revision.split('/').all(is_word) {
            return Err("expected a branch, a tag or a commit after @".into());
        }
        Ok(())
    }
}

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
    stem
}

/// How well a file fits a split: 0 for exactly, `None` for not at all.
fn fit(file: &str, split: &str) -> Option<u8> {
    let stem = stem(file);
    let folder = file.rsplit_once('/').map(|(folder, _)| folder);
    if stem == split || folder.is_some_and(|folder| folder.rsplit('/').next() == Some(split)) {
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
            None if within.len() == 1 && wanted == "train" => of_kind,
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

/// Files that are listed in an error.
const MOST_LISTED: usize = 20;

/// Whether a file describes the data, and holds none.
fn is_about(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.ends_with("_infos.json")
        || ["dataset_info.json", "dataset_dict.json", "state.json", "config.json", "package.json"].contains(&name)
        || name.starts_with('.')
}

/// What the hub says of a data set.
#[derive(Debug, Deserialize)]
struct Info {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A connection to the hub.
struct Client {
    endpoint: Url,
    token: Option<String>,
    cache: PathBuf,
    http: reqwest::Client,
    /// Bytes of the files that were fetched whole.
    got: AtomicU64,
}

impl Client {
    fn new(hub: &Hub) -> Result<Self, String> {
        let endpoint = hub.endpoint.as_deref().unwrap_or("https://huggingface.co");
        let endpoint = Url::parse(endpoint).map_err(|e| format!("HF_ENDPOINT: {e}"))?;
        let home = hub.home.clone().or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")));
        let home = home.ok_or("there is no home folder to keep the files in: set HF_HOME")?;
        let kept = || std::fs::read_to_string(home.join("token")).ok().map(|token| token.trim().to_owned());
        let token = hub.token.clone().or_else(kept).filter(|token| !token.is_empty());
        let is_here = is_loopback(&endpoint);
        if !is_here && endpoint.scheme() != "https" {
            return Err(
                "the hub's token and rows would travel in the clear: HF_ENDPOINT must begin with https://".into()
            );
        }
        // Whoever was first has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .https_only(!is_here)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { endpoint, token, cache: home.join("blabbermouth"), http, got: AtomicU64::new(0) })
    }

    fn block_on(&self, data: &HubData) -> Result<Vec<PathBuf>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(self.fetch(data))
    }

    async fn fetch(&self, data: &HubData) -> Result<Vec<PathBuf>, String> {
        let info = self.info(data).await?;
        let files: Vec<String> = info.siblings.into_iter().map(|s| s.rfilename).filter(|name| is_sound(name)).collect();
        let mut fetched = Vec::new();
        for file in choose_files(&files, data.config.as_deref(), data.split.as_deref())? {
            let at = |what: String| format!("{file}: {what}");
            fetched.push(self.file(&data.repository, &info.sha, file).await.map_err(at)?);
        }
        Ok(fetched)
    }

    /// An address below the endpoint; each word is one part of its path, whatever is in it.
    fn address(&self, words: &[&str]) -> Result<Url, String> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| "HF_ENDPOINT is no address of a server".to_owned())?
            .pop_if_empty()
            .extend(words);
        Ok(url)
    }

    fn get(&self, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.get(url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The commit and the files of a data set.
    async fn info(&self, data: &HubData) -> Result<Info, String> {
        let owner_and_name = data.repository.split('/');
        let words: Vec<&str> =
            ["api", "datasets"].into_iter().chain(owner_and_name).chain(["revision", &data.revision]).collect();
        let mut reply = self.get(self.address(&words)?).send().await.map_err(told)?;
        if !reply.status().is_success() {
            let how = "check the name and the revision, and HF_TOKEN if it is private or gated";
            return Err(format!("the hub answered HTTP {}; {how}", reply.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > LARGEST_LIST {
                return Err("its list of files is longer than 64 MB".into());
            }
            body.extend_from_slice(&chunk);
        }
        let info: Info =
            serde_json::from_slice(&body).map_err(|_| "the hub's list of files cannot be read".to_owned())?;
        let is_commit = (7..=64).contains(&info.sha.len()) && info.sha.bytes().all(|b| b.is_ascii_hexdigit());
        if is_commit { Ok(info) } else { Err("the hub names no commit of it".into()) }
    }

    /// One file, from the cache or from the hub.
    async fn file(&self, repository: &str, commit: &str, file: &str) -> Result<PathBuf, String> {
        let origin = [self.endpoint.as_str(), repository, commit, file].join("\n");
        let kind = KINDS.iter().filter(|kind| file.ends_with(**kind)).max_by_key(|kind| kind.len()).copied();
        let name = format!("{}{}", &HEXLOWER.encode(&Sha256::digest(origin))[..40], kind.unwrap_or_default());
        let path = self.cache.join(name);
        if path.is_file() {
            return Ok(path);
        }
        super::private_folder(&self.cache).map_err(|e| format!("{}: {e}", self.cache.display()))?;
        let words: Vec<&str> = std::iter::once("datasets")
            .chain(repository.split('/'))
            .chain(["resolve", commit])
            .chain(file.split('/'))
            .collect();
        let url = self.address(&words)?;
        let mut pending = Pending::create(&path, false).map_err(|e| e.to_string())?;
        let mut got = 0;
        let mut trials = 0;
        loop {
            match self.part(url.clone(), &mut pending, &mut got).await {
                Ok(()) => {
                    self.got.fetch_add(got, Ordering::Relaxed);
                    pending.persist().map_err(|e| e.to_string())?;
                    return Ok(path);
                }
                Err(Broken::Part) => trials = 0,
                Err(Broken::Off(_)) if trials + 1 < TRIES => {
                    trials += 1;
                    tokio::time::sleep(Duration::from_millis(200) * trials).await;
                }
                Err(Broken::Off(what) | Broken::Refused(what)) => return Err(what),
            }
        }
    }

    /// What is left of a file, from `got` bytes on.
    async fn part(&self, url: Url, pending: &mut Pending, got: &mut u64) -> Result<(), Broken> {
        let off = |e: reqwest::Error| Broken::Off(told(e));
        let request = self.get(url).header(RANGE, format!("bytes={got}-"));
        let mut reply = request.send().await.map_err(off)?;
        let whole = match reply.status() {
            // All of it: the server takes no ranges.
            StatusCode::OK if *got == 0 => reply.content_length(),
            StatusCode::PARTIAL_CONTENT => {
                let range = reply.headers().get("content-range").and_then(|value| value.to_str().ok());
                let range = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('/'));
                let from = range.and_then(|(part, _)| part.split('-').next()?.parse::<u64>().ok());
                if from != Some(*got) {
                    return Err(Broken::Refused("the server sent another part than was asked for".into()));
                }
                range.and_then(|(_, whole)| whole.parse().ok())
            }
            StatusCode::OK => {
                return Err(Broken::Refused("it broke off, and the server does not go on in the middle".into()));
            }
            StatusCode::TOO_MANY_REQUESTS => return Err(Broken::Off("HTTP 429".into())),
            status if status.is_server_error() => return Err(Broken::Off(format!("HTTP {}", status.as_u16()))),
            status => return Err(Broken::Refused(format!("HTTP {}", status.as_u16()))),
        };
        let begin = *got;
        let left = MOST_BYTES.saturating_sub(self.got.load(Ordering::Relaxed));
        let large = || Broken::Refused("the data set is larger than 64 GB".into());
        if whole.is_some_and(|whole| whole > left) {
            return Err(large());
        }
        while let Some(chunk) = reply.chunk().await.map_err(off)? {
            pending.writer().write_all(&chunk).map_err(|e| Broken::Refused(e.to_string()))?;
            *got += chunk.len() as u64;
            if *got > left {
                return Err(large());
            }
        }
        match whole {
            Some(whole) if *got < whole && *got > begin => Err(Broken::Part),
            Some(whole) if *got != whole => Err(Broken::Off("it broke off".into())),
            _ => Ok(()),
        }
    }
}

/// Why a part did not come.
enum Broken {
    /// A part came, and the server has more.
    Part,
    /// Another try may bring it.
    Off(String),
    Refused(String),
}

/// An error without the address, in which a signature may stand.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(more) = cause {
        text = format!("{text}: {more}");
        cause = more.source();
    }
    text
}

/// Whether a file of the hub has a name that can be one.
fn is_sound(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && !part.chars().all(|c| c == '.') && !part.chars().any(char::is_control);
    name.len() <= 1024 && !name.contains('\\') && !Path::new(name).is_absolute() && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place() {
        for name in ["../../x", "a/../b.jsonl", "/etc/passwd", "a\\..\\b", "", "a//b", "./a", "a/\n", "..."] {
            assert!(!is_sound(name), "{name:?}");
        }
        assert!(is_sound("data/train-00000-of-2.jsonl") && is_sound("a..b.jsonl"));
        for name in [
            "hf:../../victim",
            "hf:a/b@../../../../victim",
            "hf:a/b/..",
            "hf:a/b/c/d",
            "hf:a/b:..",
            "hf:a/..",
            "hf:a b/c",
            "hf:a/b@",
            "hf:/b",
        ] {
            let data = HubData::parse(name).expect("of the hub");
            assert!(data.check().is_err(), "{name}");
        }
        for name in ["hf:squad", "hf:acme/rows.v1@refs/convert/parquet", "hf:a/b@0123abc:train"] {
            assert!(HubData::parse(name).expect("of the hub").check().is_ok(), "{name}");
        }
    }

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
