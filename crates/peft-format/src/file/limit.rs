//! How much of memory and time a foreign file may ask for: each bound in one place, with its reason and a variable that raises it.
//!
//! A file that asks for more is broken or hostile far more often than it is large. Who has a large one says so: `PEFT_LIMIT_PICTURE=2G peft ..`.

use std::fmt;

/// A bound and the variable that sets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Name of the environment variable.
    pub variable: &'static str,
    /// What holds without it.
    usual: u64,
    /// What is counted.
    unit: Unit,
    /// What is bounded, and why there.
    pub reason: &'static str,
}

/// What a bound counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Seconds,
    Things,
}

/// Every bound that can be raised.
pub const LIMITS: [Limit; 12] = [
    CONFIG_LIMIT,
    TOKENIZER_LIMIT,
    PICTURE_LIMIT,
    PIXELS_LIMIT,
    DATA_LIMIT,
    UNPACKED_LIMIT,
    TEMPLATE_MEMORY_LIMIT,
    TEMPLATE_TIME_LIMIT,
    GGUF_VALUE_LIMIT,
    GGUF_ENTRIES_LIMIT,
    GGUF_FILES_LIMIT,
    GGUF_TOKEN_LIMIT,
];

/// Configurations, settings, templates, manifests.
pub const CONFIG_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_CONFIG",
    32 << 20,
    "a configuration, a template, a manifest: published ones have at most some hundred kilobytes",
);

/// `tokenizer.json`.
pub const TOKENIZER_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_TOKENIZER",
    256 << 20,
    "tokenizer.json, also the one that is made of a GGUF file: the largest published ones have some 40 MB",
);

/// One picture as a file.
pub const PICTURE_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_PICTURE",
    256 << 20,
    "the file of one image: cameras write up to some 100 MB",
);

/// One picture in memory.
pub const PIXELS_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_PIXELS",
    256 << 20,
    "one image unpacked: 89 million pixels in colour; a file of a few kilobytes can claim any size",
);

/// One file of data, unpacked.
pub const DATA_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_DATA",
    4 << 30,
    "one file of data, unpacked: tables are read whole",
);

/// What a packed file may become, whatever its size.
pub const UNPACKED_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_UNPACKED",
    64 << 20,
    "a packed file of data that unpacks to more than a hundred times its size: texts and pixels pack to a tenth",
);

/// What a rendering of a chat template may make.
pub const TEMPLATE_MEMORY_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_TEMPLATE_MEMORY",
    384 << 20,
    "all that one rendering of a chat template makes",
);

/// How long a rendering of a chat template may take.
pub const TEMPLATE_TIME_LIMIT: Limit = Limit {
    variable: "PEFT_LIMIT_TEMPLATE_TIME",
    usual: 5,
    unit: Unit::Seconds,
    reason: "one rendering of a chat template: long conversations take milliseconds",
};

/// A text or an array in the header of a GGUF file.
pub const GGUF_VALUE_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_GGUF_VALUE",
    1 << 30,
    "one text or one array in the header of a GGUF file: vocabularies have some ten megabytes",
);

/// Metadata entries of a GGUF file, and its tensors.
pub const GGUF_ENTRIES_LIMIT: Limit = Limit::of_things(
    "PEFT_LIMIT_GGUF_ENTRIES",
    1 << 20,
    "metadata entries of a GGUF file, and as many tensors: each takes some times its bytes in memory, and models have some thousands",
);

/// Files of a GGUF model.
pub const GGUF_FILES_LIMIT: Limit = Limit::of_things(
    "PEFT_LIMIT_GGUF_FILES",
    10_000,
    "files of one GGUF model: all are opened, and the largest models have some dozens",
);

/// A token of SentencePiece in a GGUF file.
pub const GGUF_TOKEN_LIMIT: Limit = Limit::of_bytes(
    "PEFT_LIMIT_GGUF_TOKEN",
    1 << 10,
    "a token with a score in a GGUF file: it is cut at each of its characters to find its halves, the square of its length, and has 16 characters usually",
);

/// A bound that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: expected {expected}, found `{found}`")]
pub struct LimitError {
    variable: &'static str,
    expected: &'static str,
    found: String,
}

impl Limit {
    const fn of_bytes(variable: &'static str, usual: u64, reason: &'static str) -> Self {
        Self {
            variable,
            usual,
            unit: Unit::Bytes,
            reason,
        }
    }

    const fn of_things(variable: &'static str, usual: u64, reason: &'static str) -> Self {
        Self {
            variable,
            usual,
            unit: Unit::Things,
            reason,
        }
    }

    /// The bound: what the variable says, else what is usual.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.asked().ok().flatten().unwrap_or(self.usual)
    }

    /// What the variable says.
    ///
    /// # Errors
    /// When that is no number of what is bounded.
    pub fn asked(&self) -> Result<Option<u64>, LimitError> {
        match std::env::var(self.variable) {
            Err(_) => Ok(None),
            Ok(text) => self.parse(text.trim()).map(Some),
        }
    }

    fn parse(&self, text: &str) -> Result<u64, LimitError> {
        let units = [("K", 10), ("M", 20), ("G", 30)];
        let digits = text.trim_end_matches("iB").trim_end_matches('B');
        let unit = units.iter().find_map(|(name, shift)| {
            let digits = digits.strip_suffix(name)?;
            Some((digits, *shift))
        });
        let (digits, shift) = match self.unit {
            Unit::Bytes => unit.unwrap_or((digits, 0)),
            Unit::Seconds | Unit::Things => (text, 0),
        };
        let number: Option<u64> = digits.trim().parse().ok();
        let number = number.and_then(|number| number.checked_mul(1 << shift));
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| LimitError {
                variable: self.variable,
                expected: match self.unit {
                    Unit::Bytes => "a number of bytes such as 2G or 512M",
                    Unit::Seconds => "a whole number of seconds",
                    Unit::Things => "a whole number",
                },
                found: text.to_owned(),
            })
    }

    /// What to do where a bound of `held` is too small.
    #[must_use]
    pub fn way_out(&self, held: u64) -> String {
        let double = Self {
            usual: held.saturating_mul(2),
            ..*self
        };
        let asked = double.to_string().replace(' ', "");
        let asked = asked.trim_end_matches("iB").trim_end_matches('s');
        format!("if it is meant to be, {}={asked} allows it", self.variable)
    }
}

/// The bound without the variable.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Seconds => write!(f, "{} s", self.usual),
            Unit::Things => write!(f, "{}", self.usual),
            Unit::Bytes => {
                let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
                let fits = |shift: &u32| self.usual.trailing_zeros() >= *shift;
                match units.iter().find(|(_, shift)| fits(shift)) {
                    Some((name, shift)) => write!(f, "{} {name}", self.usual >> shift),
                    None => write!(f, "{}", self.usual),
                }
            }
        }
    }
}

/// Refuses bounds that cannot be read, before anything is done by them.
///
/// # Errors
/// The first variable that is none.
pub fn check_limits() -> Result<(), LimitError> {
    LIMITS.iter().try_for_each(|limit| limit.asked().map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_read_as_people_write_it() {
        for (text, bytes) in [
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("2 GiB", 2 << 30),
            ("1000", 1000),
            ("3KB", 3 << 10),
        ] {
            assert_eq!(PICTURE_LIMIT.parse(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "much", "-1", "0", "99999999999G", "1.5G"] {
            let error = PICTURE_LIMIT.parse(text).unwrap_err().to_string();
            assert!(error.contains("PEFT_LIMIT_PICTURE"), "{error}");
        }
        assert_eq!(TEMPLATE_TIME_LIMIT.parse("20").unwrap(), 20);
        assert_eq!(GGUF_FILES_LIMIT.parse("20000").unwrap(), 20_000);
        for limit in [TEMPLATE_TIME_LIMIT, GGUF_FILES_LIMIT] {
            assert!(limit.parse("20M").is_err());
        }
    }

    #[test]
    fn what_is_advised_is_twice_what_holds() {
        assert!(
            PICTURE_LIMIT
                .way_out(PICTURE_LIMIT.usual)
                .contains("PEFT_LIMIT_PICTURE=512M ")
        );
        assert!(
            TEMPLATE_TIME_LIMIT
                .way_out(TEMPLATE_TIME_LIMIT.usual)
                .contains("PEFT_LIMIT_TEMPLATE_TIME=10 ")
        );
        let files = GGUF_FILES_LIMIT.way_out(GGUF_FILES_LIMIT.usual);
        assert!(files.contains("PEFT_LIMIT_GGUF_FILES=20000 "), "{files}");
        assert_eq!(DATA_LIMIT.to_string(), "4 GiB");
    }
}
