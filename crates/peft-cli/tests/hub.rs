//! Repositories by name: the real client against a hub on this machine that speaks its protocol.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use binary::decoder::Place;
use binary::{failed, peft_in};
use serde_json::json;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secret";

/// A hub with one private repository, `owner/tiny`, and how it behaves.
struct LocalHub {
    endpoint: String,
    state: Arc<State>,
}

struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    /// Files arrive with their last byte changed.
    damages: AtomicBool,
    /// What it calls the commit, and the digest of every file where that is not their own.
    commit: Mutex<String>,
    digest: Mutex<Option<String>>,
}

impl LocalHub {
    fn new(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            files: Mutex::new(files),
            asked: Mutex::default(),
            damages: AtomicBool::new(false),
            commit: Mutex::new(COMMIT.to_owned()),
            digest: Mutex::default(),
        });
        let hub = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            state: state.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = state.clone();
                std::thread::spawn(move || answer(stream.unwrap(), &state));
            }
        });
        hub
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

/// One request: its path, and the two headers that matter.
fn request(stream: &TcpStream) -> (String, Option<usize>, bool) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut start, mut allowed) = (None, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            let only_size = range == "0-0";
            start = (!only_size).then(|| range.trim_end_matches('-').parse().unwrap());
        }
        allowed |= line == format!("authorization: bearer {TOKEN}");
    }
    (path, start, allowed)
}

fn answer(mut stream: TcpStream, state: &State) {
    let (path, start, allowed) = request(&stream);
    if path.is_empty() {
        return;
    }
    state.asked.lock().unwrap().push(path.clone());
    let (status, headers, body) = if allowed {
        found(&path, start, state)
    } else {
        ("401 Unauthorized", String::new(), b"private".to_vec())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

fn found(path: &str, start: Option<usize>, state: &State) -> (&'static str, String, Vec<u8>) {
    let files = state.files.lock().unwrap().clone();
    let commit = state.commit.lock().unwrap().clone();
    let revisions = ["main", COMMIT].map(|name| format!("/api/models/owner/tiny/revision/{name}"));
    if revisions.iter().any(|revision| revision == path) {
        let siblings = files.keys().map(|name| json!({"rfilename": name}));
        let info = json!({"sha": commit, "siblings": siblings.collect::<Vec<_>>()});
        let kind = "Content-Type: application/json\r\n".to_owned();
        return ("200 OK", kind, info.to_string().into_bytes());
    }
    let name = path.strip_prefix(&format!("/owner/tiny/resolve/{COMMIT}/"));
    let Some(bytes) = name.and_then(|name| files.get(name)) else {
        return ("404 Not Found", String::new(), vec![]);
    };
    let own: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let digest = state.digest.lock().unwrap().clone().unwrap_or(own);
    // One byte of the file, for its size; or all from a place on.
    let mut kept = match start {
        Some(start) => bytes[start..].to_vec(),
        None => bytes[..bytes.len().min(1)].to_vec(),
    };
    if start.is_some() && state.damages.load(Ordering::Relaxed) {
        *kept.last_mut().unwrap() ^= 1;
    }
    let headers = format!(
        "X-Repo-Commit: {commit}\r\nETag: \"{digest}\"\r\nContent-Range: bytes 0-0/{}\r\n",
        bytes.len()
    );
    ("206 Partial Content", headers, kept)
}

/// `peft eval` of a repository.
fn eval_of(
    id: &str,
    place: &Place,
    home: &Path,
    variables: &[(&str, &str)],
) -> std::process::Output {
    let home = home.to_str().unwrap();
    let data = place.path("valid.jsonl");
    let args = [
        "eval",
        "--task",
        "causal-lm",
        "--model",
        id,
        "--data",
        &data,
        "--max-length",
        "32",
        "--json",
    ];
    peft_in(&args, &[variables, &[("HF_HOME", home)]].concat())
}

fn eval(place: &Place, home: &Path, variables: &[(&str, &str)]) -> std::process::Output {
    eval_of("owner/tiny", place, home, variables)
}

#[test]
fn a_model_is_fetched_once_used_from_the_cache_and_offline() {
    let place = Place::new();
    let hub = LocalHub::new(Path::new(&place.path("model")));
    let home = tempfile::tempdir().unwrap();
    let online = [("HF_ENDPOINT", hub.endpoint.as_str()), ("HF_TOKEN", TOKEN)];
    let first = eval(&place, home.path(), &online);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let asked = hub.asked();
    assert!(
        asked.iter().any(|path| path.ends_with("model.safetensors")),
        "{asked:?}"
    );
    let again = eval(&place, home.path(), &online);
    assert!(again.status.success());
    assert_eq!(
        hub.asked(),
        ["/api/models/owner/tiny/revision/main"],
        "only the commit"
    );
    let scores = |output: &std::process::Output| {
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        value["loss"].clone()
    };
    assert_eq!(scores(&first), scores(&again));
    let offline = eval(&place, home.path(), &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(scores(&first), scores(&offline));
    assert!(hub.asked().is_empty());
    // A hub that does not answer: the copy serves, and that is said.
    let gone = eval(
        &place,
        home.path(),
        &[("HF_ENDPOINT", "http://127.0.0.1:9")],
    );
    assert_eq!(scores(&first), scores(&gone));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("earlier copy"));
}

#[test]
fn a_run_keeps_the_name_of_the_repository_and_its_adapter_too() {
    let place = Place::new();
    let hub = LocalHub::new(Path::new(&place.path("model")));
    let home = tempfile::tempdir().unwrap();
    let (train, out) = (place.path("train.jsonl"), place.path("run"));
    let fixed = [
        "train",
        "--task",
        "causal-lm",
        "--model",
        "owner/tiny",
        "--train",
        &train,
    ];
    let args = [
        &fixed[..],
        &["--out", &out, "--max-steps", "1", "--max-length", "32"],
    ]
    .concat();
    let home = home.path().to_str().unwrap();
    let variables = [
        ("HF_HOME", home),
        ("HF_ENDPOINT", &hub.endpoint),
        ("HF_TOKEN", TOKEN),
    ];
    let output = peft_in(&args, &variables);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config = std::fs::read_to_string(format!("{out}/adapter_config.json")).unwrap();
    assert!(
        config.contains(&format!("\"revision\": \"{COMMIT}\"")),
        "{config}"
    );
    let run = std::fs::read_to_string(format!("{out}/run.toml")).unwrap();
    assert!(run.contains("model = \"owner/tiny\""), "{run}");
    let config = std::fs::read_to_string(format!("{out}/adapter_config.json")).unwrap();
    assert!(
        config.contains("\"base_model_name_or_path\": \"owner/tiny\""),
        "{config}"
    );
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_what_to_do() {
    let place = Place::new();
    let hub = LocalHub::new(Path::new(&place.path("model")));
    let home = tempfile::tempdir().unwrap();
    let endpoint = ("HF_ENDPOINT", hub.endpoint.as_str());
    let (_, error) = failed(&eval(&place, home.path(), &[endpoint]));
    assert!(
        error.contains("HF_TOKEN") && error.contains("owner/tiny"),
        "{error}"
    );
    let (_, error) = failed(&eval(&place, home.path(), &[("HF_HUB_OFFLINE", "1")]));
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    hub.state.damages.store(true, Ordering::Relaxed);
    let online = [endpoint, ("HF_TOKEN", TOKEN)];
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("damaged on the way"), "{error}");
    hub.state.damages.store(false, Ordering::Relaxed);
    assert!(
        eval(&place, home.path(), &online).status.success(),
        "nothing damaged was kept"
    );
    let home = tempfile::tempdir().unwrap();
    let only = BTreeMap::from([("README.md".to_owned(), vec![1])]);
    *hub.state.files.lock().unwrap() = only;
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("README.md"), "{error}");
}

#[test]
fn files_that_python_fetched_are_not_fetched_again_and_a_commit_is_found_offline() {
    let place = Place::new();
    let hub = LocalHub::new(Path::new(&place.path("model")));
    let home = tempfile::tempdir().unwrap();
    // As `huggingface_hub` leaves it: the branch names the commit, and no file names the commit itself.
    let cache = home.path().join("hub/models--owner--tiny");
    let snapshot = cache.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(cache.join("refs")).unwrap();
    std::fs::write(cache.join("refs/main"), COMMIT).unwrap();
    for (name, bytes) in hub.state.files.lock().unwrap().iter() {
        std::fs::write(snapshot.join(name), bytes).unwrap();
    }
    let online = [("HF_ENDPOINT", hub.endpoint.as_str()), ("HF_TOKEN", TOKEN)];
    assert!(eval(&place, home.path(), &online).status.success());
    assert_eq!(hub.asked(), ["/api/models/owner/tiny/revision/main"]);
    let pinned = format!("owner/tiny@{COMMIT}");
    let output = eval_of(&pinned, &place, home.path(), &[("HF_HUB_OFFLINE", "1")]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = eval_of(&pinned, &place, home.path(), &online);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The token of a login, where the cache is elsewhere.
    std::fs::write(home.path().join("token"), TOKEN).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().to_str().unwrap();
    let login = [
        ("HF_ENDPOINT", hub.endpoint.as_str()),
        ("HF_HUB_CACHE", elsewhere),
    ];
    let output = eval(&place, home.path(), &login);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_a_hub_says_never_becomes_a_path_outside_the_cache() {
    let place = Place::new();
    let hub = LocalHub::new(Path::new(&place.path("model")));
    let home = tempfile::tempdir().unwrap();
    let online = [("HF_ENDPOINT", hub.endpoint.as_str()), ("HF_TOKEN", TOKEN)];
    *hub.state.digest.lock().unwrap() = Some("../../../../evil".into());
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("digest `../../../../evil`"), "{error}");
    *hub.state.commit.lock().unwrap() = "../../../evil".into();
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("the commit `../../../evil`"), "{error}");
    assert!(!home.path().join("evil").exists() && !home.path().join("hub/evil").exists());
}
