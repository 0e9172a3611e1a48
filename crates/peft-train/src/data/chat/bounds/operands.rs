//! Follows operands: names, constants and lists with what stands behind them.

use super::cursor::{Expressions, Operand, Read};
use super::expressions::DEPTH;
use super::tags::{Kind, Unsure};

impl Expressions<'_, '_> {
    pub(in crate::data::chat) fn unary(&mut self) -> Read {
        let operand = self.negative()?;
        let operand = self.postfix(operand)?;
        self.filters(operand)
    }

    fn negative(&mut self) -> Read {
        let start = self.here();
        let mut signs = 0;
        while self.skip("-") {
            signs += 1;
        }
        let operand = self.primary()?;
        if signs == 0 {
            return Ok(operand);
        }
        let operand = self.postfix(operand)?;
        Ok(Operand { start, ..operand })
    }

    fn postfix(&mut self, mut operand: Operand) -> Read {
        loop {
            if self.skip(".") {
                let token = self.next()?;
                match token.kind {
                    Kind::Name if self.peek() == "(" && token.text == "changed" => {
                        self.arguments(Some("__deep"))?;
                    }
                    // The engine divides by the number of its arguments.
                    Kind::Name if token.text == "cycle" && self.peek() == "(" => {
                        if matches!(self.second(), ")" | "*" | "**") {
                            return Err(Unsure);
                        }
                        self.arguments(None)?;
                    }
                    Kind::Name => {}
                    Kind::Number => self.enclose(operand, "__seen"),
                    _ => return Err(Unsure),
                }
            } else if self.peek() == "[" && self.kind() == Some(Kind::Sign) {
                self.subscript(operand)?;
            } else if self.peek() == "(" && self.kind() == Some(Kind::Sign) {
                let filter = self.is_name(operand, "loop").then_some("__seen");
                self.arguments(filter)?;
            } else {
                return Ok(operand);
            }
            operand = self.since(operand.start);
        }
    }

    /// `[a]` or `[a:b:c]`.
    fn subscript(&mut self, operand: Operand) -> Result<(), Unsure> {
        self.expect("[")?;
        let mut index = None;
        if self.peek() != ":" {
            index = Some(self.whole()?);
        }
        let mut colons = 0;
        while self.skip(":") {
            colons += 1;
            if self.peek() != ":" && self.peek() != "]" {
                self.whole()?;
            }
        }
        self.expect("]")?;
        if colons > 2 {
            return Err(Unsure);
        }
        if colons > 0 {
            self.enclose(operand, "__sliced");
            self.enclose(self.since(operand.start), "__made");
            return Ok(());
        }
        let index = index.ok_or(Unsure)?;
        if !index.small() {
            self.guard(index, "__deep");
        }
        // A word looks into mappings alone.
        if !index.small() || index.number {
            self.enclose(operand, "__seen");
        }
        Ok(())
    }

    fn filters(&mut self, mut operand: Operand) -> Read {
        loop {
            if self.skip("|") {
                self.filter_name()?;
            } else if self.skip("is") {
                self.skip("not");
                self.test()?;
            } else {
                return Ok(operand);
            }
            operand = self.since(operand.start);
        }
    }

    /// The name of a filter and what it is given.
    pub(in crate::data::chat) fn filter_name(&mut self) -> Result<(), Unsure> {
        self.dotted_name()?;
        if self.peek() == "(" {
            self.arguments(None)
        } else {
            Ok(())
        }
    }

    fn dotted_name(&mut self) -> Result<(), Unsure> {
        self.name()?;
        while self.skip(".") {
            self.name()?;
        }
        Ok(())
    }

    /// The name of a test and what it is given, which needs no brackets.
    fn test(&mut self) -> Result<(), Unsure> {
        self.dotted_name()?;
        let start = self.here();
        let is_sign = self.kind() == Some(Kind::Sign);
        if is_sign && self.peek() == "(" {
            return self.arguments(None);
        }
        let is_next = match self.kind() {
            Some(Kind::Sign) => matches!(self.peek(), "+" | "-" | "[" | "{"),
            Some(Kind::Name) => !matches!(self.peek(), "and" | "or" | "else" | "is"),
            Some(_) => true,
            None => false,
        };
        if !is_next {
            return Ok(());
        }
        let edits = self.edits.len();
        let operand = self.negative()?;
        let operand = self.postfix(operand)?;
        if self.edits.len() > edits {
            // Brackets would end the argument early: it gets its own around all of it.
            self.edits.push((start, "(".into()));
            self.edits.push((operand.end, ")".into()));
        }
        Ok(())
    }

    /// What a call is given, each with a guard around it.
    fn arguments(&mut self, filter: Option<&str>) -> Result<(), Unsure> {
        self.expect("(")?;
        let mut is_first = true;
        while !self.skip(")") {
            if !is_first {
                self.expect(",")?;
                if self.skip(")") {
                    break;
                }
            }
            is_first = false;
            let is_spread = self.skip("**") || self.skip("*");
            let operand = self.whole()?;
            if self.skip("=") {
                self.whole()?;
            } else if is_spread {
                self.guard(operand, "__seen");
            } else if let Some(filter) = filter {
                self.guard(operand, filter);
            }
        }
        Ok(())
    }

    fn primary(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Unsure);
        }
        let token = self.next()?;
        let (constant, number) = match token.kind {
            Kind::Number => (true, true),
            Kind::Text => {
                while self.kind() == Some(Kind::Text) {
                    self.next()?;
                }
                (true, false)
            }
            // The engine takes it for a variable behind an operator, but not in brackets.
            Kind::Name if token.text == "not" => return Err(Unsure),
            Kind::Name => (
                matches!(
                    token.text,
                    "true" | "True" | "false" | "False" | "none" | "None"
                ),
                false,
            ),
            Kind::Sign => {
                let operand = match token.text {
                    "(" => self.brackets(token.start)?,
                    "[" => self.list(token.start, "]")?,
                    "{" => self.list(token.start, "}")?,
                    _ => return Err(Unsure),
                };
                (operand.constant, operand.number)
            }
        };
        self.depth -= 1;
        Ok(Operand {
            start: token.start,
            end: self.before(),
            constant,
            number,
        })
    }

    /// `(a)` or `(a, b)`, behind the first bracket.
    fn brackets(&mut self, start: usize) -> Read {
        if self.skip(")") {
            return Ok(Operand {
                constant: true,
                ..self.since(start)
            });
        }
        let mut first = self.whole()?;
        if self.skip(")") {
            return Ok(first);
        }
        while self.skip(",") {
            if self.peek() == ")" && self.kind() == Some(Kind::Sign) {
                break;
            }
            first.constant &= self.whole()?.constant;
        }
        self.expect(")")?;
        Ok(self.container(start, first.constant))
    }

    /// A list or mapping, behind its bracket.
    fn list(&mut self, start: usize, close: &str) -> Read {
        let (mut constant, mut is_first) = (true, true);
        while !self.skip(close) {
            if !is_first {
                self.expect(",")?;
                if self.skip(close) {
                    break;
                }
            }
            is_first = false;
            constant &= self.whole()?.constant;
            if close == "}" {
                self.expect(":")?;
                constant &= self.whole()?.constant;
            }
        }
        Ok(self.container(start, constant))
    }

    fn container(&mut self, start: usize, constant: bool) -> Operand {
        let operand = self.since(start);
        if !constant {
            self.enclose(operand, "__made");
        }
        Operand {
            constant,
            ..operand
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::guarded;

    #[test]
    fn brackets_go_around_what_stands_behind_an_operand() {
        let cases = [
            (
                "{{ -a[0].b[i] }}",
                "{{ -((a|__seen)[0].b|__seen)[(i)|__deep] }}",
            ),
            ("{{ a.b(c, d=[e]).f }}", "{{ a.b(c, d=([e]|__made)).f }}"),
            (
                "{{ {'k': a, 1: (b, 2)} }}",
                "{{ ({'k': a, 1: ((b, 2)|__made)}|__made) }}",
            ),
            (
                "{{ a is in [b][0] and c is eq -1 }}",
                "{{ a is in ((([b]|__made)|__seen)[0]) and c is eq -1 }}",
            ),
            (
                "{{ loop.changed(a, 1) }}{{ loop.cycle(a) }}",
                "{{ loop.changed((a)|__deep, (1)|__deep) }}{{ loop.cycle(a) }}",
            ),
            (
                "{{ f(**a)[::2] }}",
                "{{ ((f(**(a)|__seen)|__sliced)[::2]|__made) }}",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(
                guarded(source).unwrap_or_else(|error| error.to_string()),
                expected
            );
        }
        for source in [
            "{{ loop.cycle(*a) }}",
            "{{ a ~ not b }}",
            "{{ a['b' }}",
            "{{ a[1:2:3:4] }}",
            "{{ a. }}",
        ] {
            assert!(guarded(source).is_err(), "{source}");
        }
    }
}
