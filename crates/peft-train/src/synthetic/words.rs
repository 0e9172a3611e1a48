//! The words of the generated language, by their part in a sentence.

use std::collections::BTreeSet;

/// Special tokens of the language's tokenizer; they hold the first ids in this order.
pub const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Singular and plural.
pub(super) type Noun = [&'static str; 2];
/// Plain form, third person of the present, past.
pub(super) type Verb = [&'static str; 3];

/// What somebody does, and the things that it is done to.
pub(super) struct Action {
    pub(super) verb: Verb,
    pub(super) objects: &'static [Noun],
}

pub(super) const WOMEN: &[&str] = &[
    "anna", "clara", "emma", "julia", "laura", "maria", "nina", "sara",
];
pub(super) const MEN: &[&str] = &[
    "adam", "bruno", "david", "felix", "hugo", "karl", "oscar", "peter",
];

pub(super) const PEOPLE: &[Noun] = &[
    ["teacher", "teachers"],
    ["baker", "bakers"],
    ["farmer", "farmers"],
    ["doctor", "doctors"],
    ["painter", "painters"],
    ["singer", "singers"],
    ["sailor", "sailors"],
    ["student", "students"],
    ["neighbour", "neighbours"],
    ["visitor", "visitors"],
    ["judge", "judges"],
    ["guide", "guides"],
];

pub(super) const ANIMALS: &[Noun] = &[
    ["dog", "dogs"],
    ["cat", "cats"],
    ["horse", "horses"],
    ["bird", "birds"],
    ["goat", "goats"],
    ["duck", "ducks"],
];

const READINGS: &[Noun] = &[
    ["book", "books"],
    ["letter", "letters"],
    ["story", "stories"],
    ["poem", "poems"],
];
const MEALS: &[Noun] = &[
    ["soup", "soups"],
    ["cake", "cakes"],
    ["pie", "pies"],
    ["apple", "apples"],
    ["cheese", "cheeses"],
];
const TUNES: &[Noun] = &[["song", "songs"], ["concert", "concerts"]];
const SHOWS: &[Noun] = &[["film", "films"], ["play", "plays"]];
const GOODS: &[Noun] = &[
    ["lamp", "lamps"],
    ["chair", "chairs"],
    ["coat", "coats"],
    ["box", "boxes"],
    ["clock", "clocks"],
];

/// Everything about which one can have an opinion.
pub(super) const THINGS: &[&[Noun]] = &[READINGS, MEALS, TUNES, SHOWS, GOODS];

pub(super) const ACTIONS: &[Action] = &[
    Action {
        verb: ["read", "reads", "read"],
        objects: READINGS,
    },
    Action {
        verb: ["write", "writes", "wrote"],
        objects: READINGS,
    },
    Action {
        verb: ["eat", "eats", "ate"],
        objects: MEALS,
    },
    Action {
        verb: ["cook", "cooks", "cooked"],
        objects: MEALS,
    },
    Action {
        verb: ["hear", "hears", "heard"],
        objects: TUNES,
    },
    Action {
        verb: ["watch", "watches", "watched"],
        objects: SHOWS,
    },
    Action {
        verb: ["buy", "buys", "bought"],
        objects: GOODS,
    },
    Action {
        verb: ["carry", "carries", "carried"],
        objects: GOODS,
    },
    Action {
        verb: ["feed", "feeds", "fed"],
        objects: ANIMALS,
    },
    Action {
        verb: ["see", "sees", "saw"],
        objects: ANIMALS,
    },
];

/// What animals do.
pub(super) const MOVES: &[Verb] = &[
    ["sleep", "sleeps", "slept"],
    ["wait", "waits", "waited"],
    ["run", "runs", "ran"],
    ["stay", "stays", "stayed"],
];

pub(super) const PLACES: &[&str] = &[
    "garden", "kitchen", "market", "school", "station", "library", "village", "harbour", "park",
    "hall",
];
pub(super) const NEAR: &[&str] = &["in", "near", "behind"];
pub(super) const TIMES: &[&str] = &["today", "yesterday", "again", "there"];
pub(super) const COLOURS: &[&str] = &["red", "blue", "green", "yellow", "white", "black", "brown"];
pub(super) const KINDS: &[&str] = &["old", "new", "small", "large", "long", "heavy"];
/// Adjectives of people.
pub(super) const AGES: &[&str] = &["old", "new", "tall", "young"];
pub(super) const NUMBERS: &[&str] = &["two", "three", "four", "five", "six"];
pub(super) const STRENGTHS: &[&str] = &["very", "really", "quite"];

pub(super) const LIKING: &[Verb] = &[
    ["love", "loves", "loved"],
    ["enjoy", "enjoys", "enjoyed"],
    ["praise", "praises", "praised"],
    ["admire", "admires", "admired"],
    ["recommend", "recommends", "recommended"],
    ["cherish", "cherishes", "cherished"],
];
pub(super) const DISLIKING: &[Verb] = &[
    ["hate", "hates", "hated"],
    ["despise", "despises", "despised"],
    ["regret", "regrets", "regretted"],
    ["avoid", "avoids", "avoided"],
    ["mock", "mocks", "mocked"],
    ["condemn", "condemns", "condemned"],
];
pub(super) const GOOD: &[&str] = &[
    "good",
    "lovely",
    "perfect",
    "charming",
    "wonderful",
    "superb",
    "fine",
    "splendid",
    "great",
    "pleasant",
];
pub(super) const BAD: &[&str] = &[
    "bad", "awful", "terrible", "boring", "horrible", "dreadful", "poor", "nasty", "weak", "ugly",
];
pub(super) const GLAD: &[&str] = &[
    "happy",
    "glad",
    "proud",
    "delighted",
    "cheerful",
    "thrilled",
];
pub(super) const SORRY: &[&str] = &["sad", "angry", "upset", "bitter", "gloomy", "ashamed"];

/// Words that belong to no list: articles, pronouns, forms of be and do, negation, connections, the full stop.
const FUNCTION_WORDS: &[&str] = &[
    "the", "a", "an", "he", "she", "it", "they", "him", "her", "them", "is", "are", "was", "were",
    "do", "does", "did", "not", "never", "hardly", "because", "so", "but", "and", "while", "about",
    "who", ".",
];

/// Every word of the language, special tokens first and the rest in alphabetical order; the index is the token's id.
#[must_use]
pub fn vocabulary() -> Vec<&'static str> {
    let plain = [
        WOMEN,
        MEN,
        PLACES,
        NEAR,
        TIMES,
        COLOURS,
        KINDS,
        AGES,
        NUMBERS,
        STRENGTHS,
        GOOD,
        BAD,
        GLAD,
        SORRY,
        FUNCTION_WORDS,
    ];
    let mut words: BTreeSet<&str> = plain.into_iter().flatten().copied().collect();
    let nouns = THINGS.iter().copied().chain([PEOPLE, ANIMALS]);
    words.extend(nouns.flatten().flatten());
    words.extend(ACTIONS.iter().flat_map(|action| action.verb));
    words.extend([MOVES, LIKING, DISLIKING].into_iter().flatten().flatten());
    SPECIAL_TOKENS.into_iter().chain(words).collect()
}
