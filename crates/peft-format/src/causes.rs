//! An error with its causes as one text.

use std::error::Error;

/// What an error says, and what its causes say that was not said yet: many errors show their cause themselves.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Told {
        #[error("cannot read it: {0}")]
        Shown(#[source] io::Error),
        #[error("cannot read it")]
        Silent(#[source] io::Error),
        #[error("{context}")]
        Above {
            context: &'static str,
            #[source]
            source: Box<Told>,
        },
    }

    #[test]
    fn each_cause_is_said_once_whether_or_not_the_error_shows_it() {
        let absent = || io::Error::other("no such file");
        assert_eq!(
            causes(&Told::Shown(absent())),
            "cannot read it: no such file"
        );
        assert_eq!(
            causes(&Told::Silent(absent())),
            "cannot read it: no such file"
        );
        let above = |source| Told::Above {
            context: "the adapter",
            source: Box::new(source),
        };
        for source in [Told::Shown(absent()), Told::Silent(absent())] {
            assert_eq!(
                causes(&above(source)),
                "the adapter: cannot read it: no such file"
            );
        }
    }
}
