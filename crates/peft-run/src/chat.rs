//! A conversation with a language model, turn by turn.

use std::time::Instant;

use peft_core::{Compute, select_adapters};
use peft_models::generate::{Progress, Reading};
use peft_models::{CausalLm, ModelConfig};
use peft_train::data::{ChatContext, ChatTemplate, TextTokenizer};
use serde::Serialize;
use serde_json::{Value, json};

use crate::adapter_arg::{BASE, unknown_adapter};
use crate::answerer::Answerer;
use crate::device;
use crate::end_tokens::EndTokens;
use crate::generate::{Choice, Settings, Texts};
use crate::open::{self, OpenedCausal};
use crate::{Error, Result};

/// Model, adapters and how answers are chosen.
#[derive(Debug)]
pub struct Chatting {
    /// Model and adapters.
    pub model: Answerer,
    /// A system message before everything.
    pub system: Option<String>,
    /// How tokens are chosen.
    pub choice: Choice,
}

/// An answer.
#[derive(Debug, Serialize)]
pub struct Turn {
    /// The adapter that answered, or `base`.
    pub adapter: String,
    /// What the user said.
    pub user: String,
    /// What came of it.
    pub answer: String,
    /// Tokens of the conversation so far, and new ones.
    pub prompt_tokens: usize,
    /// New tokens.
    pub tokens: usize,
    /// Seconds until the first of them: what was said is read first.
    pub first_token_seconds: f64,
    /// New tokens per second after the first.
    pub tokens_per_second: f64,
}

/// A conversation that goes on. Keys and values of what was said are kept, so that a turn reads what is new.
#[derive(Debug)]
pub struct Conversation {
    model: CausalLm,
    config: ModelConfig,
    adapters: Vec<String>,
    /// The adapter that answers; none for the base.
    active: Option<String>,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
    stops: Vec<u32>,
    settings: Settings,
    system: Option<String>,
    messages: Vec<Value>,
    reading: Reading,
    compute: Compute,
}

impl Conversation {
    /// Opens model and adapters; the last adapter answers.
    ///
    /// # Errors
    /// A model or an adapter that cannot be read, or none of them with a chat template.
    pub fn open(args: &Chatting) -> Result<Self> {
        let device = device::open(&args.model.device)?;
        let OpenedCausal {
            model,
            config,
            adapters,
        } = open::answering_causal(args.model.base(), &args.model.adapters, &device)?;
        let companions = args.model.companions()?;
        let limit = model.decoder.config().max_positions;
        let tokenizer = companions.tokenizer(&config, limit)?.unlimited()?;
        let Some(template) = companions.template()? else {
            return Err(Error::Usage(format!(
                "{} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), nor has the adapter: it was \
                 trained on texts, for which there is peft generate; or give a folder that has one with --tokenizer",
                args.model.model.display()
            )));
        };
        let ends = EndTokens::read(&companions, &config, &tokenizer)?;
        let settings = Settings::new(&args.choice, companions.generation()?)?;
        Ok(Self {
            active: adapters.last().cloned(),
            model,
            config,
            adapters,
            tokenizer,
            template,
            stops: ends.stops,
            settings,
            system: args.system.clone(),
            messages: Vec::new(),
            reading: Reading::default(),
            compute: args.model.compute.on(&args.model.device)?,
        })
    }

    /// The names that [`Self::choose`] takes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [BASE]
            .into_iter()
            .chain(self.adapters.iter().map(String::as_str))
    }

    /// The adapter that answers, or `base`.
    #[must_use]
    pub fn adapter(&self) -> &str {
        self.active.as_deref().unwrap_or(BASE)
    }

    /// Kind of the model.
    #[must_use]
    pub fn model_type(&self) -> &str {
        self.config.model_type()
    }

    /// Lets another adapter answer from now on, or the base; the conversation stays.
    ///
    /// # Errors
    /// When there is none of the name.
    pub fn choose(&mut self, name: &str) -> Result<()> {
        if !self.names().any(|known| known == name) {
            return Err(unknown_adapter(name, self.names()));
        }
        self.active = (name != BASE).then(|| name.to_owned());
        let weights: Vec<(&str, f64)> = self
            .active
            .iter()
            .map(|name| (name.as_str(), 1.0))
            .collect();
        self.model = select_adapters(self.model.clone(), &weights)?;
        self.reading = Reading::default();
        Ok(())
    }

    /// Begins anew, with another system message where one is given.
    pub fn restart(&mut self, system: Option<String>) {
        self.system = system.or(self.system.take());
        self.messages.clear();
        self.reading = Reading::default();
    }

    /// Says something and answers it; `show` gets the answer piece by piece, and `goes_on` is asked before each token.
    ///
    /// An answer that was broken off stays in the conversation as far as it came. Where something fails, nothing was said.
    ///
    /// # Errors
    /// A template that refuses the conversation, and a conversation that has become longer than the model takes.
    pub fn say(
        &mut self,
        text: &str,
        show: &mut dyn FnMut(&str),
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Turn> {
        self.messages.push(json!({"role": "user", "content": text}));
        let compute = self.compute;
        match compute.run(|| self.answer(text, show, goes_on)) {
            Ok(turn) => {
                let answer = json!({"role": "assistant", "content": turn.answer});
                self.messages.push(answer);
                Ok(turn)
            }
            Err(error) => {
                self.messages.pop();
                Err(error)
            }
        }
    }

    fn answer(
        &mut self,
        text: &str,
        show: &mut dyn FnMut(&str),
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Turn> {
        let system = self.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<Value> = system.chain(self.messages.iter().cloned()).collect();
        let prompt = self
            .template
            .render(&messages, &ChatContext::default(), true)?;
        // The template writes the special tokens itself.
        let prompt = self.tokenizer.ids(&prompt, false)?;
        let limit = self.model.decoder.config().max_positions;
        if prompt.len() >= limit {
            return Err(Error::Usage(format!(
                "the conversation has {} tokens and the model takes {limit} in all: begin a new one (/new)",
                prompt.len()
            )));
        }
        let room = self.settings.max_new_tokens.min(limit - prompt.len());
        let options = self.settings.generation(self.stops.clone(), room);
        let nothing = [String::new()];
        let mut texts = Texts::new(&self.tokenizer, &nothing, &self.settings.stop, Some(show));
        let start = Instant::now();
        let mut first = None;
        let tokens = self
            .reading
            .generate(&self.model, &prompt, &options, |token| {
                first.get_or_insert_with(|| start.elapsed());
                match (texts.add(0, token), goes_on()) {
                    (progress, true) => progress,
                    (_, false) => Progress::Stop,
                }
            })?;
        let whole = start.elapsed();
        let first = first.unwrap_or(whole);
        let rest = (whole - first).as_secs_f64();
        let answers = texts.finish(&[tokens])?;
        let answer = answers.into_iter().next();
        let (answer, tokens) = answer.map_or_else(Default::default, |one| (one.answer, one.tokens));
        Ok(Turn {
            adapter: self.adapter().to_owned(),
            user: text.to_owned(),
            answer,
            prompt_tokens: prompt.len(),
            tokens,
            first_token_seconds: first.as_secs_f64(),
            tokens_per_second: match rest > 0.0 {
                true => tokens.saturating_sub(1) as f64 / rest,
                false => 0.0,
            },
        })
    }
}
