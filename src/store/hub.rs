//! Data sets of the Hugging Face hub: `hf:OWNER/NAME[@REVISION][:SPLIT]`, through its own cache.

use std::path::PathBuf;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

/// Kinds of data files, in the order in which they are looked for.
const KINDS: [&str; 6] = [".jsonl", ".jsonl.gz", ".json", ".csv", ".csv.gz", ".parquet"];

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
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        Some(Self { repository: repository.to_owned(), revision: revision.to_owned(), split })
    }

    /// Fetches the files of the split, unless the cache has them. They are of one kind, and sorted.
    ///
    /// # Errors
    /// When there is no such data set or split, it is of an unknown form, or the hub cannot be reached.
    pub fn fetch(&self, hub: &Hub) -> Result<Vec<PathBuf>, HubError> {
        let fault = |what: String| HubError { name: format!("hf:{}", self.repository), what };
        let endpoint = hub.endpoint.clone().unwrap_or_else(|| "https://huggingface.co".into());
        let cache = hub.home.as_ref().map_or_else(Cache::default, |home| Cache::new(home.join("hub")));
        let token = hub.token.clone().or_else(|| cache.token());
        let loopback = reqwest::Url::parse(&endpoint)
            .is_ok_and(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")));
        if token.is_some() && !loopback && !endpoint.starts_with("https://") {
            return Err(fault(
                "the hub's token would travel in the clear: HF_ENDPOINT must begin with https://".into(),
            ));
        }
        let api = ApiBuilder::from_cache(cache)
            .with_endpoint(endpoint.trim_end_matches('/').to_owned())
            .with_token(token)
            .with_progress(false)
            .with_retries(3)
            .build()
            .map_err(|e| fault(e.to_string()))?;
        let of = Repo::with_revision(self.repository.clone(), RepoType::Dataset, self.revision.clone());
        let repository = api.repo(of);
        let info = repository.info().map_err(|e| {
            fault(format!("{e}; check the name and the revision, and HF_TOKEN if it is private or gated"))
        })?;
        // A name becomes a path in the cache.
        let sound =
            |name: &String| !name.starts_with('/') && !name.contains('\\') && name.split('/').all(|p| p != "..");
        let files: Vec<String> = info.siblings.into_iter().map(|s| s.rfilename).filter(sound).collect();
        let wanted = self.choose(&files).map_err(&fault)?;
        wanted.iter().map(|file| repository.get(file).map_err(|e| fault(format!("{file}: {e}")))).collect()
    }

    /// The data files of the split.
    fn choose<'a>(&self, files: &'a [String]) -> Result<Vec<&'a str>, String> {
        let data = |kind: &str| -> Vec<&'a str> {
            files.iter().map(String::as_str).filter(|f| f.ends_with(kind) && !f.ends_with("_infos.json")).collect()
        };
        let Some(mut all) = KINDS.iter().map(|kind| data(kind)).find(|all| !all.is_empty()) else {
            return Err("it has no data files; expected JSONL, JSON, CSV or Parquet".into());
        };
        all.sort_unstable();
        let of_split = |split: &str| -> Vec<&'a str> {
            let is = |file: &&&str| file.split(['/', '-', '_', '.']).any(|part| part == split);
            all.iter().filter(is).copied().collect()
        };
        let found = of_split(self.split.as_deref().unwrap_or("train"));
        match (&self.split, found.is_empty(), all.len()) {
            (_, false, _) => Ok(found),
            // Without splits in the names, all there is is the training data.
            (None, true, 1) => Ok(all),
            (Some(split), true, 1) if split == "train" => Ok(all),
            _ => Err(format!("which part is meant? give it after a colon; the files are {}", all.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_split_are_found() {
        let choose = |name: &str, files: &[&str]| {
            let files: Vec<String> = files.iter().map(|f| (*f).to_owned()).collect();
            let chosen = HubData::parse(name).expect("of the hub").choose(&files);
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
        assert!(choose("hf:a/b", &["x.arrow"]).expect_err("none").contains("Parquet"));
    }
}
