//! Data sets of the Hugging Face hub: `hf:OWNER/NAME[/CONFIG][@REVISION][:SPLIT]`, with a cache of its own.
//!
//! No name from the hub becomes a path: a file is cached under the digest of its origin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::header::RANGE;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::split_files::{KINDS, choose_files};
use blabbermouth_files::Pending;
use blabbermouth_provider::is_loopback;

/// Maximum size of the file list, in bytes.
const LARGEST_LIST: usize = 64 << 20;
/// Maximum size of all files of a data set, in bytes: more than anybody tunes on.
const MOST_BYTES: u64 = 64 << 30;
/// Failed attempts in a row after which a download gives up.
const TRIES: u32 = 4;
const CONNECT: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);

/// Why a data set of the hub is not available.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}")]
pub struct HubError {
    name: String,
    what: String,
}

/// Data set of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubData {
    /// Owner and name.
    pub repository: String,
    /// One of several configurations: a folder of files.
    pub config: Option<String>,
    /// Branch, tag or commit.
    pub revision: String,
    /// Split of the data; `None` for `train`.
    pub split: Option<String>,
}

/// How to reach the hub.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    /// Address, from `HF_ENDPOINT`; `None` for the public hub.
    pub endpoint: Option<String>,
    /// Access token, from `HF_TOKEN`; `None` for the one in the file `token` of `home`.
    pub token: Option<String>,
    /// Folder of the cache, from `HF_HOME`; `None` for `~/.cache/huggingface`.
    pub home: Option<PathBuf>,
}

impl HubData {
    /// Parses a name; `None` if it is no name of the hub.
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

    /// Returns the paths of the split's files in the cache, and fetches those that are missing. The files have one
    /// extension, and are sorted by name.
    ///
    /// # Errors
    /// When there is no such data set or split, its format is unknown, or the hub cannot be reached.
    pub fn fetch(&self, hub: &Hub) -> Result<Vec<PathBuf>, HubError> {
        let fault = |what: String| HubError { name: format!("hf:{}", self.repository), what };
        self.check().map_err(fault)?;
        let client = Client::new(hub).map_err(fault)?;
        // A thread of its own: the caller may be within a runtime.
        let fetched = std::thread::scope(|scope| scope.spawn(|| client.block_on(self)).join());
        fetched.unwrap_or_else(|_| Err("the download panicked".into())).map_err(fault)
    }

    /// Checks whether the hub can have this name.
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

/// Description of a data set by the hub.
#[derive(Debug, Deserialize)]
struct Info {
    /// Commit id.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Client of the hub.
struct Client {
    endpoint: Url,
    token: Option<String>,
    cache: PathBuf,
    http: reqwest::Client,
    /// Bytes of the files that were fetched completely.
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
        // An error means that a provider is installed already.
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

    /// Address below the endpoint; each word is one part of its path, whatever it contains.
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

    /// Reads the commit and the list of files of a data set.
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

    /// Path of a file in the cache, which is downloaded if necessary.
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

    /// Downloads a file from byte `got` on.
    async fn part(&self, url: Url, pending: &mut Pending, got: &mut u64) -> Result<(), Broken> {
        let off = |e: reqwest::Error| Broken::Off(told(e));
        let request = self.get(url).header(RANGE, format!("bytes={got}-"));
        let mut reply = request.send().await.map_err(off)?;
        let whole = match reply.status() {
            // The whole file: the server takes no ranges.
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

/// Why a download is not complete.
enum Broken {
    /// A part arrived, and the server has more.
    Part,
    /// Another attempt may succeed.
    Off(String),
    Refused(String),
}

/// Text of an error without its address, which may hold a signature.
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

/// Whether a file name of the hub is safe.
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
}
