//! Two commands that write to one place at once: the first is stopped in the midst of its work, the second runs, the first goes on. One of
//! them is refused, or what is left is what they leave one after the other; never a mixture.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use binary::contents::{Contents, contents, copy};
use binary::place::{LORA_DROP, Place};
use binary::{merge, owned, peft, signal, stdout, words};

/// Operations on the disk before which the first command is stopped: before and after it has its place, and in the midst of writing.
const MOMENTS: [u64; 3] = [0, 3, 9];
/// How long a command of the small model may take beside another one.
const PATIENCE: Duration = Duration::from_secs(120);

/// Commands that write to `out`, by name, in a place with adapters, a tuned model and a basis.
struct Writers {
    place: Place,
    commands: BTreeMap<&'static str, Vec<String>>,
    /// What is in `out` before.
    before: Option<&'static str>,
}

impl Writers {
    /// Those that make a folder or a file.
    fn of_folders() -> Self {
        let place = with_adapters(&["a", "b"]);
        merge(&place.model, &place.path("a"), &place.path("tuned"), stdout);
        let short = ["--max-steps", "2", "--batch-size", "8", "--overwrite"];
        let train = |more: &[&str]| place.training("out", &[&short[..], more].concat(), owned);
        let commands = BTreeMap::from([
            ("train", train(&[])),
            ("train full", train(&["--method", "full"])),
            ("train lora-drop", train(&LORA_DROP)),
            (
                "merge",
                command(
                    &place,
                    "merge --model MODEL --adapter @a --out @out --overwrite",
                ),
            ),
            (
                "convert",
                command(
                    &place,
                    "convert @a --to peft --model MODEL --out @out --overwrite",
                ),
            ),
            ("combine", command(&place, "combine @a @b --out @out")),
            (
                "extract",
                command(
                    &place,
                    "extract --base MODEL --tuned @tuned --rank 2 --out @out",
                ),
            ),
            (
                "resize",
                command(&place, "resize --model MODEL --tokens 600 --out @out"),
            ),
            ("build", command(&place, "recycle build @a @b --out @out")),
            (
                "predict",
                command(
                    &place,
                    "predict --model MODEL --adapter @a --data @valid.jsonl --out @out",
                ),
            ),
        ]);
        Self {
            place,
            commands,
            before: None,
        }
    }

    /// Those that change a basis.
    fn of_bases() -> Self {
        let place = with_adapters(&["a", "b", "c"]);
        stdout(&words(&command(&place, "recycle build @a @b --out @basis")));
        let commands = BTreeMap::from([
            ("add", command(&place, "recycle add @out @c")),
            ("remove", command(&place, "recycle remove @out a")),
            ("build", command(&place, "recycle build @b @c --out @out")),
        ]);
        Self {
            place,
            commands,
            before: Some("basis"),
        }
    }

    fn start_over(&self) {
        let out = self.place.path("out");
        let out = Path::new(&out);
        fs::remove_dir_all(out).ok();
        fs::remove_file(out).ok();
        if let Some(before) = self.before {
            copy(Path::new(&self.place.path(before)), out);
        }
    }

    fn found(&self) -> Contents {
        contents(Path::new(&self.place.path("out")))
    }

    /// What commands leave that succeed one after the other; `None` where one is refused.
    fn after(&self, names: &[&str]) -> Option<Contents> {
        self.start_over();
        let all = names.iter().all(|name| {
            let output = peft(&words(&self.commands[name]));
            output.status.success()
        });
        all.then(|| self.found())
    }

    /// Stops `first` in the midst of its work while every command runs, itself included.
    fn check(&self, first: &'static str) {
        let mut stopped = 0;
        for second in self.commands.keys() {
            for moment in MOMENTS {
                let story = format!("{first} stopped before operation {moment}, then {second}");
                self.start_over();
                let mut running = begin(&self.commands[first], moment);
                let is_stopped = wait_until_stopped(&mut running, &story);
                stopped += usize::from(is_stopped);
                let other = peft(&words(&self.commands[second])).status.success();
                if is_stopped {
                    assert!(signal(&running, "-CONT"), "{story}");
                }
                let one = running.wait().unwrap().success();
                let found = Some(self.found());
                let turns: &[&[&str]] = match (one, other) {
                    (true, false) => &[&[first]],
                    (false, true) => &[&[second]],
                    (true, true) => &[&[second, first], &[first, second]],
                    (false, false) => panic!("{story}: both were refused"),
                };
                let known = turns.iter().any(|turn| self.after(turn) == found);
                assert!(known, "{story}: a mixture, ended well: {one}, {other}");
            }
        }
        assert!(stopped >= self.commands.len(), "{stopped} were stopped");
    }
}

/// A place with adapters of one step.
fn with_adapters(names: &[&str]) -> Place {
    let place = Place::new();
    for (seed, name) in names.iter().enumerate() {
        let seed = seed.to_string();
        let how = ["--max-steps", "1", "--batch-size", "8", "--seed", &seed];
        place.training(name, &how, stdout);
    }
    place
}

/// The words of a command, with the model and the paths (`@name`) of a place.
fn command(place: &Place, line: &str) -> Vec<String> {
    let word = |word: &str| match word.strip_prefix('@') {
        Some(name) => place.path(name),
        None if word == "MODEL" => place.model.clone(),
        None => word.to_owned(),
    };
    line.split(' ').map(word).collect()
}

/// Starts a command that stops before one of its operations on the disk.
fn begin(args: &[String], moment: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_peft"))
        .args(args)
        .env("PEFT_FAULT", format!("stop:{moment}"))
        .env_remove("BURN_DEVICE")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until a process has stopped; `false` where it came to its end instead.
fn wait_until_stopped(running: &mut Child, story: &str) -> bool {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if running.try_wait().unwrap().is_some() {
            return false;
        }
        let id = running.id().to_string();
        let state = Command::new("ps")
            .args(["-o", "state=", "-p", &id])
            .output();
        if state.unwrap().stdout.trim_ascii().starts_with(b"T") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().unwrap();
    panic!("{story}: it neither stops nor ends");
}

#[test]
fn training_beside_every_other_verb() {
    let writers = Writers::of_folders();
    for first in ["train", "train full", "train lora-drop"] {
        writers.check(first);
    }
}

#[test]
fn verbs_beside_every_other_verb() {
    let writers = Writers::of_folders();
    for first in ["merge", "convert", "combine", "extract"] {
        writers.check(first);
    }
}

#[test]
fn further_verbs_beside_every_other_verb() {
    let writers = Writers::of_folders();
    for first in ["resize", "build", "predict"] {
        writers.check(first);
    }
}

#[test]
fn changes_of_a_basis_beside_one_another() {
    let writers = Writers::of_bases();
    for first in ["add", "remove"] {
        writers.check(first);
    }
}
