//! Kinds of adapters that no method here reads: what they are, and what to do with them.

/// A kind of adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is.
    pub what: &'static str,
    /// What to do with it.
    pub way_out: &'static str,
}

const PROMPTS: Kind = Kind {
    what: "trained prompts",
    way_out: "it stands before every input and changes no weight, so that nothing can be merged: use it with Python PEFT",
};

const MIXTURE: Kind = Kind {
    what: "a mixture of other adapters",
    way_out: "it has no weights of its own to merge: use it with Python PEFT, or one of its adapters by itself",
};

const OTHER: Kind = Kind {
    what: "an adapter of a kind that is not read here",
    way_out: "merge the adapter in Python PEFT and use the merged model",
};

/// What an adapter of this `peft_type` is.
pub fn kind(peft_type: &str) -> Kind {
    match peft_type {
        "PROMPT_TUNING"
        | "MULTITASK_PROMPT_TUNING"
        | "P_TUNING"
        | "PREFIX_TUNING"
        | "CPT"
        | "CARTRIDGE"
        | "ADAPTION_PROMPT" => PROMPTS,
        "XLORA" | "POLY" => MIXTURE,
        _ => OTHER,
    }
}
