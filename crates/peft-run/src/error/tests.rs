//! What is said of an error, and who is to blame for it, however it is wrapped.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use peft_core::causes;
use peft_train::RunError;

use super::*;

/// What a program makes of errors that it hands on.
#[derive(Debug)]
struct Wrapped(Box<dyn StdError + Send + Sync>);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a program was at work")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

fn absent() -> FileError {
    FileError::io("read", Path::new("a.json"))(io::Error::other("no such file"))
}

fn rank() -> PeftError {
    PeftError::Rank {
        site: "query".into(),
        rank: 0,
        limit: 8,
    }
}

fn interrupted() -> TrainError {
    let checkpoint = PathBuf::from("run/checkpoint-3");
    RunError::Interrupted {
        step: 3,
        checkpoint,
    }
    .into()
}

/// An error of each depth at which the settings can be to blame.
fn mistakes() -> Vec<Error> {
    let no_number = "rank = x".parse::<toml::Table>();
    vec![
        Error::Usage("give --data".into()),
        Error::UnknownAdapter {
            name: "b".into(),
            base: "base",
            known: vec!["a".into()],
        },
        no_number.expect_err("it is no TOML").into(),
        rank().into(),
        TrainError::from(rank()).into(),
        TrainError::from(RunError::Shorter { before: 3, now: 2 }).into(),
        Error::Watch(rank().into()),
        Error::Watch(Error::Usage("give --data".into()).into()),
    ]
}

#[test]
fn what_was_being_done_is_said_before_every_cause() {
    let error = Err::<(), _>(absent()).context("starting experts");
    let error = error.with_context(|| "adapter b".to_owned()).unwrap_err();
    assert_eq!(
        causes(&error),
        "adapter b: starting experts: cannot read a.json: no such file"
    );
    assert_eq!(error.innermost().to_string(), "cannot read a.json");
}

#[test]
fn an_error_of_a_crate_below_says_what_it_says_there() {
    for error in [
        Error::from(absent()),
        TrainError::from(absent()).into(),
        PeftError::from(absent()).into(),
        ModelError::from(absent()).into(),
        Error::Watch(absent().into()),
    ] {
        assert_eq!(causes(&error), "cannot read a.json: no such file");
    }
}

#[test]
fn mistakes_in_settings_are_known_through_whatever_they_are_wrapped_in() {
    for mistake in mistakes() {
        assert!(mistake.is_usage(), "{mistake:?}");
        let within = Err::<(), _>(mistake).context("line 3").unwrap_err();
        assert!(within.is_usage() && is_usage(&within), "{within:?}");
        let wrapped = Wrapped(within.into());
        assert!(is_usage(&wrapped), "{wrapped:?}");
        assert!(!is_interruption(&wrapped), "{wrapped:?}");
    }
    assert!(is_usage(&Wrapped(TrainError::from(rank()).into())));
}

#[test]
fn work_that_failed_is_no_mistake_in_settings() {
    for error in [
        Error::from(absent()),
        TrainError::from(absent()).into(),
        interrupted().into(),
        Error::Merge(MergeError::Differs {
            difference: 1.0,
            allowed: 0.1,
        }),
    ] {
        assert!(!error.is_usage(), "{error:?}");
        assert!(!is_usage(&Wrapped(error.into())));
    }
}

#[test]
fn an_interruption_is_known_through_whatever_it_is_wrapped_in() {
    let error = Err::<(), _>(interrupted()).context("training").unwrap_err();
    assert!(error.is_interruption() && is_interruption(&error));
    assert!(is_interruption(&Wrapped(error.into())));
    assert!(is_interruption(&Wrapped(interrupted().into())));
    assert!(!Error::from(absent()).is_interruption());
}

#[test]
fn an_adapter_that_is_not_there_is_said_with_those_that_are() {
    let error = |known: &[&str]| {
        let known = known.iter().map(ToString::to_string).collect();
        let error = Error::UnknownAdapter {
            name: "sts2".into(),
            base: "base",
            known,
        };
        error.to_string()
    };
    assert_eq!(
        error(&["sst2", "imdb"]),
        "no adapter named `sts2`; expected `base` or one of: sst2, imdb; did you mean `sst2`?"
    );
    assert_eq!(
        error(&[]),
        "no adapter named `sts2`; expected `base`, for no adapter was given"
    );
}
