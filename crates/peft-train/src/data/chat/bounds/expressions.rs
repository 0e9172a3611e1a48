//! Follows the operators of a tag as the template engine parses them and notes where guards go.
//!
//! Each function stands for the one of the engine's parser with the same place in the order of operators. A guard is a
//! filter around a whole operand in brackets, `(operand)|__part(2)`, which the engine evaluates where the operand was.

use super::cursor::{Expressions, Operand, Read};
use super::tags::Unsure;

/// Brackets and operands inside of one another; the engine takes no more.
pub(in crate::data::chat) const DEPTH: usize = 150;
/// Multiplications in one row: each may make a text before the guard behind the last one sees it.
const FACTORS: usize = 8;

impl Expressions<'_, '_> {
    pub(in crate::data::chat) fn expression(&mut self) -> Result<(), Unsure> {
        self.whole().map(|_| ())
    }

    /// An expression with a guard around it, unless it is a constant.
    pub(in crate::data::chat) fn guarded(
        &mut self,
        filter: &str,
        without_if: bool,
    ) -> Result<(), Unsure> {
        let operand = if without_if {
            self.or()?
        } else {
            self.whole()?
        };
        if !operand.small() {
            self.guard(operand, filter);
        }
        Ok(())
    }

    /// What may follow `=` in `set`: `a, b` is one value.
    pub(in crate::data::chat) fn assigned(&mut self, filter: Option<&str>) -> Result<(), Unsure> {
        let first = self.whole()?;
        let mut whole = first;
        let is_list = self.skip(",");
        while is_list && !self.is_done() {
            self.whole()?;
            if !self.skip(",") {
                break;
            }
        }
        whole.end = self.before();
        if is_list {
            self.guard(whole, "__made");
        }
        if let Some(filter) = filter {
            whole.constant &= !is_list;
            if !whole.small() {
                self.guard(whole, filter);
            }
        }
        Ok(())
    }

    pub(in crate::data::chat) fn whole(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Unsure);
        }
        let mut operand = self.or()?;
        while self.skip("if") {
            (operand.constant, operand.number) = (false, false);
            self.or()?;
            if self.skip("else") {
                self.depth -= 1;
                self.whole()?;
                self.depth += 1;
            }
        }
        self.depth -= 1;
        operand.end = self.before();
        Ok(operand)
    }

    /// What stands behind `if`, which takes no `if` itself.
    pub(in crate::data::chat) fn condition(&mut self) -> Result<(), Unsure> {
        self.or().map(|_| ())
    }

    fn or(&mut self) -> Read {
        self.row(Self::and, &["or"])
    }

    fn and(&mut self) -> Read {
        self.row(Self::not, &["and"])
    }

    fn not(&mut self) -> Read {
        let start = self.here();
        let mut negated = false;
        while self.skip("not") {
            negated = true;
        }
        let operand = self.comparison()?;
        Ok(if negated { self.since(start) } else { operand })
    }

    /// Operands of one kind with operators between them.
    fn row(&mut self, operand: fn(&mut Self) -> Read, operators: &[&str]) -> Read {
        let start = self.here();
        let mut read = operand(self)?;
        while self.skip_any(operators).is_some() {
            operand(self)?;
            read = self.since(start);
        }
        Ok(read)
    }

    fn skip_any<'o>(&mut self, operators: &[&'o str]) -> Option<&'o str> {
        operators
            .iter()
            .copied()
            .find(|operator| self.skip(operator))
    }

    fn comparison(&mut self) -> Read {
        const ORDER: [&str; 7] = ["==", "!=", "<=", ">=", "<", ">", "in"];
        let start = self.here();
        let mut operands = vec![self.sum()?];
        let mut is_in = false;
        loop {
            let operator = if self.skip("not") {
                self.expect("in")?;
                Some("in")
            } else {
                self.skip_any(&ORDER)
            };
            let Some(operator) = operator else { break };
            is_in |= operator == "in";
            operands.push(self.sum()?);
        }
        match operands.as_slice() {
            [operand] => return Ok(*operand),
            // A comparison ends with the shorter of both.
            [left, right] if !is_in => {
                if !left.small() && !right.small() {
                    self.guard(*left, "__deep");
                }
            }
            [_, right] => {
                if !right.small() {
                    self.guard(*right, "__deep");
                }
            }
            operands => {
                for operand in operands.iter().filter(|operand| !operand.small()) {
                    self.guard(*operand, "__deep");
                }
            }
        }
        Ok(self.since(start))
    }

    /// `+`, `-` and `~`, of which `~` binds tighter: a guard around every operand of either holds for both.
    fn sum(&mut self) -> Read {
        let start = self.here();
        let mut operands = vec![self.product()?];
        let mut signs = Vec::new();
        while let Some(sign) = self.skip_any(&["+", "-", "~"]) {
            signs.push(sign);
            operands.push(self.product()?);
        }
        if let [operand] = operands.as_slice() {
            return Ok(*operand);
        }
        if signs.iter().any(|sign| *sign != "-") {
            self.join(&operands, &signs);
        }
        Ok(self.since(start))
    }

    fn join(&mut self, operands: &[Operand], signs: &[&str]) {
        let writes = signs.contains(&"~");
        let is_mixed = writes && signs.iter().any(|sign| *sign != "~");
        let numbers = operands.iter().all(|operand| operand.number);
        let none_large = operands.iter().all(Operand::small);
        for (at, operand) in operands.iter().enumerate() {
            let is_last = at == signs.len();
            if !operand.small() || (none_large && is_last && !numbers) {
                // What is joined first is copied by every operator that follows.
                let before = if is_mixed { 1 } else { at.max(1) };
                let times = signs.len() + 1 - before;
                self.guard(*operand, &format!("__part({times}, {writes})"));
            }
        }
    }

    fn product(&mut self) -> Read {
        let start = self.here();
        let mut operands = vec![self.power()?];
        let mut factors = 0;
        while let Some(operator) = self.skip_any(&["*", "//", "/", "%"]) {
            factors += usize::from(operator == "*");
            operands.push(self.power()?);
        }
        if let [operand] = operands.as_slice() {
            return Ok(*operand);
        }
        if factors > FACTORS {
            return Err(Unsure);
        }
        let read = self.since(start);
        if factors > 0 && !operands.iter().all(|operand| operand.number) {
            // Constants as well: the engine would multiply them while it compiles.
            for operand in operands.iter().filter(|operand| !operand.number) {
                self.guard(*operand, "__factor");
            }
            self.guard(read, "__made");
        }
        Ok(read)
    }

    fn power(&mut self) -> Read {
        self.row(Self::unary, &["**"])
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::guarded;

    #[test]
    fn operators_keep_their_order() {
        let cases = [
            (
                "{{ not a == b or c in d if e else f }}",
                "{{ not (a)|__deep == b or c in (d)|__deep if e else f }}",
            ),
            ("{{ a < b < 1 }}", "{{ (a)|__deep < (b)|__deep < 1 }}"),
            (
                "{{ a ~ b ** -c % 2 - d }}",
                "{{ (a)|__part(2, true) ~ (b ** -c % 2)|__part(2, true) - (d)|__part(2, true) }}",
            ),
            (
                "{{ (a ~ b) ~ c }}",
                "{{ (((a)|__part(1, true) ~ (b)|__part(1, true)))|__part(1, true) ~ (c)|__part(1, true) }}",
            ),
            ("{% set a = b, c %}", "{% set a = (b, c)|__made %}"),
        ];
        for (source, expected) in cases {
            let found = guarded(source).unwrap_or_else(|error| error.to_string());
            assert_eq!(found, expected);
        }
    }
}
