//! Repositories of the Hugging Face hub as local folders, through the cache that Python's `huggingface_hub` uses too.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::error::ModelError;

/// Ends of the file names that a model or an adapter is made of.
const WANTED: [&str; 5] = [".json", ".safetensors", ".txt", ".model", ".jinja"];
/// Pickled adapter weights, for adapters that have no others.
const ADAPTER_BIN: &str = "adapter_model.bin";
/// What a weight file is called that repeats the others in another layout.
const REPEATED: &str = "consolidated";
const MAIN: &str = "main";

/// A repository of the hub: `OWNER/NAME`, or `OWNER/NAME@REVISION` for a branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    name: String,
    revision: String,
}

impl FromStr for HubId {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let legal = |part: &str| {
            let mut letters = part.chars();
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            letters.all(known) && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        let parts: Vec<&str> = name.split('/').collect();
        let revision_legal = revision.split('/').all(legal);
        if parts.len() != 2 || !parts.iter().all(|part| legal(part)) || !revision_legal {
            return Err(ModelError::Hub {
                id: text.to_owned(),
                message: "is no name of a repository; expected OWNER/NAME or OWNER/NAME@REVISION"
                    .into(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

/// Access to the hub as the environment says: `HF_HOME` and `HF_HUB_CACHE` (where files are kept), `HF_TOKEN`, `HF_ENDPOINT`, and
/// `HF_HUB_OFFLINE` (nothing is asked of the network).
#[derive(Debug)]
pub struct Hub {
    cache: Cache,
    /// Absent when offline.
    api: Option<Api>,
}

impl Hub {
    /// Reads the environment; `progress` shows a bar for each file on stderr.
    ///
    /// # Errors
    /// [`ModelError::Hub`] when the client cannot be made.
    pub fn from_env(progress: bool) -> Result<Self, ModelError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache = match variable("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => Cache::from_env(),
        };
        let offline = variable("HF_HUB_OFFLINE");
        if offline.is_some_and(|value| {
            !["0", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str())
        }) {
            return Ok(Self { cache, api: None });
        }
        let mut builder = ApiBuilder::from_cache(cache.clone())
            .with_progress(progress)
            .with_retries(2)
            .with_token(variable("HF_TOKEN").or_else(|| Cache::from_env().token()));
        if let Some(endpoint) = variable("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build().map_err(|error| ModelError::Hub {
            id: "hub".into(),
            message: error.to_string(),
        })?;
        Ok(Self {
            cache,
            api: Some(api),
        })
    }

    /// The folder of a repository's files, after fetching those that are not in the cache yet. The hub is asked which commit the revision
    /// is; where it does not answer, the copy of an earlier time serves, and the second value says why.
    ///
    /// # Errors
    /// [`ModelError::Hub`] when there is no such repository, no permission or no connection, and no earlier copy.
    pub fn folder(&self, id: &HubId) -> Result<(PathBuf, Option<String>), ModelError> {
        let failed = |message: String| ModelError::Hub {
            id: id.name.clone(),
            message,
        };
        let named = |revision: &str| {
            Repo::with_revision(id.name.clone(), RepoType::Model, revision.to_owned())
        };
        let kept = || self.kept(&named(&id.revision));
        let Some(api) = &self.api else {
            return kept().map(|folder| (folder, None)).ok_or_else(|| {
                failed("is not in the cache, and HF_HUB_OFFLINE forbids to fetch it".into())
            });
        };
        let info = match api.repo(named(&id.revision)).info() {
            Ok(info) => info,
            Err(error) => {
                let why = format!(
                    "{error}; is the name right? Private and gated repositories need HF_TOKEN"
                );
                return match kept() {
                    Some(folder) => Ok((folder, Some(why))),
                    None => Err(failed(why)),
                };
            }
        };
        let names: Vec<String> = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect();
        let wanted = wanted(&names);
        if wanted.is_empty() {
            return Err(failed(format!(
                "holds nothing of a model or an adapter, only: {}",
                names.join(", ")
            )));
        }
        if !is_commit(&info.sha) {
            return Err(failed(format!(
                "the hub names the commit `{}`, expected 40 hexadecimal digits",
                info.sha.escape_debug()
            )));
        }
        let pinned = named(&info.sha);
        let folder = self.cache.repo(pinned.clone()).pointer_path(&info.sha);
        for name in wanted.iter().filter(|name| !folder.join(name).exists()) {
            fetch(api, &pinned, name, &info.sha)
                .map_err(|message| failed(format!("{name}: {message}")))?;
        }
        let reference = self.cache.repo(named(&id.revision)).create_ref(&info.sha);
        reference.map_err(|error| failed(format!("the cache cannot be written: {error}")))?;
        Ok((folder, None))
    }

    /// The folder of an earlier time.
    fn kept(&self, repo: &Repo) -> Option<PathBuf> {
        let cached = self.cache.repo(repo.clone());
        let configs = ["config.json", "adapter_config.json"];
        if is_commit(repo.revision()) {
            let folder = cached.pointer_path(repo.revision());
            let whole = configs.iter().any(|name| folder.join(name).exists());
            return whole.then_some(folder);
        }
        let file = configs.iter().find_map(|name| cached.get(name))?;
        file.parent().map(Path::to_path_buf)
    }
}

/// Whether a revision is a commit: what the hub calls one becomes part of paths here.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hex(revision)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Brings one file of a commit into the cache. What the hub says of it becomes part of paths, and is looked at first.
fn fetch(api: &Api, repo: &Repo, name: &str, commit: &str) -> Result<(), String> {
    let repo = api.repo(repo.clone());
    let about = api
        .metadata(&repo.url(name))
        .map_err(|error| error.to_string())?;
    if about.commit_hash() != commit || about.etag().is_empty() || !is_hex(about.etag()) {
        return Err(format!(
            "the hub answers with commit `{}` and digest `{}`, expected {commit} and hexadecimal digits",
            about.commit_hash().escape_debug(),
            about.etag().escape_debug()
        ));
    }
    let path = repo.download(name).map_err(|error| error.to_string())?;
    check(&path)
}

/// The files that are of use: those at the top of the repository, without weights in forms that are not read.
fn wanted(names: &[String]) -> Vec<&str> {
    let has_tensors = names.iter().any(|name| name == "adapter_model.safetensors");
    let names = names.iter().map(String::as_str);
    names
        .filter(|name| !name.contains(['/', '\\']) && !name.starts_with(['.', ' ']))
        .filter(|name| !name.starts_with(REPEATED))
        .filter(|name| {
            WANTED.iter().any(|end| name.ends_with(end)) || *name == ADAPTER_BIN && !has_tensors
        })
        .collect()
}

/// Whether a fetched file is whole: large files are kept under the digest of their content.
fn check(path: &Path) -> Result<(), String> {
    let blob = std::fs::canonicalize(path).map_err(|error| error.to_string())?;
    let name = blob
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if name.len() != 64 || !is_hex(&name) {
        return Ok(());
    }
    let mut file = std::fs::File::open(&blob).map_err(|error| error.to_string())?;
    let mut digest = Sha256::new();
    let mut part = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut part).map_err(|error| error.to_string())?;
        if length == 0 {
            break;
        }
        digest.update(&part[..length]);
    }
    let found: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == name {
        return Ok(());
    }
    // Neither the copy nor the link may be taken for whole the next time.
    std::fs::remove_file(path).ok();
    std::fs::remove_file(&blob).ok();
    Err(format!(
        "was damaged on the way (SHA-256 {found}); try again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories_are_told_from_paths() {
        let parse = |text: &str| text.parse::<HubId>();
        let id = parse("owner/name-1.5_b").unwrap();
        assert_eq!(
            (id.name.as_str(), id.revision.as_str()),
            ("owner/name-1.5_b", "main")
        );
        assert_eq!(parse("owner/name@refs/pr/7").unwrap().revision, "refs/pr/7");
        for wrong in [
            "",
            "/abs/path",
            "a/b/c",
            "../x",
            "./x",
            "a b",
            "a",
            "a/b@",
            "a/",
            "C:\\x",
            "a/b@..",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_of_no_use_or_with_tricky_names_are_left() {
        let names = [
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "adapter_model.bin",
            "consolidated.safetensors",
            "onnx/model.json",
            "../evil.json",
            ".gitattributes",
            "vocab.txt",
            "chat_template.jinja",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(
            wanted(&names),
            [
                "config.json",
                "model.safetensors",
                "adapter_model.bin",
                "vocab.txt",
                "chat_template.jinja"
            ]
        );
        let both = ["adapter_model.bin", "adapter_model.safetensors"].map(str::to_owned);
        assert_eq!(wanted(&both), ["adapter_model.safetensors"]);
    }
}
