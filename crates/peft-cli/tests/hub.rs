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
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secret";

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A hub with one private repository, `owner/tiny`.
struct LocalHub {
    endpoint: String,
    files: Files,
    asked: Arc<Mutex<Vec<String>>>,
    /// Files arrive with their last byte changed.
    damages: Arc<AtomicBool>,
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
        let hub = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            files: Arc::new(Mutex::new(files)),
            asked: Arc::default(),
            damages: Arc::default(),
        };
        let (files, asked, damages) = (hub.files.clone(), hub.asked.clone(), hub.damages.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, asked, damages) = (files.clone(), asked.clone(), damages.clone());
                std::thread::spawn(move || {
                    answer(
                        stream.unwrap(),
                        &files,
                        &asked,
                        damages.load(Ordering::Relaxed),
                    )
                });
            }
        });
        hub
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
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

fn answer(mut stream: TcpStream, files: &Files, asked: &Mutex<Vec<String>>, damages: bool) {
    let (path, start, allowed) = request(&stream);
    if path.is_empty() {
        return;
    }
    asked.lock().unwrap().push(path.clone());
    let files = files.lock().unwrap().clone();
    let (status, headers, body) = if !allowed {
        ("401 Unauthorized", String::new(), b"private".to_vec())
    } else if path == "/api/models/owner/tiny/revision/main" {
        let siblings = files
            .keys()
            .map(|name| serde_json::json!({"rfilename": name}));
        let info = serde_json::json!({"sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()});
        (
            "200 OK",
            "Content-Type: application/json\r\n".into(),
            info.to_string().into_bytes(),
        )
    } else {
        let name = path.strip_prefix(&format!("/owner/tiny/resolve/{COMMIT}/"));
        match name.and_then(|name| files.get(name)) {
            None => ("404 Not Found", String::new(), vec![]),
            Some(bytes) => {
                let (status, headers, mut body) = part(bytes, start);
                if let Some(last) = body.last_mut().filter(|_| damages && start.is_some()) {
                    *last ^= 1;
                }
                (status, headers, body)
            }
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

/// The file from `start` on, or one byte of it, with what the hub says of files.
fn part(bytes: &[u8], start: Option<usize>) -> (&'static str, String, Vec<u8>) {
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = match start {
        Some(start) => &bytes[start..],
        None => &bytes[..bytes.len().min(1)],
    };
    let headers = format!(
        "X-Repo-Commit: {COMMIT}\r\nETag: \"{digest}\"\r\nContent-Range: bytes 0-0/{}\r\n",
        bytes.len()
    );
    ("206 Partial Content", headers, kept.to_vec())
}

fn eval(place: &Place, home: &Path, variables: &[(&str, &str)]) -> std::process::Output {
    let home = home.to_str().unwrap();
    let data = place.path("valid.jsonl");
    let args = [
        "eval",
        "--task",
        "causal-lm",
        "--model",
        "owner/tiny",
        "--data",
        &data,
        "--max-length",
        "32",
        "--json",
    ];
    peft_in(&args, &[variables, &[("HF_HOME", home)]].concat())
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
    hub.damages.store(true, Ordering::Relaxed);
    let online = [endpoint, ("HF_TOKEN", TOKEN)];
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("damaged on the way"), "{error}");
    hub.damages.store(false, Ordering::Relaxed);
    assert!(
        eval(&place, home.path(), &online).status.success(),
        "nothing damaged was kept"
    );
    let home = tempfile::tempdir().unwrap();
    let only = BTreeMap::from([("README.md".to_owned(), vec![1])]);
    *hub.files.lock().unwrap() = only;
    let (_, error) = failed(&eval(&place, home.path(), &online));
    assert!(error.contains("README.md"), "{error}");
}
