//! Hostile variations of the committed inputs, the same at every run: each is read or refused within seconds, and all of a target within a
//! gigabyte of memory.
//!
//! Every target runs in a process of its own, which an abort ends with the number of the input that caused it.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "what a process was at is the report of its end"
)]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Variations for each target.
const INPUTS: usize = 300;
/// What one input may take, in a build that is optimised for its own compilation.
const LONGEST: Duration = Duration::from_secs(10);
/// KiB that a process may have held at most.
const MOST: u64 = 1 << 20;
/// Bytes of an input.
const LENGTH: usize = 1 << 16;

/// What makes readers work: numbers of every size, and nesting, doubling and endless loops of templates.
const TOKENS: &[&str] = &[
    "0",
    "-1",
    "1e308",
    "99999999999999999999",
    "18446744073709551615",
    "null",
    "NaN",
    "\"\\ud800\"",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    "(((((((((((((((((((((((((",
    "\"\"\"\"",
    "\r\n\r\n",
    "\u{feff}",
    "\0\0\0\0\0\0\0\0",
    "..|(a+)+$",
    "{% for a in range(1000000) %}{% for b in range(1000000) %}",
    "{% set a = a ~ a %}",
    "{{ 'a' * 100000000 }}",
    "{{ messages * 1000000 }}",
    "{% if a %}{% elif b %}",
    "{{ m.content | indent(100000000) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% endfor %}",
    "{{ range(100000000) | list }}",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [word, target] if word == "--target" => one(target),
        _ => all(),
    }
}

/// Every target in a process of its own.
fn all() -> ExitCode {
    let program = std::env::current_exe().expect("this program is a file");
    let mut failed = false;
    for (target, _) in peft_fuzz::TARGETS {
        let run = Command::new(&program).args(["--target", target]).status();
        if !run.is_ok_and(|status| status.success()) {
            eprintln!("FAILED: {target}");
            failed = true;
        }
    }
    if failed {
        return ExitCode::FAILURE;
    }
    println!("test result: ok. {} targets", peft_fuzz::TARGETS.len());
    ExitCode::SUCCESS
}

/// The variations of one target.
fn one(target: &str) -> ExitCode {
    let (_, run) = peft_fuzz::TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let seeds = seeds(target);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut slowest = Duration::ZERO;
    for number in 0..INPUTS {
        let input = varied(&seeds, &mut random);
        let begun = Instant::now();
        let end = std::panic::catch_unwind(|| run(&input));
        let took = begun.elapsed();
        slowest = slowest.max(took);
        if end.is_err() || took > LONGEST {
            let kept = std::env::temp_dir().join(format!("{target}-{number}"));
            std::fs::write(&kept, &input).expect("the temporary folder is writable");
            eprintln!(
                "{target}: input {number} took {took:?}; it is in {}",
                kept.display()
            );
            return ExitCode::FAILURE;
        }
    }
    let held = peak();
    eprintln!("{target}: {INPUTS} inputs, slowest {slowest:?}, memory {held:?} KiB");
    match held {
        Some(held) if held > MOST => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let files = std::fs::read_dir(folder).expect("there are seeds");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("a file can be read");
    paths.into_iter().map(read).collect()
}

/// An input of one or two seeds, changed in one to six places.
fn varied(seeds: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len().min(at + 64));
        match random.random_range(0..7) {
            0 => input.truncate(at),
            1 if end > at => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].repeat(random.random_range(2..2000));
                drop(input.splice(at..at, piece));
            }
            4 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let cut = random.random_range(0..=other.len());
                drop(input.splice(at.., other[cut..].iter().copied()));
            }
            5 => {
                let token = TOKENS[random.random_range(0..TOKENS.len())];
                let piece = token.repeat(random.random_range(1..20));
                drop(input.splice(at..at, piece.into_bytes()));
            }
            _ => number(&mut input, at, random),
        }
        input.truncate(LENGTH);
    }
    input
}

/// Puts another number in the place of the next one, in letters or bytes.
fn number(input: &mut Vec<u8>, from: usize, random: &mut ChaCha8Rng) {
    let Some(at) = input[from..].iter().position(u8::is_ascii_digit) else {
        let bytes: [u8; 4] = random.random();
        let end = input.len().min(from + 4);
        input[from..end].copy_from_slice(&bytes[..end - from]);
        return;
    };
    let at = from + at;
    let digits = input[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let end = at + digits.count();
    let other = TOKENS[random.random_range(0..6)];
    drop(input.splice(at..end, other.bytes()));
}

/// KiB that this process has held at most, where the system says so.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
