//! Phrases and clauses: agreement of subject and verb, tense, negation.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::words::{
    AGES, ANIMALS, COLOURS, KINDS, MEN, MOVES, NEAR, NUMBERS, Noun, PEOPLE, PLACES, THINGS, TIMES,
    Verb, WOMEN,
};

/// The clauses of a sentence share their tense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Present,
    Past,
}

/// A noun phrase and what agrees with it.
#[derive(Debug, Clone)]
pub(super) struct Phrase {
    pub(super) text: String,
    pub(super) plural: bool,
    /// As a subject.
    pub(super) pronoun: &'static str,
    /// As an object.
    pub(super) object_pronoun: &'static str,
}

/// The negation of a clause; `None` where it is affirmed.
pub(super) type Negation = Option<&'static str>;

/// Draws words; everything that is generated depends on its seed alone.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    rng: ChaCha8Rng,
}

impl Speaker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// One element, each equally likely.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u32::try_from(choices.len()).expect("word lists are short");
        choices[self.rng.random_range(0..count) as usize]
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub(super) fn tense(&mut self) -> Tense {
        self.pick(&[Tense::Present, Tense::Past])
    }

    /// A negation; `not` is as frequent as all others.
    pub(super) fn negation(&mut self) -> Negation {
        Some(self.pick(&["not", "not", "never", "hardly"]))
    }

    /// Somebody, by name or by profession.
    pub(super) fn person(&mut self) -> Phrase {
        if self.chance(40) {
            let (names, pronouns) = self.pick(&[(WOMEN, ["she", "her"]), (MEN, ["he", "him"])]);
            return phrase(self.pick(names).to_owned(), false, pronouns);
        }
        let noun = self.pick(PEOPLE);
        let pronouns = self.pick(&[["she", "her"], ["he", "him"]]);
        self.noun_phrase(noun, AGES, pronouns)
    }

    pub(super) fn animal(&mut self) -> Phrase {
        let noun = self.pick(ANIMALS);
        self.noun_phrase(noun, COLOURS, ["it", "it"])
    }

    /// Something about which one can have an opinion.
    pub(super) fn thing(&mut self) -> Phrase {
        let kind = self.pick(THINGS);
        self.object(kind)
    }

    /// One of `nouns`, with an adjective at times.
    pub(super) fn object(&mut self, nouns: &[Noun]) -> Phrase {
        let noun = self.pick(nouns);
        let adjectives = self.pick(&[COLOURS, KINDS]);
        self.noun_phrase(noun, adjectives, ["it", "it"])
    }

    fn noun_phrase(
        &mut self,
        noun: Noun,
        adjectives: &[&str],
        pronouns: [&'static str; 2],
    ) -> Phrase {
        let plural = self.chance(30);
        let first = match plural {
            true if self.chance(50) => self.pick(NUMBERS),
            false if self.chance(15) => "a",
            _ => "the",
        };
        let noun = noun[usize::from(plural)];
        let noun = if self.chance(30) {
            format!("{} {noun}", self.pick(adjectives))
        } else {
            noun.to_owned()
        };
        let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
        let first = if first == "a" && vowel { "an" } else { first };
        let text = format!("{first} {noun}");
        phrase(
            text,
            plural,
            if plural { ["they", "them"] } else { pronouns },
        )
    }

    /// Where or when, or nothing.
    pub(super) fn circumstance(&mut self) -> String {
        match self.pick(&[0, 1, 2, 2]) {
            0 => format!(" {} the {}", self.pick(NEAR), self.pick(PLACES)),
            1 => format!(" {}", self.pick(TIMES)),
            _ => String::new(),
        }
    }

    /// An animal that sleeps, waits, runs.
    pub(super) fn scene(&mut self, tense: Tense, negation: Negation) -> String {
        let animal = self.animal();
        let verb = verb(self.pick(MOVES), animal.plural, tense, negation);
        format!("{} {verb}{}", animal.text, self.circumstance())
    }
}

fn phrase(text: String, plural: bool, [pronoun, object_pronoun]: [&'static str; 2]) -> Phrase {
    Phrase {
        text,
        plural,
        pronoun,
        object_pronoun,
    }
}

/// The verb in agreement with its subject: `does not love`, `never loved`, `loves`.
pub(super) fn verb(forms: Verb, plural: bool, tense: Tense, negation: Negation) -> String {
    let [base, third, past] = forms;
    let form = match tense {
        Tense::Past => past,
        Tense::Present if plural => base,
        Tense::Present => third,
    };
    match negation {
        None => form.to_owned(),
        Some("not") => {
            let auxiliary = match tense {
                Tense::Past => "did",
                Tense::Present if plural => "do",
                Tense::Present => "does",
            };
            format!("{auxiliary} not {base}")
        }
        Some(adverb) => format!("{adverb} {form}"),
    }
}

/// The form of `be` in agreement with its subject, with its negation.
pub(super) fn be(plural: bool, tense: Tense, negation: Negation) -> String {
    let form = match (tense, plural) {
        (Tense::Present, false) => "is",
        (Tense::Present, true) => "are",
        (Tense::Past, false) => "was",
        (Tense::Past, true) => "were",
    };
    negation.map_or_else(|| form.to_owned(), |negation| format!("{form} {negation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_agree_with_their_subject_and_take_negation() {
        let love = ["love", "loves", "loved"];
        assert_eq!(verb(love, false, Tense::Present, None), "loves");
        assert_eq!(verb(love, true, Tense::Present, Some("not")), "do not love");
        assert_eq!(verb(love, false, Tense::Past, Some("not")), "did not love");
        assert_eq!(verb(love, true, Tense::Past, Some("never")), "never loved");
        assert_eq!(be(true, Tense::Past, Some("hardly")), "were hardly");
    }
}
