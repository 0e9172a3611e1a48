//! Burn's containers of modules: what they hold, in their order.

use std::fmt::Debug;

use super::{Adaptable, TiedOutput};
use crate::linear::AdaptedLinear;

/// Every method of a container over the parts that two expressions give, shared and mutable.
macro_rules! of_parts {
    ($this:ident, $parts:expr, $parts_mut:expr) => {
        fn visit_linears(&$this, visit: &mut dyn FnMut(&AdaptedLinear)) {
            $parts.for_each(|part| part.visit_linears(visit));
        }
        fn visit_linears_mut(&mut $this, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
            $parts_mut.for_each(|part| part.visit_linears_mut(visit));
        }
        fn output_heads(&$this) -> Vec<String> {
            $parts.flat_map(Adaptable::output_heads).collect()
        }
        fn tied(&$this) -> Option<TiedOutput> {
            $parts.find_map(Adaptable::tied)
        }
        fn untie(&mut $this) {
            $parts_mut.for_each(Adaptable::untie);
        }
        fn vocabulary_layers(&$this) -> Vec<String> {
            $parts.flat_map(Adaptable::vocabulary_layers).collect()
        }
        fn resize_vocabulary(&mut $this, tokens: usize) {
            $parts_mut.for_each(|part| part.resize_vocabulary(tokens));
        }
    };
}

impl<T: Adaptable + Debug> Adaptable for Vec<T> {
    of_parts!(self, self.iter(), self.iter_mut());
}

impl<T: Adaptable + Debug> Adaptable for Option<T> {
    of_parts!(self, self.iter(), self.iter_mut());
}

impl<T: Adaptable + Debug, const N: usize> Adaptable for [T; N] {
    of_parts!(self, self.iter(), self.iter_mut());
}

macro_rules! tuple {
    ($($part:ident $index:tt),*) => {
        impl<$($part: Adaptable + Debug),*> Adaptable for ($($part,)*) {
            fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
                $(self.$index.visit_linears(visit);)*
            }
            fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
                $(self.$index.visit_linears_mut(visit);)*
            }
            fn output_heads(&self) -> Vec<String> {
                [$(self.$index.output_heads()),*].concat()
            }
            fn tied(&self) -> Option<TiedOutput> {
                None$(.or_else(|| self.$index.tied()))*
            }
            fn untie(&mut self) {
                $(self.$index.untie();)*
            }
            fn vocabulary_layers(&self) -> Vec<String> {
                [$(self.$index.vocabulary_layers()),*].concat()
            }
            fn resize_vocabulary(&mut self, tokens: usize) {
                $(self.$index.resize_vocabulary(tokens);)*
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
