//! Sentences of the generated language: what people do, what they think of things, and why.

use super::clause::{Negation, Phrase, Speaker, Tense, be, verb};
use super::words::{ACTIONS, BAD, DISLIKING, GLAD, GOOD, LIKING, SORRY, STRENGTHS};

/// Whether an opinion is favourable once its negation is taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentiment {
    /// `anna does not hate the soup`.
    Positive,
    /// `anna hates the soup`.
    Negative,
}

impl Sentiment {
    /// Name as it stands in labelled data.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Negative => Self::Positive,
        }
    }
}

/// One text or two of unlabelled language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The text, or the first of two.
    pub text: String,
    /// The second text, which goes on where the first one ends.
    pub pair: Option<String>,
}

/// An endless source of passages, which depends on its seed alone.
#[derive(Debug, Clone)]
pub struct Grammar {
    pub(super) speaker: Speaker,
}

impl Grammar {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            speaker: Speaker::new(seed),
        }
    }

    /// The next passage: one clause, or two that fit each other, as one text or as two.
    ///
    /// Opinions joined by `because` or `so` have the same sentiment, those joined by `but` opposite ones; negation
    /// turns the sentiment of a word around, so a missing word can only be guessed by who looks at the negation too.
    pub fn passage(&mut self) -> Passage {
        let tense = self.speaker.tense();
        let (first, joint, second) = match self.speaker.pick(&[0, 1, 2, 3, 4, 5, 5, 6, 6, 7]) {
            0 => return single(&self.action(tense)),
            1 => {
                let sentiment = self.sentiment();
                return single(&self.opinion(sentiment, tense));
            }
            2 => (self.action(tense), "while", self.scene(tense)),
            3 => (self.action(tense), "and", self.action(tense)),
            4 => self.contrast(tense),
            5 => self.reason(tense),
            6 => self.consequence(tense),
            _ => self.feeling(tense),
        };
        if self.speaker.chance(25) {
            let first = format!("{first} .");
            return Passage {
                text: first,
                pair: Some(format!("{joint} {second} .")),
            };
        }
        single(&format!("{first} {joint} {second}"))
    }

    /// Either sentiment, equally likely.
    pub(super) fn sentiment(&mut self) -> Sentiment {
        self.speaker
            .pick(&[Sentiment::Positive, Sentiment::Negative])
    }

    /// `the baker does not eat the red apple in the garden`.
    pub(super) fn action(&mut self, tense: Tense) -> String {
        let negation = self.sometimes_negated();
        let subject = self.speaker.person();
        let choice: Vec<usize> = (0..ACTIONS.len()).collect();
        let action = &ACTIONS[self.speaker.pick(&choice)];
        let verb = verb(action.verb, subject.plural, tense, negation);
        let object = self.speaker.object(action.objects);
        format!(
            "{} {verb} {}{}",
            subject.text,
            object.text,
            self.speaker.circumstance()
        )
    }

    /// `the dogs never slept there`.
    pub(super) fn scene(&mut self, tense: Tense) -> String {
        let negation = self.sometimes_negated();
        self.speaker.scene(tense, negation)
    }

    /// What somebody thinks of something, or what something is like.
    pub(super) fn opinion(&mut self, sentiment: Sentiment, tense: Tense) -> String {
        let thing = self.speaker.thing();
        if self.speaker.chance(50) {
            return self.quality(&thing.text, thing.plural, sentiment, tense);
        }
        let person = self.speaker.person();
        self.judgement(&person, &thing.text, sentiment, tense)
    }

    /// `anna loves it because it is not bad`.
    fn reason(&mut self, tense: Tense) -> (String, &'static str, String) {
        let sentiment = self.sentiment();
        let (person, thing) = (self.speaker.person(), self.speaker.thing());
        let first = self.judgement(&person, &thing.text, sentiment, tense);
        (
            first,
            "because",
            self.quality(thing.pronoun, thing.plural, sentiment, tense),
        )
    }

    /// `the cake is superb so peter never avoids it`.
    fn consequence(&mut self, tense: Tense) -> (String, &'static str, String) {
        let sentiment = self.sentiment();
        let (person, thing) = (self.speaker.person(), self.speaker.thing());
        let first = self.quality(&thing.text, thing.plural, sentiment, tense);
        (
            first,
            "so",
            self.judgement(&person, thing.object_pronoun, sentiment, tense),
        )
    }

    /// `anna loves the song but the judges despise it`.
    fn contrast(&mut self, tense: Tense) -> (String, &'static str, String) {
        let sentiment = self.sentiment();
        let (one, other, thing) = (
            self.speaker.person(),
            self.speaker.person(),
            self.speaker.thing(),
        );
        let first = self.judgement(&one, &thing.text, sentiment, tense);
        (
            first,
            "but",
            self.judgement(&other, thing.object_pronoun, sentiment.opposite(), tense),
        )
    }

    /// `emma is glad because she loves the film`.
    fn feeling(&mut self, tense: Tense) -> (String, &'static str, String) {
        let sentiment = self.sentiment();
        let (person, thing) = (self.speaker.person(), self.speaker.thing());
        let (affirmed, negation) = self.wording(sentiment);
        let word = self.speaker.pick(of_sentiment(affirmed, GLAD, SORRY));
        let be = be(person.plural, tense, negation);
        let first = format!("{} {be} {word} about {}", person.text, thing.text);
        let second = self.quality(thing.pronoun, thing.plural, sentiment, tense);
        (first, "because", second)
    }

    /// `the judges do not praise the poem`.
    fn judgement(
        &mut self,
        person: &Phrase,
        thing: &str,
        sentiment: Sentiment,
        tense: Tense,
    ) -> String {
        let (affirmed, negation) = self.wording(sentiment);
        let forms = self.speaker.pick(of_sentiment(affirmed, LIKING, DISLIKING));
        format!(
            "{} {} {thing}",
            person.text,
            verb(forms, person.plural, tense, negation)
        )
    }

    /// `the poem is never boring`.
    fn quality(&mut self, thing: &str, plural: bool, sentiment: Sentiment, tense: Tense) -> String {
        let (affirmed, negation) = self.wording(sentiment);
        let word = self.speaker.pick(of_sentiment(affirmed, GOOD, BAD));
        let be = be(plural, tense, negation);
        if self.speaker.chance(20) {
            return format!("{thing} {be} {} {word}", self.speaker.pick(STRENGTHS));
        }
        format!("{thing} {be} {word}")
    }

    /// How a sentiment is put into words: half of the time by negating the opposite one.
    fn wording(&mut self, sentiment: Sentiment) -> (Sentiment, Negation) {
        if self.speaker.chance(50) {
            (sentiment.opposite(), self.speaker.negation())
        } else {
            (sentiment, None)
        }
    }

    fn sometimes_negated(&mut self) -> Negation {
        if self.speaker.chance(40) {
            self.speaker.negation()
        } else {
            None
        }
    }
}

fn single(text: &str) -> Passage {
    Passage {
        text: format!("{text} ."),
        pair: None,
    }
}

fn of_sentiment<T: ?Sized>(
    sentiment: Sentiment,
    positive: &'static T,
    negative: &'static T,
) -> &'static T {
    match sentiment {
        Sentiment::Positive => positive,
        Sentiment::Negative => negative,
    }
}
