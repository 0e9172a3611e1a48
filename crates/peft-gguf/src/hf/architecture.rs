//! The architectures whose conversion is known.

use std::fmt;

/// What `general.architecture` names, of which the conversion is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// `llama`: Llama, and Mistral, which llama.cpp calls so too.
    Llama,
    /// `qwen2`: Qwen2 and Qwen2.5.
    Qwen2,
    /// `qwen3`: Qwen3 without experts.
    Qwen3,
    /// `gpt2`: GPT-2.
    Gpt2,
    /// `gemma3`: the language model of Gemma 3.
    Gemma3,
    /// `phi3`: Phi-3, Phi-3.5 and Phi-4.
    Phi3,
    /// `gemma`: the first Gemma.
    Gemma,
    /// `gemma2`: Gemma 2.
    Gemma2,
    /// `granite`: Granite without experts.
    Granite,
    /// `smollm3`: SmolLM3.
    SmolLm3,
    /// `olmo2`: OLMo 2.
    Olmo2,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gpt2,
        Self::Gemma3,
        Self::Phi3,
        Self::Gemma,
        Self::Gemma2,
        Self::Granite,
        Self::SmolLm3,
        Self::Olmo2,
    ];

    /// The name in files, which also begins the keys of the metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gpt2 => "gpt2",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Granite => "granite",
            Self::SmolLm3 => "smollm3",
            Self::Olmo2 => "olmo2",
        }
    }

    /// The architecture of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// `model_type` of transformers with the architecture that files of such models have.
    pub(crate) const MODEL_TYPES: [(&'static str, Self); 12] = [
        ("llama", Self::Llama),
        ("mistral", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gpt2", Self::Gpt2),
        ("gemma", Self::Gemma),
        ("gemma2", Self::Gemma2),
        ("gemma3_text", Self::Gemma3),
        ("phi3", Self::Phi3),
        ("granite", Self::Granite),
        ("smollm3", Self::SmolLm3),
        ("olmo2", Self::Olmo2),
    ];

    /// The architecture of a `model_type`.
    pub(crate) fn of_model_type(model_type: &str) -> Option<Self> {
        let known = Self::MODEL_TYPES
            .iter()
            .find(|(name, _)| *name == model_type);
        known.map(|(_, architecture)| *architecture)
    }

    /// The names of all, for messages.
    pub(super) fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Architecture;

    #[test]
    fn names_lead_back() {
        for architecture in Architecture::ALL {
            assert_eq!(
                Architecture::from_name(&architecture.to_string()),
                Some(architecture)
            );
        }
        assert_eq!(Architecture::from_name("qwen3moe"), None);
    }
}
