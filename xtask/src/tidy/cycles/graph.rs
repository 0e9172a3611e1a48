//! Which module needs which, and the circles in that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Module;

/// One module that needs another, and where it first says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'a> {
    pub(super) from: &'a Module,
    pub(super) path: &'a str,
    pub(super) line: usize,
}

/// Every edge between the modules of a crate.
#[derive(Default)]
pub(super) struct Graph<'a> {
    edges: BTreeMap<Module, BTreeMap<Module, (&'a str, usize)>>,
}

impl<'a> Graph<'a> {
    /// Adds an edge; the first place of each stays.
    pub(super) fn add(&mut self, from: &Module, to: &Module, path: &'a str, line: usize) {
        let targets = self.edges.entry(from.clone()).or_default();
        targets.entry(to.clone()).or_insert((path, line));
    }

    /// A shortest circle through the first module of every group whose modules all reach each other.
    pub(super) fn circles(&self) -> impl Iterator<Item = Vec<Edge<'_>>> {
        let mut grouped = BTreeSet::new();
        self.edges.keys().filter_map(move |module| {
            if grouped.contains(module) {
                return None;
            }
            let circle = self.circle(module)?;
            let ahead = self.reached(module);
            let group = ahead
                .into_iter()
                .filter(|other| self.reached(other).contains(module));
            grouped.extend(group);
            Some(circle)
        })
    }

    /// Every module that one needs, directly or through others.
    fn reached<'b>(&'b self, module: &'b Module) -> BTreeSet<&'b Module> {
        let mut seen = BTreeSet::new();
        let mut open = vec![module];
        while let Some(module) = open.pop() {
            let targets = self.edges.get(module).into_iter().flat_map(BTreeMap::keys);
            open.extend(targets.filter(|target| seen.insert(*target)));
        }
        seen
    }

    /// The edges of a shortest way from a module back to itself.
    fn circle(&self, start: &Module) -> Option<Vec<Edge<'_>>> {
        let mut from: BTreeMap<&Module, &Module> = BTreeMap::new();
        let (start, _) = self.edges.get_key_value(start)?;
        let mut open = VecDeque::from([start]);
        while let Some(module) = open.pop_front() {
            for target in self.edges.get(module).into_iter().flat_map(BTreeMap::keys) {
                if !from.contains_key(target) {
                    from.insert(target, module);
                    open.push_back(target);
                }
            }
        }
        let mut circle = Vec::new();
        let mut target = start;
        loop {
            let source = *from.get(target)?;
            let (path, line) = self.edges[source][target];
            circle.push(Edge {
                from: source,
                path,
                line,
            });
            if source == start {
                circle.reverse();
                return Some(circle);
            }
            target = source;
        }
    }
}
