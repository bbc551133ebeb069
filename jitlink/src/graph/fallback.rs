//! Names that stand for another one where nobody defines them: weak externals and alternate names (PE/COFF).
//!
//! Whether a name has a definition is known when everything is read. Whoever fetches archive members asks [`LinkGraph::want_fallbacks`] when nothing is
//! missing any more, and goes on with what that makes wanted; pruning settles what is left. A chain of names is followed to its end, a circle is
//! no definition.

use super::{Definition, LinkGraph, Linkage, SymbolId};
use std::collections::HashMap;

/// What some names stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fallbacks {
    /// In the order in which they were said; of several for one name the first counts.
    all: Vec<(SymbolId, SymbolId)>,
    by_name: HashMap<SymbolId, Fallback>,
}

#[derive(Clone, Copy, Debug)]
struct Fallback {
    to: SymbolId,
    /// It is not followed from another one of its kind (`IMAGE_WEAK_EXTERN_ANTI_DEPENDENCY`).
    last: bool,
    /// Its target is wanted already.
    asked: bool,
}

impl<'data> LinkGraph<'data> {
    /// Says that `name` stands for `to` where nobody defines it. `last`: but not if that, too, stands for another name so.
    pub fn fall_back(&mut self, name: SymbolId, to: SymbolId, last: bool) {
        if name == to {
            return;
        }
        if let std::collections::hash_map::Entry::Vacant(entry) = self.fallbacks.by_name.entry(name) {
            entry.insert(Fallback { to, last, asked: false });
            self.fallbacks.all.push((name, to));
        }
    }

    /// Lets names that nobody defines yet ask for what they stand for: [`Self::take_wanted`] has what is missing of it.
    pub fn want_fallbacks(&mut self) {
        for index in 0..self.fallbacks.all.len() {
            let (name, _) = self.fallbacks.all[index];
            if self.symbol(name).definition != Definition::Undefined {
                continue;
            }
            let Some(fallback) = self.fallbacks.by_name.get_mut(&name) else { continue };
            if !std::mem::replace(&mut fallback.asked, true) {
                let target = &mut self.symbols[fallback.to.index()];
                if target.definition == Definition::Undefined && !target.needed {
                    target.needed = true;
                    self.wanted.push(fallback.to);
                }
            }
        }
    }

    /// Gives names that nobody defines the place of what they stand for, where that is in this graph.
    pub fn settle_fallbacks(&mut self) {
        for (name, end) in self.ends_of_fallbacks() {
            let of = self.symbol(end);
            // Common symbols get their place first.
            if of.is_defined() && of.definition != Definition::Common {
                let (definition, value, size, kind, object) = (of.definition, of.value, of.size, of.kind, of.object);
                let symbol = &mut self.symbols[name.index()];
                (symbol.definition, symbol.value, symbol.size, symbol.kind) = (definition, value, size, kind);
                (symbol.linkage, symbol.object) = (Linkage::Weak, object);
                self.aliases.push(name);
            }
        }
    }

    /// What still stands for a name that is not in this graph is that name: edges to it are edges to the other.
    pub(crate) fn redirect_fallbacks(&mut self) {
        self.settle_fallbacks();
        let ends: HashMap<SymbolId, SymbolId> = self.ends_of_fallbacks().into_iter().collect();
        if ends.is_empty() {
            return;
        }
        self.redirect(&ends);
        for end in ends.values() {
            self.symbols[end.index()].needed = true;
        }
    }

    /// What refers to a key refers to its value from now on.
    pub(crate) fn redirect(&mut self, to: &HashMap<SymbolId, SymbolId>) {
        if to.is_empty() {
            return;
        }
        let target = |id: SymbolId| to.get(&id).copied().unwrap_or(id);
        self.edges.iter_mut().for_each(|edge| edge.target = target(edge.target));
        self.kept.iter_mut().for_each(|kept| *kept = target(*kept));
        self.imports.iter_mut().for_each(|(_, of)| *of = target(*of));
    }

    /// Names without a definition and what they finally stand for, but for those that stand for each other in a circle.
    fn ends_of_fallbacks(&self) -> Vec<(SymbolId, SymbolId)> {
        let Fallbacks { all, by_name } = &self.fallbacks;
        // By name, and whether what leads there is followed once only.
        let mut known: HashMap<(SymbolId, bool), Option<SymbolId>> = HashMap::new();
        let mut ends = Vec::new();
        let mut path = Vec::new();
        for (name, _) in all {
            let mut at = (*name, false);
            let end = loop {
                if let Some(end) = known.get(&at) {
                    break *end;
                }
                // Who comes here again before the end is known goes in a circle.
                known.insert(at, None);
                path.push(at);
                let undefined = self.symbol(at.0).definition == Definition::Undefined;
                match by_name.get(&at.0).filter(|next| undefined && !(at.1 && next.last)) {
                    Some(next) => at = (next.to, next.last),
                    None => break Some(at.0),
                }
            };
            known.extend(path.drain(..).map(|at| (at, end)));
            if self.symbol(*name).definition == Definition::Undefined {
                ends.extend(end.filter(|end| end != name).map(|end| (*name, end)));
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GlobalDefinition, LinkGraph, ObjectId, Scope, SymbolKind};
    use super::*;

    fn absolute(graph: &mut LinkGraph<'static>, name: &'static [u8], value: u64, object: ObjectId) {
        let definition = Definition::Absolute;
        let (size, linkage, scope, kind) = (0, Linkage::Strong, Scope::Default, SymbolKind::Unknown);
        let offered = GlobalDefinition { definition, value, size, linkage, scope, kind, object };
        graph.define(name, offered).expect("defined once");
    }

    #[test]
    fn a_name_without_a_definition_is_what_it_stands_for() {
        let mut graph = LinkGraph::new(&crate::arch::x86_64::MACHINE);
        let object = graph.add_object("a.obj", true);
        let names: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
        let [a, b, c, d] = names.map(|name| graph.refer(name, true, Scope::Default, object));
        graph.fall_back(a, b, false);
        graph.fall_back(b, c, false);
        graph.fall_back(d, a, false);
        // The first one counts.
        graph.fall_back(a, d, false);
        graph.want_fallbacks();
        assert_eq!(graph.take_wanted(), [b, c, a]);
        absolute(&mut graph, b"c", 7, object);
        absolute(&mut graph, b"d", 9, object);
        graph.settle_fallbacks();
        let value = |id: SymbolId| (graph.symbol(id).definition, graph.symbol(id).value);
        assert_eq!(
            [a, b, d].map(value),
            [(Definition::Absolute, 7), (Definition::Absolute, 7), (Definition::Absolute, 9)]
        );
    }

    #[test]
    fn a_circle_defines_nothing_and_ends() {
        let mut graph = LinkGraph::new(&crate::arch::x86_64::MACHINE);
        let object = graph.add_object("a.obj", true);
        let [a, b] = [b"a", b"b"].map(|name| graph.refer(name, true, Scope::Default, object));
        graph.fall_back(a, b, false);
        graph.fall_back(b, a, false);
        graph.fall_back(b, b, false);
        graph.redirect_fallbacks();
        assert_eq!([a, b].map(|id| graph.symbol(id).definition), [Definition::Undefined; 2]);
    }

    #[test]
    fn an_anti_dependency_does_not_stand_for_another_one() {
        let mut graph = LinkGraph::new(&crate::arch::x86_64::MACHINE);
        let object = graph.add_object("a.obj", true);
        let [a, b] = [b"a", b"b"].map(|name| graph.refer(name, true, Scope::Default, object));
        absolute(&mut graph, b"c", 7, object);
        let c = graph.refer(b"c", true, Scope::Default, object);
        graph.fall_back(a, b, true);
        graph.fall_back(b, c, true);
        graph.settle_fallbacks();
        assert_eq!(graph.symbol(a).definition, Definition::Undefined);
        assert_eq!(graph.symbol(b).value, 7);
    }
}
