//! Every verb that writes, ended before each of its operations on the disk, and with a disk that is full from there on: what is left is the
//! old state, the new one, or called unfinished, and the next try ends as an unbroken one, with nothing left beside it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(
    clippy::print_stderr,
    reason = "how many operations were tried is the report"
)]

mod binary;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

use binary::contents::{contents, copy};
use binary::place::{LORA_DROP, Place};
use binary::seen::{adapter, look, model};
use binary::{owned, peft, peft_in, stdout, words};

/// A command that writes below one folder.
struct Command {
    place: Place,
    /// What the command finds in its place, by a name in the root of [`Place`].
    before: Option<&'static str>,
    /// Where it writes.
    out: String,
    args: Vec<String>,
    /// Whether it is a run of training, which goes on with `--resume`.
    trains: bool,
}

impl Command {
    fn start_over(&self) {
        let out = Path::new(&self.out);
        fs::remove_dir_all(out).ok();
        fs::remove_file(out).ok();
        if let Some(before) = self.before {
            copy(Path::new(&self.place.path(before)), out);
        }
    }

    fn run(&self, fault: &str) -> Output {
        peft_in(&words(&self.args), &[("PEFT_FAULT", fault)])
    }

    /// What a user does after a command was broken off.
    fn again(&self, story: &str) {
        if !self.trains {
            let output = peft(&words(&self.args));
            if output.status.success() {
                return;
            }
            // Verbs without --overwrite say what to do.
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            if error.contains("is unfinished") {
                fs::remove_dir_all(&self.out).unwrap();
                stdout(&words(&self.args));
            } else {
                // The command had come to its end, and does not do its work twice.
                let refused = error.contains("exists already") || error.contains("adapter `b`");
                assert!(refused, "{story}: {error}");
            }
            return;
        }
        let mut resuming = self.args.clone();
        resuming.retain(|arg| arg != "--overwrite");
        resuming.push("--resume".into());
        let output = peft(&words(&resuming));
        if !output.status.success() {
            // Nothing of this run was begun: the folder is as the run found it.
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{story}: {error}");
            stdout(&words(&self.args));
        }
    }

    /// Breaks the command off before every operation; returns how many there are.
    fn check(&self, kind: &str, seen: impl Fn(&str) -> Vec<Option<String>>) -> u64 {
        self.start_over();
        let old = seen(&self.out);
        stdout(&words(&self.args));
        let end = contents(Path::new(&self.out));
        let new = seen(&self.out);
        for at in 0.. {
            let story = format!("{:?} {kind}:{at}", self.args);
            self.start_over();
            let output = self.run(&format!("{kind}:{at}"));
            if output.status.success() {
                assert!(
                    kind == "full" || contents(Path::new(&self.out)) == end,
                    "{story}"
                );
                return at;
            }
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            match kind {
                "kill" => assert_eq!(output.status.signal(), Some(6), "{story}: {error}"),
                _ => assert!(
                    output.status.code() == Some(1) && error.contains("no space left"),
                    "{story}: {error}"
                ),
            }
            for (index, found) in seen(&self.out).into_iter().enumerate() {
                let is_known = found.is_none() || found == old[index] || found == new[index];
                assert!(
                    is_known,
                    "{story}: look {index} saw neither the old nor the new: {found:?}"
                );
            }
            self.again(&story);
            let found = contents(Path::new(&self.out));
            for name in end.keys().chain(found.keys()) {
                assert!(
                    end.get(name) == found.get(name),
                    "{story}: {name} differs from that of an unbroken command"
                );
            }
        }
        unreachable!("a command has an end")
    }

    /// Both kinds of faults.
    fn check_both(&self, seen: impl Fn(&str) -> Vec<Option<String>>) {
        let kills = self.check("kill", &seen);
        let full = self.check("full", &seen);
        assert!(kills > 2 && full > 0, "{:?}: {kills} {full}", self.args);
        eprintln!("{:?}: {kills} kills, {full} full disks", &self.args[..2]);
    }
}

/// A short run of training, over what is in its place.
fn training(before: Option<&'static str>, more: &[&str]) -> Command {
    let place = Place::new();
    if let Some(before) = before {
        let old = ["--alpha", "8", "--max-steps", "2", "--batch-size", "8"];
        place.judged(before, &old, stdout);
    }
    let every = ["--set", "train.save_every=2", "--set", "train.log_every=2"];
    let how = ["--batch-size", "8", "--max-steps", "3", "--lr", "5e-3"];
    let over: &[&str] = if before.is_some() {
        &["--overwrite"]
    } else {
        &[]
    };
    let args = place.judged("out", &[&how[..], &every, over, more].concat(), owned);
    Command {
        out: place.path("out"),
        before,
        args,
        trains: true,
        place,
    }
}

fn check_training(before: Option<&'static str>, more: &[&str]) {
    let command = training(before, more);
    command.check_both(|out| adapter(&command.place, out));
}

#[test]
fn training_an_adapter() {
    check_training(None, &[]);
}

#[test]
fn training_over_another_adapter() {
    check_training(Some("old"), &["--alpha", "64"]);
}

#[test]
fn training_the_whole_model() {
    let command = training(None, &["--method", "full"]);
    command.check_both(|out| model(&command.place, out));
}

#[test]
fn lora_drops_procedure() {
    // Twice as many operations as any other; a full disk is met by the same code in both of its parts.
    let command = training(None, &LORA_DROP);
    let kills = command.check("kill", |out| adapter(&command.place, out));
    assert!(kills > 100, "{kills}");
}

#[test]
fn a_chain_of_merges() {
    let every = "procedures.chain.every=2";
    let warmup = "procedures.chain.warmup=1";
    check_training(
        None,
        &["--targets", "all-linear", "--set", every, "--set", warmup],
    );
}

/// The words of a command.
fn line(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A verb that makes a folder or a file of the adapters `a` and `b`, or of the model.
fn verb(before: Option<&'static str>, args: impl Fn(&Place, &str) -> Vec<String>) -> Command {
    let place = Place::new();
    for (name, seed) in [("a", "1"), ("b", "2")] {
        let how = ["--max-steps", "2", "--batch-size", "8", "--seed", seed];
        place.training(name, &how, stdout);
    }
    let out = place.path("out");
    Command {
        args: args(&place, &out),
        before,
        out,
        trains: false,
        place,
    }
}

#[test]
fn merging_over_another_model() {
    let command = verb(Some("merged"), |place, out| {
        let (a, b, merged) = (place.path("a"), place.path("b"), place.path("merged"));
        binary::merge(&place.model, &b, &merged, stdout);
        let over = [&place.model, &a, out].map(str::to_owned);
        let [model, adapter, out] = &over;
        let mut args = binary::merge(model, adapter, out, owned);
        args.push("--overwrite".into());
        args
    });
    command.check_both(|out| model(&command.place, out));
}

#[test]
fn converting_over_another_adapter() {
    let command = verb(Some("b"), |place, out| {
        let a = place.path("a");
        owned(&[
            "convert",
            &a,
            "--to",
            "peft",
            "--model",
            &place.model,
            "--out",
            out,
            "--overwrite",
        ])
    });
    command.check_both(|out| adapter(&command.place, out));
}

#[test]
fn combining_and_extracting() {
    let combine = verb(None, |place, out| {
        let [a, b] = ["a", "b"].map(|name| format!("{}=0.5", place.path(name)));
        owned(&["combine", &a, &b, "--out", out])
    });
    combine.check_both(|out| adapter(&combine.place, out));
    let extract = verb(None, |place, out| {
        let (a, tuned) = (place.path("a"), place.path("tuned"));
        binary::merge(&place.model, &a, &tuned, stdout);
        owned(&[
            "extract",
            "--base",
            &place.model,
            "--tuned",
            &tuned,
            "--rank",
            "2",
            "--out",
            out,
        ])
    });
    extract.check_both(|out| adapter(&extract.place, out));
}

#[test]
fn resizing_a_vocabulary() {
    let command = verb(None, |place, out| {
        let model = &place.model;
        line(&format!("resize --model {model} --tokens 600 --out {out}"))
    });
    command.check_both(|out| model(&command.place, out));
}

#[test]
fn writing_predictions() {
    let command = verb(None, |place, out| {
        let (a, data) = (place.path("a"), place.path("valid.jsonl"));
        owned(&[
            "predict",
            "--model",
            &place.model,
            "--adapter",
            &a,
            "--data",
            &data,
            "--out",
            out,
        ])
    });
    command.check_both(|out| vec![fs::read_to_string(out).ok()]);
}

#[test]
fn recycling() {
    let basis = |out: &str| vec![look(&["recycle", "info", out, "--json"])];
    let build = verb(None, |place, out| {
        let (a, b) = (place.path("a"), place.path("b"));
        owned(&["recycle", "build", &a, &b, "--out", out])
    });
    build.check_both(basis);
    let built = |place: &Place, members: &[&str]| {
        let members: Vec<String> = members.iter().map(|name| place.path(name)).collect();
        let out = place.path("basis");
        let args = [
            &["recycle", "build"],
            &words(&members)[..],
            &["--out", &out],
        ]
        .concat();
        stdout(&args);
    };
    let add = verb(Some("basis"), |place, out| {
        built(place, &["a"]);
        owned(&["recycle", "add", out, &place.path("b")])
    });
    add.check_both(basis);
    let remove = verb(Some("basis"), |place, out| {
        built(place, &["a", "b"]);
        owned(&["recycle", "remove", out, "b"])
    });
    remove.check_both(basis);
}

#[test]
fn planning_and_plotting() {
    let read = |out: &str, name: &str| vec![fs::read_to_string(Path::new(out).join(name)).ok()];
    let plan = verb(Some("empty"), |place, out| {
        fs::create_dir(place.path("empty")).unwrap();
        let (model, a) = (&place.model, place.path("a"));
        line(&format!(
            "prune --model {model} --adapter {a} --score parameters --keep 0.5 --out {out}/plan.json"
        ))
    });
    plan.check_both(|out| read(out, "plan.json"));
    let plot = verb(None, |place, out| {
        line(&format!("plot {} --out {out}", place.path("a")))
    });
    plot.check_both(|out| read(out, "curves.svg"));
}
