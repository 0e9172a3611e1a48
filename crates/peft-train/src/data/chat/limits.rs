//! Bounds of what a template may cost: it comes with a model, and nothing says that it ends or fits into memory.

use minijinja::{Error, ErrorKind};

/// Steps that one rendering may take; long conversations take some ten thousands.
pub(super) const FUEL: u64 = 20_000_000;
/// Bytes that one rendering may write.
pub(super) const OUTPUT: usize = 64 << 20;
/// Bytes of a template; published ones have up to thirty thousand.
const SOURCE: usize = 1 << 20;
/// Tags of a template: a chain of `elif` nests each in the one before.
const TAGS: usize = 5000;
/// Words and signs in one tag, outside of texts: a chain of operators nests each in the one before.
const SIGNS: usize = 4000;
/// Stack for compiling what these bounds allow.
const STACK: usize = 256 << 20;
/// Spaces that `indent` may put before a line.
const INDENT: usize = 1000;

/// Refuses a template that no compiler should be given.
pub(super) fn check(source: &str) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(ErrorKind::SyntaxError, what));
    if source.len() > SOURCE {
        return refuse(format!(
            "the template has {} bytes, at most {SOURCE} are taken",
            source.len()
        ));
    }
    let tags = source.matches("{%").count();
    if tags > TAGS {
        return refuse(format!(
            "the template has {tags} tags, at most {TAGS} are taken"
        ));
    }
    for opening in ["{%", "{{"] {
        let longest = source.split(opening).skip(1).map(signs).max().unwrap_or(0);
        if longest > SIGNS {
            return refuse(format!(
                "a tag of the template has {longest} words and signs, at most {SIGNS} are taken"
            ));
        }
    }
    Ok(())
}

/// Words and signs up to the end of a tag, texts not counted.
fn signs(tag: &str) -> usize {
    let (mut count, mut in_word, mut quote, mut before) = (0, false, None, ' ');
    for sign in tag.chars() {
        match quote {
            Some(_) if before == '\\' => {
                before = ' ';
                continue;
            }
            Some(mark) if sign == mark => quote = None,
            Some(_) => {}
            None if sign == '}' && matches!(before, '%' | '}') => break,
            None if matches!(sign, '"' | '\'') => {
                (quote, in_word) = (Some(sign), false);
                count += 1;
            }
            None if sign.is_alphanumeric() || sign == '_' => {
                count += usize::from(!in_word);
                in_word = true;
            }
            None => {
                count += usize::from(!sign.is_whitespace());
                in_word = false;
            }
        }
        before = sign;
    }
    count
}

/// Runs something that recurses as deep as a template is nested.
pub(super) fn with_room<T: Send>(
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let failed = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_owned());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        let thread = thread
            .map_err(|error| failed(&format!("no thread to compile the template: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(failed("the template cannot be compiled")))
    })
}

/// Jinja's filter, which would take any width.
pub(super) fn indent(
    text: String,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: minijinja::value::Kwargs,
) -> Result<String, Error> {
    let width = width.or(options.get("width")?).unwrap_or(4);
    if width > INDENT {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("indent by {width}: at most {INDENT} is taken"),
        ));
    }
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let space = " ".repeat(width);
    let indented = text.split('\n').enumerate().map(|(at, line)| match at {
        0 if !first => line.to_owned(),
        at if at > 0 && line.is_empty() && !blank => String::new(),
        _ => format!("{space}{line}"),
    });
    Ok(indented.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_no_deep_expressions_and_chains_of_operators_are() {
        let text = format!("{{{{ '{}' }}}}", "a - b ".repeat(10_000));
        assert!(check(&text).is_ok());
        let chain = format!("{{{{ {}1 }}}}", "-".repeat(5000));
        assert!(check(&chain).is_err());
        let dots = format!("{{% if x{} %}}{{% endif %}}", ".a".repeat(5000));
        assert!(check(&dots).is_err());
        assert!(check(&"{% if a %}{% endif %}".repeat(3000)).is_err());
        assert!(check(&" ".repeat(SOURCE + 1)).is_err());
        assert_eq!(signs(" a.b | c('x}}y \\' z') }} d"), 9);
    }
}
