//! Many texts in one piece of memory: a vocabulary has hundreds of thousands.

/// A list of texts that stand one behind the other in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl Strings {
    /// The number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A text by its number from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        self.text.get(start..end)
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Room for so many more texts.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.ends.reserve_exact(count);
    }
}

impl<T: AsRef<str>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut strings = Self::default();
        texts
            .into_iter()
            .for_each(|text| strings.push(text.as_ref()));
        strings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_order() {
        let texts = ["a", "", "né", ""];
        let strings: Strings = texts.into_iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), texts);
        assert_eq!(
            (strings.len(), strings.get(2), strings.get(4)),
            (4, Some("né"), None)
        );
        assert!(Strings::default().is_empty());
    }
}
