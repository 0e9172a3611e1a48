//! Flags of settings: each is one line of a table, and its help is what `peft init` says of the setting.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use peft_run::settings::{Names, comment};
use peft_train::data::{Encoding, Format, Quoting};
use peft_train::metric::Metric;
use toml::Value;

use crate::flags::{separator, yes_or_no};

/// What the text behind a flag means to a run file.
type Parse = fn(&str) -> Result<Value, String>;

/// A flag and the setting that it gives.
struct Flag {
    name: &'static str,
    setting: &'static str,
    parse: Parse,
    /// What a method says of its own option, which is no setting of every run.
    option: Option<&'static str>,
    /// Whether it may be repeated, for a list or for a table of all.
    repeated: bool,
}

const fn flag(name: &'static str, setting: &'static str, parse: Parse) -> Flag {
    Flag {
        name,
        setting,
        parse,
        option: None,
        repeated: false,
    }
}

const fn option(
    name: &'static str,
    setting: &'static str,
    parse: Parse,
    help: &'static str,
) -> Flag {
    Flag {
        option: Some(help),
        ..flag(name, setting, parse)
    }
}

const FLAGS: &[Flag] = &[
    flag("model", "model", text),
    flag("quantize", "quantize", text),
    flag("compute", "compute", text),
    flag("task", "task", text),
    flag("train", "data.train", text),
    flag("valid", "data.valid", text),
    flag("valid-share", "data.valid_share", float),
    flag("columns", "data.columns", texts),
    flag("format", "data.format", choice::<Format>),
    flag("quoting", "data.quoting", choice::<Quoting>),
    flag("separator", "data.separator", |text| {
        separator(text).map(|between| Value::String(between.into()))
    }),
    flag("encoding", "data.encoding", |text| {
        let encoding: Encoding = parsed(text)?;
        Ok(Value::String(encoding.name()))
    }),
    flag("header", "data.header", boolean),
    flag("packing", "data.packing", boolean),
    flag("max-length", "data.max_length", whole),
    flag("limit", "data.limit", whole),
    flag("tokenizer", "data.tokenizer", text),
    flag("method", "adapter.method", text),
    flag("rank", "adapter.rank", whole),
    flag("alpha", "adapter.alpha", float),
    flag("targets", "adapter.targets", |text| {
        Ok(match Names::of_flag(text) {
            Names::Text(text) => Value::String(text),
            Names::List(names) => array(names),
        })
    }),
    flag("start", "adapter.start", text),
    Flag {
        repeated: true,
        ..flag("expert", "adapter.experts_from", text)
    },
    option(
        "dropout",
        "adapter.options.dropout",
        float,
        "Probability that an input of the adapter is dropped while training",
    ),
    option(
        "experts",
        "adapter.options.experts",
        whole,
        "For moe-lora: experts of each layer",
    ),
    option(
        "top-k",
        "adapter.options.top_k",
        whole,
        "For moe-lora: experts that each token goes to",
    ),
    option(
        "gate-rescale",
        "adapter.options.gate_rescale",
        text,
        "For moe-lora: none, sqrt-detach or theory",
    ),
    option(
        "basis",
        "adapter.options.basis",
        text,
        "For eigenlorax: folder of the basis to train in, see `peft recycle build`",
    ),
    Flag {
        repeated: true,
        ..flag("procedure", "procedures", table)
    },
    flag("optimizer", "train.optimizer", text),
    flag("lr", "train.lr", float),
    flag("head-lr", "train.head_lr", number_or_text),
    flag("weight-decay", "train.weight_decay", float),
    flag("schedule", "train.schedule", text),
    flag("warmup", "train.warmup", |text| {
        let steps = text.parse().map(Value::Integer);
        steps.or_else(|_| number_or_text(text))
    }),
    flag("epochs", "train.epochs", whole),
    flag("max-steps", "train.max_steps", whole),
    flag("batch-size", "train.batch_size", whole),
    flag("accumulation", "train.accumulation", whole),
    flag("eval-every", "train.eval_every", whole),
    flag("patience", "train.patience", whole),
    flag("select", "train.select", text),
    flag("metrics", "metrics", |text| {
        let names = text.split(',').map(parsed::<Metric>);
        let names: Result<Vec<Metric>, String> = names.collect();
        Ok(array(names?.iter().map(|metric| metric.name().to_owned())))
    }),
    flag("positive", "positive", text),
    flag("seed", "train.seed", whole),
    flag("out", "out", text),
    flag("device", "device", text),
];

/// The flags that were given, as settings of a run file: dotted key and value.
#[derive(Debug, Clone)]
pub struct SettingFlags(pub Vec<(String, Value)>);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, flag| {
            let help = flag.option.or_else(|| comment(flag.setting));
            let value = flag.name.replace('-', "_").to_uppercase();
            let argument = Arg::new(flag.name)
                .long(flag.name)
                .value_name(value)
                .help(help.unwrap_or_default().trim_end_matches('.'))
                .value_parser(flag.parse)
                .action(match flag.repeated {
                    true => ArgAction::Append,
                    false => ArgAction::Set,
                });
            command.arg(argument)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = FLAGS.iter().filter_map(|flag| {
            let mut values = matches.get_many::<Value>(flag.name)?.cloned();
            let value = match flag.repeated {
                true => together(values.collect()),
                false => values.next()?,
            };
            Some((flag.setting.to_owned(), value))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

/// Values of a flag that was repeated: one table of tables, else a list.
fn together(values: Vec<Value>) -> Value {
    let tables: Option<Vec<&toml::Table>> = values.iter().map(Value::as_table).collect();
    match tables {
        Some(tables) => Value::Table(tables.into_iter().flatten().map(owned).collect()),
        None => Value::Array(values),
    }
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn parsed<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[expect(clippy::unnecessary_wraps, reason = "one of the ways to read a flag")]
fn text(text: &str) -> Result<Value, String> {
    Ok(Value::String(text.to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the ways to read a flag")]
fn texts(text: &str) -> Result<Value, String> {
    Ok(array(text.split(',').map(|item| item.trim().to_owned())))
}

fn array(items: impl IntoIterator<Item = String>) -> Value {
    Value::Array(items.into_iter().map(Value::String).collect())
}

fn whole(text: &str) -> Result<Value, String> {
    parsed(text).map(Value::Integer)
}

/// A table without any options, under the name that is given.
#[expect(clippy::unnecessary_wraps, reason = "one of the ways to read a flag")]
fn table(text: &str) -> Result<Value, String> {
    let none = Value::Table(toml::Table::new());
    Ok(Value::Table(
        [(text.to_owned(), none)].into_iter().collect(),
    ))
}

fn float(text: &str) -> Result<Value, String> {
    parsed(text).map(Value::Float)
}

fn boolean(text: &str) -> Result<Value, String> {
    yes_or_no(text).map(Value::Boolean)
}

/// A number, or a word.
fn number_or_text(word: &str) -> Result<Value, String> {
    float(word).or_else(|_| text(word))
}

/// What a run file calls a choice.
fn choice<T>(text: &str) -> Result<Value, String>
where
    T: std::str::FromStr<Err: ToString> + serde::Serialize,
{
    Value::try_from(parsed::<T>(text)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_setting_that_is_described() {
        for flag in FLAGS {
            let described = comment(flag.setting).is_some() != flag.option.is_some();
            assert!(described, "--{}: {}", flag.name, flag.setting);
        }
    }
}
