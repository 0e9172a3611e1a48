//! Runs that are killed, interrupted or refused at random moments: the folder they leave leads to the same final bytes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(
    clippy::print_stderr,
    reason = "which moments were tried is the report"
)]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use binary::contents::{Contents, contents, copy};
use binary::place::Place;
use binary::{failure, owned, peft, spawn, stdout, words};
use serde_json::Value;

/// Kinds of runs, by what they add to the command.
const KINDS: [(&str, &[&str]); 5] = [
    (
        "accumulation and patience",
        &[
            "--set",
            "train.accumulation=2",
            "--set",
            "train.patience=3",
            "--set",
            "train.eval_every=3",
        ],
    ),
    (
        "the whole model",
        &["--method", "full", "--set", "train.lr=1e-3"],
    ),
    (
        "lora-drop",
        &[
            "--method",
            "lora-drop",
            "--targets",
            "all-linear",
            "--set",
            "prune.keep=0.5",
            "--set",
            "prune.sample=0.5",
        ],
    ),
    (
        "a chain of merges",
        &[
            "--targets",
            "all-linear",
            "--set",
            "procedures.chain.every=7",
            "--set",
            "procedures.chain.warmup=2",
        ],
    ),
    ("over another run", &["--alpha", "64", "--overwrite"]),
];

/// A stream of numbers that differs from run to run: moments are not to be the same every time.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(now.unwrap().subsec_nanos().into())
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What was done to runs, by its name.
type Tally = BTreeMap<&'static str, usize>;

struct Broken<'a> {
    place: &'a Place,
    out: PathBuf,
    more: &'a [&'a str],
    /// Files of an unbroken run, and how long it took.
    end: Contents,
    took: Duration,
    /// The folder that the run finds.
    before: PathBuf,
}

impl<'a> Broken<'a> {
    fn new(place: &'a Place, before: &str, more: &'a [&'a str]) -> Self {
        let mut run = Self {
            place,
            out: place.path("run").into(),
            more,
            end: Contents::new(),
            took: Duration::ZERO,
            before: place.path(before).into(),
        };
        run.start_over();
        let since = Instant::now();
        stdout(&words(&run.args()));
        run.took = since.elapsed();
        run.end = contents(&run.out);
        run
    }

    fn args(&self) -> Vec<String> {
        args(self.place, self.more)
    }

    /// The arguments of a run that goes on.
    fn resuming(&self) -> Vec<String> {
        let mut args = self.args();
        args.retain(|arg| arg != "--overwrite");
        args.push("--resume".into());
        args
    }

    fn start_over(&self) {
        fs::remove_dir_all(&self.out).ok();
        copy(&self.before, &self.out);
    }

    /// Ends a run at some moment, goes on, and compares.
    fn one(&self, moments: &mut Moments, tally: &mut Tally) -> String {
        self.start_over();
        let mut story = String::new();
        let breaks = 1 + moments.below(4);
        for at in 0..breaks {
            let args = if at == 0 {
                self.args()
            } else {
                self.resuming()
            };
            let longest = u64::try_from(self.took.as_micros()).unwrap();
            let delay = Duration::from_micros(moments.below(longest));
            let signal = ["-KILL", "-KILL", "-KILL", "-INT", "-TERM"][moments.below(5) as usize];
            if self.broken(&args, delay, signal) {
                *tally.entry(signal).or_default() += 1;
            }
            story.push_str(&format!("{signal} after {} ms; ", delay.as_millis()));
            self.assert_consistent(&story);
            if moments.below(3) == 0 && self.out.join("run_state.json").exists() {
                let resuming = self.resuming();
                let other = [&words(&resuming)[..], &["--rank", "3"]].concat();
                assert_eq!(failure(&other).0, 2, "{story}");
                *tally.entry("refused").or_default() += 1;
                story.push_str("refused; ");
            }
        }
        let output = peft(&words(&self.resuming()));
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{story}{said}");
            // Nothing of this run was begun: the folder is as the run found it.
            story.push_str("not begun; ");
            stdout(&words(&self.args()));
        }
        let end = contents(&self.out);
        for name in self.end.keys().chain(end.keys()) {
            assert!(
                self.end.get(name) == end.get(name),
                "{story}: {name} differs from that of an unbroken run"
            );
        }
        story
    }

    /// Whether the run was there to be broken off.
    fn broken(&self, args: &[String], delay: Duration, signal: &str) -> bool {
        let mut child = spawn(&words(args), Stdio::null);
        std::thread::sleep(delay);
        let was_there = binary::signal(&child, signal);
        !child.wait().unwrap().success() && was_there
    }

    /// An adapter that can be read is the one that the settings beside it describe.
    fn assert_consistent(&self, story: &str) {
        let read = |name: &str| fs::read_to_string(self.out.join(name)).ok();
        let (Some(adapter), Some(settings)) = (read("adapter_config.json"), read("run.toml"))
        else {
            return;
        };
        let adapter: Value = serde_json::from_str(&adapter).unwrap();
        let settings: toml::Table = settings.parse().unwrap();
        let set = |name: &str| settings["adapter"].get(name).map(toml::Value::to_string);
        let set = |name: &str, usual: f64| set(name).map_or(usual, |value| value.parse().unwrap());
        // A chain's rank and alpha grow together.
        let scale = adapter["lora_alpha"].as_f64().unwrap() / adapter["r"].as_f64().unwrap();
        assert_eq!(scale, set("alpha", 16.0) / set("rank", 8.0), "{story}");
    }
}

fn args(place: &Place, more: &[&str]) -> Vec<String> {
    let how = ["--batch-size", "8", "--epochs", "3", "--lr", "5e-3"];
    let every = ["--set", "train.save_every=1", "--set", "train.log_every=3"];
    place.judged("run", &[&how[..], &every, more].concat(), owned)
}

/// Breaks runs of every kind in turn until each was tried twice and so many of all were killed.
fn try_moments(kills: usize) {
    let place = Place::new();
    let other = args(&place, &["--alpha", "8", "--max-steps", "4"]);
    stdout(&words(&other));
    fs::rename(place.path("run"), place.path("other")).unwrap();
    let mut moments = Moments::new();
    let runs: Vec<Broken<'_>> = KINDS
        .iter()
        .map(|(_, more)| {
            let before = if more.contains(&"--overwrite") {
                "other"
            } else {
                "nothing"
            };
            Broken::new(&place, before, more)
        })
        .collect();
    let mut tallies = vec![Tally::new(); KINDS.len()];
    let killed = |tallies: &[Tally]| {
        tallies
            .iter()
            .filter_map(|of| of.get("-KILL"))
            .sum::<usize>()
    };
    for at in 0.. {
        let kind = at % KINDS.len();
        if at >= 2 * KINDS.len() && killed(&tallies) >= kills {
            break;
        }
        *tallies[kind].entry("runs").or_default() += 1;
        let story = runs[kind].one(&mut moments, &mut tallies[kind]);
        eprintln!("{}: {story}same bytes", KINDS[kind].0);
    }
    for ((kind, _), tally) in KINDS.iter().zip(&tallies) {
        eprintln!("{kind}: {tally:?}");
    }
}

#[test]
fn a_run_broken_at_any_moment_ends_with_the_bytes_of_an_unbroken_one() {
    try_moments(1);
}

#[test]
#[ignore = "takes many minutes: cargo xtask torture"]
fn so_it_does_after_a_thousand_kills() {
    try_moments(1000);
}
