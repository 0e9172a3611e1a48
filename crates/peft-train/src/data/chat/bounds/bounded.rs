//! The filters, tests, functions and methods of the template engine, each behind a look at what it is about to make.
//!
//! A template comes with a model and may be hostile: what a built-in makes is predicted from what it is given, in one
//! table, and paid for before the built-in itself does its work. What it answers is what it always answered.

use minijinja::value::{DynObject, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters, functions, tests};
use minijinja_contrib::pycompat;

use super::formats;
use super::meter::{self, Meter, refused};
use super::prices::{
    all, cut, gathered, joined, listed, ordered, pieces, replaced, seen, summed, trimmed, value,
    written,
};

/// Names in one namespace.
const NAMES: usize = 1000;

/// Pays for a call with these arguments, the value first.
type Price = fn(&mut State, &[Value]) -> Result<(), Error>;

pub(in crate::data::chat) fn install(environment: &mut Environment) {
    texts(environment);
    lists(environment);
    comparisons(environment);
    environment.set_unknown_method_callback(method);
    // Neither Jinja nor its users know these; they nest values lazily or print all there is.
    for name in ["chain", "zip"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_function("range", |state: &mut State, arguments: Rest<Value>| {
        Meter::of(state).made(128)?;
        Value::from_function(functions::range).call(state, &arguments)
    });
    environment.add_function(
        "dict",
        |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            gathered(state, &arguments)?;
            let value = Value::from_function(functions::dict).call(state, &arguments)?;
            meter::made(state, value)
        },
    );
    environment.add_function(
        "namespace",
        |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            gathered(state, &arguments)?;
            let names = arguments
                .first()
                .and_then(Value::as_object)
                .and_then(DynObject::try_iter_pairs);
            for (at, (_, value)) in names.into_iter().flatten().enumerate() {
                if at >= NAMES {
                    return Err(refused(format!(
                        "the template makes a namespace of more than {NAMES} names"
                    )));
                }
                meter::may_be_kept(&value)?;
            }
            Value::from_function(functions::namespace).call(state, &arguments)
        },
    );
}

/// A built-in filter behind its price.
fn add(environment: &mut Environment, name: &'static str, price: Price, builtin: Value) {
    environment.add_filter(
        name,
        move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            price(state, &arguments)?;
            let made = builtin.call(state, &arguments)?;
            match name {
                // These make lists of lists, of which each call could put one into another, or are lazy.
                "batch" | "slice" | "groupby" | "map" | "reverse" => meter::made(state, made),
                _ => Ok(made),
            }
        },
    );
}

macro_rules! filters {
    ($environment:expr, $price:expr, $($name:literal => $builtin:ident),+ $(,)?) => {
        $(add($environment, $name, $price, Value::from_function(filters::$builtin));)+
    };
}

fn texts(environment: &mut Environment) {
    filters!(environment, seen, "length" => length, "count" => length, "int" => int, "float" => float, "attr" => attr);
    filters!(environment, |state, given| written(state, given, 3),
        "lower" => lower, "upper" => upper, "title" => title, "capitalize" => capitalize);
    filters!(environment, |state, given| written(state, given, 1), "safe" => safe, "string" => string);
    filters!(environment, |state, given| written(state, given, 6), "escape" => escape, "e" => escape);
    filters!(environment, |state, given| written(state, given, 24), "pprint" => pprint);
    filters!(environment, trimmed, "trim" => trim);
    filters!(environment, replaced, "replace" => replace);
    filters!(environment, joined, "join" => join);
    filters!(environment, pieces, "split" => split);
    filters!(environment, |state, given| pieces(state, &[value(given), Value::from("\n")]), "lines" => lines);
    filters!(environment, formats::price, "format" => format);
}

fn lists(environment: &mut Environment) {
    filters!(environment, listed, "list" => list, "select" => select, "reject" => reject, "reverse" => reverse,
        "selectattr" => selectattr, "rejectattr" => rejectattr, "map" => map, "last" => last, "items" => items);
    filters!(environment, cut, "slice" => slice, "batch" => batch);
    filters!(environment, ordered, "sort" => sort, "unique" => unique, "groupby" => groupby, "dictsort" => dictsort,
        "min" => min, "max" => max);
    filters!(environment, summed, "sum" => sum);
}

fn comparisons(environment: &mut Environment) {
    macro_rules! add {
        ($($($name:literal)+ => $builtin:ident),+) => {
            $($(environment.add_test($name, |state: &mut State, arguments: Rest<ValueOrKwargs>| {
                let arguments = arguments.into_values();
                all(state, &arguments)?;
                Value::from_function(tests::$builtin).call(state, &arguments).map(|value| value.is_true())
            });)+)+
        };
    }
    add!("eq" "equalto" "==" => is_eq, "ne" "!=" => is_ne, "lt" "lessthan" "<" => is_lt, "le" "<=" => is_le,
        "gt" "greaterthan" ">" => is_gt, "ge" ">=" => is_ge, "in" => is_in, "startingwith" => is_startingwith,
        "endingwith" => is_endingwith, "lower" => is_lower, "upper" => is_upper, "sameas" => is_sameas);
}

/// The methods of Python's values.
fn method(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let given: Vec<_> = std::iter::once(value).chain(arguments).cloned().collect();
    match (value.kind(), method) {
        (ValueKind::String, "upper" | "lower" | "title" | "capitalize") => {
            written(state, &given, 3)?;
        }
        (ValueKind::String, "strip" | "lstrip" | "rstrip") => trimmed(state, &given)?,
        (ValueKind::String, "replace") => replaced(state, &given)?,
        (ValueKind::String, "split") => pieces(state, &given)?,
        (ValueKind::String, "splitlines") => pieces(state, &[value.clone(), Value::from("\n")])?,
        (ValueKind::String, "format") => formats::price(state, &given)?,
        (ValueKind::String, "join") => {
            let list = arguments.first().cloned().unwrap_or_default();
            joined(state, &[list, value.clone()])?;
        }
        (ValueKind::Map, "keys" | "values" | "items") => Meter::of(state).made(128)?,
        (ValueKind::Map, "get") => all(state, arguments)?,
        _ => all(state, &given)?,
    }
    pycompat::unknown_method_callback(state, value, method, arguments)
}

#[cfg(test)]
mod checks {
    use super::super::{guard, limits};
    use super::*;

    fn run(source: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        limits::install(&mut environment);
        environment.render_str(
            &guard::guarded(source)?,
            minijinja::context! { s => "a b", l => vec![3, 1, 2] },
        )
    }

    #[test]
    fn built_ins_answer_as_before() {
        let cases = [
            (
                "{{ s|upper ~ s.title() ~ s|replace('a', 'c') ~ s.replace(' ', '') }}",
                "A BA Bc bab",
            ),
            (
                "{{ l|join('-') ~ l|sort|join ~ '.'.join(l) ~ l|reverse|list }}",
                "3-1-21233.1.2[2, 1, 3]",
            ),
            (
                "{{ '%03d|%s'|format(7, s) ~ '{:>4}'.format(1) ~ s.split()|length }}",
                "007|a b   12",
            ),
            (
                "{{ l|batch(2)|list }}{{ l|sum }}{{ dict(a=1) }}{{ s is eq('a b') }}",
                "[[3, 1], [2]]6{'a': 1}True",
            ),
            (
                "{{ l|map('string')|list }}{{ s|indent(2, true) }}{{ [s]|select('in', l)|list }}",
                "['3', '1', '2']  a b[]",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(
                run(source).unwrap_or_else(|error| error.to_string()),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn what_a_built_in_would_make_is_refused_before_it_is_made() {
        let text = "{% set x = 'a' * 30000000 %}";
        let cases = [
            "{{ x|upper }}",
            "{{ x.title() }}",
            "{{ x|replace('a', 'bbbb') }}",
            "{{ x.replace('', 'bbbb') }}",
            "{{ [x, x, x, x]|join }}",
            "{{ range(9)|join(x) }}",
            "{{ x.join('abcdef') }}",
            "{{ '%s%s%s%s'|format(x, x, x, x) }}",
            "{{ '{0}{0}{0}{0}'.format(x) }}",
            "{{ x|list }}",
            "{{ x|split('a') }}",
            "{{ x.split('a') }}",
            "{{ x|batch(2) }}",
            "{{ x|escape }}",
            "{{ [1]|slice(200000) }}",
            "{{ [1]|batch(200000, 2) }}",
            "{{ x|trim(x) }}",
            "{{ x|sort }}",
            "{{ [x, x]|sum(start=x) }}",
            "{{ x|indent(0)|indent(9) }}{{ (x ~ x ~ x)|indent }}{{ x ~ x ~ x ~ x ~ x }}",
            "{{ [[x]] * 2 ~ x }}",
            "{{ namespace(a=namespace()) }}",
            "{{ debug() }}",
            "{{ '%99999d'|format(1) }}",
            "{{ x|unique }}",
            "{{ x|map('upper')|list }}",
        ];
        for case in cases {
            assert!(run(&format!("{text}{case}")).is_err(), "{case}");
        }
    }
}
