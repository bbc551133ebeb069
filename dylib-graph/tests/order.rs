//! Is the order of initialization the one that the rules state, on graphs of every shape?
#![cfg(feature = "proptest")]

use dylib_graph::strategies::{graph_of, links};
use dylib_graph::{DylibGraph, DylibId, InitOrder, Walker};
use petgraph::algo::{condensation, has_path_connecting, tarjan_scc};
use petgraph::graph::DiGraph;
use proptest::prelude::*;
use proptest::sample::Index;

/// The same graph for the oracle. Its node numbers are our indexes.
fn oracle(links: &[Vec<DylibId>]) -> DiGraph<DylibId, ()> {
    let mut graph = DiGraph::new();
    let (ours, ids) = graph_of(links);
    let nodes: Vec<_> = ids.iter().map(|&id| graph.add_node(id)).collect();
    for id in ids {
        for link in ours.link_order(id) {
            graph.add_edge(nodes[id.index()], nodes[link.index()], ());
        }
    }
    graph
}

fn order(links: &[Vec<DylibId>], root: usize) -> InitOrder {
    let (graph, ids) = graph_of(links);
    graph.init_order(ids[root]).unwrap()
}

fn position(order: &InitOrder, dylib: DylibId) -> Option<usize> {
    order.dylibs().iter().position(|&each| each == dylib)
}

fn indexes(dylibs: &[DylibId]) -> Vec<usize> {
    dylibs.iter().map(|dylib| dylib.index()).collect()
}

proptest! {
    #[test]
    fn rule_01_what_is_reached_and_does_not_reach_back_comes_first(links in links(12), root: Index) {
        let root = root.index(links.len());
        let (order, oracle) = (order(&links, root), oracle(&links));
        for a in oracle.node_indices() {
            for b in oracle.node_indices() {
                let one_way = has_path_connecting(&oracle, a, b, None) && !has_path_connecting(&oracle, b, a, None);
                if let (true, Some(a)) = (one_way, position(&order, oracle[a])) {
                    prop_assert!(position(&order, oracle[b]).unwrap() < a);
                }
            }
        }
    }

    #[test]
    fn rule_02_sets_are_the_strongly_connected_components(links in links(12), root: Index) {
        let root = root.index(links.len());
        let oracle = oracle(&links);
        let order = order(&links, root);
        let root = oracle.node_indices().nth(root).unwrap();
        let mut theirs: Vec<Vec<DylibId>> = tarjan_scc(&oracle)
            .into_iter()
            .filter(|set| has_path_connecting(&oracle, root, set[0], None))
            .map(|set| set.into_iter().map(|node| oracle[node]).collect())
            .collect();
        let mut ours: Vec<_> = order.sets().map(<[DylibId]>::to_vec).collect();
        theirs.iter_mut().chain(&mut ours).for_each(|set| set.sort_unstable());
        theirs.sort_unstable();
        ours.sort_unstable();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn rule_02_is_a_plain_depth_first_walk_where_there_is_no_cycle(links in links(12), root: Index) {
        fn walk(links: &[Vec<DylibId>], at: usize, seen: &mut [bool], left: &mut Vec<usize>) {
            if !std::mem::replace(&mut seen[at], true) {
                links[at].iter().for_each(|link| walk(links, link.index(), seen, left));
                left.push(at);
            }
        }
        // Only links to later dylibs: no cycles.
        let links: Vec<Vec<_>> = links
            .iter()
            .enumerate()
            .map(|(at, links)| links.iter().copied().filter(|link| link.index() > at).collect())
            .collect();
        let root = root.index(links.len());
        let (mut seen, mut left) = (vec![false; links.len()], vec![]);
        walk(&links, root, &mut seen, &mut left);
        prop_assert_eq!(indexes(order(&links, root).dylibs()), left);
    }

    #[test]
    fn rule_02_inside_a_cycle_is_the_same_walk_within_it(links in links(12), root: Index) {
        let root = root.index(links.len());
        let whole = order(&links, root);
        let sets: Vec<_> = whole.sets().map(<[DylibId]>::to_vec).collect();
        for set in sets {
            // The member reached first comes last; walking from it within the set gives the set.
            let inner: Vec<Vec<_>> = links
                .iter()
                .map(|links| links.iter().copied().filter(|link| set.contains(link)).collect())
                .collect();
            let again = order(&inner, set.last().unwrap().index());
            prop_assert_eq!(again.dylibs(), &set[..]);
        }
    }

    #[test]
    fn rule_02_sets_condense_to_a_graph_without_cycles(links in links(12)) {
        let acyclic = condensation(oracle(&links), true);
        prop_assert!(petgraph::algo::toposort(&acyclic, None).is_ok());
        prop_assert!(order(&links, 0).sets().len() <= acyclic.node_count());
    }

    #[test]
    fn rule_03_self_links_and_repeated_links_change_nothing(links in links(12), at: Index, copy: Index) {
        let plain: Vec<Vec<_>> = links
            .iter()
            .enumerate()
            .map(|(at, links)| {
                let mut plain: Vec<DylibId> = Vec::new();
                for link in links {
                    if link.index() != at && !plain.contains(link) {
                        plain.push(*link);
                    }
                }
                plain
            })
            .collect();
        let mut noisy = links.clone();
        let at = at.index(links.len());
        let (_, ids) = graph_of(&links);
        let own = ids[at];
        noisy[at].insert(copy.index(links[at].len() + 1), own);
        for root in 0..links.len() {
            prop_assert_eq!(order(&noisy, root), order(&plain, root));
        }
    }

    #[test]
    fn rule_03_numbering_does_not_matter(links in links(12), shuffle in Just((0..12).collect::<Vec<_>>()).prop_shuffle()) {
        // Dylib i becomes number `place[i]`.
        let place: Vec<usize> = shuffle.into_iter().filter(|&at| at < links.len()).collect();
        let ids = graph_of(&links).1;
        let mut renamed = vec![vec![]; links.len()];
        for (at, links) in links.iter().enumerate() {
            renamed[place[at]] = links.iter().map(|link| ids[place[link.index()]]).collect();
        }
        for root in 0..links.len() {
            let expected: Vec<_> = order(&links, root).dylibs().iter().map(|dylib| place[dylib.index()]).collect();
            prop_assert_eq!(indexes(order(&renamed, place[root]).dylibs()), expected);
        }
    }

    #[test]
    fn rule_03_a_used_walker_gives_the_same_orders(links in links(12)) {
        let (graph, ids) = graph_of(&links);
        let mut walker = Walker::new();
        for _ in 0..2 {
            for &root in &ids {
                prop_assert_eq!(walker.init_order(&graph, root).unwrap(), graph.init_order(root).unwrap());
                prop_assert_eq!(walker.search_order(&graph, root).unwrap(), graph.search_order(root).unwrap());
            }
        }
    }

    #[test]
    fn rule_04_an_order_holds_what_is_reached_once_and_nothing_else(links in links(12), root: Index) {
        let root = root.index(links.len());
        let oracle = oracle(&links);
        let from = oracle.node_indices().nth(root).unwrap();
        let mut reached: Vec<_> =
            oracle.node_indices().filter(|&to| has_path_connecting(&oracle, from, to, None)).map(|to| oracle[to]).collect();
        let mut dylibs = order(&links, root).dylibs().to_vec();
        dylibs.sort_unstable();
        reached.sort_unstable();
        prop_assert_eq!(dylibs, reached);
    }

    #[test]
    fn rule_27_search_is_breadth_first_in_link_order(links in links(12), root: Index) {
        let root = root.index(links.len());
        let (graph, ids) = graph_of(&links);
        let search = graph.search_order(ids[root]).unwrap();
        // Naively: everything of one distance after the other, in the order in which it is named.
        let mut expected = vec![ids[root]];
        let mut ring = expected.clone();
        while !ring.is_empty() {
            let named = ring.iter().flat_map(|&dylib| graph.link_order(dylib));
            let mut next: Vec<DylibId> = Vec::new();
            for &link in named {
                if !expected.contains(&link) && !next.contains(&link) {
                    next.push(link);
                }
            }
            expected.extend_from_slice(&next);
            ring = next;
        }
        prop_assert_eq!(search, expected);
    }

    #[test]
    fn link_orders_come_back_as_set_whatever_was_set_before(
        sets in proptest::collection::vec((0_usize..6, proptest::collection::vec(0_usize..6, 0..600)), 0..60),
    ) {
        let mut graph = DylibGraph::new();
        let ids: Vec<_> = (0..6).map(|_| graph.add()).collect();
        let mut expected = vec![vec![]; 6];
        for (at, links) in sets {
            expected[at] = links.iter().map(|&link| ids[link]).collect();
            graph.set_link_order(ids[at], &expected[at]).unwrap();
            for (id, links) in ids.iter().zip(&expected) {
                prop_assert_eq!(graph.link_order(*id), &links[..]);
            }
        }
    }
}

#[test]
fn rule_02_of_the_examples() {
    let mut graph = DylibGraph::new();
    let [main, a, b, c] = [graph.add(), graph.add(), graph.add(), graph.add()];
    graph.set_link_order(main, &[a, b, c]).unwrap();
    assert_eq!(graph.init_order(main).unwrap().dylibs(), [a, b, c, main]);
    graph.set_link_order(main, &[b, c]).unwrap();
    graph.set_link_order(c, &[b]).unwrap();
    assert_eq!(graph.init_order(main).unwrap().dylibs(), [b, c, main]);
}

#[test]
fn rule_02_a_cycle_waits_for_what_its_last_member_needs() {
    // a and b need each other; only a needs c. So c comes before both, though the walk leaves b first.
    let mut graph = DylibGraph::new();
    let [main, a, b, c] = [graph.add(), graph.add(), graph.add(), graph.add()];
    graph.set_link_order(main, &[a]).unwrap();
    graph.set_link_order(a, &[b, c]).unwrap();
    graph.set_link_order(b, &[a]).unwrap();
    let order = graph.init_order(main).unwrap();
    assert_eq!(order.sets().collect::<Vec<_>>(), [&[c][..], &[b, a], &[main]]);
}

#[test]
fn removed_dylibs_are_passed_over_until_they_come_back() {
    let mut graph = DylibGraph::new();
    let [main, a, b] = [graph.add(), graph.add(), graph.add()];
    graph.set_link_order(main, &[a]).unwrap();
    graph.set_link_order(a, &[b]).unwrap();
    graph.remove(a).unwrap();
    assert_eq!(graph.init_order(main).unwrap().dylibs(), [main]);
    assert_eq!(graph.search_order(main).unwrap(), [main]);
    assert!(graph.init_order(a).is_err());
    assert!(graph.remove(a).is_err());
    assert_eq!(graph.len(), 2);
    assert_eq!(graph.ensure(a), Ok(true));
    assert_eq!(graph.init_order(main).unwrap().dylibs(), [a, main], "its own link order went with it");
}

#[test]
fn ids_from_elsewhere_are_followed_but_not_into_the_wilderness() {
    let mut graph = DylibGraph::new();
    let third = DylibId::new(3).unwrap();
    assert_eq!(graph.ensure(third), Ok(true));
    assert_eq!(graph.ensure(third), Ok(false));
    assert_eq!((graph.len(), graph.id_bound()), (1, 3));
    assert_eq!(third.to_string(), "dylib-3");
    let error = graph.ensure(DylibId::new(u32::MAX).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dylib-4294967295 lies too far beyond the 3 ids known so far: ids are handed out one after the other"
    );
    let error = graph.set_link_order(third, &[DylibId::new(1).unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), "dylib-1 is not in the graph: add it before linking against it or opening it");
}
